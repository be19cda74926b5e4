//! Names in a directory (RFC 4514), as far as two of them are to be compared.

/// Longest name that is taken.
pub const DN_MAX: usize = 1024;

/// A form that two texts of the same name share: no spaces around the parts,
/// small letters, and one way to escape. A text that is no name stays itself in
/// small letters.
pub fn folded(text: &str) -> String {
    parts(text).map_or_else(|| text.trim().to_lowercase(), |parts| parts.join(","))
}

/// Whether this is a name.
pub fn is_dn(text: &str) -> bool {
    text.len() <= DN_MAX && !text.chars().any(char::is_control) && parts(text).is_some()
}

fn parts(text: &str) -> Option<Vec<String>> {
    split(text, ',')?.into_iter().map(relative).collect()
}

/// One step of a name. Where it has several values their order says nothing.
fn relative(text: &str) -> Option<String> {
    let mut values = split(text, '+')?.into_iter().map(value).collect::<Option<Vec<_>>>()?;
    values.sort();
    Some(values.join("+"))
}

fn value(text: &str) -> Option<String> {
    let (kind, value) = text.split_once('=')?;
    let kind = kind.trim();
    let is_kind = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if !is_kind {
        return None;
    }
    let value = unescaped(trimmed(value.trim_start()))?.to_lowercase();
    let value = value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let escaped: String = value.chars().flat_map(|c| escape(c).into_iter().chain([c])).collect();
    Some(format!("{}={escaped}", kind.to_ascii_lowercase()))
}

fn escape(character: char) -> Option<char> {
    ",+\"\\<>;=#".contains(character).then_some('\\')
}

/// Without the spaces at its end, but for one that is escaped.
fn trimmed(value: &str) -> &str {
    let short = value.trim_end_matches(' ');
    let slashes = short.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if slashes % 2 == 1 && short.len() < value.len() { &value[..=short.len()] } else { short }
}

/// The parts between separators that are not escaped.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut found, mut from, mut is_escaped) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            // An older form of escaping, which nobody sends.
            '"' => return None,
            other if other == separator => {
                found.push(&text[from..at]);
                from = at + other.len_utf8();
            }
            _ => {}
        }
    }
    found.push(&text[from..]);
    (!is_escaped).then_some(found)
}

fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let pair = pair.filter(|pair| pair.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest = &after[2..];
            }
            None => {
                let (&escaped, after) = after.split_first()?;
                bytes.push(escaped);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_one_name_are_equal() {
        let same = [
            ("cn=Ops,ou=Groups,dc=corp", "CN=ops, OU=groups , DC=Corp"),
            ("cn=a\\,b,dc=c", "cn=a\\2cb,dc=c"),
            ("cn=a\\2Cb,dc=c", "CN=A\\2cB,DC=C"),
            ("cn=two  words,dc=c", "cn=two words,dc=c"),
            ("cn=a+uid=b,dc=c", "uid=b+cn=a,dc=c"),
            ("cn=M\\C3\\BCller,dc=c", "cn=Müller,dc=c"),
            ("cn=Lučić,dc=c", "cn=LUČIĆ,dc=c"),
        ];
        for (one, other) in same {
            assert_eq!(folded(one), folded(other));
            assert!(is_dn(one) && is_dn(other), "{one}");
        }
    }

    #[test]
    fn other_names_are_others() {
        let others = [
            ("cn=ops,ou=groups,dc=corp", "cn=ops,dc=corp"),
            ("cn=a\\,ou=b,dc=c", "cn=a,ou=b,dc=c"),
            ("cn=a\\+b=c,dc=c", "cn=a+b=c,dc=c"),
            ("cn=ops", "ou=ops"),
            ("cn=a\\\\,dc=c", "cn=a\\,dc=c"),
        ];
        for (one, other) in others {
            assert_ne!(folded(one), folded(other));
        }
        for wrong in ["", "ops", "cn=a,", "=a", "cn=a\\", "c n=a", "cn=\"a\"", "cn=a\0"] {
            assert!(!is_dn(wrong), "{wrong:?}");
        }
    }
}

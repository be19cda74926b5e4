//! The forms that programs give to a text: what a search for the text alone
//! would miss.

use std::collections::HashSet;

/// A name for each form, and what it looks like.
pub(super) fn of(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("as it is", secret.to_vec())];
    for (skipped, offset) in [(0, 0), (2, 1), (3, 2)] {
        for (name, alphabet) in [("in base64", STANDARD), ("in base64 for URLs", FOR_URLS)] {
            forms.push((name, base64(secret, offset, skipped, alphabet)));
        }
    }
    forms.push(("percent-encoded", percent(secret, "%20")));
    forms.push(("percent-encoded", percent(secret, "+")));
    forms.push(("in hexadecimal", hexadecimal(secret, "0123456789abcdef")));
    forms.push(("in hexadecimal", hexadecimal(secret, "0123456789ABCDEF")));
    forms.push(("as a list of bytes", list(secret)));
    if let Ok(text) = std::str::from_utf8(secret) {
        let quoted = serde_json::Value::from(text).to_string();
        forms.push(("in JSON", quoted.as_bytes()[1..quoted.len() - 1].to_vec()));
    }
    let mut known = HashSet::new();
    forms.retain(|(_, form)| known.insert(form.clone()));
    forms
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const FOR_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The characters of base64 that depend on nothing but `secret`, where `offset`
/// bytes of something else stand before it: they take part in the first
/// `skipped` characters.
fn base64(secret: &[u8], offset: usize, skipped: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bytes = [&[0; 2][..offset], secret].concat();
    let whole = bytes.len() * 8 / 6;
    let sextet = |at: usize| {
        let bit = at * 6;
        let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or_default());
        let pair = byte(bit / 8) << 8 | byte(bit / 8 + 1);
        alphabet[usize::from(pair >> (10 - bit % 8) & 0x3f)]
    };
    (skipped..whole).map(sextet).collect()
}

fn percent(secret: &[u8], space: &str) -> Vec<u8> {
    let written = secret.iter().map(|byte| match byte {
        b' ' => space.to_owned(),
        plain if plain.is_ascii_alphanumeric() || b"-._~".contains(plain) => char::from(*plain).to_string(),
        other => format!("%{other:02X}"),
    });
    written.collect::<String>().into_bytes()
}

fn hexadecimal(secret: &[u8], digits: &str) -> Vec<u8> {
    let digits = digits.as_bytes();
    secret.iter().flat_map(|byte| [digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]).collect()
}

fn list(secret: &[u8]) -> Vec<u8> {
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    numbers.join(", ").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_what_other_programs_write() {
        let written = of("nine herons & 2\n".as_bytes());
        for expected in [
            "nine herons & 2\n",
            "bmluZSBoZXJvbnMgJiAyC",
            "nine%20herons%20%26%202%0A",
            "nine+herons+%26+2%0A",
            "6e696e65206865726f6e73202620320a",
            "110, 105, 110, 101, 32, 104, 101, 114, 111, 110, 115, 32, 38, 32, 50, 10",
            "nine herons & 2\\n",
        ] {
            assert!(written.iter().any(|(_, form)| form == expected.as_bytes()), "{expected:?}");
        }
    }

    /// `user:password` in a header stands in base64 wherever the password begins.
    #[test]
    fn base64_is_known_wherever_the_secret_begins_and_ends() {
        for (whole, encoded) in [
            ("a:a long secret", "YTphIGxvbmcgc2VjcmV0"),
            ("ab:a long secret!", "YWI6YSBsb25nIHNlY3JldCE="),
            ("abc:a long secret??", "YWJjOmEgbG9uZyBzZWNyZXQ/Pw=="),
        ] {
            let forms = of(b"a long secret");
            let is_in = |(_, form): &(&str, Vec<u8>)| encoded.contains(std::str::from_utf8(form).unwrap_or("?"));
            assert!(forms.iter().any(is_in), "{whole}: {encoded}");
        }
    }
}

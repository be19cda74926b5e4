//! What is said of input that makes no sense: where, and what was expected
//! there, and never what stood there. It may have been a secret in the wrong
//! place, and errors are shown, logged and pasted into tickets.

/// What stands for what is left out.
const LEFT_OUT: &str = "…";
/// What comes before a value in backticks, as serde and axum say it.
const BEFORE_VALUES: [&str; 7] =
    ["unknown variant `", "with value `", "integer `", "floating point `", "boolean `", "character `", "character '"];

/// The same sentence without what somebody sent.
pub(super) fn without_values(sentence: &str) -> String {
    let mut said = without_quoted(sentence);
    for before in BEFORE_VALUES {
        let Some(at) = said.find(before) else { continue };
        let (begin, end) = (at + before.len(), before.as_bytes()[before.len() - 1]);
        let rest = &said[begin..];
        // A value may have the same mark in it, so that it ends with the last one
        // before the sentence goes on.
        let goes_on = [", expected", ": "].iter().filter_map(|next| rest.find(next)).min();
        let value = goes_on.map_or(rest, |at| &rest[..at]);
        if let Some(length) = value.bytes().rposition(|byte| byte == end) {
            said.replace_range(begin..begin + length, LEFT_OUT);
        }
    }
    said
}

/// Strings are shown with quotes around them and a backslash before those in
/// them.
fn without_quoted(sentence: &str) -> String {
    let (mut said, mut is_quoted, mut is_escaped) = (String::new(), false, false);
    for letter in sentence.chars() {
        let is_end = letter == '"' && !is_escaped;
        is_escaped = is_quoted && letter == '\\' && !is_escaped;
        if is_end {
            is_quoted = !is_quoted;
            said.push_str(if is_quoted { "\"…" } else { "\"" });
        } else if !is_quoted {
            said.push(letter);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c43_what_is_wrong_is_said_and_not_what_stood_there() {
        for (sentence, said) in [
            (
                r#"invalid type: string "canary \" and", expected a sequence at line 1 column 9"#,
                r#"invalid type: string "…", expected a sequence at line 1 column 9"#,
            ),
            (
                "role: unknown variant `canary`, expected one of `viewer`, `operator`",
                "role: unknown variant `…`, expected one of `viewer`, `operator`",
            ),
            ("unknown variant `can`ary`, expected `viewer`", "unknown variant `…`, expected `viewer`"),
            ("invalid type: integer `8443`, expected a string", "invalid type: integer `…`, expected a string"),
            (
                "Invalid URL: Cannot parse `id` with value `canary`: UUID parsing failed: expected `a`, found `c` at 1",
                "Invalid URL: Cannot parse `id` with value `…`: UUID parsing failed: expected `a`, found `c` at 1",
            ),
            ("unknown field `nmae`, expected `name`", "unknown field `nmae`, expected `name`"),
            ("missing field `name` at line 1 column 2", "missing field `name` at line 1 column 2"),
            ("an open quote \"canary", "an open quote \"…"),
        ] {
            assert_eq!(without_values(sentence), said);
        }
    }
}

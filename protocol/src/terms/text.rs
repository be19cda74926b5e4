//! Bytes as text that people can read out, and text from the other end as
//! something that can be shown.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::limits::FACT_TEXT_MAX;

/// The digits and letters of every Windflow credential, none of which looks like
/// another (Crockford's base32).
pub(crate) const ALPHABET: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// Lowercase Crockford base32 without padding, as in every Windflow credential.
pub fn base32() -> &'static Encoding {
    static ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
        let mut specification = Specification::new();
        specification.symbols.push_str(ALPHABET);
        specification.encoding().expect("the alphabet has 32 distinct symbols")
    });
    &ENCODING
}

/// Cuts a text from a peer to [`FACT_TEXT_MAX`] bytes and drops its control
/// characters.
pub fn sanitize(text: &str) -> String {
    sanitize_to(text, FACT_TEXT_MAX)
}

/// A log of lines, each written at once. Whatever text of somebody else's is in
/// one, it neither begins a line of its own nor steers a terminal. Colours stay:
/// who writes the line has taken them out of what is not its own.
#[derive(Debug)]
pub struct Lines<W>(pub W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&one_line(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    const ESCAPE: char = '\u{1b}';
    let (text, end) = line.strip_suffix(b"\n").map_or((line, ""), |text| (text, "\n"));
    let text = String::from_utf8_lossy(text);
    if !text.contains(|letter: char| letter.is_control() && letter != ESCAPE) {
        return Cow::Borrowed(line);
    }
    let mut written = String::with_capacity(line.len());
    for letter in text.chars() {
        match letter.is_control() && letter != ESCAPE {
            true => written.extend(letter.escape_default()),
            false => written.push(letter),
        }
    }
    Cow::Owned((written + end).into_bytes())
}

/// Cuts a text from a peer to `most` bytes and drops its control characters.
pub fn sanitize_to(text: &str, most: usize) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).collect();
    clean.truncate(clean.floor_char_boundary(most));
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C-20, ASVS 16.4.1.
    #[test]
    fn c20_whatever_a_line_says_it_stays_one_line() {
        for (said, written) in [
            ("INFO all is well\n", "INFO all is well\n"),
            ("INFO named x\nWARN somebody=admin signed in\n", "INFO named x\\nWARN somebody=admin signed in\n"),
            ("a\r\nb\0c\u{8}d\u{7f}e\u{85}f\u{2028}g\n", "a\\r\\nb\\u{0}c\\u{8}d\\u{7f}e\\u{85}f\u{2028}g\n"),
            ("\u{1b}[2mcoloured\u{1b}[0m\n", "\u{1b}[2mcoloured\u{1b}[0m\n"),
            ("no end", "no end"),
            ("\n\n", "\\n\n"),
        ] {
            let mut log = Lines(Vec::new());
            log.write_all(said.as_bytes()).expect("memory takes all");
            assert_eq!(String::from_utf8_lossy(&log.0), written);
        }
        let mut log = Lines(Vec::new());
        log.write_all(b"\xff\n\xfe\n").expect("memory takes all");
        assert_eq!(log.0.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}

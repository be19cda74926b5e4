//! The lines of asciicast v2: a head, then one event after the other, each with
//! the seconds since the beginning. Input is never one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// Longest that one byte of output can become in a line: `\u001b`.
pub const WORST: usize = 6;

/// The first line.
#[derive(Clone, Debug, Serialize)]
pub struct Head {
    version: u8,
    width: i64,
    height: i64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
    title: String,
    env: BTreeMap<&'static str, &'static str>,
}

impl Head {
    /// A terminal of this many columns and rows that began at this second of
    /// Unix time and lasted for so many seconds, where that is known.
    pub fn new(size: (i64, i64), timestamp: i64, duration: Option<f64>, title: String) -> Self {
        let env = BTreeMap::from([("TERM", "xterm-256color")]);
        Self { version: 2, width: size.0, height: size.1, timestamp, duration, command: None, title, env }
    }

    /// With what ran in it.
    #[must_use]
    pub fn command(self, command: Option<String>) -> Self {
        Self { command, ..self }
    }

    /// The line.
    pub fn line(&self) -> String {
        with_end(serde_json::to_string(self).expect("texts and numbers have a JSON form"))
    }
}

/// The line of something that was printed.
pub fn output(at: Duration, text: &str) -> String {
    event(at, "o", text)
}

/// The line of another size.
pub fn resize(at: Duration, columns: u16, rows: u16) -> String {
    event(at, "r", &format!("{columns}x{rows}"))
}

/// The line of a mark, with what it says.
pub fn mark(at: Duration, text: &str) -> String {
    event(at, "m", text)
}

fn event(at: Duration, kind: &str, text: &str) -> String {
    let micros = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
    let text = serde_json::to_string(text).expect("a text has a JSON form");
    format!("[{}.{:06},\"{kind}\",{text}]\n", micros / 1_000_000, micros % 1_000_000)
}

fn with_end(mut line: String) -> String {
    line.push('\n');
    line
}

/// Makes text of bytes that may be cut anywhere. What is no UTF-8 becomes the
/// character that stands for it.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a character whose end has not come: three bytes at most.
    begun: Vec<u8>,
}

impl Decoder {
    /// The text of these bytes and those that waited for them.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut text = String::with_capacity(all.len());
        for chunk in all.utf8_chunks() {
            text.push_str(chunk.valid());
            let invalid = chunk.invalid();
            let is_last = std::ptr::eq(invalid.as_ptr_range().end, all.as_ptr_range().end);
            match is_last && may_go_on(invalid) {
                true => self.begun = invalid.to_vec(),
                false if invalid.is_empty() => {}
                false => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        text
    }

    /// What is left when nothing more comes.
    pub fn finish(&mut self) -> String {
        let is_cut = !std::mem::take(&mut self.begun).is_empty();
        if is_cut { char::REPLACEMENT_CHARACTER.to_string() } else { String::new() }
    }
}

/// Whether these bytes at the end may be the beginning of a character.
fn may_go_on(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_format_has_them() {
        let head =
            Head::new((80, 24), 1_777_852_800, Some(2.5), "bash in web on site".into()).command(Some("bash".into()));
        let line = "{\"version\":2,\"width\":80,\"height\":24,\"timestamp\":1777852800,\"duration\":2.5,\
                    \"command\":\"bash\",\"title\":\"bash in web on site\",\"env\":{\"TERM\":\"xterm-256color\"}}\n";
        assert_eq!(head.line(), line);
        assert_eq!(
            output(Duration::from_micros(1_000_042), "\u{1b}[1mé\"\r\n"),
            "[1.000042,\"o\",\"\\u001b[1mé\\\"\\r\\n\"]\n"
        );
        assert_eq!(resize(Duration::ZERO, 132, 43), "[0.000000,\"r\",\"132x43\"]\n");
        assert_eq!(mark(Duration::from_secs(61), "full"), "[61.000000,\"m\",\"full\"]\n");
    }

    #[test]
    fn characters_are_whole_wherever_the_bytes_were_cut() {
        let printed = "zażółć 漢字 🦀 end".as_bytes();
        for size in 1..=printed.len() {
            let mut decoder = Decoder::default();
            let mut text: String = printed.chunks(size).map(|chunk| decoder.push(chunk)).collect();
            text.push_str(&decoder.finish());
            assert_eq!(text.as_bytes(), printed, "in pieces of {size}");
        }
    }

    #[test]
    fn what_is_no_text_is_told_and_keeps_nothing_waiting() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.push(b"a\xffb\xc3(c"), "a\u{fffd}b\u{fffd}(c");
        assert_eq!(decoder.push(b"\xe2\x82"), "");
        assert_eq!(decoder.push(b"x"), "\u{fffd}x");
        assert_eq!(decoder.push(b"\xf0\x9f\xa6"), "");
        assert_eq!(decoder.finish(), "\u{fffd}");
        assert_eq!(decoder.finish(), "");
    }
}

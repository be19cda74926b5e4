//! What a stream of kind Logs carries: the hub's one request, then what a
//! container said, line by line, until an end and its reason. The hub keeps its
//! direction open for as long as it reads.

use serde::{Deserialize, Serialize};

use crate::codec::{Message, Tail};
use crate::limits::{LOGS_REQUEST_MAX, MESSAGE_MAX};

/// Which lines of which container the hub wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsRequest {
    /// The container's id or name.
    pub container: String,
    /// Whether its standard output is wanted.
    pub stdout: bool,
    /// Whether its standard error is wanted.
    pub stderr: bool,
    /// Only lines from this moment on, in nanoseconds since the start of 1970.
    pub since: Option<i64>,
    /// Only lines up to this moment.
    pub until: Option<i64>,
    /// At most so many of the lines that were there before the request, the
    /// last ones; all without it.
    pub tail: Option<u32>,
    /// What follows those lines.
    pub pace: LogPace,
    /// Which of the lines cross the link.
    pub filter: LogFilter,
}

/// How far a log is read, and what happens when its reader is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogPace {
    /// What is there, every byte of it; a slow reader slows the engine down.
    Whole,
    /// What is there and what comes. Of what comes the agent leaves out and
    /// counts what a slow reader does not take in time, and it cuts long lines.
    Followed,
    /// What is there, with long lines cut.
    Shown,
}

/// Which lines are wanted. The agent looks at the first
/// [`LOG_LINE_MAX`](crate::limits::LOG_LINE_MAX) bytes of each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFilter {
    /// All of them.
    All,
    /// Those that contain this text.
    Text {
        /// The text.
        text: String,
        /// Whether capital and small letters are the same.
        ignore_case: bool,
    },
    /// Those that this regular expression finds something in.
    Pattern {
        /// The expression, in the syntax of Rust's `regex` crate.
        pattern: String,
        /// Whether capital and small letters are the same.
        ignore_case: bool,
    },
}

impl Message for LogsRequest {
    const NAME: &'static str = "request for logs";
    const LIMIT: usize = LOGS_REQUEST_MAX;
    const TAIL: Tail = Tail::Ignored;
}

/// What the agent answers. New variants are appended; a hub passes over the
/// ones it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogsEvent {
    /// Some lines, in the order in which the engine gave them.
    Lines(LogBatch),
    /// What was there before the request has been sent: from now on lines come
    /// as the container says them. Only where the log is followed.
    CaughtUp,
    /// Nothing more comes.
    Ended(LogsEnd),
}

impl Message for LogsEvent {
    const NAME: &'static str = "part of a log";
    const LIMIT: usize = MESSAGE_MAX;
    const VARIANTS: Option<u32> = Some(3);
}

/// Lines that travel together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogBatch {
    /// How many lines were left out before the first of these.
    pub skipped: u64,
    /// The lines.
    pub lines: Vec<LogLine>,
    /// Their texts, one behind the other.
    #[serde(with = "in_one_piece")]
    pub text: Vec<u8>,
}

/// One line without its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When the engine heard it, in nanoseconds since the start of 1970, by the
    /// host's clock.
    pub time: i64,
    /// Where the container said it.
    pub stream: LogStream,
    /// How much of it this is.
    pub part: LogPart,
    /// Bytes of its text, the line's end not included.
    pub length: u32,
}

/// Where a container said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LogStream {
    /// On standard output, or on its terminal.
    Stdout,
    /// On standard error.
    Stderr,
}

/// How much of a line is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogPart {
    /// All of it, or its last part.
    Whole,
    /// Its beginning; the rest was left out.
    Cut,
    /// A part; the next line of the same stream goes on with it.
    Continued,
}

impl LogBatch {
    /// The lines with their texts; `None` where the lengths do not fit, as no
    /// agent of this build sends it.
    pub fn lines(&self) -> Option<impl Iterator<Item = (LogLine, &[u8])>> {
        let needed = self.lines.iter().map(|line| line.length as usize).sum::<usize>();
        (needed == self.text.len()).then(|| {
            self.lines.iter().scan(self.text.as_slice(), |rest, line| {
                let (text, behind) = rest.split_at(line.length as usize);
                *rest = behind;
                Some((*line, text))
            })
        })
    }
}

/// Why nothing more comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogsEnd {
    /// All that was asked for has been sent.
    Complete,
    /// The container that was followed does not run any more.
    Stopped,
    /// The container that was followed was removed.
    Removed,
    /// There is no such container.
    NotFound,
    /// The engine keeps no log that can be read, or will not read it.
    Unreadable {
        /// The engine's own words.
        message: String,
    },
    /// The filter's expression is none, or is too large.
    BadFilter {
        /// What is wrong with it, and where.
        message: String,
    },
    /// The engine does not answer.
    EngineSilent,
    /// The engine went away, or said what makes no sense.
    EngineGone,
}

/// Bytes that are copied whole, not one by one.
mod in_one_piece {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(length: u32) -> LogLine {
        LogLine { time: 1, stream: LogStream::Stdout, part: LogPart::Whole, length }
    }

    #[test]
    fn a_batch_gives_each_line_its_text() {
        let batch = LogBatch { skipped: 0, lines: vec![line(2), line(0), line(3)], text: b"abcde".to_vec() };
        let texts: Vec<&[u8]> = batch.lines().unwrap().map(|(_, text)| text).collect();
        assert_eq!(texts, [b"ab".as_slice(), b"", b"cde"]);
    }

    #[test]
    fn a_batch_whose_lengths_do_not_fit_gives_nothing() {
        for text in [b"abcd".as_slice(), b"abcdef"] {
            let batch = LogBatch { skipped: 0, lines: vec![line(5)], text: text.to_vec() };
            assert!(batch.lines().is_none());
        }
    }
}

//! An engine's answer as pieces of lines with their times, however the answer is
//! cut on its way.
//!
//! The log of a container without a terminal comes in frames: eight bytes, the
//! last four of which are a length, and a text. That of a container with one
//! comes bare. In both, each message begins with its time, since that was asked
//! for; so the first byte of an answer tells which of the two it is.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use windflow_protocol::message::logs::LogStream;

/// What stands before each frame, in bytes.
const HEADER: usize = 8;
/// Longest time with its zone, in bytes.
const TIME_MAX: usize = 40;
/// A message of this many bytes ends without a line's end, and the next one,
/// with a time of its own, goes on with the line.
const MESSAGE_MAX: usize = 16 * 1024;

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// Where it was said.
    pub(super) stream: LogStream,
    /// When, in nanoseconds since the start of 1970.
    pub(super) time: i64,
    /// What was said, without the line's end.
    pub(super) text: &'a [u8],
    /// Whether the line ends here.
    pub(super) ends: bool,
}

/// The answer is no log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's log makes no sense")]
pub(super) struct Nonsense;

/// Reads an answer. It holds no more than the time of one message.
#[derive(Debug)]
pub(super) struct Parser {
    place: Place,
    /// A header or a time that has not come whole yet.
    head: Vec<u8>,
    /// The last time that was read.
    time: i64,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Frames,
    Bare,
}

/// What the next byte belongs to. `left` are the bytes of the message to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Beginning,
    Header,
    Time { stream: LogStream, left: usize },
    Text { stream: LogStream, left: usize },
}

impl Parser {
    pub(super) fn new() -> Self {
        Self { place: Place::Beginning, head: Vec::with_capacity(TIME_MAX), time: 0, form: Form::Frames }
    }

    /// Takes the next bytes of the answer and gives the pieces in them.
    ///
    /// # Errors
    /// [`Nonsense`] where a frame has a kind that there is not.
    pub(super) fn feed(&mut self, mut bytes: &[u8], give: &mut impl FnMut(Piece<'_>)) -> Result<(), Nonsense> {
        while let Some(first) = bytes.first() {
            bytes = match self.place {
                Place::Beginning => {
                    // A time begins with a digit; the numbers of streams are below those.
                    self.form = if first.is_ascii_digit() { Form::Bare } else { Form::Frames };
                    self.begin();
                    bytes
                }
                Place::Header => self.header(bytes)?,
                Place::Time { stream, left } => self.time(bytes, stream, left, give),
                Place::Text { stream, left } => self.text(bytes, stream, left, give),
            };
        }
        Ok(())
    }

    /// A new message.
    fn begin(&mut self) {
        self.place = match self.form {
            Form::Frames => Place::Header,
            Form::Bare => self.bare_message(),
        };
    }

    const fn bare_message(&self) -> Place {
        Place::Time { stream: LogStream::Stdout, left: TIME_MAX + MESSAGE_MAX }
    }

    fn header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], Nonsense> {
        let (taken, rest) = bytes.split_at(bytes.len().min(HEADER - self.head.len()));
        self.head.extend_from_slice(taken);
        let Ok(header) = <[u8; HEADER]>::try_from(self.head.as_slice()) else {
            return Ok(rest);
        };
        self.head.clear();
        let [kind, _, _, _, length @ ..] = header;
        let left = u32::from_be_bytes(length) as usize;
        self.place = match kind {
            _ if left == 0 => Place::Header,
            0 | 1 => Place::Time { stream: LogStream::Stdout, left },
            2 => Place::Time { stream: LogStream::Stderr, left },
            // What the engine itself has to say of the log; it has no time.
            3 => Place::Text { stream: LogStream::Stderr, left },
            _ => return Err(Nonsense),
        };
        Ok(rest)
    }

    /// A message's time ends with a space. What does not look like a time is
    /// the text already.
    fn time<'a>(
        &mut self,
        bytes: &'a [u8],
        stream: LogStream,
        left: usize,
        give: &mut impl FnMut(Piece<'_>),
    ) -> &'a [u8] {
        let room = left.min(TIME_MAX - self.head.len()).min(bytes.len());
        let digits = bytes[..room].iter().take_while(|byte| is_of_time(**byte)).count();
        self.head.extend_from_slice(&bytes[..digits]);
        let (left, rest) = (left - digits, &bytes[digits..]);
        if rest.is_empty() && left > 0 && self.head.len() < TIME_MAX {
            self.place = Place::Time { stream, left };
            return rest;
        }
        let head = std::mem::take(&mut self.head);
        if left > 0
            && let Some((b' ', text)) = rest.split_first()
            && let Some(time) = read_time(&head)
        {
            self.time = time;
            self.enter_text(stream, left - 1);
            return text;
        }
        if !head.is_empty() {
            give(Piece { stream, time: self.time, text: &head, ends: false });
        }
        self.enter_text(stream, left);
        rest
    }

    /// The text of a message. A bare one has no length but the longest.
    fn enter_text(&mut self, stream: LogStream, left: usize) {
        let left = match self.form {
            Form::Frames => left,
            Form::Bare => MESSAGE_MAX,
        };
        self.place = Place::Text { stream, left };
        if left == 0 {
            self.begin();
        }
    }

    fn text<'a>(
        &mut self,
        bytes: &'a [u8],
        stream: LogStream,
        left: usize,
        give: &mut impl FnMut(Piece<'_>),
    ) -> &'a [u8] {
        let here = &bytes[..left.min(bytes.len())];
        let end = here.iter().position(|byte| *byte == b'\n');
        let text = &here[..end.unwrap_or(here.len())];
        give(Piece { stream, time: self.time, text, ends: end.is_some() });
        let taken = text.len() + usize::from(end.is_some());
        let left = left - taken;
        self.place = match self.form {
            Form::Frames if left == 0 => Place::Header,
            Form::Frames => Place::Text { stream, left },
            Form::Bare if end.is_some() => self.bare_message(),
            // The line goes on in a message of its own, unless it ends with this one.
            Form::Bare if left == 0 => self.bare_message(),
            Form::Bare => Place::Text { stream, left },
        };
        &bytes[taken..]
    }
}

const fn is_of_time(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'T' | b':' | b'.' | b'Z' | b'+')
}

fn read_time(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_750_000_000_000_000_000;
    const TIME: &str = "2025-06-15T15:06:40.000000000Z";

    fn frame(kind: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&[kind, 0, 0, 0], length.to_be_bytes().as_slice(), text.as_bytes()].concat()
    }

    /// The lines of an answer that comes in pieces of this size.
    fn lines(answer: &[u8], size: usize) -> Vec<(LogStream, i64, String)> {
        let mut parser = Parser::new();
        let mut open = [String::new(), String::new()];
        let mut lines = Vec::new();
        for piece in answer.chunks(size) {
            let mut give = |piece: Piece<'_>| {
                let line = &mut open[piece.stream as usize];
                line.push_str(std::str::from_utf8(piece.text).unwrap());
                if piece.ends {
                    lines.push((piece.stream, piece.time, std::mem::take(line)));
                }
            };
            parser.feed(piece, &mut give).unwrap();
        }
        lines
    }

    fn the_same_however_it_is_cut(answer: &[u8]) -> Vec<(LogStream, i64, String)> {
        let whole = lines(answer, answer.len());
        for size in [1, 2, 3, 7, 8, 9, 31, 64, 1000] {
            assert_eq!(lines(answer, size), whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let answer = [
            frame(1, &format!("{TIME} out\n")),
            frame(2, "2025-06-15T15:06:40.000000001Z err\n"),
            frame(1, &format!("{TIME} \n")),
            frame(1, "2025-06-15T17:06:41+02:00  with spaces 12:30\n"),
        ];
        let found = the_same_however_it_is_cut(&answer.concat());
        let expected = [
            (LogStream::Stdout, SECOND, "out"),
            (LogStream::Stderr, SECOND + 1, "err"),
            (LogStream::Stdout, SECOND, ""),
            (LogStream::Stdout, SECOND + 1_000_000_000, " with spaces 12:30"),
        ];
        assert_eq!(found, expected.map(|(stream, time, text)| (stream, time, text.to_owned())));
    }

    #[test]
    fn a_terminals_log_is_read_however_it_is_cut() {
        let answer = format!("{TIME} one\r\n{TIME} \r\n2025-06-15T15:06:41Z 2025-06-15T15:06:40Z two\r\n");
        let found = the_same_however_it_is_cut(answer.as_bytes());
        let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(texts, ["one\r", "\r", "2025-06-15T15:06:40Z two\r"]);
        assert_eq!(found[2].1, SECOND + 1_000_000_000);
    }

    #[test]
    fn a_line_of_several_messages_has_their_times_taken_out() {
        let long = "x".repeat(MESSAGE_MAX);
        let frames = [frame(1, &format!("{TIME} {long}")), frame(1, &format!("{TIME} end\n"))].concat();
        let bare = format!("{TIME} {long}{TIME} end\n");
        for answer in [frames.as_slice(), bare.as_bytes()] {
            let found = the_same_however_it_is_cut(answer);
            assert_eq!(found.len(), 1);
            assert!(found[0].2 == format!("{long}end"));
        }
    }

    #[test]
    fn a_line_as_long_as_a_message_ends_where_it_ends() {
        let long = "x".repeat(MESSAGE_MAX);
        let found = the_same_however_it_is_cut(format!("{TIME} {long}\n{TIME} next\n").as_bytes());
        assert!(found[0].2 == long);
        assert_eq!(found[1].2, "next");
    }

    #[test]
    fn a_message_without_a_time_is_text_and_has_the_last_one() {
        let answer =
            [frame(1, &format!("{TIME} a\n")), frame(1, "12:30 is no time\n"), frame(3, "Error grabbing logs\n")];
        let found = the_same_however_it_is_cut(&answer.concat());
        let texts: Vec<&str> = found.iter().map(|(_, _, text)| text.as_str()).collect();
        assert_eq!(texts, ["a", "12:30 is no time", "Error grabbing logs"]);
        assert!(found.iter().all(|(_, time, _)| *time == SECOND));
    }

    #[test]
    fn what_is_no_log_is_refused() {
        assert_eq!(Parser::new().feed(b"{\"message\":\"no\"}", &mut |_| {}), Err(Nonsense));
        assert_eq!(Parser::new().feed(&frame(9, "x"), &mut |_| {}), Err(Nonsense));
    }
}

//! Whole lines out of pieces: of bounded length, those that are wanted.

use windflow_protocol::limits::LOG_LINE_MAX;
use windflow_protocol::message::logs::{LogPart, LogStream};

use super::filter::Filter;
use super::parse::Piece;

/// A line, or as much of it as travels in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) stream: LogStream,
    pub(super) time: i64,
    pub(super) part: LogPart,
    pub(super) text: &'a [u8],
}

/// What becomes of a line beyond [`LOG_LINE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It is left out.
    Cut,
    /// It follows in further parts.
    Sent,
}

/// Puts lines together. It holds at most one line of each stream.
#[derive(Debug)]
pub(super) struct Lines {
    filter: Filter,
    rest: Rest,
    stdout: Open,
    stderr: Open,
    /// Lines that have begun, wanted or not.
    begun: u64,
}

/// A line that has not ended.
#[derive(Debug, Default)]
struct Open {
    time: i64,
    text: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing of the line is known yet.
    #[default]
    None,
    /// Its first part is being put together.
    First,
    /// It is wanted, and parts of it have been given.
    Further,
    /// The rest of it is not wanted.
    Dropped,
}

impl Lines {
    pub(super) fn new(filter: Filter, rest: Rest) -> Self {
        Self { filter, rest, stdout: Open::default(), stderr: Open::default(), begun: 0 }
    }

    /// How many lines have begun, whether they are wanted or not.
    pub(super) const fn begun(&self) -> u64 {
        self.begun
    }

    /// Takes a piece, and gives each line that it completes or fills.
    pub(super) fn add(&mut self, piece: Piece<'_>, give: &mut impl FnMut(Line<'_>)) {
        let Self { filter, rest, stdout, stderr, begun } = self;
        let open = match piece.stream {
            LogStream::Stdout => stdout,
            LogStream::Stderr => stderr,
        };
        if open.state == State::None {
            *begun += 1;
            open.time = piece.time;
            open.state = State::First;
        }
        open.add(piece, filter, *rest, give);
    }

    /// The answer has ended: gives the lines that have no end.
    pub(super) fn finish(&mut self, give: &mut impl FnMut(Line<'_>)) {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            let open = match stream {
                LogStream::Stdout => &self.stdout,
                LogStream::Stderr => &self.stderr,
            };
            if open.state != State::None {
                self.add(Piece { stream, time: open.time, text: b"", ends: true }, give);
            }
        }
    }
}

impl Open {
    fn add(&mut self, piece: Piece<'_>, filter: &Filter, rest: Rest, give: &mut impl FnMut(Line<'_>)) {
        let stream = piece.stream;
        let mut text = piece.text;
        // Room is made only for what comes behind a full part.
        while self.state != State::Dropped && self.text.len() + text.len() > LOG_LINE_MAX {
            let (here, behind) = text.split_at(LOG_LINE_MAX - self.text.len());
            self.text.extend_from_slice(here);
            text = behind;
            let part = match rest {
                Rest::Cut => LogPart::Cut,
                Rest::Sent => LogPart::Continued,
            };
            let is_given = self.give(stream, part, filter, give);
            self.state = if is_given && rest == Rest::Sent { State::Further } else { State::Dropped };
        }
        if self.state != State::Dropped {
            self.text.extend_from_slice(text);
        }
        if piece.ends {
            if self.state != State::Dropped {
                self.give(stream, LogPart::Whole, filter, give);
            }
            self.state = State::None;
        }
    }

    /// Gives what is there, if the line is wanted.
    fn give(&mut self, stream: LogStream, part: LogPart, filter: &Filter, give: &mut impl FnMut(Line<'_>)) -> bool {
        let is_wanted = self.state == State::Further || filter.wants(&self.text);
        if is_wanted {
            give(Line { stream, time: self.time, part, text: &self.text });
        }
        self.text.clear();
        is_wanted
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::logs::LogFilter;

    use super::*;

    fn filter(text: &str) -> Filter {
        Filter::new(&LogFilter::Text { text: text.to_owned(), ignore_case: false }).unwrap()
    }

    fn piece(text: &[u8], ends: bool) -> Piece<'_> {
        Piece { stream: LogStream::Stdout, time: 7, text, ends }
    }

    fn given(lines: &mut Lines, pieces: &[Piece<'_>]) -> Vec<(LogPart, Vec<u8>)> {
        let mut given = Vec::new();
        for piece in pieces {
            lines.add(*piece, &mut |line| given.push((line.part, line.text.to_vec())));
        }
        lines.finish(&mut |line| given.push((line.part, line.text.to_vec())));
        given
    }

    #[test]
    fn the_two_streams_do_not_mix() {
        let mut lines = Lines::new(filter(""), Rest::Cut);
        let err = Piece { stream: LogStream::Stderr, ..piece(b"err", true) };
        let found = given(&mut lines, &[piece(b"o", false), err, piece(b"ut", true), piece(b"no end", false)]);
        let texts: Vec<&[u8]> = found.iter().map(|(_, text)| text.as_slice()).collect();
        assert_eq!(texts, [b"err".as_slice(), b"out", b"no end"]);
        assert_eq!(lines.begun(), 3);
    }

    #[test]
    fn a_long_line_is_cut_once_and_its_end_is_still_found() {
        let long = vec![b'x'; LOG_LINE_MAX * 3];
        let mut lines = Lines::new(filter(""), Rest::Cut);
        let found = given(&mut lines, &[piece(&long, false), piece(b"y", true), piece(b"next", true)]);
        assert_eq!(found.len(), 2);
        assert!(found[0] == (LogPart::Cut, vec![b'x'; LOG_LINE_MAX]));
        assert_eq!(found[1], (LogPart::Whole, b"next".to_vec()));
    }

    #[test]
    fn a_line_that_just_fits_is_whole() {
        let full = vec![b'x'; LOG_LINE_MAX];
        let found = given(&mut Lines::new(filter(""), Rest::Cut), &[piece(&full, false), piece(b"", true)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, LogPart::Whole);
    }

    #[test]
    fn a_long_line_that_is_wanted_whole_comes_in_parts_and_nothing_of_it_is_lost() {
        let long: Vec<u8> = (0..LOG_LINE_MAX * 2 + 5).map(|place| b'a' + (place % 26) as u8).collect();
        let mut lines = Lines::new(filter("abc"), Rest::Sent);
        let pieces: Vec<Piece<'_>> = long.chunks(1000).map(|text| piece(text, false)).collect();
        let found = given(&mut lines, &[pieces, vec![piece(b"", true)]].concat());
        let parts: Vec<LogPart> = found.iter().map(|(part, _)| *part).collect();
        assert_eq!(parts, [LogPart::Continued, LogPart::Continued, LogPart::Whole]);
        assert!(found.into_iter().flat_map(|(_, text)| text).eq(long));
    }

    #[test]
    fn only_lines_that_are_wanted_are_given_and_all_are_counted() {
        let mut lines = Lines::new(filter("b"), Rest::Sent);
        let long = vec![b'a'; LOG_LINE_MAX + 1];
        let found =
            given(&mut lines, &[piece(b"abc", true), piece(b"x", true), piece(&long, false), piece(b"b", true)]);
        assert_eq!(found, [(LogPart::Whole, b"abc".to_vec())]);
        assert_eq!(lines.begun(), 3);
    }
}

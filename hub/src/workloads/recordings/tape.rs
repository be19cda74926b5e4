//! What of one recording was not written yet, and its bounds. Knows no database
//! and no clock.

use std::time::Duration;

use windflow_protocol::asciicast::{self, Decoder, WORST};

/// Most bytes of one recording as text. What follows is not in it, and it says
/// so.
pub const RECORDING_MAX: u64 = 16 * 1024 * 1024;
/// From this many bytes on that wait to be written, the terminal's program
/// waits, too.
pub const WAITING_MAX: usize = 256 * 1024;
/// From this many on they are written at once.
const PRESSING: usize = 64 * 1024;
/// Most bytes of output that come at once.
const OUTPUT_MAX: usize = 16 * 1024;
/// Most bytes that are ever written at once: those that wait, and the last that
/// came when there was still room.
pub const CHUNK_MAX: usize = WAITING_MAX + OUTPUT_MAX * WORST + 256;

/// What the last line of a recording says that is full.
const FULL: &str = "The recording is full. What follows is not in it.";

/// How a recording goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It is being made.
    On,
    /// Its terminal ended: what waits is still to be written.
    Over,
    /// Its terminal never began: there is nothing to keep.
    Void,
    /// All of it is written.
    Kept,
    /// It cannot be written: its terminal ends.
    Failing,
    /// It could not be written, and that is all there will be of it.
    Broken,
}

/// A recording between its terminal and the database.
#[derive(Debug)]
pub struct Tape {
    waiting: String,
    decoder: Decoder,
    size: (u16, u16),
    /// Bytes of all lines so far.
    bytes: u64,
    /// When the last thing happened, since the beginning.
    last: Duration,
    is_cut: bool,
    /// How it goes on.
    pub course: Course,
}

/// What is to be written, and how far the recording is with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    /// Whole lines.
    pub lines: String,
    /// How long the recording is.
    pub lasted: Duration,
    /// Bytes of all its lines.
    pub bytes: u64,
    /// Whether there was more than it may have.
    pub is_cut: bool,
}

impl Tape {
    /// Nothing happened yet; the terminal has this many columns and rows.
    pub fn new(size: (u16, u16)) -> Self {
        Self {
            waiting: String::new(),
            decoder: Decoder::default(),
            size,
            bytes: 0,
            last: Duration::ZERO,
            is_cut: false,
            course: Course::On,
        }
    }

    /// Takes what was printed.
    pub fn print(&mut self, at: Duration, bytes: &[u8]) {
        if self.takes() {
            let text = self.decoder.push(bytes);
            self.add_output(at, &text);
        }
    }

    /// Takes how large the terminal is shown from now on.
    pub fn resize(&mut self, at: Duration, size: (u16, u16)) {
        if self.takes() && self.size != size {
            self.size = size;
            self.add(at, &asciicast::resize(at, size.0, size.1));
        }
    }

    /// The terminal ended.
    pub fn end(&mut self, at: Duration) {
        if self.course == Course::On {
            let rest = self.decoder.finish();
            self.add_output(at, &rest);
            self.last = at;
            self.course = Course::Over;
        }
    }

    /// Takes out what waits.
    pub fn take(&mut self) -> Part {
        let lines = std::mem::take(&mut self.waiting);
        Part { lines, lasted: self.last, bytes: self.bytes, is_cut: self.is_cut }
    }

    /// Whether more can be had without going beyond what may wait. A recording
    /// that is not made any more holds nobody up.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX || self.course != Course::On
    }

    /// Whether there is something to write.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether it is to be written now.
    pub fn is_pressing(&self) -> bool {
        self.waiting.len() >= PRESSING || self.course != Course::On
    }

    /// Whether it is full.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    fn takes(&self) -> bool {
        self.course == Course::On && !self.is_cut
    }

    fn add_output(&mut self, at: Duration, text: &str) {
        if !text.is_empty() {
            self.add(at, &asciicast::output(at, text));
        }
    }

    fn add(&mut self, at: Duration, line: &str) {
        if self.is_cut {
            return;
        }
        self.is_cut = self.bytes + line.len() as u64 > RECORDING_MAX;
        let full;
        let line = match self.is_cut {
            true => {
                full = asciicast::mark(at, FULL);
                &full
            }
            false => line,
        };
        self.waiting.push_str(line);
        self.bytes += line.len() as u64;
        self.last = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_happens_is_taken_in_its_order_and_written_once() {
        let mut tape = Tape::new((80, 24));
        tape.resize(at(1), (80, 24));
        assert!(!tape.has_waiting(), "it is of that size already");
        tape.print(at(5), "né".as_bytes());
        tape.resize(at(7), (100, 30));
        assert!(tape.has_waiting() && !tape.is_pressing());
        let part = tape.take();
        assert_eq!(part.lines, "[0.005000,\"o\",\"né\"]\n[0.007000,\"r\",\"100x30\"]\n");
        assert_eq!((part.lasted, part.bytes), (at(7), part.lines.len() as u64));
        tape.print(at(8), b"\xc3");
        assert!(!tape.has_waiting(), "half a character is not written");
        tape.end(at(2_000));
        assert!(tape.is_pressing());
        tape.print(at(2_001), b"after the end");
        let last = tape.take();
        assert_eq!((last.lines.as_str(), last.lasted), ("[2.000000,\"o\",\"\u{fffd}\"]\n", at(2_000)));
    }

    #[test]
    fn a_full_recording_says_so_once_and_keeps_to_its_bound() {
        let mut tape = Tape::new((80, 24));
        let mut all = String::new();
        for millis in 0..400 {
            tape.print(at(millis), &[0x1b; OUTPUT_MAX]);
            assert!(tape.waiting.len() <= CHUNK_MAX);
            all.push_str(&tape.take().lines);
        }
        assert!(tape.is_cut());
        assert!(all.len() as u64 <= RECORDING_MAX + 256);
        assert_eq!(all.matches(FULL).count(), 1);
        assert!(all.trim_end().lines().last().unwrap().contains("\"m\""));
        tape.resize(at(500), (1, 1));
        assert!(!tape.has_waiting());
    }

    #[test]
    fn what_is_not_written_holds_the_program_up_unless_nobody_writes_any_more() {
        let mut tape = Tape::new((80, 24));
        while tape.has_room() {
            tape.print(at(0), &[b'x'; OUTPUT_MAX]);
        }
        assert!(tape.is_pressing() && tape.waiting.len() <= CHUNK_MAX);
        tape.course = Course::Broken;
        assert!(tape.has_room());
        let before = tape.waiting.len();
        tape.print(at(1), b"more");
        assert_eq!(tape.waiting.len(), before);
    }
}

//! What a job says, line by line: the last of it is kept, each line under its
//! number, so that whoever was away goes on where they were.

use std::collections::VecDeque;

use serde::Serialize;
use utoipa::ToSchema;

/// Most bytes that are kept of one job's output.
const OUTPUT_MAX: usize = 128 * 1024;
/// Most bytes of one line; the rest of it is left out.
const LINE_MAX: usize = 4 * 1024;

/// The last lines of an output.
#[derive(Clone, Debug, Default)]
pub struct Output {
    lines: VecDeque<String>,
    /// Lines that were said and are no longer kept.
    skipped: u64,
    /// Bytes of all lines, their ends included.
    bytes: usize,
}

/// Lines from a place of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Excerpt {
    /// The number of the first line here. A larger one than was asked for says
    /// that lines before it are no longer kept.
    pub from: u64,
    /// The lines.
    pub lines: Vec<String>,
}

impl Excerpt {
    /// The lines as one text.
    pub fn text(&self) -> String {
        self.lines.iter().fold(String::new(), |text, line| text + line + "\n")
    }
}

impl Output {
    /// Adds a line, without what a terminal would act on.
    pub fn say(&mut self, line: &str) {
        let clean = |c: &char| !c.is_control() || *c == '\t';
        let mut kept = String::new();
        for c in line.chars().filter(clean) {
            if kept.len() + c.len_utf8() > LINE_MAX {
                break;
            }
            kept.push(c);
        }
        self.bytes += kept.len() + 1;
        self.lines.push_back(kept);
        while self.bytes > OUTPUT_MAX {
            let Some(first) = self.lines.pop_front() else { break };
            self.bytes -= first.len() + 1;
            self.skipped += 1;
        }
    }

    /// How many lines were said.
    pub fn said(&self) -> u64 {
        self.skipped + self.lines.len() as u64
    }

    /// How many of them are no longer kept.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The lines from this number on, as far as they are kept.
    pub fn from(&self, number: u64) -> Excerpt {
        let from = number.clamp(self.skipped, self.said());
        let passed = usize::try_from(from - self.skipped).unwrap_or(usize::MAX);
        Excerpt { from, lines: self.lines.iter().skip(passed).cloned().collect() }
    }

    /// All lines as one text.
    pub fn text(&self) -> String {
        self.from(0).text()
    }

    /// An output that was written down.
    pub fn restored(text: &str, skipped: u64) -> Self {
        let lines: VecDeque<String> = text.lines().map(str::to_owned).collect();
        Self { lines, skipped, bytes: text.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_from_any_number_that_is_still_kept() {
        let mut output = Output::default();
        for line in ["a", "b", "c"] {
            output.say(line);
        }
        assert_eq!(output.from(1), Excerpt { from: 1, lines: vec!["b".into(), "c".into()] });
        assert_eq!(output.from(99), Excerpt { from: 3, lines: vec![] });
        assert_eq!(output.text(), "a\nb\nc\n");
    }

    #[test]
    fn only_the_last_lines_are_kept_and_the_numbers_go_on() {
        let mut output = Output::default();
        let line = "x".repeat(1023);
        for _ in 0..200 {
            output.say(&line);
        }
        assert_eq!((output.said(), output.skipped()), (200, 72));
        assert_eq!(output.text().len(), OUTPUT_MAX);
        let first = output.from(0);
        assert_eq!((first.from, first.lines.len()), (72, 128));
    }

    #[test]
    fn a_line_is_cut_and_has_nothing_that_a_terminal_acts_on() {
        let mut output = Output::default();
        output.say("a\u{1b}[2J\0\tb\n");
        output.say(&"é".repeat(LINE_MAX));
        let lines = output.from(0).lines;
        assert_eq!(lines[0], "a[2J\tb");
        assert_eq!(lines[1].len(), LINE_MAX);
    }

    #[test]
    fn what_was_written_down_is_read_under_the_same_numbers() {
        let mut output = Output::default();
        output.say("a");
        output.say("");
        let restored = Output::restored(&output.text(), 5);
        assert_eq!(restored.said(), 7);
        assert_eq!(restored.from(6).lines, [""]);
        assert_eq!(Output::restored("", 0).said(), 0);
    }
}

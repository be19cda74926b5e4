//! What a terminal has shown and what waits to be typed, by the number of each
//! byte: whoever comes back says how far they are and goes on from there. Knows
//! no socket and no engine.

use std::collections::VecDeque;

use serde::Serialize;
use tokio::time::Instant;

use super::model::{Ending, Size, Why};

/// Most bytes of output that are kept: what a page that is loaded again shows.
pub const SCROLLBACK_MAX: usize = 256 * 1024;
/// Most bytes that are read from the program at once.
pub const CHUNK_MAX: usize = 16 * 1024;
/// Most bytes of input that wait for the program to take them.
pub const INPUT_MAX: usize = 64 * 1024;

/// Whether what is printed is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// It is.
    On,
    /// It was, until there was more than a recording may have.
    Full,
}

/// What the two ends of a terminal share.
#[derive(Debug)]
pub struct Screen {
    output: VecDeque<u8>,
    /// The number of the first byte after the output.
    printed: u64,
    input: VecDeque<u8>,
    /// How many bytes of input were taken from browsers.
    taken: u64,
    viewer: Option<Viewer>,
    /// How many viewers there have been.
    viewers: u64,
    /// How large it is shown.
    pub size: Size,
    /// When something was typed last.
    pub typed_at: Instant,
    /// Whether it is recorded, where that was asked for.
    pub recorded: Option<Recorded>,
    /// Why somebody wants it to end.
    pub told: Option<Why>,
    /// How it ended.
    pub ended: Option<Ending>,
}

#[derive(Debug)]
struct Viewer {
    number: u64,
    /// The number of the first byte that it has not shown yet.
    shown: u64,
}

/// Where somebody who looks begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Which viewer this is; a newer one has the terminal for itself.
    pub number: u64,
    /// The number of the first byte they are shown.
    pub from: u64,
    /// How many bytes before that they asked for and cannot have any more.
    pub lost: u64,
    /// How many bytes of input were taken so far.
    pub taken: u64,
}

/// A browser counts other bytes than the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Miscounted;

impl Screen {
    /// Nothing was printed or typed yet.
    pub fn new(size: Size) -> Self {
        Self {
            output: VecDeque::new(),
            printed: 0,
            input: VecDeque::new(),
            taken: 0,
            viewer: None,
            viewers: 0,
            size,
            typed_at: Instant::now(),
            recorded: None,
            told: None,
            ended: None,
        }
    }

    /// Whether more output can be had without losing what somebody has not
    /// seen yet.
    pub fn has_room(&self) -> bool {
        let unseen = self.viewer.as_ref().map_or(0, |viewer| self.printed - viewer.shown);
        self.told.is_some() || unseen + CHUNK_MAX as u64 <= SCROLLBACK_MAX as u64
    }

    /// Takes what the program printed.
    pub fn print(&mut self, bytes: &[u8]) {
        self.output.extend(bytes);
        self.printed += bytes.len() as u64;
        let excess = self.output.len().saturating_sub(SCROLLBACK_MAX);
        self.output.drain(..excess);
    }

    /// The number of the first byte that is still there.
    fn first(&self) -> u64 {
        self.printed - self.output.len() as u64
    }

    /// The number of the first byte after the output.
    pub const fn printed(&self) -> u64 {
        self.printed
    }

    /// At most `max` bytes of output from `from` on, and the number of the
    /// first of them.
    pub fn output(&self, from: u64, max: usize) -> (u64, Vec<u8>) {
        let from = from.max(self.first());
        let skipped = usize::try_from(from - self.first()).unwrap_or(usize::MAX).min(self.output.len());
        (from, self.output.range(skipped..).take(max).copied().collect())
    }

    /// Somebody looks, who has seen everything before `from`. Whoever looked
    /// before does not any more.
    ///
    /// # Errors
    /// When that much was never printed.
    pub fn attach(&mut self, from: u64) -> Result<Attached, Miscounted> {
        if from > self.printed {
            return Err(Miscounted);
        }
        let begin = from.max(self.first());
        self.viewers += 1;
        self.viewer = Some(Viewer { number: self.viewers, shown: begin });
        Ok(Attached { number: self.viewers, from: begin, lost: begin - from, taken: self.taken })
    }

    /// Whether this viewer is the one that looks.
    pub fn is_seen_by(&self, number: u64) -> bool {
        self.viewer.as_ref().is_some_and(|viewer| viewer.number == number)
    }

    /// Whether nobody looks.
    pub const fn is_left(&self) -> bool {
        self.viewer.is_none()
    }

    /// This viewer looks no more.
    pub fn detach(&mut self, number: u64) {
        if self.is_seen_by(number) {
            self.viewer = None;
        }
    }

    /// This viewer has shown everything before `shown`.
    ///
    /// # Errors
    /// When that much was never printed.
    pub fn note_shown(&mut self, number: u64, shown: u64) -> Result<(), Miscounted> {
        if shown > self.printed {
            return Err(Miscounted);
        }
        if let Some(viewer) = self.viewer.as_mut().filter(|viewer| viewer.number == number) {
            viewer.shown = viewer.shown.max(shown);
        }
        Ok(())
    }

    /// Takes input whose first byte has the number `offset`: what was taken
    /// before is passed over, what there is no room for is left. Gives how
    /// many bytes of input were taken until now.
    ///
    /// # Errors
    /// When bytes before `offset` have never come.
    pub fn type_in(&mut self, offset: u64, bytes: &[u8]) -> Result<u64, Miscounted> {
        let known = self.taken.checked_sub(offset).ok_or(Miscounted)?;
        let fresh = bytes.get(usize::try_from(known).unwrap_or(usize::MAX)..).unwrap_or_default();
        let room = INPUT_MAX - self.input.len();
        let now = &fresh[..fresh.len().min(room)];
        if !now.is_empty() {
            self.input.extend(now);
            self.taken += now.len() as u64;
            self.typed_at = Instant::now();
        }
        Ok(self.taken)
    }

    /// Whether something waits to be typed. Where nobody could say later what
    /// came of it, nothing does.
    pub fn has_input(&self) -> bool {
        !self.input.is_empty() && self.told != Some(Why::RecordingFailed)
    }

    /// What is to be typed next.
    pub fn next_input(&mut self) -> Vec<u8> {
        let length = self.input.len().min(CHUNK_MAX);
        self.input.drain(..length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen() -> Screen {
        Screen::new(Size { columns: 80, rows: 24 })
    }

    #[tokio::test]
    async fn whoever_comes_back_goes_on_where_they_were() {
        let mut screen = screen();
        screen.print(b"hello world");
        let first = screen.attach(0).unwrap();
        assert_eq!((first.from, first.lost), (0, 0));
        assert_eq!(screen.output(0, 5), (0, b"hello".to_vec()));
        let again = screen.attach(5).unwrap();
        assert_eq!(screen.output(again.from, 100), (5, b" world".to_vec()));
        assert!(screen.is_seen_by(again.number) && !screen.is_seen_by(first.number));
        screen.detach(first.number);
        assert!(!screen.is_left(), "an older viewer takes nobody's place");
        assert_eq!(screen.attach(12), Err(Miscounted));
    }

    #[tokio::test]
    async fn what_is_overwritten_is_told() {
        let mut screen = screen();
        for number in 0..40 {
            screen.print(&[number; CHUNK_MAX]);
        }
        let attached = screen.attach(7).unwrap();
        let first = 40 * CHUNK_MAX as u64 - SCROLLBACK_MAX as u64;
        assert_eq!((attached.from, attached.lost), (first, first - 7));
        assert_eq!(screen.output(0, 1), (first, vec![24]));
    }

    #[tokio::test]
    async fn nothing_is_overwritten_that_a_viewer_has_not_shown() {
        let mut screen = screen();
        let viewer = screen.attach(0).unwrap().number;
        while screen.has_room() {
            screen.print(&[0; CHUNK_MAX]);
        }
        assert_eq!(screen.first(), 0);
        assert_eq!(screen.note_shown(viewer, screen.printed() + 1), Err(Miscounted));
        screen.note_shown(viewer, CHUNK_MAX as u64).unwrap();
        assert!(screen.has_room());
        screen.print(&[0; CHUNK_MAX]);
        assert!(!screen.has_room());
        screen.detach(viewer);
        assert!(screen.has_room(), "where nobody looks nothing waits");
    }

    #[tokio::test]
    async fn input_that_is_sent_again_is_taken_once_and_in_order() {
        let mut screen = screen();
        assert_eq!(screen.type_in(0, b"abc"), Ok(3));
        assert_eq!(screen.type_in(0, b"abc"), Ok(3));
        assert_eq!(screen.type_in(1, b"bcde"), Ok(5));
        assert_eq!(screen.type_in(6, b"g"), Err(Miscounted), "the f is missing");
        assert_eq!(screen.next_input(), b"abcde");
        assert!(!screen.has_input());
    }

    #[tokio::test]
    async fn input_beyond_the_room_is_taken_later() {
        let mut screen = screen();
        let pasted: Vec<u8> = (0..=255).cycle().take(INPUT_MAX + 100).collect();
        assert_eq!(screen.type_in(0, &pasted), Ok(INPUT_MAX as u64));
        assert_eq!(screen.type_in(0, &pasted), Ok(INPUT_MAX as u64));
        let mut typed = screen.next_input();
        assert_eq!(screen.type_in(0, &pasted), Ok(pasted.len() as u64));
        while screen.has_input() {
            typed.extend(screen.next_input());
        }
        assert_eq!(typed, pasted);
    }
}

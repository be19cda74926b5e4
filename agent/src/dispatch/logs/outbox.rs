//! What waits to be sent to the hub. It holds a bounded number of batches: while
//! it is full the engine is not read, or, once the hub has caught up with a log
//! that it follows, the oldest batch is left out and its lines are counted.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;
use windflow_protocol::codec::{CodecError, frame};
use windflow_protocol::limits::{LOG_BATCH_LINES_MAX, LOG_BATCH_TEXT_MAX};
use windflow_protocol::message::logs::{LogBatch, LogLine, LogsEnd, LogsEvent};

use super::lines::Line;

/// Batches that may wait to be written: with the one being written and the one
/// being filled at most 320 KiB of text.
const WAITING_MAX: usize = 8;
/// Lines that come within this travel together.
const BATCH_WAIT: Duration = Duration::from_millis(50);

/// Lines and marks on their way to the hub.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What new lines are added to.
    open: LogBatch,
    /// When the first of them came.
    opened: Option<Instant>,
    waiting: VecDeque<LogsEvent>,
    /// A message with its length, and how much of it is written.
    writing: Vec<u8>,
    written: usize,
    /// Whether the hub was told that it has caught up.
    live: bool,
}

impl Outbox {
    /// Adds a line.
    pub(super) fn push(&mut self, line: Line<'_>, now: Instant) {
        let full = self.open.lines.len() >= LOG_BATCH_LINES_MAX;
        if full || self.open.text.len() + line.text.len() > LOG_BATCH_TEXT_MAX {
            self.close_batch();
        }
        self.opened.get_or_insert(now);
        let Line { stream, time, part, text } = line;
        let length = u32::try_from(text.len()).expect("a line is at most LOG_LINE_MAX long");
        self.open.lines.push(LogLine { time, stream, part, length });
        self.open.text.extend_from_slice(text);
    }

    /// Says, behind all lines so far, that what follows is the present.
    pub(super) fn catch_up(&mut self) {
        self.close_batch();
        self.waiting.push_back(LogsEvent::CaughtUp);
    }

    /// Says, behind all lines, that nothing follows.
    pub(super) fn end(&mut self, end: LogsEnd) {
        self.close_batch();
        self.waiting.push_back(LogsEvent::Ended(end));
    }

    /// Whether the engine may be read.
    pub(super) fn has_room(&self) -> bool {
        self.live || self.waiting.len() < WAITING_MAX
    }

    /// When the lines that were added must go, if there are some.
    pub(super) fn due(&self) -> Option<Instant> {
        self.opened.map(|opened| opened + BATCH_WAIT)
    }

    /// Lets the lines that were added go.
    pub(super) fn close_batch(&mut self) {
        if self.opened.take().is_none() {
            return;
        }
        self.waiting.push_back(LogsEvent::Lines(std::mem::take(&mut self.open)));
        if self.live && self.waiting.len() > WAITING_MAX {
            self.skip_oldest();
        }
    }

    /// Leaves out the oldest batch. Its lines are counted in the next one.
    fn skip_oldest(&mut self) {
        // Behind the mark there are lines only, until the end.
        if let [Some(LogsEvent::Lines(oldest)), Some(LogsEvent::Lines(_))] = [self.waiting.front(), self.waiting.get(1)]
        {
            let left_out = oldest.skipped + oldest.lines.len() as u64;
            self.waiting.pop_front();
            if let Some(LogsEvent::Lines(next)) = self.waiting.front_mut() {
                next.skipped += left_out;
            }
        }
    }

    /// What is to be written next; empty when there is nothing.
    ///
    /// # Errors
    /// When a message is above its limit, which the bounds of a batch prevent.
    pub(super) fn unwritten(&mut self) -> Result<&[u8], CodecError> {
        if self.written == self.writing.len() {
            self.writing.clear();
            self.written = 0;
            if let Some(next) = self.waiting.pop_front() {
                self.live |= next == LogsEvent::CaughtUp;
                self.writing = frame(&next)?;
            }
        }
        Ok(&self.writing[self.written..])
    }

    /// So many bytes were written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::codec::decode;
    use windflow_protocol::message::logs::{LogPart, LogStream};

    use super::*;

    fn push(outbox: &mut Outbox, text: &[u8]) {
        let line = Line { stream: LogStream::Stdout, time: 1, part: LogPart::Whole, text };
        outbox.push(line, Instant::now());
    }

    /// Writes the next message whole.
    fn pull(outbox: &mut Outbox) -> Option<LogsEvent> {
        let bytes = outbox.unwritten().unwrap().to_vec();
        outbox.wrote(bytes.len());
        (!bytes.is_empty()).then(|| decode(&bytes[4..]).unwrap())
    }

    /// Lines and skipped lines of a message.
    fn counts(event: &LogsEvent) -> (u64, u64) {
        match event {
            LogsEvent::Lines(batch) => (batch.lines().unwrap().count() as u64, batch.skipped),
            LogsEvent::CaughtUp | LogsEvent::Ended(_) => (0, 0),
        }
    }

    #[test]
    fn before_the_hub_has_caught_up_nothing_is_left_out() {
        let mut outbox = Outbox::default();
        let text = [b'x'; LOG_BATCH_TEXT_MAX / 2];
        let mut pushed = 0;
        while outbox.has_room() {
            push(&mut outbox, &text);
            pushed += 1;
        }
        outbox.catch_up();
        let (mut shown, mut skipped) = (0, 0);
        while let Some(event) = pull(&mut outbox) {
            let (lines, left_out) = counts(&event);
            shown += lines;
            skipped += left_out;
        }
        assert_eq!((shown, skipped), (pushed, 0));
        assert!(outbox.has_room());
    }

    #[test]
    fn lines_are_shown_or_counted_whatever_the_reader_does() {
        // A walk through many ways in which a reader may lag behind.
        let mut chance: u32 = 12345;
        let mut next = move |below: u32| {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 16) % below
        };
        for _ in 0..50 {
            let mut outbox = Outbox::default();
            outbox.catch_up();
            assert_eq!(pull(&mut outbox), Some(LogsEvent::CaughtUp));
            let (mut pushed, mut shown, mut skipped) = (0, 0, 0);
            for _ in 0..400 {
                match next(4) {
                    0 => {
                        if let Some(event) = pull(&mut outbox) {
                            let (lines, left_out) = counts(&event);
                            shown += lines;
                            skipped += left_out;
                        }
                    }
                    1 => outbox.close_batch(),
                    _ => {
                        let text = vec![b'x'; next(16 * 1024) as usize];
                        push(&mut outbox, &text);
                        pushed += 1;
                    }
                }
                assert!(outbox.waiting.len() <= WAITING_MAX);
                assert!(outbox.open.text.len() <= LOG_BATCH_TEXT_MAX);
            }
            outbox.end(LogsEnd::Stopped);
            let mut last = None;
            while let Some(event) = pull(&mut outbox) {
                let (lines, left_out) = counts(&event);
                shown += lines;
                skipped += left_out;
                last = Some(event);
            }
            assert_eq!(shown + skipped, pushed);
            assert_eq!(last, Some(LogsEvent::Ended(LogsEnd::Stopped)));
        }
    }

    #[test]
    fn the_longest_batch_fits_its_message() {
        let mut outbox = Outbox::default();
        let text = vec![b'x'; LOG_BATCH_TEXT_MAX / LOG_BATCH_LINES_MAX];
        let line = Line { stream: LogStream::Stderr, time: i64::MIN, part: LogPart::Continued, text: &text };
        for _ in 0..LOG_BATCH_LINES_MAX {
            outbox.push(line, Instant::now());
        }
        outbox.open.skipped = u64::MAX;
        outbox.close_batch();
        assert_eq!(outbox.waiting.len(), 1);
        assert!(pull(&mut outbox).is_some());
    }
}

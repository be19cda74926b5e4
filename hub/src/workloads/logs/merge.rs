//! Several logs as one. What is of the past is put in the order of its times,
//! for which each log must have said what is next or that it has caught up.
//! What comes after that goes on as it comes.

use windflow_protocol::message::logs::{LogBatch, LogLine};

use super::source::{Ending, Event};

/// What comes next of all logs.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A line of the log with this number.
    Line(usize, LogLine, &'a [u8]),
    /// So many lines of this log were left out here.
    Skipped(usize, u64),
    /// This log says nothing more.
    Ended(usize, Ending),
    /// From now on lines come as they are said.
    CaughtUp,
}

/// The logs, each with at most one batch that is not used up.
#[derive(Debug)]
pub struct Merge {
    lanes: Vec<Lane>,
    /// Whether it was said that all have caught up.
    caught_up: bool,
}

#[derive(Debug, Default)]
struct Lane {
    phase: Phase,
    batch: LogBatch,
    /// How much of the batch was used: lines, and bytes of their texts.
    used: (usize, usize),
    ending: Option<Ending>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Past,
    Present,
    Over,
}

impl Lane {
    /// Its next line, where that is known.
    fn next(&self) -> Option<LogLine> {
        self.batch.lines.get(self.used.0).copied()
    }

    fn is_awaited(&self) -> bool {
        self.phase == Phase::Past && self.next().is_none()
    }
}

impl Merge {
    /// So many logs, of which nothing is known.
    pub fn new(logs: usize) -> Self {
        Self { lanes: std::iter::repeat_with(Lane::default).take(logs).collect(), caught_up: false }
    }

    /// Whether the log with this number should be read.
    pub fn wants(&self, log: usize) -> bool {
        self.lanes[log].next().is_none() && self.lanes[log].phase != Phase::Over
    }

    /// Takes what came of a log that [`wants`](Self::wants) named.
    pub fn take(&mut self, log: usize, event: Event) {
        let lane = &mut self.lanes[log];
        match event {
            Event::Lines(batch) => {
                lane.batch = batch;
                lane.used = (0, 0);
            }
            Event::CaughtUp => lane.phase = Phase::Present,
            Event::Ended(ending) => {
                lane.phase = Phase::Over;
                lane.ending = Some(ending);
            }
        }
    }

    /// Whether lines wait for a log that has not said what is next.
    pub fn is_held_up(&self) -> bool {
        self.lanes.iter().any(Lane::is_awaited) && self.lanes.iter().any(|lane| lane.next().is_some())
    }

    /// Goes on without those that hold the others up.
    pub fn go_on(&mut self) {
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_awaited()) {
            lane.phase = Phase::Present;
        }
    }

    /// Whether all has been said.
    pub fn is_over(&self) -> bool {
        let over = |lane: &Lane| lane.phase == Phase::Over && lane.ending.is_none();
        self.caught_up && self.lanes.iter().all(over)
    }

    /// What comes next; none while something must be read first.
    pub fn advance(&mut self) -> Option<Next<'_>> {
        if let Some(log) = self.lanes.iter().position(|lane| lane.ending.is_some()) {
            let ending = self.lanes[log].ending.take()?;
            return Some(Next::Ended(log, ending));
        }
        if !self.caught_up && self.lanes.iter().all(|lane| lane.phase != Phase::Past) {
            self.caught_up = true;
            return Some(Next::CaughtUp);
        }
        if self.lanes.iter().any(Lane::is_awaited) {
            return None;
        }
        let times = self.lanes.iter().enumerate().filter_map(|(log, lane)| Some((lane.next()?.time, log)));
        let (_, log) = times.min()?;
        let lane = &mut self.lanes[log];
        let skipped = std::mem::take(&mut lane.batch.skipped);
        if skipped > 0 {
            return Some(Next::Skipped(log, skipped));
        }
        let line = lane.next()?;
        let (lines, start) = lane.used;
        let end = start + line.length as usize;
        lane.used = (lines + 1, end);
        Some(Next::Line(log, line, &lane.batch.text[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::logs::{LogPart, LogStream};

    use super::super::model::Why;
    use super::*;

    fn batch(skipped: u64, lines: &[(i64, &str)]) -> Event {
        let heads = lines.iter().map(|(time, text)| LogLine {
            time: *time,
            stream: LogStream::Stdout,
            part: LogPart::Whole,
            length: u32::try_from(text.len()).unwrap(),
        });
        let text = lines.iter().flat_map(|(_, text)| text.bytes()).collect();
        Event::Lines(LogBatch { skipped, lines: heads.collect(), text })
    }

    fn ended() -> Event {
        Event::Ended(Ending::new(Why::Complete, "over"))
    }

    /// What comes until something must be read, in words.
    fn told(merge: &mut Merge) -> Vec<String> {
        let word = |next: Next<'_>| match next {
            Next::Line(log, _, text) => format!("{log}:{}", String::from_utf8_lossy(text)),
            Next::Skipped(log, lines) => format!("{log}-{lines}"),
            Next::Ended(log, _) => format!("{log}."),
            Next::CaughtUp => "now".to_owned(),
        };
        std::iter::from_fn(|| merge.advance().map(word)).collect()
    }

    #[test]
    fn the_past_of_several_logs_is_in_the_order_of_its_times() {
        let mut merge = Merge::new(2);
        merge.take(0, batch(0, &[(1, "a"), (4, "d"), (6, "f")]));
        assert!(told(&mut merge).is_empty(), "the other may have something older");
        assert!(merge.wants(1) && !merge.wants(0) && merge.is_held_up());
        merge.take(1, batch(0, &[(2, "b"), (3, "c")]));
        assert_eq!(told(&mut merge), ["0:a", "1:b", "1:c"]);
        merge.take(1, batch(0, &[(5, "e")]));
        assert_eq!(told(&mut merge), ["0:d", "1:e"]);
        merge.take(1, Event::CaughtUp);
        assert_eq!(told(&mut merge), ["0:f"]);
        merge.take(0, Event::CaughtUp);
        assert_eq!(told(&mut merge), ["now"]);
    }

    #[test]
    fn the_present_waits_for_nobody() {
        let mut merge = Merge::new(2);
        merge.take(0, Event::CaughtUp);
        merge.take(1, Event::CaughtUp);
        assert_eq!(told(&mut merge), ["now"]);
        merge.take(1, batch(0, &[(9, "x")]));
        assert_eq!(told(&mut merge), ["1:x"]);
        merge.take(0, batch(0, &[(3, "late")]));
        assert_eq!(told(&mut merge), ["0:late"]);
    }

    #[test]
    fn what_was_left_out_is_told_where_it_was() {
        let mut merge = Merge::new(1);
        merge.take(0, Event::CaughtUp);
        merge.take(0, batch(7, &[(1, "a"), (2, "b")]));
        assert_eq!(told(&mut merge), ["now", "0-7", "0:a", "0:b"]);
    }

    #[test]
    fn a_log_that_ends_holds_nobody_up() {
        let mut merge = Merge::new(2);
        merge.take(0, batch(0, &[(1, "a")]));
        merge.take(1, ended());
        assert_eq!(told(&mut merge), ["1.", "0:a"]);
        assert!(!merge.is_over());
        merge.take(0, ended());
        assert_eq!(told(&mut merge), ["0.", "now"]);
        assert!(merge.is_over());
    }

    #[test]
    fn one_that_says_nothing_is_not_waited_for_for_ever() {
        let mut merge = Merge::new(2);
        merge.take(0, batch(0, &[(1, "a")]));
        assert!(merge.is_held_up());
        merge.go_on();
        assert_eq!(told(&mut merge), ["0:a"]);
        assert!(merge.wants(1), "it is still read");
    }

    #[test]
    fn merged_pasts_are_whole_and_in_order_whatever_their_batches() {
        let mut chance: u32 = 7;
        let mut below = move |limit: u32| {
            chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (chance >> 16) % limit
        };
        for _ in 0..50 {
            let logs = 1 + below(5) as usize;
            let mut times = vec![0_i64; logs];
            let mut left: Vec<u32> = (0..logs).map(|_| below(40)).collect();
            let all: u32 = left.iter().sum();
            let mut merge = Merge::new(logs);
            let mut seen = Vec::new();
            loop {
                while let Some(next) = merge.advance() {
                    if let Next::Line(_, line, _) = next {
                        seen.push(line.time);
                    }
                }
                let Some(log) = (0..logs).find(|log| merge.wants(*log)) else { break };
                if left[log] == 0 {
                    merge.take(log, ended());
                    continue;
                }
                let size = 1 + below(left[log]);
                left[log] -= size;
                let lines: Vec<(i64, &str)> = std::iter::repeat_with(|| {
                    times[log] += i64::from(below(9));
                    (times[log], "x")
                })
                .take(size as usize)
                .collect();
                merge.take(log, batch(0, &lines));
            }
            assert_eq!(seen.len(), all as usize);
            assert!(seen.is_sorted());
        }
    }
}

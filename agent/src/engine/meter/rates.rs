//! Counts as they are read, and what they come to between two readings.

use std::collections::HashMap;
use std::time::Duration;

use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::metrics::deltas::Reading;

use crate::host::since_boot;

/// What was counted of one subject at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    pub subject: Subject,
    /// Since the host started.
    pub at: Duration,
    pub counts: Vec<Count>,
}

/// One count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// It cannot be read.
    Unknown,
    /// It is what it is.
    Is(u64),
    /// Bytes since some beginning: bytes a second are wanted.
    Bytes(u64),
    /// Nanoseconds on any processor since some beginning: thousandths of a
    /// percent of one processor are wanted.
    Worked { nanos: u64, of: Passed },
    /// A part of something that grows: thousandths of a percent are wanted.
    Share { part: u64, of: u64 },
}

/// Time that passed on all processors of a host together, as `docker stats`
/// counts it: what a hypervisor gave to others is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    pub nanos: u64,
    /// How many there are now.
    pub processors: u32,
}

impl Passed {
    /// What a clock says of one processor, where nothing better is known.
    pub fn by_the_clock() -> Self {
        let nanos = u64::try_from(since_boot().as_nanos()).unwrap_or(u64::MAX);
        Self { nanos, processors: 1 }
    }
}

/// Remembers the last counts of each subject.
#[derive(Debug, Default)]
pub struct Rates {
    before: HashMap<Subject, Counts>,
}

impl Rates {
    /// What the counts come to since the last ones. Subjects that are not among
    /// them are forgotten.
    pub fn settle(&mut self, counted: Vec<Counts>) -> Vec<Reading> {
        let mut before = std::mem::take(&mut self.before);
        let mut readings = Vec::with_capacity(counted.len());
        for counts in counted {
            readings.push(reading(&counts, before.remove(&counts.subject).as_ref()));
            self.before.insert(counts.subject.clone(), counts);
        }
        readings
    }

    /// Begins with subjects that were not counted before.
    pub fn begin(&mut self, counted: Vec<Counts>) {
        for counts in counted {
            self.before.entry(counts.subject.clone()).or_insert(counts);
        }
    }
}

fn reading(counts: &Counts, before: Option<&Counts>) -> Reading {
    let values = counts.counts.iter().enumerate().map(|(place, count)| {
        let before = before.and_then(|before| Some((before.counts.get(place)?, counts.at.checked_sub(before.at)?)));
        value(*count, before)
    });
    Reading { subject: counts.subject.clone(), values: values.collect() }
}

/// A count that is smaller than before began anew, and is not known once.
fn value(count: Count, before: Option<(&Count, Duration)>) -> Option<u64> {
    match (count, before) {
        (Count::Is(value), _) => Some(value),
        (Count::Bytes(now), Some((Count::Bytes(before), elapsed))) => {
            divided(now.checked_sub(*before)?, 1_000_000_000, elapsed.as_nanos())
        }
        (Count::Worked { nanos, of }, Some((Count::Worked { nanos: before, of: of_before }, _))) => {
            let passed = of.nanos.checked_sub(of_before.nanos)?;
            divided(nanos.checked_sub(*before)?, u128::from(of.processors) * 100_000, passed.into())
        }
        (Count::Share { part, of }, Some((Count::Share { part: part_before, of: of_before }, _))) => {
            divided(part.checked_sub(*part_before)?, 100_000, of.checked_sub(*of_before)?.into())
        }
        (Count::Unknown | Count::Bytes(_) | Count::Worked { .. } | Count::Share { .. }, _) => None,
    }
}

fn divided(growth: u64, times: u128, by: u128) -> Option<u64> {
    u64::try_from((u128::from(growth) * times + by / 2).checked_div(by)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(seconds: u64, counts: &[Count]) -> Vec<Counts> {
        vec![Counts { subject: Subject::Host, at: Duration::from_secs(seconds), counts: counts.to_vec() }]
    }

    fn worked(nanos: u64, passed: u64) -> Count {
        Count::Worked { nanos, of: Passed { nanos: passed, processors: 4 } }
    }

    #[test]
    fn what_grows_is_told_by_its_pace_and_nothing_is_told_of_a_count_that_began_anew() {
        let mut rates = Rates::default();
        let first = [Count::Is(7), Count::Bytes(1_000), worked(0, 0), Count::Share { part: 10, of: 100 }];
        assert_eq!(rates.settle(counts(10, &first))[0].values, [Some(7), None, None, None]);
        let second = [
            Count::Is(5),
            Count::Bytes(31_000),
            worked(7_500_000_000, 60_000_000_000),
            Count::Share { part: 35, of: 150 },
        ];
        rates.begin(counts(12, &first));
        assert_eq!(rates.settle(counts(25, &second))[0].values, [Some(5), Some(2_000), Some(50_000), Some(50_000)]);
        let third = [
            Count::Unknown,
            Count::Bytes(0),
            worked(7_500_000_000, 90_000_000_000),
            Count::Share { part: 35, of: 150 },
        ];
        assert_eq!(rates.settle(counts(40, &third))[0].values, [None, None, Some(0), None]);
        assert!(rates.settle(Vec::new()).is_empty());
        assert_eq!(rates.settle(counts(50, &second))[0].values, [Some(5), None, None, None]);
    }
}

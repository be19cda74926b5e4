//! Measurements as changes and back: the agent's end remembers what it told,
//! the hub's end what it heard. Knows no stream.

use std::collections::BTreeMap;

use super::{Changed, Metrics, Sample, Subject};
use crate::limits::{FACT_TEXT_MAX, METRIC_SUBJECTS_MAX, METRIC_VALUES_MAX};

/// One measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Its number among those of its epoch; zero where it is not kept.
    pub sequence: u64,
    /// How long ago it was made, in milliseconds.
    pub age_millis: u64,
    /// What was measured.
    pub readings: Vec<Reading>,
}

/// What was measured of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The subject.
    pub subject: Subject,
    /// Each value at its place; none where it is not known.
    pub values: Vec<Option<u64>>,
}

/// Whether a measurement has everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What it does not have is gone.
    Everything,
    /// It has what somebody looks at.
    Glance,
}

/// Why measurements cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// More subjects or values than are taken, or a name that is too long.
    #[error("more is measured than is taken")]
    TooMuch,
    /// A number that means nothing, or a value that cannot be.
    #[error("a measurement makes no sense")]
    Malformed,
}

/// The telling end.
#[derive(Debug, Default)]
pub struct Teller {
    known: BTreeMap<Subject, Told>,
    /// Numbers that are free again.
    free: Vec<u32>,
    /// How many numbers there are.
    numbers: u32,
}

#[derive(Debug, Default)]
struct Told {
    number: u32,
    counts: Vec<u64>,
}

impl Teller {
    /// The messages that tell `measured`. Subjects beyond
    /// [`METRIC_SUBJECTS_MAX`] and values beyond [`METRIC_VALUES_MAX`] are left
    /// out.
    pub fn tell(&mut self, measured: &Measured, extent: Extent) -> Vec<Metrics> {
        let mut sample = Sample { sequence: measured.sequence, age_millis: measured.age_millis, ..Sample::default() };
        if extent == Extent::Everything {
            sample.gone = self.forget_all_but(&measured.readings);
        }
        // They mean nothing from this measurement on, so it gives them to nobody.
        let gone = sample.gone.clone();
        let mut told = Vec::new();
        for reading in &measured.readings {
            if !self.known.contains_key(&reading.subject) {
                if self.known.len() == METRIC_SUBJECTS_MAX {
                    continue;
                }
                let number = self.next_number();
                told.push(Metrics::Subject { number, subject: reading.subject.clone() });
                self.known.insert(reading.subject.clone(), Told { number, counts: Vec::new() });
            }
            let Some(known) = self.known.get_mut(&reading.subject) else {
                continue;
            };
            let changed = known.change(&reading.values);
            if changed.which != 0 || extent == Extent::Glance {
                sample.changed.push(changed);
            }
        }
        self.free.extend(gone);
        told.push(match extent {
            Extent::Everything => Metrics::Sample(sample),
            Extent::Glance => Metrics::Glance(sample),
        });
        told
    }

    fn forget_all_but(&mut self, readings: &[Reading]) -> Vec<u32> {
        let here: std::collections::BTreeSet<&Subject> = readings.iter().map(|reading| &reading.subject).collect();
        let mut gone = Vec::new();
        self.known.retain(|subject, told| {
            let stays = here.contains(subject);
            if !stays {
                gone.push(told.number);
            }
            stays
        });
        gone
    }

    fn next_number(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.numbers += 1;
            self.numbers - 1
        })
    }
}

impl Told {
    fn change(&mut self, values: &[Option<u64>]) -> Changed {
        let mut changed = Changed { number: self.number, ..Changed::default() };
        for (place, value) in values.iter().take(METRIC_VALUES_MAX).enumerate() {
            // Half the numbers there are is more than anything has.
            let count = value.map_or(0, |value| value.min(u64::MAX / 4) + 1);
            if self.counts.len() == place {
                self.counts.push(0);
            }
            let before = std::mem::replace(&mut self.counts[place], count);
            if before != count {
                changed.which |= 1 << place;
                changed.by.push(count.wrapping_sub(before).cast_signed());
            }
        }
        changed
    }
}

/// The hearing end.
#[derive(Debug, Default)]
pub struct Hearer {
    known: BTreeMap<u32, Heard>,
}

#[derive(Debug)]
struct Heard {
    subject: Subject,
    counts: Vec<u64>,
}

impl Hearer {
    /// Takes a message; gives the measurement that it completes, and whether it
    /// has everything.
    ///
    /// # Errors
    /// When it is more than is taken, or makes no sense; nothing after it does.
    pub fn hear(&mut self, message: Metrics) -> Result<Option<(Measured, Extent)>, DeltaError> {
        match message {
            Metrics::Epoch(_) => Ok(None),
            Metrics::Subject { number, subject } => self.meet(number, subject).map(|()| None),
            Metrics::Sample(sample) => self.settle(sample, Extent::Everything).map(Some),
            Metrics::Glance(sample) => self.settle(sample, Extent::Glance).map(Some),
        }
    }

    fn meet(&mut self, number: u32, subject: Subject) -> Result<(), DeltaError> {
        let is_long = matches!(&subject, Subject::Disk(path) if path.len() > FACT_TEXT_MAX);
        if is_long || self.known.len() == METRIC_SUBJECTS_MAX && !self.known.contains_key(&number) {
            return Err(DeltaError::TooMuch);
        }
        self.known.insert(number, Heard { subject, counts: Vec::new() });
        Ok(())
    }

    fn settle(&mut self, sample: Sample, extent: Extent) -> Result<(Measured, Extent), DeltaError> {
        for number in &sample.gone {
            self.known.remove(number);
        }
        for changed in &sample.changed {
            self.known.get_mut(&changed.number).ok_or(DeltaError::Malformed)?.change(changed)?;
        }
        let readings = match extent {
            Extent::Everything => self.known.values().map(Heard::reading).collect(),
            Extent::Glance => { sample.changed.iter() }
                .filter_map(|changed| self.known.get(&changed.number)?.reading().into())
                .collect(),
        };
        Ok((Measured { sequence: sample.sequence, age_millis: sample.age_millis, readings }, extent))
    }
}

impl Heard {
    fn change(&mut self, changed: &Changed) -> Result<(), DeltaError> {
        if changed.by.len() != changed.which.count_ones() as usize {
            return Err(DeltaError::Malformed);
        }
        let places = (0..u32::BITS as usize).filter(|place| changed.which & (1 << place) != 0);
        for (place, by) in places.zip(&changed.by) {
            if place >= METRIC_VALUES_MAX {
                return Err(DeltaError::TooMuch);
            }
            if self.counts.len() <= place {
                self.counts.resize(place + 1, 0);
            }
            let count = self.counts[place].checked_add_signed(*by).ok_or(DeltaError::Malformed)?;
            self.counts[place] = count;
        }
        Ok(())
    }

    fn reading(&self) -> Reading {
        let values = self.counts.iter().map(|count| count.checked_sub(1)).collect();
        Reading { subject: self.subject.clone(), values }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec;
    use crate::message::report::ObjectId;

    fn container(byte: u8, values: &[Option<u64>]) -> Reading {
        Reading { subject: Subject::Container(ObjectId([byte; 32])), values: values.to_vec() }
    }

    /// As it is heard: values at the end that were never known are not told of.
    fn trimmed(mut measured: Measured) -> Measured {
        for reading in &mut measured.readings {
            while reading.values.last() == Some(&None) {
                reading.values.pop();
            }
        }
        measured.readings.sort_by(|one, other| one.subject.cmp(&other.subject));
        measured
    }

    fn heard(hearer: &mut Hearer, messages: Vec<Metrics>) -> Measured {
        let mut last = None;
        for message in messages {
            last = hearer.hear(message).unwrap();
        }
        last.unwrap().0
    }

    #[test]
    fn what_does_not_change_costs_nothing() {
        let (mut teller, mut hearer) = (Teller::default(), Hearer::default());
        let busy = |cpu| container(1, &[Some(cpu), Some(4096), None]);
        let measured = |sequence, cpu| Measured {
            sequence,
            age_millis: 0,
            readings: vec![busy(cpu), container(2, &[Some(0), Some(1 << 30), None])],
        };
        let first = teller.tell(&measured(1, 50_000), Extent::Everything);
        let second = teller.tell(&measured(2, 50_010), Extent::Everything);
        assert_eq!(codec::encode(&second[0]).unwrap().len(), 9);
        assert_eq!(second.len(), 1);
        assert_eq!(heard(&mut hearer, first), trimmed(measured(1, 50_000)));
        assert_eq!(heard(&mut hearer, second).readings[0].values, [Some(50_010), Some(4096)]);
    }

    #[test]
    fn a_number_is_used_again_when_its_container_is_gone() {
        let (mut teller, mut hearer) = (Teller::default(), Hearer::default());
        for round in 1..=200 {
            let readings = vec![container(round, &[Some(1)]), container(round + 1, &[Some(2)])];
            let measured = Measured { sequence: 1, age_millis: 0, readings };
            let messages = teller.tell(&measured, Extent::Everything);
            assert_eq!(trimmed(heard(&mut hearer, messages)), measured);
        }
        assert!(teller.known.values().all(|told| told.number < 4));
    }

    #[test]
    fn a_glance_has_what_is_looked_at_also_where_nothing_changed() {
        let (mut teller, mut hearer) = (Teller::default(), Hearer::default());
        let all =
            Measured { readings: vec![container(1, &[Some(1)]), container(2, &[Some(2)])], ..Measured::default() };
        heard(&mut hearer, teller.tell(&all, Extent::Everything));
        let glance = Measured { readings: vec![container(2, &[Some(2)])], ..Measured::default() };
        assert_eq!(heard(&mut hearer, teller.tell(&glance, Extent::Glance)), glance);
        assert_eq!(heard(&mut hearer, teller.tell(&all, Extent::Everything)), all);
    }

    #[test]
    fn nonsense_is_refused() {
        let mut hearer = Hearer::default();
        let changed = |number, which, by: &[i64]| {
            Metrics::Sample(Sample { changed: vec![Changed { number, which, by: by.to_vec() }], ..Sample::default() })
        };
        assert_eq!(hearer.hear(changed(1, 1, &[1])), Err(DeltaError::Malformed));
        assert_eq!(hearer.hear(Metrics::Subject { number: 1, subject: Subject::Host }), Ok(None));
        assert_eq!(hearer.hear(changed(1, 1, &[])), Err(DeltaError::Malformed));
        assert_eq!(hearer.hear(changed(1, 1, &[-1])), Err(DeltaError::Malformed));
        assert_eq!(hearer.hear(changed(1, 1 << 31, &[1])), Err(DeltaError::TooMuch));
        let long = Subject::Disk("x".repeat(FACT_TEXT_MAX + 1));
        assert_eq!(hearer.hear(Metrics::Subject { number: 2, subject: long }), Err(DeltaError::TooMuch));
        for number in 2..=u32::try_from(METRIC_SUBJECTS_MAX).unwrap() {
            let subject = Subject::Disk(number.to_string());
            assert_eq!(hearer.hear(Metrics::Subject { number, subject }), Ok(None));
        }
        let one_more = Metrics::Subject { number: 0, subject: Subject::Host };
        assert_eq!(hearer.hear(one_more), Err(DeltaError::TooMuch));
    }

    #[test]
    fn the_largest_measurement_fits_a_message() {
        let worst = (0..METRIC_SUBJECTS_MAX).map(|number| {
            let subject = Subject::Disk(number.to_string());
            Reading { subject, values: vec![Some(u64::from(u32::MAX) << 8); super::super::ContainerValue::COUNT] }
        });
        let measured = Measured { sequence: u64::MAX, age_millis: u64::MAX, readings: worst.collect() };
        for message in Teller::default().tell(&measured, Extent::Everything) {
            codec::encode(&message).unwrap();
        }
    }

    proptest! {
        #[test]
        fn whatever_is_told_is_heard(
            rounds in proptest::collection::vec(
                proptest::collection::btree_map(0_u8..6, proptest::collection::vec(proptest::option::of(0_u64..1 << 40), 3), 0..6),
                1..8,
            ),
        ) {
            let (mut teller, mut hearer) = (Teller::default(), Hearer::default());
            for (sequence, round) in (1..).zip(rounds) {
                let readings: Vec<Reading> = round.iter().map(|(byte, values)| container(*byte, values)).collect();
                let measured = Measured { sequence, age_millis: 7, readings };
                let found = heard(&mut hearer, teller.tell(&measured, Extent::Everything));
                prop_assert_eq!(trimmed(found), trimmed(measured));
            }
        }
    }
}

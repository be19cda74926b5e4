//! The last events by number, each of them once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use windflow_protocol::message::events::{Event, EventGap, EventMark, EventsMessage};

use super::{KEPT_MAX, SECOND};

/// Containers whose health is remembered.
const HEALTHS_MAX: usize = 4096;
/// An engine that is asked again tells again of the second in which its last
/// event was.
const TOLD_AGAIN: i64 = 2 * SECOND;

/// Some of what was told is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed;

/// The last events.
#[derive(Debug, Default)]
pub struct Kept {
    told: VecDeque<Arc<EventsMessage>>,
    /// The number of the last one.
    number: u64,
    /// What each container's health was said to be: Podman says so after every
    /// check.
    healths: HashMap<String, String>,
}

impl Kept {
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Adds an event, unless it is there or says what is known.
    pub fn add_event(&mut self, event: Event) {
        if !self.has(&event) && self.is_news(&event) {
            self.add(EventsMessage::Event(event));
        }
    }

    pub fn add_gap(&mut self, gap: EventGap) {
        self.add(EventsMessage::Gap(gap));
    }

    /// What was told after this number, and the number of the last of it.
    pub fn after(&self, number: u64) -> Result<(Vec<Arc<EventsMessage>>, u64), Missed> {
        let behind = usize::try_from(self.number.saturating_sub(number)).map_err(|_| Missed)?;
        let skipped = self.told.len().checked_sub(behind).ok_or(Missed)?;
        Ok((self.told.iter().skip(skipped).cloned().collect(), self.number))
    }

    pub fn number_of(&self, mark: &EventMark) -> Option<u64> {
        let at = self.told.iter().rposition(|told| event(told).is_some_and(|event| mark.is_of(event)))?;
        Some(self.before_first() + at as u64 + 1)
    }

    /// All that is kept behind the gap after `known`, and the number of the last
    /// of it.
    pub fn all(&self, known: Option<i64>, since: i64) -> (Vec<Arc<EventsMessage>>, u64) {
        let gap = known.map(|from| {
            let times = self.told.iter().filter_map(|told| event(told)).map(|event| event.time);
            EventGap { from, until: times.filter(|time| *time > from).min().unwrap_or(since) }
        });
        let gap = gap.filter(|gap| gap.until > gap.from).map(|gap| Arc::new(EventsMessage::Gap(gap)));
        (gap.into_iter().chain(self.told.iter().cloned()).collect(), self.number)
    }

    pub fn last(&self) -> Option<&Event> {
        self.told.iter().rev().find_map(|told| event(told))
    }

    fn before_first(&self) -> u64 {
        self.number - self.told.len() as u64
    }

    fn has(&self, found: &Event) -> bool {
        let recent = self.told.iter().rev().filter_map(|told| event(told));
        let mut recent = recent.take_while(|event| event.time >= found.time.saturating_sub(TOLD_AGAIN));
        let mark = found.mark();
        recent.any(|event| mark.is_of(event))
    }

    fn is_news(&mut self, event: &Event) -> bool {
        match event.action.as_str() {
            "health_status" => {
                if self.healths.len() >= HEALTHS_MAX {
                    self.healths.clear();
                }
                let health = event.fact("health").unwrap_or_default();
                self.healths.insert(event.id.clone(), health.to_owned()).is_none_or(|before| before != health)
            }
            "destroy" => {
                self.healths.remove(&event.id);
                true
            }
            _ => true,
        }
    }

    fn add(&mut self, told: EventsMessage) {
        if self.told.len() == KEPT_MAX {
            self.told.pop_front();
        }
        self.told.push_back(Arc::new(told));
        self.number += 1;
    }
}

fn event(told: &EventsMessage) -> Option<&Event> {
    match told {
        EventsMessage::Event(event) => Some(event),
        EventsMessage::Gap(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, action: &str) -> Event {
        let (kind, id) = ("container".to_owned(), "a".to_owned());
        Event { time: second * SECOND, kind, action: action.to_owned(), id, ..Event::default() }
    }

    fn actions(told: &[Arc<EventsMessage>]) -> Vec<String> {
        told.iter().map(|told| event(told).map_or_else(|| "gap".to_owned(), |event| event.action.clone())).collect()
    }

    #[test]
    fn what_is_told_again_is_kept_once() {
        let mut kept = Kept::default();
        for event in [at(1, "create"), at(2, "start"), at(1, "create"), at(2, "start"), at(2, "die")] {
            kept.add_event(event);
        }
        assert_eq!(actions(&kept.after(0).unwrap().0), ["create", "start", "die"]);
        assert_eq!(kept.number_of(&at(2, "start").mark()), Some(2));
        assert_eq!(kept.after(2).map(|(told, number)| (actions(&told), number)), Ok((vec!["die".to_owned()], 3)));
        assert_eq!(actions(&kept.all(None, 0).0), ["create", "start", "die"]);
        assert_eq!(kept.number_of(&at(3, "start").mark()), None);
    }

    #[test]
    fn a_health_that_stays_is_told_once() {
        let mut kept = Kept::default();
        let said = |second, health: &str| {
            let facts = vec![("health".to_owned(), health.to_owned())];
            Event { facts, ..at(second, "health_status") }
        };
        for event in [said(1, "healthy"), said(2, "healthy"), said(3, "unhealthy"), said(4, "healthy")] {
            kept.add_event(event);
        }
        assert_eq!(kept.number(), 3);
    }

    #[test]
    fn who_is_too_late_has_missed_some() {
        let mut kept = Kept::default();
        for second in 0..KEPT_MAX as i64 + 5 {
            kept.add_event(at(second * 10, "start"));
        }
        assert_eq!(kept.after(4), Err(Missed));
        assert_eq!(kept.after(5).unwrap().0.len(), KEPT_MAX);
        assert_eq!(kept.number_of(&at(0, "start").mark()), None);
        let gap = |known, since| match *kept.all(Some(known), since).0[0] {
            EventsMessage::Gap(gap) => Some((gap.from, gap.until)),
            EventsMessage::Event(_) => None,
        };
        assert_eq!(gap(7, 0), Some((7, 50 * SECOND)), "until the first that is kept");
        assert_eq!(gap(i64::MAX - 1, i64::MAX), Some((i64::MAX - 1, i64::MAX)), "until it was listened to");
        assert_eq!(gap(i64::MAX, 5), None);
    }
}

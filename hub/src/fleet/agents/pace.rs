//! How often one agent may make the hub write what it would write each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windflow_protocol::ids::AgentId;

use crate::clock::Timestamp;

/// Agents remembered before those are forgotten whose turn has come again.
const KEPT_MAX: usize = 4096;

/// Lets each agent through once in a while.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    last: Mutex<HashMap<AgentId, Timestamp>>,
}

impl Pace {
    /// A pace of one in `every`.
    pub fn new(every: Duration) -> Self {
        Self { every, last: Mutex::default() }
    }

    /// Whether it is this agent's turn, which it then has had. Only for agents
    /// that have proved who they are: nobody else may fill the table.
    pub fn take(&self, agent: AgentId, now: Timestamp) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = |before: &Timestamp| now >= *before && now.since(*before) < self.every;
        if last.get(&agent).is_some_and(rests) {
            return false;
        }
        if last.len() >= KEPT_MAX {
            last.retain(|_, before| rests(before));
        }
        last.insert(agent, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    #[test]
    fn each_agent_has_its_own_turn_once_in_a_while() {
        let pace = Pace::new(Duration::from_secs(10));
        let (one, other) = (AgentId::generate(), AgentId::generate());
        assert!(pace.take(one, at(0)));
        assert!(!pace.take(one, at(9)));
        assert!(pace.take(other, at(9)));
        assert!(pace.take(one, at(10)));
        assert!(pace.take(one, at(5)), "a clock that was set back holds nobody up");
    }

    #[test]
    fn agents_whose_turn_has_come_are_forgotten() {
        let pace = Pace::new(Duration::from_secs(1));
        for number in 0..3 * KEPT_MAX as i64 {
            pace.take(AgentId::generate(), at(number));
        }
        assert!(pace.last.lock().unwrap().len() <= KEPT_MAX);
    }
}

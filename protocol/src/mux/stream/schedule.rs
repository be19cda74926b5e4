//! Whose turn it is to send.
//!
//! A turn gives every ready interactive stream one frame, and then one normal
//! stream one frame. So a keystroke passes all bulk, interactive streams that
//! send bulk cannot starve a normal one, and normal streams take equal shares.

use std::collections::VecDeque;

use super::{Slot, Stream};
use crate::session::Priority;

#[derive(Debug)]
pub struct Schedule {
    /// Interactive streams that have not sent in this turn.
    now: VecDeque<Slot>,
    /// Interactive streams that have.
    next: VecDeque<Slot>,
    normal: VecDeque<Slot>,
    turn: u64,
}

impl Schedule {
    pub fn new() -> Self {
        Self { now: VecDeque::new(), next: VecDeque::new(), normal: VecDeque::new(), turn: 1 }
    }

    pub fn is_empty(&self) -> bool {
        self.now.is_empty() && self.next.is_empty() && self.normal.is_empty()
    }

    /// Lets a stream wait for its turn, once.
    pub fn add(&mut self, slot: Slot, stream: &mut Stream) {
        if std::mem::replace(&mut stream.is_ready, true) {
            return;
        }
        match stream.priority {
            Priority::Interactive if stream.turn < self.turn => self.now.push_back(slot),
            Priority::Interactive => self.next.push_back(slot),
            Priority::Normal => self.normal.push_back(slot),
        }
    }

    /// The stream whose turn it is, and the turn to note on it.
    pub fn pop(&mut self) -> Option<(Slot, u64)> {
        if let Some(slot) = self.now.pop_front() {
            return Some((slot, self.turn));
        }
        let normal = self.normal.pop_front();
        self.turn += 1;
        std::mem::swap(&mut self.now, &mut self.next);
        let slot = normal.or_else(|| self.now.pop_front())?;
        Some((slot, self.turn))
    }

    pub fn remove(&mut self, slot: Slot) {
        for queue in [&mut self.now, &mut self.next, &mut self.normal] {
            queue.retain(|waiting| *waiting != slot);
        }
    }
}

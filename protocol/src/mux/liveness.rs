//! Pings, round trips, and whether the peer is still there.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use crate::limits::{HEARTBEAT_EVERY, PINGS_AT_START, PINGS_IN_FLIGHT_MAX, SILENCE_MAX};

#[derive(Debug)]
pub struct Liveness {
    heard: Instant,
    next_ping: Instant,
    /// Pings still to be sent to learn the path, each after the one before.
    at_start: u8,
    queued: Option<u64>,
    sent: u64,
    answered: u64,
    in_flight: VecDeque<(u64, Instant)>,
    rtt: Option<Duration>,
    rtt_min: Option<Duration>,
}

/// The peer answered a ping that was never sent.
#[derive(Debug)]
pub struct NeverAsked;

impl Liveness {
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            next_ping: now + HEARTBEAT_EVERY,
            at_start: PINGS_AT_START - 1,
            queued: Some(1),
            sent: 0,
            answered: 0,
            in_flight: VecDeque::new(),
            rtt: None,
            rtt_min: None,
        }
    }

    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    pub fn is_silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) >= SILENCE_MAX
    }

    /// When to look again.
    pub fn deadline(&self) -> Instant {
        self.next_ping.min(self.heard + SILENCE_MAX)
    }

    /// Queues the ping that is due, if one is.
    pub fn on_timer(&mut self, now: Instant) {
        if now >= self.next_ping {
            self.next_ping = now + HEARTBEAT_EVERY;
            self.ask();
        }
    }

    /// Queues a ping and returns its number. With enough of them under way it
    /// is the last of those.
    pub fn ask(&mut self) -> u64 {
        if self.in_flight.len() >= PINGS_IN_FLIGHT_MAX {
            return self.sent;
        }
        *self.queued.get_or_insert(self.sent + 1)
    }

    pub fn has_queued(&self) -> bool {
        self.queued.is_some()
    }

    /// The ping to send now.
    pub fn take_queued(&mut self, now: Instant) -> Option<u64> {
        let number = self.queued.take()?;
        self.sent = number;
        self.in_flight.push_back((number, now));
        Some(number)
    }

    /// Notes the answer to a ping, which also answers all before it: a peer
    /// keeps one answer only.
    pub fn answer(&mut self, number: u64, now: Instant) -> Result<(), NeverAsked> {
        if number > self.sent {
            return Err(NeverAsked);
        }
        self.answered = self.answered.max(number);
        while let Some((_, at)) = self.in_flight.pop_front_if(|(asked, _)| *asked <= number) {
            self.measure(now.saturating_duration_since(at));
        }
        if self.at_start > 0 {
            self.at_start -= 1;
            self.ask();
        }
        Ok(())
    }

    fn measure(&mut self, rtt: Duration) {
        self.rtt = Some(rtt);
        self.rtt_min = Some(self.rtt_min.map_or(rtt, |known| known.min(rtt)));
    }

    pub fn is_answered(&self, number: u64) -> bool {
        self.answered >= number
    }

    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    pub fn rtt_min(&self) -> Option<Duration> {
        self.rtt_min
    }
}

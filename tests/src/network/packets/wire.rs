//! One direction of a packet link: what becomes of a packet, and when it
//! arrives. It has no I/O and no clock of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use super::PacketOptions;
use crate::network::chance::Chance;

/// Most packets on the way at once; whatever more comes is dropped.
const UNDERWAY_MAX: usize = 64 * 1024;

/// What became of a packet at the entrance of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It will arrive.
    Carried,
    /// Chance took it.
    Lost,
    /// The queue before the bottleneck was full.
    Overflowed,
    /// It was larger than the path lets through.
    TooLarge,
}

/// The packets on their way in one direction.
#[derive(Debug)]
pub(super) struct Wire {
    chance: Chance,
    /// When the bottleneck has sent what waits before it.
    free: Instant,
    /// When the last packet arrives that keeps to the order.
    last: Instant,
    number: u64,
    underway: BinaryHeap<Reverse<Underway>>,
}

/// Packets are ordered by their arrival, then by their coming.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Underway {
    arrives: Instant,
    number: u64,
    packet: Vec<u8>,
}

impl Wire {
    /// An empty wire whose chance follows from `seed`.
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        Self { chance: Chance::new(seed), free: now, last: now, number: 0, underway: BinaryHeap::new() }
    }

    /// Takes a packet that comes `now`.
    pub(super) fn admit(&mut self, packet: &[u8], now: Instant, options: &PacketOptions) -> Fate {
        if options.largest.is_some_and(|largest| packet.len() > largest) {
            return Fate::TooLarge;
        }
        if self.chance.meets(options.lost_per_mille) {
            return Fate::Lost;
        }
        let waits = self.free.saturating_duration_since(now);
        let full = options.bytes_per_second.is_some() && waits > options.queue;
        if full || self.underway.len() >= UNDERWAY_MAX {
            return Fate::Overflowed;
        }
        self.free = now + waits + sending_time(packet.len(), options.bytes_per_second);
        let jitter = options.jitter.as_micros().min(u128::from(u64::MAX)) as u64;
        let mut arrives = self.free + options.delay + Duration::from_micros(self.chance.below(jitter));
        if !self.chance.meets(options.overtaking_per_mille) {
            arrives = arrives.max(self.last);
            self.last = arrives;
        }
        self.number += 1;
        self.underway.push(Reverse(Underway { arrives, number: self.number, packet: packet.to_vec() }));
        Fate::Carried
    }

    /// When the next packet arrives, while there is one on its way.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.underway.peek().map(|Reverse(next)| next.arrives)
    }

    /// The next packet that has arrived by `now`.
    pub(super) fn take_arrived(&mut self, now: Instant) -> Option<Vec<u8>> {
        let arrived = self.next_arrival().is_some_and(|arrives| arrives <= now);
        if arrived { self.underway.pop().map(|Reverse(next)| next.packet) } else { None }
    }
}

fn sending_time(bytes: usize, bytes_per_second: Option<u64>) -> Duration {
    bytes_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Admits packets that hold their own number, one each millisecond, and
    /// returns those that arrive with the time of it.
    fn carry(count: u8, options: &PacketOptions) -> Vec<(u8, Duration)> {
        let start = Instant::now();
        let mut wire = Wire::new(options.seed, start);
        for number in 0..count {
            wire.admit(&[number; 100], start + u32::from(number) * MS, options);
        }
        let mut arrived = Vec::new();
        while let Some(arrives) = wire.next_arrival() {
            let packet = wire.take_arrived(arrives).expect("it arrives when it says");
            arrived.push((packet[0], arrives - start));
        }
        arrived
    }

    #[test]
    fn each_packet_takes_the_delay_and_not_less() {
        let options = PacketOptions { delay: 25 * MS, ..PacketOptions::default() };
        assert_eq!(carry(3, &options), [(0, 25 * MS), (1, 26 * MS), (2, 27 * MS)]);
        let start = Instant::now();
        let mut wire = Wire::new(0, start);
        wire.admit(&[0], start, &options);
        assert_eq!(wire.take_arrived(start + 24 * MS), None);
    }

    #[test]
    fn jitter_alone_never_changes_the_order() {
        let options = PacketOptions { jitter: 50 * MS, ..PacketOptions::default() };
        let arrived = carry(100, &options);
        assert!(arrived.iter().map(|(number, _)| *number).eq(0..100));
        assert!(arrived.iter().any(|(number, at)| *at > u32::from(*number) * MS));
    }

    #[test]
    fn packets_that_may_overtake_arrive_in_another_order() {
        let options = PacketOptions { jitter: 50 * MS, overtaking_per_mille: 1000, ..PacketOptions::default() };
        let mut numbers = carry(100, &options).into_iter().map(|(number, _)| number).collect::<Vec<_>>();
        assert!(!numbers.is_sorted());
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..100));
    }

    #[test]
    fn loss_follows_from_the_seed() {
        let options = |seed| PacketOptions { lost_per_mille: 200, seed, ..PacketOptions::default() };
        let arrived = carry(250, &options(1));
        assert!((150..250).contains(&arrived.len()), "{} of 250 arrived", arrived.len());
        assert_eq!(arrived, carry(250, &options(1)));
        assert_ne!(arrived, carry(250, &options(2)));
    }

    #[test]
    fn what_does_not_fit_the_queue_before_the_bottleneck_is_dropped() {
        // A packet of 100 bytes takes a millisecond; three may wait.
        let options =
            PacketOptions { bytes_per_second: Some(100_000), queue: 2 * MS, delay: 5 * MS, ..PacketOptions::default() };
        let start = Instant::now();
        let mut wire = Wire::new(0, start);
        let fates = [0, 1, 2, 3].map(|number| wire.admit(&[number; 100], start, &options));
        assert_eq!(fates, [Fate::Carried, Fate::Carried, Fate::Carried, Fate::Overflowed]);
        assert_eq!(wire.next_arrival(), Some(start + 6 * MS));
        assert!(wire.take_arrived(start + 6 * MS).is_some());
        assert_eq!(wire.next_arrival(), Some(start + 7 * MS));
    }

    #[test]
    fn a_packet_larger_than_the_path_vanishes() {
        let options = PacketOptions { largest: Some(1280), ..PacketOptions::default() };
        let start = Instant::now();
        let mut wire = Wire::new(0, start);
        assert_eq!(wire.admit(&[0; 1280], start, &options), Fate::Carried);
        assert_eq!(wire.admit(&[0; 1281], start, &options), Fate::TooLarge);
    }
}

//! Windows: when they are granted again, when they grow, and when they do not.

use super::*;
use crate::limits::{WINDOW_GROWTH_HUB, WINDOW_MAX, WINDOW_MAX_LOCAL};

/// A hub that knows its path, with `streams` open streams.
fn hub_at(rtt: Duration, streams: usize) -> (End, Vec<Slot>) {
    let mut hub = End::greeted(Side::Hub);
    hub.passes(rtt);
    hub.gets(Frame::Pong(1));
    let slots: Vec<Slot> = (0..streams).map(|_| hub.opens(Priority::Normal)).collect();
    for slot in &slots {
        hub.mux.announce_now(*slot);
        hub.sends();
    }
    (hub, slots)
}

/// Lets the peer send as much as the window allows, spread over `time`, and
/// reads it. Says how much was granted again.
fn round(hub: &mut End, slot: Slot, time: Duration) -> u32 {
    let Wire::Live(id) = hub.mux.streams.at(slot).wire else { panic!("a live stream") };
    let frames = hub.mux.streams.at(slot).inbound.window() / FRAME_PAYLOAD_MAX as u32;
    let mut granted = 0;
    for _ in 0..frames {
        hub.passes(time / frames);
        hub.gets_data(id.0, &[0; FRAME_PAYLOAD_MAX]);
        hub.reads_all(slot);
        granted += hub.sends().iter().map(credit).sum::<u32>();
    }
    granted
}

fn credit(frame: &Frame<'_>) -> u32 {
    match frame {
        Frame::Window { credit, .. } => *credit,
        _ => 0,
    }
}

fn window(hub: &mut End, slot: Slot) -> u32 {
    hub.mux.streams.at(slot).inbound.window()
}

#[test]
fn a_window_is_granted_again_a_quarter_at_a_time() {
    let mut agent = End::greeted(Side::Agent);
    agent.gets_open(1);
    let slot = agent.mux.accept().unwrap();
    for _ in 0..3 {
        agent.gets_data(1, &[0; FRAME_PAYLOAD_MAX]);
    }
    agent.reads_all(slot);
    assert!(agent.says().is_empty());
    agent.gets_data(1, &[0; FRAME_PAYLOAD_MAX]);
    agent.reads_all(slot);
    assert_eq!(agent.says(), ["window 1 65536"]);
}

#[test]
fn tiny_frames_are_granted_again_as_they_were_charged() {
    let mut agent = End::greeted(Side::Agent);
    agent.gets_open(1);
    let slot = agent.mux.accept().unwrap();
    for _ in 0..10 * WINDOW_INITIAL / 64 {
        agent.gets_data(1, b"x");
        agent.reads_all(slot);
        agent.sends();
    }
    assert_eq!(agent.mux.ended(), None);
}

#[test]
fn many_reads_leave_one_window_frame() {
    let mut agent = End::greeted(Side::Agent);
    agent.gets_open(1);
    let slot = agent.mux.accept().unwrap();
    for _ in 0..16 {
        agent.gets_data(1, &[0; FRAME_PAYLOAD_MAX]);
        agent.reads_all(slot);
    }
    assert_eq!(agent.says(), ["window 1 262144"]);
}

#[test]
fn a_window_that_limits_the_rate_doubles_up_to_the_largest() {
    let rtt = Duration::from_millis(50);
    let (mut hub, slots) = hub_at(rtt, 1);
    let mut widths = Vec::new();
    for _ in 0..8 {
        round(&mut hub, slots[0], rtt);
        widths.push(window(&mut hub, slots[0]));
    }
    assert!(widths.contains(&(2 * WINDOW_INITIAL)), "{widths:?}");
    let budget_ends = WINDOW_INITIAL * 16;
    assert_eq!(*widths.last().unwrap(), budget_ends, "4 MiB of growth carry 3.75 MiB: {widths:?}");
    assert!(budget_ends < WINDOW_MAX);
}

#[test]
fn a_slow_reader_keeps_its_first_window() {
    let rtt = Duration::from_millis(50);
    let (mut hub, slots) = hub_at(rtt, 1);
    for _ in 0..8 {
        round(&mut hub, slots[0], rtt * 4);
    }
    assert_eq!(window(&mut hub, slots[0]), WINDOW_INITIAL);
}

#[test]
fn a_local_path_stays_small_however_fast_it_is() {
    let rtt = Duration::from_micros(500);
    let (mut hub, slots) = hub_at(rtt, 1);
    for _ in 0..400 {
        round(&mut hub, slots[0], rtt / 10);
    }
    assert_eq!(window(&mut hub, slots[0]), WINDOW_MAX_LOCAL);
}

#[test]
fn growth_is_refused_when_the_budget_is_spent_and_comes_back_with_the_stream() {
    let rtt = Duration::from_millis(50);
    let (mut hub, slots) = hub_at(rtt, 3);
    for _ in 0..8 {
        round(&mut hub, slots[0], rtt);
    }
    for _ in 0..8 {
        round(&mut hub, slots[1], rtt);
    }
    assert_eq!(window(&mut hub, slots[1]), 2 * WINDOW_INITIAL);
    assert_eq!(hub.mux.growth_left, 0);
    assert!(round(&mut hub, slots[1], rtt) > 0, "a refused growth blocks nothing");
    hub.mux.cut(slots[0], ResetCode::Cancelled);
    assert_eq!(hub.mux.growth_left, WINDOW_GROWTH_HUB - WINDOW_INITIAL);
    for _ in 0..2 {
        round(&mut hub, slots[1], rtt);
    }
    assert!(window(&mut hub, slots[1]) > 2 * WINDOW_INITIAL);
}

#[test]
fn a_stream_whose_reader_falls_behind_does_not_grow() {
    let rtt = Duration::from_millis(50);
    let (mut hub, slots) = hub_at(rtt, 1);
    for _ in 0..16 {
        hub.gets_data(1, &[0; FRAME_PAYLOAD_MAX]);
    }
    hub.passes(rtt);
    for _ in 0..8 {
        hub.reads(slots[0]);
    }
    assert_eq!(hub.sends().iter().map(credit).sum::<u32>(), WINDOW_INITIAL / 2, "fast, with half of it unread");
    assert_eq!(window(&mut hub, slots[0]), WINDOW_INITIAL);
}

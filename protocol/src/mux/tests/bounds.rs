//! What a peer can make an end hold.

use super::*;
use crate::limits::{FRAME_CHARGE_MIN, PINGS_IN_FLIGHT_MAX, READ_BUFFER, SEND_QUEUE_MAX};

#[test]
fn a_million_pings_leave_one_pong() {
    let mut agent = End::greeted(Side::Agent);
    (0..1_000_000).for_each(|number| agent.gets(Frame::Ping(number)));
    assert_eq!(agent.says(), ["pong 999999"]);
}

#[test]
fn pings_that_nobody_answers_do_not_pile_up() {
    let mut hub = End::greeted(Side::Hub);
    for _ in 0..1_000 {
        hub.mux.ping();
        hub.sends();
    }
    assert_eq!(hub.mux.ping(), PINGS_IN_FLIGHT_MAX as u64, "a further caller waits for the last one");
}

#[test]
fn a_million_opens_end_the_session_while_nothing_can_be_sent() {
    let mut agent = End::greeted(Side::Agent);
    (1..=1_000_000).for_each(|id| agent.gets_open(id));
    assert_eq!(agent.violation(), "too many resets wait to be sent");
    assert_eq!(agent.mux.streams.all().len(), 0);
    assert_eq!(agent.mux.resets.len(), 0);
}

#[test]
fn a_stream_too_many_is_refused_and_the_others_go_on() {
    let mut agent = End::greeted(Side::Agent);
    (1..=STREAMS_MAX as u32 + 1).for_each(|id| agent.gets_open(id));
    assert_eq!(agent.says(), [format!("reset {} Refused", STREAMS_MAX + 1)]);
    agent.gets_data(1, b"still here");
    let first = agent.mux.accept().unwrap();
    assert_eq!(agent.reads(first).as_deref(), Some(&b"still here"[..]));
}

#[test]
fn streams_that_come_and_go_before_they_are_accepted_leave_nothing() {
    let mut agent = End::greeted(Side::Agent);
    for id in 1..=100_000 {
        let stream = StreamId(id);
        agent.gets_open(id);
        agent.gets_data(id, b"preamble");
        if id % 2 == 0 {
            agent.gets(Frame::Fin { stream });
        }
        agent.gets(Frame::Reset { stream, code: ResetCode::Cancelled });
        agent.sends();
    }
    assert_eq!(agent.mux.ended(), None);
    assert!(agent.mux.streams.all().len() <= STREAMS_MAX);
}

#[test]
fn tiny_frames_cost_what_they_are_charged() {
    let mut agent = End::greeted(Side::Agent);
    agent.gets_open(1);
    for _ in 0..WINDOW_INITIAL as usize / FRAME_CHARGE_MIN {
        agent.gets_data(1, b"x");
    }
    let slot = agent.mux.accept().unwrap();
    let held = agent.mux.streams.at(slot).inbound.held();
    assert!(held <= WINDOW_INITIAL as usize, "{held} bytes held");
    agent.gets_data(1, b"x");
    assert_eq!(agent.violation(), "stream 1 sent more than its window");
}

#[test]
fn an_unread_stream_holds_little_more_than_its_window_whatever_its_frames() {
    for length in [20, 64, 100, 1_000, 5_000, 8_191, 8_192, 16_376, FRAME_PAYLOAD_MAX] {
        let (mut hub, mut agent) = pair();
        let ours = hub.opens(Priority::Normal);
        let mut sent = 0;
        loop {
            hub.writes(ours, length);
            match flush(&mut hub, &mut agent) {
                0 => break,
                count => sent += count,
            }
        }
        let theirs = agent.mux.accept().unwrap();
        let held = agent.mux.streams.at(theirs).inbound.held();
        assert!(sent > WINDOW_INITIAL as usize / 4, "frames of {length}");
        assert!(held <= WINDOW_INITIAL as usize * 5 / 4, "frames of {length}: {held} bytes held");
    }
}

#[test]
fn a_writer_waits_when_its_queue_is_full_and_goes_on_after_a_flush() {
    let mut hub = End::greeted(Side::Hub);
    let slot = hub.opens(Priority::Normal);
    assert!(matches!(hub.mux.poll_room(slot, &context()), Poll::Ready(Ok(SEND_QUEUE_MAX))));
    hub.fills(slot);
    assert!(hub.mux.poll_room(slot, &context()).is_pending());
    assert!(hub.mux.take_effects().wakes.is_empty());
    hub.sends();
    assert_eq!(hub.mux.take_effects().wakes.len(), 1);
}

#[test]
fn a_stalled_reader_stops_only_its_own_stream() {
    let (mut hub, mut agent) = pair();
    let (stalled, other) = (hub.opens(Priority::Normal), hub.opens(Priority::Normal));
    for _ in 0..100 {
        hub.fills(stalled);
        settle(&mut hub, &mut agent);
    }
    assert!(hub.mux.poll_room(stalled, &context()).is_pending());
    hub.writes(other, 1_000);
    settle(&mut hub, &mut agent);
    agent.mux.accept().unwrap();
    let theirs = agent.mux.accept().unwrap();
    assert_eq!(agent.reads_all(theirs), 1_000);
    agent.fills(theirs);
    settle(&mut hub, &mut agent);
    assert_eq!(hub.reads_all(other), SEND_QUEUE_MAX);
}

#[test]
fn an_idle_session_holds_no_buffers() {
    let (mut hub, mut agent) = pair();
    let ours = hub.opens(Priority::Normal);
    hub.fills(ours);
    settle(&mut hub, &mut agent);
    let theirs = agent.mux.accept().unwrap();
    for _ in 0..100 {
        hub.fills(ours);
        settle(&mut hub, &mut agent);
        agent.reads_all(theirs);
    }
    assert!(agent.mux.streams.at(theirs).inbound.held() < 1024);
    settle(&mut hub, &mut agent);
    assert_eq!(hub.mux.streams.at(ours).outbound.held(), 0);
    let mut batch = Batch::default();
    hub.mux.transmit(hub.now, &mut batch);
    batch.release();
    assert!(size_of::<Mux>() + size_of::<Batch>() + size_of::<Decoder>() < READ_BUFFER / 16);
}

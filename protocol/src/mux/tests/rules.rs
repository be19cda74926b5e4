//! What an end says, and what it does not let a peer say.

use super::*;
use crate::frame::FrameError;
use crate::limits::{GOAWAY_TEXT_MAX, HEARTBEAT_EVERY, SILENCE_MAX};

#[test]
fn settings_come_before_anything_else() {
    let mut hub = End::fresh(Side::Hub);
    hub.opens(Priority::Normal);
    assert_eq!(hub.says(), ["settings", "ping 1"]);
}

#[test]
fn streams_wait_for_the_peers_settings_and_then_use_its_window() {
    let mut hub = End::fresh(Side::Hub);
    let slot = hub.opens(Priority::Normal);
    hub.writes(slot, 5_000);
    assert_eq!(hub.says(), ["settings", "ping 1"]);
    hub.gets(Frame::Settings(Settings { window: 3_000, payload_max: 2_000, ..PEER }));
    assert_eq!(hub.says(), ["open 1", "data 1 2000", "data 1 1000"]);
}

#[test]
fn a_stream_is_announced_in_the_flush_of_its_first_bytes() {
    let mut hub = End::greeted(Side::Hub);
    let slot = hub.opens(Priority::Interactive);
    assert!(hub.says().is_empty(), "an unwritten stream is not announced");
    hub.writes(slot, 3);
    assert_eq!(hub.says(), ["open! 1", "data 1 3"]);
}

#[test]
fn numbers_rise_in_the_order_of_announcement() {
    let mut hub = End::greeted(Side::Hub);
    let (early, late, silent) = (hub.opens(Priority::Normal), hub.opens(Priority::Normal), hub.opens(Priority::Normal));
    hub.writes(late, 1);
    assert_eq!(hub.says(), ["open 1", "data 1 1"]);
    hub.mux.announce_now(early);
    assert_eq!(hub.says(), ["open 2"]);
    hub.mux.release(silent);
    assert!(hub.says().is_empty(), "a stream that nobody knew is not cut");
}

#[test]
fn a_number_is_never_used_again() {
    let mut hub = End::greeted(Side::Hub);
    for expected in ["open 1", "open 2", "open 3"] {
        let slot = hub.opens(Priority::Normal);
        hub.writes(slot, 1);
        assert_eq!(hub.says()[0], expected);
        hub.mux.cut(slot, ResetCode::Deadline);
        assert!(hub.says()[0].ends_with("Deadline"));
    }
}

#[test]
fn a_session_without_numbers_left_is_closed() {
    let mut hub = End::greeted(Side::Hub);
    hub.mux.last_id = StreamId(u32::MAX - 1);
    let (last, one_more) = (hub.opens(Priority::Normal), hub.opens(Priority::Normal));
    hub.writes(last, 1);
    assert_eq!(hub.says()[0], "open 4294967295");
    hub.writes(one_more, 1);
    assert!(hub.says().is_empty());
    assert_eq!(hub.says(), ["goaway the session has used up its stream numbers"]);
}

#[test]
fn the_end_travels_with_the_last_bytes() {
    let mut hub = End::greeted(Side::Hub);
    let slot = hub.opens(Priority::Normal);
    hub.writes(slot, 20_000);
    hub.mux.finish(slot);
    assert_eq!(hub.says(), ["open 1", "data 1 16376", "last 1 3624"]);
    let empty = hub.opens(Priority::Normal);
    hub.mux.finish(empty);
    assert_eq!(hub.says(), ["open 2", "fin 2"]);
}

#[test]
fn small_writes_leave_as_one_frame() {
    let mut hub = End::greeted(Side::Hub);
    let slot = hub.opens(Priority::Normal);
    (0..300).for_each(|_| hub.mux.write(slot, b"keystroke!"));
    assert_eq!(hub.says(), ["open 1", "data 1 3000"]);
}

#[test]
fn a_stream_let_go_after_its_end_is_sent_whole_and_then_cut() {
    let mut hub = End::greeted(Side::Hub);
    let slot = hub.opens(Priority::Normal);
    hub.writes(slot, 10);
    hub.mux.finish(slot);
    hub.mux.release(slot);
    assert_eq!(hub.says(), ["open 1", "last 1 10", "reset 1 Cancelled"]);
    assert_eq!(hub.mux.streams.live(), 0);
}

#[test]
fn a_peer_that_must_write_before_it_reads_does_not_hold_back_what_is_left() {
    let (mut hub, mut agent) = pair();
    let ours = hub.opens(Priority::Normal);
    let mut sent = 0;
    while sent < WINDOW_INITIAL as usize {
        hub.fills(ours);
        sent += flush(&mut hub, &mut agent);
    }
    let theirs = agent.mux.accept().unwrap();
    let fill_back = |hub: &mut End, agent: &mut End| {
        for _ in 0..20 {
            agent.fills(theirs);
            settle(hub, agent);
        }
        agent.mux.poll_room(theirs, &context()).is_ready()
    };
    assert!(!fill_back(&mut hub, &mut agent), "both directions are full");
    hub.fills(ours);
    hub.mux.finish(ours);
    hub.mux.release(ours);
    assert!(fill_back(&mut hub, &mut agent), "what nobody reads is taken in all the same");
    agent.reads_all(theirs);
    settle(&mut hub, &mut agent);
    assert_eq!(hub.mux.streams.live(), 0, "the stream has gone once its last byte was sent");
}

#[test]
fn frames_for_a_stream_that_was_are_passed_over() {
    let mut hub = End::greeted(Side::Hub);
    let slot = hub.opens(Priority::Normal);
    hub.writes(slot, 1);
    hub.sends();
    hub.mux.cut(slot, ResetCode::Cancelled);
    let stream = StreamId(1);
    hub.gets_data(1, &[0; 1_000]);
    hub.gets(Frame::Window { stream, credit: 1_000 });
    hub.gets(Frame::Fin { stream });
    hub.gets(Frame::Reset { stream, code: ResetCode::Internal });
    assert_eq!(hub.mux.ended(), None);
}

#[test]
fn a_peer_that_breaks_the_protocol_ends_the_session() {
    let stream = StreamId(1);
    let open = || Frame::Open { stream, priority: Priority::Normal };
    let data = || Frame::Data { stream, fin: false, payload: Payload::Borrowed(b"x") };
    let broken = [
        (vec![Frame::Settings(PEER)], "settings came twice"),
        (vec![data()], "a frame for stream 1, which was not opened"),
        (vec![open(), open()], "stream 1 opened after stream 1"),
        (vec![open(), Frame::Fin { stream }, data()], "stream 1 sent after its end"),
        (vec![open(), Frame::Fin { stream }, Frame::Fin { stream }], "stream 1 sent after its end"),
        (vec![open(), Frame::Window { stream, credit: u32::MAX }], "a window of stream 1 that grows beyond reason"),
        (vec![Frame::Window { stream, credit: 1 }], "a frame for stream 1, which was not opened"),
        (vec![Frame::Reset { stream, code: ResetCode::Cancelled }], "a frame for stream 1, which was not opened"),
        (vec![Frame::Pong(77)], "a pong that nobody asked for"),
    ];
    for (frames, reason) in broken {
        let mut agent = End::greeted(Side::Agent);
        frames.into_iter().for_each(|frame| agent.gets(frame));
        assert_eq!(agent.violation(), reason);
        assert_eq!(agent.says(), [format!("goaway {reason}")]);
    }
}

#[test]
fn an_agent_cannot_open_streams() {
    let mut hub = End::greeted(Side::Hub);
    hub.gets_open(1);
    assert_eq!(hub.violation(), "the agent opened a stream");
    let mut agent = End::greeted(Side::Agent);
    assert!(agent.mux.open(Priority::Normal, agent.now).is_err());
}

#[test]
fn a_peer_that_does_not_start_with_settings_is_refused() {
    let mut hub = End::fresh(Side::Hub);
    hub.gets(Frame::Ping(1));
    assert_eq!(hub.violation(), "the first frame is not settings");
}

#[test]
fn settings_that_nothing_can_be_sent_with_are_refused() {
    let unusable = [
        (Settings { version: 2, ..PEER }, "multiplexer version 2 is not known"),
        (Settings { window: 63, ..PEER }, "settings that nothing can be sent with"),
        (Settings { payload_max: 1_023, ..PEER }, "settings that nothing can be sent with"),
    ];
    for (settings, reason) in unusable {
        let mut hub = End::fresh(Side::Hub);
        hub.gets(Frame::Settings(settings));
        assert_eq!(hub.violation(), reason);
    }
}

#[test]
fn bytes_that_are_no_frame_end_the_session_and_the_peer_is_told() {
    let mut hub = End::greeted(Side::Hub);
    hub.mux.receive_garbage(FrameError::UnknownKind(99));
    assert_eq!(hub.says(), ["goaway unknown frame type 99"]);
}

#[test]
fn more_than_the_window_is_refused() {
    let mut agent = End::greeted(Side::Agent);
    agent.gets_open(1);
    for _ in 0..WINDOW_INITIAL / 16_384 {
        agent.gets_data(1, &[0; 16_384]);
    }
    assert_eq!(agent.mux.ended(), None);
    agent.gets_data(1, b"x");
    assert_eq!(agent.violation(), "stream 1 sent more than its window");
}

#[test]
fn a_reason_of_any_length_fits_a_goodbye() {
    let mut hub = End::greeted(Side::Hub);
    hub.mux.end(CloseReason::Local("é".repeat(GOAWAY_TEXT_MAX)));
    let Frame::GoAway(reason) = &hub.sends()[0] else { panic!("a goodbye") };
    assert_eq!(reason, &"é".repeat(GOAWAY_TEXT_MAX / 2));
}

#[test]
fn what_came_before_the_end_is_still_read_and_what_was_cut_is_not() {
    let mut agent = End::greeted(Side::Agent);
    let cut = Frame::Reset { stream: StreamId(1), code: ResetCode::Cancelled };
    agent.gets_open(1);
    agent.gets(Frame::Data { stream: StreamId(1), fin: true, payload: Payload::Borrowed(b"whole") });
    agent.gets(cut);
    let whole = agent.mux.accept().expect("a whole stream is accepted though it was cut behind its end");
    assert_eq!(agent.reads(whole).as_deref(), Some(&b"whole"[..]));
    assert!(matches!(agent.mux.poll_read(whole, &context()), Poll::Ready(Ok(ReadStep::End))));
    agent.gets_open(2);
    agent.gets_data(2, b"half");
    agent.gets(Frame::Reset { stream: StreamId(2), code: ResetCode::Cancelled });
    assert_eq!(agent.mux.accept(), None, "a stream that was cut before it was accepted never was");
}

#[test]
fn four_pings_in_a_row_learn_the_path_and_then_one_beats_every_ten_seconds() {
    let mut hub = End::fresh(Side::Hub);
    hub.gets(Frame::Settings(PEER));
    for number in 1..=4 {
        assert!(hub.says().contains(&format!("ping {number}")));
        hub.passes(Duration::from_millis(10 * (5 - number)));
        hub.gets(Frame::Pong(number));
    }
    assert_eq!(hub.mux.rtt(), Some(Duration::from_millis(10)));
    assert!(hub.says().is_empty());
    hub.passes(HEARTBEAT_EVERY);
    hub.mux.on_timer(hub.now);
    assert_eq!(hub.says(), ["ping 5"]);
}

#[test]
fn a_silent_peer_is_dead() {
    let mut hub = End::greeted(Side::Hub);
    hub.passes(SILENCE_MAX - Duration::from_millis(1));
    hub.mux.on_timer(hub.now);
    assert_eq!(hub.mux.ended(), None);
    hub.passes(Duration::from_millis(1));
    hub.mux.on_timer(hub.now);
    assert_eq!(hub.mux.ended(), Some(&CloseReason::Silent));
    assert!(hub.says().is_empty(), "nobody is there to be told");
}

#[test]
fn one_answer_serves_all_pings_before_it() {
    let mut hub = End::greeted(Side::Hub);
    hub.gets(Frame::Pong(1));
    hub.sends();
    let (second, third) = (hub.mux.ping(), hub.mux.ping());
    hub.sends();
    hub.gets(Frame::Pong(third));
    assert!(hub.mux.rtt_of(second).is_some() && hub.mux.rtt_of(third).is_some());
    assert!(hub.mux.rtt_of(third + 1).is_none());
}

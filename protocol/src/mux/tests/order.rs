//! Who sends when.

use super::*;
use crate::limits::FLUSH_MAX;

/// Bytes each stream sent in `flushes` flushes, with writers that keep their
/// queues full and readers that keep up.
fn shares(priorities: &[Priority], flushes: usize) -> Vec<usize> {
    let (mut hub, mut agent) = pair();
    let ours: Vec<Slot> = priorities.iter().map(|priority| hub.opens(*priority)).collect();
    ours.iter().for_each(|slot| hub.writes(*slot, 1));
    settle(&mut hub, &mut agent);
    let theirs: Vec<Slot> = std::iter::from_fn(|| agent.mux.accept()).collect();
    let order: Vec<usize> = ours.iter().map(|slot| number(&mut hub, *slot) - 1).collect();
    let mut totals = vec![0; priorities.len()];
    for _ in 0..flushes {
        ours.iter().for_each(|slot| hub.fills(*slot));
        flush(&mut hub, &mut agent);
        for (index, place) in order.iter().enumerate() {
            totals[index] += agent.reads_all(theirs[*place]);
        }
        flush(&mut agent, &mut hub);
    }
    totals
}

fn number(end: &mut End, slot: Slot) -> usize {
    match end.mux.streams.at(slot).wire {
        Wire::Live(StreamId(id)) => id as usize,
        other => panic!("a live stream, not {other:?}"),
    }
}

#[test]
fn eight_bulk_streams_get_equal_shares() {
    let totals = shares(&[Priority::Normal; 8], 4_000);
    let (slowest, fastest) = (*totals.iter().min().unwrap(), *totals.iter().max().unwrap());
    assert!(slowest * 10 >= fastest * 9, "{totals:?}");
}

#[test]
fn interactive_streams_that_send_bulk_do_not_starve_a_normal_one() {
    let totals =
        shares(&[Priority::Interactive, Priority::Interactive, Priority::Interactive, Priority::Normal], 4_000);
    let whole: usize = totals.iter().sum();
    assert!(totals[3] * 5 >= whole, "one frame in four is the normal stream's: {totals:?}");
    assert!(totals[0] * 5 >= whole, "{totals:?}");
}

#[test]
fn an_interactive_stream_passes_all_bulk() {
    let mut hub = End::greeted(Side::Hub);
    let bulk: Vec<Slot> = (0..4).map(|_| hub.opens(Priority::Normal)).collect();
    bulk.iter().for_each(|slot| hub.fills(*slot));
    hub.sends();
    let typed = hub.opens(Priority::Interactive);
    hub.writes(typed, 1);
    assert_eq!(hub.says()[..2], ["open! 3", "data 3 1"], "two bulk streams had their turn before");
    hub.writes(typed, 1);
    assert_eq!(hub.says()[0], "data 3 1");
}

#[test]
fn control_frames_pass_everything() {
    let mut hub = End::greeted(Side::Hub);
    let (typed, dropped) = (hub.opens(Priority::Interactive), hub.opens(Priority::Normal));
    hub.writes(dropped, 1);
    hub.sends();
    hub.writes(typed, 1);
    hub.gets(Frame::Ping(5));
    hub.mux.cut(dropped, ResetCode::Cancelled);
    assert_eq!(hub.says(), ["pong 5", "reset 1 Cancelled", "open! 2", "data 2 1"]);
}

#[test]
fn a_flush_joins_frames_up_to_its_limit() {
    let mut hub = End::greeted(Side::Hub);
    for _ in 0..8 {
        let slot = hub.opens(Priority::Normal);
        hub.fills(slot);
    }
    let mut batch = Batch::default();
    hub.mux.transmit(hub.now, &mut batch);
    assert!(batch.remaining() >= FLUSH_MAX && batch.remaining() < FLUSH_MAX + FRAME_PAYLOAD_MAX + 16);
}

#[test]
fn a_full_bulk_frame_with_its_header_fills_one_tls_record() {
    let mut hub = End::greeted(Side::Hub);
    let slot = hub.opens(Priority::Normal);
    hub.mux.announce_now(slot);
    hub.sends();
    hub.fills(slot);
    let mut batch = Batch::default();
    hub.mux.transmit(hub.now, &mut batch);
    assert_eq!(batch.remaining(), 2 * 16_384);
}

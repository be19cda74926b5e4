//! Two state machines on a simulated link against a simple model: what one end
//! wrote is what the other reads, once, in order and whole; no peer is ever in
//! breach; and in the end nothing is left at either end.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    Open(Priority),
    Write {
        from: Side,
        stream: usize,
        length: usize,
    },
    Read {
        at: Side,
        stream: usize,
        times: usize,
    },
    Finish {
        from: Side,
        stream: usize,
    },
    Cut {
        from: Side,
        stream: usize,
    },
    Release {
        from: Side,
        stream: usize,
    },
    Flush {
        from: Side,
    },
    /// Delivers some of what is under way.
    Deliver {
        to: Side,
        length: usize,
    },
    Pass(u64),
}

fn any_side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Hub), Just(Side::Agent)]
}

fn any_event() -> impl Strategy<Value = Event> {
    let length = prop_oneof![1..100_usize, 1..20_000_usize, Just(65_536)];
    let stream = 0..6_usize;
    let priority = prop_oneof![Just(Priority::Normal), Just(Priority::Interactive)];
    prop_oneof![
        1 => priority.prop_map(Event::Open),
        6 => (any_side(), stream.clone(), length.clone())
            .prop_map(|(from, stream, length)| Event::Write { from, stream, length }),
        6 => (any_side(), stream.clone(), 1..30_usize)
            .prop_map(|(at, stream, times)| Event::Read { at, stream, times }),
        1 => (any_side(), stream.clone()).prop_map(|(from, stream)| Event::Finish { from, stream }),
        1 => (any_side(), stream.clone()).prop_map(|(from, stream)| Event::Cut { from, stream }),
        1 => (any_side(), stream).prop_map(|(from, stream)| Event::Release { from, stream }),
        8 => any_side().prop_map(|from| Event::Flush { from }),
        8 => (any_side(), length).prop_map(|(to, length)| Event::Deliver { to, length: length * 3 }),
        2 => (0..100_u64).prop_map(Event::Pass),
    ]
}

/// One end of a stream, as the model sees it.
#[derive(Debug, Default)]
struct Half {
    slot: Option<Slot>,
    written: u64,
    read: u64,
    finished: bool,
    /// A stream cut by either end may lose bytes, but none may be wrong.
    cut: bool,
}

#[derive(Debug, Default)]
struct Modelled {
    hub: Half,
    agent: Half,
}

struct World {
    hub: End,
    agent: End,
    to_hub: VecDeque<u8>,
    to_agent: VecDeque<u8>,
    /// In the order of their numbers.
    streams: Vec<Modelled>,
}

impl World {
    fn new() -> Self {
        let (hub, agent) = pair();
        Self { hub, agent, to_hub: VecDeque::new(), to_agent: VecDeque::new(), streams: Vec::new() }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Open(priority) => self.open(priority),
            Event::Write { from, stream, length } => self.write(from, stream, length),
            Event::Read { at, stream, times } => (0..times).for_each(|_| self.read(at, stream)),
            Event::Finish { from, stream } => self.finish(from, stream),
            Event::Cut { from, stream } => self.let_go(from, stream, |mux, slot| mux.cut(slot, ResetCode::Cancelled)),
            Event::Release { from, stream } => self.let_go(from, stream, Mux::release),
            Event::Flush { from } => drop(self.flush(from)),
            Event::Deliver { to, length } => self.deliver(to, length),
            Event::Pass(millis) => {
                self.hub.passes(Duration::from_millis(millis));
                self.agent.now = self.hub.now;
            }
        }
        self.check(Side::Hub);
        self.check(Side::Agent);
    }

    /// Neither end found fault with the other, and no credit was lost.
    fn check(&mut self, at: Side) {
        let mux = if at == Side::Hub { &mut self.hub.mux } else { &mut self.agent.mux };
        assert_eq!(mux.ended(), None);
        for slot in mux.streams.all() {
            mux.streams.at(slot).inbound.check();
        }
    }

    fn open(&mut self, priority: Priority) {
        if self.streams.len() < 6 {
            let slot = self.hub.opens(priority);
            self.hub.mux.announce_now(slot);
            while self.hub.mux.streams.at(slot).wire == Wire::Announcing {
                self.flush(Side::Hub);
            }
            self.streams.push(Modelled { hub: Half { slot: Some(slot), ..Half::default() }, ..Modelled::default() });
        }
    }

    fn half(&mut self, at: Side, stream: usize) -> Option<(&mut End, &mut Half, Slot)> {
        let modelled = self.streams.get_mut(stream)?;
        let (end, half) =
            if at == Side::Hub { (&mut self.hub, &mut modelled.hub) } else { (&mut self.agent, &mut modelled.agent) };
        let slot = half.slot?;
        Some((end, half, slot))
    }

    fn write(&mut self, from: Side, stream: usize, length: usize) {
        let Some((end, half, slot)) = self.half(from, stream) else { return };
        let Poll::Ready(room) = end.mux.poll_room(slot, &context()) else { return };
        let Ok(room) = room else { return };
        let bytes: Vec<u8> = (half.written..).map(byte).take(length.min(room)).collect();
        half.written += bytes.len() as u64;
        if length.is_multiple_of(2) {
            end.mux.write(slot, &bytes);
        } else {
            end.mux.write_owned(slot, [BytesMut::from(&bytes[..])]);
        }
    }

    fn read(&mut self, at: Side, stream: usize) {
        let Some((end, half, slot)) = self.half(at, stream) else { return };
        let step = end.mux.poll_read(slot, &context());
        match step {
            Poll::Ready(Ok(ReadStep::Bytes(bytes))) => {
                for found in &bytes {
                    assert_eq!(*found, byte(half.read), "bytes come in order and once");
                    half.read += 1;
                }
            }
            Poll::Ready(Ok(ReadStep::End)) => self.check_whole(at, stream),
            Poll::Ready(Err(_)) => half.cut = true,
            Poll::Pending => {}
        }
    }

    /// The end was read: then all that was written was.
    fn check_whole(&self, at: Side, stream: usize) {
        let Modelled { hub, agent } = &self.streams[stream];
        let (reader, writer) = if at == Side::Hub { (hub, agent) } else { (agent, hub) };
        assert!(writer.finished, "an end is only read where one was written");
        assert_eq!(reader.read, writer.written);
    }

    fn finish(&mut self, from: Side, stream: usize) {
        let Some((end, half, slot)) = self.half(from, stream) else { return };
        end.mux.finish(slot);
        half.finished = true;
    }

    fn let_go(&mut self, from: Side, stream: usize, act: impl FnOnce(&mut Mux, Slot)) {
        let Some((end, half, slot)) = self.half(from, stream) else { return };
        half.slot = None;
        act(&mut end.mux, slot);
    }

    fn flush(&mut self, from: Side) -> usize {
        let (end, wire) =
            if from == Side::Hub { (&mut self.hub, &mut self.to_agent) } else { (&mut self.agent, &mut self.to_hub) };
        let mut batch = Batch::default();
        end.mux.transmit(end.now, &mut batch);
        let length = batch.remaining();
        while batch.has_remaining() {
            wire.extend(batch.chunk());
            let count = batch.chunk().len();
            batch.advance(count);
        }
        length
    }

    fn deliver(&mut self, to: Side, length: usize) {
        let (end, wire) =
            if to == Side::Hub { (&mut self.hub, &mut self.to_hub) } else { (&mut self.agent, &mut self.to_agent) };
        let mut rest = length.min(wire.len());
        while rest > 0 {
            let mut space = end.decoder.space();
            let piece: Vec<u8> = wire.drain(..rest.min(space.remaining_mut())).collect();
            space.put_slice(&piece);
            rest -= piece.len();
            while let Some(frame) = end.decoder.next_frame().unwrap() {
                end.mux.receive(frame, end.now);
            }
        }
        self.accept();
    }

    /// The agent accepts each stream and learns which it is from its number.
    fn accept(&mut self) {
        while let Some(slot) = self.agent.mux.accept() {
            match self.agent.mux.streams.at(slot).wire {
                Wire::Live(id) => self.streams[id.0 as usize - 1].agent.slot = Some(slot),
                Wire::Gone => self.agent.mux.release(slot),
                Wire::Unannounced | Wire::Announcing => panic!("an accepted stream has a number"),
            }
        }
    }

    /// Ends every stream that is left, reads everything, and lets all of it
    /// arrive.
    fn converge(&mut self) {
        self.quiesce();
        for stream in 0..self.streams.len() {
            self.finish(Side::Hub, stream);
            self.finish(Side::Agent, stream);
        }
        self.quiesce();
        for (at, stream) in (0..self.streams.len()).flat_map(|stream| [(Side::Hub, stream), (Side::Agent, stream)]) {
            self.read(at, stream);
            let Modelled { hub, agent } = &self.streams[stream];
            if hub.slot.is_some() && agent.slot.is_some() && !hub.cut && !agent.cut {
                assert_eq!((hub.read, agent.read), (agent.written, hub.written), "all that was written was read");
            }
        }
        for stream in 0..self.streams.len() {
            self.let_go(Side::Hub, stream, Mux::release);
            self.let_go(Side::Agent, stream, Mux::release);
        }
        self.quiesce();
        assert_eq!(self.hub.mux.streams.all(), [], "nothing is left at the hub");
        assert_eq!(self.agent.mux.streams.all(), [], "nothing is left at the agent");
        assert_eq!(self.hub.mux.growth_left, WINDOW_GROWTH_HUB);
        assert_eq!(self.agent.mux.growth_left, WINDOW_GROWTH_AGENT);
    }

    /// Sends, delivers and reads until nothing moves.
    fn quiesce(&mut self) {
        loop {
            let sent = self.flush(Side::Hub) + self.flush(Side::Agent);
            self.deliver(Side::Hub, usize::MAX);
            self.deliver(Side::Agent, usize::MAX);
            for stream in 0..self.streams.len() {
                (0..100).for_each(|_| self.read(Side::Hub, stream));
                (0..100).for_each(|_| self.read(Side::Agent, stream));
            }
            if sent == 0 && !self.hub.mux.has_output() && !self.agent.mux.has_output() {
                return;
            }
        }
    }
}

/// The byte at a place of any stream.
fn byte(place: u64) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)) as u8
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn two_ends_agree_with_the_model(events in prop::collection::vec(any_event(), 1..400)) {
        let mut world = World::new();
        events.into_iter().for_each(|event| world.apply(event));
        world.converge();
    }
}

//! What every transport promises, asked of each of them.

use std::any::Any;
use std::future::Future;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::identity::Purpose;
use crate::ids::AgentId;
use crate::limits::STREAMS_MAX;
use crate::tls::tests::fleet::Fleet;

/// A test that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both ends of a connection, and what has to outlive them.
struct Pair {
    hub: Connection,
    agent: Connection,
    _carrier: Box<dyn Any + Send>,
}

impl Pair {
    async fn stream(&self) -> (Stream, Stream) {
        let mut ours = self.hub.open(Priority::Normal).unwrap();
        ours.write_all(b"!").await.unwrap();
        ours.flush().await.unwrap();
        let mut theirs = self.agent.accept().await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), b'!');
        (ours, theirs)
    }
}

macro_rules! every_transport {
    ($($test:ident),+ $(,)?) => {
        every_transport!(@over memory: $($test),+);
        every_transport!(@over multiplexed: $($test),+);
        every_transport!(@over websocket: $($test),+);
        every_transport!(@over quic: $($test),+);
    };
    (@over $transport:ident: $($test:ident),+) => {
        mod $transport {
            $(
                #[tokio::test]
                async fn $test() {
                    let asked = async { super::$test(super::links::$transport().await).await };
                    tokio::time::timeout(super::PATIENCE, asked).await.expect("it hangs");
                }
            )+
        }
    };
}

every_transport! {
    first_bytes_need_no_answer,
    each_direction_ends_by_itself,
    a_reset_tells_reader_and_writer_why,
    a_dropped_stream_is_cancelled,
    what_was_finished_still_arrives_after_a_drop,
    an_empty_write_shows_that_the_stream_was_cut,
    closing_wakes_everyone_and_says_why,
    the_first_reason_stays,
    only_the_hub_opens,
    streams_are_limited_and_independent,
    an_ended_stream_gives_its_slot_back,
    a_stalled_reader_stops_only_its_own_stream,
    a_big_transfer_arrives_whole_both_ways,
    a_ping_measures_the_round_trip,
}

async fn first_bytes_need_no_answer(pair: Pair) {
    let mut ours = pair.hub.open(Priority::Interactive).unwrap();
    ours.write_all(b"preamble and request").await.unwrap();
    ours.shutdown().await.unwrap();
    let mut theirs = pair.agent.accept().await.unwrap();
    assert_eq!(read_all(&mut theirs).await, b"preamble and request");
}

async fn each_direction_ends_by_itself(pair: Pair) {
    let (mut ours, mut theirs) = pair.stream().await;
    ours.write_all(b"question").await.unwrap();
    ours.shutdown().await.unwrap();
    assert_eq!(read_all(&mut theirs).await, b"question");
    theirs.write_all(b"answer").await.unwrap();
    theirs.shutdown().await.unwrap();
    assert_eq!(read_all(&mut ours).await, b"answer");
}

async fn a_reset_tells_reader_and_writer_why(pair: Pair) {
    for code in [ResetCode::Cancelled, ResetCode::NotAgreed, ResetCode::EngineUnavailable, ResetCode::Deadline] {
        let (mut ours, theirs) = pair.stream().await;
        theirs.reset(code);
        let error = ours.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(StreamReset::code_of(&error), Some(code));
        let error = write_until_refused(&mut ours).await;
        assert_eq!(StreamReset::code_of(&error), Some(code));
    }
}

async fn a_dropped_stream_is_cancelled(pair: Pair) {
    let (ours, mut theirs) = pair.stream().await;
    drop(ours);
    let error = theirs.read_u8().await.unwrap_err();
    assert_eq!(StreamReset::code_of(&error), Some(ResetCode::Cancelled));
}

async fn what_was_finished_still_arrives_after_a_drop(pair: Pair) {
    let (mut ours, mut theirs) = pair.stream().await;
    ours.shutdown().await.unwrap();
    assert_eq!(read_all(&mut theirs).await, b"");
    theirs.write_all(b"the whole answer").await.unwrap();
    theirs.shutdown().await.unwrap();
    drop(theirs);
    assert_eq!(read_all(&mut ours).await, b"the whole answer");
}

/// A pipe whose other end has shut down reads no more; this is how it learns
/// that nobody wants its bytes.
async fn an_empty_write_shows_that_the_stream_was_cut(pair: Pair) {
    let (mut ours, mut theirs) = pair.stream().await;
    ours.shutdown().await.unwrap();
    assert_eq!(read_all(&mut theirs).await, b"");
    assert_eq!(theirs.write(&[]).await.unwrap(), 0);
    drop(ours);
    while theirs.write(&[]).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

async fn closing_wakes_everyone_and_says_why(pair: Pair) {
    let (mut ours, mut theirs) = pair.stream().await;
    let close = async { pair.hub.close("revoked") };
    let (accepted, read, read_back, hub, agent, ()) = tokio::join!(
        pair.agent.accept(),
        theirs.read_u8(),
        ours.read_u8(),
        pair.hub.closed(),
        pair.agent.closed(),
        close
    );
    let remote = CloseReason::Remote("revoked".to_owned());
    let local = CloseReason::Local("revoked".to_owned());
    assert_eq!((hub, agent), (local.clone(), remote.clone()));
    assert_eq!(accepted.unwrap_err(), remote);
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(read_back.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(write_until_refused(&mut theirs).await.kind(), io::ErrorKind::ConnectionAborted);
    assert_eq!(pair.hub.open(Priority::Normal).unwrap_err(), OpenError::Closed(local.clone()));
    assert_eq!(pair.hub.ping().await.unwrap_err(), local);
}

async fn the_first_reason_stays(pair: Pair) {
    pair.hub.close("first");
    pair.hub.close("second");
    let reason = pair.agent.closed().await;
    pair.agent.close("third");
    assert_eq!(pair.hub.closed().await, CloseReason::Local("first".to_owned()));
    assert_eq!(
        (reason, pair.agent.closed().await),
        (CloseReason::Remote("first".to_owned()), CloseReason::Remote("first".to_owned()))
    );
}

async fn only_the_hub_opens(pair: Pair) {
    assert_eq!(pair.agent.open(Priority::Normal).unwrap_err(), OpenError::TooManyStreams);
}

async fn streams_are_limited_and_independent(pair: Pair) {
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        streams.push(pair.stream().await);
    }
    assert_eq!(pair.hub.open(Priority::Normal).unwrap_err(), OpenError::TooManyStreams);
    for (i, (ours, theirs)) in streams.iter_mut().enumerate().rev() {
        theirs.write_all(&i.to_le_bytes()).await.unwrap();
        theirs.flush().await.unwrap();
        assert_eq!(ours.read_u64_le().await.unwrap(), i as u64);
    }
}

async fn an_ended_stream_gives_its_slot_back(pair: Pair) {
    for _ in 0..3 * STREAMS_MAX {
        // A slot is free again once both ends know, a round trip later.
        let mut ours = loop {
            match pair.hub.open(Priority::Normal) {
                Ok(stream) => break stream,
                Err(OpenError::TooManyStreams) => drop(pair.hub.ping().await.unwrap()),
                Err(OpenError::Closed(reason)) => panic!("{reason}"),
            }
        };
        ours.write_all(b"!").await.unwrap();
        ours.flush().await.unwrap();
        let theirs = pair.agent.accept().await.unwrap();
        drop(ours);
        drop(theirs);
    }
}

async fn a_stalled_reader_stops_only_its_own_stream(pair: Pair) {
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let (mut ours, mut theirs) = pair.stream().await;
        fill(&mut ours).await;
        fill(&mut theirs).await;
        stalled.push((ours, theirs));
    }
    let (mut ours, mut theirs) = pair.stream().await;
    for _ in 0..100 {
        ours.write_all(b"ping").await.unwrap();
        ours.flush().await.unwrap();
        let mut word = [0; 4];
        theirs.read_exact(&mut word).await.unwrap();
        theirs.write_all(&word).await.unwrap();
        theirs.flush().await.unwrap();
        ours.read_exact(&mut word).await.unwrap();
    }
    assert!(pair.hub.ping().await.is_ok());
}

async fn a_big_transfer_arrives_whole_both_ways(pair: Pair) {
    const LENGTH: usize = 24 * 1024 * 1024;
    let (ours, theirs) = pair.stream().await;
    let (mut our_reader, mut our_writer) = tokio::io::split(ours);
    let (mut their_reader, mut their_writer) = tokio::io::split(theirs);
    let (down, up, ..) = tokio::join!(
        digest_of(&mut our_reader),
        digest_of(&mut their_reader),
        write_pattern(&mut our_writer, LENGTH),
        write_pattern(&mut their_writer, LENGTH),
    );
    let whole: Vec<u8> = pattern(LENGTH).collect();
    let expected = (LENGTH, crc32c::crc32c(&whole));
    assert_eq!((down, up), (expected, expected));
}

async fn a_ping_measures_the_round_trip(pair: Pair) {
    let measured = pair.hub.ping().await.unwrap();
    assert!(measured < PATIENCE);
    assert!(pair.hub.rtt().is_some());
    assert!(pair.agent.ping().await.is_ok());
}

async fn read_all(stream: &mut Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// Writes until the stream's windows and queues are full.
async fn fill(stream: &mut Stream) {
    let piece = vec![7; 16 * 1024];
    while tokio::time::timeout(Duration::from_millis(20), stream.write_all(&piece)).await.is_ok() {}
}

async fn write_until_refused(stream: &mut Stream) -> io::Error {
    loop {
        if let Err(error) = stream.write_all(b"more").await {
            return error;
        }
        tokio::task::yield_now().await;
    }
}

async fn write_pattern(to: &mut (impl AsyncWrite + Unpin), length: usize) {
    let bytes: Vec<u8> = pattern(length).collect();
    for (i, piece) in bytes.chunks(50_000).enumerate() {
        to.write_all(piece).await.unwrap();
        if i % 7 == 0 {
            to.flush().await.unwrap();
        }
    }
    to.shutdown().await.unwrap();
}

async fn digest_of(from: &mut (impl AsyncRead + Unpin)) -> (usize, u32) {
    let (mut length, mut digest) = (0, 0);
    let mut piece = vec![0; 40_000];
    loop {
        let read = from.read(&mut piece).await.unwrap();
        if read == 0 {
            return (length, digest);
        }
        length += read;
        digest = crc32c::crc32c_append(digest, &piece[..read]);
    }
}

fn pattern(length: usize) -> impl Iterator<Item = u8> {
    (0..length).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
}

/// One connected pair over each transport.
mod links {
    use super::*;
    use crate::testing;
    use crate::transport::{memory, quic, websocket};

    pub(super) fn memory() -> impl Future<Output = Pair> {
        let (hub, agent) = memory::pair();
        std::future::ready(Pair { hub, agent, _carrier: Box::new(()) })
    }

    /// The multiplexer alone.
    pub(super) fn multiplexed() -> impl Future<Output = Pair> {
        let (near, far, _) = testing::link(testing::LinkOptions::default());
        std::future::ready(driven(near, far))
    }

    /// The multiplexer in TLS in a WebSocket over TCP, as in the field.
    pub(super) async fn websocket() -> Pair {
        let fleet = Fleet::new();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let dialed = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let accepted = listener.accept().await.unwrap().0;
        let (agent, hub) = websocket::tests::upgraded(dialed, accepted).await;
        let identity = fleet.agent(AgentId::generate());
        let tls = crate::tls::client_config(Purpose::Session, fleet.trust(), Some(identity)).unwrap();
        let config = crate::tls::server_config(&fleet.hub_identity()).unwrap();
        let (agent, hub) = tokio::join!(tls.handshake(agent), crate::tls::hub::accept(hub, config));
        driven(hub.unwrap().0, agent.unwrap())
    }

    /// A connection over two ends of a byte stream, and the drivers that end
    /// with it.
    fn driven<A, B>(hub: A, agent: B) -> Pair
    where
        A: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        B: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (hub, hub_driver) = Connection::multiplexed(hub, Side::Hub, TransportKind::WebSocket);
        let (agent, agent_driver) = Connection::multiplexed(agent, Side::Agent, TransportKind::WebSocket);
        let mut drivers = tokio::task::JoinSet::new();
        drivers.spawn(hub_driver);
        drivers.spawn(agent_driver);
        Pair { hub, agent, _carrier: Box::new(drivers) }
    }

    pub(super) async fn quic() -> Pair {
        let fleet = Fleet::new();
        let any = (Ipv4Addr::LOCALHOST, 0).into();
        let config = quic::server_config(crate::tls::server_config(&fleet.hub_identity()).unwrap());
        let listener = quinn::Endpoint::server(config, any).unwrap();
        let dialer = quinn::Endpoint::client(any).unwrap();
        let identity = fleet.agent(AgentId::generate());
        let tls = crate::tls::client_config(Purpose::Session, fleet.trust(), Some(identity)).unwrap();
        let address = listener.local_addr().unwrap();
        let (agent, hub) = tokio::join!(quic::connect(&dialer, address, &tls), async {
            listener.accept().await.unwrap().await.unwrap()
        });
        let (hub, agent) = (Connection::quic(hub), Connection::quic(agent.unwrap()));
        Pair { hub, agent, _carrier: Box::new((listener, dialer)) }
    }
}

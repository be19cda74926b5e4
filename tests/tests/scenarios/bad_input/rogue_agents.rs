//! What an agent with a good certificate may try.

mod versions;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use windflow_agent::identity::StateDir;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec;
use windflow_protocol::limits::WINDOW_INITIAL;
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::message::hello::{Ack, Hello, HelloReply, HostFacts, Standing, Ticket};
use windflow_protocol::version::ProtocolVersion;
use windflow_tests::product::{Agent, AgentOptions, Hub, Rogue, RogueSession};

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};
use super::GROWTH_MAX;

/// Frames have eight bytes in front: type, flags, stream, length.
fn header(kind: u8, flags: u8, stream: u32, length: u16) -> Vec<u8> {
    let mut bytes = vec![kind, flags];
    bytes.extend_from_slice(&stream.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes
}

/// The multiplexer's first frame as every end sends it.
fn settings() -> Vec<u8> {
    let mut bytes = header(SETTINGS, 0, 0, 14);
    bytes.extend_from_slice(&1_u16.to_le_bytes());
    for value in [WINDOW_INITIAL, 16 * 1024, 256] {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

const SETTINGS: u8 = 0;
const OPEN: u8 = 1;
const DATA: u8 = 2;
const WINDOW: u8 = 3;
const PING: u8 = 6;

/// A hub, an agent on it that behaves, and the identity of one that will not.
struct Scene {
    hub: Hub,
    good: Agent,
    bad: Agent,
}

fn scene() -> Scene {
    let hub = Hub::start();
    let good = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE).over("websocket"));
    let bad = Agent::enrolled(&hub, "rogue", AgentOptions::new(&hub, NO_ENGINE));
    Scene { hub, good, bad }
}

impl Scene {
    async fn rogue(&self) -> Rogue {
        Rogue::connect(self.hub.address(), &self.bad.state_folder()).await
    }

    async fn session(&self) -> RogueSession {
        self.rogue().await.into_session().await
    }

    /// Checks that nobody but the rogue noticed.
    fn unharmed(&self, resident_before: u64) {
        let growth = self.hub.resident_bytes().saturating_sub(resident_before);
        assert!(growth < GROWTH_MAX, "the hub grew by {growth} bytes");
        assert_eq!(self.hub.state_of(NAME), "online");
        assert_eq!(self.hub.request("GET", "/healthz", "").status, 200);
        assert!(!self.hub.log().contains("panicked"), "{}", self.hub.log());
    }
}

/// Sends each of `rubbish` in a session of its own and waits for its end.
async fn ends_the_session(rubbish: &[Vec<u8>]) {
    let scene = scene();
    let before = scene.hub.resident_bytes();
    for bytes in rubbish {
        let mut rogue = scene.rogue().await;
        rogue.send(bytes).await;
        rogue.until_ended().await;
    }
    scene.unharmed(before);
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_malformed_frames_end_the_session() {
    let after_settings = |frame: Vec<u8>| [settings(), frame].concat();
    ends_the_session(&[
        vec![0xff; 64],
        header(0xee, 0, 0, 0),
        after_settings(header(0xee, 0, 0, 0)),
        after_settings(header(DATA, 0xf0, 1, 1)),
        after_settings(header(DATA, 0, 1, u16::MAX)),
        after_settings(header(PING, 0, 0, u16::MAX)),
        after_settings(header(OPEN, 0, 0, 0)),
        after_settings(header(WINDOW, 0, 1, 3)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_a_million_stream_opens_end_the_session_and_cost_no_memory() {
    let scene = scene();
    let before = scene.hub.resident_bytes();
    let mut rogue = scene.rogue().await;
    rogue.send(&settings()).await;
    for batch in 0..1000_u32 {
        let opens = (0..1000).flat_map(|number| header(OPEN, 0, batch * 1000 + number + 1, 0)).collect::<Vec<_>>();
        if !rogue.send(&opens).await {
            break;
        }
    }
    rogue.until_ended().await;
    scene.unharmed(before);
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_a_flood_of_pings_costs_no_memory() {
    let scene = scene();
    let before = scene.hub.resident_bytes();
    let mut rogue = scene.rogue().await;
    rogue.send(&settings()).await;
    let ping = [header(PING, 0, 0, 8), vec![7; 8]].concat();
    let batch = ping.repeat(10_000);
    // The answers are never read.
    for _ in 0..50 {
        if !timeout(Duration::from_secs(1), rogue.send(&batch)).await.unwrap_or(false) {
            break;
        }
    }
    scene.unharmed(before);
}

fn hello() -> Hello {
    Hello {
        newest: ProtocolVersion::CURRENT,
        oldest: ProtocolVersion::OLDEST,
        capabilities: Capabilities::ALL,
        generation: 1,
        ticket: None,
        instance: [9; 16],
        agent_version: "0.0.0".to_owned(),
        host: HostFacts { hostname: "HOSTNAME".to_owned(), ..HostFacts::default() },
        engine: EngineStatus::Unknown,
    }
}

/// Sends `bytes` as the hello; returns what the hub said before it hung up.
async fn answer_to(scene: &Scene, bytes: &[u8]) -> Option<HelloReply> {
    let mut session = scene.session().await;
    session.control.write_all(bytes).await.unwrap();
    session.control.flush().await.unwrap();
    let reply = timeout(SOON, codec::read_message(&mut session.control)).await.expect("the hub answers or hangs up");
    timeout(SOON, session.connection.closed()).await.expect("the hub hangs up");
    reply.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_a_hello_that_is_none_ends_the_session() {
    let scene = scene();
    let before = scene.hub.resident_bytes();
    let good = codec::frame(&hello()).unwrap();
    let at = good.windows(8).position(|window| window == b"HOSTNAME").unwrap();
    let mut no_utf_8 = good.clone();
    no_utf_8[at] = 0xff;
    let four_gigabytes = [&[0xff; 4][..], &[0; 64]].concat();
    let cut_short = [&4_u32.to_le_bytes()[..], &good[4..8]].concat();
    for bytes in [no_utf_8, four_gigabytes, cut_short, vec![0; 4]] {
        let reply = answer_to(&scene, &bytes).await;
        assert!(!matches!(reply, Some(HelloReply::Welcome(_))), "{reply:?}");
    }
    scene.unharmed(before);
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_an_agent_that_never_says_hello_is_dropped() {
    let scene = scene();
    let mut session = scene.session().await;
    let mut byte = [0];
    let read = timeout(Duration::from_secs(25), session.control.read(&mut byte)).await;
    assert!(matches!(read, Ok(Ok(0) | Err(_))), "the hub still waits for a hello: {read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn f43_an_agent_that_never_acknowledges_is_not_online() {
    let scene = scene();
    let mut session = scene.session().await;
    codec::write_message(&mut session.control, &hello()).await.unwrap();
    let reply: HelloReply = timeout(SOON, codec::read_message(&mut session.control)).await.unwrap().unwrap();
    assert!(matches!(reply, HelloReply::Welcome(_)), "{reply:?}");
    assert_ne!(scene.hub.state_of("rogue"), "online");
}

/// Who an agent is stands in its certificate alone: what it says is no claim.
#[tokio::test(flavor = "multi_thread")]
async fn f43_an_agent_that_shows_the_ticket_of_another_gets_neither_its_place_nor_a_stream() {
    let scene = scene();
    let stolen = StateDir::open(&scene.good.state_folder()).unwrap().load().unwrap().unwrap().state.ticket;
    let session = scene.hub.connected_at(NAME);
    let mut rogue = scene.session().await;
    let spoofed = Hello { ticket: Some(Ticket(stolen)), ..hello() };
    codec::write_message(&mut rogue.control, &spoofed).await.unwrap();
    let reply: HelloReply = timeout(SOON, codec::read_message(&mut rogue.control)).await.unwrap().unwrap();
    let HelloReply::Welcome(welcome) = reply else { panic!("{reply:?}") };
    assert_eq!(welcome.standing, Standing::Quarantined);
    codec::write_message(&mut rogue.control, &Ack { ticket: welcome.ticket }).await.unwrap();
    scene.hub.wait_for_state("rogue", "quarantined", SOON);
    assert_eq!(scene.hub.connected_at(NAME), session);
    assert_eq!(scene.hub.state_of(NAME), "online");
}

//! Agents of other versions than the hub's, as far as this build can play
//! them: what they say in the hello, and messages that do not exist yet. What
//! a hub of another version says is in `agent/src/serve/tests.rs`.

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use windflow_agent::identity::StateDir;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec;
use windflow_protocol::message::control::{EngineFacts, EngineStatus, ToHub};
use windflow_protocol::message::hello::{Ack, Hello, HelloReply, RejectReason, Ticket};
use windflow_protocol::version::ProtocolVersion;
use windflow_tests::product::RogueSession;
use windflow_tests::wait;

use super::super::super::SOON;
use super::{Scene, answer_to, hello, scene};

async fn refused(hello: Hello) -> String {
    let scene = scene();
    let reply = answer_to(&scene, &codec::frame(&hello).unwrap()).await;
    let Some(HelloReply::Rejected(rejected)) = reply else { panic!("{reply:?}") };
    assert_eq!(rejected.reason, RejectReason::Version);
    rejected.message
}

/// A session of an agent that the hub knows and trusts, whatever its version.
async fn welcomed(scene: &Scene, hello: Hello) -> (RogueSession, Capabilities) {
    let mut session = scene.session().await;
    let identity = StateDir::open(&scene.bad.state_folder()).unwrap().load().unwrap().unwrap();
    let hello = Hello { ticket: Some(Ticket(identity.state.ticket)), ..hello };
    let mut bytes = codec::encode(&hello).unwrap();
    // What later versions will have appended.
    bytes.extend_from_slice(&[1, 2, 3, 4]);
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    session.control.write_all(&[&length[..], &bytes].concat()).await.unwrap();
    session.control.flush().await.unwrap();
    let reply = timeout(SOON, codec::read_message(&mut session.control)).await.unwrap().unwrap();
    let HelloReply::Welcome(welcome) = reply else { panic!("{reply:?}") };
    assert_eq!(welcome.version, ProtocolVersion::CURRENT);
    codec::write_message(&mut session.control, &Ack { ticket: welcome.ticket }).await.unwrap();
    (session, welcome.capabilities)
}

#[tokio::test(flavor = "multi_thread")]
async fn f45_an_agent_of_a_future_without_us_is_refused_and_told_to_update_the_hub() {
    let future = Hello { newest: ProtocolVersion(900), oldest: ProtocolVersion(900), ..hello() };
    assert!(refused(future).await.contains("update the hub"));
}

#[tokio::test(flavor = "multi_thread")]
async fn f45_an_agent_of_a_past_that_we_have_left_is_refused_and_told_to_update_itself() {
    let past = Hello { newest: ProtocolVersion(0), oldest: ProtocolVersion(0), ..hello() };
    assert!(refused(past).await.contains("update the agent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn f45_an_agent_of_a_future_that_still_knows_us_is_welcome_with_what_both_can_do() {
    let scene = scene();
    let future = Hello { newest: ProtocolVersion(900), capabilities: Capabilities::from_bits(u64::MAX), ..hello() };
    let (_session, capabilities) = welcomed(&scene, future).await;
    assert!(Capabilities::ALL.contains(capabilities));
    scene.hub.wait_for_state("rogue", "online", SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn f45_a_message_number_that_does_not_exist_yet_is_passed_over_and_the_next_is_heard() {
    let scene = scene();
    let (mut session, _) = welcomed(&scene, hello()).await;
    scene.hub.wait_for_state("rogue", "online", SOON);
    let unknown = [2, 0, 0, 0, 200, 1];
    session.control.write_all(&unknown).await.unwrap();
    let facts = EngineFacts { version: "99.9".to_owned(), ..EngineFacts::default() };
    codec::write_message(&mut session.control, &ToHub::Engine(EngineStatus::Running(facts))).await.unwrap();
    session.control.flush().await.unwrap();
    wait::until_true("the message behind it", SOON, || {
        scene.hub.environment("rogue").and_then(|site| site.engine_version).as_deref() == Some("99.9")
    });
    assert_eq!(scene.hub.state_of("rogue"), "online");
}

#[tokio::test(flavor = "multi_thread")]
async fn f45_an_agent_that_lacks_what_is_asked_of_it_stays_and_the_caller_is_told_to_update_it() {
    let scene = scene();
    let (_session, capabilities) = welcomed(&scene, Hello { capabilities: Capabilities::NONE, ..hello() }).await;
    assert_eq!(capabilities, Capabilities::NONE);
    let id = scene.hub.wait_for_state("rogue", "online", SOON).id;
    let answer = scene.hub.request("GET", &format!("/api/v1/environments/{id}/engine/_ping"), "");
    assert_eq!((answer.status, answer.code().as_str()), (409, "agent_too_old"), "{}", answer.body);
    assert_eq!(scene.hub.state_of("rogue"), "online");
}

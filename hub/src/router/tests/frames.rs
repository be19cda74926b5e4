//! C-05: whoever is not let in reaches no host. The agent of an environment is
//! held by the test here, so that each stream that the hub opens is seen.

use futures_util::FutureExt;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec::{read_message, write_message};
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::message::hello::{Ack, Hello, HelloReply, HostFacts};
use windflow_protocol::message::preamble::read_preamble;
use windflow_protocol::transport::{Connection, Stream, memory};
use windflow_protocol::version::ProtocolVersion;

use super::*;
use crate::tunnel::{Arrival, Identity, admit};

/// An agent that does nothing by itself, and its control stream.
struct Held {
    connection: Connection,
    _control: Stream,
}

impl Held {
    /// The agent of an environment that is online from now on.
    async fn come(hub: &TestHub, environment: EnvironmentId) -> Self {
        let (hub_end, connection) = memory::pair();
        let (app, arrived_at) = (hub.app.clone(), hub.app.clock.now());
        let arrival = Arrival::fresh(hub_end, Identity::Attached(environment), arrived_at);
        hub.app.lifecycle.tasks.spawn(async move { admit(arrival, app.fleet.sessions(), app.fleet.as_ref()).await });
        let mut control = connection.accept().await.unwrap();
        read_preamble(&mut control).await.unwrap();
        let hello = Hello {
            newest: ProtocolVersion::CURRENT,
            oldest: ProtocolVersion::OLDEST,
            capabilities: Capabilities::ALL,
            generation: 1,
            ticket: None,
            instance: [1; 16],
            agent_version: "0".to_owned(),
            host: HostFacts::default(),
            engine: EngineStatus::Unknown,
        };
        write_message(&mut control, &hello).await.unwrap();
        let HelloReply::Welcome(welcome) = read_message(&mut control).await.unwrap() else { panic!("it is welcome") };
        write_message(&mut control, &Ack { ticket: welcome.ticket }).await.unwrap();
        let mut newest = hub.app.fleet.sessions().feed().newest();
        while hub.app.sessions.of(environment).is_err() {
            newest.changed().await.unwrap();
        }
        Self { connection, _control: control }
    }

    /// Whether the hub opened a stream since the last time.
    fn was_asked(&self) -> bool {
        self.connection.accept().now_or_never().is_some()
    }
}

#[tokio::test]
async fn c05_whoever_is_not_let_in_has_no_frame_sent_to_a_host() {
    let hub = TestHub::with_users().await;
    let environment = hub.app.fleet.ensure_local().await.unwrap();
    let agent = Held::come(&hub, environment).await;
    let gone = hub.signed_in("operator").await;
    assert_eq!(hub.delete(&gone, "/api/v1/session").await.status, StatusCode::NO_CONTENT);
    let strangers = [Client::browser(), gone, Client::program("wfa1_0123456789abcdef_0123456789abcdef")];
    let mut asked = 0;
    for route in records(&hub.app).into_iter().filter(|route| matches!(route.access, Access::At(_))) {
        let (method, path) = sample(&route);
        let path = path.replacen("/environments/1", &format!("/environments/{environment}"), 1);
        for stranger in &strangers {
            let request = Request::builder().method(method.as_str()).uri(&path);
            let answer = hub.send(stranger, request, Body::empty()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{route}");
            assert!(!agent.was_asked(), "{route}");
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");

    let admin = hub.signed_in("admin").await;
    let path = format!("/api/v1/environments/{environment}/engine/v1.41/info");
    let mut answer = Box::pin(hub.get(&admin, &path));
    let opened = async {
        while !agent.was_asked() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = &mut answer => panic!("nobody answered for the engine: {answer:?}"),
        () = opened => {}
    }
}

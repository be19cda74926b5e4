//! What an agent's process takes of its host while many streams run and some
//! of their readers do not read (T13): the real hub and agents, and a simulated
//! engine.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::task::JoinSet;
use windflow_tests::product::{Agent, AgentOptions, Hub};
use windflow_tests::simulated::{Conduct, SimulatedEngine};

use super::super::engine::client::{Target, Upgrade};
use super::super::meter::{WORKERS, block_on, peak_mib};
use super::super::table::{Limit, Row, Unit, Way};

const STREAMS: usize = 64;
const STALLED: usize = 20;
/// For how long the others read.
const READ_FOR: Duration = Duration::from_secs(4);

/// A path whose answer does not end.
const ENDLESS: &str = "/images/endless/get";

/// An agent over each transport.
pub fn measure() {
    let [websocket, quic] = block_on(WORKERS, async {
        let engine = SimulatedEngine::start();
        engine.set_conduct(ENDLESS, Conduct::Endless);
        let address = engine.address();
        let hub = Hub::start();
        let mut peaks = [0.0; 2];
        for (transport, peak) in ["websocket", "quic"].into_iter().zip(&mut peaks) {
            let options = AgentOptions::new(&hub, &address).through(format!("http://{}", hub.address()));
            let agent = Agent::online(&hub, transport, options.over(transport));
            let id = hub.environment(transport).expect("it has just come online").id;
            load(&Target::through(&hub, &id)).await;
            *peak = peak_mib(&agent.process_id().to_string());
        }
        peaks
    });
    Row::new("T13 agent, 64 streams of which 20 stalled, most RSS", Unit::Mebibytes)
        .judged(Way::WebSocket, websocket, Limit::AtMost(64.0))
        .judged(Way::Quic, quic, Limit::AtMost(64.0))
        .print();
}

/// Opens all streams, reads most of them at full speed, and closes them.
async fn load(target: &Target) {
    let mut readers = JoinSet::new();
    for number in 0..STREAMS {
        let target = target.clone();
        readers.spawn(async move {
            let mut client = target.connect().await;
            let answer = client.send("GET", ENDLESS, "", Upgrade::None).await;
            assert!(answer.status().is_success(), "{}", answer.status());
            let mut body = answer.into_body();
            if number < STALLED {
                std::future::pending::<()>().await;
            }
            while let Some(frame) = body.frame().await {
                frame.expect("the engine pours without end");
            }
        });
    }
    tokio::time::sleep(READ_FOR).await;
    assert_eq!(readers.len(), STREAMS, "every stream still stands");
    assert!(readers.try_join_next().is_none(), "no stream has ended");
    readers.shutdown().await;
}

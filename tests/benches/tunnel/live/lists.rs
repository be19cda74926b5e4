//! A list of 200 containers: from the hub's inventory, and asked of the
//! engine. The hub asks nobody, so a slow link makes no difference.

use std::time::Duration;

use windflow_tests::wait;

use super::{Bed, WAYS};
use crate::tunnel::engine::IMAGE;
use crate::tunnel::engine::client::{Client, Target, runtime};
use crate::tunnel::meter::{median, time_of};
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// What each list holds: as much as one page of the hub's may.
const CONTAINERS: usize = 200;
/// Requests that are not counted, then those that are, for each way.
const WARM_UP: usize = 20;
const COUNTED: usize = 200;
/// The far agent's name, and how long each byte takes to it or from it.
pub const FAR: &str = "far";
pub const DELAY: Duration = Duration::from_millis(150);
/// How long the agents may take to tell of all containers.
const TOLD: Duration = Duration::from_secs(60);

const DIRECT: &str = "/v1.41/containers/json?all=1";
const LISTED: &str = "/containers?limit=200";

/// Asks each in turn, so that whatever else the machine does hits all alike.
pub fn measure(bed: &Bed) {
    runtime().block_on(create(bed));
    for name in ["websocket", "quic", FAR] {
        let environment = bed.environment(name);
        wait::until("the hub to know all containers", TOLD, || {
            runtime().block_on(knows_all(&environment)).then_some(())
        });
    }
    let [direct, websocket, quic, far] = runtime().block_on(measure_all(bed)).map(|times| median(&times));
    Row::new("list of 200 containers from the inventory, p50", Unit::Micros)
        .against(direct)
        .judged(WAYS[0], websocket, Limit::TimesAtMost(0.5))
        .judged(WAYS[1], quic, Limit::TimesAtMost(0.5))
        .print();
    Row::new("the same of a host 300 ms away, p50", Unit::Micros)
        .against(direct)
        .judged(Way::WebSocket, far, Limit::TimesAtMost(0.5))
        .print();
}

async fn create(bed: &Bed) {
    let mut engine = bed.direct.connect().await;
    for number in 0..CONTAINERS {
        let body = format!(r#"{{"Image":"{}","Cmd":["true"],"Labels":{{"number":"{number}"}}}}"#, IMAGE);
        engine.ask("POST", &format!("/v1.41/containers/create?name=listed-{number}"), &body).await;
    }
}

async fn knows_all(environment: &Target) -> bool {
    let answer = environment.connect().await.ask("GET", LISTED, "").await;
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("the hub speaks JSON");
    answer["items"].as_array().is_some_and(|items| items.len() == CONTAINERS)
}

async fn measure_all(bed: &Bed) -> [Vec<f64>; 4] {
    let [websocket, quic] = bed.near();
    let mut clients = Vec::new();
    for target in [&bed.direct, &websocket, &quic, &bed.environment(FAR)] {
        clients.push(target.connect().await);
    }
    let mut times: [Vec<f64>; 4] = Default::default();
    for round in 0..WARM_UP + COUNTED {
        for (number, (client, times)) in clients.iter_mut().zip(&mut times).enumerate() {
            let time = one(client, if number == 0 { DIRECT } else { LISTED }).await;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    times
}

async fn one(client: &mut Client, path: &str) -> f64 {
    time_of(client.ask("GET", path, "")).await
}

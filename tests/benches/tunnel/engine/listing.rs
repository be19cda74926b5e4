//! Small requests on a kept connection.

use std::time::Instant;

use super::client::{Client, runtime};
use super::{Bed, IMAGE, docker};
use crate::tunnel::meter::{median, micros, percentile};
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// Requests that are not counted, then those that are, for each way.
const WARM_UP: usize = 100;
const COUNTED: usize = 800;
/// What each list holds.
const CONTAINERS: usize = 5;

/// Lists containers over each way in turn, so that whatever else the machine
/// does hits all of them alike.
pub fn measure(bed: &Bed) {
    for number in 0..CONTAINERS {
        docker(&bed.engine, &["create", "--name", &format!("listed-{number}"), IMAGE, "true"]);
    }
    let times = runtime().block_on(measure_all(bed));
    let [direct, memory, websocket, quic, in_tls] = times.each_ref().map(|times| median(times));
    Row::new("GET /containers/json through the gateway, kept, p50", Unit::Micros)
        .against(direct)
        .judged(Way::Memory, memory, Limit::TimesAtMost(1.2))
        .judged(Way::WebSocket, websocket, Limit::TimesAtMost(1.5))
        .judged(Way::Quic, quic, Limit::TimesAtMost(1.7))
        .print();
    Row::new("the same through an agent that dials https://, p50", Unit::Micros)
        .against(direct)
        .reached(Way::WebSocket, in_tls)
        .print();
    let [direct, memory, websocket, quic, _] = times.each_ref().map(|times| percentile(times, 0.99));
    Row::new("the same, p99", Unit::Micros)
        .against(direct)
        .reached(Way::Memory, memory)
        .reached(Way::WebSocket, websocket)
        .reached(Way::Quic, quic)
        .print();
}

async fn measure_all(bed: &Bed) -> [Vec<f64>; 5] {
    let mut clients = Vec::new();
    for target in bed.targets() {
        clients.push(target.connect().await);
    }
    let mut times: [Vec<f64>; 5] = Default::default();
    for round in 0..WARM_UP + COUNTED {
        for (client, times) in clients.iter_mut().zip(&mut times) {
            let time = one(client).await;
            if round >= WARM_UP {
                times.push(time);
            }
        }
    }
    times
}

async fn one(client: &mut Client) -> f64 {
    let started = Instant::now();
    client.ask("GET", "/v1.41/containers/json?all=1", "").await;
    micros(started.elapsed())
}

//! Small requests on a kept connection.

use std::time::{Duration, Instant};

use super::client::{Client, runtime};
use super::{Bed, Required, docker, in_micros, percentile, print_line};

/// Requests that are not counted, then those that are, for each way.
const WARM_UP: usize = 100;
const COUNTED: usize = 1000;

/// Lists containers over each way in turn, so that whatever else the machine
/// does hits all of them alike.
pub fn measure(bed: &Bed) {
    for number in 0..5 {
        let name = format!("listed-{number}");
        docker(&bed.engine, &["create", "--name", &name, windflow_tests::engine::BUSYBOX, "true"]);
    }
    let mut times = vec![Vec::with_capacity(COUNTED); bed.ways.len()];
    runtime().block_on(async {
        let mut clients = Vec::new();
        for way in &bed.ways {
            clients.push(way.target.connect().await);
        }
        for round in 0..WARM_UP + COUNTED {
            for (client, times) in clients.iter_mut().zip(&mut times) {
                let time = one(client).await;
                if round >= WARM_UP {
                    times.push(time);
                }
            }
        }
    });
    let direct = percentile(&mut times[0], 0.5);
    let required = [Required::Reference, Required::AtMost(1.2), Required::AtMost(1.5), Required::AtMost(1.7)];
    for ((way, times), required) in bed.ways.iter().zip(&mut times).zip(required) {
        let p50 = percentile(times, 0.5);
        let what = format!("GET /containers/json, {}, p50", way.name);
        print_line(&what, &in_micros(p50), p50.as_secs_f64() / direct.as_secs_f64(), required);
    }
}

async fn one(client: &mut Client) -> Duration {
    let started = Instant::now();
    client.ask("GET", "/v1.41/containers/json?all=1", "").await;
    started.elapsed()
}

//! A large download: saving an image.

use std::time::Instant;

use http_body_util::BodyExt;
use windflow_tests::engine::TestEngine;

use super::client::{Target, Upgrade, runtime};
use super::{Bed, IMAGE, docker};
use crate::tunnel::meter::median;
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// The image's name.
const LARGE: &str = "windflow/large";
/// How often each way saves it; the median counts.
const ROUNDS: usize = 3;
/// What the hub may grow by meanwhile, in MiB.
const GROWTH_MOST: f64 = 16.0;

/// Saves a 300 MB image over each way.
pub fn measure(bed: &Bed) {
    save(&bed.direct);
    let before = bed.hub.resident_bytes();
    let mut largest = before;
    let mut rates: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        for (target, rates) in bed.targets().into_iter().zip(&mut rates) {
            rates.push(save(target));
            largest = largest.max(bed.hub.resident_bytes());
        }
    }
    let [direct, memory, websocket, quic, in_tls] = rates.each_ref().map(|rates| median(rates));
    Row::new("image save of 300 MB", Unit::MegabytesPerSecond)
        .against(direct)
        .reached(Way::Memory, memory)
        .judged(Way::WebSocket, websocket, Limit::TimesAtLeast(0.8))
        .reached(Way::Quic, quic)
        .print();
    Row::new("the same through an agent that dials https://", Unit::MegabytesPerSecond)
        .against(direct)
        .reached(Way::WebSocket, in_tls)
        .print();
    let growth = largest.saturating_sub(before) as f64 / f64::from(1 << 20);
    Row::new("growth of the hub while saving over all ways", Unit::Mebibytes)
        .judged(Way::WebSocket, growth, Limit::AtMost(GROWTH_MOST))
        .print();
}

/// Makes an image that large: random bytes, which nothing can compress.
pub fn make_image(engine: &TestEngine, mebibytes: usize) {
    let script = format!("dd if=/dev/urandom of=/noise bs=1M count={mebibytes} 2>/dev/null");
    docker(engine, &["run", "--name", "noisy", "--network", "none", IMAGE, "sh", "-c", &script]);
    docker(engine, &["commit", "noisy", LARGE]);
}

/// Saves it once and returns the rate in MB/s.
pub fn save(target: &Target) -> f64 {
    runtime().block_on(async {
        let mut client = target.connect().await;
        let started = Instant::now();
        let answer = client.send("GET", &format!("/v1.41/images/{LARGE}/get"), "", Upgrade::None).await;
        assert!(answer.status().is_success(), "{}", answer.status());
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.expect("a whole image").data_ref().map_or(0, bytes::Bytes::len);
        }
        length as f64 / 1e6 / started.elapsed().as_secs_f64()
    })
}

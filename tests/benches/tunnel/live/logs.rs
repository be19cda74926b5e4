//! The log of a container that has said a lot: read whole from the engine, and
//! through the hub.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use windflow_tests::process;

use super::{Bed, WAYS};
use crate::tunnel::engine::IMAGE;
use crate::tunnel::engine::client::{Target, Upgrade, runtime};
use crate::tunnel::meter::median;
use crate::tunnel::table::{Limit, Row, Unit};

/// The container, and what it prints: lines of 100 bytes.
const NAME: &str = "talker";
const LINES: usize = 400_000;
const BYTES: usize = LINES * 100;
/// How long it may take to print them.
const PRINTED: Duration = Duration::from_secs(120);
const ROUNDS: usize = 3;

/// Reads it over each way.
pub fn measure(bed: &Bed) {
    let script = format!("yes {} | head -n {LINES}", "x".repeat(99));
    let mut command = bed.engine.docker_command();
    command
        .args(["run", "--network", "none", "--name", NAME, IMAGE, "sh", "-c", &script])
        .stdout(std::process::Stdio::null());
    process::run(&mut command, PRINTED);
    let [websocket, quic] = bed.near();
    let mut rates: [Vec<f64>; 3] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(read(&bed.direct, &format!("/v1.41/containers/{NAME}/logs?stdout=1&stderr=1")));
        rates[1].push(read(&websocket, &format!("/containers/{NAME}/logs")));
        rates[2].push(read(&quic, &format!("/containers/{NAME}/logs")));
    }
    let [direct, websocket, quic] = rates.each_ref().map(|rates| median(rates));
    Row::new("log of 40 MB, read whole", Unit::MegabytesPerSecond)
        .against(direct)
        .judged(WAYS[0], websocket, Limit::TimesAtLeast(0.7))
        .judged(WAYS[1], quic, Limit::TimesAtLeast(0.7))
        .print();
}

/// MB/s of the log's own bytes.
fn read(target: &Target, path: &str) -> f64 {
    runtime().block_on(async {
        let mut client = target.connect().await;
        let started = Instant::now();
        let answer = client.send("GET", path, "", Upgrade::None).await;
        assert!(answer.status().is_success(), "{}", answer.status());
        let (mut body, mut length) = (answer.into_body(), 0);
        while let Some(frame) = body.frame().await {
            length += frame.expect("a whole log").data_ref().map_or(0, bytes::Bytes::len);
        }
        assert!(length >= BYTES, "{length} bytes came");
        BYTES as f64 / 1e6 / started.elapsed().as_secs_f64()
    })
}

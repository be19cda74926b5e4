//! A large download: saving an image.

use std::time::Instant;

use http_body_util::BodyExt;

use super::client::{Target, Upgrade, runtime};
use super::{Bed, Required, docker, print_line, print_size};

/// The image's name.
pub const LARGE: &str = "windflow/large";
/// How often each way saves it; the best counts.
const ROUNDS: usize = 3;
/// What the hub may grow by meanwhile, in bytes.
const GROWTH_MAX: u64 = 16 << 20;

/// Saves a 300 MB image over each way.
pub fn measure(bed: &Bed) {
    let before = bed.hub.resident_bytes();
    let mut largest = before;
    let mut best = vec![0.0_f64; bed.ways.len()];
    for _ in 0..ROUNDS {
        for (way, best) in bed.ways.iter().zip(&mut best) {
            *best = best.max(save(&way.target));
            largest = largest.max(bed.hub.resident_bytes());
        }
    }
    for (way, rate) in bed.ways.iter().zip(&best) {
        let required = match way.name {
            "WebSocket" => Required::AtLeast(0.8),
            _ => Required::Reference,
        };
        let what = format!("save of 300 MB, {}", way.name);
        print_line(&what, &format!("{rate:.0} MB/s"), rate / best[0], required);
    }
    print_size("growth of the hub while saving", largest.saturating_sub(before), GROWTH_MAX);
}

/// Makes the image: random bytes, which nothing can compress.
pub fn make_image(bed: &Bed) {
    let script = "dd if=/dev/urandom of=/noise bs=1M count=300 2>/dev/null";
    docker(&bed.engine, &["run", "--name", "noisy", windflow_tests::engine::BUSYBOX, "sh", "-c", script]);
    docker(&bed.engine, &["commit", "noisy", LARGE]);
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

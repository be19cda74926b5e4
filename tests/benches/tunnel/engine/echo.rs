//! Keystrokes in a terminal: how long until each one is seen, alone and
//! beside a large download over the same way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use windflow_tests::engine::TestEngine;

use super::client::{Target, Upgrade, runtime};
use super::save::save;
use super::{Bed, IMAGE, docker};
use crate::tunnel::meter::{micros, percentile};
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// The container that is typed into.
pub const TYPED: &str = "typed";
/// Keystrokes that are counted, after those that warm up.
pub const COUNTED: usize = 400;
pub const WARM_UP: usize = 20;
/// The pause between two, as of a fast typist.
pub const PAUSE: Duration = Duration::from_millis(5);
/// What a way may add, in microseconds.
const P50_MORE: f64 = 500.0;
const P99_MORE: f64 = 3000.0;

/// Types over each way, alone and beside a save over the same way.
pub fn measure(bed: &Bed) {
    start_container(&bed.engine);
    let [direct, memory, websocket, quic, _] = bed.targets();
    print("alone", &[direct, memory, websocket, quic].map(type_keys));
    print("beside a save", &[direct, memory, websocket, quic].map(type_keys_beside_a_save));
}

/// Starts the container that is typed into.
pub fn start_container(engine: &TestEngine) {
    docker(engine, &["run", "--detach", "--network", "none", "--name", TYPED, IMAGE, "sleep", "3600"]);
}

fn print(setting: &str, times: &[Vec<f64>; 4]) {
    for (name, part, more) in [("p50", 0.5, P50_MORE), ("p99", 0.99, P99_MORE)] {
        let [direct, memory, websocket, quic] = times.each_ref().map(|times| percentile(times, part));
        Row::new(format!("keystroke in exec, {setting}, {name}"), Unit::Micros)
            .against(direct)
            .judged(Way::Memory, memory, Limit::AboveAtMost(more))
            .judged(Way::WebSocket, websocket, Limit::AboveAtMost(more))
            .judged(Way::Quic, quic, Limit::AboveAtMost(more))
            .print();
    }
}

fn type_keys_beside_a_save(target: &Target) -> Vec<f64> {
    beside_a_save(target, || type_keys(target))
}

/// Does something while an image is saved over a way, again and again.
pub fn beside_a_save<T>(target: &Target, act: impl FnOnce() -> T) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                save(target);
            }
        });
        let acted = act();
        done.store(true, Ordering::Relaxed);
        acted
    })
}

/// Microseconds until each keystroke in an `exec` is back.
pub fn type_keys(target: &Target) -> Vec<f64> {
    runtime().block_on(async {
        let mut client = target.connect().await;
        let wanted = r#"{"AttachStdin":true,"AttachStdout":true,"Tty":true,"Cmd":["cat"]}"#;
        let made = client.ask("POST", &format!("/v1.41/containers/{TYPED}/exec"), wanted).await;
        let made: serde_json::Value = serde_json::from_slice(&made).expect("the engine speaks JSON");
        let path = format!("/v1.41/exec/{}/start", made["Id"].as_str().expect("an exec has an id"));
        let started = client.send("POST", &path, r#"{"Detach":false,"Tty":true}"#, Upgrade::Tcp).await;
        assert_eq!(started.status().as_u16(), 101, "the engine hands over the connection");
        let mut terminal = TokioIo::new(hyper::upgrade::on(started).await.expect("the connection is handed over"));
        let mut times = Vec::with_capacity(WARM_UP + COUNTED);
        for _ in 0..WARM_UP + COUNTED {
            tokio::time::sleep(PAUSE).await;
            let pressed = Instant::now();
            terminal.write_all(b"x").await.expect("the terminal listens");
            terminal.flush().await.expect("the terminal listens");
            terminal.read_exact(&mut [0]).await.expect("the terminal echoes");
            times.push(micros(pressed.elapsed()));
        }
        times.split_off(WARM_UP)
    })
}

//! Keystrokes in the console's terminal, beside `docker exec` on the engine's
//! own socket: alone, and while an image of 1 GB goes through the same tunnel.

use std::time::{Duration, Instant};

use serde_json::json;
use windflow_tests::product::TerminalChannel;

use super::{Bed, WAYS};
use crate::tunnel::engine::client::Target;
use crate::tunnel::engine::{echo, save};
use crate::tunnel::meter::{micros, percentile};
use crate::tunnel::table::{Limit, Row, Unit};

/// The image: 1 GB.
const MEBIBYTES: usize = 954;
/// What the console's way may add to the slowest of a hundred, in microseconds.
const P99_MORE: f64 = 5000.0;
/// How long an echo may take before something is wrong.
const ECHOED: Duration = Duration::from_secs(10);

/// Types over each way.
pub fn measure(bed: &Bed) {
    echo::start_container(&bed.engine);
    let ids = bed.agents.each_ref().map(|agent| bed.hub.environment(agent.name()).expect("it is online").id);
    let [websocket, quic] = &ids;
    print("alone", &[echo::type_keys(&bed.direct), type_keys(bed, websocket), type_keys(bed, quic)]);

    save::make_image(&bed.engine, MEBIBYTES);
    let beside = |id: &str| echo::beside_a_save(&Target::through(&bed.hub, id), || type_keys(bed, id));
    let direct = echo::beside_a_save(&bed.direct, || echo::type_keys(&bed.direct));
    print("beside 1 GB", &[direct, beside(websocket), beside(quic)]);
}

fn print(setting: &str, times: &[Vec<f64>; 3]) {
    let [direct, websocket, quic] = times.each_ref().map(|times| percentile(times, 0.5));
    Row::new(format!("keystroke in the console's terminal, {setting}, p50"), Unit::Micros)
        .against(direct)
        .reached(WAYS[0], websocket)
        .reached(WAYS[1], quic)
        .print();
    let [direct, websocket, quic] = times.each_ref().map(|times| percentile(times, 0.99));
    Row::new(format!("keystroke in the console's terminal, {setting}, p99"), Unit::Micros)
        .against(direct)
        .judged(WAYS[0], websocket, Limit::AboveAtMost(P99_MORE))
        .judged(WAYS[1], quic, Limit::AboveAtMost(P99_MORE))
        .print();
}

/// Microseconds until each keystroke is back.
fn type_keys(bed: &Bed, environment: &str) -> Vec<f64> {
    let mut terminal = TerminalChannel::open(&bed.hub, environment, echo::TYPED, json!({ "command": ["cat"] }));
    let mut times = Vec::with_capacity(echo::WARM_UP + echo::COUNTED);
    for _ in 0..echo::WARM_UP + echo::COUNTED {
        std::thread::sleep(echo::PAUSE);
        let (pressed, seen) = (Instant::now(), terminal.received);
        terminal.type_in("x");
        terminal.until("the echo", ECHOED, |terminal| terminal.received > seen);
        times.push(micros(pressed.elapsed()));
        terminal.note_shown();
    }
    times.split_off(echo::WARM_UP)
}

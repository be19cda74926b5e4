//! What an agent takes of a host with 50 containers that run.

use std::time::{Duration, Instant};

use super::{Bed, WAYS};
use crate::tunnel::engine::IMAGE;
use crate::tunnel::engine::client::runtime;
use crate::tunnel::meter::{cpu_time, resident_mib};
use crate::tunnel::table::{Limit, Row, Unit};

const CONTAINERS: usize = 50;
/// What their starts caused is over by then: the agent has looked again, and
/// given back what that took.
const SETTLED_AFTER: Duration = Duration::from_secs(30);
/// For how long it counts: four rounds of measurements, and the look at
/// everything that is made once a minute.
const COUNTED: Duration = Duration::from_secs(60);

/// Starts them, and looks at both agents.
pub fn measure(bed: &Bed) {
    runtime().block_on(start(bed));
    std::thread::sleep(SETTLED_AFTER);
    let processes = bed.agents.each_ref().map(|agent| agent.process_id().to_string());
    let (started, before) = (Instant::now(), processes.each_ref().map(|process| cpu_time(process)));
    std::thread::sleep(COUNTED);
    let seconds = started.elapsed().as_secs_f64();
    let mut cpu = Row::new("agent, 50 containers run and nobody looks", Unit::PercentOfCore);
    let mut memory = Row::new("the same, RSS", Unit::Mebibytes);
    for ((way, process), before) in WAYS.into_iter().zip(&processes).zip(before) {
        let percent = (cpu_time(process) - before).as_secs_f64() / seconds * 100.0;
        cpu = cpu.judged(way, percent, Limit::AtMost(1.0));
        memory = memory.judged(way, resident_mib(process), Limit::AtMost(20.0));
    }
    cpu.print();
    memory.print();
}

async fn start(bed: &Bed) {
    let mut engine = bed.direct.connect().await;
    for number in 0..CONTAINERS {
        let body = format!(r#"{{"Image":"{IMAGE}","Cmd":["sleep","3600"],"HostConfig":{{"NetworkMode":"none"}}}}"#);
        let name = format!("runs-{number}");
        engine.ask("POST", &format!("/v1.41/containers/create?name={name}"), &body).await;
        engine.ask("POST", &format!("/v1.41/containers/{name}/start"), "").await;
    }
}

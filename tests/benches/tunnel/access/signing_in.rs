//! 200 sign-ins in a second: what they do to everybody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::StatusCode;
use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use windflow_tests::product::Hub;

use super::{administrator, name_of};
use crate::tunnel::engine::client::{Target, runtime};
use crate::tunnel::meter::{percentile, time_of};
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// How many people sign in in a second.
const PER_SECOND: u32 = 200;
/// How long it goes on.
const LASTS: Duration = Duration::from_secs(15);
/// The pause of somebody who works meanwhile, between two requests.
const PAUSE: Duration = Duration::from_millis(5);
/// What others may have to wait longer for.
const TIMES_MOST: f64 = 1.2;

/// How far everybody else goes before the programs of those who sign in.
const NICENESS: i32 = 19;

const WORK: &str = "/environments?limit=50";

/// What became of those who signed in.
#[derive(Default)]
struct Outcomes {
    signed_in: usize,
    /// Told to try again in a moment.
    put_off: usize,
}

/// Works alone, then while everybody signs in.
pub fn measure(hub: &Hub) {
    let alone = work(hub);
    let done = AtomicBool::new(false);
    let started = Instant::now();
    let (beside, outcomes) = std::thread::scope(|scope| {
        let everybody = scope.spawn(|| {
            elsewhere();
            runtime().block_on(sign_everybody_in(hub, &done))
        });
        let times = work(hub);
        done.store(true, Ordering::Relaxed);
        (times, everybody.join().expect("everybody is answered"))
    });
    let seconds = started.elapsed().as_secs_f64();
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        Row::new(format!("somebody works beside {PER_SECOND} sign-ins a second, {name}"), Unit::Micros)
            .against(percentile(&alone, part))
            .judged(Way::Memory, percentile(&beside, part), Limit::TimesAtMost(TIMES_MOST))
            .print();
    }
    let began = (outcomes.signed_in + outcomes.put_off) as f64 / LASTS.as_secs_f64();
    Row::new("people begin to sign in meanwhile", Unit::PerSecond).reached(Way::Memory, began).print();
    let rows = [("are signed in", outcomes.signed_in), ("are told to try again", outcomes.put_off)];
    for (name, count) in rows {
        Row::new(format!("of them {name}"), Unit::PerSecond).reached(Way::Memory, count as f64 / seconds).print();
    }
}

/// Has this thread give way to all others: those who sign in bring machines of
/// their own, and what those do is nothing that the hub could delay anybody by.
fn elsewhere() {
    rustix::process::setpriority_process(None, NICENESS).expect("one may be less important");
}

/// Microseconds of each request of somebody who works.
fn work(hub: &Hub) -> Vec<f64> {
    runtime().block_on(async {
        let (mut client, started) = (administrator(hub).connect().await, Instant::now());
        let mut times = Vec::new();
        while started.elapsed() < LASTS {
            tokio::time::sleep(PAUSE).await;
            times.push(time_of(client.ask("GET", WORK, "")).await);
        }
        times
    })
}

/// One after the other begins to sign in, from an address of their own.
async fn sign_everybody_in(hub: &Hub, done: &AtomicBool) -> Outcomes {
    let (target, mut turns) =
        (Target::nobody(hub, "/api/v1"), tokio::time::interval(Duration::from_secs(1) / PER_SECOND));
    // Where this program is late, people do not come in a crowd for it.
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut under_way, mut outcomes) = (JoinSet::new(), Outcomes::default());
    for number in 0.. {
        turns.tick().await;
        if done.load(Ordering::Relaxed) {
            break;
        }
        under_way.spawn(sign_in(target.clone(), number));
        while let Some(answered) = under_way.try_join_next() {
            outcomes.count(answered.expect("the hub answers"));
        }
    }
    while let Some(answered) = under_way.join_next().await {
        outcomes.count(answered.expect("the hub answers"));
    }
    outcomes
}

async fn sign_in(target: Target, number: usize) -> StatusCode {
    let address = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
    let body = Hub::sign_in_body_of(&name_of(number));
    let answer = target.connect().await.post_from(&address, "/session", &body).await;
    let status = answer.status();
    answer.into_body().collect().await.expect("a whole answer");
    status
}

impl Outcomes {
    fn count(&mut self, status: StatusCode) {
        match status {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => self.put_off += 1,
            status if status.is_success() => self.signed_in += 1,
            status => panic!("a sign-in was answered with {status}"),
        }
    }
}

//! A request with a credential, beside one that needs none.

use windflow_tests::product::Hub;

use super::administrator;
use crate::tunnel::engine::client::{Target, runtime};
use crate::tunnel::meter::{median, time_of};
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// Requests that are not counted, then those that are, for each.
const WARM_UP: usize = 200;
const COUNTED: usize = 4000;
/// What a credential may add, in microseconds.
const MORE: f64 = 100.0;

/// What everybody may ask, and the smallest thing that not everybody may.
const OPEN: &str = "/setup";
const CLOSED: &str = "/me";

/// Asks each in turn.
pub fn measure(hub: &Hub) {
    let (with, without) = runtime().block_on(async {
        let asked = administrator(hub);
        let (mut with, mut without) = (asked.connect().await, Target::nobody(hub, "/api/v1").connect().await);
        let mut times: [Vec<f64>; 2] = Default::default();
        for round in 0..WARM_UP + COUNTED {
            let pair = [time_of(with.ask("GET", CLOSED, "")).await, time_of(without.ask("GET", OPEN, "")).await];
            if round >= WARM_UP {
                for (times, time) in times.iter_mut().zip(pair) {
                    times.push(time);
                }
            }
        }
        (median(&times[0]), median(&times[1]))
    });
    Row::new("request with a token, and one that needs none, p50", Unit::Micros)
        .against(without)
        .judged(Way::Memory, with, Limit::AboveAtMost(MORE))
        .print();
}

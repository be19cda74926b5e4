//! Lists of 10,000 users, 200 roles and 10,000 environments.

use windflow_tests::product::Hub;

use super::{administrator, name_of};
use crate::tunnel::engine::client::{Target, runtime};
use crate::tunnel::meter::{percentile, time_of};
use crate::tunnel::table::{Limit, Row, Unit, Way};

/// Requests that are not counted, then those that are, for each list.
const WARM_UP: usize = 20;
const COUNTED: usize = 300;
/// The slowest of a hundred, in milliseconds.
const P99_MOST: f64 = 20.0;

/// What an administrator looks at, then what somebody does who may see some
/// environments alone.
const LISTS: [&str; 8] = [
    "/users?limit=50",
    "/users?limit=50&offset=9000",
    "/users?limit=50&name=user-07",
    "/roles?limit=200",
    "/grants?limit=50",
    "/environments?limit=50",
    "/environments?limit=50&offset=9000&search=site&sort=-last_seen",
    "/overview",
];
const OF_SOMEBODY: [&str; 3] = ["/environments?limit=50", "/overview", "/containers?limit=50"];

/// Asks for each.
pub fn measure(hub: &Hub) {
    let somebody = hub.cli(["api-token", "create", "--user", &name_of(4711), "--print", "token"]).succeeded();
    let somebody = Target::with_token(hub, "/api/v1", &somebody);
    for (who, target, paths) in [("", administrator(hub), &LISTS[..]), ("restricted: ", somebody, &OF_SOMEBODY[..])] {
        for path in paths {
            let times = runtime().block_on(times(&target, path));
            let row = Row::new(format!("{who}GET {path}, p99"), Unit::Millis);
            row.judged(Way::Memory, percentile(&times, 0.99) / 1e3, Limit::AtMost(P99_MOST)).print();
        }
    }
}

async fn times(target: &Target, path: &str) -> Vec<f64> {
    let mut client = target.connect().await;
    let mut times = Vec::with_capacity(WARM_UP + COUNTED);
    for _ in 0..WARM_UP + COUNTED {
        times.push(time_of(client.ask("GET", path, "")).await);
    }
    times.split_off(WARM_UP)
}

//! Whether a container that was started does what it should: it runs on, and is
//! healthy where that is checked.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::engine::Maker;
use crate::docker::EngineError;
use crate::jobs::JobError;

/// A container without a check must have run for this long.
const SETTLED: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Beside the times of its check, it may take this long to be healthy.
const HEALTH_GRACE: Duration = Duration::from_secs(30);
/// It must be healthy within this, whatever its check says.
const HEALTH_MAX: Duration = Duration::from_secs(10 * 60);
/// What an engine takes for the times of a check where nothing is said.
const CHECK_DEFAULT: Duration = Duration::from_secs(30);
/// How many failures make it unhealthy where nothing is said.
const RETRIES_DEFAULT: u64 = 3;
/// Most characters of a check's last words.
const WORDS_MAX: usize = 300;

/// What a look at a container shows.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// It is well, unless it is to be seen for a while.
    Runs,
    /// Its check has passed.
    Healthy,
    /// Its check has not passed yet.
    Starting,
    /// It is not well, and why.
    Ill(String),
}

/// Waits until a container that was started is well.
///
/// # Errors
/// Why it is not.
pub async fn becomes_well(maker: &Maker, container: &str) -> Result<(), JobError> {
    let begun = Instant::now();
    loop {
        let told = match maker.inspect(container).await {
            Err(EngineError::Refused { status, .. }) if status == http::StatusCode::NOT_FOUND => {
                return Err(ill("The new container was removed while it started."));
            }
            told => told?,
        };
        match look(&told) {
            Seen::Healthy => return Ok(()),
            Seen::Runs if begun.elapsed() >= SETTLED => return Ok(()),
            Seen::Starting if begun.elapsed() >= patience(&told) => {
                return Err(ill("The new container did not become healthy in time."));
            }
            Seen::Runs | Seen::Starting => sleep(LOOK_EVERY).await,
            Seen::Ill(why) => return Err(ill(&why)),
        }
    }
}

fn look(told: &Value) -> Seen {
    let state = &told["State"];
    let restarts = told["RestartCount"].as_u64().unwrap_or_default();
    if state["Status"] != "running" || restarts > 0 {
        let said = state["Error"].as_str().unwrap_or_default();
        let end = if said.is_empty() { String::new() } else { format!(" The engine said: {said}") };
        return Seen::Ill(format!(
            "The new container ended right after its start, with code {}.{end}",
            state["ExitCode"]
        ));
    }
    match state["Health"]["Status"].as_str() {
        None | Some("" | "none") => Seen::Runs,
        Some("healthy") => Seen::Healthy,
        Some("unhealthy") => {
            let last = state["Health"]["Log"].as_array().and_then(|log| log.last()).cloned().unwrap_or_default();
            let words = last["Output"].as_str().unwrap_or_default();
            let words: String = words.trim().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
            Seen::Ill(format!("The new container is unhealthy. Its check said: {words}"))
        }
        Some(_) => Seen::Starting,
    }
}

/// How long its own check may take to pass or to fail.
fn patience(told: &Value) -> Duration {
    let check = &told["Config"]["Healthcheck"];
    let nanos = |name: &str| check[name].as_u64().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
    let retries = check["Retries"].as_u64().filter(|retries| *retries > 0).unwrap_or(RETRIES_DEFAULT);
    let once = nanos("Interval").unwrap_or(CHECK_DEFAULT).saturating_add(nanos("Timeout").unwrap_or(CHECK_DEFAULT));
    let all = once.saturating_mul(u32::try_from(retries.saturating_add(1)).unwrap_or(u32::MAX));
    all.saturating_add(nanos("StartPeriod").unwrap_or_default()).saturating_add(HEALTH_GRACE).min(HEALTH_MAX)
}

fn ill(why: &str) -> JobError {
    JobError::fail("not_well", why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_is_well_when_it_runs_or_its_check_says_so() {
        let of = |state: Value| look(&json!({ "State": state }));
        assert_eq!(of(json!({ "Status": "running" })), Seen::Runs);
        assert_eq!(of(json!({ "Status": "running", "Health": { "Status": "starting" } })), Seen::Starting);
        assert_eq!(of(json!({ "Status": "running", "Health": { "Status": "healthy" } })), Seen::Healthy);
        let log = json!({ "Status": "unhealthy", "Log": [{ "Output": "first" }, { "Output": "no\u{7} answer\n" }] });
        assert!(
            matches!(of(json!({ "Status": "running", "Health": log })), Seen::Ill(why) if why.ends_with("no answer"))
        );
        assert!(matches!(of(json!({ "Status": "exited", "ExitCode": 3 })), Seen::Ill(why) if why.contains("code 3")));
        let again = look(&json!({ "State": { "Status": "running" }, "RestartCount": 1 }));
        assert!(matches!(again, Seen::Ill(_)));
    }

    #[test]
    fn a_check_is_waited_for_as_long_as_it_may_take_and_never_for_ever() {
        let second = 1_000_000_000_u64;
        let check = json!({ "Interval": second, "Timeout": second, "Retries": 2, "StartPeriod": 10 * second });
        let told = json!({ "Config": { "Healthcheck": check } });
        assert_eq!(patience(&told), Duration::from_secs(46));
        let endless = json!({ "Config": { "Healthcheck": { "StartPeriod": u64::MAX, "Retries": u64::MAX } } });
        assert_eq!(patience(&endless), HEALTH_MAX);
    }
}

//! Waiting for something to become true, always with an end.

use std::thread;
use std::time::{Duration, Instant};

/// How long a probe rests before it is asked again.
const PROBE_PAUSE: Duration = Duration::from_millis(10);

/// Asks `probe` until it answers and returns the answer.
///
/// # Panics
/// When there is none `within` the given time; the message names `what` was
/// waited for.
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(started.elapsed() < within, "waited {within:?} for {what}");
        thread::sleep(PROBE_PAUSE);
    }
}

/// Asks `condition` until it holds and returns how long that took.
///
/// # Panics
/// As [`until`].
pub fn until_true(what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    until(what, within, || condition().then(|| started.elapsed()))
}

/// Checks that `condition` holds the whole time.
///
/// # Panics
/// As soon as it does not; the message names `what` should have stayed true.
pub fn holds(what: &str, during: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < during {
        assert!(condition(), "{what} ended after {:?}", started.elapsed());
        thread::sleep(PROBE_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_the_wait() {
        let mut asked = 0;
        let answer = until("the third question", Duration::from_secs(5), || {
            asked += 1;
            (asked == 3).then_some("yes")
        });
        assert_eq!(answer, "yes");
    }

    #[test]
    #[should_panic(expected = "waited 20ms for the impossible")]
    fn a_wait_without_an_answer_ends_too() {
        until_true("the impossible", Duration::from_millis(20), || false);
    }
}

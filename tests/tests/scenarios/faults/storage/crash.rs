//! A hub that is killed again and again while it writes.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use windflow_tests::product::{Caller, Hub};
use windflow_tests::wait;

use super::sqlite;
use crate::scenarios::SOON;

const KILLS: usize = 200;
/// Hubs that are killed side by side: most of the time goes into starting.
const HUBS: usize = 2;
/// Programs that write to each hub.
const WRITERS: usize = 3;
const SEED: u64 = 20_261_121;

#[test]
fn killed_200_times_at_random_instants_the_hub_loses_no_acknowledged_write_and_its_database_stays_whole() {
    println!("the seed is {SEED}");
    let kept: usize = thread::scope(|scope| {
        let hubs: Vec<_> =
            (0..HUBS as u64).map(|hub| scope.spawn(move || kill_one_again_and_again(SEED + hub))).collect();
        hubs.into_iter().map(|hub| hub.join().unwrap()).sum()
    });
    println!("{kept} acknowledged writes survived {KILLS} kills");
}

/// How many writes were acknowledged; all of them are there.
fn kill_one_again_and_again(seed: u64) -> usize {
    let mut hub = Hub::start();
    let mut instants = Instants(seed);
    let acknowledged = Mutex::new(BTreeSet::new());
    for kill in 0..KILLS / HUBS {
        let (caller, over) = (hub.caller(), AtomicBool::new(false));
        thread::scope(|scope| {
            let _ends_the_writers_whatever_happens = Over(&over);
            for _ in 0..WRITERS {
                scope.spawn(|| write_until_it_is_gone(&caller, &over, &acknowledged));
            }
            let enough = acknowledged.lock().unwrap().len() + instants.next_below(12);
            wait::until_true("some writes", SOON, || acknowledged.lock().unwrap().len() >= enough);
            instants.pass();
            hub.kill();
        });
        hub.start_again();
        let said = sqlite(&hub, "PRAGMA integrity_check; SELECT id FROM enrollment_tokens").succeeded();
        let (check, ids) = said.split_once('\n').unwrap_or((&said, ""));
        assert_eq!(check, "ok", "seed {seed}, kill {kill}");
        let stored: BTreeSet<&str> = ids.lines().collect();
        for id in acknowledged.lock().unwrap().iter() {
            assert!(stored.contains(id.as_str()), "seed {seed}, kill {kill}: the acknowledged token {id} is lost");
        }
    }
    acknowledged.into_inner().unwrap().len()
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn write_until_it_is_gone(caller: &Caller, over: &AtomicBool, acknowledged: &Mutex<BTreeSet<String>>) {
    while !over.load(Ordering::Acquire) {
        let Some(answer) = caller.try_request("POST", "/api/v1/enrollment-tokens", r#"{"name":"t"}"#) else { return };
        assert_eq!(answer.status, 201, "{answer:?}");
        let minted: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        acknowledged.lock().unwrap().insert(minted["id"].as_str().unwrap().to_owned());
    }
}

/// Random instants that are the same for the same seed (xorshift64).
struct Instants(u64);

impl Instants {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn next_below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).unwrap()
    }

    /// Lets up to four milliseconds pass, busily: that is finer than a sleep.
    fn pass(&mut self) {
        let (begun, span) = (std::time::Instant::now(), Duration::from_micros(self.next() % 4000));
        while begun.elapsed() < span {
            std::hint::spin_loop();
        }
    }
}

//! Another program on the hub's machine holds the database's write lock.

use std::process::Command;
use std::thread;
use std::time::Duration;

use windflow_tests::process::Running;
use windflow_tests::product::{Agent, AgentOptions, Caller, Hub};
use windflow_tests::wait;

use super::sqlite;
use crate::scenarios::SOON;
use crate::scenarios::worlds::{NAME, NO_ENGINE};

/// Holds the lock until it is dropped or released.
struct Holder(Running);

impl Holder {
    fn of(hub: &Hub) -> Self {
        let mut command = Command::new("sqlite3");
        command.arg(hub.data_folder().join("windflow.db"));
        let mut holder = Running::start(&command);
        holder.write(b"PRAGMA busy_timeout = 5000;\nBEGIN EXCLUSIVE;\n");
        wait::until_true("the lock to be held", SOON, || {
            sqlite(hub, "BEGIN IMMEDIATE; ROLLBACK").stderr.contains("locked")
        });
        Self(holder)
    }

    fn release(mut self) {
        self.0.write(b"ROLLBACK;\n");
        self.0.finish(SOON);
    }
}

/// That a token was used is written now and then; not while the lock is held.
fn note_the_tokens_use(hub: &Hub) {
    assert_eq!(hub.request("GET", "/api/v1/me", "").status, 200);
}

fn write(caller: &Caller) -> windflow_tests::product::Answer {
    caller.try_request("POST", "/api/v1/enrollment-tokens", r#"{"name":"t"}"#).expect("the hub answers")
}

#[test]
fn f26_a_lock_of_four_seconds_is_not_noticed() {
    let hub = Hub::start();
    let caller = hub.caller();
    note_the_tokens_use(&hub);
    let holder = Holder::of(&hub);
    let writing = thread::spawn(move || write(&caller));
    wait::holds("reading", Duration::from_secs(4), || hub.request("GET", "/api/v1/me", "").status == 200);
    holder.release();
    assert_eq!(writing.join().unwrap().status, 201);
}

#[test]
fn f25_f26_under_a_lock_of_twenty_seconds_reading_works_agents_stay_and_writing_is_told_to_come_back() {
    let hub = Hub::start();
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    note_the_tokens_use(&hub);
    let holder = Holder::of(&hub);
    let writers: Vec<_> = (0..3).map(|_| hub.caller()).map(|caller| thread::spawn(move || write(&caller))).collect();
    wait::holds("reading and the agent's session", Duration::from_secs(20), || {
        let list = hub.request("GET", "/api/v1/environments", "");
        list.status == 200 && list.body.contains(r#""state":"online""#)
    });
    for writer in writers {
        let answer = writer.join().unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.retry_after.is_some(), "{answer:?}");
        assert!(["database_locked", "database_unavailable"].contains(&answer.code().as_str()), "{answer:?}");
    }
    holder.release();
    assert_eq!(write(&hub.caller()).status, 201);
    assert!(!hub.log().contains("panic"), "{}", hub.log());
}

//! Identities across restarts, crashes and replacements.

use std::os::unix::fs::PermissionsExt;

use windflow_protocol::token::TokenId;

use super::*;
use crate::testing::fleet::Fleet;

struct Host {
    fleet: Fleet,
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self { fleet: Fleet::new(), folder: tempfile::tempdir().unwrap() }
    }

    fn state_dir(&self) -> StateDir {
        StateDir::open(&self.folder.path().join("state")).unwrap()
    }

    fn token(number: u64) -> TokenId {
        TokenId::from_random(number)
    }

    fn granted(&self, pending: &Pending) -> (Enrolled, State) {
        let granted = self.fleet.grant(&pending.key().certificate_request().unwrap());
        let state = State::new(&granted, vec!["https://hub".parse().unwrap()], self.fleet.pin());
        (granted, state)
    }

    fn enroll(&self, token: u64) -> Identity {
        let pending = self.state_dir().begin(&Self::token(token)).unwrap();
        let (granted, state) = self.granted(&pending);
        pending.grant(&granted, &state).unwrap()
    }
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_identity_survives_a_restart() {
    let host = Host::new();
    let made = host.enroll(1);
    let read = host.state_dir().load().unwrap().unwrap();
    assert_eq!(read.key().digest(), made.key().digest());
    assert_eq!(read.state.agent, made.state.agent);
    assert_eq!(read.trust().pins, [host.fleet.pin()]);
    assert_eq!(read.client_identity().chain, made.client_identity().chain);
}

#[test]
fn nobody_else_can_read_it() {
    let host = Host::new();
    host.enroll(1);
    let state = host.folder.path().join("state");
    assert_eq!(mode(state.clone()), 0o700);
    assert_eq!(mode(state.join("identity")), 0o700);
    for file in [KEY, CERTIFICATE, AUTHORITY, STATE] {
        assert_eq!(mode(state.join("identity").join(file)), 0o600, "{file}");
    }
}

#[test]
fn the_same_token_gets_the_same_key_after_a_crash() {
    let host = Host::new();
    let first = host.state_dir().begin(&Host::token(1)).unwrap().key().digest();
    assert_eq!(host.state_dir().begin(&Host::token(1)).unwrap().key().digest(), first);
    assert_ne!(host.state_dir().begin(&Host::token(2)).unwrap().key().digest(), first);
}

#[test]
fn an_identity_stays_until_the_next_one_is_granted() {
    let host = Host::new();
    let old = host.enroll(1).key().digest();
    let pending = host.state_dir().begin(&Host::token(2)).unwrap();
    assert_eq!(host.state_dir().load().unwrap().unwrap().key().digest(), old);
    let (granted, state) = host.granted(&pending);
    let new = pending.grant(&granted, &state).unwrap().key().digest();
    assert_ne!(new, old);
    assert_eq!(host.state_dir().load().unwrap().unwrap().key().digest(), new);
}

#[test]
fn a_crash_at_any_step_of_the_exchange_leaves_one_whole_identity() {
    for steps_done in 0..3 {
        let host = Host::new();
        let old = host.enroll(1).key().digest();
        let new = grant_without_commit(&host);
        let [current, next, previous] = [CURRENT, NEXT, PREVIOUS].map(|name| host.state_dir().0.join(name));
        if steps_done > 0 {
            std::fs::rename(&current, &previous).unwrap();
        }
        if steps_done > 1 {
            std::fs::rename(&next, &current).unwrap();
        }
        let found = host.state_dir().load().unwrap().unwrap().key().digest();
        assert_eq!(found, new, "after {steps_done} steps; the old one was {old}");
        assert!(!previous.exists() && !next.exists());
    }
}

/// Everything of a grant but its last step.
fn grant_without_commit(host: &Host) -> windflow_protocol::identity::KeyDigest {
    let pending = host.state_dir().begin(&Host::token(2)).unwrap();
    let (granted, state) = host.granted(&pending);
    let next = host.state_dir().0.join(NEXT);
    files::replace(&next.join(CERTIFICATE), &granted.certificate.leaf).unwrap();
    files::replace(&next.join(AUTHORITY), &granted.certificate.authority).unwrap();
    files::replace(&next.join(STATE), &state.to_json()).unwrap();
    pending.key().digest()
}

#[test]
fn a_certificate_for_another_key_is_refused() {
    let host = Host::new();
    let pending = host.state_dir().begin(&Host::token(1)).unwrap();
    let stranger = AgentKey::generate().unwrap();
    let granted = host.fleet.grant(&stranger.certificate_request().unwrap());
    let state = State::new(&granted, Vec::new(), host.fleet.pin());
    pending.grant(&granted, &state).unwrap_err();
    assert!(host.state_dir().load().unwrap().is_none());
}

#[test]
fn a_fresh_certificate_is_kept_for_the_same_key() {
    let host = Host::new();
    let mut identity = host.enroll(1);
    let csr = identity.key().certificate_request().unwrap();
    let fresh = host.fleet.sign(&csr, identity.state.agent);
    identity.renew(&fresh).unwrap();
    let read = host.state_dir().load().unwrap().unwrap();
    assert_eq!(read.client_identity().chain[0].as_ref(), fresh.leaf);
    assert_eq!(read.key().digest(), identity.key().digest());
}

#[test]
fn a_half_written_file_is_never_taken_for_the_state() {
    let host = Host::new();
    let identity = host.enroll(1);
    std::fs::write(identity.folder.join("state.tmp"), b"{ half").unwrap();
    assert_eq!(host.state_dir().load().unwrap().unwrap().state.agent, identity.state.agent);
}

#[test]
fn a_folder_of_another_machine_is_noticed() {
    let host = Host::new();
    let mut identity = host.enroll(1);
    identity.state.machine = [0; 32];
    assert!(!identity.is_from_another_machine(), "a machine without an id cannot be told apart");
    if crate::host::machine() != [0; 32] {
        identity.state.machine = [1; 32];
        assert!(identity.is_from_another_machine());
    }
}

#[test]
fn a_second_agent_is_kept_out() {
    let host = Host::new();
    let held = host.state_dir().lock().unwrap();
    host.state_dir().lock().unwrap_err();
    drop(held);
    host.state_dir().lock().unwrap();
}

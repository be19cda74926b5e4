//! The certificate of the hub's own port, kept in files by somebody else.

use std::path::Path;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions, WebClient};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

/// The files are looked at every 10 s.
const SEEN: Duration = Duration::from_secs(25);

struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> Pair {
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    Pair {
        certificate: CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// Each file as a renewal puts it there: whole, one after the other.
fn put(folder: &Path, certificate: &str, key: &str) {
    for (name, content) in [("hub.pem", certificate), ("hub.key", key)] {
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, content).unwrap();
        std::fs::rename(&new, folder.join(name)).unwrap();
    }
}

fn shows(hub: &Hub, pair: &Pair) -> bool {
    let answer = WebClient::new(hub.address(), &pair.certificate).request("GET", "/healthz", &[], "");
    answer.is_ok_and(|answer| answer.status == 200)
}

fn hub_with_files(folder: &Path) -> Hub {
    let file = |name: &str| folder.join(name).display().to_string();
    let arguments = ["--tls-certificate", &file("hub.pem"), "--tls-key", &file("hub.key")];
    let arguments = arguments.map(str::to_owned).to_vec();
    Hub::start_with(HubOptions { arguments, ..HubOptions::default() })
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart_and_agents_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (pair(), pair());
    put(folder.path(), &first.certificate, &first.key);
    let hub = hub_with_files(folder.path());
    assert!(shows(&hub, &first));
    let answer = WebClient::new(hub.address(), &first.certificate).request("GET", "/healthz", &[], "").unwrap();
    assert_eq!(answer.header("strict-transport-security"), "max-age=31536000");
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE).over("websocket"));
    let session = hub.connected_at(NAME);

    put(folder.path(), &second.certificate, &second.key);
    wait::until_true("the new certificate", SEEN, || shows(&hub, &second));
    assert!(!shows(&hub, &first));
    assert_eq!(hub.connected_at(NAME), session);
}

#[test]
fn a_broken_new_certificate_is_said_and_the_old_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (pair(), pair());
    put(folder.path(), &first.certificate, &first.key);
    let hub = hub_with_files(folder.path());
    assert_eq!(hub.request("GET", "/readyz", "").status, 200);

    put(folder.path(), &second.certificate, &first.key);
    let degraded = wait::until("the hub to say so", SEEN, || {
        Some(hub.request("GET", "/readyz", "")).filter(|answer| answer.status == 503)
    });
    assert_eq!(degraded.component("certificate")["status"], "degraded");
    assert!(hub.log().contains("do not belong together"), "{}", hub.log());
    assert!(shows(&hub, &first));

    put(folder.path(), &second.certificate, &second.key);
    wait::until_true("the good pair", SEEN, || shows(&hub, &second));
    wait::until_true("the hub to be well", SOON, || hub.request("GET", "/readyz", "").status == 200);
}

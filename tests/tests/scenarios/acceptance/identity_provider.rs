//! People who come from an identity provider: the specs of `web/e2e/federation`
//! in a real Chromium, against a real hub and a real provider of OpenID Connect,
//! the package `oidc-provider`, which the specs start.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use windflow_tests::network::Netns;
use windflow_tests::places::{installed, workspace};
use windflow_tests::process::Process;
use windflow_tests::product::{Hub, HubOptions};

/// How long the specs may take.
const SPECS: Duration = Duration::from_secs(10 * 60);

#[test]
fn c32_a_new_user_comes_from_a_real_provider_and_their_grant_goes_with_their_group() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("identity-provider");
    let _none_the_first_time = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the build folder is writable");
    // Browser and provider are elsewhere: the hub reaches the provider over a network, and the other way round.
    let desk = Netns::new();
    let certificate = put_certificate(&folder, desk.outside().into());
    let arguments = ["--tls-certificate", &certificate, "--tls-key", &format!("{}/hub.key", folder.display())];
    let arguments = arguments.map(str::to_owned).to_vec();
    let listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let hub = Hub::start_with(HubOptions { listen, arguments, ..HubOptions::default() });
    let web = workspace().join("web");
    let runner = web.join("node_modules/@playwright/test/cli.js");
    assert!(runner.exists(), "{} is not there: run `make web` first", runner.display());
    let mut specs = Command::new(installed("node"));
    specs.arg(runner).arg("test").current_dir(web).env("WINDFLOW_E2E_SPECS", "e2e/federation");
    specs.env("WINDFLOW_URL", hub.url_at(desk.outside().into())).env("WINDFLOW_E2E_FOLDER", &folder);
    specs.env("WINDFLOW_PROVIDER_HOST", desk.inside().to_string()).env("CHROMIUM", installed("chromium"));
    // The provider says who signed out there only to a hub whose certificate it trusts.
    specs.env("NODE_EXTRA_CA_CERTS", certificate);
    let mut running = Process::start("the specs", &desk.wrap(&specs), &folder.join("specs.log"));
    let status = running.wait_for_end(SPECS);
    assert!(status.success(), "{}", running.log());
    super::hear_browser(&folder);
}

/// A certificate for this address, with its key beside it; where it is.
fn put_certificate(folder: &Path, address: IpAddr) -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![address.to_string()]).expect("an address is a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let path = folder.join("hub.pem");
    fs::write(&path, certificate.pem()).expect("the build folder is writable");
    fs::write(folder.join("hub.key"), key.serialize_pem()).expect("the build folder is writable");
    path.display().to_string()
}

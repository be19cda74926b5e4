//! People who come from an identity provider: the specs of `web/e2e/federation`
//! in a real Chromium, against a real hub and a real provider of OpenID Connect,
//! the package `oidc-provider`, which the specs start.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use windflow_tests::network::Netns;
use windflow_tests::places::{installed, workspace};
use windflow_tests::process::Process;
use windflow_tests::product::{Hub, HubOptions};

/// How long the specs may take.
const SPECS: Duration = Duration::from_secs(10 * 60);

#[test]
fn c32_a_new_user_comes_from_a_real_provider_and_their_grant_goes_with_their_group() {
    let listen = (Ipv4Addr::UNSPECIFIED, 0).into();
    let hub = Hub::start_with(HubOptions { listen, ..HubOptions::default() });
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("identity-provider");
    let _none_the_first_time = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("the build folder is writable");
    // Browser and provider are elsewhere: the hub reaches the provider over a network.
    let desk = Netns::new();
    let web = workspace().join("web");
    let runner = web.join("node_modules/@playwright/test/cli.js");
    assert!(runner.exists(), "{} is not there: run `make web` first", runner.display());
    let mut specs = Command::new(installed("node"));
    specs.arg(runner).arg("test").current_dir(web).env("WINDFLOW_E2E_SPECS", "e2e/federation");
    specs.env("WINDFLOW_URL", hub.url_at(desk.outside().into())).env("WINDFLOW_E2E_FOLDER", &folder);
    specs.env("WINDFLOW_PROVIDER_HOST", desk.inside().to_string()).env("CHROMIUM", installed("chromium"));
    let mut running = Process::start("the specs", &desk.wrap(&specs), &folder.join("specs.log"));
    let status = running.wait_for_end(SPECS);
    assert!(status.success(), "{}", running.log());
    super::hear_browser(&folder);
}

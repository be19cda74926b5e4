//! A hub where nothing is configured that needs somebody else: it speaks to
//! nobody. All of it is in a network whose way out is watched, its name server
//! included; the engines are simulated, and on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use tempfile::TempDir;
use windflow_tests::network::{Netns, Nowhere};
use windflow_tests::process::wall_clock_at;
use windflow_tests::product::{Agent, AgentOptions, Conversation, Hub, HubOptions};
use windflow_tests::simulated::SimulatedEngine;
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::NAME;

/// Addresses that nobody has (RFC 5737, RFC 3849).
const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE_BY_IPV6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// How long an agent may take back to a hub that was started again.
const RETURN: Duration = Duration::from_secs(60);

/// A hub with the engine of its own machine, and an agent with another. What
/// depends on something else stands before it.
struct Site {
    _agent: Agent,
    hub: Hub,
    _engines: [SimulatedEngine; 2],
    _folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let resolver = folder.path().join("resolv.conf");
        std::fs::write(&resolver, format!("nameserver {NAME_SERVER}\n")).unwrap();
        let engines = [SimulatedEngine::start(), SimulatedEngine::start()];
        let hub = Hub::start_with(HubOptions {
            listen: SocketAddr::from(([0, 0, 0, 0], 0)),
            engine: engines[0].address(),
            resolver: Some(resolver.clone()),
            ..HubOptions::default()
        });
        let options = AgentOptions::new(&hub, &engines[1].address()).with_resolver(resolver);
        Self { _agent: Agent::online(&hub, NAME, options), hub, _engines: engines, _folder: folder }
    }

    /// A person signs in and looks around, and both environments are used.
    fn is_used(&self) {
        let signed_in = self.hub.request_from_page("POST", "/api/v1/session", "", &Hub::sign_in_body());
        assert_eq!(signed_in.status, 200, "{}", signed_in.body);
        let cookie = signed_in.header("set-cookie").split(';').next().unwrap();
        for path in ["/", "/api/v1/overview", "/api/v1/containers", "/api/v1/settings/mail", "/readyz"] {
            assert_eq!(self.hub.request_from_page("GET", path, cookie, "").status, 200, "{path}");
        }
        let environments = wait::until("both environments to be online", RETURN, || {
            let environments = self.hub.environments();
            environments.iter().all(|environment| environment.state == "online").then_some(environments)
        });
        assert_eq!(environments.len(), 2);
        for environment in environments {
            let info = format!("/api/v1/environments/{}/engine/v1.41/info", environment.id);
            assert_eq!(self.hub.request("GET", &info, "").status, 200, "{}", environment.kind);
            Conversation::terminal(&self.hub, &environment.id).echoes("are you there?");
        }
    }

    /// Has audit records sent to a server of this name.
    fn sends_records_to(&self, host: &str) {
        let destination = serde_json::json!({ "kind": "syslog", "transport": "udp", "host": host, "port": 514 });
        let body = serde_json::json!({ "destination": destination }).to_string();
        let set = self.hub.request("PUT", "/api/v1/settings/audit-shipping", &body);
        assert_eq!(set.status, 200, "{}", set.body);
    }
}

/// Checks that nobody was dialled but by this: packets keep their order, so that
/// whatever was sent before has been seen when this is.
fn only_this_is_seen(way_out: &Nowhere) {
    // The packets are on their way when these return.
    TcpStream::connect_timeout(&(ELSEWHERE, 443).into(), Duration::from_millis(1)).unwrap_err();
    UdpSocket::bind("[::]:0").unwrap().send_to(b"anybody?", (ELSEWHERE_BY_IPV6, 53)).unwrap();
    let seen = wait::until("the watch to see this", SOON, || {
        Some(way_out.destinations()).filter(|seen| seen.contains(&ELSEWHERE_BY_IPV6))
    });
    assert_eq!(seen, [ELSEWHERE, ELSEWHERE_BY_IPV6]);
}

#[test]
fn asvs_13_2_4_a_hub_with_nothing_configured_dials_nobody() {
    let namespace = Netns::into_nowhere();
    let way_out = namespace.way_out();
    // What is started by a thread inside lives inside, and ends with the thread.
    namespace.within(|| {
        let mut site = Site::new();
        site.is_used();
        assert_eq!(site.hub.terminate(), Some(0));
        site.hub.start_again();
        site.is_used();
        // Whoever looks for something now and then would after a month.
        site.hub.kill();
        site.hub.options_mut().environment.extend(wall_clock_at("+30d"));
        site.hub.start_again();
        site.is_used();
        only_this_is_seen(way_out);

        // The same hub, once there is something to dial.
        site.sends_records_to("records.example");
        wait::until_true("the hub to ask for the name", SOON, || way_out.destinations().contains(&NAME_SERVER));
    });
}

//! Names that do not resolve, or not to what they did.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use windflow_tests::network::{DnsConduct, Netns, ToyDns};
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

/// How long an agent may take back to a hub that can be reached again.
const RETURN: Duration = Duration::from_secs(70);

/// An agent on a host with a name server of its own; what depends on something
/// else stands before it.
struct Site {
    agent: Agent,
    dns: ToyDns,
    hub: Hub,
    namespace: Netns,
}

/// An enrolled agent that knows the hub by name, and does not run yet.
fn site() -> Site {
    let namespace = Netns::new();
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let hub = Hub::start_with(HubOptions { listen, ..HubOptions::default() });
    let dns = ToyDns::start(namespace.outside(), knows(namespace.outside()));
    let options = AgentOptions::new(&hub, NO_ENGINE).over("websocket").inside(namespace.name());
    let url = format!("https://hub.example:{}", hub.address().port());
    let agent = Agent::enrolled(&hub, NAME, options.through(url).with_resolver(dns.configuration()));
    Site { agent, dns, hub, namespace }
}

fn knows(address: Ipv4Addr) -> DnsConduct {
    DnsConduct::Knows(vec![address.into()])
}

impl Site {
    fn wait_for_error(&self, code: &str) {
        wait::until_true(&format!("the error {code}"), RETURN, || {
            self.agent.status().is_some_and(|status| status.last_error.to_string().contains(code))
        });
    }

    fn comes_online(&mut self) {
        self.agent.run();
        self.hub.wait_for_state(NAME, "online", SOON);
    }
}

#[test]
fn f19_a_name_that_does_not_exist_is_said_and_asked_for_again() {
    let mut site = site();
    site.dns.set_conduct(DnsConduct::NoSuchName);
    site.agent.run();
    site.wait_for_error("DNS_FAILED");
    site.dns.set_conduct(knows(site.namespace.outside()));
    site.hub.wait_for_state(NAME, "online", RETURN);
}

#[test]
fn f19_a_name_server_that_says_nothing_is_said_and_asked_again() {
    let mut site = site();
    site.dns.set_conduct(DnsConduct::Silent);
    site.agent.run();
    site.wait_for_error("DNS_FAILED");
    site.dns.set_conduct(knows(site.namespace.outside()));
    site.hub.wait_for_state(NAME, "online", RETURN);
}

#[test]
fn f19_a_running_agent_returns_to_the_address_it_knows_while_names_are_not_to_be_had() {
    for conduct in [DnsConduct::Silent, DnsConduct::NoSuchName] {
        let mut site = site();
        site.comes_online();
        site.dns.set_conduct(conduct);
        site.hub.restart();
        site.hub.wait_for_state(NAME, "online", RETURN);
    }
}

#[test]
fn f19_a_hub_that_moved_is_found_at_its_new_address() {
    let mut site = site();
    site.comes_online();
    let elsewhere = Netns::new();
    site.dns.set_conduct(knows(elsewhere.outside()));
    site.namespace.block_address(site.namespace.outside());
    site.hub.wait_for_state(NAME, "offline", Duration::from_secs(40));
    site.hub.wait_for_state(NAME, "online", RETURN);
}

#[test]
fn f19_an_address_of_ipv6_that_leads_nowhere_does_not_keep_an_agent_from_the_hub() {
    let mut site = site();
    site.namespace.add_broken_ipv6();
    let nowhere: IpAddr = "2001:db8:99::1".parse().unwrap();
    site.dns.set_conduct(DnsConduct::Knows(vec![nowhere, site.namespace.outside().into()]));
    site.comes_online();
}

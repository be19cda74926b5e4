//! Wrong clocks and certificates that have run out.

use std::time::Duration;

use windflow_tests::process::wall_clock_at;
use windflow_tests::product::{Agent, AgentOptions, Hub};

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

fn connects_with_the_agents_clock_at(time: &str) {
    let hub = Hub::start();
    let mut options = AgentOptions::new(&hub, NO_ENGINE);
    options.environment = wall_clock_at(time);
    let _agent = Agent::online(&hub, NAME, options);
}

#[test]
fn an_agent_in_1970_enrolls_and_connects() {
    connects_with_the_agents_clock_at("@1970-01-02 00:00:00");
}

#[test]
fn an_agent_twenty_years_ahead_enrolls_and_connects() {
    connects_with_the_agents_clock_at("+7300d");
}

#[test]
fn an_agent_whose_certificate_expired_while_it_was_away_renews_it_and_is_back() {
    let mut hub = Hub::start();
    let mut agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    agent.kill();
    hub.kill();
    hub.options_mut().environment = wall_clock_at("+30d");
    hub.start_again();
    agent.run();
    hub.wait_for_state(NAME, "online", Duration::from_secs(30));
}

#[test]
fn a_certificate_that_expires_while_the_hub_is_down_does_not_matter() {
    let mut hub = Hub::start();
    let agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    hub.kill();
    hub.options_mut().environment = wall_clock_at("+8d");
    hub.start_again();
    hub.wait_for_state(NAME, "online", Duration::from_secs(60));
    agent.wait_for_status("connected", SOON);
}

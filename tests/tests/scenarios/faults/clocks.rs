//! Wrong clocks and certificates that have run out.

use std::time::Duration;

use windflow_tests::process::{MovableClock, wall_clock_at};
use windflow_tests::product::{Agent, AgentOptions, Hub, HubOptions};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

fn connects_with_the_agents_clock_at(time: &str) {
    let hub = Hub::start();
    let mut options = AgentOptions::new(&hub, NO_ENGINE);
    options.environment = wall_clock_at(time);
    let _agent = Agent::online(&hub, NAME, options);
}

#[test]
fn f33_an_agent_in_1970_enrolls_and_connects() {
    connects_with_the_agents_clock_at("@1970-01-02 00:00:00");
}

#[test]
fn f33_an_agent_twenty_years_ahead_enrolls_and_connects() {
    connects_with_the_agents_clock_at("+7300d");
}

#[test]
fn f33_an_agent_whose_clock_jumps_keeps_its_session_and_gets_new_ones() {
    let hub = Hub::start();
    let clock = MovableClock::new();
    let mut options = AgentOptions::new(&hub, NO_ENGINE);
    options.environment = clock.environment();
    let mut agent = Agent::online(&hub, NAME, options);
    for jump in ["+1h", "-1h"] {
        let before = hub.connected_at(NAME);
        clock.set(jump);
        // Longer than a heartbeat takes to come round.
        wait::holds("the session", Duration::from_secs(12), || hub.connected_at(NAME) == before);
        agent.kill();
        agent.run();
        wait::until_true("a new session", SOON, || hub.connected_at(NAME) != before);
        hub.wait_for_state(NAME, "online", SOON);
    }
}

#[test]
fn f34_a_hub_whose_clock_is_set_back_says_so_keeps_its_sessions_and_takes_new_ones() {
    let clock = MovableClock::new();
    let environment = clock.environment();
    let hub = Hub::start_with(HubOptions { environment, ..HubOptions::default() });
    let _agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    let before = hub.connected_at(NAME);
    clock.set("-1h");
    wait::until_true("the hub to notice", Duration::from_secs(25), || hub.log().contains("the clock was set back"));
    assert_eq!(hub.connected_at(NAME), before);
    // Its certificate begins an hour before the one that was issued just now.
    let _newcomer = Agent::online(&hub, "newcomer", AgentOptions::new(&hub, NO_ENGINE));
    assert_eq!(hub.state_of(NAME), "online");
}

#[test]
fn f41_an_agent_whose_certificate_expired_while_it_was_away_renews_it_and_is_back() {
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
fn f41_a_certificate_that_expires_while_the_hub_is_down_does_not_matter() {
    let mut hub = Hub::start();
    let agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE));
    hub.kill();
    hub.options_mut().environment = wall_clock_at("+8d");
    hub.start_again();
    hub.wait_for_state(NAME, "online", Duration::from_secs(60));
    agent.wait_for_status("connected", SOON);
}

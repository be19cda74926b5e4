//! Something else where the hub should be: broken proxies, captive portals,
//! proxies that open TLS, other hubs.

use std::time::Duration;

use windflow_tests::network::{Conduct, Impostor};
use windflow_tests::product::{Agent, AgentOptions, Hub, contains};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

/// How long an agent may take back to a hub that can be reached again.
const RETURN: Duration = Duration::from_secs(70);
/// What the agent logs of a certificate that it does not know.
const MISMATCH: &str = "the outer certificate does not verify";

fn options(hub: &Hub, url: String) -> AgentOptions {
    AgentOptions::new(hub, NO_ENGINE).through(url).over("websocket")
}

/// A proxy breaks under a running agent: the agent says what is wrong, and is
/// back once it is not.
fn is_named_and_survived(conduct: Conduct, code: &str) {
    let hub = Hub::start();
    let proxy = Impostor::start(Conduct::PassesOn(hub.address()));
    let agent = Agent::online(&hub, NAME, options(&hub, proxy.tls_url()));
    proxy.set_conduct(conduct);
    wait::until_true(&format!("the error {code}"), RETURN, || {
        agent.status().is_some_and(|status| status.last_error.to_string().contains(code))
    });
    proxy.set_conduct(Conduct::PassesOn(hub.address()));
    hub.wait_for_state(NAME, "online", RETURN);
}

#[test]
fn f16_a_proxy_that_answers_502_is_named_and_survived() {
    is_named_and_survived(Conduct::answer("502 Bad Gateway", &[], "upstream"), "PROXY_BLOCKS_UPGRADE");
}

#[test]
fn f16_a_proxy_that_answers_504_is_named_and_survived() {
    is_named_and_survived(Conduct::answer("504 Gateway Timeout", &[], ""), "PROXY_BLOCKS_UPGRADE");
}

#[test]
fn f16_a_proxy_that_answers_a_page_is_named_and_survived() {
    let page = Conduct::answer("200 OK", &["Content-Type: text/html"], "<html>maintenance</html>");
    is_named_and_survived(page, "PROXY_BLOCKS_UPGRADE");
}

#[test]
fn f16_a_proxy_that_answers_no_http_is_named_and_survived() {
    is_named_and_survived(Conduct::Answers("220 mail.example ESMTP\r\n\r\n".to_owned()), "NOT_A_HUB");
}

#[test]
fn f16_a_redirect_is_named_and_never_followed() {
    let elsewhere = Impostor::start(Conduct::answer("200 OK", &[], ""));
    let location = format!("Location: {}/agent/v1/tunnel", elsewhere.tls_url());
    is_named_and_survived(Conduct::answer("302 Found", &[&location], ""), "NOT_A_HUB");
    assert_eq!(elsewhere.requests(), 0);
}

#[test]
fn f17_an_agent_behind_a_proxy_that_opens_tls_connects_and_notes_whose_certificate_it_saw() {
    let hub = Hub::start();
    let proxy = Impostor::start(Conduct::PassesOn(hub.address()));
    let token = hub.enrollment_token(&[]);
    let mut agent = Agent::new(NAME, options(&hub, proxy.tls_url()));
    agent.enroll(&token).succeeded();
    agent.run();
    hub.wait_for_state(NAME, "online", SOON);
    assert!(agent.log().contains(MISMATCH), "{}", agent.log());
    assert!(proxy.heard().len() > 1000, "the proxy heard {} bytes", proxy.heard().len());
    never_said(&proxy, &token);
}

#[test]
fn f17_another_hub_behind_a_proxy_that_opens_tls_is_refused_before_the_secret_is_said() {
    let (hub, other) = (Hub::start(), Hub::start());
    let proxy = Impostor::start(Conduct::PassesOn(other.address()));
    let token = hub.enrollment_token(&[]);
    let refused = Agent::new(NAME, options(&hub, proxy.tls_url())).enroll(&token);
    assert_eq!(refused.status.code(), Some(5));
    assert!(refused.failed().contains("PIN_MISMATCH"));
    never_said(&proxy, &token);
}

#[test]
fn f17_an_enrolled_agent_that_is_led_to_another_hub_stays_away_and_returns_to_its_own() {
    let (hub, other) = (Hub::start(), Hub::start());
    let proxy = Impostor::start(Conduct::PassesOn(hub.address()));
    let agent = Agent::online(&hub, NAME, options(&hub, proxy.tls_url()));
    proxy.set_conduct(Conduct::PassesOn(other.address()));
    wait::until_true("the agent's distrust", RETURN, || {
        agent.status().is_some_and(|status| status.last_error.to_string().contains("PIN_MISMATCH"))
    });
    assert_eq!(other.environments().len(), 0);
    proxy.set_conduct(Conduct::PassesOn(hub.address()));
    hub.wait_for_state(NAME, "online", RETURN);
}

/// A portal gets nothing of a token, whatever it answers and however the agent
/// was told to come.
fn gets_no_token(conduct: Conduct) {
    let hub = Hub::start();
    let portal = Impostor::start(conduct);
    for url in [portal.plain_url(), portal.tls_url()] {
        let token = hub.enrollment_token(&[]);
        let said = Agent::new(NAME, options(&hub, url)).enroll(&token).failed();
        assert!(["PROXY_BLOCKS_UPGRADE", "NOT_A_HUB", "TLS_FAILED"].iter().any(|code| said.contains(code)), "{said}");
        never_said(&portal, &token);
    }
    assert!(portal.requests() >= 2, "the portal was not asked");
}

#[test]
fn f18_a_captive_portal_that_sends_to_its_page_gets_no_token() {
    gets_no_token(Conduct::answer("302 Found", &["Location: http://portal.example/login"], ""));
}

#[test]
fn f18_a_captive_portal_that_shows_its_page_gets_no_token() {
    gets_no_token(Conduct::answer("200 OK", &["Content-Type: text/html"], "<html>please pay</html>"));
}

#[test]
fn f18_a_server_that_says_yes_to_every_upgrade_gets_no_token() {
    gets_no_token(Conduct::answer("101 Switching Protocols", &["Connection: Upgrade", "Upgrade: websocket"], ""));
}

fn never_said(listener: &Impostor, token: &str) {
    let heard = listener.heard();
    let secret = token.split('_').nth(2).unwrap();
    for part in [token, secret] {
        assert!(!contains(&heard, part.as_bytes()), "the token was said to somebody else");
    }
}

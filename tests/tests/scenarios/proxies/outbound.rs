//! Agents whose way out is an HTTP proxy.

use windflow_tests::network::{ConnectProxy, Credentials};
use windflow_tests::product::{Agent, AgentOptions, Hub};
use windflow_tests::{secrets, wait};

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

/// The password of `user`, both as a header, and both as a URL has to write them.
const PASSWORD: &str = "pass:word/ and more";
const HEADER: &str = "Basic dXNlcjpwYXNzOndvcmQvIGFuZCBtb3Jl";
const IN_URL: &str = "user:pass%3Aword%2F%20and%20more";

#[test]
fn f20_an_agent_goes_through_a_proxy_that_wants_a_password_and_leaves_quic_out() {
    let hub = Hub::start();
    let proxy = ConnectProxy::start(Credentials::Header(HEADER.to_owned()));
    secrets::learn("the password of a proxy", PASSWORD);
    let variable = format!("http://{IN_URL}@{}", proxy.address());
    let options = AgentOptions::new(&hub, NO_ENGINE).with_environment("HTTPS_PROXY", &variable);
    let _agent = Agent::online(&hub, NAME, options.with_environment("NO_PROXY", ""));
    let listed = hub.environment(NAME).unwrap();
    assert_eq!(listed.transport.as_deref(), Some("websocket"));
    assert!(proxy.seen().iter().any(|line| line.ends_with("200 Connection established")), "{:?}", proxy.seen());
}

#[test]
fn f20_a_proxy_that_refuses_the_password_is_named_as_the_reason() {
    let hub = Hub::start();
    let proxy = ConnectProxy::start(Credentials::Header(HEADER.to_owned()));
    let mut agent = Agent::enrolled(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE).over("websocket"));
    let wrong = secrets::fresh("a wrong password for a proxy");
    let variable = format!("http://user:{wrong}@{}", proxy.address());
    agent.options_mut().environment.push(("HTTPS_PROXY".to_owned(), variable));
    agent.run();
    wait::until_true("an error that names the proxy", SOON, || {
        agent.status().is_some_and(|status| status.last_error.to_string().to_lowercase().contains("proxy"))
    });
    // That its password stands nowhere is looked at when the agent ends.
}

#[test]
fn f20_a_host_that_no_proxy_names_is_dialled_directly() {
    let hub = Hub::start();
    let proxy = ConnectProxy::start(Credentials::None);
    let options =
        AgentOptions::new(&hub, NO_ENGINE).with_environment("HTTPS_PROXY", &format!("http://{}", proxy.address()));
    let _agent = Agent::online(&hub, NAME, options.with_environment("NO_PROXY", "127.0.0.1"));
    assert_eq!(proxy.seen(), Vec::<String>::new());
}

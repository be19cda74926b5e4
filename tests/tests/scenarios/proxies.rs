//! Agents behind HTTP proxies, hubs behind reverse proxies.

use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion};
use windflow_tests::network::{ConnectProxy, Credentials, ReverseProxy, ReverseProxyKind};
use windflow_tests::product::{Agent, AgentOptions, DockerCli, Hub};
use windflow_tests::wait;

use super::SOON;
use super::worlds::{NAME, NO_ENGINE, engine_with_image};

/// `user` and `pass:word/` as a header, and as a URL has to write them.
const HEADER: &str = "Basic dXNlcjpwYXNzOndvcmQv";
const IN_URL: &str = "user:pass%3Aword%2F";

#[test]
fn an_agent_goes_through_a_proxy_that_wants_a_password() {
    let hub = Hub::start();
    let proxy = ConnectProxy::start(Credentials::Header(HEADER.to_owned()));
    let variable = format!("http://{IN_URL}@{}", proxy.address());
    let options = AgentOptions::new(&hub, NO_ENGINE).with_environment("HTTPS_PROXY", &variable);
    let _agent = Agent::online(&hub, NAME, options.with_environment("NO_PROXY", ""));
    let listed = hub.environment(NAME).unwrap();
    assert_eq!(listed.transport.as_deref(), Some("websocket"));
    assert!(proxy.seen().iter().any(|line| line.ends_with("200 Connection established")), "{:?}", proxy.seen());
}

#[test]
fn a_proxy_that_refuses_the_password_is_named_as_the_reason() {
    let hub = Hub::start();
    let proxy = ConnectProxy::start(Credentials::Header(HEADER.to_owned()));
    let mut agent = Agent::enrolled(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE).over("websocket"));
    let variable = format!("http://user:wrong@{}", proxy.address());
    agent.options_mut().environment.push(("HTTPS_PROXY".to_owned(), variable));
    agent.run();
    wait::until_true("an error that names the proxy", SOON, || {
        agent.status().is_some_and(|status| status.last_error.to_string().to_lowercase().contains("proxy"))
    });
    assert!(!agent.log().contains("wrong@"), "the proxy's password stands in the log");
}

#[test]
fn a_host_that_no_proxy_names_is_dialled_directly() {
    let hub = Hub::start();
    let proxy = ConnectProxy::start(Credentials::None);
    let options =
        AgentOptions::new(&hub, NO_ENGINE).with_environment("HTTPS_PROXY", &format!("http://{}", proxy.address()));
    let _agent = Agent::online(&hub, NAME, options.with_environment("NO_PROXY", "127.0.0.1"));
    assert_eq!(proxy.seen(), Vec::<String>::new());
}

fn works_behind(kind: ReverseProxyKind) {
    let engine = engine_with_image(EngineVersion::V26_1);
    let hub = Hub::start();
    let proxy = ReverseProxy::start(kind, hub.address());
    let options = AgentOptions::new(&hub, &engine.address()).through(proxy.url()).over("websocket");
    let _agent = Agent::online(&hub, NAME, options);
    let docker = DockerCli::new(&hub, NAME);
    let mut shell = docker.start(["run", "--rm", "-i", BUSYBOX, "sh"]);
    shell.write(b"echo product $((6 * 7))\n");
    shell.wait_for("product 42", SOON);
    shell.write(b"exit\n");
    assert!(shell.finish(SOON).status.success());
}

#[test]
fn agents_come_through_nginx_that_ends_tls() {
    works_behind(ReverseProxyKind::Nginx);
}

#[test]
fn agents_come_through_haproxy_that_ends_tls() {
    works_behind(ReverseProxyKind::HaProxy);
}

#[test]
fn heartbeats_keep_a_session_alive_that_carries_nothing_else() {
    let hub = Hub::start();
    let proxy = ReverseProxy::start(ReverseProxyKind::HaProxy, hub.address());
    let options = AgentOptions::new(&hub, NO_ENGINE).through(proxy.url()).over("websocket");
    let agent = Agent::online(&hub, NAME, options);
    wait::holds("the session", Duration::from_secs(30), || hub.state_of(NAME) == "online");
    assert!(!agent.log().contains("reconnect"), "{}", agent.log());
}

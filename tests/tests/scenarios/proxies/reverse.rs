//! Hubs behind real reverse proxies, configured as the manual says.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use windflow_tests::engine::{BUSYBOX, EngineVersion, TestEngine};
use windflow_tests::network::{Netns, ReverseProxy, ReverseProxyKind, ReverseProxyOptions};
use windflow_tests::product::{Agent, AgentOptions, Answer, DockerCli, Hub, HubOptions, WebClient};
use windflow_tests::wait;

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE, engine_with_image};

/// A caller that is on no proxy's address.
const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// What a caller would like the hub to believe of them.
const LIE: &str = "203.0.113.99";

/// A proxy before a hub; what depends on something else stands before it.
struct Site {
    docker: DockerCli,
    browser: WebClient,
    _agent: Agent,
    _engine: TestEngine,
    proxy: ReverseProxy,
    hub: Hub,
}

fn hub_that_trusts(proxy: IpAddr) -> Hub {
    let arguments = vec!["--trusted-proxy".to_owned(), proxy.to_string()];
    Hub::start_with(HubOptions { listen: SocketAddr::from(([0, 0, 0, 0], 0)), arguments, ..HubOptions::default() })
}

fn site(kind: ReverseProxyKind) -> Site {
    let hub = hub_that_trusts(Ipv4Addr::LOCALHOST.into());
    let proxy = ReverseProxy::start(kind, hub.address(), &ReverseProxyOptions::default());
    furnish(hub, proxy, kind)
}

fn furnish(hub: Hub, proxy: ReverseProxy, kind: ReverseProxyKind) -> Site {
    let engine = engine_with_image(EngineVersion::V26_1);
    let options = AgentOptions::new(&hub, &engine.address()).through(proxy.url()).over("websocket");
    let agent = Agent::online(&hub, NAME, options);
    let certificate = match kind {
        ReverseProxyKind::HaProxyTcp => std::fs::read_to_string(hub.data_folder().join("tls/cert.pem")).unwrap(),
        _ => proxy.certificate().to_owned(),
    };
    let id = hub.environment(NAME).unwrap().id;
    let docker = DockerCli::through_tls(proxy.address(), &certificate, &id, hub.api_token());
    let browser = WebClient::new(proxy.address(), &certificate);
    Site { docker, browser, _agent: agent, _engine: engine, proxy, hub }
}

impl Site {
    /// What the console's page sends, and what a caller adds who lies.
    fn page_asks(&self, method: &str, path: &str, cookie: &str, body: &str) -> Answer {
        let headers = [
            ("origin", self.proxy.url()),
            ("cookie", cookie.to_owned()),
            ("x-forwarded-for", LIE.to_owned()),
            ("x-forwarded-proto", "http".to_owned()),
            ("x-forwarded-host", "evil.example".to_owned()),
            ("forwarded", format!("for={LIE};proto=http;host=evil.example")),
        ];
        self.browser.request(method, path, &headers, body).unwrap()
    }

    /// A person signs in, changes something and leaves.
    fn serves_a_browser(&self) {
        let signed_in = self.page_asks("POST", "/api/v1/session", "", &Hub::sign_in_body());
        assert_eq!(signed_in.status, 200, "{}", signed_in.body);
        let cookie = signed_in.header("set-cookie").to_owned();
        assert!(cookie.starts_with("__Host-windflow=") && cookie.contains("Secure"), "{cookie}");
        let cookie = cookie.split(';').next().unwrap();
        let token = self.page_asks("POST", "/api/v1/api-tokens", cookie, "{\"name\":\"from a page\"}");
        assert_eq!(token.status, 201, "{}", token.body);
        assert_eq!(self.page_asks("DELETE", "/api/v1/session", cookie, "").status, 204);
    }

    /// Programs, a command that goes both ways, and one that only listens.
    fn serves_docker(&self) {
        assert_eq!(self.docker.run(["version", "--format", "{{.Server.Os}}"]).succeeded(), "linux");
        let mut shell = self.docker.start(["run", "--rm", "-i", BUSYBOX, "sh"]);
        shell.write(b"echo product $((6 * 7))\n");
        shell.wait_for("product 42", SOON);
        shell.write(b"exit\n");
        assert!(shell.finish(SOON).status.success());
        self.streams_at_once();
    }

    /// A line that is all there is for now arrives now.
    fn streams_at_once(&self) {
        let talk = "echo first; read wait < /dev/zero & sleep 600";
        self.docker.run(["run", "--detach", "--name", "talks", BUSYBOX, "sh", "-c", talk]).succeeded();
        let logs = self.docker.start(["logs", "--follow", "talks"]);
        logs.wait_for("first", SOON);
    }

    fn serves_exec(&self) {
        let mut exec = self.docker.start(["exec", "-i", "talks", "cat"]);
        exec.write(b"to and fro\n");
        exec.wait_for("to and fro", SOON);
    }

    /// Input that ends, while the output of it is still to come.
    fn passes_the_end_of_input_on(&self) {
        let counted = self.docker.run_with_input(["exec", "-i", "talks", "wc", "-c"], &[b'x'; 300_000]);
        assert_eq!(counted.succeeded(), "300000");
    }

    fn audit_of(&self, action: &str) -> String {
        self.hub.request("GET", &format!("/api/v1/audit?action={action}"), "").body
    }
}

fn serves_all_behind(kind: ReverseProxyKind) -> Site {
    let mut site = site(kind);
    site.serves_docker();
    site.serves_exec();
    site.browser = site.browser.clone().from(CALLER);
    site.serves_a_browser();
    let audit = site.audit_of("user.sign_in");
    assert!(audit.contains(&format!("\"{CALLER}\"")) && !audit.contains(LIE), "{audit}");
    site
}

#[test]
fn a_hub_behind_nginx_serves_browsers_programs_and_agents_and_knows_who_calls() {
    drop(serves_all_behind(ReverseProxyKind::Nginx));
}

#[test]
fn a_hub_behind_caddy_serves_browsers_programs_and_agents_and_knows_who_calls() {
    drop(serves_all_behind(ReverseProxyKind::Caddy));
}

#[test]
fn a_hub_behind_apache_serves_browsers_programs_and_agents_and_knows_who_calls() {
    serves_all_behind(ReverseProxyKind::Apache).passes_the_end_of_input_on();
}

#[test]
fn a_hub_behind_haproxy_in_http_mode_serves_all_but_exec_and_knows_who_calls() {
    let mut site = site(ReverseProxyKind::HaProxyHttp);
    site.serves_docker();
    site.docker.run(["exec", "talks", "true"]).failed();
    site.browser = site.browser.clone().from(CALLER);
    site.serves_a_browser();
    let audit = site.audit_of("user.sign_in");
    assert!(audit.contains(&format!("\"{CALLER}\"")) && !audit.contains(LIE), "{audit}");
}

#[test]
fn a_hub_behind_haproxy_in_tcp_mode_serves_browsers_programs_and_agents_and_knows_who_calls() {
    serves_all_behind(ReverseProxyKind::HaProxyTcp).passes_the_end_of_input_on();
}

#[test]
fn a_hub_behind_what_writes_traefiks_headers_on_another_host_serves_all_and_knows_who_calls() {
    let namespace = Netns::new();
    let kind = ReverseProxyKind::CaddyLikeTraefik;
    let hub = hub_that_trusts(namespace.inside().into());
    let target = SocketAddr::new(namespace.outside().into(), hub.address().port());
    let proxy = ReverseProxy::start(kind, target, &ReverseProxyOptions::inside(&namespace));
    let site = furnish(hub, proxy, kind);
    site.serves_docker();
    site.serves_exec();
    site.serves_a_browser();
    let audit = site.audit_of("user.sign_in");
    let own = namespace.outside().to_string();
    assert!(audit.contains(&own) && !audit.contains(&namespace.inside().to_string()), "{audit}");
    drop(site);
}

#[test]
fn a_token_for_one_network_knows_a_host_behind_a_proxy_by_its_own_address() {
    let namespace = Netns::new();
    let hub = hub_that_trusts(namespace.inside().into());
    let target = SocketAddr::new(namespace.outside().into(), hub.address().port());
    let proxy = ReverseProxy::start(ReverseProxyKind::Caddy, target, &ReverseProxyOptions::inside(&namespace));
    let options = AgentOptions::new(&hub, NO_ENGINE).through(proxy.url()).over("websocket");
    let agent = Agent::new(NAME, options);
    let token_for = |network: IpAddr| hub.enrollment_token(&["--cidr", &format!("{network}/32")]);
    agent.enroll(&token_for(namespace.inside().into())).failed();
    agent.enroll(&token_for(namespace.outside().into())).succeeded();
}

/// The proxy gives up a connection that rests for 15 s; twice that long
/// nothing but heartbeats goes over it.
fn f14_outlives_the_patience_of(kind: ReverseProxyKind) {
    let hub = hub_that_trusts(Ipv4Addr::LOCALHOST.into());
    let options = ReverseProxyOptions { idle: Some(Duration::from_secs(15)), ..ReverseProxyOptions::default() };
    let proxy = ReverseProxy::start(kind, hub.address(), &options);
    let agent = Agent::online(&hub, NAME, AgentOptions::new(&hub, NO_ENGINE).through(proxy.url()).over("websocket"));
    let before = hub.connected_at(NAME);
    wait::holds("the session", Duration::from_secs(35), || hub.connected_at(NAME) == before);
    assert_eq!(agent.status().map(|status| status.state).as_deref(), Some("connected"));
}

#[test]
fn f14_heartbeats_keep_a_session_through_nginx_that_ends_what_rests_for_15_seconds() {
    f14_outlives_the_patience_of(ReverseProxyKind::Nginx);
}

#[test]
fn f14_heartbeats_keep_a_session_through_haproxy_that_ends_what_rests_for_15_seconds() {
    f14_outlives_the_patience_of(ReverseProxyKind::HaProxyHttp);
}

#[test]
fn f14_heartbeats_keep_a_session_through_apache_that_ends_what_rests_for_15_seconds() {
    f14_outlives_the_patience_of(ReverseProxyKind::Apache);
}

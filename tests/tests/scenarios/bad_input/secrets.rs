//! Secrets in places where nobody expects them, with everything logged that can
//! be: what is wrong about them is said without them. The search for all of them
//! is the harness's own, where the hub and the agent end.

use serde_json::{Value, json};
use windflow_tests::engine::free_port;
use windflow_tests::network::{MailSecurity, MailServer};
use windflow_tests::process::{run, write_private};
use windflow_tests::product::{ADMINISTRATOR, Agent, AgentOptions, Hub, HubOptions, LiveChannel, enroll_command};
use windflow_tests::{secrets, wait};

use super::super::SOON;
use super::super::worlds::{NAME, NO_ENGINE};

/// A hub that logs all it can.
fn talkative(format: &str) -> Hub {
    let mut options = HubOptions::default();
    for (name, value) in [("WINDFLOW_LOG", "trace"), ("WINDFLOW_LOG_FORMAT", format)] {
        options.environment.push((name.to_owned(), value.to_owned()));
    }
    Hub::start_with(options)
}

/// What has the shape of a token of this kind and was never made.
fn made_up(kind: &str) -> String {
    let secret: String = secrets::fresh("a token that was made up").split('-').skip(1).collect();
    secrets::learn("the secret of a token that was made up", &secret);
    format!("{kind}_0123456789_{secret}_0123456")
}

#[test]
fn c43_a_secret_in_the_wrong_field_is_refused_and_neither_recorded_nor_repeated() {
    let hub = talkative("text");
    let password = secrets::fresh("a password typed as a name") + "!";
    // As many as may be wrong before somebody is made to wait.
    let names = [made_up("wfa1"), made_up("wfr1"), hub.api_token().to_owned(), hub.enrollment_token(&[]), password];
    for (at, name) in names.iter().enumerate() {
        let path = if at % 2 == 0 { "/api/v1/session" } else { "/api/v1/auth/login" };
        let body = json!({ "name": name, "password": secrets::fresh("a wrong password") });
        let answer = hub.request_as_nobody("POST", path, &body.to_string());
        assert_eq!(answer.status, 401, "{at}");
    }
    let bare = secrets::fresh("a secret in a body of another shape");
    for body in [
        json!(bare),
        json!([bare]),
        json!({ "name": { "first": bare }, "password": [bare] }),
        json!({ "name": [bare], "password": { "is": bare } }),
        json!({ "name": "x", "password": "y", "remember": bare }),
    ] {
        let answer = hub.request_as_nobody("POST", "/api/v1/session", &body.to_string());
        assert!((400..500).contains(&answer.status), "{}", answer.status);
    }
    let user = json!({ "name": "eve", "role": bare, "password": "five cheerful herons" });
    assert_eq!(hub.request("POST", "/api/v1/users", &user.to_string()).status, 422);
    let user = json!({ "name": "eve", "role": "viewer", "password": [bare] });
    assert_eq!(hub.request("POST", "/api/v1/users", &user.to_string()).status, 422);
    assert!(hub.read("/api/v1/audit?action=user.sign_in&outcome=denied")["items"].as_array().unwrap().len() == 5);
}

#[test]
fn c43_a_secret_in_a_url_or_a_header_is_refused_and_neither_logged_nor_repeated() {
    let hub = talkative("json");
    let token = made_up("wfa1");
    let shy = secrets::fresh("a secret in a query");
    for path in [
        format!("/api/v1/environments?token={token}"),
        format!("/api/v1/environments?limit={shy}"),
        format!("/api/v1/containers?state={shy}"),
        format!("/api/v1/audit?action={shy}"),
        format!("/api/v1/users/{shy}"),
        format!("/api/v1/jobs/{token}"),
        format!("/api/v1/auth/oidc/{shy}/start"),
        format!("/api/v1/auth/oidc/corp/callback?code={shy}&state={shy}"),
        format!("/download/agent/{shy}"),
        format!("/{shy}"),
    ] {
        hub.request_with("GET", &path, &[]);
        hub.request("GET", &path, "");
    }
    let basic = secrets::fresh("a password in a header");
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("authorization", format!("Bearer {basic}")),
        ("authorization", format!("Basic {basic}")),
        ("cookie", format!("windflow-loopback={basic}; __Host-windflow={basic}")),
        ("x-registry-auth", basic.clone()),
        ("origin", format!("https://{basic}.example")),
        ("user-agent", "a program".to_owned()),
    ] {
        let answer = hub.request_with("GET", "/api/v1/users", &[(name, value)]);
        assert!([401, 403].contains(&answer.status), "{name}: {}", answer.status);
    }
    let body = json!({ "passphrase": secrets::fresh("a passphrase") });
    assert_eq!(hub.request("POST", "/api/v1/backups", &body.to_string()).status, 200);
}

/// What is dialled with a credential does not answer, or not as it should.
#[test]
fn c43_a_connection_that_fails_is_told_of_without_its_credentials() {
    let hub = talkative("text");
    let mut live = LiveChannel::open(&hub, &json!({ "watch": ["environments"] }));
    live.until("the beginning", SOON, |message| message["kind"] == "reset");
    let port = free_port();
    let (user, path) = (secrets::fresh("a password in an address"), secrets::fresh("a secret in an address"));
    let asked = |method: &str, path: &str, body: &Value| hub.request(method, path, &body.to_string()).status;

    let secret = secrets::fresh("the secret of a webhook");
    for url in [
        format!("http://ada:{user}@127.0.0.1:{port}/hooks/{path}"),
        format!("http://127.0.0.1:{port}/hooks/{path}?key={path}"),
        format!("ftp://ada:{user}@127.0.0.1/{path}"),
    ] {
        let destination = json!({ "kind": "webhook", "url": url, "allow_private": true, "allow_http": true });
        let body = json!({ "destination": destination, "secret": secret });
        asked("PUT", "/api/v1/settings/audit-shipping", &body);
        asked("POST", "/api/v1/settings/audit-shipping/test", &body);
    }

    let server = MailServer::start(MailSecurity::Starttls);
    for port in [json!(port), server.settings()["port"].clone()] {
        let mut settings = server.settings();
        settings["port"] = port;
        settings["password"] = json!(secrets::fresh("a wrong password for a mail server"));
        assert_eq!(asked("PUT", "/api/v1/settings/mail", &settings), 200);
        asked("POST", "/api/v1/settings/mail/test", &json!({ "to": "eve@example.com" }));
    }

    let configurations = [
        json!({ "kind": "ldap", "servers": [format!("ldaps://127.0.0.1:{port}")], "allow_private": true,
            "bind_dn": "cn=hub", "base_dn": "dc=corp" }),
        json!({ "kind": "oidc", "issuer": format!("https://ada:{user}@127.0.0.1:{port}"), "client_id": "hub" }),
        json!({ "kind": "oidc", "issuer": format!("https://127.0.0.1:{port}"), "client_id": "hub",
            "allow_private": true, "allow_http": true }),
    ];
    for (at, configuration) in configurations.into_iter().enumerate() {
        let body = json!({
            "name": format!("Corp {at}"), "slug": format!("corp-{at}"), "enabled": true, "create_users": true, "mappings": [],
            "trusted_for_second_factor": false, "required_group": null, "configuration": configuration,
            "client_secret": secrets::fresh("the secret of a provider"),
        });
        asked("POST", "/api/v1/identity-providers", &body);
        let sign_in = json!({ "name": "eve", "password": secrets::fresh("the password of somebody elsewhere") });
        hub.request_as_nobody("POST", "/api/v1/session", &sign_in.to_string());
    }

    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", secrets::fresh("a private key"));
    let engine = json!({ "name": "nas", "address": format!("tcp://127.0.0.1:{port}"), "ca": key, "certificate": key, "key": key });
    asked("POST", "/api/v1/environments", &engine);
    let engine = json!({ "name": "nas", "address": format!("tcp://ada:{user}@127.0.0.1:{port}") });
    asked("POST", "/api/v1/environments", &engine);
    hub.cli(["environment", "add", "elsewhere", "--tcp", &format!("tcp://127.0.0.1:{port}")]).succeeded();
    live.until("news of the engine", SOON, |message| message["kind"] == "environment");
    let elsewhere = hub.environment("elsewhere").expect("the engine").id;
    let login = json!({ "username": "ada", "password": secrets::fresh("the password of a registry") });
    let pull = json!({ "reference": "registry.invalid/a:1", "login": login });
    asked("POST", &format!("/api/v1/environments/{elsewhere}/images/pull"), &pull);
    let line = format!("docker run --env DB_PASSWORD={user} --nonsense={path} busybox");
    asked("POST", "/api/v1/docker-run", &json!({ "command": line }));
    hub.cli(["doctor"]);
}

#[test]
fn c43_an_agent_that_is_refused_says_so_without_its_token_and_its_proxys_password() {
    let hub = talkative("text");
    let trace = |options: AgentOptions| options.with_environment("WINDFLOW_LOG", "trace");
    let folder = tempfile::tempdir().unwrap();
    let token_file = folder.path().join("token");
    let password = secrets::fresh("a password in the address of a hub");
    let good = hub.enrollment_token(&[]);
    let mut mistyped = good.clone();
    mistyped.push('0');
    for (token, url) in [
        (made_up("wfe1"), hub.url()),
        (mistyped, hub.url()),
        (secrets::fresh("no token at all"), hub.url()),
        (good, hub.url().replacen("://", &format!("://ada:{password}@"), 1)),
    ] {
        let mut options = trace(AgentOptions::new(&hub, NO_ENGINE));
        options.hub_url = url;
        write_private(&token_file, &token);
        let mut enroll = enroll_command(&options, NAME, &token_file, &folder.path().join("state"));
        run(enroll.env("WINDFLOW_LOG", "trace"), SOON * 4);
    }

    let mut agent = Agent::enrolled(&hub, "shy", trace(AgentOptions::new(&hub, NO_ENGINE).over("websocket")));
    let wrong = secrets::fresh("the password of a proxy");
    let variable = format!("http://ada:{wrong}@127.0.0.1:{}", free_port());
    agent.options_mut().environment.push(("HTTPS_PROXY".to_owned(), variable));
    agent.run();
    wait::until_true("an error", SOON, || agent.status().is_some_and(|status| !status.last_error.is_null()));
    agent.kill();
    agent.options_mut().environment.pop();
    agent.run();
    hub.wait_for_state("shy", "online", SOON);
    hub.cli(["agent", "list"]).succeeded();
    hub.cli(["user", "list"]).succeeded();
    assert!(hub.log().contains("TRACE"), "all is logged that can be");
    assert!(hub.read("/api/v1/users").to_string().contains(ADMINISTRATOR));
}

//! People who come from a GitHub, against a simulated one.

mod simulated;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use data_encoding::BASE64URL_NOPAD;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use self::simulated::{GitHub, Says, TOKEN, email, org, team};
use super::{Begun, CLIENT_SECRET, Issuer, browser_at, location, merged, provider_of, session, with_cookie};
use crate::db::testing::TestDb;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const REFUSED: &str = "/sign-in?failed=refused";
const EXPIRED: &str = "/sign-in?failed=expired";
const PROVIDER: &str = "/sign-in?failed=provider";
const GROUP: &str = "/sign-in?failed=group";
const PROVIDERS: &str = "/api/v1/identity-providers";

/// A hub with an administrator, and a GitHub that it knows as `hubbub`.
struct World {
    hub: TestHub,
    github: GitHub,
    provider: Value,
}

fn configured(base: &str, changes: Value) -> Value {
    let body = json!({
        "name": "Hubbub", "slug": "hubbub", "enabled": true, "create_users": true, "trusted_for_second_factor": false,
        "required_group": null, "client_secret": CLIENT_SECRET, "mappings": [],
        "configuration": {
            "kind": "github", "base": base, "client_id": "Iv1.8a61f9b3a7aba766", "allow_private": true, "allow_http": true,
        },
    });
    merged(body, changes)
}

fn mapped(group: &str, role: &str) -> Value {
    json!({ "value": group, "role": role, "scope": { "kind": "everywhere" } })
}

impl World {
    async fn on(db: TestDb, changes: Value) -> Self {
        let (hub, github) = (TestHub::on(db).await, GitHub::start().await);
        let admin = json!({ "name": "admin", "role": "administrator", "password": PASSWORD });
        assert_eq!(hub.post(&Client::local(), "/api/v1/users", admin).await.status, StatusCode::CREATED);
        let made = hub.post(&Client::local(), PROVIDERS, configured(&github.url, changes)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        Self { hub, github, provider: made.body }
    }

    async fn with(changes: Value) -> Self {
        Self::on(TestDb::sqlite().await, changes).await
    }

    fn path(&self) -> String {
        format!("{PROVIDERS}/{}", self.provider["id"].as_str().unwrap())
    }

    async fn change(&self, changes: Value) -> Answer {
        let request = Request::put(self.path()).header("content-type", "application/json");
        let body = configured(&self.github.url, changes).to_string();
        self.hub.send(&Client::local(), request, Body::from(body)).await
    }

    async fn begin(&self, client: &Client) -> Begun {
        let start = "/api/v1/auth/oidc/hubbub/start?next=/containers";
        let answer = self.hub.get(&client.clone().without("origin"), start).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        let cookie = with_cookie(&client.header("cookie"), &answer);
        let client = client.clone().without("origin").with("cookie", &cookie);
        Begun { location: location(&answer).parse().unwrap(), client }
    }

    fn way_back(begun: &Begun) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("code", "the-code").append_pair("state", &begun.asked("state"));
        format!("/api/v1/auth/oidc/hubbub/callback?{}", query.finish())
    }

    /// Somebody at this address signs in.
    async fn sign_in_at(&self, last: usize) -> Answer {
        let begun = self.begin(&browser_at(last)).await;
        self.hub.get(&begun.client, &Self::way_back(&begun)).await
    }

    /// The same, and gives who it is.
    async fn signed_in(&self) -> (Client, Value) {
        let answer = self.sign_in_at(1).await;
        assert_eq!(location(&answer), "/containers", "{answer:?}");
        let client = Client::browser().with("cookie", &session(&answer).unwrap());
        let me = self.hub.get(&client, "/api/v1/me").await.body;
        (client, me)
    }

    async fn roles(&self, user: &Value) -> Vec<String> {
        let path = format!("/api/v1/grants?user={}", user["id"].as_str().unwrap());
        let grants = self.hub.get(&Client::local(), &path).await.body;
        let mut roles: Vec<_> = grants["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|grant| grant["role_id"].as_str().unwrap().to_owned())
            .collect();
        roles.sort();
        roles
    }

    fn instead(&self, path: &str, status: u16, text: impl Into<String>) {
        self.github.says(|says| {
            says.instead = [(path.to_owned(), (status, text.into()))].into();
        });
    }
}

fn is_outside(answer: &Answer, why: &str, what: &str) {
    assert_eq!((answer.status, location(answer)), (StatusCode::SEE_OTHER, why), "{what}: {answer:?}");
    assert_eq!(session(answer), None, "{what}");
}

async fn somebody_signs_in(db: TestDb) {
    let world = World::on(db, json!({ "mappings": [mapped("github/justice-league", "operator")] })).await;
    let begun = world.begin(&Client::browser()).await;
    assert!(begun.location.as_str().starts_with(&format!("{}/login/oauth/authorize?", world.github.url)));
    for (name, value) in [
        ("client_id", "Iv1.8a61f9b3a7aba766"),
        ("redirect_uri", "https://hub.example:8443/api/v1/auth/oidc/hubbub/callback"),
        ("scope", "read:org user:email"),
        ("code_challenge_method", "S256"),
        ("allow_signup", "false"),
    ] {
        assert_eq!(begun.asked(name), value);
    }
    let answer = world.hub.get(&begun.client, &World::way_back(&begun)).await;
    assert_eq!(location(&answer), "/containers", "{answer:?}");
    let client = Client::browser().with("cookie", &session(&answer).unwrap());
    let me = world.hub.get(&client, "/api/v1/me").await.body;
    assert_eq!((&me["name"], &me["role"]), (&json!("octocat"), &json!("restricted")));
    assert_eq!(world.roles(&me).await, ["operator"]);
    let linked = world.hub.get(&client, "/api/v1/me/identities").await.body["items"][0].clone();
    assert_eq!((&linked["issuer"], &linked["subject"]), (&json!(world.github.url), &json!("583231")));
    assert_eq!(linked["called"], "octocat (octocat@github.example)");

    let redeemed = &world.github.asked("/login/oauth/access_token")[0];
    let form: Vec<(String, String)> = url::form_urlencoded::parse(redeemed.body.as_bytes()).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap();
    let verifier = digest(&SHA256, field("code_verifier").as_bytes());
    assert_eq!(BASE64URL_NOPAD.encode(verifier.as_ref()), begun.asked("code_challenge"));
    assert_eq!((field("code").as_str(), field("client_secret").as_str()), ("the-code", CLIENT_SECRET));
    assert_eq!(field("redirect_uri"), begun.asked("redirect_uri"));
    assert_eq!(redeemed.headers["accept"], "application/json");

    for path in ["/user", "/user/teams", "/user/emails"] {
        let asked = &world.github.asked(&format!("/api/v3{path}"))[0];
        assert_eq!(asked.headers["accept"], "application/vnd.github+json", "{path}");
        assert_eq!(asked.headers["x-github-api-version"], "2022-11-28");
        assert!(asked.headers["user-agent"].to_str().unwrap().starts_with("windflow-hub/"));
        assert!(!asked.query.values().any(|value| value.contains(TOKEN)), "not in an address");
    }
    assert!(world.github.asked("/api/v3/user/orgs").is_empty(), "nobody asks for organizations");
    let records = world.hub.get(&Client::local(), "/api/v1/audit?limit=200").await.body.to_string();
    let listed = world.hub.get(&Client::local(), PROVIDERS).await.body.to_string();
    for secret in [TOKEN, CLIENT_SECRET, "the-code"] {
        assert!(!records.contains(secret) && !listed.contains(secret), "{secret}");
    }
    assert!(records.contains("583231") && records.contains("octocat@github.example"));

    let again = world.hub.get(&begun.client, &World::way_back(&begun)).await;
    is_outside(&again, EXPIRED, "an attempt comes back once");
    assert_eq!(world.github.asked("/login/oauth/access_token").len(), 1);
}

mod on_both {
    use super::*;

    #[tokio::test]
    async fn somebody_signs_in_sqlite() {
        somebody_signs_in(TestDb::sqlite().await).await;
    }

    #[tokio::test]
    async fn somebody_signs_in_postgres() {
        somebody_signs_in(TestDb::postgres().await).await;
    }
}

#[tokio::test]
async fn c32_an_attempt_belongs_to_its_browser_its_state_and_its_provider() {
    let world = World::with(json!({})).await;
    let (one, other) = (world.begin(&browser_at(1)).await, world.begin(&browser_at(2)).await);
    assert_eq!(one.asked("scope"), "user:email", "nothing is asked for that nobody needs");
    let path = World::way_back(&one);
    for stranger in [browser_at(3).without("origin"), other.client.clone()] {
        is_outside(&world.hub.get(&stranger, &path).await, EXPIRED, "another browser");
    }
    for query in ["", "?code=the-code", "?code=the-code&state=x", "?state=&code=the-code"] {
        let path = format!("/api/v1/auth/oidc/hubbub/callback{query}");
        is_outside(&world.hub.get(&one.client, &path).await, EXPIRED, "a wrong state");
    }
    // Another provider cannot have it end what began here, nor get the code.
    let issuer = Issuer::start().await;
    let body = provider_of(&issuer, "corp");
    assert_eq!(world.hub.post(&Client::local(), PROVIDERS, body).await.status, StatusCode::CREATED);
    let elsewhere = path.replace("/hubbub/", "/corp/");
    is_outside(&world.hub.get(&one.client, &elsewhere).await, EXPIRED, "another provider's address");
    assert!(issuer.asked("/token").is_empty() && world.github.asked("/login/oauth/access_token").is_empty());
    let named =
        format!("{path}&iss={}", url::form_urlencoded::byte_serialize(issuer.url.as_bytes()).collect::<String>());
    is_outside(&world.hub.get(&one.client, &named).await, REFUSED, "an answer in another's name");
    let denied = format!("/api/v1/auth/oidc/hubbub/callback?state={}&error=access_denied", other.asked("state"));
    is_outside(&world.hub.get(&other.client, &denied).await, REFUSED, "they said no");
    assert!(world.github.asked("/login/oauth/access_token").is_empty(), "no code was redeemed");
}

#[tokio::test]
async fn who_is_in_the_organization_is_let_in_with_what_their_teams_bring_until_they_leave() {
    let mappings = json!([mapped("corp", "viewer"), mapped("Corp/Ops", "operator")]);
    let world = World::with(json!({ "required_group": "corp", "mappings": mappings })).await;
    is_outside(&world.sign_in_at(1).await, GROUP, "only in others");
    world.github.says(|says| says.teams = vec![team("corp", "ops")]);
    is_outside(&world.sign_in_at(2).await, GROUP, "a team is no organization");
    world.github.says(|says| says.orgs = vec![org("github"), org("CORP")]);
    let (_, me) = world.signed_in().await;
    assert_eq!(world.roles(&me).await, ["operator", "viewer"]);
    world.github.says(|says| says.teams = vec![team("other", "ops"), team("corp", "ops-2")]);
    assert_eq!(world.signed_in().await.1["id"], me["id"]);
    assert_eq!(world.roles(&me).await, ["viewer"], "what the team gave is gone with it");
    world.github.says(|says| says.orgs = vec![org("corp-2")]);
    is_outside(&world.sign_in_at(3).await, GROUP, "they left");

    assert_eq!(world.change(json!({ "required_group": "corp/ops" })).await.status, StatusCode::OK);
    is_outside(&world.sign_in_at(4).await, GROUP, "not in the team");
    world.github.says(|says| says.teams = vec![team("corp", "ops")]);
    assert_eq!(world.signed_in().await.1["id"], me["id"]);
}

#[tokio::test]
async fn lists_are_read_page_by_page_and_not_without_end() {
    let world = World::with(json!({ "required_group": "corp", "mappings": [mapped("corp/ops", "viewer")] })).await;
    world.github.says(|says| {
        says.orgs = (0..250).map(|i| org(&format!("org-{i}"))).chain([org("corp")]).collect();
        says.teams = (0..199).map(|i| team("corp", &format!("team-{i}"))).chain([team("corp", "ops")]).collect();
    });
    let (_, me) = world.signed_in().await;
    assert_eq!(world.roles(&me).await, ["viewer"]);
    let pages = |path: &str| {
        let asked = world.github.asked(path);
        asked.iter().map(|asked| (asked.query["page"].clone(), asked.query["per_page"].clone())).collect::<Vec<_>>()
    };
    let page = |number: &str| (number.to_owned(), "100".to_owned());
    assert_eq!(pages("/api/v3/user/orgs"), [page("1"), page("2"), page("3")]);
    assert_eq!(pages("/api/v3/user/teams"), [page("1"), page("2")]);
    world.github.says(|says| (says.endless, says.orgs) = (true, vec![org("x")]));
    is_outside(&world.sign_in_at(2).await, GROUP, "an endless list ends");
    assert_eq!(world.github.asked("/api/v3/user/orgs").len(), 13);
}

#[tokio::test]
async fn c33_an_address_is_shown_where_it_is_verified_and_leads_to_nobody() {
    let world = World::with(json!({})).await;
    let called = async || {
        let (client, me) = world.signed_in().await;
        let linked = world.hub.get(&client, "/api/v1/me/identities").await.body["items"][0].clone();
        (linked["called"].as_str().unwrap().to_owned(), me["id"].clone())
    };
    let (with, id) = called().await;
    assert_eq!(with, "octocat (octocat@github.example)");
    for emails in [
        json!([email("octocat@github.example", true, false), email("other@github.example", false, true)]),
        json!([]),
        json!({ "message": "Resource not accessible by integration" }),
        json!([email(&"x".repeat(300), true, true)]),
    ] {
        world.github.says(|says| says.emails = emails);
        assert_eq!(called().await, ("octocat".to_owned(), id.clone()));
    }
    world.github.says(|says| {
        says.emails = json!([email("octocat@github.example", true, true)]);
        says.user["id"] = json!(2);
    });
    assert_ne!(called().await.1, id, "the same address is somebody else");
}

#[tokio::test]
async fn c32_who_is_called_otherwise_is_the_same_and_who_gets_the_name_is_not() {
    let world = World::with(json!({})).await;
    let (_, me) = world.signed_in().await;
    world.github.says(|says| says.user["login"] = json!("renamed"));
    let (client, same) = world.signed_in().await;
    assert_eq!((&same["id"], &same["name"]), (&me["id"], &json!("octocat")));
    let linked = world.hub.get(&client, "/api/v1/me/identities").await.body["items"][0].clone();
    assert!(linked["called"].as_str().unwrap().starts_with("renamed"));
    world.github.says(|says| says.user = merged(says.user.take(), json!({ "login": "octocat", "id": 2 })));
    let other = world.signed_in().await.1;
    assert_eq!((other["id"] == me["id"], &other["name"]), (false, &json!("octocat-2")));
    world.github.says(|says| says.user = merged(says.user.take(), json!({ "login": "Admin", "id": 3 })));
    let named = world.signed_in().await.1;
    assert_eq!((&named["name"], &named["role"]), (&json!("Admin-2"), &json!("restricted")), "a name is nobody's");
}

#[tokio::test]
async fn c32_what_the_provider_says_wrongly_lets_nobody_in() {
    let world = World::with(json!({ "mappings": [mapped("corp", "viewer"), mapped("corp/ops", "viewer")] })).await;
    let token = "/login/oauth/access_token";
    let user = "/api/v3/user";
    let refused = json!({
        "error": "bad_verification_code", "error_description": "The code passed is incorrect or expired.",
        "error_uri": "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors/#bad-verification-code",
    });
    let given = |changes: Value| {
        merged(json!({ "access_token": TOKEN, "token_type": "bearer", "scope": "" }), changes).to_string()
    };
    let cases = [
        (token, 200, refused.to_string(), REFUSED),
        (token, 200, given(json!({ "error": "incorrect_client_credentials" })), REFUSED),
        (token, 200, given(json!({ "access_token": null })), REFUSED),
        (token, 200, given(json!({ "access_token": "" })), REFUSED),
        (token, 200, given(json!({ "access_token": "a\r\nb" })), REFUSED),
        (token, 200, given(json!({ "access_token": "x".repeat(5000) })), REFUSED),
        (token, 200, given(json!({ "token_type": "mac" })), REFUSED),
        (token, 200, given(json!({ "token_type": null })), REFUSED),
        (token, 200, "access_token=x&token_type=bearer".to_owned(), REFUSED),
        (token, 404, "<!DOCTYPE html>".to_owned(), REFUSED),
        (token, 302, given(json!({})), REFUSED),
        (token, 200, format!("{{\"x\":\"{}\"}}", "x".repeat(6 * 1024 * 1024)), PROVIDER),
        (user, 401, json!({ "message": "Bad credentials" }).to_string(), REFUSED),
        (user, 302, json!({ "login": "octocat", "id": 1 }).to_string(), REFUSED),
        (user, 200, json!({ "login": "octocat" }).to_string(), REFUSED),
        (user, 200, json!({ "login": "octocat", "id": "583231" }).to_string(), REFUSED),
        (user, 200, json!({ "login": "octocat", "id": 0 }).to_string(), REFUSED),
        (user, 200, json!({ "login": "octocat", "id": -1 }).to_string(), REFUSED),
        (user, 200, json!({ "login": "octocat", "id": 1.5 }).to_string(), REFUSED),
        (user, 200, json!({ "login": "", "id": 1 }).to_string(), REFUSED),
        (user, 200, json!({ "login": "x".repeat(300), "id": 1 }).to_string(), REFUSED),
        (user, 200, json!([]).to_string(), REFUSED),
        (user, 200, format!("{{\"x\":\"{}\"}}", "x".repeat(6 * 1024 * 1024)), PROVIDER),
        ("/api/v3/user/orgs", 403, json!({ "message": "Resource not accessible" }).to_string(), REFUSED),
        ("/api/v3/user/orgs", 200, json!({ "message": "no list" }).to_string(), REFUSED),
        ("/api/v3/user/teams", 404, json!({ "message": "Not Found" }).to_string(), REFUSED),
        ("/api/v3/user/teams", 200, format!("[\"{}\"]", "x".repeat(6 * 1024 * 1024)), PROVIDER),
    ];
    for (i, (path, status, text, why)) in cases.into_iter().enumerate() {
        let what = format!("case {i} at {path}");
        world.instead(path, status, text);
        is_outside(&world.sign_in_at(i).await, why, &what);
    }
    assert_eq!(world.hub.get(&Client::local(), "/api/v1/users").await.body["total"], 1, "nobody was made a user");
    let clean = |says: &mut Says| says.instead.clear();
    world.github.says(clean);
    world.signed_in().await;
}

#[tokio::test]
async fn a_user_links_who_they_are_there_by_themselves() {
    let world = World::with(json!({ "create_users": false })).await;
    is_outside(&world.sign_in_at(1).await, "/sign-in?failed=unknown", "nobody is made a user");
    let admin = world.hub.signed_in("admin").await;
    let body = json!({ "provider": "hubbub", "password": PASSWORD });
    let begun = world.hub.post(&admin, "/api/v1/me/identities", body).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    let location_of: url::Url = begun.body["location"].as_str().unwrap().parse().unwrap();
    let client = admin.clone().without("origin").with("cookie", &with_cookie(&admin.header("cookie"), &begun));
    let begun = Begun { location: location_of, client };
    assert_eq!(begun.asked("prompt"), "select_account");
    let answer = world.hub.get(&begun.client, &World::way_back(&begun)).await;
    assert_eq!(location(&answer), "/account?linked=1");
    assert_eq!(world.signed_in().await.1["name"], "admin");
}

#[tokio::test]
async fn a_github_is_configured_as_it_makes_sense_and_is_on_the_sign_in_page() {
    let world = World::with(json!({})).await;
    let configuration = |changes: Value| json!({ "configuration": changes });
    for (changes, code) in [
        (configuration(json!({ "base": "https://github.com/" })), "invalid_base"),
        (configuration(json!({ "base": "http://github.corp.example", "allow_http": false })), "invalid_base"),
        (configuration(json!({ "client_id": "" })), "invalid_client_id"),
        (configuration(json!({ "authorities": "hello" })), "invalid_authorities"),
        (configuration(json!({ "scopes": ["repo"] })), "invalid_body"),
        (json!({ "required_group": "corp/ops/x" }), "invalid_group"),
        (json!({ "mappings": [mapped("a b", "viewer")] }), "invalid_group"),
        (json!({ "client_secret": "" }), "invalid_secret"),
    ] {
        assert_eq!(world.change(changes.clone()).await.code(), code, "{changes}");
    }
    let listed = world.hub.get(&Client::browser(), "/api/v1/auth/providers").await.body;
    assert_eq!(listed, json!({ "items": [{ "slug": "hubbub", "name": "Hubbub" }] }));
    let kept = world.change(json!({ "client_secret": null })).await;
    assert_eq!((kept.status, &kept.body["has_client_secret"]), (StatusCode::OK, &json!(true)));
    let moved = world.change(json!({ "client_secret": null, "configuration": { "base": "https://github.com" } })).await;
    assert_eq!((moved.status, &moved.body["has_client_secret"]), (StatusCode::OK, &json!(false)), "C-07");
    let began = world.begin(&browser_at(1)).await;
    assert!(began.location.as_str().starts_with("https://github.com/login/oauth/authorize?"));
    let logout = Request::post("/api/v1/auth/oidc/hubbub/backchannel-logout");
    let logout = logout.header("content-type", "application/x-www-form-urlencoded");
    let answer = world.hub.send(&browser_at(1).without("origin"), logout, Body::from("logout_token=x")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "it has no such thing");
}

#[tokio::test]
async fn c38_a_private_network_is_closed_unless_an_administrator_said_otherwise_and_a_test_tells() {
    let world = World::with(json!({})).await;
    let test = async || {
        world.hub.post(&Client::local(), &format!("{}/test", world.path()), json!({})).await.body["steps"][0].take()
    };
    let step = test().await;
    assert_eq!((&step["step"], &step["passed"]), (&json!("api"), &json!(true)), "{step}");
    assert_eq!(step["found"][2], format!("{}/api/v3/", world.github.url));
    world.instead("/api/v3/meta", 200, "<html>");
    assert_eq!(test().await["trouble"], "no_document");
    assert_eq!(world.change(json!({ "configuration": { "allow_private": false } })).await.status, StatusCode::OK);
    assert_eq!(test().await["trouble"], "private");
    is_outside(&world.sign_in_at(1).await, PROVIDER, "the hub does not go there");
    assert!(world.github.asked("/login/oauth/access_token").is_empty());
}

//! People who come from elsewhere, against a small provider in this process
//! that signs with ring, and the tables on both databases.

mod confirmation;
mod directories;
mod github;
mod issuer;
mod logout;
mod people;
mod providers;
mod tables;
mod tokens;

use axum::http::{StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use self::issuer::Issuer;
use crate::clock::Clock;
use crate::db::testing::TestDb;
use crate::http::Scheme;
use crate::testing::{Answer, Client, PASSWORD, TestHub};

const CLIENT_ID: &str = "windflow";
const CLIENT_SECRET: &str = "canary-of-the-client";

/// A hub with users, and a provider that it knows as `corp`.
struct World {
    hub: TestHub,
    issuer: Issuer,
    provider: Value,
}

/// A browser on its way to the provider.
#[derive(Clone, Debug)]
struct Begun {
    location: Url,
    client: Client,
}

impl Begun {
    fn asked(&self, name: &str) -> String {
        let found = self.location.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned()).unwrap_or_default()
    }
}

impl World {
    /// With this changed in how the provider is configured.
    async fn with(changes: Value) -> Self {
        let (hub, issuer) = (TestHub::with_users().await, Issuer::start().await);
        let body = merged(provider_of(&issuer, "corp"), changes);
        let answer = hub.post(&Client::local(), "/api/v1/identity-providers", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        Self { hub, issuer, provider: answer.body }
    }

    async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// The same on this database.
    async fn on(db: TestDb) -> Self {
        let (hub, issuer) = (TestHub::on(db).await, Issuer::start().await);
        let admin = json!({ "name": "admin", "role": "administrator", "password": PASSWORD });
        assert_eq!(hub.post(&Client::local(), "/api/v1/users", admin).await.status, StatusCode::CREATED);
        let body = provider_of(&issuer, "corp");
        let provider = hub.post(&Client::local(), "/api/v1/identity-providers", body).await.body;
        Self { hub, issuer, provider }
    }

    fn id(&self) -> &str {
        self.provider["id"].as_str().unwrap()
    }

    async fn change(&self, changes: Value) -> Answer {
        let body = merged(provider_of(&self.issuer, "corp"), changes);
        let path = format!("/api/v1/identity-providers/{}", self.id());
        let request = axum::http::Request::put(path).header("content-type", "application/json");
        self.hub.send(&Client::local(), request, axum::body::Body::from(body.to_string())).await
    }

    async fn begin(&self, client: &Client) -> Begun {
        self.begin_at(client, "corp").await
    }

    async fn begin_at(&self, client: &Client, slug: &str) -> Begun {
        let path = format!("/api/v1/auth/oidc/{slug}/start?next=/containers");
        let answer = self.hub.get(&client.clone().without("origin"), &path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{answer:?}");
        let cookie = with_cookie(&client.header("cookie"), &answer);
        let client = client.clone().without("origin").with("cookie", &cookie);
        Begun { location: location(&answer).parse().unwrap(), client }
    }

    /// What is in a good token for whoever began this.
    fn claims(&self, begun: &Begun) -> Value {
        let now = self.hub.clock.now().as_micros() / 1_000_000;
        json!({
            "iss": self.issuer.url, "aud": CLIENT_ID, "sub": "s-1", "exp": now + 300, "iat": now,
            "nonce": begun.asked("nonce"), "preferred_username": "grace", "email": "grace@corp.example", "groups": [],
        })
    }

    /// Comes back with a token that says this beside what it should.
    async fn come_back(&self, begun: &Begun, changes: Value) -> Answer {
        let token = self.issuer.token(&merged(self.claims(begun), changes));
        self.come_back_with(begun, &token).await
    }

    async fn come_back_with(&self, begun: &Begun, token: &str) -> Answer {
        self.issuer.give(token);
        self.hub.get(&begun.client, &self.way_back(begun)).await
    }

    fn way_back(&self, begun: &Begun) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("state", &begun.asked("state")).append_pair("code", "the-code");
        query.append_pair("iss", &self.issuer.url);
        format!("/api/v1/auth/oidc/corp/callback?{}", query.finish())
    }

    /// Signs somebody in of whom the provider says this.
    async fn sign_in(&self, changes: Value) -> Answer {
        let begun = self.begin(&Client::browser()).await;
        self.come_back(&begun, changes).await
    }

    /// The same, and gives the browser.
    async fn signed_in(&self, changes: Value) -> Client {
        let answer = self.sign_in(changes).await;
        assert_eq!((answer.status, location(&answer)), (StatusCode::SEE_OTHER, "/containers"), "{answer:?}");
        Client::browser().with("cookie", &session(&answer).expect("there is a session"))
    }

    async fn me(&self, client: &Client) -> Value {
        self.hub.get(client, "/api/v1/me").await.body
    }

    /// What is granted to a user, by role and by which provider.
    async fn grants(&self, user: &Value) -> Vec<(String, bool)> {
        let path = format!("/api/v1/grants?user={}", user["id"].as_str().unwrap());
        let grants = self.hub.get(&Client::local(), &path).await.body;
        let items = grants["items"].as_array().unwrap();
        let grant = |grant: &Value| (grant["role_id"].as_str().unwrap().to_owned(), !grant["provider_id"].is_null());
        items.iter().map(grant).collect()
    }

    /// Why somebody was not let in, as it stands in the last record of it.
    async fn last_refusal(&self) -> String {
        let records = self.hub.get(&Client::local(), "/api/v1/audit?action=user.sign_in&outcome=denied").await.body;
        records["items"][0]["details"]["detail"].as_str().unwrap_or_default().to_owned()
    }
}

/// A provider with all that there is to be configured.
fn provider_of(issuer: &Issuer, slug: &str) -> Value {
    json!({
        "name": "Corp", "slug": slug, "enabled": true, "create_users": true, "trusted_for_second_factor": false,
        "required_group": null, "client_secret": CLIENT_SECRET, "mappings": [],
        "configuration": {
            "kind": "oidc", "issuer": issuer.url, "client_id": CLIENT_ID, "groups_claim": "groups",
            "allow_private": true, "allow_http": true,
        },
    })
}

/// One document with what stands in the other put into it.
fn merged(mut document: Value, changes: Value) -> Value {
    if let (Value::Object(into), Value::Object(changes)) = (&mut document, changes) {
        for (key, value) in changes {
            let before = into.remove(&key).unwrap_or(Value::Null);
            let value = if before.is_object() && value.is_object() { merged(before, value) } else { value };
            into.insert(key, value);
        }
    }
    document
}

fn location(answer: &Answer) -> &str {
    answer.headers.get(header::LOCATION).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn cookies(answer: &Answer) -> Vec<(String, String)> {
    let all = answer.headers.get_all(header::SET_COOKIE).iter().map(|value| value.to_str().unwrap());
    let pairs = all.map(|cookie| cookie.split(';').next().unwrap().split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The session that an answer begins, as a browser would send it.
fn session(answer: &Answer) -> Option<String> {
    let found = cookies(answer).into_iter().find(|(name, value)| name == "__Host-windflow" && !value.is_empty());
    found.map(|(name, value)| format!("{name}={value}"))
}

/// What a browser sends that had these cookies and was given others.
fn with_cookie(before: &str, answer: &Answer) -> String {
    let given = cookies(answer);
    let kept = before.split("; ").filter(|pair| !pair.is_empty());
    let kept = kept.filter(|pair| !given.iter().any(|(name, _)| pair.starts_with(&format!("{name}="))));
    let given = given.iter().map(|(name, value)| format!("{name}={value}"));
    kept.map(str::to_owned).chain(given).collect::<Vec<_>>().join("; ")
}

/// A browser somewhere else, whose failures do not count for the others.
fn browser_at(last: usize) -> Client {
    Client::browser().at_address(&format!("198.51.100.{last}:4000"), Scheme::Https)
}

//! A *simulated* GitHub: a small server in this process that answers in the form
//! that GitHub documents, with what a test wants. It is no GitHub, and that a
//! real one does the same is not shown by it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The token that it gives.
pub const TOKEN: &str = "gho_canary16C7e42F292c6912E7710c838347Ae178B4a";

/// What it was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub query: HashMap<String, String>,
    pub headers: HeaderMap,
    pub body: String,
}

/// What it says.
pub struct Says {
    pub user: Value,
    pub orgs: Vec<Value>,
    pub teams: Vec<Value>,
    pub emails: Value,
    /// What it says instead at a path: status and text.
    pub instead: HashMap<String, (u16, String)>,
    /// Whether its lists never end.
    pub endless: bool,
}

struct State {
    says: Says,
    asked: Vec<Asked>,
}

/// The server. Dropping it ends it.
pub struct GitHub {
    pub url: String,
    state: Arc<Mutex<State>>,
    _serving: JoinSet<()>,
}

/// An organization as `GET /user/orgs` has it.
pub fn org(login: &str) -> Value {
    json!({
        "login": login, "id": 1, "node_id": "MDEyOk9yZ2FuaXphdGlvbjE=", "url": format!("https://api.github.com/orgs/{login}"),
        "repos_url": format!("https://api.github.com/orgs/{login}/repos"), "description": "A great organization",
        "avatar_url": "https://github.com/images/error/octocat_happy.gif",
    })
}

/// A team as `GET /user/teams` has it.
pub fn team(organization: &str, slug: &str) -> Value {
    json!({
        "id": 1, "node_id": "MDQ6VGVhbTE=", "url": "https://api.github.com/teams/1", "name": "Justice League",
        "slug": slug, "description": "A great team.", "privacy": "closed", "permission": "admin", "parent": null,
        "members_count": 3, "repos_count": 10, "organization": org(organization),
    })
}

/// An address as `GET /user/emails` has it.
pub fn email(address: &str, primary: bool, verified: bool) -> Value {
    json!({ "email": address, "verified": verified, "primary": primary, "visibility": "public" })
}

impl GitHub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let user = json!({
            "login": "octocat", "id": 583_231, "node_id": "MDQ6VXNlcjE=", "type": "User", "site_admin": false,
            "name": "monalisa octocat", "email": "public@github.example", "two_factor_authentication": true,
        });
        let emails = json!([email("old@github.example", false, true), email("octocat@github.example", true, true)]);
        let (orgs, teams) = (vec![org("github")], vec![team("github", "justice-league")]);
        let says = Says { user, orgs, teams, emails, instead: HashMap::new(), endless: false };
        let state = Arc::new(Mutex::new(State { says, asked: Vec::new() }));
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&state);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(Arc::clone(&state), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(TokioIo::new(stream), service).await.ok();
                });
            }
        });
        Self { url, state, _serving: serving }
    }

    /// Has it say something else.
    pub fn says(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.state.lock().unwrap().says);
    }

    /// What it was asked at this path.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        self.state.lock().unwrap().asked.iter().filter(|asked| asked.path == path).cloned().collect()
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
    let query: HashMap<String, String> = query.into_owned().collect();
    let headers = request.headers().clone();
    let body = String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let mut state = state.lock().unwrap();
    state.asked.push(Asked { path: path.clone(), query: query.clone(), headers: headers.clone(), body });
    let text =
        |status: u16, text: String| Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap();
    if let Some((status, instead)) = state.says.instead.get(&path) {
        let answer = Response::builder().status(*status).header("location", "http://127.0.0.1:1/elsewhere");
        return Ok(answer.body(Full::new(Bytes::from(instead.clone()))).unwrap());
    }
    if !headers.contains_key("user-agent") {
        return Ok(text(403, "Request forbidden by administrative rules.".into()));
    }
    if path == "/login/oauth/access_token" {
        let given = json!({ "access_token": TOKEN, "scope": "read:org,user:email", "token_type": "bearer" });
        return Ok(text(200, given.to_string()));
    }
    let Some(api) = path.strip_prefix("/api/v3") else { return Ok(text(404, "Not Found".into())) };
    if api == "/meta" {
        return Ok(text(200, json!({ "verifiable_password_authentication": true }).to_string()));
    }
    if headers.get("authorization").is_none_or(|given| given != &format!("Bearer {TOKEN}")) {
        let refused = json!({ "message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401" });
        return Ok(text(401, refused.to_string()));
    }
    Ok(match api {
        "/user" => text(200, state.says.user.to_string()),
        "/user/emails" => text(200, state.says.emails.to_string()),
        "/user/orgs" => page(&state.says.orgs, &query, state.says.endless),
        "/user/teams" => page(&state.says.teams, &query, state.says.endless),
        _ => text(404, json!({ "message": "Not Found" }).to_string()),
    })
}

/// One page of a list, with where the next one is.
fn page(all: &[Value], query: &HashMap<String, String>, endless: bool) -> Response<Full<Bytes>> {
    let number = |name: &str, usual: usize| query.get(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (each, at) = (number("per_page", 30), number("page", 1));
    let some: Vec<&Value> =
        if endless { all.iter().collect() } else { all.iter().skip((at - 1) * each).take(each).collect() };
    let mut answer = Response::builder();
    if endless || at * each < all.len() {
        let next = format!(
            "<http://127.0.0.1:1/elsewhere?page={}>; rel=\"next\", <http://127.0.0.1:1/x>; rel=\"last\"",
            at + 1
        );
        answer = answer.header("link", next);
    }
    answer.body(Full::new(Bytes::from(json!(some).to_string()))).unwrap()
}

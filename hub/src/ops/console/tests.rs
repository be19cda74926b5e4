//! What a browser gets of the console, and what it is told about it.

use axum::http::{Request as HttpRequest, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;

use super::*;
use crate::testing::{Client, TestHub};

/// A built console: two files, one of them also compressed.
fn simulated(name: &str) -> Option<Content> {
    let text = match name {
        "index.html" => "<title>Windflow</title>",
        "assets/app-1a2b.js" => "let long = 1;",
        "assets/app-1a2b.js.br" => "brotli",
        "assets/app-1a2b.js.gz" => "gzip",
        "favicon.svg" => "<svg/>",
        _ => return None,
    };
    let mut digest = [0; 32];
    digest[..name.len().min(32)].copy_from_slice(&name.as_bytes()[..name.len().min(32)]);
    Some(Content { bytes: text.into(), digest })
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn get(path: &str, headers: &[(&str, &str)]) -> Got {
    ask("GET", path, headers).await
}

async fn ask(method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut request = HttpRequest::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = answer(Files::simulated(simulated), &request).unwrap_or_else(IntoResponse::into_response);
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Got { status: parts.status, headers: parts.headers, text }
}

const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

#[tokio::test]
async fn every_address_of_the_console_begins_with_its_first_page() {
    for path in ["/", "/environments", "/environments/01a1/containers", "/agents", "/api-tokens", "/healthy"] {
        let got = get(path, &[BROWSER]).await;
        assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, "<title>Windflow</title>"), "{path}");
        assert_eq!(got.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(got.header("cache-control"), "no-cache");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found_where_a_page_cannot_be_meant() {
    for path in ["/api/v1/nothing", "/api", "/agent/v2", "/assets/gone.js", "/download/x", "/assets/app-1a2b.js.br"] {
        assert_eq!(get(path, &[BROWSER]).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get("/environments", &[("accept", "application/json")]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask("POST", "/environments", &[BROWSER]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_with_its_content_in_its_name_is_kept_for_good() {
    let got = get("/assets/app-1a2b.js", &[]).await;
    assert_eq!(got.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(got.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(get("/favicon.svg", &[]).await.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn the_smallest_form_that_the_browser_takes_is_sent() {
    let sent = async |accepted: &str| {
        let got = get("/assets/app-1a2b.js", &[("accept-encoding", accepted)]).await;
        assert_eq!(got.header("vary"), "accept-encoding");
        assert_eq!(got.header("content-length"), got.text.len().to_string());
        (got.text.clone(), got.header("content-encoding").to_owned())
    };
    let form = |text: &str, encoding: &str| (text.to_owned(), encoding.to_owned());
    assert_eq!(sent("gzip, deflate, br, zstd").await, form("brotli", "br"));
    assert_eq!(sent("br;q=0, GZIP;q=0.5").await, form("gzip", "gzip"));
    assert_eq!(sent("identity").await, form("let long = 1;", ""));
    assert_eq!(get("/", &[("accept-encoding", "br")]).await.header("content-encoding"), "", "it has no such form");
}

#[tokio::test]
async fn what_the_browser_has_is_not_sent_again() {
    let first = get("/", &[BROWSER]).await;
    let tag = first.header("etag").to_owned();
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = get("/", &[BROWSER, ("if-none-match", &known)]).await;
        assert_eq!((again.status, again.text.as_str()), (StatusCode::NOT_MODIFIED, ""), "{known}");
        assert_eq!(again.header("etag"), tag);
        assert!(!again.header("content-security-policy").is_empty());
    }
    assert_eq!(get("/", &[BROWSER, ("if-none-match", "\"older\"")]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_head_is_an_answer_without_its_body() {
    let got = ask("HEAD", "/", &[BROWSER]).await;
    assert_eq!((got.status, got.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(got.header("content-length"), "<title>Windflow</title>".len().to_string());
}

#[tokio::test]
async fn every_answer_of_the_console_is_guarded() {
    let hub = TestHub::empty().await;
    let answer = hub.get(&Client::browser().with("accept", "text/html"), "/environments/1").await;
    assert_eq!(answer.status, StatusCode::OK);
    let policy = answer.headers["content-security-policy"].to_str().unwrap();
    for part in ["default-src 'self'", "script-src 'self'", "frame-ancestors 'none'", "object-src 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    assert_eq!(answer.headers["cross-origin-opener-policy"], "same-origin");
    assert!(answer.headers["permissions-policy"].to_str().unwrap().contains("camera=()"));
}

#[tokio::test]
async fn a_browser_that_asks_the_api_for_what_is_not_there_gets_the_envelope() {
    let hub = TestHub::empty().await;
    let browser = Client::browser().with("accept", "text/html");
    for path in ["/api/v1/nothing", "/api/v2", "/agent/v1/nothing", "/healthz/deeper"] {
        let answer = hub.get(&browser, path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "not_found"), "{path}");
    }
    for path in ["/account", "/agents", "/api-tokens", "/metrics-of-mine", "/readyz2"] {
        let answer = hub.get(&browser, path).await;
        assert!(matches!(answer.body, Value::String(page) if page.contains("<title>")), "{path}");
    }
}

#[tokio::test]
async fn a_hub_without_its_console_says_how_to_build_it() {
    let request = HttpRequest::get("/").body(Body::empty()).unwrap();
    let response = answer(Files::simulated(|_| None), &request).unwrap();
    let page = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&page).contains("make web"));
    assert!(!is_built(Files::simulated(|_| None)) && is_built(Files::simulated(simulated)));
}

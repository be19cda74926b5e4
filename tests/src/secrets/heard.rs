//! What is a secret in what goes through the harness.

use http::HeaderMap;
use serde_json::Value;

use super::learn;

/// Fields of requests that hold one.
const ASKED: [&str; 12] = [
    "password",
    "new_password",
    "present_password",
    "client_secret",
    "bind_password",
    "secret",
    "token",
    "refresh_token",
    "access_token",
    "passphrase",
    "code",
    "client_key",
];
/// Fields of answers that hold one. An error has a `code` too, which is none.
const ANSWERED: [&str; 5] = ["secret", "token", "access_token", "refresh_token", "recovery_codes"];
/// Parameters of a query that hold one.
const IN_QUERIES: [&str; 5] = ["code", "state", "token", "access_token", "secret"];
/// What the names of variables that hold one contain.
const VARIABLES: [&str; 4] = ["PASSWORD", "SECRET", "TOKEN", "KEY"];
/// How what the hub gives out begins.
const TOKENS: [&[u8]; 4] = [b"wfe1_", b"wfa1_", b"wfr1_", b"wfl1_"];
/// Characters of a token's id, and of its secret.
const ID: usize = 10;
const SECRET: usize = 32;
/// Characters of the secret in a link.
const LINK: usize = 52;

/// A request was made.
pub fn heard_request(method: &str, path: &str, body: &str) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let route = route(method, path);
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if IN_QUERIES.contains(&key) {
            learn(&format!("`{key}` in the query of {route}"), value);
        }
    }
    if let Ok(body) = serde_json::from_str(body) {
        walk(&body, &ASKED, &route);
    }
}

/// An answer came.
pub fn heard_answer(method: &str, path: &str, headers: &HeaderMap, status: u16, body: &str) {
    let route = route(method, path.split('?').next().unwrap_or_default());
    for cookie in headers.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok()) {
        if let Some((name, rest)) = cookie.split_once('=') {
            learn(&format!("the cookie {name}"), rest.split(';').next().unwrap_or_default());
        }
    }
    // What an engine says of its containers is not the hub's.
    if !(200..300).contains(&status) || path.contains("/environments/") {
        return;
    }
    heard_tokens(&format!("in the answer to {route}"), body.as_bytes());
    if let Ok(body) = serde_json::from_str(body) {
        walk(&body, &ANSWERED, &format!("the answer to {route}"));
    }
}

/// A command of ours read this.
pub fn heard_input(command: &str, input: &[u8]) {
    if let Ok(text) = std::str::from_utf8(input) {
        learn(&format!("what {command} read"), text.trim());
        heard_tokens(&format!("that {command} read"), input);
    }
}

/// A command of ours printed this, or a test wrote it down for one.
pub fn heard_printed(command: &str, text: &str) {
    heard_tokens(&format!("that {command} has"), text.as_bytes());
}

fn heard_tokens(whence: &str, text: &[u8]) {
    for (kind, secret) in tokens_in(text) {
        learn(&format!("a token {kind}… {whence}"), &secret);
    }
}

/// The secrets in whatever looks like a token of the hub or a link: each with
/// how it begins.
pub(super) fn tokens_in(text: &[u8]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for at in (0..text.len()).filter(|at| text[*at] == b'w') {
        let Some(kind) = TOKENS.iter().find(|kind| text[at..].starts_with(kind)) else { continue };
        let rest = &text[at + kind.len()..];
        let secret = if *kind == TOKENS[3] { field(rest, LINK) } else { secret_of(rest) };
        if let Some(secret) = secret {
            found.push((String::from_utf8_lossy(kind).into_owned(), String::from_utf8_lossy(secret).into_owned()));
        }
    }
    found
}

fn secret_of(rest: &[u8]) -> Option<&[u8]> {
    field(rest, ID)?;
    field(rest.get(ID..)?.strip_prefix(b"_")?, SECRET)
}

fn field(text: &[u8], length: usize) -> Option<&[u8]> {
    text.get(..length).filter(|field| field.iter().all(u8::is_ascii_alphanumeric))
}

/// What this route is called in a label: a path may hold whatever a test put
/// there.
fn route(method: &str, path: &str) -> String {
    let plain = |part: &&str| part.len() <= 24;
    format!("{method} /{}", path.split('/').filter(plain).skip(1).take(5).collect::<Vec<_>>().join("/"))
}

fn walk(value: &Value, fields: &[&str], whence: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if fields.contains(&key.as_str()) {
                    each_text(value, &mut |text| learn(&format!("`{key}` of {whence}"), text));
                } else if key == "env" {
                    variables(value, whence);
                } else if key == "uri" {
                    each_text(value, &mut |uri| learn(&format!("the secret in `{key}` of {whence}"), totp(uri)));
                }
                walk(value, fields, whence);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| walk(item, fields, whence)),
        _ => {}
    }
}

fn variables(env: &Value, whence: &str) {
    for (name, value) in env.as_object().into_iter().flatten() {
        if VARIABLES.iter().any(|part| name.to_uppercase().contains(part)) {
            each_text(value, &mut |text| learn(&format!("the variable {name} of {whence}"), text));
        }
    }
}

fn each_text(value: &Value, take: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, take)),
        _ => {}
    }
}

/// The secret in the address that an app for codes reads.
fn totp(uri: &str) -> &str {
    let rest = uri.split_once("secret=").map_or("", |(_, rest)| rest);
    rest.split('&').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{Findings, KNOWN};

    fn labels(text: &str) -> Vec<String> {
        let found = KNOWN.read().expect("nothing panicked").find_in(text.as_bytes());
        found.into_iter().map(|(label, _)| label.to_string()).collect()
    }

    #[test]
    fn what_is_asked_and_answered_is_remembered_by_where_it_was() {
        let (password, variable, state) = ("a-password-of-heard", "a-variable-of-heard", "a-state-of-heard");
        let body =
            serde_json::json!({ "login": { "password": password }, "env": { "DB_PASSWORD": variable, "A": "b" } });
        heard_request("POST", &format!("/api/v1/session?state={state}"), &body.to_string());
        assert_eq!(labels(password), ["`password` of POST /api/v1/session"]);
        assert_eq!(labels(variable), ["the variable DB_PASSWORD of POST /api/v1/session"]);
        assert_eq!(labels(state), ["`state` in the query of POST /api/v1/session"]);

        let mut headers = HeaderMap::new();
        let cookie = "windflow=a-cookie-of-heard; HttpOnly".parse().expect("a header");
        headers.insert("set-cookie", cookie);
        let body = serde_json::json!({
            "recovery_codes": ["a-recovery-code-of-heard"], "uri": "otpauth://totp/a?secret=ATOTPSECRETOFHEARD&digits=6",
        });
        heard_answer("POST", "/api/v1/me/second-factor", &headers, 200, &body.to_string());
        assert_eq!(labels("a-cookie-of-heard"), ["the cookie windflow"]);
        assert_eq!(labels("a-recovery-code-of-heard").len(), 1);
        assert_eq!(labels("ATOTPSECRETOFHEARD").len(), 1);
    }

    #[test]
    fn a_token_is_known_by_its_looks_and_by_its_secret_alone() {
        let secret = "0123456789abcdefghjkmnpqrstvwxyz";
        let token = format!("wfa1_0123456789_{secret}_0123456");
        heard_printed("windflow-hub api-token", &token);
        assert_eq!(labels(secret), ["a token wfa1_… that windflow-hub api-token has"]);
        let mut findings = Findings::none();
        findings.look_at("a log", b"wfe1_aaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb_x");
        assert!(format!("{findings:?}").contains("looks like a token stands in a log"), "{findings:?}");
        assert!(tokens_in(b"wfa1_nonsense wfa1_0123456789_short wfl1_").is_empty());
    }
}

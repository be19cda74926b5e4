//! What a person does from one end to the other.

mod confirmation;
mod console;
mod demo;
mod directory;
mod identity_provider;
mod mail;

use std::path::Path;

use serde_json::Value;
use windflow_tests::secrets;

/// Reads for secrets what a browser and a hub said to each other, as the specs
/// wrote it down: what was asked and given is looked for where the hub ends.
/// What was said of errors, and by itself, tells nothing.
fn hear_browser(folder: &Path) {
    let heard = std::fs::read_to_string(folder.join("heard.jsonl")).expect("the specs wrote down what was said");
    let heard: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let text = |told: &Value, field: &str| told[field].as_str().unwrap_or_default().to_owned();
    let status = |told: &Value| told["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    let answers: Vec<_> = heard.iter().filter(|told| told["message"].is_null()).collect();
    assert!(answers.len() > 3, "more than this was said: {}", answers.len());
    for told in &answers {
        let (method, path) = (text(told, "method"), text(told, "path"));
        secrets::heard_request(&method, &path, &text(told, "body"));
        let mut headers = http::HeaderMap::new();
        // Several cookies come as lines.
        for cookie in text(told, "cookie").lines().filter_map(|cookie| cookie.parse().ok()) {
            headers.append("set-cookie", cookie);
        }
        secrets::heard_answer(&method, &path, &headers, status(told), &text(told, "answer"));
    }
    for told in answers.into_iter().filter(|told| status(told) >= 400) {
        secrets::assert_tells_nothing("an error in the browser", text(told, "answer").as_bytes());
    }
    for told in &heard {
        secrets::assert_tells_nothing("a live message in the browser", text(told, "message").as_bytes());
    }
}

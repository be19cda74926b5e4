//! What arrives at a webhook, its signature checked as Standard Webhooks has it.

use std::convert::Infallible;

use bytes::Bytes;
use data_encoding::BASE64;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::hmac;

use super::*;

const KEY: &[u8] = b"twenty-four bytes, a canary";

/// One request.
#[derive(Debug)]
struct Posted {
    id: String,
    at: i64,
    signature: Option<String>,
    content_type: String,
    text: String,
}

impl Posted {
    fn is_signed(&self) -> bool {
        let Some(signature) = self.signature.as_deref().and_then(|text| text.strip_prefix("v1,")) else { return false };
        let message = format!("{}.{}.{}", self.id, self.at, self.text);
        let tag = BASE64.decode(signature.as_bytes()).unwrap();
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, KEY), message.as_bytes(), &tag).is_ok()
    }

    fn records(&self) -> Vec<Value> {
        let body: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(body["type"], "audit.records");
        body["records"].as_array().unwrap().clone()
    }
}

/// A webhook that answers with the statuses of `answers` in turn, then 204.
async fn webhook(hub: &TestHub, answers: &'static [u16]) -> (String, mpsc::Receiver<Posted>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/canary-in-a-path?key=canary", listener.local_addr().unwrap());
    let (sink, arrived) = mpsc::channel(100);
    hub.app.lifecycle.tasks.spawn(async move {
        let mut answers = answers.iter();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (sink, status) = (sink.clone(), answers.next().copied().unwrap_or(204));
            let service = service_fn(move |request: http::Request<Incoming>| {
                let sink = sink.clone();
                async move {
                    let (head, body) = request.into_parts();
                    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/hooks/canary-in-a-path"));
                    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
                    let header = |name| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                    let posted = Posted {
                        id: header("webhook-id").unwrap(),
                        at: header("webhook-timestamp").unwrap().parse().unwrap(),
                        signature: header("webhook-signature"),
                        content_type: header("content-type").unwrap(),
                        text,
                    };
                    sink.send(posted).await.unwrap();
                    Ok::<_, Infallible>(Response::builder().status(status).body(Full::new(Bytes::new())).unwrap())
                }
            });
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            connection.await.ok();
        }
    });
    (url, arrived)
}

fn settings(url: &str) -> Value {
    let destination = json!({ "kind": "webhook", "url": url, "allow_private": true, "allow_http": true });
    json!({ "destination": destination, "secret": format!("whsec_{}", BASE64.encode(KEY)) })
}

async fn next_of(arrived: &mut mpsc::Receiver<Posted>) -> Posted {
    tokio::time::timeout(SOON, arrived.recv()).await.expect("a request arrives").expect("the webhook lives")
}

#[tokio::test]
async fn records_are_posted_signed_and_again_until_they_are_taken() {
    let hub = TestHub::with_users().await;
    let (url, mut arrived) = webhook(&hub, &[204, 503, 200]).await;
    let tried = hub.post(&Client::local(), &format!("{SETTINGS}/test"), settings(&url)).await;
    assert_eq!(tried.status, StatusCode::NO_CONTENT, "{tried:?}");
    let trial = next_of(&mut arrived).await;
    assert!(trial.is_signed() && trial.text.contains("audit.shipping_test"), "{trial:?}");

    hub.app.lifecycle.tasks.spawn(keep(hub.app.clone()));
    let answer = put(&hub, settings(&url)).await;
    assert_eq!((answer.status, &answer.body["has_secret"]), (StatusCode::OK, &json!(true)), "{answer:?}");
    let refused = next_of(&mut arrived).await;
    let taken = next_of(&mut arrived).await;
    assert_eq!((refused.id, &refused.text), (taken.id.clone(), &taken.text), "it is the same again");
    assert!(taken.is_signed() && taken.content_type == "application/json");
    let first = taken.records()[0].clone();
    assert_eq!(first["action"], "audit.shipping");
    assert_eq!(taken.id, format!("audit-{0}-{0}", first["seq"]));
    do_something(&hub, "later").await;
    let second = next_of(&mut arrived).await.records()[0].clone();
    assert_eq!(second["seq"].as_i64(), first["seq"].as_i64().map(|seq| seq + 1));
    until_sent(&hub).await;

    // An address may be a secret by itself: it is in no record, and unreadable in the table.
    assert_eq!(first["details"]["to"], json!({ "kind": "webhook", "origin": url.split("/hooks").next() }));
    let stored = crate::vault::settings::find(&mut hub.app.db.read().await.unwrap(), "audit.shipping").await.unwrap();
    let stored = stored.unwrap();
    assert!(!stored.windows(6).any(|window| window == b"canary"), "it is sealed");
    let answer = hub.get(&Client::local(), SETTINGS).await;
    assert!(!answer.body.to_string().contains(&BASE64.encode(KEY)), "a secret is not told again");

    // Left out, the secret stays; an empty one is none.
    let mut kept = settings(&url);
    kept.as_object_mut().unwrap().remove("secret");
    assert_eq!(put(&hub, kept.clone()).await.body["has_secret"], true);
    assert!(next_of(&mut arrived).await.is_signed());
    kept["secret"] = json!("");
    assert_eq!(put(&hub, kept).await.body["has_secret"], false);
    // The record of the change may still go the way of before.
    next_of(&mut arrived).await;
    do_something(&hub, "unsigned").await;
    assert_eq!(next_of(&mut arrived).await.signature, None);
    hub.app.lifecycle.soft.cancel();
}

#[tokio::test]
async fn c38_an_address_that_may_not_be_reached_is_not_and_one_that_makes_no_sense_is_refused() {
    let hub = TestHub::with_users().await;
    let (url, mut arrived) = webhook(&hub, &[]).await;
    let webhook = |url: &str, private: bool, http: bool| {
        let destination = json!({ "kind": "webhook", "url": url, "allow_private": private, "allow_http": http });
        json!({ "destination": destination })
    };
    for unfit in [
        webhook(&url, true, false),
        webhook("https://user@records.example/", false, false),
        webhook("https://user:word@records.example/", false, false),
        webhook("ftp://records.example/", false, true),
        webhook("records.example", false, true),
        webhook(&format!("https://records.example/{}", "x".repeat(2048)), false, false),
        json!({ "destination": { "kind": "webhook", "url": "https://records.example/" }, "secret": "too short" }),
        json!({ "destination": { "kind": "webhook", "url": "https://records.example/" }, "secret": "whsec_!".repeat(9) }),
        json!({ "destination": { "kind": "webhook", "url": "https://records.example/", "authority": "none" } }),
    ] {
        let refused = put(&hub, unfit.clone()).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "invalid_webhook"), "{unfit}");
    }
    let refused = hub.post(&Client::local(), &format!("{SETTINGS}/test"), webhook(&url, false, true)).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::CONFLICT, "shipping_failed"));
    assert!(refused.body.to_string().contains("private network"), "{refused:?}");
    assert!(arrived.try_recv().is_err(), "nothing was asked");
    let exposed = put(&hub, webhook("http://records.example/", false, true)).await;
    assert_eq!((exposed.status, &exposed.body["is_exposed"]), (StatusCode::OK, &json!(true)));
}

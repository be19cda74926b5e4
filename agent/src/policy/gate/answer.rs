//! Answers of the engine on their way to the hub: known headers only, and for a
//! hub that may only look, without what may be secret; where the policy asks for
//! it, written down first.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;
use http::header::{self, HeaderMap, HeaderName};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Response;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde_json::Value;
use tokio::task::JoinSet;

use super::super::recorder::Recording;

/// Largest document that is read whole, in bytes.
const DOCUMENT_MAX: usize = 32 * 1024 * 1024;
/// What stands in the place of a value.
const HIDDEN: &str = "***";
/// Labels that say how things belong together.
const OPEN_LABELS: [&str; 2] = ["com.docker.compose.", "org.opencontainers.image."];

/// Headers that a client of an engine goes by.
const PASSED: [HeaderName; 12] = [
    header::CONTENT_TYPE,
    header::DATE,
    header::SERVER,
    header::CACHE_CONTROL,
    header::PRAGMA,
    HeaderName::from_static("api-version"),
    HeaderName::from_static("docker-experimental"),
    HeaderName::from_static("ostype"),
    HeaderName::from_static("builder-version"),
    HeaderName::from_static("swarm"),
    HeaderName::from_static("libpod-api-version"),
    HeaderName::from_static("x-docker-container-path-stat"),
];

type BoxError = Box<dyn Error + Send + Sync>;
type Pieces = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, BoxError>> + Send>>;

/// A body on its way to the hub.
pub(super) enum AnswerBody {
    Whole(Full<Bytes>),
    /// From the engine, as long as what carries it lives.
    Streamed {
        body: Incoming,
        _carrier: JoinSet<()>,
    },
    /// The same, each piece of which is written down before it goes on.
    Recorded(Pieces),
}

impl AnswerBody {
    /// The same, written down.
    pub(super) fn recorded(self, recording: Recording) -> Self {
        let Self::Streamed { body, _carrier: carrier } = self else { return self };
        Self::Recorded(Box::pin(stream::try_unfold((body, carrier, recording), record_next)))
    }
}

type Recorded = (Incoming, JoinSet<()>, Recording);

async fn record_next(recorded: Recorded) -> Result<Option<(Frame<Bytes>, Recorded)>, BoxError> {
    let (mut body, carrier, mut recording) = recorded;
    let Some(frame) = body.frame().await.transpose()? else {
        recording.end().await?;
        return Ok(None);
    };
    if let Some(data) = frame.data_ref() {
        recording.write(data).await?;
    }
    Ok(Some((frame, (body, carrier, recording))))
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Streamed { body, .. } => Pin::new(body).poll_frame(cx).map_err(Into::into),
            Self::Recorded(pieces) => pieces.as_mut().poll_next(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed { body, .. } => body.is_end_stream(),
            Self::Recorded(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed { body, .. } => body.size_hint(),
            Self::Recorded(_) => SizeHint::default(),
        }
    }
}

/// The headers of an engine's answer that are passed on.
pub(super) fn passed(of_engine: &HeaderMap) -> HeaderMap {
    let known = PASSED.into_iter().filter_map(|name| Some((name.clone(), of_engine.get(&name)?.clone())));
    known.collect()
}

/// An answer as it comes.
pub(super) fn streamed(answer: Response<Incoming>, carrier: JoinSet<()>) -> Response<AnswerBody> {
    let (head, body) = answer.into_parts();
    let mut passed_on = Response::new(AnswerBody::Streamed { body, _carrier: carrier });
    *passed_on.status_mut() = head.status;
    *passed_on.headers_mut() = passed(&head.headers);
    passed_on
}

/// A whole answer without what may be secret.
///
/// # Errors
/// Where it is no document that can be read.
pub(super) async fn redacted(answer: Response<Incoming>) -> anyhow::Result<Response<AnswerBody>> {
    let (head, body) = answer.into_parts();
    anyhow::ensure!(!head.headers.contains_key(header::CONTENT_ENCODING), "The engine's answer is packed");
    let read = Limited::new(body, DOCUMENT_MAX).collect().await;
    let read = read.map_err(|error| anyhow::anyhow!("The engine's answer cannot be read: {error}"))?.to_bytes();
    let bytes = if read.is_empty() {
        read
    } else {
        let mut document: Value = serde_json::from_slice(&read)?;
        hide(&mut document);
        Bytes::from(serde_json::to_vec(&document)?)
    };
    let mut passed_on = Response::new(AnswerBody::Whole(Full::new(bytes)));
    *passed_on.status_mut() = head.status;
    *passed_on.headers_mut() = passed(&head.headers);
    Ok(passed_on)
}

/// Hides, wherever it stands, what engines keep secrets in: by its name, so that
/// it does not matter in which answer.
pub(super) fn hide(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(members) => {
            for (name, member) in members {
                match name.as_str() {
                    "Env" => hide_env(member),
                    "Args" | "Cmd" | "Entrypoint" | "Test" | "OnBuild" | "Shell" | "Binds" | "Processes"
                    | "Annotations" | "Description" => {
                        hide_texts(member);
                    }
                    "Command" | "CreatedBy" | "Source" | "Mountpoint" | "Device" | "HttpProxy" | "HttpsProxy" => {
                        hide_texts(member);
                    }
                    "Labels" => hide_labels(member),
                    "Options" | "DriverOpts" | "Config" if has_texts_only(member) => hide_texts(member),
                    _ => hide(member),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `NAME=value` becomes `NAME=***`.
fn hide_env(value: &mut Value) {
    for line in value.as_array_mut().into_iter().flatten() {
        let name = line.as_str().and_then(|line| line.split('=').next()).unwrap_or_default();
        *line = format!("{name}={HIDDEN}").into();
    }
}

fn hide_labels(value: &mut Value) {
    let Some(labels) = value.as_object_mut() else { return hide_texts(value) };
    for (name, label) in labels {
        if !is_open_label(name) {
            hide_texts(label);
        }
    }
}

/// Whether a label's value is told to a hub that may only look.
pub(crate) fn is_open_label(name: &str) -> bool {
    OPEN_LABELS.iter().any(|open| name.starts_with(open))
}

fn has_texts_only(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.values().all(Value::is_string))
}

fn hide_texts(value: &mut Value) {
    match value {
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => HIDDEN.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(hide_texts),
        Value::Object(members) => members.values_mut().for_each(hide_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_be_secret_is_hidden_wherever_it_stands() {
        let mut told = json!({
            "Id": "abc", "Args": ["--password=s3cret"], "Path": "app",
            "Config": {
                "Env": ["TOKEN=s3cret", "BARE"], "Cmd": ["--key", "s3cret"], "Image": "app:1",
                "Healthcheck": { "Test": ["CMD", "curl", "s3cret"], "Retries": 3 },
                "Labels": { "com.docker.compose.project": "shop", "auth": "s3cret" },
            },
            "HostConfig": { "Binds": ["/srv/s3cret:/x"], "Memory": 5,
                            "LogConfig": { "Type": "syslog", "Config": { "address": "s3cret" } } },
            "Mounts": [{ "Type": "bind", "Source": "/srv/s3cret", "Destination": "/x" }],
            "Options": { "device": "s3cret" },
        });
        hide(&mut told);
        assert!(!told.to_string().contains("s3cret"), "{told}");
        assert_eq!(told["Config"]["Env"], json!(["TOKEN=***", "BARE=***"]));
        assert_eq!(told["Config"]["Labels"]["com.docker.compose.project"], "shop");
        assert_eq!((&told["Config"]["Image"], &told["HostConfig"]["Memory"]), (&json!("app:1"), &json!(5)));
        assert_eq!(told["Mounts"][0]["Destination"], "/x");
    }

    #[test]
    fn headers_that_no_client_needs_stay_behind() {
        let mut headers = HeaderMap::new();
        for name in ["api-version", "set-cookie", "windflow-refused-rule", "content-length", "location"] {
            headers.insert(HeaderName::from_static(name), "1".parse().unwrap());
        }
        assert_eq!(passed(&headers).keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["api-version"]);
    }
}

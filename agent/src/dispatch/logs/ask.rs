//! What is asked of the engine: a container's log, and what became of the
//! container when its log ended. Each question has a connection of its own.

use std::fmt::Write;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::timeout;
use windflow_protocol::message::logs::{LogPace, LogsEnd, LogsRequest};

use crate::engine::{Engine, EngineStream};

/// The engine must begin to answer within this: it looks for the end of a log
/// that may be large, on a disk that may be busy.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// The engine must say within this what became of a container.
const INSPECT_DEADLINE: Duration = Duration::from_secs(5);
/// Most that is read of what the engine says of a container, in bytes.
const INSPECT_MAX: usize = 1024 * 1024;
/// Largest refusal that is read, in bytes.
const REFUSAL_MAX: usize = 8 * 1024;
/// Most characters of the engine's own words that are passed on.
const WORDS_MAX: usize = 500;
/// Most that is read from the engine at once, in bytes.
const READ_MAX: usize = 64 * 1024;
/// Longest name or id of a container.
const NAME_MAX: usize = 128;

type Carrier = Pin<Box<http1::Connection<TokioIo<EngineStream>, Empty<Bytes>>>>;

/// An answer that is being read.
#[derive(Debug)]
pub(super) struct Answer {
    body: Incoming,
    /// What moves the bytes; none once it has moved all.
    carrier: Option<Carrier>,
    /// When the engine began to answer, by its own clock, in nanoseconds since
    /// the start of 1970; none where it does not say.
    pub(super) begun: Option<i64>,
}

impl Answer {
    /// The next bytes; none at the end. Cancel safe.
    ///
    /// # Errors
    /// When the answer breaks off.
    pub(super) async fn next(&mut self) -> hyper::Result<Option<Bytes>> {
        loop {
            let frame = poll_fn(|cx| {
                if let Some(carrier) = &mut self.carrier
                    && let Poll::Ready(ended) = carrier.as_mut().poll(cx)
                {
                    // The body itself says when it was cut.
                    tracing::trace!(?ended, "the engine has sent its whole answer");
                    self.carrier = None;
                }
                Pin::new(&mut self.body).poll_frame(cx)
            });
            match frame.await.transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => {}
                None => return Ok(None),
            }
        }
    }
}

/// Opens a container's log. Answers with the reason where there is none to read.
///
/// # Errors
/// When nothing can be reached at the engine's address.
pub(super) async fn open(engine: &Engine, request: &LogsRequest) -> io::Result<Result<Answer, LogsEnd>> {
    if !is_name(&request.container) {
        return Ok(Err(LogsEnd::NotFound));
    }
    let stream = engine.connect().await?;
    let target = target(request);
    let asking = timeout(ANSWER_DEADLINE, ask(stream, &target));
    let (status, answer) = match asking.await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the engine did not answer a question for a log");
            return Ok(Err(LogsEnd::EngineGone));
        }
        Err(_) => return Ok(Err(LogsEnd::EngineSilent)),
    };
    Ok(match status {
        StatusCode::NOT_FOUND => Err(LogsEnd::NotFound),
        status if status.is_success() => Ok(answer),
        status => Err(LogsEnd::Unreadable { message: refusal(status, answer).await }),
    })
}

/// Why the log of a container that was followed has ended.
pub(super) async fn fate(engine: &Engine, container: &str) -> LogsEnd {
    match timeout(INSPECT_DEADLINE, inspect(engine, container)).await {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the engine did not say what became of a container");
            LogsEnd::EngineGone
        }
        Err(_) => LogsEnd::EngineSilent,
    }
}

/// What Docker allows as a name or an id: nothing that changes a path.
fn is_name(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    starts && rest && text.len() <= NAME_MAX
}

fn target(request: &LogsRequest) -> String {
    let LogsRequest { container, stdout, stderr, since, until, tail, pace, filter: _ } = request;
    let follow = *pace == LogPace::Followed;
    let mut target =
        format!("/containers/{container}/logs?timestamps=1&stdout={stdout}&stderr={stderr}&follow={follow}");
    let mut add = |name: &str, value: String| {
        // A text takes whatever is written to it.
        write!(target, "&{name}={value}").ok();
    };
    if let Some(since) = since {
        add("since", seconds(*since));
    }
    if let Some(until) = until {
        add("until", seconds(*until));
    }
    if let Some(tail) = tail {
        add("tail", tail.to_string());
    }
    target
}

/// A moment as an engine reads it: seconds with nine decimals.
fn seconds(nanos: i64) -> String {
    // What lies before 1970 is before every log.
    let nanos = nanos.max(0);
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

async fn ask(stream: EngineStream, target: &str) -> anyhow::Result<(StatusCode, Answer)> {
    let (mut sender, carrier) = http1::Builder::new().max_buf_size(READ_MAX).handshake(TokioIo::new(stream)).await?;
    let request = Request::get(target).header(header::HOST, "docker").body(Empty::<Bytes>::new())?;
    let mut carrier: Carrier = Box::pin(carrier);
    let mut asking = std::pin::pin!(sender.send_request(request));
    let (answer, carrier) = tokio::select! {
        answer = &mut asking => (answer?, Some(carrier)),
        ended = &mut carrier => {
            ended?;
            // Answered and closed in one go.
            drop(carrier);
            (asking.await?, None)
        }
    };
    let begun = answer.headers().get(header::DATE).and_then(|date| read_date(date.to_str().ok()?));
    let status = answer.status();
    Ok((status, Answer { body: answer.into_body(), carrier, begun }))
}

/// The form of `Date` (RFC 9110) is one of RFC 2822's but for its zone.
fn read_date(text: &str) -> Option<i64> {
    let date = OffsetDateTime::parse(&text.replace("GMT", "+0000"), &Rfc2822).ok()?;
    i64::try_from(date.unix_timestamp_nanos()).ok()
}

/// What the engine says of its refusal, cut to what a person reads.
async fn refusal(status: StatusCode, answer: Answer) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let body = timeout(INSPECT_DEADLINE, whole(answer, REFUSAL_MAX)).await;
    let said = body.ok().and_then(Result::ok).and_then(|body| serde_json::from_slice::<Refusal>(&body).ok());
    let words = said.map(|said| said.message).unwrap_or_default();
    let words: String = words.trim().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect();
    if words.is_empty() { format!("the engine answered {status}") } else { words }
}

async fn whole(mut answer: Answer, max: usize) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(data) = answer.next().await? {
        anyhow::ensure!(body.len() + data.len() <= max, "The engine's answer is too long");
        body.extend_from_slice(&data);
    }
    Ok(body)
}

/// What matters of a container.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
    host_config: HostConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    auto_remove: bool,
}

async fn inspect(engine: &Engine, container: &str) -> anyhow::Result<LogsEnd> {
    let stream = engine.connect().await.context("The engine cannot be reached")?;
    let (status, answer) = ask(stream, &format!("/containers/{container}/json")).await?;
    if status == StatusCode::NOT_FOUND {
        return Ok(LogsEnd::Removed);
    }
    anyhow::ensure!(status.is_success(), "The engine answered {status}");
    let inspected = whole(answer, INSPECT_MAX).await.and_then(|body| Ok(serde_json::from_slice::<Inspected>(&body)?));
    // It is there, which is enough to say.
    let is_going = inspected.is_ok_and(|found| {
        // One that removes itself is still there for a moment.
        found.host_config.auto_remove || matches!(found.state.status.as_str(), "removing" | "dead")
    });
    Ok(if is_going { LogsEnd::Removed } else { LogsEnd::Stopped })
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::logs::LogFilter;

    use super::*;

    #[test]
    fn a_request_becomes_a_question_to_the_engine() {
        let request = LogsRequest {
            container: "web".to_owned(),
            stdout: true,
            stderr: false,
            since: Some(1_750_000_000_000_000_001),
            until: None,
            tail: Some(10),
            pace: LogPace::Followed,
            filter: LogFilter::All,
        };
        assert_eq!(
            target(&request),
            "/containers/web/logs?timestamps=1&stdout=true&stderr=false&follow=true&since=1750000000.000000001&tail=10"
        );
        assert_eq!(seconds(-5), "0.000000000");
    }

    #[test]
    fn a_name_that_is_a_path_is_none() {
        for wrong in ["", "../x", "a/b", "a?b", "a%2fb", "-a", "a b", &"a".repeat(129)] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
        assert!(is_name("shop_web.1-x"));
    }

    #[test]
    fn the_engines_date_is_read() {
        assert_eq!(read_date("Sun, 15 Jun 2025 15:06:40 GMT"), Some(1_750_000_000_000_000_000));
        assert_eq!(read_date("yesterday"), None);
    }
}

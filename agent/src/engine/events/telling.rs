//! An engine's answer to a question for its events: one event a line.

use std::collections::VecDeque;
use std::sync::LazyLock;

use anyhow::Context;
use bytes::{Buf, BytesMut};
use http::header;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use tokio::time::timeout;
use windflow_protocol::message::events::Event;

use super::super::inquiry::{self, Carrier, carried_by};
use super::super::{CONNECT_DEADLINE, EngineAddress, connect};
use super::parse::{WANTED, parse};
use super::{KEPT_MAX, now};

/// Longest event, in bytes: it carries all labels of what it is about.
const LINE_MAX: usize = 256 * 1024;
/// Podman begins its answer with the first event, so the answer is not waited
/// for.
type Answer = std::pin::Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

/// An answer on its way.
pub struct Telling {
    answering: Option<Answer>,
    body: Option<Incoming>,
    buffer: BytesMut,
}

/// What happened in a time that is over: the last of it where it is more than
/// is kept.
pub async fn read_past(address: &EngineAddress, time: &str) -> anyhow::Result<Vec<Event>> {
    let (mut telling, carrier) = Telling::begin(address, time).await?;
    carried_by(carrier, async {
        let mut events = VecDeque::new();
        while let Some(event) = telling.next().await? {
            if events.len() == KEPT_MAX {
                events.pop_front();
            }
            events.push_back(event);
        }
        Ok(events.into())
    })
    .await
}

impl Telling {
    /// Asks for the events of a time. The carrier has to be polled.
    pub async fn begin(address: &EngineAddress, time: &str) -> anyhow::Result<(Self, Carrier)> {
        static FILTERS: LazyLock<String> =
            LazyLock::new(|| url::form_urlencoded::byte_serialize(WANTED.as_bytes()).collect());
        let connecting = timeout(CONNECT_DEADLINE, connect::connect(address));
        let stream = connecting.await.context("The engine takes no connection")??;
        let (mut sender, carrier) = inquiry::begin(stream).await?;
        let path = format!("/events?{time}&filters={}", *FILTERS);
        let request = Request::get(path).header(header::HOST, "docker").body(Empty::new())?;
        let answering: Answer = Box::pin(async move { sender.send_request(request).await });
        Ok((Self { answering: Some(answering), body: None, buffer: BytesMut::new() }, carrier))
    }

    /// The next event; none at the end. Cancel safe.
    pub async fn next(&mut self) -> anyhow::Result<Option<Event>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                match parse(&line, now) {
                    Ok(Some(event)) => return Ok(Some(event)),
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "an event makes no sense"),
                }
            }
            if !self.read().await? {
                return Ok(None);
            }
        }
    }

    /// Whether there was more.
    async fn read(&mut self) -> anyhow::Result<bool> {
        if let Some(answering) = &mut self.answering {
            let answer = answering.await?;
            self.answering = None;
            anyhow::ensure!(answer.status().is_success(), "The engine answered {}", answer.status());
            self.body = Some(answer.into_body());
        }
        let body = self.body.as_mut().context("The engine has not answered")?;
        let Some(frame) = body.frame().await else {
            return Ok(false);
        };
        if let Ok(data) = frame?.into_data() {
            anyhow::ensure!(self.buffer.len() + data.len() <= LINE_MAX, "An event is too long");
            self.buffer.extend_from_slice(&data);
        }
        Ok(true)
    }
}

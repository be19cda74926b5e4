//! The connector below the HTTP client: a new connection is a tunnel stream.
//!
//! The client pools connections by authority, so the authority carries which
//! session a request is for and how urgent it is. A session that ends takes
//! its pooled streams with it; the next session has another id.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use windflow_protocol::ids::SessionId;
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::transport::{Priority, Stream};

use super::budget::Budgeted;
use crate::tunnel::{Registry, StreamError};

/// Suffix of the authority of a request whose stream a person waits on.
const INTERACTIVE: &str = ".interactive";

/// The address of a session's engine for the pooled client.
pub(super) fn authority(session: SessionId, priority: Priority) -> String {
    match priority {
        Priority::Interactive => format!("{session}{INTERACTIVE}"),
        Priority::Normal => session.to_string(),
    }
}

fn parse(uri: &Uri) -> Option<(SessionId, Priority)> {
    let authority = uri.authority()?.as_str();
    let (id, priority) = match authority.strip_suffix(INTERACTIVE) {
        Some(id) => (id, Priority::Interactive),
        None => (authority, Priority::Normal),
    };
    Some((id.parse().ok()?, priority))
}

#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) sessions: Registry,
    /// Most bytes that one stream may bring.
    pub(super) budget: u64,
}

/// No budget: what comes is passed on and not kept.
pub(super) const PASSED_ON: u64 = u64::MAX;

impl tower::Service<Uri> for Connector {
    type Response = EngineStream;
    type Error = StreamError;
    type Future = Pin<Box<dyn Future<Output = Result<EngineStream, StreamError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (sessions, budget) = (self.sessions.clone(), self.budget);
        Box::pin(async move {
            let (id, priority) = parse(&uri).ok_or(StreamError::Offline)?;
            let session = sessions.session(id).ok_or(StreamError::Offline)?;
            let stream = session.open(StreamKind::Docker, priority).await?;
            Ok(EngineStream(TokioIo::new(Budgeted { stream, left: budget })))
        })
    }
}

/// A tunnel stream in hyper's terms.
#[derive(Debug)]
pub(super) struct EngineStream(TokioIo<Budgeted<Stream>>);

impl Connection for EngineStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for EngineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for EngineStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize, std::io::Error>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

//! A byte stream over the binary messages of a WebSocket (RFC 6455). Message
//! borders mean nothing; TLS and the multiplexer run inside.
//!
//! tungstenite shakes hands and knows the form of a frame. Its own streams would
//! copy each byte twice more in either direction, and never shrink.

mod head;
mod incoming;
mod mask;
mod outgoing;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use tokio_tungstenite::tungstenite::protocol::Role;

use self::head::Head;
use self::incoming::{Incoming, Met};
use self::outgoing::Outgoing;

/// Where a hub accepts agents.
pub const PATH: &str = "/agent/v1/tunnel";

/// The WebSocket subprotocol that both ends name, so that a proxy or another
/// server behind the same address is told apart from a hub.
pub const SUBPROTOCOL: &str = "windflow.tunnel.v1";

/// Why there is no WebSocket.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It answered HTTP, and not with a WebSocket.
    #[error("the server answered HTTP {status}; check the hub's address and the proxy before it")]
    Status {
        /// The status code.
        status: u16,
    },
    /// It sent the agent elsewhere. Not followed: the operator named the hub.
    #[error("the server redirects to {location}; use that address if it is the hub's")]
    Redirect {
        /// Where to, as the server wrote it, control characters removed.
        location: String,
    },
    /// What answered does not speak the tunnel's protocol.
    #[error("the other end is not a hub: {0}")]
    NotAHub(String),
    /// The network failed first.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Why a request for the tunnel was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefused {
    /// It is no WebSocket request.
    #[error("a WebSocket request was expected here")]
    NotAWebSocket,
    /// It is one of a version other than 13.
    #[error("WebSocket version 13 was expected")]
    Version,
    /// It does not name [`SUBPROTOCOL`].
    #[error("only agents connect here: the subprotocol {SUBPROTOCOL} was expected")]
    Subprotocol,
}

/// Asks the server behind `io` for the tunnel at `uri`, a `ws:` or `wss:` URL
/// whose path usually is [`PATH`]. The caller brings the deadline.
///
/// # Errors
/// [`ConnectError`], by who has to do something about it.
pub async fn connect<S>(io: S, uri: &Uri, headers: HeaderMap) -> Result<WebSocketIo<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = uri.into_client_request().map_err(classify)?;
    request.headers_mut().extend(headers);
    request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    let connected = tokio_tungstenite::client_async(request, Head::of(io)).await;
    let (socket, _response) = connected.map_err(classify)?;
    let (io, ahead) = socket.into_inner().into_parts();
    Ok(WebSocketIo::new(io, Role::Client, ahead))
}

/// The response headers, for status 101, that accept an agent's request.
///
/// # Errors
/// [`UpgradeRefused`] when it is not one.
pub fn accept_headers(request: &HeaderMap) -> Result<HeaderMap, UpgradeRefused> {
    let upgrades = lists(request, header::CONNECTION, "upgrade") && lists(request, header::UPGRADE, "websocket");
    let key = request.get(header::SEC_WEBSOCKET_KEY).filter(|_| upgrades).ok_or(UpgradeRefused::NotAWebSocket)?;
    if request.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(UpgradeRefused::Version);
    }
    if !lists(request, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        return Err(UpgradeRefused::Subprotocol);
    }
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes())).expect("base64 is a header value");
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
    ];
    Ok(headers.into_iter().collect())
}

/// The hub's end of a connection on which the response with
/// [`accept_headers`] has been sent.
pub fn accept<S>(io: S) -> WebSocketIo<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    WebSocketIo::new(io, Role::Server, BytesMut::new())
}

/// The byte stream inside a WebSocket. Writes are joined into messages of up
/// to [`WEBSOCKET_MESSAGE_MAX`](crate::limits::WEBSOCKET_MESSAGE_MAX) bytes and
/// leave with a flush, or when a message is full. The other end's close ends the
/// stream; a text message is an error.
#[derive(Debug)]
pub struct WebSocketIo<S> {
    io: S,
    incoming: Incoming,
    outgoing: Outgoing,
    /// Whether the other end has said goodbye or hung up.
    has_ended: bool,
}

impl<S> WebSocketIo<S> {
    /// The stream on `io`, of which `ahead` was read already.
    fn new(io: S, role: Role, ahead: BytesMut) -> Self {
        Self { io, incoming: Incoming::new(role, ahead), outgoing: Outgoing::new(role), has_ended: false }
    }

    /// What carries the WebSocket.
    pub const fn get_ref(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocketIo<S> {
    /// Sends what the reader owes the other end, as far as the network takes it
    /// now; the next flush sends the rest.
    fn answer(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.outgoing.poll_send(&mut self.io, cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }
}

impl<S> AsyncRead for WebSocketIo<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.has_ended {
            match ready!(this.incoming.poll(&mut this.io, cx, buf))? {
                Met::Bytes => break,
                Met::Ping(payload) => {
                    this.outgoing.pong(&payload);
                    this.answer(cx)?;
                }
                Met::End => {
                    this.has_ended = true;
                    this.outgoing.close();
                    // Whoever hung up does not wait for an answer.
                    this.answer(cx).ok();
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> AsyncWrite for WebSocketIo<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let room = ready!(this.outgoing.poll_room(&mut this.io, cx))?;
        let taken = buf.len().min(room);
        this.outgoing.push(&buf[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let room = ready!(this.outgoing.poll_room(&mut this.io, cx))?;
        let offered = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(room);
        // At once, so that a message of several records does not grow by moves.
        this.outgoing.reserve(offered);
        let mut left = offered;
        for buf in bufs {
            let taken = buf.len().min(left);
            this.outgoing.push(&buf[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(offered))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.outgoing.poll_send(&mut this.io, cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // What was written goes before the goodbye.
        ready!(this.outgoing.poll_send(&mut this.io, cx))?;
        this.outgoing.close();
        self.poll_flush(cx)
    }
}

/// Whether the comma-separated header lists `wanted`, in any case.
fn lists(headers: &HeaderMap, name: header::HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(wanted))
}

fn classify(error: WebSocketError) -> ConnectError {
    match error {
        WebSocketError::Http(response) => refused(response.status(), response.headers().get(header::LOCATION)),
        WebSocketError::Io(error) => ConnectError::Io(error),
        WebSocketError::Protocol(ProtocolError::HandshakeIncomplete) => {
            ConnectError::Io(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before it answered"))
        }
        other => ConnectError::NotAHub(other.to_string()),
    }
}

fn refused(status: StatusCode, location: Option<&HeaderValue>) -> ConnectError {
    match location {
        Some(location) if status.is_redirection() => {
            let location = String::from_utf8_lossy(location.as_bytes());
            ConnectError::Redirect { location: crate::text::sanitize(&location) }
        }
        Some(_) | None => ConnectError::Status { status: status.as_u16() },
    }
}

fn invalid(error: WebSocketError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} in the tunnel"))
}

#[cfg(test)]
pub(crate) mod tests;

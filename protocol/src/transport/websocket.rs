//! A byte stream over the binary messages of a WebSocket (RFC 6455). Message
//! borders mean nothing; TLS and the multiplexer run inside.

mod gate;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Duration, Instant};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocketConfig};

use self::gate::Gate;
use crate::limits::WEBSOCKET_MESSAGE_MAX;

/// Where a hub accepts agents.
pub const PATH: &str = "/agent/v1/tunnel";

/// The WebSocket subprotocol that both ends name, so that a proxy or another
/// server behind the same address is told apart from a hub.
pub const SUBPROTOCOL: &str = "windflow.tunnel.v1";

/// Bytes the codec reads at once, allocated for as long as the socket lives.
const READ_BUFFER: usize = 4 * 1024;
/// Frames the codec collects before it writes without being told to.
const WRITE_BUFFER: usize = 16 * 1024;
/// Room beside one message and the write buffer for the headers of frames and
/// for one answer to a ping.
const FRAME_ROOM: usize = 1024;
/// How long nothing large must have passed before the codec's memory for large
/// messages is given back. The heartbeat sees to it that this is noticed.
const LEAN_AFTER: Duration = Duration::from_secs(1);

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

/// The codec's bounds: a message above the limit is refused by its header,
/// before anything is allocated for it.
pub fn settings() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(WRITE_BUFFER + WEBSOCKET_MESSAGE_MAX + FRAME_ROOM)
        .max_message_size(Some(WEBSOCKET_MESSAGE_MAX))
        .max_frame_size(Some(WEBSOCKET_MESSAGE_MAX))
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
    let gate = Gate::before_head(io);
    let connected = tokio_tungstenite::client_async_with_config(request, gate, Some(settings())).await;
    let (socket, _response) = connected.map_err(classify)?;
    Ok(WebSocketIo::new(socket, Role::Client))
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
pub async fn accept<S>(io: S) -> WebSocketIo<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let gate = Gate::behind_head(io);
    WebSocketIo::new(WebSocketStream::from_raw_socket(gate, Role::Server, Some(settings())).await, Role::Server)
}

/// The byte stream inside a WebSocket. Writes are joined into messages of up
/// to [`WEBSOCKET_MESSAGE_MAX`] bytes and leave with a flush, or when a message
/// is full. The other end's close ends the stream; a text message is an error.
#[derive(Debug)]
pub struct WebSocketIo<S> {
    /// Always there, except within [`renew`](Self::renew).
    socket: Option<WebSocketStream<Gate<S>>>,
    role: Role,
    /// What is left of the message being read.
    incoming: Bytes,
    /// The message being filled. Its memory is used again for the next one, and
    /// given back with the codec's.
    outgoing: BytesMut,
    /// Bytes of the frames that have come out of the codec, at least.
    accounted: u64,
    /// When a message last made the codec allocate for it, if it still holds
    /// that memory.
    swollen: Option<Instant>,
}

impl<S> WebSocketIo<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn new(socket: WebSocketStream<Gate<S>>, role: Role) -> Self {
        let (incoming, outgoing) = Default::default();
        Self { socket: Some(socket), role, incoming, outgoing, accounted: 0, swollen: None }
    }

    /// What carries the WebSocket.
    pub fn get_ref(&self) -> &S {
        let socket = self.socket.as_ref().expect("the socket is only away within one call");
        socket.get_ref().get_ref()
    }

    fn socket(&mut self) -> Pin<&mut WebSocketStream<Gate<S>>> {
        Pin::new(self.socket.as_mut().expect("the socket is only away within one call"))
    }

    /// Waits for bytes; `false` once the other end has closed.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.incoming.is_empty() {
            let Poll::Ready(next) = self.socket().poll_next(cx) else {
                if self.poll_slim(cx).is_pending() {
                    return Poll::Pending;
                }
                continue;
            };
            match next {
                Some(Ok(Message::Binary(bytes))) => {
                    self.account(bytes.len());
                    self.incoming = bytes;
                }
                // The codec answers pings by itself.
                Some(Ok(Message::Ping(bytes) | Message::Pong(bytes))) => self.account(bytes.len()),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Poll::Ready(Err(unexpected("a text message")));
                }
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(false)),
                Some(Err(WebSocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                    return Poll::Ready(Ok(false));
                }
                Some(Err(error)) => return Poll::Ready(Err(into_io(error))),
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Notes a message in one frame with the shortest header there is for it.
    /// Any other form only makes the count too small, and the codec look as if
    /// it still held bytes.
    fn account(&mut self, length: usize) {
        let extended = match length {
            0..126 => 0,
            126..65_536 => 2,
            _ => 8,
        };
        let mask = if self.role == Role::Server { 4 } else { 0 };
        self.accounted += (2 + extended + mask + length) as u64;
        self.note_size(length);
    }

    fn note_size(&mut self, length: usize) {
        if length > READ_BUFFER {
            self.swollen = Some(Instant::now());
        }
    }

    /// Gives the codec's memory back once large messages have stopped, ready
    /// when it did. The codec never shrinks by itself: what one export grew
    /// would stay with an idle session for good.
    fn poll_slim(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(swollen) = self.swollen.filter(|_| self.outgoing.is_empty()) else {
            return Poll::Pending;
        };
        let is_recent = swollen.elapsed() < LEAN_AFTER;
        let is_empty = self.socket().get_ref().handed() == self.accounted;
        if is_recent || !is_empty {
            return Poll::Pending;
        }
        match ready!(self.socket().poll_flush(cx)) {
            Ok(()) => {
                self.renew();
                Poll::Ready(())
            }
            // The next read or write meets the same error and reports it.
            Err(_) => Poll::Pending,
        }
    }

    /// Replaces a codec that holds nothing by a fresh one.
    fn renew(&mut self) {
        let used = self.socket.take().expect("the socket is only away within one call");
        let fresh = WebSocketStream::from_raw_socket(used.into_inner(), self.role, Some(settings()));
        self.socket = Some(fresh.now_or_never().expect("nothing is waited for without a handshake"));
        self.swollen = None;
        self.outgoing = BytesMut::new();
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outgoing.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.socket().poll_ready(cx)).map_err(into_io)?;
        let message = self.outgoing.split().freeze();
        self.note_size(message.len());
        Poll::Ready(self.socket().start_send(Message::Binary(message)).map_err(into_io))
    }
}

impl<S> AsyncRead for WebSocketIo<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !ready!(self.poll_message(cx))? {
            return Poll::Ready(Ok(()));
        }
        let taken = self.incoming.len().min(buf.remaining());
        buf.put_slice(&self.incoming[..taken]);
        self.incoming.advance(taken);
        if self.incoming.is_empty() {
            self.incoming = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> AsyncWrite for WebSocketIo<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.outgoing.len() >= WEBSOCKET_MESSAGE_MAX {
            ready!(self.poll_send(cx))?;
        }
        let taken = buf.len().min(WEBSOCKET_MESSAGE_MAX - self.outgoing.len());
        self.outgoing.extend_from_slice(&buf[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.len() >= WEBSOCKET_MESSAGE_MAX {
            ready!(self.poll_send(cx))?;
        }
        let room = WEBSOCKET_MESSAGE_MAX - self.outgoing.len();
        let offered = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(room);
        // At once, so that a message of several records does not grow by moves.
        self.outgoing.reserve(offered);
        let mut left = offered;
        for buf in bufs {
            let taken = buf.len().min(left);
            self.outgoing.extend_from_slice(&buf[..taken]);
            left -= taken;
        }
        Poll::Ready(Ok(offered))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        self.socket().poll_flush(cx).map_err(into_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        // A fresh codec would not know that it has said goodbye.
        self.swollen = None;
        self.socket().poll_close(cx).map_err(into_io)
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

fn into_io(error: WebSocketError) -> io::Error {
    match error {
        WebSocketError::Io(error) => error,
        WebSocketError::ConnectionClosed | WebSocketError::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
        WebSocketError::Protocol(ProtocolError::SendAfterClosing) => io::ErrorKind::BrokenPipe.into(),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} in the tunnel"))
}

#[cfg(test)]
pub(crate) mod tests;

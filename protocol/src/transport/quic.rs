//! The transport over QUIC (RFC 9000): its own streams, its own TLS. The hub
//! listens, the agent dials, and only the hub opens streams; the one exception
//! is the single stream of an [enrollment or renewal](open_exchange).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{ConnectionError, Endpoint, ReadError, SendDatagramError, TransportConfig, VarInt, WriteError};
use quinn_proto::HashedConnectionIdGenerator;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Carrier, Channel, CloseReason, Connection, OpenError, Priority, ResetCode, Stream, StreamReset};
use crate::identity::Purpose;
use crate::limits::{
    HEARTBEAT_EVERY, QUIC_INCOMING_BYTES_MAX, QUIC_INCOMING_MAX, QUIC_STREAM_WINDOW, SILENCE_MAX, STREAMS_MAX,
};
use crate::text::sanitize;
use crate::tls::{ClientTls, Peer, SERVER_NAME, TlsError};

/// The one code with which connections are closed; the reason is the text.
const CLOSED: VarInt = VarInt::from_u32(0);
/// Streams that wait for nobody go before those that carry bulk.
const INTERACTIVE: i32 = 1;
/// Room for one unread ping. Pings are acknowledged, never read.
const PING_ROOM: usize = 64;
/// How soon, and then how often at most, a ping looks for its acknowledgement.
const PING_LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// Opens a hub's UDP port. With the same `restart_secret` a restarted hub
/// answers the packets of its former life with a stateless reset (RFC 9000
/// §10.3), so that agents notice at once and not by silence.
///
/// # Errors
/// When the port cannot be used.
pub fn listen(
    address: SocketAddr,
    tls: Arc<rustls::ServerConfig>,
    restart_secret: &[u8; 32],
) -> io::Result<quinn::Endpoint> {
    let reset_key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, restart_secret);
    let id_key = ring::hmac::sign(&reset_key, b"connection ids");
    let id_key = u64::from_le_bytes(id_key.as_ref()[..8].try_into().expect("a MAC has more than 8 bytes"));
    let mut config = quinn::EndpointConfig::new(Arc::new(reset_key));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    let socket = std::net::UdpSocket::bind(address)?;
    quinn::Endpoint::new(config, Some(server_config(tls)), socket, Arc::new(quinn::TokioRuntime))
}

/// A hub's QUIC configuration around its TLS configuration.
pub fn server_config(tls: Arc<rustls::ServerConfig>) -> quinn::ServerConfig {
    let tls = QuicServerConfig::try_from(tls).expect("the provider has the cipher suite of QUIC's first packets");
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    // Agents open nothing; an exchange is granted its stream once it is wanted.
    config.transport_config(Arc::new(transport(0)));
    config.max_incoming(QUIC_INCOMING_MAX);
    config.incoming_buffer_size(QUIC_INCOMING_BYTES_MAX / 16);
    config.incoming_buffer_size_total(QUIC_INCOMING_BYTES_MAX);
    config
}

/// An agent's QUIC configuration for one dial.
pub fn client_config(tls: &ClientTls) -> quinn::ClientConfig {
    let streams = match tls.purpose() {
        Purpose::Session => STREAMS_MAX,
        Purpose::Enroll | Purpose::Renew => 0,
    };
    let tls = QuicClientConfig::try_from(tls.config()).expect("the provider has the cipher suite of first packets");
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(streams)));
    config
}

/// Dials the hub at `address`. The caller brings the deadline.
///
/// # Errors
/// [`TlsError::Refused`] when the hub is not trusted, otherwise
/// [`TlsError::Handshake`]; of kind `TimedOut` where no packet came back.
pub async fn connect(endpoint: &Endpoint, address: SocketAddr, tls: &ClientTls) -> Result<quinn::Connection, TlsError> {
    let failed = |error: io::Error| tls.refusal().map_or(TlsError::Handshake(error), TlsError::Refused);
    let connecting = endpoint.connect_with(client_config(tls), address, SERVER_NAME);
    let connection = connecting.map_err(|error| failed(io::Error::other(error)))?.await;
    let connection = connection.map_err(|error| failed(error.into()))?;
    tls.confirm(alpn(&connection).as_deref())?;
    Ok(connection)
}

/// Who dialled.
///
/// # Errors
/// As [`Peer::read`].
pub fn peer(connection: &quinn::Connection) -> Result<Peer, TlsError> {
    let identity = connection.peer_identity();
    let chain = identity.as_ref().and_then(|identity| identity.downcast_ref::<Vec<CertificateDer<'static>>>());
    Peer::read(alpn(connection).as_deref(), chain.map(Vec::as_slice))
}

/// The agent's end of an enrollment or renewal: one stream for one request and
/// its reply. The agent closes the connection once it has read the reply.
///
/// # Errors
/// The reason when the connection ends before the hub grants the stream.
pub async fn open_exchange(connection: &quinn::Connection) -> Result<Stream, CloseReason> {
    let (send, recv) = connection.open_bi().await.map_err(closed_by)?;
    Ok(Stream(Channel::Quic(QuicStream::new(send, recv))))
}

/// The hub's end of an exchange: grants the one stream and waits for it.
///
/// # Errors
/// The reason when the connection ends first.
pub async fn accept_exchange(connection: &quinn::Connection) -> Result<Stream, CloseReason> {
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(1));
    let (send, recv) = connection.accept_bi().await.map_err(closed_by)?;
    Ok(Stream(Channel::Quic(QuicStream::new(send, recv))))
}

impl Connection {
    /// A session over an established QUIC connection.
    pub fn quic(connection: quinn::Connection) -> Self {
        Self(Carrier::Quic(QuicConnection { quinn: connection, reason: Arc::default() }))
    }
}

fn transport(streams: usize) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(varint(streams as u64))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(varint(QUIC_STREAM_WINDOW))
        // Bounded by streams times window; one window for all would let a few
        // stalled readers stop every other stream.
        .receive_window(VarInt::MAX)
        // Below this, a few bulk streams starve all others of send buffer.
        .send_window(STREAMS_MAX as u64 * QUIC_STREAM_WINDOW)
        .max_idle_timeout(Some(SILENCE_MAX.try_into().expect("the constant fits QUIC's range")))
        .keep_alive_interval(Some(HEARTBEAT_EVERY))
        .datagram_receive_buffer_size(Some(PING_ROOM))
        .datagram_send_buffer_size(PING_ROOM);
    config
}

fn varint(number: u64) -> VarInt {
    VarInt::from_u64(number).expect("every limit is far below 2^62")
}

fn alpn(connection: &quinn::Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

fn closed_by(error: ConnectionError) -> CloseReason {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            CloseReason::Remote(sanitize(&String::from_utf8_lossy(&close.reason)))
        }
        ConnectionError::LocallyClosed => CloseReason::Local("the endpoint was closed".to_owned()),
        ConnectionError::TimedOut => CloseReason::Silent,
        ConnectionError::TransportError(error) => CloseReason::Violation(error.to_string()),
        lost @ (ConnectionError::VersionMismatch
        | ConnectionError::ConnectionClosed(_)
        | ConnectionError::Reset
        | ConnectionError::CidsExhausted) => CloseReason::Lost(sanitize(&lost.to_string())),
    }
}

#[derive(Clone, Debug)]
pub(super) struct QuicConnection {
    quinn: quinn::Connection,
    /// The first cause, once there is one.
    reason: Arc<OnceLock<CloseReason>>,
}

impl QuicConnection {
    pub(super) fn open(&self, priority: Priority) -> Result<QuicStream, OpenError> {
        // A pending future means that the other end has granted no more.
        let opened = self.quinn.open_bi().now_or_never().ok_or(OpenError::TooManyStreams)?;
        let (send, recv) = opened.map_err(|error| self.because(error))?;
        if priority == Priority::Interactive {
            // Fails only where the stream is already cut; its user will see that.
            send.set_priority(INTERACTIVE).ok();
        }
        Ok(QuicStream::new(send, recv))
    }

    pub(super) async fn accept(&self) -> Result<QuicStream, CloseReason> {
        let (send, recv) = self.quinn.accept_bi().await.map_err(|error| self.because(error))?;
        Ok(QuicStream::new(send, recv))
    }

    /// Sends what has to be acknowledged and waits for the acknowledgement, so
    /// that a path that died a moment ago does not count as alive.
    pub(super) async fn ping(&self) -> Result<Duration, CloseReason> {
        let acknowledged = self.quinn.stats().frame_rx.acks;
        match self.quinn.send_datagram(Bytes::from_static(b"ping")) {
            Ok(()) => {}
            Err(SendDatagramError::ConnectionLost(error)) => return Err(self.because(error)),
            // A peer without datagrams is kept alive by the idle timeout alone.
            Err(SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled | SendDatagramError::TooLarge) => {
                return Ok(self.quinn.rtt());
            }
        }
        let (mut pause, longest) = PING_LOOKS;
        while self.quinn.stats().frame_rx.acks == acknowledged {
            if let Some(error) = self.quinn.close_reason() {
                return Err(self.because(error));
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(longest);
        }
        Ok(self.quinn.rtt())
    }

    pub(super) fn rtt(&self) -> Duration {
        self.quinn.rtt()
    }

    pub(super) fn close(&self, reason: &str) {
        let first = || match self.quinn.close_reason() {
            Some(error) => closed_by(error),
            None => CloseReason::Local(reason.to_owned()),
        };
        self.reason.get_or_init(first);
        self.quinn.close(CLOSED, reason.as_bytes());
    }

    pub(super) async fn closed(&self) -> CloseReason {
        let error = self.quinn.closed().await;
        self.because(error)
    }

    fn because(&self, error: ConnectionError) -> CloseReason {
        self.reason.get_or_init(|| closed_by(error)).clone()
    }
}

#[derive(Debug)]
pub(super) struct QuicStream {
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    read_ended: bool,
    write_ended: bool,
}

impl QuicStream {
    const fn new(send: quinn::SendStream, recv: quinn::RecvStream) -> Self {
        Self { send, recv, read_ended: false, write_ended: false }
    }

    pub(super) fn reset(mut self, code: ResetCode) {
        self.cut(code);
    }

    /// Cuts the directions that have not ended. What was finished still
    /// arrives. Both calls fail only where the stream is gone already.
    fn cut(&mut self, code: ResetCode) {
        let code = VarInt::from_u32(code.number().into());
        if !std::mem::replace(&mut self.write_ended, true) {
            self.send.reset(code).ok();
        }
        if !std::mem::replace(&mut self.read_ended, true) {
            self.recv.stop(code).ok();
        }
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        self.cut(ResetCode::Cancelled);
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(self.recv.poll_read_buf(cx, buf)).map_err(read_failed)?;
        if buf.filled().len() == before && buf.remaining() > 0 {
            self.read_ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.send).poll_write(cx, buf).map_err(write_failed)
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.write_ended, true) {
            // Fails only where the stream was cut, which the reader is told.
            self.send.finish().ok();
        }
        Poll::Ready(Ok(()))
    }
}

fn read_failed(error: ReadError) -> io::Error {
    match error {
        ReadError::Reset(code) => StreamReset(reset_code(code)).into(),
        ReadError::ConnectionLost(error) => session_ended(error),
        other @ (ReadError::ClosedStream | ReadError::IllegalOrderedRead | ReadError::ZeroRttRejected) => {
            io::Error::new(io::ErrorKind::NotConnected, other)
        }
    }
}

fn write_failed(error: WriteError) -> io::Error {
    match error {
        WriteError::Stopped(code) => StreamReset(reset_code(code)).into(),
        WriteError::ConnectionLost(error) => session_ended(error),
        other @ (WriteError::ClosedStream | WriteError::ZeroRttRejected) => {
            io::Error::new(io::ErrorKind::BrokenPipe, other)
        }
    }
}

fn session_ended(error: ConnectionError) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, closed_by(error))
}

fn reset_code(code: VarInt) -> ResetCode {
    u16::try_from(code.into_inner()).map_or(ResetCode::Internal, ResetCode::from_number)
}

#[cfg(test)]
mod tests;

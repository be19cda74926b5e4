//! One connection: what it speaks, then HTTP/1.1 on it until either side ends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tower::ServiceExt;

use windflow_protocol::tls::hub::is_agents;
use windflow_protocol::transport::websocket;

use super::{Doors, HANDSHAKE_DEADLINE, proxy_protocol, tuning};
use crate::http::{LastingTls, Peer, Scheme};

/// The head of a request must arrive within this. A kept connection may rest
/// as long between two requests.
const HEAD_DEADLINE: Duration = Duration::from_secs(60);
/// A head that is not complete after this is refused, in bytes. The last read
/// may bring some more.
const HEAD_MAX: usize = 32 * 1024;
/// Read and write buffer of a connection, in bytes.
const BUFFER_MAX: usize = 64 * 1024;
/// The first byte of every TLS connection: a handshake record (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves one TCP connection to its end.
pub async fn serve_tcp(mut stream: TcpStream, address: SocketAddr, doors: Doors) {
    tuning::tune(&stream);
    match tokio::time::timeout(HANDSHAKE_DEADLINE, begin(&mut stream, address, &doors)).await {
        Ok(Ok((TLS_HANDSHAKE, address))) => serve_tls(stream, address, doors).await,
        Ok(Ok((_, address))) => serve_http(stream, Peer::Tcp { address, scheme: Scheme::Http }, doors).await,
        // Nothing came: a port scan, a health probe or a link that went away.
        Ok(Err(_)) | Err(_) => {}
    }
}

/// The first byte of what a caller says, and the caller's address: where a
/// trusted proxy begins with it, as that one says.
async fn begin(stream: &mut TcpStream, address: SocketAddr, doors: &Doors) -> std::io::Result<(u8, SocketAddr)> {
    let first = peek(stream).await?;
    if first != proxy_protocol::FIRST || !doors.proxies.trust(address.ip()) {
        return Ok((first, address));
    }
    let caller = proxy_protocol::read(stream).await?;
    Ok((peek(stream).await?, caller.unwrap_or(address)))
}

async fn peek(stream: &TcpStream) -> std::io::Result<u8> {
    let mut first = [0];
    match stream.peek(&mut first).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(first[0]),
    }
}

/// Agents that speak the tunnel's own TLS go on at their door.
async fn serve_tls(stream: TcpStream, address: SocketAddr, doors: Doors) {
    let by = Instant::now() + HANDSHAKE_DEADLINE;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let Ok(begun) = in_time(by, address, hello).await else { return };
    if is_agents(&begun.client_hello()) {
        return doors.agents.take(begun, address.ip()).await;
    }
    let handshake = async {
        let _turn = match doors.proxies.trust(address.ip()) {
            true => doors.handshakes.take_any().await,
            false => doors.handshakes.take(address.ip()).await,
        };
        begun.into_stream(doors.tls.clone()).await
    };
    let Ok(stream) = in_time(by, address, handshake).await else { return };
    serve_http(stream, Peer::Tcp { address, scheme: Scheme::Https }, doors).await;
}

/// Why a handshake came to nothing is on record.
struct NoHandshake;

async fn in_time<T>(
    by: Instant,
    address: SocketAddr,
    step: impl Future<Output = std::io::Result<T>>,
) -> Result<T, NoHandshake> {
    match tokio::time::timeout_at(by, step).await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
    Err(NoHandshake)
}

/// Serves HTTP/1.1 on `stream`. When the hub is asked to finish, the request
/// that runs is answered and the connection closed.
pub async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, doors: Doors) {
    let router = doors.router.clone();
    let (proxies, self_signed) = (doors.proxies.clone(), doors.certificate.is_self_signed());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let caller = proxies.caller(peer, request.headers_mut());
        // Where a proxy ended TLS, the certificate was the proxy's.
        if caller.scheme() == Scheme::Https && (!self_signed || caller != peer) {
            request.extensions_mut().insert(LastingTls);
        }
        answer(router.clone(), caller, request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_DEADLINE)
        .max_header_size(HEAD_MAX)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = doors.lifecycle.soft.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                () = doors.lifecycle.hard.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(?peer, %error, "connection ended early");
    }
}

async fn answer(
    router: axum::Router,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    if request.method() == Method::CONNECT {
        // The hub is nobody's proxy, and a CONNECT has no path that a route could have.
        return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    if let Some(redirect) = redirect_to_tls(&request, peer) {
        return Ok(redirect);
    }
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}

/// Plain HTTP is served to this machine alone; others are sent to TLS on the
/// same port.
fn redirect_to_tls<B>(request: &Request<B>, peer: Peer) -> Option<Response<Body>> {
    let plain = matches!(peer, Peer::Tcp { scheme: Scheme::Http, .. });
    if !plain || peer.is_loopback() || request.uri().path() == websocket::PATH {
        return None;
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let target = host.and_then(|host| HeaderValue::from_str(&format!("https://{host}{path}")).ok());
    let Some(target) = target else {
        return Some(StatusCode::BAD_REQUEST.into_response());
    };
    Some(
        (
            StatusCode::PERMANENT_REDIRECT,
            [
                (header::LOCATION, target),
                (header::CONNECTION, HeaderValue::from_static("close")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ],
        )
            .into_response(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> Request<()> {
        Request::get(path).header("host", "hub.example:8443").body(()).unwrap()
    }

    fn peer(address: &str, scheme: Scheme) -> Peer {
        Peer::Tcp { address: address.parse().unwrap(), scheme }
    }

    #[test]
    fn plain_http_from_elsewhere_is_sent_to_tls() {
        let answer = redirect_to_tls(&request("/a?b=c"), peer("192.0.2.1:9", Scheme::Http)).unwrap();
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(answer.headers()["location"], "https://hub.example:8443/a?b=c");
    }

    #[test]
    fn tls_this_machine_and_the_tunnel_are_served() {
        assert!(redirect_to_tls(&request("/"), peer("192.0.2.1:9", Scheme::Https)).is_none());
        assert!(redirect_to_tls(&request("/"), peer("127.0.0.1:9", Scheme::Http)).is_none());
        assert!(redirect_to_tls(&request("/"), peer("[::ffff:127.0.0.1]:9", Scheme::Http)).is_none());
        assert!(redirect_to_tls(&request(websocket::PATH), peer("192.0.2.1:9", Scheme::Http)).is_none());
    }
}

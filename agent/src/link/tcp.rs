//! TCP to a host: every address it has, one shortly after the other, and the
//! socket options of a tunnel.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::LinkError;
use super::names::Names;

/// The next address is tried this long after the one before (RFC 8305 §5).
const NEXT_ADDRESS_AFTER: Duration = Duration::from_millis(250);
/// Unacknowledged bytes end the connection after this.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
/// An idle connection is probed after this, and then this often.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));
/// Unsent bytes the kernel takes before the tunnel waits: what is in there
/// cannot be overtaken by a terminal any more.
const NOT_SENT_LOW: u32 = 128 * 1024;

/// Connects to the first address that answers.
///
/// # Errors
/// [`LinkError::Dns`] or [`LinkError::Tcp`].
pub(super) async fn connect(names: &Names, host: &str, port: u16) -> Result<TcpStream, LinkError> {
    let addresses = names.resolve(host, port).await?;
    let failed = |source| LinkError::Tcp { target: super::url::authority(host, port), source };
    let stream = first_of(&addresses).await.map_err(failed)?;
    tune(&stream);
    Ok(stream)
}

async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = addresses.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        let more = waiting.next().map(|address| attempts.push(TcpStream::connect(*address))).is_some();
        let pause =
            async { if more { tokio::time::sleep(NEXT_ADDRESS_AFTER).await } else { std::future::pending().await } };
        tokio::select! {
            attempt = attempts.next() => match attempt {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => last = error,
                None => return Err(last),
            },
            () = pause => {}
        }
    }
}

/// Sets what the kernel offers; a kernel that lacks an option still carries
/// the tunnel.
fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let (idle, interval) = KEEPALIVE;
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(3);
    let options = [
        ("TCP_NODELAY", socket.set_tcp_nodelay(true)),
        ("SO_KEEPALIVE", socket.set_tcp_keepalive(&keepalive)),
        ("TCP_USER_TIMEOUT", socket.set_tcp_user_timeout(Some(USER_TIMEOUT))),
        ("TCP_NOTSENT_LOWAT", socket.set_tcp_notsent_lowat(NOT_SENT_LOW)),
        // Carries a session over a lossy path; few kernels have it loaded.
        ("TCP_CONGESTION", socket.set_tcp_congestion(b"bbr")),
    ];
    for (option, set) in options {
        if let Err(error) = set {
            tracing::trace!(option, %error, "socket option refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_dead_address_does_not_hide_a_live_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let stream = first_of(&[closed, live]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        assert!(first_of(&[closed]).await.is_err());
    }
}

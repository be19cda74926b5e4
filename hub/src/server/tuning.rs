//! Socket options. All are wishes: a system that refuses one still serves.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Unsent bytes in the kernel above which a socket is not writable, so that
/// what is urgent does not queue behind what is not.
const NOTSENT_LOWAT: u32 = 128 * 1024;
/// A silent peer is probed after this and then this often.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// Unacknowledged data fails the connection after this.
const USER_TIMEOUT: Duration = Duration::from_secs(30);

/// Binds `address` for listening.
pub fn listen(address: SocketAddr, backlog: i32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    TcpListener::from_std(socket.into())
}

/// Prepares an accepted connection for small messages beside bulk.
pub fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    let wishes = [
        socket.set_tcp_nodelay(true),
        socket.set_tcp_notsent_lowat(NOTSENT_LOWAT),
        socket.set_tcp_keepalive(&keepalive),
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT)),
        socket.set_tcp_congestion(b"bbr"),
    ];
    for error in wishes.into_iter().filter_map(Result::err) {
        tracing::trace!(%error, "a socket option was refused");
    }
}

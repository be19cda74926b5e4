//! The Unix socket in the data directory, for the command line on this machine.

use tokio::net::UnixStream;

use super::{Doors, connection, socket};
use crate::http::Peer;

/// Serves one connection, if it is root's or the hub's own user's.
pub async fn serve(stream: UnixStream, doors: Doors) {
    if let Some(uid) = socket::trusted_peer(&stream) {
        connection::serve_http(stream, Peer::Local { uid }, doors).await;
    }
}

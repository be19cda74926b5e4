//! The Unix socket in the data directory, for the command line on this machine.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;

use anyhow::{Context, bail};
use tokio::net::{UnixListener, UnixStream};

use super::{Doors, connection};
use crate::http::Peer;

/// Binds the socket, for its owner alone. A socket that a killed hub left
/// behind is replaced; one that a living hub answers on is not.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    match StdUnixStream::connect(path) {
        Ok(_) => bail!("Another hub answers on {}", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(_) => std::fs::remove_file(path).with_context(|| format!("Failed to remove the old {}", path.display()))?,
    }
    let listener = UnixListener::bind(path).with_context(|| format!("Failed to bind {}", path.display()))?;
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))
        .with_context(|| format!("Failed to close {} to others", path.display()))?;
    Ok(listener)
}

/// Serves one connection, if it is root's or the hub's own user's.
pub async fn serve(stream: UnixStream, doors: Doors) {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == own => {
            connection::serve_http(stream, Peer::Local { uid: peer.uid() }, doors).await;
        }
        Ok(peer) => tracing::warn!(uid = peer.uid(), "refused a user on the local socket"),
        Err(error) => tracing::warn!(%error, "the peer on the local socket is unknown"),
    }
}

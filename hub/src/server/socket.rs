//! Unix sockets for one user of this machine: nobody else can open them, and
//! nobody else is served on them.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;

use anyhow::{Context, bail};
use tokio::net::{UnixListener, UnixStream};

/// Binds a socket at `path`, for its owner alone. A socket that a killed
/// program left behind is replaced; one that a living program answers on is
/// not, and neither is anything that is no socket.
///
/// # Errors
/// When the path is taken or cannot be bound.
pub fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    remove_abandoned(path)?;
    let listener = UnixListener::bind(path).with_context(|| format!("Failed to bind {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))
        .with_context(|| format!("Failed to close {} to others", path.display()))?;
    Ok(listener)
}

fn remove_abandoned(path: &Path) -> anyhow::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        bail!("{} is there already and is no socket", path.display());
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).with_context(|| format!("Failed to remove the old {}", path.display()))
        }
        Ok(_) | Err(_) => bail!("Another program answers on {}", path.display()),
    }
}

/// The user at the other end, if it is root or the user that this process runs
/// as. Anybody else is to be hung up on.
pub fn trusted_peer(stream: &UnixStream) -> Option<u32> {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == 0 || peer.uid() == own => Some(peer.uid()),
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "refused a user on a local socket");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the peer on a local socket is unknown");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test]
    async fn a_socket_belongs_to_its_owner_alone_and_to_one_program_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.sock");
        let first = listen(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(listen(&path).unwrap_err().to_string().starts_with("Another program answers"));
        drop(first);
        assert!(listen(&path).is_ok());
    }

    #[tokio::test]
    async fn a_file_in_the_way_of_a_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        std::fs::write(&path, "keep me").unwrap();
        assert!(listen(&path).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "keep me");
    }
}

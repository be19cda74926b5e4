//! What the service manager is told: one datagram for each word, as systemd
//! reads them. Where no socket is named, nobody is told anything.

use std::convert::Infallible;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Tells the service manager how the agent does.
#[derive(Debug, Default)]
pub struct Notifier {
    manager: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From the values of `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub fn new(socket: Option<&str>, watchdog_usec: Option<&str>) -> Self {
        let manager = socket.filter(|socket| !socket.is_empty()).and_then(|socket| {
            reach(socket)
                .inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told anything"))
                .ok()
        });
        let watchdog = watchdog_usec.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        Self { manager, watchdog: watchdog.map(Duration::from_micros) }
    }

    /// The agent runs. Whether its hub answers is another matter.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The agent was told to stop.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Shows signs of life, twice as often as they are looked for. Runs in the
    /// agent's own task, so that they end when that stands still.
    pub async fn keep_alive(&self) -> Infallible {
        let Some(patience) = self.watchdog else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(patience / 2).await;
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, word: &str) {
        if let Some((socket, address)) = &self.manager
            && let Err(error) = socket.send_to_addr(word.as_bytes(), address)
        {
            tracing::debug!(%error, word, "the service manager did not listen");
        }
    }
}

/// A path, or `@` and a name that is in no folder.
fn reach(address: &str) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let to = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold the agent up.
    socket.set_nonblocking(true)?;
    Ok((socket, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        let mut word = [0; 64];
        manager.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let length = manager.recv(&mut word).unwrap();
        String::from_utf8(word[..length].to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_manager_hears_of_the_start_the_life_and_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str(), Some("60000000"));
        notifier.ready();
        assert_eq!(heard(&manager), "READY=1");
        let lived = tokio::time::timeout(Duration::from_secs(31), notifier.keep_alive()).await;
        assert!(lived.is_err());
        assert_eq!(heard(&manager), "WATCHDOG=1");
        notifier.stopping();
        assert_eq!(heard(&manager), "STOPPING=1");
    }

    #[test]
    fn a_name_without_a_folder_is_reached_too() {
        let name = format!("windflow-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::new(Some(&format!("@{name}")), None).ready();
        assert_eq!(heard(&manager), "READY=1");
    }

    #[test]
    fn without_a_manager_nothing_is_said_and_nothing_fails() {
        for socket in [None, Some(""), Some("/nowhere/at/all")] {
            Notifier::new(socket, Some("x")).ready();
        }
    }
}

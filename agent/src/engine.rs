//! The Docker engine that an agent stands for: where it is, how to reach it,
//! and how it is doing. Everything that talks to the engine connects here.

mod address;
mod again;
mod connect;
mod events;
mod inquiry;
mod inventory;
mod meter;
mod probe;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use windflow_protocol::message::control::EngineStatus;

pub use address::{AddressError, EngineAddress, EngineTls, TlsError};
pub use connect::EngineStream;
pub use events::{Events, Missed};
pub use inventory::{Inventory, Told};
pub use meter::{Meter, Watcher};
use probe::Found;

/// An engine must accept a connection, TLS included, within this.
pub const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// An engine must answer a ping within this, or it counts as unresponsive.
pub const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// A running engine is asked this often.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);
/// An engine that did not answer is asked again after this.
pub const PROBE_AGAIN: Duration = Duration::from_secs(1);

/// What is said of an engine that takes orders from whoever comes.
pub const EXPOSED_ADVICE: &str = "whoever reaches the engine over the network owns this host: \
    take its TCP address away, or have it ask for client certificates";

/// One engine, shared by everything that uses it.
#[derive(Debug)]
pub struct Engine {
    address: EngineAddress,
    status: watch::Sender<EngineStatus>,
    exposed: watch::Sender<Vec<String>>,
    /// A connection was refused: worth a look before the next regular probe.
    suspected: Notify,
    events: Events,
    inventory: Inventory,
    meter: Meter,
}

impl Engine {
    /// The engine at `address`, not asked yet.
    pub fn new(address: EngineAddress) -> Self {
        Self::measured(address, None)
    }

    /// The same, and what is measured of it while no hub takes it is kept in
    /// this folder.
    pub fn keeping_measurements(address: EngineAddress, folder: PathBuf) -> Self {
        Self::measured(address, Some(folder))
    }

    fn measured(address: EngineAddress, folder: Option<PathBuf>) -> Self {
        let (status, exposed) = (watch::Sender::new(EngineStatus::Unknown), watch::Sender::default());
        let (suspected, events) = (Notify::new(), Events::new());
        let (inventory, meter) = (Inventory::new(), Meter::new(folder));
        Self { address, status, exposed, suspected, events, inventory, meter }
    }

    /// Connects within [`CONNECT_DEADLINE`].
    ///
    /// # Errors
    /// Why nothing could be reached at the engine's address.
    pub async fn connect(&self) -> io::Result<EngineStream> {
        let attempt = tokio::time::timeout(CONNECT_DEADLINE, connect::connect(&self.address));
        let connected = attempt.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        if connected.is_err() {
            self.suspected.notify_one();
        }
        connected
    }

    /// How the engine was when it was last asked.
    pub fn status(&self) -> EngineStatus {
        self.status.borrow().clone()
    }

    /// Follows the status; wakes when it changes, not each time it is asked.
    pub fn subscribe(&self) -> watch::Receiver<EngineStatus> {
        self.status.subscribe()
    }

    /// Follows where the engine takes orders over the network from whoever comes,
    /// by its own words; wakes when that changes.
    pub fn exposed(&self) -> watch::Receiver<Vec<String>> {
        self.exposed.subscribe()
    }

    /// What happens on the engine.
    pub const fn events(&self) -> &Events {
        &self.events
    }

    /// What the engine has.
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// What host and containers use.
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Asks the engine again and again until `stop`: every [`PROBE_EVERY`]
    /// while it runs, every [`PROBE_AGAIN`] while it does not. Without this
    /// task the status stays unknown.
    pub async fn watch(&self, stop: CancellationToken) {
        // The loops have no end of their own.
        let events = self.events.keep(&self.address, self.subscribe());
        let inventory = self.inventory.keep(&self.address, self.subscribe(), &self.events);
        let meter = self.meter.keep(&self.address, &self.inventory);
        let watching = async { tokio::join!(self.watch_forever(), events, inventory, meter) };
        stop.run_until_cancelled(watching).await;
        self.meter.flush().await;
    }

    /// Asks the engine now.
    pub async fn ask(&self) -> EngineStatus {
        self.look(&self.status()).await
    }

    async fn look(&self, before: &EngineStatus) -> EngineStatus {
        let Found { status, exposed } = probe::probe(&self.address, before).await;
        if let Some(exposed) = exposed {
            self.note_exposed(exposed);
        }
        self.settle(status.clone());
        status
    }

    async fn watch_forever(&self) {
        let mut before = self.status();
        loop {
            let found = self.look(&before).await;
            let wait = if matches!(found, EngineStatus::Running(_)) { PROBE_EVERY } else { PROBE_AGAIN };
            let mut is_doubted = false;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.suspected.notified() => tokio::time::sleep(PROBE_AGAIN.min(wait) / 4).await,
                () = self.events.break_off() => is_doubted = true,
            }
            before = if is_doubted { in_doubt(found) } else { found };
        }
    }

    fn note_exposed(&self, found: Vec<String>) {
        let addresses = found.join(", ");
        let changed = self.exposed.send_if_modified(|exposed| std::mem::replace(exposed, found) != *exposed);
        if changed && !addresses.is_empty() {
            tracing::warn!(engine.address = %self.address, exposed = %addresses, "{EXPOSED_ADVICE}");
        }
    }

    fn settle(&self, found: EngineStatus) {
        let changed = self.status.send_if_modified(|status| {
            let changed = *status != found;
            *status = found.clone();
            changed
        });
        if changed {
            tracing::info!(engine.address = %self.address, engine.status = %describe(&found), "engine status changed");
        }
    }
}

/// What is still known of an engine that may have been started anew, as another
/// maybe. To ask Podman is dear, and it says nothing that this would change; it is
/// known by having no id.
fn in_doubt(status: EngineStatus) -> EngineStatus {
    match status {
        EngineStatus::Running(facts) if !facts.id.is_empty() => EngineStatus::Unknown,
        known => known,
    }
}

/// A status in a few words, for logs and `status`.
pub fn describe(status: &EngineStatus) -> String {
    match status {
        EngineStatus::Unknown => "unknown".to_owned(),
        EngineStatus::Absent => "absent".to_owned(),
        EngineStatus::Unresponsive => "unresponsive".to_owned(),
        EngineStatus::Running(facts) => format!("running {}", facts.version),
    }
}

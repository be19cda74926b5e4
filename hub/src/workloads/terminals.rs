//! Terminals: a shell or another program in a container, or its main process,
//! with somebody's browser at it. A terminal lives in the hub, so that a page
//! that is loaded again, or a connection that is lost, does not end it.

mod channel;
mod engine;
mod frames;
mod model;
mod routes;
mod running;
mod screen;
mod service;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::task::TaskTracker;

pub use self::model::{NewTerminal, Terminal, TerminalId};
pub(super) use self::routes::routes;
use self::running::Running;
use crate::http::UserId;
use crate::http::websocket::Places;

/// Most terminals at once. Each holds at most its scrollback and the input
/// that waits, 320 KiB together.
const TERMINALS_MAX: usize = 256;
/// Most terminals of one user.
const TERMINALS_OF_USER_MAX: usize = 16;

/// All terminals of the hub.
#[derive(Debug)]
pub struct Terminals {
    places: Places<Option<UserId>>,
    held: Mutex<HashMap<TerminalId, Arc<Running>>>,
    /// What carries them, from before one is opened.
    tasks: TaskTracker,
}

impl Default for Terminals {
    fn default() -> Self {
        Self {
            places: Places::new(TERMINALS_MAX, TERMINALS_OF_USER_MAX),
            held: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }
}

impl Terminals {
    /// Waits until none is left. Each ends by itself once the hub is asked to
    /// finish, when no more are opened.
    pub async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A terminal of this user; nobody else's is found.
    fn find(&self, id: TerminalId, owner: Option<UserId>) -> Option<Arc<Running>> {
        self.held().get(&id).filter(|terminal| terminal.owner == owner).cloned()
    }

    /// This user's terminals, the oldest first.
    fn of(&self, owner: Option<UserId>) -> Vec<Arc<Running>> {
        let mut own: Vec<_> = self.held().values().filter(|terminal| terminal.owner == owner).cloned().collect();
        own.sort_by_key(|terminal| terminal.id);
        own
    }

    fn hold(&self, terminal: &Arc<Running>) {
        self.held().insert(terminal.id, Arc::clone(terminal));
    }

    fn forget(&self, id: TerminalId) {
        self.held().remove(&id);
    }

    fn held(&self) -> MutexGuard<'_, HashMap<TerminalId, Arc<Running>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

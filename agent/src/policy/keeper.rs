//! Holds the policy that counts, and reads it again when told to.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use super::{Policy, Rails};

/// The policy of a host over time.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    rails: Rails,
    current: watch::Sender<Option<Arc<Policy>>>,
}

impl Keeper {
    /// Reads the file at `path` for the first time.
    pub fn new(path: PathBuf, rails: Rails) -> Self {
        let current = watch::Sender::new(Policy::load(&path, &rails).map(Arc::new));
        let keeper = Self { path, rails, current };
        keeper.announce();
        keeper
    }

    /// Reads the file again. Whoever follows hears of it where it says something
    /// else.
    pub fn reload(&self) {
        let read = Policy::load(&self.path, &self.rails).map(Arc::new);
        let changed = self.current.send_if_modified(|current| {
            let is_other = told(current.as_deref()) != told(read.as_deref());
            *current = read.clone();
            is_other
        });
        tracing::info!(changed, "the policy was read again");
        self.announce();
    }

    /// Follows the policy; `None` where there is no file.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<Policy>>> {
        self.current.subscribe()
    }

    /// The policy that counts now.
    pub fn current(&self) -> Option<Arc<Policy>> {
        self.current.borrow().clone()
    }

    fn announce(&self) {
        match self.current().as_deref() {
            Some(policy) => tracing::info!(policy.profile = %policy.profile(), "the host has a policy"),
            None => tracing::info!("the host has no policy: the hub may do everything"),
        }
    }
}

/// By what one policy is told from another: the same file may hold on a host
/// that has changed, so a policy that was invalid is another one.
fn told(policy: Option<&Policy>) -> Option<(Option<[u8; 32]>, Option<&str>)> {
    policy.map(|policy| (policy.digest(), policy.invalidity()))
}

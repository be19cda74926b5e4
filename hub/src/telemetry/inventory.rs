//! What every engine has, as its agent tells it: held in memory, kept in the
//! database for the time after a restart, and shown also while the host is
//! away. Lists are answered from here; no engine is asked for one.

mod follower;
mod keeper;
mod store;
#[cfg(test)]
mod tests;
mod things;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::report::ObjectId;

use crate::fleet::environments::Told;

pub use self::keeper::keep;
pub use self::things::{Heard, Things, has_label, label_of};

/// The inventories of all environments. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Inventories {
    places: Arc<RwLock<HashMap<EnvironmentId, Arc<Place>>>>,
    /// Where it is noted how many containers there are.
    told: Told,
}

/// What is known of one environment's engine; nothing until its agent has told
/// once.
#[derive(Debug, Default)]
struct Place {
    heard: watch::Sender<Option<Arc<Heard>>>,
}

impl Inventories {
    /// Nothing is known yet. How many containers there are is noted in
    /// `told`.
    pub fn new(told: Told) -> Self {
        Self { places: Arc::default(), told }
    }

    /// What is known of an engine now.
    pub fn of(&self, environment: EnvironmentId) -> Option<Arc<Heard>> {
        self.place(environment).and_then(|place| place.heard.borrow().clone())
    }

    /// What is known of all engines now.
    pub fn all(&self) -> Vec<(EnvironmentId, Arc<Heard>)> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.iter().filter_map(|(id, place)| Some((*id, place.heard.borrow().clone()?))).collect()
    }

    /// What is known of one engine, or of all, now.
    pub fn of_one_or_all(&self, environment: Option<EnvironmentId>) -> Vec<(EnvironmentId, Arc<Heard>)> {
        match environment {
            Some(environment) => self.of(environment).map(|heard| (environment, heard)).into_iter().collect(),
            None => self.all(),
        }
    }

    /// What the container with this full id is called, where that is known.
    pub fn name_of(&self, environment: EnvironmentId, container: &str) -> Option<String> {
        let heard = self.of(environment)?;
        heard.things.containers.get(&ObjectId::parse(container)?).map(|known| known.name.clone())
    }

    /// Follows what is known of an engine.
    pub fn follow(&self, environment: EnvironmentId) -> watch::Receiver<Option<Arc<Heard>>> {
        self.place_or_new(environment).heard.subscribe()
    }

    /// Whether what was known before was stale.
    fn put(&self, environment: EnvironmentId, heard: Heard) -> bool {
        self.told.put_states(environment, heard.things.states());
        let before = self.place_or_new(environment).heard.send_replace(Some(Arc::new(heard)));
        before.is_none_or(|before| before.is_stale)
    }

    /// What is known is shown as what it was.
    fn put_stale(&self, environment: EnvironmentId) {
        self.place_or_new(environment).heard.send_if_modified(|heard| match heard {
            Some(heard) => !std::mem::replace(&mut Arc::make_mut(heard).is_stale, true),
            None => false,
        });
    }

    fn forget(&self, environment: EnvironmentId) {
        self.told.forget(environment);
        self.places.write().unwrap_or_else(PoisonError::into_inner).remove(&environment);
    }

    fn place(&self, environment: EnvironmentId) -> Option<Arc<Place>> {
        self.places.read().unwrap_or_else(PoisonError::into_inner).get(&environment).cloned()
    }

    fn place_or_new(&self, environment: EnvironmentId) -> Arc<Place> {
        if let Some(place) = self.place(environment) {
            return place;
        }
        let mut places = self.places.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(environment).or_default())
    }
}

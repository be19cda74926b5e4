//! How many may look on at once, so that nobody takes the room of all.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The places of all who look on, each taken in the name of a `K`: a user, or
/// an environment. Clones share them.
#[derive(Clone, Debug)]
pub struct Places<K> {
    taken: Arc<Mutex<HashMap<K, usize>>>,
    /// Most places at once.
    all_max: usize,
    /// Most of one `K`.
    own_max: usize,
}

/// A place, given back when it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    places: Places<K>,
    key: K,
}

impl<K: Copy + Eq + Hash> Places<K> {
    /// At most `all_max` places, and at most `own_max` in the same name.
    pub fn new(all_max: usize, own_max: usize) -> Self {
        Self { taken: Arc::default(), all_max, own_max }
    }

    /// A place in the name of `key`; `None` when there is no room.
    pub fn take(&self, key: K) -> Option<Place<K>> {
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let own = taken.get(&key).copied().unwrap_or_default();
        if all >= self.all_max || own >= self.own_max {
            return None;
        }
        taken.insert(key, own + 1);
        Some(Place { places: self.clone(), key })
    }
}

impl<K> Places<K> {
    fn taken(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::UserId;

    const OF_USER_MAX: usize = 3;

    #[test]
    fn one_user_never_takes_the_places_of_all() {
        let places = Places::new(100, OF_USER_MAX);
        let (ada, bob) = (Some(UserId::generate()), Some(UserId::generate()));
        let held: Vec<_> = std::iter::from_fn(|| places.take(ada)).take(OF_USER_MAX + 1).collect();
        assert_eq!(held.len(), OF_USER_MAX);
        assert!(places.take(bob).is_some());
        assert!(Places::new(0, 1).take(bob).is_none());
        drop(held);
        assert!(places.take(ada).is_some());
        assert!(places.taken().is_empty(), "a place that nobody holds is forgotten");
    }
}

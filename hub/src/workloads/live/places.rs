//! How many may look on at once, so that no user takes the room of all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::UserId;

/// Most viewers at once.
const ALL_MAX: usize = 2048;
/// Most of one user: windows, and programs with the user's tokens.
const OF_USER_MAX: usize = 64;

/// The places of all viewers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<HashMap<Option<UserId>, usize>>>);

/// A viewer's place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    user: Option<UserId>,
}

impl Places {
    /// A place for this user, or for the operator on this machine; `None` when
    /// there is no room.
    pub fn take(&self, user: Option<UserId>) -> Option<Place> {
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let own = taken.entry(user).or_default();
        if all >= ALL_MAX || *own >= OF_USER_MAX {
            return None;
        }
        *own += 1;
        Some(Place { places: self.clone(), user })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Option<UserId>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_user_never_takes_the_places_of_all() {
        let places = Places::default();
        let (ada, bob) = (Some(UserId::generate()), Some(UserId::generate()));
        let held: Vec<_> = std::iter::from_fn(|| places.take(ada)).take(OF_USER_MAX + 1).collect();
        assert_eq!(held.len(), OF_USER_MAX);
        assert!(places.take(bob).is_some());
        drop(held);
        assert!(places.take(ada).is_some());
        assert!(places.taken().is_empty(), "a place that nobody holds is forgotten");
    }
}

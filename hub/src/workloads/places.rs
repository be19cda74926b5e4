//! How many of a kind there may be at once, so that no user takes the room of
//! all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::UserId;

/// The places of all. Clones share them.
#[derive(Clone, Debug)]
pub struct Places {
    taken: Arc<Mutex<HashMap<Option<UserId>, usize>>>,
    all_max: usize,
    of_user_max: usize,
}

/// One place, given back when it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    user: Option<UserId>,
}

impl Places {
    /// This many places, of which one user may take so many.
    pub fn new(all_max: usize, of_user_max: usize) -> Self {
        Self { taken: Arc::default(), all_max, of_user_max }
    }

    /// A place for this user, or for the operator on this machine; `None` when
    /// there is no room.
    pub fn take(&self, user: Option<UserId>) -> Option<Place> {
        let mut taken = self.taken();
        let all: usize = taken.values().sum();
        let own = taken.entry(user).or_default();
        if all >= self.all_max || *own >= self.of_user_max {
            return None;
        }
        *own += 1;
        Some(Place { places: self.clone(), user })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Option<UserId>, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
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
        let places = Places::new(9, 4);
        let (ada, bob) = (Some(UserId::generate()), Some(UserId::generate()));
        let held: Vec<_> = std::iter::from_fn(|| places.take(ada)).take(5).collect();
        assert_eq!(held.len(), 4);
        assert!(places.take(bob).is_some());
        drop(held);
        assert!(places.take(ada).is_some());
        assert!(places.taken().is_empty(), "a place that nobody holds is forgotten");
    }
}

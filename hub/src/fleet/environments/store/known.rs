//! The rows of all environments, as they were read last. Whoever lists
//! thousands of them again and again does not read them again each time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::EnvironmentRow;
use crate::clock::Timestamp;
use crate::db::{Db, DbError};

/// How long rows count as they were read, where this hub did not change any:
/// the database may be changed by another hand.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Every environment, by name.
pub type Rows = Arc<[EnvironmentRow]>;

/// Holds the rows.
#[derive(Debug, Default)]
pub struct Known(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    rows: Rows,
    /// The fleet's revision before they were read.
    revision: u64,
    at: Timestamp,
}

impl Known {
    /// Every environment: those that are held, or where one was changed since,
    /// those that the database has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rows(&self, db: &Db, now: Timestamp) -> Result<Rows, DbError> {
        let revision = db.fleet_revision().get();
        if let Some(rows) = self.find(revision, now) {
            return Ok(rows);
        }
        let rows: Rows = super::list(&mut db.read().await?).await?.into();
        let held = Held { rows: Arc::clone(&rows), revision, at: now };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(rows)
    }

    fn find(&self, revision: u64, now: Timestamp) -> Option<Rows> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back makes nothing recent.
        let is_good = |held: &&Held| held.revision == revision && now >= held.at && now.since(held.at) < GOOD_FOR;
        held.as_ref().filter(is_good).map(|held| Arc::clone(&held.rows))
    }
}

#[cfg(test)]
mod tests {
    use windflow_protocol::ids::EnvironmentId;

    use super::*;
    use crate::db::testing::on_both_engines;
    use crate::fleet::environments::store;
    use crate::fleet::environments::{EngineTarget, EnvironmentKind, EnvironmentName, Labels, NewEnvironment};
    use crate::vault::Vault;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis * 1000).unwrap()
    }

    async fn add(db: &Db, name: &str) -> EnvironmentId {
        let new = NewEnvironment {
            id: EnvironmentId::generate(),
            name: EnvironmentName::from_hostname(name),
            kind: EnvironmentKind::Edge,
            target: EngineTarget::Local,
            insecure: false,
            labels: Labels::default(),
            created_at: at(0),
        };
        let mut tx = db.write().await.unwrap();
        store::insert(&mut tx, &Vault::for_tests(), &new).await.unwrap();
        tx.commit().await.unwrap();
        new.id
    }

    on_both_engines! {
        async fn what_is_held_is_given_until_something_changes_or_it_is_old(db) {
            let known = Known::default();
            add(&db, "one").await;
            let first = known.rows(&db, at(5000)).await.unwrap();
            assert!(Arc::ptr_eq(&first, &known.rows(&db, at(5999)).await.unwrap()));
            assert!(!Arc::ptr_eq(&first, &known.rows(&db, at(6000)).await.unwrap()), "it is old");
            let held = known.rows(&db, at(6000)).await.unwrap();
            assert!(!Arc::ptr_eq(&held, &known.rows(&db, at(5000)).await.unwrap()), "the clock was set back");

            let two = add(&db, "two").await;
            assert_eq!(known.rows(&db, at(5000)).await.unwrap().len(), 2);
            let mut undone = db.write().await.unwrap();
            store::rename(&mut undone, two, &EnvironmentName::from_hostname("three")).await.unwrap();
            drop(undone);
            let held = known.rows(&db, at(5000)).await.unwrap();
            assert_eq!(held[1].name, "two");
            assert!(Arc::ptr_eq(&held, &known.rows(&db, at(5000)).await.unwrap()), "what is undone changes nothing");
        }
    }
}

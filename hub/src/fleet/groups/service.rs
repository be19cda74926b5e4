//! What an administrator does with groups.

use super::model::{Group, GroupId};
use super::store;
use crate::db::DbError;
use crate::fleet::Fleet;
use crate::http::Title;
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::tunnel::News;

/// Most groups of a hub.
const GROUPS_MAX: i64 = 1_000;

/// Why nothing was done with a group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is no such group.
    #[error("there is no such group")]
    Unknown,
    /// The name belongs to another.
    #[error("a group of this name exists already: choose another name")]
    NameTaken,
    /// There are as many as there may be.
    #[error("a hub has at most {GROUPS_MAX} groups: remove one first")]
    TooMany,
    /// The database failed.
    #[error(transparent)]
    Db(DbError),
}

impl From<DbError> for GroupError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Duplicate(_) => Self::NameTaken,
            error => Self::Db(error),
        }
    }
}

impl Fleet {
    /// Every group, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_groups(&self) -> Result<Vec<Group>, DbError> {
        store::list(&mut self.base.db.read().await?).await
    }

    /// One group.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_group(&self, id: GroupId) -> Result<Option<Group>, DbError> {
        store::find(&mut self.base.db.read().await?, id).await
    }

    /// Makes a group without environments.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn create_group(&self, name: &Title, by: &Actor) -> Result<GroupId, GroupError> {
        let (id, now) = (GroupId::generate(), self.base.clock.now());
        let mut tx = self.base.db.write().await?;
        if store::count(&mut tx).await? >= GROUPS_MAX {
            return Err(GroupError::TooMany);
        }
        store::insert(&mut tx, id, name, now).await?;
        let entry = Entry::new(by, Action::GroupCreate, &id.to_string()).called(Some(name.as_str()));
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        self.tell(News::Groups);
        Ok(id)
    }

    /// Gives a group another name.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn rename_group(&self, id: GroupId, name: &Title, by: &Actor) -> Result<(), GroupError> {
        let mut tx = self.base.db.write().await?;
        if !store::rename(&mut tx, id, name).await? {
            return Err(GroupError::Unknown);
        }
        let entry = Entry::new(by, Action::GroupRename, &id.to_string()).called(Some(name.as_str()));
        audit::record(&mut tx, entry, self.base.clock.now()).await?;
        tx.commit().await?;
        self.tell(News::Groups);
        Ok(())
    }

    /// Removes a group. Its environments stay, in no group.
    ///
    /// # Errors
    /// [`GroupError`].
    pub async fn delete_group(&self, id: GroupId, by: &Actor) -> Result<(), GroupError> {
        let mut tx = self.base.db.write().await?;
        let name = store::delete(&mut tx, id).await?.ok_or(GroupError::Unknown)?;
        let entry = Entry::new(by, Action::GroupDelete, &id.to_string()).called(Some(&name));
        audit::record(&mut tx, entry, self.base.clock.now()).await?;
        tx.commit().await?;
        self.tell(News::Groups);
        Ok(())
    }
}

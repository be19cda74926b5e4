//! What an administrator does with agents.

use windflow_protocol::ids::AgentId;
use windflow_protocol::message::control::ToAgent;

use super::model::{Agent, AgentRow, AgentState};
use super::store;
use crate::db::DbError;
use crate::fleet::Fleet;
use crate::fleet::enrollment::{self, MintError, MintedToken, NewEnrollmentToken};
use crate::fleet::environments::{self, EnvironmentName};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::tunnel::News;

/// Why an agent was not renamed.
#[derive(Debug, thiserror::Error)]
pub enum RenameError {
    /// There is no such agent.
    #[error("there is no such agent")]
    Unknown,
    /// The name belongs to another.
    #[error("an environment of this name exists already: choose another name")]
    NameTaken,
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Fleet {
    /// Every agent, by name; `name` narrows it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_agents(&self, name: Option<&str>) -> Result<Vec<Agent>, DbError> {
        let rows = store::list(&mut self.base.db.read().await?, name).await?;
        Ok(rows.into_iter().map(|row| self.present_agent(row)).collect())
    }

    /// One agent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_agent(&self, id: AgentId) -> Result<Option<Agent>, DbError> {
        let row = store::find(&mut self.base.db.read().await?, id).await?;
        Ok(row.map(|row| self.present_agent(row)))
    }

    /// Lets a waiting or quarantined agent do everything. Whether there was
    /// one to approve.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn approve_agent(&self, id: AgentId, by: &Actor) -> Result<bool, DbError> {
        let mut tx = self.base.db.write().await?;
        let row = store::find(&mut tx, id).await?.filter(|row| row.state() != AgentState::Revoked);
        let Some(row) = row else {
            return Ok(false);
        };
        store::set_state(&mut tx, id, AgentState::Active).await?;
        store::accept_refused_ticket(&mut tx, id, row.highest_ticket()).await?;
        audit::record(
            &mut tx,
            Entry::new(by, Action::AgentApprove, &id.to_string()).called(Some(&row.name)),
            self.base.clock.now(),
        )
        .await?;
        tx.commit().await?;
        if let Some(session) = self.base.sessions.seated(row.environment()) {
            session.approve();
        }
        self.tell_of(&row);
        Ok(true)
    }

    /// Gives an agent and its environment another name.
    ///
    /// # Errors
    /// [`RenameError`].
    pub async fn rename_agent(&self, id: AgentId, name: &EnvironmentName, by: &Actor) -> Result<(), RenameError> {
        let mut tx = self.base.db.write().await?;
        let row = store::find(&mut tx, id).await?.ok_or(RenameError::Unknown)?;
        let same_but_case = row.name.eq_ignore_ascii_case(name.as_str());
        if !same_but_case && environments::name_taken(&mut tx, name).await? {
            return Err(RenameError::NameTaken);
        }
        environments::rename(&mut tx, row.environment(), name).await?;
        let entry = Entry::new(by, Action::AgentRename, &id.to_string()).called(Some(name.as_str()));
        let entry = entry.fact("old_name", serde_json::json!(row.name));
        audit::record(&mut tx, entry, self.base.clock.now()).await?;
        tx.commit().await?;
        self.tell_of(&row);
        Ok(())
    }

    /// Makes the token with which the agent's host gets a new key and keeps
    /// its history. `None` where there is no such agent.
    ///
    /// # Errors
    /// [`MintError`].
    pub async fn reissue_agent(&self, id: AgentId, by: &Actor) -> Result<Option<MintedToken>, MintError> {
        let Some(agent) = self.find_agent(id).await? else {
            return Ok(None);
        };
        let new = NewEnrollmentToken::replacement(&agent.name);
        self.mint(&new, Some(id), by).await.map(Some)
    }

    /// Shuts an agent out: its sessions end now, and it cannot come back.
    /// Whether it was there and not revoked yet.
    ///
    /// # Errors
    /// When the database fails; the session is ended all the same.
    pub async fn revoke_agent(&self, id: AgentId, reason: &str, by: &Actor) -> Result<bool, DbError> {
        let now = self.base.clock.now();
        let mut tx = self.base.db.write_vital().await?;
        let revoked = store::revoke(&mut tx, id, reason, now).await?;
        let row = store::find(&mut tx, id).await?;
        if revoked {
            enrollment::revoke_replacements(&mut tx, id, now).await?;
            let entry = Entry::new(by, Action::AgentRevoke, &id.to_string()).detail(reason);
            let entry = entry.called(row.as_ref().map(|row| row.name.as_str()));
            audit::record(&mut tx, entry, now).await?;
        }
        tx.commit().await?;
        if let Some(row) = &row {
            self.tell_of(row);
        }
        if let Some(session) = row.and_then(|row| self.base.sessions.seated(row.environment())) {
            self.base.sessions.leave(&session);
            session.dismiss(ToAgent::Revoked { reason: reason.to_owned() }).await;
        }
        Ok(revoked)
    }

    /// Tells those who look on that an agent is not as it was.
    fn tell_of(&self, row: &AgentRow) {
        self.tell(News::Agent(row.id(), row.environment()));
        self.tell(News::Environment(row.environment()));
    }

    fn present_agent(&self, row: AgentRow) -> Agent {
        let session = self.base.sessions.of(row.environment()).ok();
        let session = session.as_deref().filter(|session| session.agent == Some(row.id()));
        row.into_agent(session, self.base.clock.now())
    }
}

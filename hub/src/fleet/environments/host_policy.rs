//! Remembers which policy a host told last, so that another one is on record.

use serde_json::json;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::policy::PolicyFacts;

use super::model::EnvironmentPolicy;
use crate::db::DbError;
use crate::fleet::Fleet;
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::settings;
use crate::tunnel::Session;

/// The small value under which it stands.
fn key(environment: EnvironmentId) -> String {
    format!("fleet.policy.{environment}")
}

/// By what one policy is told from another.
fn mark(facts: &PolicyFacts) -> String {
    let EnvironmentPolicy { profile, digest, invalid, .. } = facts.into();
    format!("{profile} {} {invalid}", digest.unwrap_or_default())
}

impl Fleet {
    /// Records the policy of a session's host, where it is not the one from
    /// before. That a host has none is recorded where it had one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_policy(&self, session: &Session) -> Result<(), DbError> {
        let Some(facts) = session.policy() else { return Ok(()) };
        let (key, mark) = (key(session.environment), mark(facts));
        let known = settings::find(&mut self.base.db.read().await?, &key).await?;
        let is_first_and_none = known.is_none() && facts.digest.is_none() && facts.invalid.is_none();
        if is_first_and_none || known.as_deref() == Some(mark.as_bytes()) {
            return Ok(());
        }
        let now = self.base.clock.now();
        let policy = EnvironmentPolicy::from(facts);
        let actor = session.agent.map_or(Actor::System, Actor::Agent);
        let entry = Entry::new(&actor, Action::EnvironmentPolicy, &session.environment.to_string())
            .environment(session.environment)
            .fact("profile", json!(policy.profile))
            .fact("digest", json!(policy.digest))
            .fact("invalid", json!(policy.invalid));
        let mut tx = self.base.db.write().await?;
        settings::put(&mut tx, &key, mark.as_bytes(), now).await?;
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await
    }
}

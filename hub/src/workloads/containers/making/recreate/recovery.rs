//! Replacements that a hub did not live to finish. Whenever a host tells of
//! containers with such names, these say how far it had come: those that do
//! well are finished, all others undone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;
use windflow_protocol::ids::{EnvironmentId, SessionId};

use super::super::engine::Maker;
use super::names::{self, Previous};
use super::roll_back;
use super::wellness;
use crate::app::{App, AppState};
use crate::error::ApiError;
use crate::identity::audit::{Action, Actor, Entry, Outcome};
use crate::telemetry::inventory::Heard;
use crate::tunnel::Session;

/// After how long it is tried again: the first number, doubled each time up to
/// the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long a container that was left alone may take to end.
const GRACE: Duration = Duration::from_secs(60);

/// Finishes what was left, on every host that comes, until the hub is asked to
/// finish.
pub async fn keep(app: AppState) {
    let mut newest = app.sessions.feed().newest();
    let mut seen: HashSet<SessionId> = HashSet::new();
    loop {
        let sessions = app.sessions.all();
        seen.retain(|id| sessions.iter().any(|session| session.id == *id));
        for session in sessions {
            if seen.insert(session.id) {
                app.lifecycle.tasks.spawn(finish_on(app.clone(), session));
            }
        }
        tokio::select! {
            changed = newest.changed() => if changed.is_err() { return },
            () = app.lifecycle.soft.cancelled() => return,
        }
    }
}

async fn finish_on(app: AppState, session: Arc<Session>) {
    let mut heard = app.inventories.follow(session.environment);
    let watching = async {
        loop {
            let is_left = heard.borrow_and_update().as_ref().is_some_and(|heard| has_left(heard));
            if is_left {
                app.finish_again_and_again(&session).await;
            }
            if heard.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = watching => {}
        _ = session.ended() => {}
        () = app.lifecycle.soft.cancelled() => {}
    }
}

/// Whether there are containers whose names are those of a replacement. One
/// that is under way is left alone by its claim.
fn has_left(heard: &Heard) -> bool {
    !heard.is_stale && heard.things.containers.values().any(|container| names::is_passing(&container.name))
}

impl App {
    async fn finish_again_and_again(&self, session: &Arc<Session>) {
        let mut wait = BACK_OFF.0;
        while let Err(error) = self.finish_behind(session).await {
            tracing::debug!(environment.id = %session.environment, code = error.code(), "replacements are not ended yet");
            sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// The same at once, where the host is there.
    pub(super) async fn finish_replacements(&self, environment: EnvironmentId) {
        if let Ok(session) = self.engines.session(environment)
            && let Err(error) = self.finish_behind(&session).await
        {
            tracing::debug!(environment.id = %environment, code = error.code(), "replacements are not looked at now");
        }
    }

    async fn finish_behind(&self, session: &Arc<Session>) -> Result<(), ApiError> {
        let maker = Maker::behind(self, Arc::clone(session));
        for one in listed(&maker).await? {
            if Previous::parse(&one.name).is_some() {
                self.finish_one(&maker, session.environment, &one.id).await?;
            } else if let Some(of) = one.waits_for() {
                self.discard_one(&maker, session.environment, &one.id, of).await?;
            }
        }
        Ok(())
    }

    /// Ends the replacement of this container, unless somebody is at it.
    async fn finish_one(&self, maker: &Maker, environment: EnvironmentId, old: &str) -> Result<(), ApiError> {
        let Some(_claim) = self.replacements.begin(old) else {
            return Ok(());
        };
        // Whoever was at it may have ended it since the engine was asked.
        let listed = listed(maker).await?;
        let old = listed.iter().find(|one| one.id == old);
        let Some((old, previous)) = old.and_then(|old| Some((old, Previous::parse(&old.name)?))) else {
            return Ok(());
        };
        let successor = listed.iter().find(|one| one.id.starts_with(&previous.successor));
        let is_well = match successor {
            Some(new) if names::parse_next(&new.name).is_some() => false,
            Some(_) if !previous.ran => true,
            Some(new) => wellness::becomes_well(maker, &new.id).await.is_ok(),
            None => false,
        };
        let done = if is_well {
            maker.retire(&old.id).await?;
            "finished"
        } else {
            roll_back(maker, &old.id, &previous, successor.map(|new| new.id.as_str()), GRACE).await?;
            "rolled_back"
        };
        self.record(environment, &old.id, &previous.name, done).await
    }

    /// Removes what was made to take the place of the container whose id begins
    /// with `of`, where that is as it was and nobody is at it.
    async fn discard_one(
        &self,
        maker: &Maker,
        environment: EnvironmentId,
        new: &str,
        of: &str,
    ) -> Result<(), ApiError> {
        let before = listed(maker).await?.into_iter().find(|one| one.id.starts_with(of));
        let claim = before.as_ref().map(|old| self.replacements.begin(&old.id));
        if matches!(claim, Some(None)) {
            return Ok(());
        }
        let listed = listed(maker).await?;
        let is_told = listed.iter().any(|one| one.id.starts_with(of) && Previous::parse(&one.name).is_some());
        match listed.iter().find(|one| one.id == new) {
            Some(one) if one.waits_for().is_some() && !is_told => {
                maker.discard(&one.id).await?;
                self.record(environment, &one.id, &one.name, "removed").await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn record(&self, environment: EnvironmentId, id: &str, name: &str, done: &str) -> Result<(), ApiError> {
        tracing::info!(environment.id = %environment, container = id, name, done, "a replacement that was left was ended");
        let entry = Entry::new(&Actor::System, Action::ContainerRecover, id).environment(environment);
        let entry = entry.called(Some(name)).fact("end", json!(done)).outcome(Outcome::Done);
        Ok(self.fleet.note(entry).await?)
    }
}

/// A container as an engine lists it.
struct Listed {
    id: String,
    name: String,
    state: String,
}

/// All that an engine has now.
async fn listed(maker: &Maker) -> Result<Vec<Listed>, ApiError> {
    let told = maker.read("/containers/json?all=true").await?;
    Ok(told.as_array().into_iter().flatten().filter_map(Listed::of).collect())
}

impl Listed {
    /// The beginning of the id of the container whose place this one was made
    /// to take, if it never ran.
    fn waits_for(&self) -> Option<&str> {
        names::parse_next(&self.name).filter(|_| self.state == "created")
    }

    fn of(told: &Value) -> Option<Self> {
        let name =
            told["Names"].as_array()?.iter().filter_map(Value::as_str).find(|name| name.matches('/').count() == 1)?;
        Some(Self {
            id: told["Id"].as_str()?.to_owned(),
            name: name.trim_start_matches('/').to_owned(),
            state: told["State"].as_str()?.to_owned(),
        })
    }
}

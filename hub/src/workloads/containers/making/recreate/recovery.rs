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
        let listed = maker.read("/containers/json?all=true").await?;
        let listed: Vec<Listed> = listed.as_array().into_iter().flatten().filter_map(Listed::of).collect();
        for one in &listed {
            if let Some(previous) = Previous::parse(&one.name) {
                self.finish_one(&maker, session.environment, one, &previous, &listed).await?;
            }
        }
        for one in listed.iter().filter(|one| one.state == "created") {
            let Some(of) = names::parse_next(&one.name) else {
                continue;
            };
            let old = listed.iter().find(|other| other.id.starts_with(of));
            let is_told = old.is_some_and(|old| Previous::parse(&old.name).is_some());
            let claim = old.map(|old| self.replacements.begin(session.environment, &old.id));
            // What it was to take the place of is as it was.
            if !is_told && !matches!(claim, Some(None)) {
                maker.discard(&one.id).await?;
                self.record(session.environment, &one.id, &one.name, "removed").await?;
            }
        }
        Ok(())
    }

    async fn finish_one(
        &self,
        maker: &Maker,
        environment: EnvironmentId,
        old: &Listed,
        previous: &Previous,
        listed: &[Listed],
    ) -> Result<(), ApiError> {
        let Some(_claim) = self.replacements.begin(environment, &old.id) else {
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
            roll_back(maker, &old.id, previous, successor.map(|new| new.id.as_str()), GRACE).await?;
            "rolled_back"
        };
        self.record(environment, &old.id, &previous.name, done).await
    }

    async fn record(&self, environment: EnvironmentId, id: &str, name: &str, done: &str) -> Result<(), ApiError> {
        tracing::info!(environment.id = %environment, container = id, name, done, "a replacement that was left was ended");
        let entry = Entry::new(&Actor::System, Action::ContainerRecover, id).environment(environment);
        let entry = entry.fact("name", json!(name)).fact("end", json!(done)).outcome(Outcome::Done);
        Ok(self.fleet.note(entry).await?)
    }
}

/// A container as an engine lists it.
struct Listed {
    id: String,
    name: String,
    state: String,
}

impl Listed {
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

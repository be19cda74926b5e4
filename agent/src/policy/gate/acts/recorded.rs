//! What the policy wants written down is begun before the engine is asked for it,
//! and is refused where it cannot be.

use std::sync::PoisonError;

use http::StatusCode;
use serde_json::Value;
use tokio::sync::watch;
use windflow_protocol::text::sanitize;

use super::super::super::Class;
use super::super::super::recorder::{Recording, SIZE, Subject};
use super::super::engine::{self, Asked};
use super::super::refusal::Refusal;
use super::super::routes::Act;
use super::super::{EXECS_MAX, Failure, Gate, Outcome};
use super::Asking;

impl Gate {
    /// The recording of what this request opens, where the policy asks for one.
    pub(super) async fn recording(&self, asking: &Asking<'_>) -> Result<Option<Recording>, Failure> {
        let route = &asking.found.route;
        let attaches = route.class == Class::Attach && route.act == Act::InContainer;
        if !self.policy.settings.exec.record || !(attaches || route.act == Act::StartExec) {
            return Ok(None);
        }
        let subject = if attaches { self.own_input(asking).await? } else { self.program(asking).await? };
        let size = self.size_of(asking.subject());
        let begun = Recording::begin(self.policy.rails.state(), subject, size).await;
        let recording = begun.map_err(|error| {
            tracing::error!(%error, "a session was refused, since it cannot be recorded");
            Refusal::denied("exec.record")
        })?;
        Ok(Some(recording))
    }

    /// Notes how large a terminal is from now on.
    pub(super) fn note_size(&self, asking: &Asking<'_>) {
        let side = |key: &str| asking.value(key).parse().ok();
        let Some(size) = side("w").zip(side("h")) else { return };
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = sizes.get(asking.subject()) {
            told.send_replace(size);
        }
    }

    fn size_of(&self, id: &str) -> watch::Receiver<(u16, u16)> {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.retain(|_, told| told.receiver_count() > 0);
        if sizes.len() >= EXECS_MAX {
            return watch::channel(SIZE).1;
        }
        sizes.entry(id.to_owned()).or_insert_with(|| watch::Sender::new(SIZE)).subscribe()
    }

    async fn program(&self, asking: &Asking<'_>) -> Result<Subject, Failure> {
        let told = self.told(&format!("/v1.{}/exec/{}/json", asking.version, asking.subject())).await?;
        let process = &told["ProcessConfig"];
        let words = process["arguments"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let command = std::iter::once(text(&process["entrypoint"])).chain(words).collect::<Vec<_>>().join(" ");
        let container = text(&told["ContainerID"]);
        let container = self.told(&format!("/v1.{}/containers/{container}/json", asking.version)).await?;
        let (id, has_terminal) = (asking.subject().to_owned(), process["tty"] == true);
        let title = sanitize(&format!("{} in {}", command, name(&container)));
        Ok(Subject { id, title, command: Some(command), has_terminal })
    }

    async fn own_input(&self, asking: &Asking<'_>) -> Result<Subject, Failure> {
        let told = self.told(&format!("/v1.{}/containers/{}/json", asking.version, asking.subject())).await?;
        let (id, title) = (text(&told["Id"]).to_owned(), sanitize(name(&told)));
        Ok(Subject { id, title, command: None, has_terminal: told["Config"]["Tty"] == true })
    }

    async fn told(&self, target: &str) -> Result<Value, Failure> {
        match engine::ask(&self.engine, target.to_owned()).await? {
            Asked::Told(told) => Ok(told),
            Asked::Nothing(words) => Err(Failure::Missing(words)),
        }
    }
}

impl Outcome {
    /// The same, written down. What the engine did not begin is not.
    pub(super) fn recorded(self, recording: Option<Recording>) -> Self {
        match (self, recording) {
            (Self::Upgraded(answer, far, carrier, _), Some(recording)) => {
                Self::Upgraded(answer, far, carrier, Some(Box::new(recording.kept())))
            }
            (Self::Done(answer), Some(recording)) if answer.status() < StatusCode::BAD_REQUEST => {
                Self::Done(answer.map(|body| body.recorded(recording.kept())))
            }
            (outcome, _) => outcome,
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn name(container: &Value) -> &str {
    text(&container["Name"]).trim_start_matches('/')
}

//! As much of an environment as decides whether it is listed, and where: of
//! thousands it is looked at for each page of fifty, so that nothing is copied.

use std::sync::Arc;

use windflow_protocol::message::control::EngineStatus;
use windflow_protocol::message::hello::Standing;

use super::alert::Condition;
use super::{Alert, EnvironmentState};
use crate::fleet::agents::AgentState;
use crate::fleet::environments::store::EnvironmentRow;
use crate::fleet::environments::told::ContainerStates;
use crate::tunnel::Session;

/// A glance at an environment.
#[derive(Clone, Debug)]
pub struct Glance<'a> {
    /// What is stored of it.
    pub row: &'a EnvironmentRow,
    /// Its session, while there is one.
    pub session: Option<Arc<Session>>,
    /// Whether it can be used now.
    pub state: EnvironmentState,
    /// How its engine is, while there is a session.
    pub engine: Option<&'static str>,
    /// The states of its containers, as its agent told them last.
    pub containers: Option<ContainerStates>,
    /// What somebody should look at now.
    pub alerts: Vec<Alert>,
}

impl<'a> Glance<'a> {
    /// A glance at the environment of this row.
    pub fn at(row: &'a EnvironmentRow, session: Option<Arc<Session>>, containers: Option<ContainerStates>) -> Self {
        let state = state_of(session.as_deref(), row.agent_state.as_deref().map(AgentState::parse));
        let engine = session.as_deref().map(|session| engine_word(&session.engine().borrow()));
        let mut glance = Self { row, session, state, engine, containers, alerts: Vec::new() };
        glance.alerts = glance.condition().map(|condition| Alert::of(&condition)).unwrap_or_default();
        glance
    }

    /// Whether its agent is there and its engine does not answer.
    pub fn is_degraded(&self) -> bool {
        self.is_online() && matches!(self.engine, Some("absent" | "unresponsive"))
    }

    /// The states of its containers, as far as they are known to be so now.
    pub fn present_containers(&self) -> Option<ContainerStates> {
        self.containers.filter(|_| self.is_online() && !self.is_degraded())
    }

    fn is_online(&self) -> bool {
        self.state == EnvironmentState::Online
    }

    /// By what it is judged. One that is away has nothing but its state: what is
    /// known of it may be long past.
    fn condition(&self) -> Option<Condition> {
        let session = self.session.as_deref().filter(|_| self.is_online())?;
        Some(Condition {
            is_degraded: self.is_degraded(),
            is_policy_invalid: session.policy().is_some_and(|policy| policy.invalid.is_some()),
            is_exposed: session.is_exposed(),
            host: session.host().unwrap_or_default(),
            containers: self.present_containers().unwrap_or_default(),
        })
    }
}

fn state_of(session: Option<&Session>, agent: Option<AgentState>) -> EnvironmentState {
    match session.map(Session::standing) {
        _ if agent == Some(AgentState::Revoked) => EnvironmentState::Revoked,
        Some(Standing::Active) => EnvironmentState::Online,
        Some(Standing::PendingApproval) => EnvironmentState::Pending,
        Some(Standing::Quarantined) => EnvironmentState::Quarantined,
        None if agent == Some(AgentState::Pending) => EnvironmentState::Pending,
        None => EnvironmentState::Offline,
    }
}

const fn engine_word(status: &EngineStatus) -> &'static str {
    match status {
        EngineStatus::Unknown => "unknown",
        EngineStatus::Absent => "absent",
        EngineStatus::Unresponsive => "unresponsive",
        EngineStatus::Running(_) => "running",
    }
}

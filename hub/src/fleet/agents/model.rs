//! What an agent is, and what its ticket says of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;
use uuid::Uuid;
use windflow_protocol::identity::KeyDigest;
use windflow_protocol::ids::{AgentId, EnvironmentId};
use windflow_protocol::message::hello::HostFacts;

use crate::clock::Timestamp;
use crate::tunnel::Session;

/// A second ticket lost within this time is not forgiven: two copies of one
/// identity that take turns would look like that.
const FORGIVE_AGAIN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How far an agent is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AgentState {
    /// It may have sessions.
    Active,
    /// It waits for an administrator's approval.
    Pending,
    /// It may not come back.
    Revoked,
}

impl AgentState {
    const ALL: [Self; 3] = [Self::Active, Self::Pending, Self::Revoked];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Revoked => "revoked",
        }
    }

    /// The state with this name; an unknown one is [`Revoked`](Self::Revoked),
    /// since what cannot be read is not trusted.
    pub fn parse(name: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == name).unwrap_or(Self::Revoked)
    }
}

/// An agent as the API shows it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Agent {
    /// Its id.
    #[schema(value_type = Uuid)]
    pub id: AgentId,
    /// The environment it carries.
    #[schema(value_type = Uuid)]
    pub environment_id: EnvironmentId,
    /// The environment's name, which is also the agent's.
    pub name: String,
    /// How far it is trusted.
    pub state: AgentState,
    /// Whether it has a session now.
    pub online: bool,
    /// What carries its session: `websocket` or `quic`.
    pub transport: Option<&'static str>,
    /// Its version, as last seen.
    pub agent_version: Option<String>,
    /// When it was last online.
    pub last_seen: Option<Timestamp>,
    /// Last measured round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// SHA-256 of its public key, as `windflow-agent status` shows it.
    pub fingerprint: String,
    /// The same in eight words, for people to compare.
    pub fingerprint_words: String,
    /// How often its identity was replaced, plus one.
    pub generation: i64,
    /// Its host's name.
    pub hostname: String,
    /// Its host's operating system.
    pub os: String,
    /// Its host's architecture.
    pub arch: String,
    /// The id of the token it enrolled with.
    pub enrolled_with: String,
    /// When it enrolled.
    pub enrolled_at: Timestamp,
    /// When its last session began.
    pub connected_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Why it was revoked.
    pub revoke_reason: Option<String>,
}

/// A row of the agents table, with its environment's name.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AgentRow {
    pub id: Uuid,
    pub environment_id: Uuid,
    pub name: String,
    pub state: String,
    pub key_digest: Vec<u8>,
    pub generation: i64,
    pub ticket_current: i64,
    pub ticket_pending: Option<i64>,
    /// The current ticket before this one. After an administrator vouched for
    /// an older ticket it is the highest of those that count no longer.
    pub ticket_previous: Option<i64>,
    pub forgiven_at: Option<Timestamp>,
    pub hostname: String,
    pub os: String,
    pub arch: String,
    pub machine: Vec<u8>,
    pub enrolled_with: String,
    pub enrolled_at: Timestamp,
    pub connected_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub revoke_reason: Option<String>,
    pub agent_version: Option<String>,
    pub last_seen_at: Option<Timestamp>,
}

/// What a new row holds.
#[derive(Clone, Debug)]
pub struct NewAgent {
    pub id: AgentId,
    pub environment: EnvironmentId,
    pub state: AgentState,
    pub key: KeyDigest,
    pub host: HostFacts,
    pub enrolled_with: String,
    pub enrolled_at: Timestamp,
}

/// What the ticket in a hello says of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketVerdict {
    /// It is the one the hub handed out last, or the one before, whose
    /// successor the agent never acknowledged.
    Expected,
    /// The agent lost power before it stored the last ticket.
    OneBehind,
    /// It is genuine and later than any the hub knows of: the hub's database
    /// was restored from a backup.
    Ahead,
    /// It is older: the state directory was copied, or rolled back.
    Stale,
}

impl AgentRow {
    pub fn id(&self) -> AgentId {
        AgentId(self.id)
    }

    pub fn environment(&self) -> EnvironmentId {
        EnvironmentId(self.environment_id)
    }

    /// The machine of the last session; zero where it is not known.
    pub fn machine(&self) -> [u8; 32] {
        self.machine.as_slice().try_into().unwrap_or_default()
    }

    pub fn state(&self) -> AgentState {
        AgentState::parse(&self.state)
    }

    pub fn has_key(&self, key: KeyDigest) -> bool {
        key.0.ct_eq(&self.key_digest).into()
    }

    /// Judges the number of a genuine ticket; `None` is a ticket that this hub
    /// never made. The machine is only used to forgive one lost write.
    pub fn judge(&self, shown: Option<i64>, host: &HostFacts, now: Timestamp) -> TicketVerdict {
        let Some(shown) = shown else {
            return TicketVerdict::Stale;
        };
        if shown == self.ticket_current || Some(shown) == self.ticket_pending {
            return TicketVerdict::Expected;
        }
        if shown > self.highest_ticket() {
            return TicketVerdict::Ahead;
        }
        if shown > self.ticket_current {
            return TicketVerdict::Stale;
        }
        let forgiven = self.forgiven_at.is_some_and(|at| now.since(at) < FORGIVE_AGAIN_AFTER);
        if Some(shown) == self.ticket_previous && self.machine == host.machine && !forgiven {
            return TicketVerdict::OneBehind;
        }
        TicketVerdict::Stale
    }

    /// The number of the next ticket: above every one that was handed out.
    pub fn next_ticket(&self, shown: Option<i64>) -> i64 {
        shown.unwrap_or_default().max(self.highest_ticket()).saturating_add(1)
    }

    /// The highest number that this database knows to be handed out.
    pub fn highest_ticket(&self) -> i64 {
        let others = [self.ticket_pending, self.ticket_previous];
        others.into_iter().flatten().fold(self.ticket_current, i64::max)
    }

    /// The agent as the API shows it, with the session it has at the moment
    /// `now`.
    pub fn into_agent(self, session: Option<&Session>, now: Timestamp) -> Agent {
        let digest = <[u8; 32]>::try_from(self.key_digest.as_slice()).map(KeyDigest).ok();
        Agent {
            id: self.id(),
            environment_id: self.environment(),
            state: self.state(),
            name: self.name,
            online: session.is_some(),
            transport: session.map(|session| session.transport().as_str()),
            agent_version: self.agent_version,
            last_seen: if session.is_some() { Some(now) } else { self.last_seen_at },
            rtt_ms: session.and_then(Session::rtt).map(|rtt| rtt.as_secs_f64() * 1_000.0),
            fingerprint: digest.map(|digest| digest.to_string()).unwrap_or_default(),
            fingerprint_words: digest.map(|digest| digest.words()).unwrap_or_default(),
            generation: self.generation,
            hostname: self.hostname,
            os: self.os,
            arch: self.arch,
            enrolled_with: self.enrolled_with,
            enrolled_at: self.enrolled_at,
            connected_at: self.connected_at,
            revoked_at: self.revoked_at,
            revoke_reason: self.revoke_reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_micros(1_000_000_000_000_000).unwrap()
    }

    fn row() -> AgentRow {
        AgentRow {
            id: Uuid::nil(),
            environment_id: Uuid::nil(),
            name: "a".to_owned(),
            state: "active".to_owned(),
            key_digest: vec![0; 32],
            generation: 1,
            ticket_current: 7,
            ticket_pending: Some(8),
            ticket_previous: Some(5),
            forgiven_at: None,
            hostname: String::new(),
            os: String::new(),
            arch: String::new(),
            machine: vec![0; 32],
            enrolled_with: String::new(),
            enrolled_at: now(),
            connected_at: None,
            revoked_at: None,
            revoke_reason: None,
            agent_version: None,
            last_seen_at: None,
        }
    }

    #[test]
    fn a_lost_welcome_never_looks_like_a_clone() {
        let here = HostFacts::default();
        assert_eq!(row().judge(Some(7), &here, now()), TicketVerdict::Expected);
        assert_eq!(row().judge(Some(8), &here, now()), TicketVerdict::Expected);
    }

    #[test]
    fn one_lost_write_is_forgiven_on_the_same_machine_once_a_day() {
        let here = HostFacts::default();
        let elsewhere = HostFacts { machine: [1; 32], ..HostFacts::default() };
        assert_eq!(row().judge(Some(5), &here, now()), TicketVerdict::OneBehind);
        assert_eq!(row().judge(Some(5), &elsewhere, now()), TicketVerdict::Stale);
        let forgiven = AgentRow { forgiven_at: Some(now() - Duration::from_secs(3600)), ..row() };
        assert_eq!(forgiven.judge(Some(5), &here, now()), TicketVerdict::Stale);
    }

    #[test]
    fn older_and_foreign_tickets_are_stale_and_later_ones_ahead() {
        let here = HostFacts::default();
        assert_eq!(row().judge(Some(4), &here, now()), TicketVerdict::Stale);
        assert_eq!(row().judge(None, &here, now()), TicketVerdict::Stale);
        assert_eq!(row().judge(Some(9), &here, now()), TicketVerdict::Ahead);
    }

    #[test]
    fn a_ticket_passed_over_for_an_older_one_is_stale() {
        let vouched = AgentRow { ticket_current: 3, ticket_pending: None, ticket_previous: Some(8), ..row() };
        let here = HostFacts::default();
        assert_eq!(vouched.judge(Some(3), &here, now()), TicketVerdict::Expected);
        assert_eq!(vouched.judge(Some(7), &here, now()), TicketVerdict::Stale);
        assert_eq!(vouched.judge(Some(8), &here, now()), TicketVerdict::Stale);
        assert_eq!(vouched.judge(Some(9), &here, now()), TicketVerdict::Ahead);
        assert_eq!(vouched.next_ticket(Some(3)), 9);
    }

    #[test]
    fn the_next_ticket_was_never_handed_out() {
        assert_eq!(row().next_ticket(Some(7)), 9);
        assert_eq!(row().next_ticket(Some(20)), 21);
    }

    #[test]
    fn a_state_that_cannot_be_read_is_not_trusted() {
        assert_eq!(AgentState::parse("ACTIVE"), AgentState::Revoked);
    }
}

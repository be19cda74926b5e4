//! Who acts, and how that stands in a record.

use std::net::IpAddr;

use windflow_protocol::ids::AgentId;

use crate::http::{Caller, Principal};

/// Who acts.
#[derive(Clone, Debug)]
pub enum Actor {
    /// Whoever made a request.
    Caller(Caller),
    /// An enrolled agent.
    Agent(AgentId),
    /// The hub itself.
    System,
    /// Someone who did not prove who they are.
    Nobody,
}

impl Actor {
    /// The actor's name, for rows that remember who made them.
    pub fn name(&self) -> String {
        let described = Described::of(self);
        if described.name.is_empty() { described.kind.to_owned() } else { described.name }
    }
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self::Caller(caller.clone())
    }
}

/// An actor as it stands in a row.
#[derive(Default)]
pub(super) struct Described {
    pub kind: &'static str,
    pub id: Option<String>,
    pub name: String,
    pub credential: Option<String>,
    pub address: Option<IpAddr>,
    pub request_id: Option<String>,
}

impl Described {
    pub fn of(actor: &Actor) -> Self {
        match actor {
            Actor::Caller(caller) => Self::of_caller(caller),
            Actor::Agent(id) => Self { kind: "agent", id: Some(id.to_string()), ..Self::default() },
            Actor::System => Self { kind: "system", ..Self::default() },
            Actor::Nobody => Self { kind: "nobody", ..Self::default() },
        }
    }

    fn of_caller(caller: &Caller) -> Self {
        let of_request = Self {
            kind: "nobody",
            address: caller.address,
            request_id: Some(caller.request_id.to_string()),
            ..Self::default()
        };
        match &caller.principal {
            Some(Principal::User(user)) => Self {
                kind: "user",
                id: Some(user.id.to_string()),
                name: user.name.clone(),
                credential: Some(user.credential.to_string()),
                ..of_request
            },
            Some(Principal::LocalRoot) => Self { kind: "local", name: "root".to_owned(), ..of_request },
            None => of_request,
        }
    }
}

//! Agents: the identities of hosts that dialled out and enrolled.

mod model;
mod pace;
mod routes;
mod service;
mod store;
mod ticket;

pub use model::{Agent, AgentState};
pub(super) use model::{AgentRow, NewAgent, TicketVerdict};
pub(super) use pace::Pace;
pub(super) use routes::routes;
pub use service::RenameError;
pub(super) use store::{
    delete_expired_certificates, find, find_by_key, hand_out_ticket, insert, insert_certificate, mark_connected,
    mark_forgiven, note_refused_ticket, promote_ticket, replace_key,
};
pub(super) use ticket::FIRST_TICKET;
pub use ticket::TicketKey;

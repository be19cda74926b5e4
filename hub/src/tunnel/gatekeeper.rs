//! What the tunnel asks of the fleet: who may enroll, who may have a session,
//! and what to remember of it.

use std::net::IpAddr;

use windflow_protocol::ids::{AgentId, EnvironmentId};
use windflow_protocol::message::enroll::{Certificate, EnrollReply, EnrollRequest, RenewReply, RenewRequest};
use windflow_protocol::message::hello::{Hello, Rejected, Standing, Ticket};
use windflow_protocol::tls::PeerCertificate;

use super::session::{Session, SessionFacts};

/// Whose connection it is, as far as the transport proved it.
#[derive(Clone, Debug)]
pub enum Identity {
    /// An agent in this process, for a local or TCP engine.
    Attached(EnvironmentId),
    /// An agent that proved its key in TLS.
    Edge(PeerCertificate),
}

/// The fleet's consent to a session.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// The environment the session is for.
    pub environment: EnvironmentId,
    /// The agent, where there is an enrolled one.
    pub agent: Option<AgentId>,
    /// How far the session may go.
    pub standing: Standing,
    /// The generation the hub knows.
    pub generation: u64,
    /// The ticket for the agent's next hello.
    pub ticket: Ticket,
}

/// Why a session that was admitted is not wanted any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Withdrawn(pub &'static str);

/// Decides what the tunnel must not decide. Implemented by the fleet.
pub trait Gatekeeper: Send + Sync + 'static {
    /// Exchanges a token for an identity. Never fails: a refusal is a reply.
    fn enroll(&self, request: EnrollRequest, from: IpAddr) -> impl Future<Output = EnrollReply> + Send;

    /// Exchanges a certificate, expired or not, for a fresh one.
    fn renew(&self, peer: PeerCertificate, request: RenewRequest) -> impl Future<Output = RenewReply> + Send;

    /// Exchanges a certificate for a fresh one on a live session. `None` where
    /// the request is not for the session's own key.
    fn renew_live(&self, agent: AgentId, csr: Vec<u8>) -> impl Future<Output = Option<Certificate>> + Send;

    /// Decides on a session, from the proven identity and the hello. A new
    /// ticket is stored as pending.
    fn admit(&self, identity: &Identity, hello: &Hello) -> impl Future<Output = Result<Admitted, Rejected>> + Send;

    /// The agent has stored the ticket.
    fn acknowledged(&self, agent: AgentId, ticket: Ticket) -> impl Future<Output = ()> + Send;

    /// The session has its place in the registry and is about to stand. It is
    /// put on record, and what was decided since its admission is heeded here:
    /// who decides from now on finds it in its place.
    ///
    /// # Errors
    /// [`Withdrawn`] when it must not stand after all.
    fn connected(&self, session: &Session) -> impl Future<Output = Result<(), Withdrawn>> + Send;

    /// The session has left the registry.
    fn disconnected(&self, session: &Session) -> impl Future<Output = ()> + Send;

    /// The agent told the host's own policy, which the session has now.
    fn policy_told(&self, session: &Session) -> impl Future<Output = ()> + Send;

    /// Two live agents claim one identity and the second was turned away.
    fn duplicate(&self, session: &Session, refused: &SessionFacts) -> impl Future<Output = ()> + Send;
}

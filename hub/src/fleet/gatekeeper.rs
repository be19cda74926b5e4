//! What the tunnel asks of the fleet, answered from the database.

use std::net::IpAddr;
use std::time::Duration;

use windflow_protocol::ids::AgentId;
use windflow_protocol::message::enroll::{Certificate, EnrollReply, EnrollRequest, RenewReply, RenewRequest};
use windflow_protocol::message::hello::{Hello, HostFacts, RejectReason, Rejected, Standing, Ticket};
use windflow_protocol::tls::PeerCertificate;

use super::agents::{self, AgentRow, AgentState, TicketVerdict};
use super::authority::AgentKey;
use super::enrollment::IssueError;
use super::{Fleet, environments};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::identity::audit::{self, Action, Actor, Entry};
use crate::tunnel::session::{Session, SessionFacts};
use crate::tunnel::{Admitted, Gatekeeper, Identity, Withdrawn};

/// How long after its end a certificate may still be renewed.
const RECOVERY_WINDOW: Duration = Duration::from_secs(180 * 24 * 60 * 60);
/// How soon an agent that must not come back may ask again, in seconds.
const HOPELESS_RETRY_SECS: u32 = 15 * 60;
/// How soon an agent comes back when the hub itself failed, in seconds.
const FAILURE_RETRY_SECS: u32 = 5;

/// Whether a certificate's end matters for what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry {
    Matters,
    Forgiven,
}

impl Gatekeeper for Fleet {
    async fn enroll(&self, request: EnrollRequest, from: IpAddr) -> EnrollReply {
        self.enroll_host(request, from).await
    }

    async fn renew(&self, peer: PeerCertificate, request: RenewRequest) -> RenewReply {
        match self.renew_expired(&peer, &request).await {
            Ok(Ok(certificate)) => RenewReply::Renewed(certificate),
            Ok(Err(rejected)) => RenewReply::Refused { reason: rejected.reason, message: rejected.message },
            Err(error) => {
                let rejected = failure("renewal", &error);
                RenewReply::Refused { reason: rejected.reason, message: rejected.message }
            }
        }
    }

    async fn renew_live(&self, agent: AgentId, csr: Vec<u8>) -> Option<Certificate> {
        match self.renew_for(agent, &csr).await {
            Ok(certificate) => certificate,
            Err(error) => {
                tracing::error!(agent.id = %agent, %error, "a certificate was not renewed");
                None
            }
        }
    }

    async fn admit(&self, identity: &Identity, hello: &Hello) -> Result<Admitted, Rejected> {
        match identity {
            Identity::Attached(environment) => Ok(Admitted {
                environment: *environment,
                agent: None,
                standing: Standing::Active,
                generation: 0,
                ticket: Ticket([0; 32]),
            }),
            Identity::Edge(peer) => {
                let admitted = match self.admit_agent(peer, hello).await {
                    Err(error) if error.is_full() => self.admit_unwritten(peer, hello).await,
                    admitted => admitted,
                };
                admitted.unwrap_or_else(|error| Err(failure("admission", &error)))
            }
        }
    }

    async fn acknowledged(&self, agent: AgentId, ticket: Ticket) {
        if let Err(error) = self.promote(agent, &ticket).await {
            tracing::error!(agent.id = %agent, %error, "a ticket was not recorded as stored");
        }
    }

    async fn connected(&self, session: &Session) -> Result<(), Withdrawn> {
        // A disk that is full keeps nobody away: who may come is read.
        if let Err(error) = self.note_connected(session).await {
            tracing::error!(session.id = %session.id, %error, "a connection was not recorded");
        }
        // Nothing is decided over what the hub reaches by itself.
        let Some(agent) = session.agent else { return Ok(()) };
        self.heed_decisions(agent, session).await.unwrap_or_else(|error| {
            tracing::error!(session.id = %session.id, %error, "what was decided over an agent could not be read");
            Err(Withdrawn("the hub could not decide: its own log says why"))
        })
    }

    async fn disconnected(&self, session: &Session) {
        if let Err(error) = self.note_disconnected(session).await {
            tracing::error!(session.id = %session.id, %error, "a disconnection was not recorded");
        }
    }

    async fn policy_told(&self, session: &Session) {
        if let Err(error) = self.note_policy(session).await {
            tracing::error!(session.id = %session.id, %error, "a host's policy was not recorded");
        }
    }

    async fn duplicate(&self, session: &Session, refused: &SessionFacts) {
        tracing::warn!(
            environment.id = %session.environment,
            refused.hostname = %refused.host.hostname,
            live.hostname = %session.facts.host.hostname,
            "a second running agent has the identity of a live one and was turned away"
        );
        let Some(agent) = session.agent.filter(|agent| self.alarms.take(*agent, self.base.clock.now())) else {
            return;
        };
        let entry = Entry::new(&Actor::Agent(agent), Action::AgentDuplicate, &agent.to_string());
        if let Err(error) = self.note(entry.detail(&refused.host.hostname)).await {
            tracing::error!(%error, "a duplicate identity was not recorded");
        }
    }
}

impl Fleet {
    async fn admit_agent(&self, peer: &PeerCertificate, hello: &Hello) -> Result<Result<Admitted, Rejected>, DbError> {
        let now = self.base.clock.now();
        let mut tx = self.base.db.write_vital().await?;
        let row = match self.recognize(&mut tx, peer, Expiry::Matters, now).await? {
            Ok(row) => row,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let shown = hello.ticket.and_then(|ticket| self.tickets.read(row.id(), row.generation, &ticket));
        let verdict = row.judge(shown, &hello.host, now);
        let admitted = match (verdict, shown) {
            (TicketVerdict::Stale, _) | (_, None) => self.quarantine(&mut tx, &row, shown, hello).await?,
            (TicketVerdict::Expected | TicketVerdict::OneBehind | TicketVerdict::Ahead, Some(shown)) => {
                self.note_verdict(&mut tx, &row, verdict, now).await?;
                self.accept(&mut tx, &row, shown).await?
            }
        };
        tx.commit().await?;
        Ok(Ok(admitted))
    }

    /// Admits without writing anything, on a disk where nothing can be written:
    /// an agent whose ticket is the expected one keeps that ticket. Everyone
    /// else, of whom something would have to be recorded, waits.
    async fn admit_unwritten(
        &self,
        peer: &PeerCertificate,
        hello: &Hello,
    ) -> Result<Result<Admitted, Rejected>, DbError> {
        let now = self.base.clock.now();
        let mut tx = self.base.db.read().await?;
        let row = match self.recognize(&mut tx, peer, Expiry::Matters, now).await? {
            Ok(row) => row,
            Err(rejected) => return Ok(Err(rejected)),
        };
        let shown = hello.ticket.and_then(|ticket| self.tickets.read(row.id(), row.generation, &ticket));
        let expected = row.judge(shown, &hello.host, now) == TicketVerdict::Expected;
        match hello.ticket.filter(|_| expected && row.state() == AgentState::Active) {
            Some(ticket) => Ok(Ok(self.admitted(&row, Standing::Active, ticket))),
            None => Err(DbError::Full(None)),
        }
    }

    /// The agent that a certificate belongs to, if it is still welcome.
    async fn recognize(
        &self,
        tx: &mut Tx,
        peer: &PeerCertificate,
        expiry: Expiry,
        now: Timestamp,
    ) -> Result<Result<AgentRow, Rejected>, DbError> {
        let known = agents::find(tx, peer.agent).await?.filter(|row| row.has_key(peer.key));
        let Some(row) = known.filter(|_| peer.hub == self.authority.hub()) else {
            return Ok(Err(rejected(
                RejectReason::UnknownIdentity,
                "the hub does not know this agent, or its key was replaced: enroll the host again",
            )));
        };
        if row.state() == AgentState::Revoked {
            return Ok(Err(rejected(
                RejectReason::Revoked,
                "this agent was revoked: ask the hub's administrator, or enroll the host again",
            )));
        }
        let ended_for = u64::try_from(now.as_micros() - peer.not_after_micros).map(Duration::from_micros);
        match (ended_for, expiry) {
            (Err(_), _) => Ok(Ok(row)),
            (Ok(ended_for), _) if ended_for > RECOVERY_WINDOW => Ok(Err(rejected(
                RejectReason::ReenrollmentRequired,
                "the certificate ended more than 180 days ago: enroll the host again with a replacement token",
            ))),
            (Ok(_), Expiry::Forgiven) => Ok(Ok(row)),
            (Ok(_), Expiry::Matters) => {
                let reason = RejectReason::CertificateExpired;
                Ok(Err(Rejected { retry_after_secs: 0, ..rejected(reason, "the certificate has expired: renew it") }))
            }
        }
    }

    async fn accept(&self, tx: &mut Tx, row: &AgentRow, shown: i64) -> Result<Admitted, DbError> {
        let next = row.next_ticket(Some(shown));
        agents::hand_out_ticket(tx, row.id(), shown, next).await?;
        let standing = match row.state() {
            AgentState::Pending => Standing::PendingApproval,
            AgentState::Active | AgentState::Revoked => Standing::Active,
        };
        Ok(self.admitted(row, standing, self.tickets.mint(row.id(), row.generation, next)))
    }

    /// The session gets a heartbeat and nothing else; the ticket it showed is
    /// kept for an administrator who vouches for it, and no new one is made.
    async fn quarantine(
        &self,
        tx: &mut Tx,
        row: &AgentRow,
        shown: Option<i64>,
        hello: &Hello,
    ) -> Result<Admitted, DbError> {
        agents::note_refused_ticket(tx, row.id(), shown).await?;
        let now = self.base.clock.now();
        if self.alarms.take(row.id(), now) {
            let entry = Entry::new(&Actor::Agent(row.id()), Action::AgentQuarantine, &row.id().to_string());
            audit::record(tx, entry.detail(&hello.host.hostname), now).await?;
        }
        tracing::warn!(agent.id = %row.id(), name = %row.name, "an agent came with an old ticket and is quarantined");
        Ok(self.admitted(row, Standing::Quarantined, hello.ticket.unwrap_or(Ticket([0; 32]))))
    }

    fn admitted(&self, row: &AgentRow, standing: Standing, ticket: Ticket) -> Admitted {
        let generation = u64::try_from(row.generation).unwrap_or_default();
        Admitted { environment: row.environment(), agent: Some(row.id()), standing, generation, ticket }
    }

    async fn note_verdict(
        &self,
        tx: &mut Tx,
        row: &AgentRow,
        verdict: TicketVerdict,
        now: Timestamp,
    ) -> Result<(), DbError> {
        let action = match verdict {
            TicketVerdict::Expected | TicketVerdict::Stale => return Ok(()),
            TicketVerdict::OneBehind => {
                agents::mark_forgiven(tx, row.id(), now).await?;
                Action::AgentTicketForgiven
            }
            TicketVerdict::Ahead => Action::AgentAhead,
        };
        tracing::warn!(agent.id = %row.id(), name = %row.name, ?verdict, "an agent's ticket was not the expected one");
        audit::record(tx, Entry::new(&Actor::Agent(row.id()), action, &row.id().to_string()), now).await
    }

    async fn promote(&self, agent: AgentId, ticket: &Ticket) -> Result<(), DbError> {
        let mut tx = self.base.db.write_vital().await?;
        let Some(row) = agents::find(&mut tx, agent).await? else {
            return Ok(());
        };
        if let Some(number) = self.tickets.read(agent, row.generation, ticket) {
            agents::promote_ticket(&mut tx, agent, number).await?;
        }
        tx.commit().await
    }

    async fn renew_expired(
        &self,
        peer: &PeerCertificate,
        request: &RenewRequest,
    ) -> Result<Result<Certificate, Rejected>, IssueError> {
        let now = self.base.clock.now();
        let key = AgentKey::from_request(&request.csr)?;
        let mut tx = self.base.db.write_vital().await?;
        let row = match self.recognize(&mut tx, peer, Expiry::Forgiven, now).await? {
            Ok(row) => row,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if key.digest != peer.key {
            return Ok(Err(rejected(RejectReason::UnknownIdentity, "a renewal is for the same key only")));
        }
        let shown = request.ticket.and_then(|ticket| self.tickets.read(row.id(), row.generation, &ticket));
        let same_machine = HostFacts { machine: row.machine(), ..HostFacts::default() };
        if row.judge(shown, &same_machine, now) == TicketVerdict::Stale {
            return Ok(Err(rejected(
                RejectReason::ReenrollmentRequired,
                "the certificate has expired and the agent's state is an old copy: enroll the host again with a \
                 replacement token",
            )));
        }
        if !self.recoveries.take(row.id(), now) {
            let message = "the certificate was renewed a moment ago: the agent tries again";
            return Ok(Err(rejected(RejectReason::Unavailable, message)));
        }
        let certificate = self.issue(&mut tx, row.id(), &key, now).await?;
        let entry = Entry::new(&Actor::Agent(row.id()), Action::CertificateRecover, &row.id().to_string());
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await?;
        Ok(Ok(certificate))
    }

    async fn renew_for(&self, agent: AgentId, csr: &[u8]) -> Result<Option<Certificate>, IssueError> {
        let key = AgentKey::from_request(csr)?;
        let mut tx = self.base.db.write_vital().await?;
        let row = agents::find(&mut tx, agent).await?;
        let welcome = row.is_some_and(|row| row.has_key(key.digest) && row.state() != AgentState::Revoked);
        if !welcome {
            return Ok(None);
        }
        let certificate = self.issue(&mut tx, agent, &key, self.base.clock.now()).await?;
        tx.commit().await?;
        Ok(Some(certificate))
    }

    async fn note_connected(&self, session: &Session) -> Result<(), DbError> {
        let now = self.base.clock.now();
        let mut tx = self.base.db.write_vital().await?;
        environments::mark_connected(&mut tx, session.environment, &session.facts.agent_version, now).await?;
        if let Some(agent) = session.agent {
            agents::mark_connected(&mut tx, agent, &session.facts.host, now).await?;
        }
        tx.commit().await
    }

    /// What was decided since the session's admission.
    async fn heed_decisions(&self, agent: AgentId, session: &Session) -> Result<Result<(), Withdrawn>, DbError> {
        let row = agents::find(&mut self.base.db.read().await?, agent).await?;
        Ok(match row.map(|row| (row.state(), u64::try_from(row.generation).ok())) {
            None | Some((AgentState::Revoked, _)) => Err(Withdrawn("the agent was revoked")),
            Some((_, generation)) if generation != Some(session.generation) => {
                Err(Withdrawn("the agent's identity was replaced"))
            }
            Some((AgentState::Active, _)) => {
                if session.standing() == Standing::PendingApproval {
                    session.approve();
                }
                Ok(())
            }
            Some((AgentState::Pending, _)) => Ok(()),
        })
    }

    async fn note_disconnected(&self, session: &Session) -> Result<(), DbError> {
        let engine = session.engine_facts().map(|facts| facts.version);
        let mut tx = self.base.db.write_vital().await?;
        environments::mark_seen(&mut tx, session.environment, engine.as_deref(), self.base.clock.now()).await?;
        tx.commit().await
    }

    /// Records what has no transaction of its own.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note(&self, entry: Entry) -> Result<(), DbError> {
        let mut tx = self.base.db.write().await?;
        audit::record(&mut tx, entry, self.base.clock.now()).await?;
        tx.commit().await
    }
}

fn rejected(reason: RejectReason, message: &str) -> Rejected {
    Rejected { reason, message: message.to_owned(), retry_after_secs: HOPELESS_RETRY_SECS }
}

fn failure(what: &str, error: &dyn std::error::Error) -> Rejected {
    tracing::error!(error = %error, "{what} failed");
    Rejected {
        reason: RejectReason::Unavailable,
        message: "the hub could not decide: its own log says why; the agent tries again".to_owned(),
        retry_after_secs: FAILURE_RETRY_SECS,
    }
}

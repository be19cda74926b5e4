//! What an enrollment decides: who gets a token, and what a host gets for it.

use std::net::IpAddr;

use uuid::Uuid;
use windflow_protocol::ids::{AgentId, EnvironmentId};
use windflow_protocol::message::enroll::{Certificate, EnrollReply, EnrollRequest, Enrolled};
use windflow_protocol::text::sanitize;
use windflow_protocol::token::{EnrollmentToken, TokenId, TokenSecret};

use super::limiter::WINDOW;
use super::model::{InvalidToken, MintedToken, NewEnrollmentToken, RETRY_WINDOW, TokenRow};
use super::store;
use crate::clock::Timestamp;
use crate::db::dialect::{self, Exclusive};
use crate::db::{DbError, Tx};
use crate::fleet::Fleet;
use crate::fleet::agents::{self, AgentState, FIRST_TICKET, NewAgent};
use crate::fleet::authority::{AGENT_CERTIFICATE_LIFE, AgentKey, AuthorityError, IssuedCertificate};
use crate::fleet::environments::{self, EngineTarget, EnvironmentKind, EnvironmentName, Labels, NewEnvironment};
use crate::identity::audit::{self, Action, Actor, Entry, Outcome};
use crate::tunnel::News;

/// How often a taken name is numbered before giving up.
const NAMES_TRIED: u32 = 1_000;

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// It asks for more than a token may allow.
    #[error(transparent)]
    Invalid(#[from] InvalidToken),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why a host was not enrolled. The host is told none of it; the audit log is.
#[derive(Debug, thiserror::Error)]
enum Denial {
    #[error("no such token, or not its secret")]
    Secret,
    #[error("the token was revoked")]
    Revoked,
    #[error("the host's name or address is outside what the token allows")]
    Scope,
    #[error("the token has expired or was used up")]
    Spent,
    #[error("the host's key belongs to an agent already")]
    KeyInUse,
    #[error("every name like the host's is taken")]
    Names,
    #[error(transparent)]
    Request(#[from] AuthorityError),
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Denial {
    /// Whether it says nothing about the token, so that trying again can help.
    const fn is_ours(&self) -> bool {
        match self {
            Self::Db(_) => true,
            Self::Secret | Self::Revoked | Self::Scope | Self::Spent | Self::KeyInUse | Self::Names => false,
            Self::Request(error) => matches!(error, AuthorityError::Unusable(_)),
        }
    }
}

/// A request whose key has proved itself, and where it came from.
struct Candidate<'a> {
    request: &'a EnrollRequest,
    key: AgentKey,
    from: IpAddr,
    now: Timestamp,
}

impl Fleet {
    /// Makes a token. Its text leaves the hub with this answer only.
    ///
    /// # Errors
    /// [`MintError`].
    pub async fn mint_token(&self, new: &NewEnrollmentToken, by: &Actor) -> Result<MintedToken, MintError> {
        self.mint(new, None, by).await
    }

    /// Makes the token that gives an agent a new key.
    ///
    /// # Errors
    /// [`MintError`].
    pub(in crate::fleet) async fn mint(
        &self,
        new: &NewEnrollmentToken,
        replaces_agent: Option<AgentId>,
        by: &Actor,
    ) -> Result<MintedToken, MintError> {
        new.check()?;
        let now = self.base.clock.now();
        let token = EnrollmentToken {
            id: TokenId::from_random(u64::from_le_bytes(self.base.random.bytes())),
            secret: TokenSecret::from_random(self.base.random.bytes()),
            pin: self.authority.pin(),
        };
        let minted = store::Minted {
            id: &token.id,
            secret_mac: self.pepper.mac(&token.id, &token.secret),
            replaces_agent,
            created_by: &by.name(),
            created_at: now,
        };
        let mut tx = self.base.db.write().await?;
        store::insert(&mut tx, &minted, new).await?;
        audit::record(&mut tx, Entry::new(by, Action::TokenCreate, token.id.as_str()), now).await?;
        tx.commit().await?;
        Ok(MintedToken {
            id: token.id.to_string(),
            token: token.expose().to_string(),
            expires_at: now + new.life(),
            uses: new.max_uses(),
            hub_pin: token.pin.to_string(),
        })
    }

    /// A token by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find_token(&self, id: &TokenId) -> Result<Option<TokenRow>, DbError> {
        store::find(&mut self.base.db.read().await?, id).await
    }

    /// Every token, newest first; `name` narrows it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn list_tokens(&self, name: Option<&str>) -> Result<Vec<TokenRow>, DbError> {
        store::list(&mut self.base.db.read().await?, name).await
    }

    /// Revokes a token. Agents that it admitted stay. Whether it was there and
    /// not revoked yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke_token(&self, id: &TokenId, reason: &str, by: &Actor) -> Result<bool, DbError> {
        let now = self.base.clock.now();
        let mut tx = self.base.db.write_vital().await?;
        let revoked = store::revoke(&mut tx, id, reason, now).await?;
        if revoked {
            audit::record(&mut tx, Entry::new(by, Action::TokenRevoke, id.as_str()).detail(reason), now).await?;
        }
        tx.commit().await?;
        Ok(revoked)
    }

    /// Exchanges a token for an identity.
    pub(in crate::fleet) async fn enroll_host(&self, request: EnrollRequest, from: IpAddr) -> EnrollReply {
        let now = self.base.clock.now();
        if !self.limiter.allows(&request.token, from, now) {
            return denied(String::new(), u32::try_from(WINDOW.as_secs()).expect("a minute is few seconds"));
        }
        match self.try_enroll(&request, from, now).await {
            Ok(enrolled) => {
                tracing::info!(agent.id = %enrolled.agent, environment.id = %enrolled.environment, name = %enrolled.name, "agent enrolled");
                self.tell(News::Agent(enrolled.agent, enrolled.environment));
                self.tell(News::Environment(enrolled.environment));
                EnrollReply::Enrolled(enrolled)
            }
            Err(denial) => self.deny(&request, from, denial, now).await,
        }
    }

    async fn try_enroll(&self, request: &EnrollRequest, from: IpAddr, now: Timestamp) -> Result<Enrolled, Denial> {
        let key = AgentKey::from_request(&request.csr)?;
        let candidate = Candidate { request, key, from, now };
        let mut tx = self.base.db.write().await?;
        dialect::lock_exclusive(&mut tx, Exclusive::Enrollment).await?;
        let row = store::find(&mut tx, &request.token).await?;
        if !self.pepper.verify(row.as_ref(), &request.token, &request.secret) {
            return Err(Denial::Secret);
        }
        let row = row.ok_or(Denial::Secret)?;
        if row.revoked_at.is_some() {
            return Err(Denial::Revoked);
        }
        if !row.admits(&wanted_name(request), from) {
            return Err(Denial::Scope);
        }
        let enrolled = match self.earlier_use(&mut tx, &candidate).await? {
            Some(agent) => self.repeat(&mut tx, &candidate, agent).await?,
            None => self.first_use(&mut tx, &candidate, &row).await?,
        };
        tx.commit().await?;
        if row.replaces_agent.is_some() {
            self.base.sessions.close(enrolled.environment, "the agent's identity was replaced");
        }
        Ok(enrolled)
    }

    /// The agent that this very token and key made a moment ago, if its answer
    /// may have been lost.
    async fn earlier_use(&self, tx: &mut Tx, candidate: &Candidate<'_>) -> Result<Option<agents::AgentRow>, DbError> {
        let Some(earlier) = store::find_use(tx, &candidate.request.token, candidate.key.digest).await? else {
            return Ok(None);
        };
        if candidate.now.since(earlier.at) > RETRY_WINDOW {
            return Ok(None);
        }
        let agent = agents::find(tx, AgentId(earlier.agent_id)).await?;
        Ok(agent.filter(|agent| agent.connected_at.is_none() && agent.has_key(candidate.key.digest)))
    }

    async fn repeat(
        &self,
        tx: &mut Tx,
        candidate: &Candidate<'_>,
        agent: agents::AgentRow,
    ) -> Result<Enrolled, Denial> {
        let entry = Entry::new(&Actor::Agent(agent.id()), Action::EnrollRetry, candidate.request.token.as_str());
        audit::record(tx, entry.from(candidate.from), candidate.now).await?;
        self.grant(tx, candidate, &agent).await
    }

    async fn first_use(&self, tx: &mut Tx, candidate: &Candidate<'_>, row: &TokenRow) -> Result<Enrolled, Denial> {
        if agents::find_by_key(tx, candidate.key.digest).await?.is_some() {
            return Err(Denial::KeyInUse);
        }
        let token = &candidate.request.token;
        if !store::consume(tx, token, &candidate.from.to_string(), candidate.now).await? {
            return Err(Denial::Spent);
        }
        let agent = match row.replaces_agent {
            Some(agent) => self.replace(tx, candidate, AgentId(agent)).await?,
            None => self.join(tx, candidate, row).await?,
        };
        store::insert_use(tx, token, candidate.key.digest, agent, candidate.now).await?;
        let entry = Entry::new(&Actor::Agent(agent), Action::Enroll, token.as_str()).from(candidate.from);
        audit::record(tx, entry.detail(&candidate.key.digest.to_string()), candidate.now).await?;
        let agent = agents::find(tx, agent).await?.ok_or(Denial::Spent)?;
        self.grant(tx, candidate, &agent).await
    }

    async fn replace(&self, tx: &mut Tx, candidate: &Candidate<'_>, agent: AgentId) -> Result<AgentId, Denial> {
        let host = candidate.request.host.clone().sanitized();
        agents::replace_key(tx, agent, candidate.key.digest, &host).await?;
        Ok(agent)
    }

    async fn join(&self, tx: &mut Tx, candidate: &Candidate<'_>, row: &TokenRow) -> Result<AgentId, Denial> {
        let mut labels = row.labels.0.clone();
        for (name, value) in candidate.request.labels.iter().take(windflow_protocol::limits::LABELS_MAX) {
            labels.entry(sanitize(name)).or_insert_with(|| sanitize(value));
        }
        let environment = NewEnvironment {
            id: EnvironmentId::generate(),
            name: free_name(tx, &wanted_name(candidate.request)).await?,
            kind: EnvironmentKind::Edge,
            target: EngineTarget::Local,
            insecure: false,
            labels: Labels::stored(labels),
            created_at: candidate.now,
        };
        environments::insert(tx, &self.base.vault, &environment).await?;
        let agent = NewAgent {
            id: AgentId::generate(),
            environment: environment.id,
            state: if row.needs_approval { AgentState::Pending } else { AgentState::Active },
            key: candidate.key.digest,
            host: candidate.request.host.clone().sanitized(),
            enrolled_with: row.id.clone(),
            enrolled_at: candidate.now,
        };
        agents::insert(tx, &agent).await?;
        Ok(agent.id)
    }

    async fn grant(
        &self,
        tx: &mut Tx,
        candidate: &Candidate<'_>,
        agent: &agents::AgentRow,
    ) -> Result<Enrolled, Denial> {
        let certificate = self.issue(tx, agent.id(), &candidate.key, candidate.now).await?;
        Ok(Enrolled {
            agent: agent.id(),
            environment: agent.environment(),
            hub: self.authority.hub(),
            name: agent.name.clone(),
            generation: u64::try_from(agent.generation).unwrap_or(1),
            ticket: self.tickets.mint(agent.id(), agent.generation, FIRST_TICKET),
            pending_approval: agent.state() == AgentState::Pending,
            certificate,
            hub_clock_micros: candidate.now.as_micros(),
        })
    }

    async fn deny(&self, request: &EnrollRequest, from: IpAddr, denial: Denial, now: Timestamp) -> EnrollReply {
        if denial.is_ours() {
            tracing::error!(token.id = %request.token, error = %denial, "enrollment failed");
            return denied(String::new(), 5);
        }
        self.limiter.failed(&request.token, from, now);
        let reference = Uuid::now_v7().to_string();
        tracing::warn!(token.id = %request.token, %from, reason = %denial, reference, "enrollment denied");
        let entry = Entry::new(&Actor::Nobody, Action::Enroll, request.token.as_str())
            .from(from)
            .outcome(Outcome::Denied)
            .detail(&format!("{denial} ({reference})"));
        match self.note_denial(entry, now).await {
            Ok(()) => denied(reference, 0),
            Err(error) => {
                tracing::error!(%error, "a denied enrollment was not recorded");
                denied(reference, 0)
            }
        }
    }

    async fn note_denial(&self, entry: Entry, now: Timestamp) -> Result<(), DbError> {
        let mut tx = self.base.db.write().await?;
        audit::record(&mut tx, entry, now).await?;
        tx.commit().await
    }

    /// Signs and records a certificate.
    pub(in crate::fleet) async fn issue(
        &self,
        tx: &mut Tx,
        agent: AgentId,
        key: &AgentKey,
        now: Timestamp,
    ) -> Result<Certificate, IssueError> {
        let issued = self.authority.issue(agent, key, now.as_datetime(), AGENT_CERTIFICATE_LIFE)?;
        agents::insert_certificate(tx, agent, &issued, now).await?;
        Ok(self.certificate(&issued, now))
    }

    fn certificate(&self, issued: &IssuedCertificate, now: Timestamp) -> Certificate {
        let life = (issued.not_after - now.as_datetime()).whole_seconds();
        Certificate {
            leaf: issued.der.clone(),
            authority: self.authority.certificate().to_vec(),
            renew_in_secs: u32::try_from(life * 2 / 3).unwrap_or(1),
            not_after_micros: Timestamp::from(issued.not_after).as_micros(),
        }
    }
}

/// Why a certificate was not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// It could not be signed.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It could not be recorded.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<IssueError> for Denial {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Authority(error) => Self::Request(error),
            IssueError::Db(error) => Self::Db(error),
        }
    }
}

fn wanted_name(request: &EnrollRequest) -> String {
    let wanted = if request.name.is_empty() { &request.host.hostname } else { &request.name };
    EnvironmentName::from_hostname(wanted).to_string()
}

async fn free_name(tx: &mut Tx, wanted: &str) -> Result<EnvironmentName, Denial> {
    let wanted = EnvironmentName::from_hostname(wanted);
    let numbered = (2..NAMES_TRIED).map(|number| wanted.numbered(number));
    for name in std::iter::once(wanted.clone()).chain(numbered) {
        if !environments::name_taken(tx, &name).await? {
            return Ok(name);
        }
    }
    Err(Denial::Names)
}

fn denied(reference: String, retry_after_secs: u32) -> EnrollReply {
    let message = if retry_after_secs == 0 {
        "the hub does not accept this token: it may be mistyped, expired, used, revoked or limited to other hosts; \
         the hub's audit log says which. Make a new one with `windflow-hub token create`"
    } else {
        "the hub takes no enrollment right now: try again later"
    };
    EnrollReply::Denied { message: message.to_owned(), reference, retry_after_secs }
}

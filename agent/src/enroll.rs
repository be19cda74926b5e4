//! How a host becomes an agent: the pin is checked by the TLS session, then
//! the token is exchanged for a certificate.

pub mod renew;

use std::time::Duration;

use tokio::time::{Instant, timeout};
use windflow_protocol::capability::Capabilities;
use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::identity::Purpose;
use windflow_protocol::limits::EXCHANGE_DEADLINE;
use windflow_protocol::message::enroll::{EnrollReply, EnrollRequest, Enrolled};
use windflow_protocol::text::sanitize;
use windflow_protocol::tls::{FleetTrust, client_config};
use windflow_protocol::token::EnrollmentToken;
use windflow_protocol::version::ProtocolVersion;

use crate::backoff::Backoff;
use crate::host;
use crate::identity::{AgentKey, Identity, State, StateDir};
use crate::link::{HubUrl, Link, LinkError, Proxy, ProxyRules, TransportChoice};
use crate::serve::AGENT_VERSION;

/// What the operator decided.
#[derive(Debug)]
pub struct EnrollOptions {
    /// Where the hub may be.
    pub hubs: Vec<HubUrl>,
    /// Who vouches for this host, and which hub to trust.
    pub token: EnrollmentToken,
    /// The wanted name; the host name where it is empty.
    pub name: String,
    /// Labels of the host.
    pub labels: Vec<(String, String)>,
    /// How to travel, now and later.
    pub transport: TransportChoice,
    /// Through what to travel, now and later.
    pub proxy: Option<Proxy>,
    /// What the environment says of proxies.
    pub proxies: ProxyRules,
    /// What to do about an identity that is there already.
    pub existing: Existing,
    /// How long to try where the hub cannot be reached.
    pub wait: Duration,
}

/// What becomes of an identity that a host already has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is done.
    Keep,
    /// It stays until the new one is granted.
    Replace,
}

/// Why a host did not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The host has an identity.
    #[error("this host is enrolled already, as {name}: nothing was changed. Use --reenroll to replace that identity")]
    AlreadyEnrolled {
        /// The name it has.
        name: String,
    },
    /// The hub did not accept the token.
    #[error("ENROLL_DENIED: {message} (reference {reference} in the hub's audit log)")]
    Denied {
        /// The hub's words.
        message: String,
        /// The audit entry that has the cause.
        reference: String,
    },
    /// The hub cannot be reached, or is not the one the token names.
    #[error("{code}: {0}. What to do: {advice}", code = .0.code(), advice = .0.advice())]
    Link(#[from] LinkError),
    /// The hub's answer was lost or made no sense.
    #[error("ANSWER_LOST: {0}. What to do: run the same command again; the token is still good for this host")]
    Answer(#[from] CodecError),
    /// The state directory does not take what has to be kept.
    #[error("STATE_DIR: {0:#}")]
    State(#[from] anyhow::Error),
}

/// A host that became an agent.
#[derive(Debug)]
pub struct Enrollment {
    /// Who it is now.
    pub identity: Identity,
    /// Whether an administrator still has to approve it.
    pub pending_approval: bool,
}

/// Exchanges the token for an identity. The key is on disk before the network
/// is touched, so that a lost answer can be asked for again.
///
/// # Errors
/// [`EnrollError`] once trying again is useless or [`EnrollOptions::wait`] is
/// over.
pub async fn enroll(state_dir: &StateDir, options: &EnrollOptions) -> Result<Enrollment, EnrollError> {
    if let Some(identity) = state_dir.load()?
        && options.existing == Existing::Keep
    {
        return Err(EnrollError::AlreadyEnrolled { name: identity.state.name });
    }
    let pending = state_dir.begin(&options.token.id)?;
    let granted = ask(options, pending.key()).await?;
    let mut state = State::new(&granted, options.hubs.clone(), options.token.pin);
    state.transport = options.transport;
    state.proxy.clone_from(&options.proxy);
    let identity = pending.grant(&granted, &state)?;
    Ok(Enrollment { identity, pending_approval: granted.pending_approval })
}

/// Asks until there is an answer that stands.
async fn ask(options: &EnrollOptions, key: &AgentKey) -> Result<Enrolled, EnrollError> {
    let give_up = Instant::now() + options.wait;
    let proxies = options.proxy.clone().map_or_else(|| options.proxies.clone(), ProxyRules::always);
    let mut link = Link::new(options.hubs.clone(), proxies, options.transport);
    let mut backoff = Backoff::default();
    loop {
        let (error, pause) = match ask_once(&mut link, options, key).await {
            Ok(EnrollReply::Enrolled(granted)) => return Ok(granted),
            Ok(EnrollReply::Denied { message, reference, retry_after_secs }) => {
                let denied = EnrollError::Denied { message: sanitize(&message), reference: sanitize(&reference) };
                if retry_after_secs == 0 {
                    return Err(denied);
                }
                (denied, Duration::from_secs(retry_after_secs.into()))
            }
            Err(EnrollError::Link(error)) if error.is_distrust() => return Err(error.into()),
            Err(error @ (EnrollError::Link(_) | EnrollError::Answer(_))) => (error, backoff.next_wait()),
            Err(error) => return Err(error),
        };
        if Instant::now() + pause >= give_up {
            return Err(error);
        }
        tracing::warn!(%error, "enrollment will be tried again");
        tokio::time::sleep(pause).await;
    }
}

async fn ask_once(link: &mut Link, options: &EnrollOptions, key: &AgentKey) -> Result<EnrollReply, EnrollError> {
    let trust = FleetTrust { pins: vec![options.token.pin], hub: None };
    let mut hub = link.exchange(&|| client_config(Purpose::Enroll, trust.clone(), None)).await?;
    let request = request(options, key)?;
    let exchange = async {
        codec::write_message(&mut hub, &request).await?;
        codec::read_message(&mut hub).await
    };
    let reply = timeout(EXCHANGE_DEADLINE, exchange).await.map_err(|_| LinkError::Deadline)?;
    Ok(reply?)
}

fn request(options: &EnrollOptions, key: &AgentKey) -> anyhow::Result<EnrollRequest> {
    Ok(EnrollRequest {
        version: ProtocolVersion::CURRENT,
        token: options.token.id.clone(),
        secret: options.token.secret.clone(),
        csr: key.certificate_request()?,
        name: options.name.clone(),
        labels: options.labels.clone(),
        agent_version: AGENT_VERSION.to_owned(),
        capabilities: Capabilities::ALL,
        host: host::facts(),
    })
}

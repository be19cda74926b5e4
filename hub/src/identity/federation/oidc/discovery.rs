//! What a provider says of itself, and the keys that it signs with.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openidconnect::core::CoreJsonWebKeySet;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::identity::Identity;
use crate::identity::federation::model::{OidcConfiguration, Provider, TestStep};
use crate::outgoing::{Call, Outgoing, OutgoingError, Rules};

/// How long what a provider says of itself counts.
const FOUND_LIFE: Duration = Duration::from_secs(60 * 60);
/// How long a provider that gave no answer is not asked again.
const FAILED_LIFE: Duration = Duration::from_secs(5);
/// A token signed with an unknown key has the keys read again this often at
/// most.
const AGAIN_EVERY: Duration = Duration::from_secs(60);
/// Keys that a provider may have.
const KEYS_MAX: usize = 100;

/// What a provider says of itself, as far as the hub needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct Metadata {
    issuer: String,
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    jwks_uri: Url,
    pub userinfo_endpoint: Option<Url>,
    pub end_session_endpoint: Option<Url>,
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// A provider that can be asked.
#[derive(Clone, Debug)]
pub struct Discovered {
    pub metadata: Metadata,
    pub keys: CoreJsonWebKeySet,
    at: Timestamp,
}

/// Why a provider cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The way to it.
    #[error(transparent)]
    Way(#[from] OutgoingError),
    /// What it answers is not what such a provider answers.
    #[error("the answer is not what a provider says there")]
    NoDocument,
    /// It calls itself otherwise.
    #[error("the provider calls itself otherwise than it is called here")]
    OtherIssuer,
    /// It names addresses that may not be asked.
    #[error("the provider names addresses that may not be asked")]
    Endpoints,
    /// It has no key.
    #[error("the provider has no key that can be used")]
    NoKeys,
}

impl Trouble {
    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Way(OutgoingError::NotAllowed) => "not_allowed",
            Self::Way(OutgoingError::Private) => "private",
            Self::Way(OutgoingError::NoAnswer) | Self::NoDocument => "no_document",
            Self::OtherIssuer => "other_issuer",
            Self::Endpoints => "endpoints",
            Self::NoKeys => "no_keys",
        }
    }
}

/// What was learnt from each provider a while ago.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashMap<Uuid, Learnt>>);

#[derive(Clone, Debug)]
struct Learnt {
    /// The provider as it was configured then.
    of: Timestamp,
    at: Timestamp,
    what: Result<Arc<Discovered>, Trouble>,
}

impl Known {
    /// Forgets one that was changed.
    pub fn forget(&self, provider: Uuid) {
        self.lock().remove(&provider);
    }

    fn find(&self, provider: &Provider, now: Timestamp) -> Option<Result<Arc<Discovered>, Trouble>> {
        let known = self.lock();
        let learnt = known.get(&provider.id).filter(|learnt| learnt.of == provider.updated_at)?;
        let life = if learnt.what.is_ok() { FOUND_LIFE } else { FAILED_LIFE };
        (now.since(learnt.at) < life).then(|| learnt.what.clone())
    }

    fn keep(&self, provider: &Provider, what: &Result<Arc<Discovered>, Trouble>, now: Timestamp) {
        let learnt = Learnt { of: provider.updated_at, at: now, what: what.clone() };
        self.lock().insert(provider.id, learnt);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Learnt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// What a provider says of itself, asked for once an hour.
    pub(super) async fn discovered(
        &self,
        provider: &Provider,
        oidc: &OidcConfiguration,
    ) -> Result<Arc<Discovered>, Trouble> {
        let now = self.now();
        if let Some(known) = self.federation.known.find(provider, now) {
            return known;
        }
        self.discover(provider, oidc, now).await
    }

    /// The same anew, where a token was signed with a key that is not among the
    /// known ones; `None` where it was asked for a moment ago.
    pub(super) async fn discovered_anew(
        &self,
        provider: &Provider,
        oidc: &OidcConfiguration,
        known: &Discovered,
    ) -> Option<Result<Arc<Discovered>, Trouble>> {
        let now = self.now();
        if now.since(known.at) < AGAIN_EVERY {
            return None;
        }
        Some(self.discover(provider, oidc, now).await)
    }

    async fn discover(
        &self,
        provider: &Provider,
        oidc: &OidcConfiguration,
        now: Timestamp,
    ) -> Result<Arc<Discovered>, Trouble> {
        let outgoing = &self.federation.outgoing;
        let asking = async {
            let rules = oidc.rules().map_err(|_| Trouble::Endpoints)?;
            let metadata = fetch_metadata(outgoing, &rules, oidc).await?;
            let keys = fetch_keys(outgoing, &rules, &metadata).await?;
            Ok(Arc::new(Discovered { metadata, keys, at: now }))
        };
        let what = asking.await;
        self.federation.known.keep(provider, &what, now);
        what
    }

    /// Tries what can be tried without a user, step by step.
    pub(in crate::identity::federation) async fn test_oidc(&self, oidc: &OidcConfiguration) -> Vec<TestStep> {
        let outgoing = &self.federation.outgoing;
        let step = |step, result: Option<Result<Vec<String>, Trouble>>| TestStep {
            step,
            passed: result.as_ref().map(Result::is_ok),
            trouble: result.as_ref().and_then(|result| result.as_ref().err()).map(|trouble| trouble.as_str()),
            found: result.and_then(Result::ok).unwrap_or_default(),
        };
        let Ok(rules) = oidc.rules() else {
            let steps = [("discovery", Some(Err(Trouble::Endpoints))), ("endpoints", None), ("keys", None)];
            return steps.map(|(name, result)| step(name, result)).to_vec();
        };
        let document = read_metadata(outgoing, &rules, oidc).await;
        let endpoints = document.as_ref().ok().map(|metadata| check_endpoints(&rules, metadata));
        let keys = match (&document, &endpoints) {
            (Ok(metadata), Some(Ok(()))) => Some(fetch_keys(outgoing, &rules, metadata).await),
            _ => None,
        };
        let named = |metadata: &Metadata| {
            let all =
                [Some(&metadata.authorization_endpoint), Some(&metadata.token_endpoint), Some(&metadata.jwks_uri)];
            let more = [metadata.userinfo_endpoint.as_ref(), metadata.end_session_endpoint.as_ref()];
            all.into_iter().chain(more).flatten().map(Url::to_string).collect::<Vec<_>>()
        };
        let found = document.as_ref().map(named).unwrap_or_default();
        vec![
            step("discovery", Some(document.as_ref().map(|metadata| vec![metadata.issuer.clone()]).map_err(|e| *e))),
            step("endpoints", endpoints.map(|checked| checked.map(|()| found))),
            step("keys", keys.map(|keys| keys.map(|keys| vec![keys.keys().len().to_string()]))),
        ]
    }
}

async fn fetch_metadata(outgoing: &Outgoing, rules: &Rules, oidc: &OidcConfiguration) -> Result<Metadata, Trouble> {
    let metadata = read_metadata(outgoing, rules, oidc).await?;
    check_endpoints(rules, &metadata)?;
    Ok(metadata)
}

async fn read_metadata(outgoing: &Outgoing, rules: &Rules, oidc: &OidcConfiguration) -> Result<Metadata, Trouble> {
    let address = format!("{}/.well-known/openid-configuration", oidc.issuer.trim_end_matches('/'));
    let address = Url::parse(&address).map_err(|_| Trouble::Endpoints)?;
    let answer = outgoing.send(rules, Call::get(address)).await?;
    let metadata: Metadata = answer.document().ok_or(Trouble::NoDocument)?;
    // Exactly: a slash more is another issuer.
    if metadata.issuer == oidc.issuer { Ok(metadata) } else { Err(Trouble::OtherIssuer) }
}

/// The browser goes there, and the client secret.
fn check_endpoints(rules: &Rules, metadata: &Metadata) -> Result<(), Trouble> {
    let required = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
    let optional = [metadata.userinfo_endpoint.as_ref(), metadata.end_session_endpoint.as_ref()];
    let mut all = required.into_iter().chain(optional.into_iter().flatten());
    let fits = |url: &Url| url.has_host() && (url.scheme() == "https" || (rules.allow_http && url.scheme() == "http"));
    if all.all(fits) { Ok(()) } else { Err(Trouble::Endpoints) }
}

async fn fetch_keys(outgoing: &Outgoing, rules: &Rules, metadata: &Metadata) -> Result<CoreJsonWebKeySet, Trouble> {
    let answer = outgoing.send(rules, Call::get(metadata.jwks_uri.clone())).await?;
    let keys: CoreJsonWebKeySet = answer.document().ok_or(Trouble::NoDocument)?;
    if keys.keys().is_empty() || keys.keys().len() > KEYS_MAX { Err(Trouble::NoKeys) } else { Ok(keys) }
}

//! What a provider says of a session that ended there (OpenID Connect
//! Back-Channel Logout 1.0): what followed from it here ends too.
//!
//! Nobody who cannot prove to be the provider ends anything, and what cannot be
//! verified at the moment ends nothing: it is refused, and recorded.

use std::collections::BTreeMap;
use std::time::Duration;

use openidconnect::core::CoreJsonWebKeySet;
use ring::digest::{Context, SHA256};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::discovery::Trouble;
use super::signature::signed_claims;
use super::tokens::{BadToken, SKEW, is_id};
use crate::clock::Timestamp;
use crate::db::dialect;
use crate::error::{ApiError, ApiResult};
use crate::http::Caller;
use crate::identity::Identity;
use crate::identity::audit::{self, Action, Entry, Outcome};
use crate::identity::federation::model::{Configuration, OidcConfiguration, Provider};
use crate::identity::federation::store;
use crate::identity::sessions::{self, EndedThere};

/// What such a token is about.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// What such a token calls itself, where it does.
const KINDS: [&str; 2] = ["logout+jwt", "jwt"];
/// How long after it was made a token counts, whatever it says itself. For longer
/// than this the hub remembers those that came.
const FRESH: Duration = Duration::from_secs(5 * 60);

/// What a good token says.
#[derive(Debug)]
struct Said {
    ended: EndedThere,
    /// By what it is known again.
    digest: Vec<u8>,
}

/// Why one ends nothing.
#[derive(Debug, thiserror::Error)]
enum BadLogout {
    #[error(transparent)]
    Token(#[from] BadToken),
    #[error("the provider cannot be asked for its keys: {0}")]
    Provider(#[from] Trouble),
    #[error("it is not from just now")]
    NotNow,
    #[error("it does not say that a session ended")]
    NoLogout,
    #[error("it has a nonce, as a token for signing in")]
    Nonce,
    #[error("it says of nobody that they left")]
    Nobody,
    #[error("it has no usable id")]
    NoId,
    #[error("it came before")]
    Used,
}

impl Identity {
    /// Ends the sessions of which a provider says that theirs ended. `token` is
    /// what it sent, or nothing.
    ///
    /// # Errors
    /// 400 for a token that is not good or cannot be verified, 404 when there is
    /// no such provider, 429 after too many that were not good.
    pub(in crate::identity::federation) async fn end_sessions_by_provider(
        &self,
        slug: &str,
        token: &str,
        caller: &Caller,
    ) -> ApiResult<()> {
        // What somebody has still ends where nobody new is let in.
        let provider = store::find_by_slug(&mut self.db.read().await?, slug).await?;
        let provider = provider.ok_or_else(|| ApiError::not_found("identity provider"))?;
        let Configuration::Oidc(oidc) = &provider.configuration else {
            return Err(ApiError::not_found("identity provider"));
        };
        let bad = match self.read_logout(&provider, oidc, token).await {
            Ok(said) => match self.end_there(&provider, &said, caller).await? {
                true => return Ok(()),
                false => BadLogout::Used,
            },
            Err(bad) => bad,
        };
        tracing::warn!(provider = slug, cause = %bad, "what an identity provider says of a session that ended is refused");
        // Only what is wrong counts: no number of those holds up one that is good.
        let account = format!("{slug}@logout");
        let account = caller.address.map_or(account.clone(), |address| format!("{account}/{address}"));
        self.throttle.begin(&account, caller.address, self.now()).await.map_err(ApiError::too_many_requests)?;
        self.record_bad_logout(&provider, &bad, caller).await?;
        let message = "This is no token that says of a session that it ended, or it cannot be verified.";
        Err(ApiError::bad_request("invalid_logout_token", message))
    }

    async fn read_logout(&self, provider: &Provider, oidc: &OidcConfiguration, token: &str) -> Result<Said, BadLogout> {
        let discovered = self.discovered(provider, oidc).await?;
        let read = |keys: &CoreJsonWebKeySet| read(token, oidc, keys, self.now());
        let read = match read(&discovered.keys) {
            // The provider may have a new key since it was asked.
            Err(BadLogout::Token(BadToken::UnknownKey)) => {
                match self.discovered_anew(provider, oidc, &discovered).await {
                    Some(anew) => read(&anew?.keys),
                    None => Err(BadToken::UnknownKey.into()),
                }
            }
            read => read,
        };
        let (ended, id) = read?;
        Ok(Said { digest: digest(provider.id, &ended.issuer, &id), ended })
    }

    /// Ends what ended there, unless this was said before.
    async fn end_there(&self, provider: &Provider, said: &Said, caller: &Caller) -> ApiResult<bool> {
        let now = self.now();
        let mut tx = self.db.write_vital().await?;
        // Whoever is about to sign in by it has done so, or learns of this.
        if !dialect::hold_row(&mut tx, "identity_providers", provider.id).await? {
            return Err(ApiError::not_found("identity provider"));
        }
        if !store::insert_logout(&mut tx, &said.digest, provider.id, &said.ended, now).await? {
            return Ok(false);
        }
        let over = sessions::list_ended_there(&mut tx, provider.id, &said.ended).await?;
        let mut users = BTreeMap::<Uuid, (&str, usize)>::new();
        for session in &over {
            sessions::delete(&mut tx, session.id).await?;
            users.entry(session.user_id.0).or_insert((&session.user_name, 0)).1 += 1;
        }
        let by = caller.into();
        for (user, (name, count)) in users {
            let entry = Entry::new(&by, Action::SignOut, &user.to_string()).called(Some(name));
            let entry = entry.fact("provider", json!(provider.name)).fact("sessions", json!(count));
            audit::record(&mut tx, entry, now).await?;
        }
        let entry = Entry::new(&by, Action::ProviderLogout, &provider.id.to_string()).called(Some(&provider.name));
        let entry = entry.fact("subject", json!(said.ended.subject)).fact("session", json!(said.ended.session));
        audit::record(&mut tx, entry.fact("sessions", json!(over.len())), now).await?;
        tx.commit().await?;
        self.credentials_ended();
        Ok(true)
    }

    async fn record_bad_logout(&self, provider: &Provider, bad: &BadLogout, caller: &Caller) -> ApiResult<()> {
        let entry = Entry::new(&caller.into(), Action::ProviderLogout, &provider.id.to_string());
        let entry = entry.called(Some(&provider.name)).outcome(Outcome::Denied).detail(&bad.to_string());
        let mut tx = self.db.write_vital().await?;
        audit::record(&mut tx, entry, self.now()).await?;
        Ok(tx.commit().await?)
    }
}

/// What a token says, and its id, once it is verified: who signed it, for whom,
/// when, and that it is about a session that ended.
fn read(
    token: &str,
    oidc: &OidcConfiguration,
    keys: &CoreJsonWebKeySet,
    now: Timestamp,
) -> Result<(EndedThere, String), BadLogout> {
    let claims = signed_claims(token, keys, &KINDS)?;
    if text(&claims, "iss") != Some(&oidc.issuer) {
        return Err(BadToken::Identity.into());
    }
    if !is_for(claims.get("aud"), &oidc.client_id) {
        return Err(BadToken::OtherParty.into());
    }
    if !is_from_now(&claims, now) {
        return Err(BadLogout::NotNow);
    }
    let events = claims.get("events").and_then(Value::as_object);
    if !events.and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(BadLogout::NoLogout);
    }
    if claims.contains_key("nonce") {
        return Err(BadLogout::Nonce);
    }
    let id = text(&claims, "jti").filter(|id| is_id(id)).ok_or(BadLogout::NoId)?;
    let named = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(named)) if is_id(named) => Ok(Some(named.clone())),
        Some(_) => Err(BadLogout::Nobody),
    };
    let (subject, session) = (named("sub")?, named("sid")?);
    if subject.is_none() && session.is_none() {
        return Err(BadLogout::Nobody);
    }
    Ok((EndedThere { issuer: oidc.issuer.clone(), subject, session }, id.to_owned()))
}

/// Whether it was made for this hub, and for nobody else.
fn is_for(audience: Option<&Value>, client: &str) -> bool {
    match audience {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(all)) => !all.is_empty() && all.iter().all(|one| one.as_str() == Some(client)),
        Some(_) | None => false,
    }
}

/// Whether it was made a moment ago, and has neither ended nor yet to begin.
fn is_from_now(claims: &Map<String, Value>, now: Timestamp) -> bool {
    let seconds = |at: Timestamp| at.as_micros() as f64 / 1e6;
    let number = |name: &str| claims.get(name).and_then(Value::as_f64);
    let (early, late) = (seconds(now + SKEW), seconds(now - SKEW));
    let (Some(made), Some(ends)) = (number("iat"), number("exp")) else { return false };
    let has_begun = claims.get("nbf").is_none_or(|begins| begins.as_f64().is_some_and(|begins| begins <= early));
    made <= early && made >= seconds(now - SKEW - FRESH) && ends > late && has_begun
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a String> {
    match claims.get(name) {
        Some(Value::String(text)) => Some(text),
        Some(_) | None => None,
    }
}

/// By what a token is known again. Ids of two issuers have nothing to do with
/// each other.
fn digest(provider: Uuid, issuer: &str, id: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(b"windflow provider logout:");
    context.update(provider.as_bytes());
    context.update(&(issuer.len() as u64).to_be_bytes());
    context.update(issuer.as_bytes());
    context.update(id.as_bytes());
    context.finish().as_ref().to_vec()
}

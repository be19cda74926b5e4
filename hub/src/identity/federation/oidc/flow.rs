//! To the provider and back.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;
use uuid::Uuid;

use super::attempt::{Attempt, Purpose};
use super::discovery::Discovered;
use super::tokens::{self, BadToken, Claims, Expected};
use crate::error::{ApiError, ApiResult};
use crate::http::{Caller, Principal, Scheme, SignedInUser, UserId};
use crate::identity::Identity;
use crate::identity::audit::Actor;
use crate::identity::federation::accounts::{Entered, Refusal, Stop, Verified, Waiting};
use crate::identity::federation::github::GitHubConfiguration;
use crate::identity::federation::model::{Configuration, OidcConfiguration, Provider};
use crate::identity::federation::store;
use crate::identity::sessions::{Browser, SessionCookie};
use crate::vault::Place;

/// Longest path of the console that somebody is led back to.
const NEXT_MAX: usize = 512;

/// Who begins, and from where.
#[derive(Debug)]
pub struct Start<'a> {
    /// The provider in the address.
    pub slug: &'a str,
    /// Where to go in the end.
    pub next: Option<&'a str>,
    /// The hub as the browser calls it.
    pub base: String,
}

/// What came back with the browser.
#[derive(Debug, Default, Deserialize)]
pub struct Arrival {
    state: Option<String>,
    code: Option<String>,
    iss: Option<String>,
    error: Option<String>,
}

impl Arrival {
    /// The code, unless another issuer than the one that was asked may have sent
    /// it (RFC 9207): one that names itself in its answers does so in each.
    pub fn code(&self, issuer: &str, names_itself: bool) -> Result<&str, &'static str> {
        if !self.iss.as_ref().map_or(!names_itself, |given| given == issuer) {
            return Err("the answer is another issuer's");
        }
        match (&self.error, &self.code) {
            (None, Some(code)) => Ok(code),
            (Some(_), _) | (None, None) => Err("the provider gave no code"),
        }
    }
}

/// The ways to providers to which browsers go.
enum Way {
    Oidc(OidcConfiguration),
    GitHub(GitHubConfiguration),
}

/// How an attempt ended.
#[derive(Debug)]
pub enum Finished {
    /// With a session, or another secret of one that was confirmed.
    SignedIn(SessionCookie, String),
    /// With the question for a code; what the browser keeps meanwhile.
    NeedsCode(String, String),
    /// With a link.
    Linked,
}

impl Start<'_> {
    /// The hub as the browser calls it. A foreign name leads nowhere: the
    /// provider sends nobody to an address that was not told to it.
    pub fn base(headers: &HeaderMap, scheme: Scheme) -> ApiResult<String> {
        let host = headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let host = host.filter(|host| !host.as_str().contains('@'));
        let unknown = || ApiError::bad_request("invalid_host", "Send one `Host` header with the hub's name.");
        Ok(format!("{}://{}", scheme.as_str(), host.ok_or_else(unknown)?))
    }
}

impl Identity {
    /// Begins an attempt: where the browser goes, and what it keeps.
    ///
    /// # Errors
    /// 400 for a way back that leads elsewhere, 404 when there is no such
    /// provider.
    pub(in crate::identity::federation) async fn begin_oidc(
        &self,
        start: Start<'_>,
        purpose: Purpose,
    ) -> Result<(Url, String), Stop> {
        let next = local_path(start.next)?;
        let (provider, way) = self.open_provider(start.slug).await?;
        let redirect_uri = format!("{}/api/v1/auth/oidc/{}/callback", start.base, provider.slug.as_str());
        let oidc = match way {
            Way::Oidc(oidc) => oidc,
            Way::GitHub(github) => {
                let attempt = Attempt::begin(&self.random, provider.id, redirect_uri, next, self.now()).to(purpose);
                return Ok((Self::github_location(&provider, &github, &attempt)?, attempt.seal(&self.vault)));
            }
        };
        let discovered = self.discovered(&provider, &oidc).await;
        let discovered = discovered.map_err(|trouble| {
            tracing::warn!(provider = provider.slug.as_str(), %trouble, "an identity provider cannot be asked");
            Refusal::Provider
        })?;
        let attempt = Attempt::begin(&self.random, provider.id, redirect_uri, next, self.now()).to(purpose);
        let mut location = discovered.metadata.authorization_endpoint.clone();
        let scopes = std::iter::once("openid").chain(oidc.scopes.iter().map(String::as_str).filter(|s| *s != "openid"));
        let scopes = scopes.collect::<Vec<_>>().join(" ");
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &oidc.client_id)
            .append_pair("redirect_uri", &attempt.redirect_uri)
            .append_pair("scope", &scopes)
            .append_pair("state", &attempt.state())
            .append_pair("nonce", &attempt.nonce())
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        if matches!(purpose, Purpose::Link(_) | Purpose::Confirm { .. }) {
            // Who happens to be signed in there may be somebody else.
            location.query_pairs_mut().append_pair("prompt", "login");
        }
        if let Purpose::Confirm { .. } = purpose {
            // Asks to be told when they signed in there, too.
            location.query_pairs_mut().append_pair("max_age", "0");
        }
        Ok((location, attempt.seal(&self.vault)))
    }

    /// Ends an attempt whose browser came back.
    pub(in crate::identity::federation) async fn finish_oidc(
        &self,
        slug: &str,
        kept: Option<Attempt>,
        arrival: &Arrival,
        caller: &Caller,
        browser: Browser,
    ) -> Result<Finished, Stop> {
        let (provider, way) = self.open_provider(slug).await?;
        let state = arrival.state.as_deref().unwrap_or_default();
        let ours = |attempt: &Attempt| {
            attempt.provider == provider.id && !matches!(attempt.purpose, Purpose::Code(_)) && attempt.has_state(state)
        };
        let attempt = kept.filter(ours).ok_or(Refusal::Expired)?;
        self.spend(&attempt).await?;
        // Each has the hub ask the provider: guessing costs time.
        let (account, now) = (format!("{slug}@provider"), self.now());
        let account = caller.address.map_or(account.clone(), |address| format!("{account}/{address}"));
        self.throttle.begin(&account, caller.address, now).await.map_err(ApiError::too_many_requests)?;
        let purpose = attempt.purpose;
        let verified = match &way {
            Way::Oidc(oidc) => self.verified(&provider, oidc, &attempt, arrival).await,
            Way::GitHub(github) => self.verified_by_github(&provider, github, &attempt, arrival).await,
        };
        let finished = match verified {
            Ok(who) => self.finish_verified(&who, attempt, caller, browser).await,
            Err(refusal) => Err(refusal.into()),
        };
        match &finished {
            Ok(_) => self.throttle.forgive(&account, caller.address, now).await,
            Err(Stop::Refused(refusal)) => match purpose {
                Purpose::Confirm { session, .. } => {
                    self.record_unconfirmed(&provider, session, *refusal, caller).await?;
                }
                Purpose::SignIn | Purpose::Link(_) | Purpose::Code(_) => {
                    self.record_no_entry(&provider, *refusal, caller).await?;
                }
            },
            Err(Stop::Failed(_)) => {}
        }
        finished
    }

    /// Ends an attempt that waited for a code.
    pub(in crate::identity::federation) async fn finish_with_code(
        &self,
        kept: Option<Attempt>,
        code: &SecretString,
        caller: &Caller,
        browser: Browser,
    ) -> Result<(crate::identity::users::User, SessionCookie, String), Stop> {
        let attempt = kept.ok_or(Refusal::Expired)?;
        let Purpose::Code(user) = attempt.purpose else { return Err(Refusal::Expired.into()) };
        let provider = store::find(&mut self.db.read().await?, attempt.provider).await?;
        let provider = provider.filter(|provider| provider.enabled).ok_or(Refusal::Provider)?;
        let there = attempt.there.clone().ok_or(Refusal::Expired)?;
        let waiting = Waiting { digest: attempt.digest(), there, begun_at: attempt.begun_at };
        let (user, cookie) = self.enter_with_code(&provider, user, waiting, code, (caller, browser)).await?;
        Ok((user, cookie, attempt.next))
    }

    /// What the browser kept of an attempt.
    pub(in crate::identity::federation) fn kept_attempt(&self, text: Option<&str>) -> Option<Attempt> {
        Attempt::open(&self.vault, text?, self.now())
    }

    /// Where a browser ends its session with the provider too, if that has a
    /// place for it. Nobody is kept signed in here for its sake.
    pub(in crate::identity) async fn end_session_address(
        &self,
        provider: Uuid,
        headers: &HeaderMap,
        scheme: Scheme,
    ) -> Option<Url> {
        let base = Start::base(headers, scheme).ok()?;
        let provider = store::find(&mut self.db.read().await.ok()?, provider).await.ok()??;
        let Configuration::Oidc(oidc) = &provider.configuration else { return None };
        let discovered = self.discovered(&provider, oidc).await.ok()?;
        let mut address = discovered.metadata.end_session_endpoint.clone()?;
        address
            .query_pairs_mut()
            .append_pair("client_id", &oidc.client_id)
            .append_pair("post_logout_redirect_uri", &format!("{base}/sign-in"));
        Some(address)
    }

    /// The provider of this name, if people can sign in by it.
    async fn open_provider(&self, slug: &str) -> ApiResult<(Provider, Way)> {
        let provider = store::find_by_slug(&mut self.db.read().await?, slug).await?;
        let provider = provider.filter(|provider| provider.enabled);
        let provider = provider.ok_or_else(|| ApiError::not_found("identity provider"))?;
        match provider.configuration.clone() {
            Configuration::Oidc(oidc) => Ok((provider, Way::Oidc(oidc))),
            Configuration::GitHub(github) => Ok((provider, Way::GitHub(github))),
            Configuration::Ldap(_) => Err(ApiError::not_found("identity provider")),
        }
    }

    /// No attempt comes back twice.
    async fn spend(&self, attempt: &Attempt) -> Result<(), Stop> {
        let mut tx = self.db.write_vital().await?;
        if !store::spend(&mut tx, &attempt.digest(), self.now()).await? {
            return Err(Refusal::Expired.into());
        }
        Ok(tx.commit().await?)
    }

    async fn finish_verified(
        &self,
        who: &Verified<'_>,
        attempt: Attempt,
        caller: &Caller,
        browser: Browser,
    ) -> Result<Finished, Stop> {
        match attempt.purpose {
            Purpose::SignIn => match self.enter(who, attempt.begun_at, caller, browser).await? {
                Entered::SignedIn(cookie) => Ok(Finished::SignedIn(cookie, attempt.next)),
                Entered::NeedsCode(user) => {
                    let next = attempt.next.clone();
                    let waiting = attempt.renewed(&self.random).to(Purpose::Code(user)).of(who.there());
                    Ok(Finished::NeedsCode(waiting.seal(&self.vault), next))
                }
            },
            Purpose::Link(user) => {
                let own = self.still_signed_in(user, &browser).await?;
                let principal = Some(Principal::User(own.clone()));
                let by = Actor::Caller(Caller { principal, ..caller.clone() });
                self.link(who, &own, &by).await?;
                Ok(Finished::Linked)
            }
            Purpose::Confirm { session, with_code } => {
                let cookie = self.confirm_with_provider(who, (session, with_code), caller, browser).await?;
                Ok(Finished::SignedIn(cookie, attempt.next))
            }
            Purpose::Code(_) => Err(Refusal::Expired.into()),
        }
    }

    /// The user who began to link, if this is still their browser.
    async fn still_signed_in(&self, user: UserId, browser: &Browser) -> Result<SignedInUser, Stop> {
        let secret = browser.replaces.as_deref().ok_or(Refusal::Expired)?;
        let found = self.find_session_user(secret).await?;
        Ok(found.filter(|found| found.id == user && !found.second_factor_due).ok_or(Refusal::Expired)?)
    }

    /// Who came back, as far as the provider can be trusted with it.
    async fn verified<'a>(
        &self,
        provider: &'a Provider,
        oidc: &OidcConfiguration,
        attempt: &Attempt,
        arrival: &Arrival,
    ) -> Result<Verified<'a>, Refusal> {
        let slug = provider.slug.as_str();
        let refuse = |refusal: Refusal, cause: &dyn std::fmt::Display| {
            tracing::warn!(provider = slug, %cause, "somebody who came from an identity provider is not let in");
            refusal
        };
        let discovered =
            self.discovered(provider, oidc).await.map_err(|trouble| refuse(Refusal::Provider, &trouble))?;
        let is_named = discovered.metadata.authorization_response_iss_parameter_supported;
        let code = arrival.code(&oidc.issuer, is_named).map_err(|cause| refuse(Refusal::Refused, &cause))?;
        let claims = self.claims(provider, oidc, &discovered, (attempt, code)).await;
        let claims = claims.map_err(|bad| match bad {
            BadToken::Way(_) => refuse(Refusal::Provider, &bad),
            bad => refuse(Refusal::Refused, &bad),
        })?;
        if matches!(attempt.purpose, Purpose::Confirm { .. }) && !claims.are_since(attempt.begun_at) {
            return Err(refuse(Refusal::Refused, &"they did not sign in there anew"));
        }
        Ok(Verified {
            provider,
            issuer: oidc.issuer.clone(),
            names: claims.names(),
            groups: oidc.groups_claim.as_deref().map(|claim| claims.groups(claim)).unwrap_or_default(),
            by_two_factors: provider.trusted_for_second_factor && claims.may_be_two_factors(),
            session: claims.session,
            called: None,
            subject: claims.subject,
        })
    }

    async fn claims(
        &self,
        provider: &Provider,
        oidc: &OidcConfiguration,
        discovered: &Discovered,
        (attempt, code): (&Attempt, &str),
    ) -> Result<Claims, BadToken> {
        let rules = oidc.rules().map_err(|_| BadToken::None)?;
        let outgoing = &self.federation.outgoing;
        let metadata = &discovered.metadata;
        let secret = self.client_secret(provider).await.map_err(|_| BadToken::None)?;
        let redeemed = tokens::redeem(outgoing, &rules, (oidc, metadata), secret.as_ref(), (attempt, code)).await?;
        let nonce = attempt.nonce();
        let expected = Expected { oidc, keys: &discovered.keys, nonce: &nonce, now: self.now() };
        let claims = match redeemed.verify(&expected) {
            // The provider may have a new key since it was asked.
            Err(BadToken::UnknownKey) => match self.discovered_anew(provider, oidc, discovered).await {
                Some(Ok(anew)) => redeemed.verify(&Expected { keys: &anew.keys, ..expected }),
                Some(Err(_)) | None => Err(BadToken::UnknownKey),
            },
            verified => verified,
        }?;
        match claims.are_complete(oidc.groups_claim.as_deref()) {
            true => Ok(claims),
            false => redeemed.complete(claims, outgoing, &rules, metadata).await,
        }
    }

    /// The secret that the hub proves itself with to a provider.
    pub(in crate::identity::federation) async fn client_secret(
        &self,
        provider: &Provider,
    ) -> ApiResult<Option<SecretString>> {
        let Some(sealed) = store::find_secret(&mut self.db.read().await?, provider.id).await? else { return Ok(None) };
        let opened = self.vault.open(&secret_place(&provider.id.to_string()), &sealed).map_err(ApiError::internal)?;
        let text = std::str::from_utf8(&opened).map_err(ApiError::internal)?;
        Ok(Some(SecretString::from(text.to_owned())))
    }
}

/// Where a provider's client secret is sealed.
pub fn secret_place(provider: &str) -> Place<'_> {
    Place { table: "identity_providers", row: provider, column: "client_secret_sealed" }
}

/// The path of the console to go to in the end, which leads to no other place
/// however a browser reads it.
fn local_path(asked: Option<&str>) -> ApiResult<String> {
    let Some(asked) = asked else { return Ok("/".to_owned()) };
    let own = Url::parse("https://hub.invalid/").expect("this is an address");
    let plain = asked.starts_with('/')
        && !asked.starts_with("//")
        && asked.len() <= NEXT_MAX
        && !asked.chars().any(|character| character.is_control() || character == '\\');
    let url = plain.then(|| own.join(asked).ok()).flatten().filter(|url| url.origin() == own.origin());
    let path = url.map(|url| url[url::Position::BeforePath..].to_owned()).filter(|path| !path.starts_with("//"));
    path.ok_or_else(|| ApiError::bad_request("invalid_next", "`next` is a path of the console, such as `/containers`."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c37_only_a_path_of_the_console_is_gone_to() {
        for (asked, path) in
            [("/", "/"), ("/containers?q=a#b", "/containers?q=a#b"), ("/é", "/%C3%A9"), ("/a/../b", "/b")]
        {
            assert_eq!(local_path(Some(asked)).unwrap(), path);
        }
        assert_eq!(local_path(None).unwrap(), "/");
        let elsewhere = [
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example",
            "data:text/html,x",
            "javascript:x",
            "/\r\nset-cookie: a=b",
            "/\t/evil.example",
            "/\n/evil.example",
            "evil.example",
            "",
            " /x",
            "/..//evil.example",
            "/.//evil.example",
        ];
        for asked in elsewhere {
            assert_eq!(local_path(Some(asked)).unwrap_err().code(), "invalid_next", "{asked:?}");
        }
        assert!(local_path(Some(&format!("/{}", "x".repeat(600)))).is_err());
    }

    #[test]
    fn the_hub_is_called_as_the_browser_does() {
        let base =
            |host: &str| Start::base(&[(header::HOST, host.parse().unwrap())].into_iter().collect(), Scheme::Https);
        assert_eq!(base("hub.example:8443").unwrap(), "https://hub.example:8443");
        for wrong in ["a b", "user@hub.example", "hub/x", ""] {
            assert!(base(wrong).is_err(), "{wrong:?}");
        }
    }
}

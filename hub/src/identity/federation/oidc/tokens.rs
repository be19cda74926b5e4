//! A code is redeemed for a token, the token is verified, and what it says is
//! read.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{HeaderValue, header};
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{ClaimsVerificationError, ClientId, IssuerUrl, Nonce, SignatureVerificationError};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::attempt::Attempt;
use super::discovery::Metadata;
use crate::clock::Timestamp;
use crate::identity::federation::model::OidcConfiguration;
use crate::outgoing::{Call, Outgoing, OutgoingError, Rules};

/// By so much the provider's clock may differ from the hub's.
pub const SKEW: Duration = Duration::from_secs(60);
/// Longest token, in bytes.
pub const TOKEN_MAX: usize = 64 * 1024;
/// Longest name of a subject (OpenID Connect Core, 2).
const SUBJECT_MAX: usize = 255;
/// The algorithms by which a provider may sign. With a secret is not one: to it
/// the hub has none.
pub const ALGORITHMS: [CoreJwsSigningAlgorithm; 3] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];
/// Groups of one user that are looked at.
const GROUPS_MAX: usize = 1_000;
/// The claims that a user may be called by, the best first.
const NAMES: [&str; 4] = ["preferred_username", "nickname", "email", "name"];
/// How somebody may have proved who they are without a second factor
/// (RFC 8176).
const ONE_FACTOR: [&str; 3] = ["pwd", "pin", "kba"];

/// What a code was redeemed for.
#[derive(Deserialize)]
pub struct Redeemed {
    id_token: String,
    access_token: Option<SecretString>,
}

/// Why a token says nothing.
#[derive(Debug, thiserror::Error)]
pub enum BadToken {
    #[error("the provider cannot be asked")]
    Way(#[from] OutgoingError),
    #[error("the provider gives no token for the code")]
    None,
    #[error("it is no token")]
    Malformed,
    #[error("it is signed with a key that is not known")]
    UnknownKey,
    #[error("it is not to be trusted: {0}")]
    Untrusted(String),
    #[error("it was made for another party")]
    OtherParty,
    #[error("it counts later only")]
    Early,
    #[error("its issuer or subject cannot be used")]
    Identity,
    #[error("what is said of the user is about somebody else")]
    OtherUser,
}

/// What is to be in a token.
#[derive(Debug)]
pub struct Expected<'a> {
    pub oidc: &'a OidcConfiguration,
    pub keys: &'a CoreJsonWebKeySet,
    pub nonce: &'a str,
    pub now: Timestamp,
}

/// What a provider says of somebody.
#[derive(Debug)]
pub struct Claims {
    pub subject: String,
    /// In which of their sessions there, where the token says it.
    pub session: Option<String>,
    all: Map<String, Value>,
}

/// Redeems a code.
pub async fn redeem(
    outgoing: &Outgoing,
    rules: &Rules,
    (oidc, metadata): (&OidcConfiguration, &Metadata),
    secret: Option<&SecretString>,
    (attempt, code): (&Attempt, &str),
) -> Result<Redeemed, BadToken> {
    let verifier = Zeroizing::new(attempt.verifier());
    let mut fields = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &attempt.redirect_uri),
        ("code_verifier", verifier.as_str()),
    ];
    let methods = metadata.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
    let only_posted = methods.iter().any(|method| method == "client_secret_post")
        && !methods.iter().any(|method| method == "client_secret_basic");
    let call = match secret {
        Some(secret) if !only_posted => {
            let call = Call::post_form(metadata.token_endpoint.clone(), &fields);
            call.with(header::AUTHORIZATION, basic(&oidc.client_id, secret)?)
        }
        Some(secret) => {
            fields.extend([("client_id", oidc.client_id.as_str()), ("client_secret", secret.expose_secret())]);
            Call::post_form(metadata.token_endpoint.clone(), &fields)
        }
        None => {
            fields.push(("client_id", &oidc.client_id));
            Call::post_form(metadata.token_endpoint.clone(), &fields)
        }
    };
    let redeemed: Redeemed = outgoing.send(rules, call).await?.document().ok_or(BadToken::None)?;
    if redeemed.id_token.len() > TOKEN_MAX { Err(BadToken::Malformed) } else { Ok(redeemed) }
}

/// Both parts as in a form first (RFC 6749, 2.3.1).
fn basic(id: &str, secret: &SecretString) -> Result<HeaderValue, BadToken> {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(id), encode(secret.expose_secret())));
    let text = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).map_err(|_| BadToken::None)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Redeemed {
    /// What the token says, once it is verified: who signed it, for whom, by
    /// whom, when, and in answer to what.
    pub fn verify(&self, expected: &Expected<'_>) -> Result<Claims, BadToken> {
        verify(&self.id_token, expected)
    }

    /// Adds what the provider tells of the user only when it is asked.
    pub async fn complete(
        &self,
        claims: Claims,
        outgoing: &Outgoing,
        rules: &Rules,
        metadata: &Metadata,
    ) -> Result<Claims, BadToken> {
        let (Some(url), Some(token)) = (&metadata.userinfo_endpoint, &self.access_token) else {
            return Ok(claims);
        };
        let bearer = Zeroizing::new(format!("Bearer {}", token.expose_secret()));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| BadToken::None)?;
        bearer.set_sensitive(true);
        let answer = outgoing.send(rules, Call::get(url.clone()).with(header::AUTHORIZATION, bearer)).await?;
        let told: Map<String, Value> = answer.document().ok_or(BadToken::None)?;
        if told.get("sub").and_then(Value::as_str) != Some(claims.subject.as_str()) {
            return Err(BadToken::OtherUser);
        }
        // What is signed counts first.
        let signed = claims.all.iter().filter(|(_, value)| !value.is_null());
        let signed = signed.map(|(name, value)| (name.clone(), value.clone()));
        let all = told.into_iter().chain(signed).collect();
        Ok(Claims { all, ..claims })
    }
}

/// Verifies a token.
fn verify(text: &str, expected: &Expected<'_>) -> Result<Claims, BadToken> {
    let Expected { oidc, keys, nonce, now } = *expected;
    let token = CoreIdToken::from_str(text).map_err(|_| BadToken::Malformed)?;
    let issuer = IssuerUrl::new(oidc.issuer.clone()).map_err(|_| BadToken::Identity)?;
    // Its time is the hub's, not the machine's. What is no time is the end of it.
    let moment =
        |at: Timestamp| DateTime::<Utc>::from_timestamp_micros(at.as_micros()).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let (late, early) = (moment(now - SKEW), moment(now + SKEW));
    // To it the hub has no secret: a signature with one is refused whatever else is allowed.
    let verifier = CoreIdTokenVerifier::new_public_client(ClientId::new(oidc.client_id.clone()), issuer, keys.clone())
        .set_allowed_algs(ALGORITHMS)
        .set_time_fn(move || late)
        .set_issue_time_verifier_fn(move |issued| {
            if issued <= early { Ok(()) } else { Err("it was issued in the future".to_owned()) }
        });
    let nonce = Nonce::new(nonce.to_owned());
    let claims = token.claims(&verifier, &nonce).map_err(|error| match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            BadToken::UnknownKey
        }
        other => BadToken::Untrusted(other.to_string()),
    })?;
    // What the crate leaves to whoever uses it.
    if claims.authorized_party().is_some_and(|party| **party != oidc.client_id) {
        return Err(BadToken::OtherParty);
    }
    let subject = claims.subject().as_str().to_owned();
    let all = payload(text)?;
    if !is_id(&subject) || all.get("iss").and_then(Value::as_str) != Some(&oidc.issuer) {
        return Err(BadToken::Identity);
    }
    let not_before = all.get("nbf").and_then(Value::as_f64).unwrap_or_default();
    if not_before > early.timestamp() as f64 {
        return Err(BadToken::Early);
    }
    let session = all.get("sid").and_then(Value::as_str).filter(|session| is_id(session)).map(str::to_owned);
    Ok(Claims { subject, session, all })
}

/// Whether this may name a subject, or a session of theirs.
pub fn is_id(text: &str) -> bool {
    (1..=SUBJECT_MAX).contains(&text.len())
}

/// All that is in a token that was verified.
fn payload(token: &str) -> Result<Map<String, Value>, BadToken> {
    let part = token.split('.').nth(1).ok_or(BadToken::Malformed)?;
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| BadToken::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| BadToken::Malformed)
}

impl Claims {
    /// Whether what the hub wants to know is said already.
    pub fn are_complete(&self, groups_claim: Option<&str>) -> bool {
        groups_claim.is_none_or(|claim| self.find(claim).is_some()) && !self.names().is_empty()
    }

    /// What the user might be called, the best first.
    pub fn names(&self) -> Vec<String> {
        NAMES.iter().filter_map(|name| self.all.get(*name)?.as_str()).map(str::to_owned).collect()
    }

    /// The groups in this claim: a list of texts, or one.
    pub fn groups(&self, claim: &str) -> Vec<String> {
        match self.find(claim) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => {
                many.iter().filter_map(Value::as_str).map(str::to_owned).take(GROUPS_MAX).collect()
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Whether more than what somebody knows was asked of them, as far as the
    /// provider says how they proved who they are. One that does not say is
    /// taken at its administrator's word.
    pub fn may_be_two_factors(&self) -> bool {
        match self.all.get("amr") {
            Some(Value::Array(ways)) => {
                ways.is_empty() || ways.iter().any(|way| way.as_str().is_none_or(|way| !ONE_FACTOR.contains(&way)))
            }
            Some(_) | None => true,
        }
    }

    /// Whether they proved who they are after this, as far as the provider says
    /// when they did.
    pub fn are_since(&self, begun: Timestamp) -> bool {
        let earliest = (begun - SKEW).as_micros() / 1_000_000;
        self.all.get("auth_time").is_none_or(|at| at.as_f64().is_some_and(|at| at >= earliest as f64))
    }

    /// A claim by its whole name, or else by the way that dots lead into others.
    fn find(&self, claim: &str) -> Option<&Value> {
        if let Some(found) = self.all.get(claim) {
            return Some(found).filter(|found| !found.is_null());
        }
        let mut parts = claim.split('.');
        let first = self.all.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        let Value::Object(all) = value else { panic!("claims are an object") };
        Claims { subject: "s".into(), session: None, all }
    }

    #[test]
    fn groups_are_found_by_name_and_by_way() {
        let claims = claims(json!({
            "groups": ["a", 7, "b"], "one": "c", "realm_access": { "roles": ["d"] }, "https://x.example/roles": ["e"],
            "deep": { "a.b": ["f"] }, "none": {},
        }));
        assert_eq!(claims.groups("groups"), ["a", "b"]);
        assert_eq!(claims.groups("one"), ["c"]);
        assert_eq!(claims.groups("realm_access.roles"), ["d"]);
        assert_eq!(claims.groups("https://x.example/roles"), ["e"]);
        for nothing in ["none", "missing", "realm_access", "groups.0", "deep.a.b", "", "."] {
            assert!(claims.groups(nothing).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn a_password_alone_is_no_second_factor() {
        for (amr, two) in
            [(json!(["pwd"]), false), (json!(["pwd", "otp"]), true), (json!(["hwk"]), true), (json!([]), true)]
        {
            assert_eq!(claims(json!({ "amr": amr.clone() })).may_be_two_factors(), two, "{amr}");
        }
        assert!(claims(json!({})).may_be_two_factors());
    }

    #[test]
    fn a_sign_in_of_before_is_told_where_the_provider_says_when_it_was() {
        let begun = Timestamp::from_micros(1_000_000_000).unwrap();
        for (at, since) in [(json!(1_000), true), (json!(940), true), (json!(939), false), (json!("now"), false)] {
            assert_eq!(claims(json!({ "auth_time": at.clone() })).are_since(begun), since, "{at}");
        }
        assert!(claims(json!({})).are_since(begun));
    }

    #[test]
    fn a_client_proves_itself_with_both_parts_encoded() {
        let value = basic("a:b", &SecretString::from("p&q r")).unwrap();
        assert_eq!(value.to_str().unwrap(), format!("Basic {}", BASE64.encode(b"a%3Ab:p%26q+r")));
        assert!(value.is_sensitive());
    }
}

//! An address of HTTP: records are posted there as JSON, signed as Standard
//! Webhooks 1.0.0 has it where there is a secret.

use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::identity::audit::store::AuditRecord;
use crate::outgoing::{Authorities, Call, Outgoing, OutgoingError, Rules};

const URL_MAX: usize = 2048;
/// Longest certificates of an authority, in bytes.
const AUTHORITY_MAX: usize = 64 * 1024;
/// A secret, in bytes.
const SECRET_MIN: usize = 24;
const SECRET_MAX: usize = 64;
/// What stands before a secret that is written in Base64 (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// An address of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where records are posted.
    #[schema(max_length = 2048)]
    pub url: String,
    /// Certificates in PEM that the server's own must come from; without them
    /// those that this machine trusts.
    #[serde(default)]
    pub authority: Option<String>,
    /// Whether the address may be in a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// Whether it may be reached without TLS.
    #[serde(default)]
    pub allow_http: bool,
}

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnfitWebhook {
    /// No address, or one that is not asked.
    #[error("the address must begin with https://, or with http:// where that is allowed, and have no user name in it")]
    Url,
    /// No certificates.
    #[error("the authority must be certificates in PEM")]
    Authority,
    /// Too short, too long, or no Base64.
    #[error("the secret must have 24 to 64 bytes; after whsec_ they are read as Base64")]
    Secret,
}

/// What requests are signed with.
pub struct Secret(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// What somebody gave: its bytes, or after `whsec_` those that it means in
    /// Base64.
    ///
    /// # Errors
    /// [`UnfitWebhook::Secret`].
    pub fn parse(text: &SecretString) -> Result<Self, UnfitWebhook> {
        let text = text.expose_secret();
        let key = match text.strip_prefix(SECRET_PREFIX) {
            Some(encoded) => BASE64.decode(encoded.as_bytes()).map_err(|_| UnfitWebhook::Secret)?,
            None => text.as_bytes().to_vec(),
        };
        let key = Zeroizing::new(key);
        if (SECRET_MIN..=SECRET_MAX).contains(&key.len()) { Ok(Self(key)) } else { Err(UnfitWebhook::Secret) }
    }

    /// One that was stored.
    pub const fn of_key(key: Zeroizing<Vec<u8>>) -> Self {
        Self(key)
    }

    /// Its bytes.
    pub fn key(&self) -> &[u8] {
        &self.0
    }

    /// The signature of a request.
    fn sign(&self, id: &str, at: i64, body: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, format!("{id}.{at}.{body}").as_bytes());
        format!("v1,{}", BASE64.encode(tag.as_ref()))
    }
}

impl Webhook {
    /// Whether it can be used.
    ///
    /// # Errors
    /// [`UnfitWebhook`].
    pub fn check(&self) -> Result<(), UnfitWebhook> {
        self.address().map(drop)?;
        self.authorities().map(drop)
    }

    /// Whether somebody between here and there can read what is sent.
    pub fn is_exposed(&self) -> bool {
        let is_here = |url: &Url| match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.address().is_ok_and(|url| url.scheme() == "http" && !is_here(&url))
    }

    /// Where it is, without path and query: those may be secret.
    pub fn origin(&self) -> Option<String> {
        self.address().ok().map(|url| url.origin().ascii_serialization())
    }

    fn address(&self) -> Result<Url, UnfitWebhook> {
        let url = Url::parse(&self.url).map_err(|_| UnfitWebhook::Url)?;
        let scheme = url.scheme() == "https" || (self.allow_http && url.scheme() == "http");
        let plain = url.username().is_empty() && url.password().is_none() && url.has_host();
        if self.url.len() <= URL_MAX && scheme && plain { Ok(url) } else { Err(UnfitWebhook::Url) }
    }

    fn authorities(&self) -> Result<Option<Authorities>, UnfitWebhook> {
        let fits = |pem: &&String| pem.len() <= AUTHORITY_MAX;
        match &self.authority {
            None => Ok(None),
            Some(pem) if fits(&pem) => Authorities::parse(pem).map(Some).map_err(|_| UnfitWebhook::Authority),
            Some(_) => Err(UnfitWebhook::Authority),
        }
    }
}

/// Why a webhook has not taken something.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// It cannot be used.
    #[error(transparent)]
    Unfit(#[from] UnfitWebhook),
    /// It cannot be reached.
    #[error("the webhook: {0}")]
    Outgoing(#[from] OutgoingError),
    /// It answered something else than that it has it.
    #[error("the webhook answered {0}, and not that it has the records")]
    Refused(u16),
}

/// An address that is ready to be posted to.
#[derive(Debug)]
pub struct Hook {
    url: Url,
    rules: Rules,
    secret: Option<Secret>,
}

impl Hook {
    /// For this address, signing with the secret.
    ///
    /// # Errors
    /// [`UnfitWebhook`].
    pub fn new(webhook: &Webhook, secret: Option<Secret>) -> Result<Self, UnfitWebhook> {
        let (allow_http, allow_private) = (webhook.allow_http, webhook.allow_private);
        let rules = Rules { allow_http, allow_private, authorities: webhook.authorities()? };
        Ok(Self { url: webhook.address()?, rules, secret })
    }

    /// Posts records. They are known by the first and the last of their numbers:
    /// who gets both twice has them already.
    ///
    /// # Errors
    /// [`PostError`]; then it is not known whether they were taken.
    pub async fn records(&self, out: &Outgoing, records: &[AuditRecord], now: Timestamp) -> Result<(), PostError> {
        let number = |record: Option<&AuditRecord>| record.and_then(|record| record.seq).unwrap_or_default();
        let id = format!("audit-{}-{}", number(records.first()), number(records.last()));
        let body = json!({ "type": "audit.records", "records": records }).to_string();
        self.post(out, &id, body, now).await
    }

    /// Posts what somebody sends to see whether it arrives.
    ///
    /// # Errors
    /// [`PostError`].
    pub async fn trial(&self, out: &Outgoing, now: Timestamp) -> Result<(), PostError> {
        let body = json!({ "type": "audit.shipping_test", "records": [] }).to_string();
        self.post(out, &format!("audit-test-{}", now.as_micros()), body, now).await
    }

    async fn post(&self, out: &Outgoing, id: &str, body: String, now: Timestamp) -> Result<(), PostError> {
        let at = now.as_micros() / 1_000_000;
        let signature = self.secret.as_ref().map(|secret| secret.sign(id, at, &body));
        let mut call = Call::post_json(self.url.clone(), body);
        let signed = signature.as_ref().map(|signature| (SIGNATURE, signature.clone()));
        for (name, value) in [(ID, id.to_owned()), (TIMESTAMP, at.to_string())].into_iter().chain(signed) {
            let value = HeaderValue::try_from(value).expect("ids, numbers and Base64 are good values");
            call = call.with(name, value);
        }
        let answer = out.send(&self.rules, call).await?;
        if answer.status.is_success() { Ok(()) } else { Err(PostError::Refused(answer.status.as_u16())) }
    }
}

//! Which server takes the hub's mail, and how it is signed in to. The password
//! is sealed, never shown, and goes to no other place than the one that it was
//! given for.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::is_domain;
use super::{MailAddress, MailError, PublicUrl};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::Title;
use crate::on_tx;
use crate::settings;
use crate::vault::{Place, Vault};

const SETTINGS_KEY: &str = "mail.settings";
const PASSWORD_KEY: &str = "mail.password";
const PASSWORD_PLACE: Place<'_> = Place { table: "settings", row: PASSWORD_KEY, column: "value" };

/// Longest user name and password of a server, and certificates of an
/// authority, in bytes.
const USER_MAX: usize = 256;
const PASSWORD_MAX: usize = 1_024;
const AUTHORITY_MAX: usize = 64 * 1024;

/// How the way to the server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// By TLS that begins after the greeting, without which nothing goes on.
    Starttls,
    /// By TLS from the beginning.
    Tls,
    /// Not at all.
    None,
}

/// The name or address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct MailHost(String);

/// The text is none.
#[derive(Debug, thiserror::Error)]
#[error("a mail server is named by a host name or an IP address, without a port")]
pub struct InvalidHost;

impl MailHost {
    /// The name or address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it can only be this machine.
    pub fn is_here(&self) -> bool {
        self.0 == "localhost" || self.0.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for MailHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let is_host = is_domain(text) || text.parse::<IpAddr>().is_ok();
        is_host.then(|| Self(text.to_ascii_lowercase())).ok_or(InvalidHost)
    }
}

impl<'de> Deserialize<'de> for MailHost {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The server, without its password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MailSettings {
    /// Its name or address.
    #[schema(value_type = String)]
    pub host: MailHost,
    /// Its port.
    #[schema(value_type = u16)]
    pub port: NonZeroU16,
    /// How the way to it is protected.
    pub security: Security,
    /// Whether `none` is allowed to another machine than this one.
    pub allow_plain: bool,
    /// Whether it may be in a private network.
    pub allow_private: bool,
    /// As whom the hub signs in; null where it does not.
    pub user: Option<String>,
    /// Whether a password is stored.
    pub has_password: bool,
    /// The address that mails come from.
    #[schema(value_type = String)]
    pub sender: MailAddress,
    /// What the sender is called.
    #[schema(value_type = Option<String>)]
    pub sender_name: Option<Title>,
    /// Who signed the server's certificate, as PEM, where it is nobody that this
    /// machine trusts anyway.
    pub authority: Option<String>,
    /// Where links in mails lead: the console as people reach it.
    #[schema(value_type = String)]
    pub public_url: PublicUrl,
}

/// A server to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMailSettings {
    /// Its name or address.
    #[schema(value_type = String)]
    host: MailHost,
    /// Its port, such as 587 for `starttls` or 465 for `tls`.
    #[schema(value_type = u16)]
    port: NonZeroU16,
    /// How the way to it is protected.
    security: Security,
    /// Allows `none` to another machine than this one: whoever is on the way
    /// reads the links and the password.
    #[serde(default)]
    allow_plain: bool,
    /// Allows a server in a private network. One that is named as this machine's
    /// own, such as `localhost`, needs no leave.
    #[serde(default)]
    allow_private: bool,
    /// As whom the hub signs in; without it, it does not.
    user: Option<String>,
    /// The password. Left out, the stored one stays, unless it would go to
    /// another server or another way than it was given for.
    #[schema(value_type = Option<String>, format = Password)]
    password: Option<SecretString>,
    /// The address that mails come from.
    #[schema(value_type = String)]
    sender: MailAddress,
    /// What the sender is called.
    #[schema(value_type = Option<String>)]
    sender_name: Option<Title>,
    /// Who signed the server's certificate, as PEM.
    authority: Option<String>,
    /// Where links in mails lead, such as `https://hub.example:8443`.
    #[schema(value_type = String)]
    public_url: PublicUrl,
}

/// Why settings are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// Without protection to another machine.
    #[error("without TLS mail goes only to this machine itself, unless allow_plain says otherwise")]
    Plain,
    /// The user's name would break a line, or is too long.
    #[error("the user has 1 to {USER_MAX} characters on one line")]
    User,
    /// The password is too long, or there is nobody to use it.
    #[error("a password has at most {PASSWORD_MAX} bytes and belongs to a user")]
    Password,
    /// The authority is none.
    #[error("the authority is at least one certificate as PEM text, of at most {AUTHORITY_MAX} bytes")]
    Authority,
}

impl NewMailSettings {
    /// Checks what one field alone does not show.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        if self.security == Security::None && !self.allow_plain && !self.host.is_here() {
            return Err(InvalidSettings::Plain);
        }
        let is_user = |user: &String| (1..=USER_MAX).contains(&user.len()) && !user.chars().any(char::is_control);
        if !self.user.as_ref().is_none_or(is_user) {
            return Err(InvalidSettings::User);
        }
        let fits = |password: &SecretString| {
            let password = password.expose_secret();
            self.user.is_some() && !password.is_empty() && password.len() <= PASSWORD_MAX && !password.contains('\0')
        };
        if !self.password.as_ref().is_none_or(fits) {
            return Err(InvalidSettings::Password);
        }
        match &self.authority {
            Some(pem) => authorities(pem).map(drop),
            None => Ok(()),
        }
    }

    fn without_password(self) -> (MailSettings, Option<SecretString>) {
        let settings = MailSettings {
            host: self.host,
            port: self.port,
            security: self.security,
            allow_plain: self.allow_plain,
            allow_private: self.allow_private,
            user: self.user,
            has_password: self.password.is_some(),
            sender: self.sender,
            sender_name: self.sender_name,
            authority: self.authority,
            public_url: self.public_url,
        };
        (settings, self.password)
    }
}

impl MailSettings {
    /// Whether a password for the one goes the same way to the same place by
    /// the other.
    fn leads_where(&self, other: &Self) -> bool {
        let way = |settings: &Self| (settings.security, settings.allow_plain, settings.authority.clone());
        self.host == other.host && self.port == other.port && self.user == other.user && way(self) == way(other)
    }
}

/// The certificates of an authority's PEM text.
fn authorities(pem: &str) -> Result<Vec<CertificateDer<'static>>, InvalidSettings> {
    let fits = Some(pem).filter(|pem| pem.len() <= AUTHORITY_MAX).ok_or(InvalidSettings::Authority)?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(fits.as_bytes()).collect();
    let read = read.map_err(|_| InvalidSettings::Authority)?;
    let mut store = RootCertStore::empty();
    let usable = !read.is_empty() && read.iter().all(|certificate| store.add(certificate.clone()).is_ok());
    usable.then_some(read).ok_or(InvalidSettings::Authority)
}

/// A server with its password.
#[derive(Debug)]
pub(super) struct Server {
    pub settings: MailSettings,
    pub password: Option<SecretString>,
}

impl Server {
    /// Who may have signed the server's certificate: the authority that was
    /// set, or else those that this machine trusts.
    pub fn trusted(&self) -> Vec<CertificateDer<'static>> {
        match &self.settings.authority {
            Some(pem) => authorities(pem).unwrap_or_default(),
            None => rustls_native_certs::load_native_certs().certs,
        }
    }
}

pub(super) async fn read(tx: &mut Tx) -> Result<Option<MailSettings>, MailError> {
    let stored = settings::find(tx, SETTINGS_KEY).await?;
    Ok(stored.map(|stored| serde_json::from_slice(&stored)).transpose()?)
}

pub(super) async fn read_server(tx: &mut Tx, vault: &Vault) -> Result<Option<Server>, MailError> {
    let Some(settings) = read(tx).await? else { return Ok(None) };
    let password = match settings::find(tx, PASSWORD_KEY).await? {
        Some(sealed) => {
            let opened = vault.open(&PASSWORD_PLACE, &sealed)?;
            Some(SecretString::from(String::from_utf8_lossy(&opened).into_owned()))
        }
        None => None,
    };
    Ok(Some(Server { settings, password }))
}

pub(super) async fn write(
    tx: &mut Tx,
    vault: &Vault,
    new: NewMailSettings,
    now: Timestamp,
) -> Result<MailSettings, MailError> {
    let before = read(tx).await?;
    let (mut set, password) = new.without_password();
    match password {
        Some(password) => {
            let sealed = vault.seal(&PASSWORD_PLACE, password.expose_secret().as_bytes());
            settings::put(tx, PASSWORD_KEY, &sealed, now).await?;
        }
        None if set.user.is_some() && before.as_ref().is_some_and(|before| before.leads_where(&set)) => {
            set.has_password = before.is_some_and(|before| before.has_password);
        }
        None => forget(tx, PASSWORD_KEY).await?,
    }
    settings::put(tx, SETTINGS_KEY, &serde_json::to_vec(&set)?, now).await?;
    Ok(set)
}

pub(super) async fn delete(tx: &mut Tx) -> Result<(), DbError> {
    forget(tx, PASSWORD_KEY).await?;
    forget(tx, SETTINGS_KEY).await
}

async fn forget(tx: &mut Tx, key: &str) -> Result<(), DbError> {
    let sql = "DELETE FROM settings WHERE key = $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(key).execute(c).await.map(drop))?)
}

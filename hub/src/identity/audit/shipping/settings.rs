//! Where records are sent, as it is stored and as somebody sets it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::syslog::Syslog;
use super::webhook::{Secret, Webhook};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::error::{ApiError, ApiResult, sentence};
use crate::vault::{Place, Vault, VaultError, settings};

const KEY: &str = "audit.shipping";
const PLACE: Place<'_> = Place { table: "settings", row: KEY, column: "value" };
const CURSOR: &str = "audit.shipping_cursor";

/// Where records are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Destination {
    /// As messages to a syslog server.
    Syslog(Syslog),
    /// As JSON to an address of HTTP.
    Webhook(Webhook),
}

impl Destination {
    /// Whether it can be used.
    ///
    /// # Errors
    /// 400 where it cannot, with the reason.
    pub fn check(&self) -> ApiResult<()> {
        match self {
            Self::Syslog(syslog) => {
                syslog.check().map_err(|unfit| ApiError::bad_request("invalid_syslog", sentence(&unfit)))
            }
            Self::Webhook(webhook) => {
                webhook.check().map_err(|unfit| ApiError::bad_request("invalid_webhook", sentence(&unfit)))
            }
        }
    }

    /// Whether somebody between here and there can read what is sent.
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Syslog(syslog) => syslog.is_exposed(),
            Self::Webhook(webhook) => webhook.is_exposed(),
        }
    }
}

/// Where records are sent, and what requests there are signed with.
#[derive(Debug)]
pub struct Stored {
    /// Where.
    pub destination: Destination,
    /// What requests to a webhook are signed with, where somebody gave that.
    pub secret: Option<Secret>,
}

/// The same as it is sealed: an address may have a secret in it.
#[derive(Serialize, Deserialize)]
struct Sealed {
    destination: Destination,
    secret: Option<Zeroizing<Vec<u8>>>,
}

/// Where records are sent; nowhere where nothing is set.
///
/// # Errors
/// When the database fails, or holds what this hub cannot read: then nothing is
/// sent, and that is told.
pub async fn read(tx: &mut Tx, vault: &Vault) -> Result<Option<Stored>, SettingsError> {
    let found = settings::find(tx, KEY).await?.filter(|sealed| !sealed.is_empty());
    let Some(sealed) = found else { return Ok(None) };
    let Sealed { destination, secret } = serde_json::from_slice(&vault.open(&PLACE, &sealed)?)?;
    Ok(Some(Stored { destination, secret: secret.map(Secret::of_key) }))
}

/// Sends records there from now on, or nowhere.
///
/// # Errors
/// When the database fails.
pub async fn write(tx: &mut Tx, vault: &Vault, stored: Option<&Stored>, now: Timestamp) -> Result<(), DbError> {
    let seal = |Stored { destination, secret }: &Stored| {
        let secret = secret.as_ref().map(|secret| secret.key().to_vec().into());
        let text = serde_json::to_vec(&Sealed { destination: destination.clone(), secret });
        vault.seal(&PLACE, &Zeroizing::new(text.expect("settings are JSON")))
    };
    settings::put(tx, KEY, &stored.map(seal).unwrap_or_default(), now).await
}

/// The number of the last record that was sent.
///
/// # Errors
/// When the database fails.
pub async fn cursor(tx: &mut Tx) -> Result<Option<i64>, DbError> {
    let stored = settings::find(tx, CURSOR).await?;
    Ok(stored.and_then(|stored| Some(i64::from_be_bytes(stored.try_into().ok()?))))
}

/// Remembers it.
///
/// # Errors
/// When the database fails.
pub async fn set_cursor(tx: &mut Tx, seq: i64, now: Timestamp) -> Result<(), DbError> {
    settings::put(tx, CURSOR, &seq.to_be_bytes(), now).await
}

/// Why it is not known where records are sent.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// What is stored is not what this hub stores.
    #[error("where records are sent cannot be read: set it anew")]
    Stored(#[from] serde_json::Error),
    /// It was not sealed by this hub.
    #[error("where records are sent cannot be opened: set it anew")]
    Unopened(#[from] VaultError),
}

//! What browsers send of passkeys, bounded before it is decoded, and what is
//! shown of them.

use std::fmt;

use axum::http::HeaderMap;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::store::PasskeyRow;
use crate::clock::Timestamp;
use crate::http::{Scheme, cookie};

/// Longest id of a credential, in bytes, as WebAuthn has it.
const CREDENTIAL_ID_MAX: usize = 1023;
/// Longest statement of a browser about what it did, in bytes.
const CLIENT_DATA_MAX: usize = 4096;
/// Longest statement of an authenticator about a new passkey, in bytes.
const ATTESTATION_MAX: usize = 16 * 1024;
/// Longest statement of an authenticator about a use, in bytes.
const AUTHENTICATOR_DATA_MAX: usize = 1024;
/// Longest signature, in bytes: one of RSA with 8192 bits.
const SIGNATURE_MAX: usize = 1024;
/// Longest name of a user to an authenticator, in bytes, as WebAuthn has it.
const USER_HANDLE_MAX: usize = 64;
/// Ways to an authenticator that a browser may name.
const TRANSPORTS_MAX: usize = 16;
/// The ways that there are.
const TRANSPORTS: [&str; 6] = ["usb", "nfc", "ble", "smart-card", "hybrid", "internal"];

/// Bytes in base64url, at most `MAX` of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Base64Url<const MAX: usize>(pub Vec<u8>);

impl<const MAX: usize> fmt::Debug for Base64Url<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Base64Url<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() > MAX.div_ceil(3) * 4 {
            return Err(serde::de::Error::custom(format!("at most {MAX} bytes")));
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| serde::de::Error::custom("no base64url"))?;
        if bytes.len() > MAX {
            return Err(serde::de::Error::custom(format!("at most {MAX} bytes")));
        }
        Ok(Self(bytes))
    }
}

/// By which ways a browser reaches an authenticator. It is a hint for the next
/// time; unknown ones are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transports(Vec<&'static str>);

impl Transports {
    /// Those that are stored.
    pub fn parse(text: &str) -> Self {
        Self::known(text.split(' '))
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|name| (*name).to_owned()).collect()
    }

    fn known<'a>(named: impl Iterator<Item = &'a str>) -> Self {
        let named: Vec<&str> = named.collect();
        Self(TRANSPORTS.into_iter().filter(|known| named.contains(known)).collect())
    }
}

impl fmt::Display for Transports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl<'de> Deserialize<'de> for Transports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = Vec::<String>::deserialize(deserializer)?;
        if named.len() > TRANSPORTS_MAX {
            return Err(serde::de::Error::custom(format!("at most {TRANSPORTS_MAX} ways")));
        }
        Ok(Self::known(named.iter().map(String::as_str)))
    }
}

/// What a browser made. All in base64url without `=`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// `response.clientDataJSON`.
    #[schema(value_type = String)]
    pub client_data_json: Base64Url<CLIENT_DATA_MAX>,
    /// `response.attestationObject`. It is taken as it is: which make of
    /// authenticator it is does not count.
    #[schema(value_type = String)]
    pub attestation_object: Base64Url<ATTESTATION_MAX>,
    /// `response.getTransports()`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub transports: Transports,
}

/// A passkey that was used. All in base64url without `=`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PresentedPasskey {
    /// `rawId`.
    #[schema(value_type = String)]
    pub(super) id: Base64Url<CREDENTIAL_ID_MAX>,
    /// `response.clientDataJSON`.
    #[schema(value_type = String)]
    pub(super) client_data_json: Base64Url<CLIENT_DATA_MAX>,
    /// `response.authenticatorData`.
    #[schema(value_type = String)]
    pub(super) authenticator_data: Base64Url<AUTHENTICATOR_DATA_MAX>,
    /// `response.signature`.
    #[schema(value_type = String)]
    pub(super) signature: Base64Url<SIGNATURE_MAX>,
    /// `response.userHandle`.
    #[schema(value_type = String)]
    pub(super) user_handle: Base64Url<USER_HANDLE_MAX>,
}

impl PresentedPasskey {
    /// With what the browser keeps of the challenge that it was given.
    pub fn from_browser(self, headers: &HeaderMap, scheme: Scheme) -> Presented {
        Presented { passkey: self, browser: cookie::find_passkey(headers, scheme) }
    }
}

/// A passkey that was used, in a browser.
#[derive(Debug)]
pub struct Presented {
    pub(super) passkey: PresentedPasskey,
    /// The secret in the browser's cookie.
    pub(super) browser: Option<Zeroizing<String>>,
}

/// One passkey.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Passkey {
    /// The passkey.
    pub id: Uuid,
    /// What its user calls it.
    pub name: String,
    /// The name of the hub that it was made for.
    pub rp_id: String,
    /// Whether it works at the address by which this was asked.
    pub works_here: bool,
    /// Whether it may be copied to other devices of its user.
    pub backup_eligible: bool,
    /// Whether it is, as far as it said.
    pub backed_up: bool,
    /// When it was added.
    pub created_at: Timestamp,
    /// When somebody signed in with it last.
    pub last_used_at: Option<Timestamp>,
}

impl PasskeyRow {
    /// What is shown of it where the hub has this name.
    pub fn seen_from(self, rp_id: Option<&str>) -> Passkey {
        Passkey {
            id: self.id,
            works_here: rp_id == Some(self.rp_id.as_str()),
            name: self.name,
            rp_id: self.rp_id,
            backup_eligible: self.backup_eligible,
            backed_up: self.backed_up,
            created_at: self.created_at,
            last_used_at: self.last_used_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn what_is_too_long_or_no_base64url_is_refused() {
        assert_eq!(from_value::<Base64Url<3>>(json!("AQID")).unwrap().0, [1, 2, 3]);
        for wrong in [json!("AQIDBA"), json!("AQID="), json!("+/+/"), json!("A".repeat(1_000_000)), json!([1])] {
            assert!(from_value::<Base64Url<3>>(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_known_ways_are_kept() {
        let ways: Transports = from_value(json!(["internal", "carrier-pigeon", "usb", "usb"])).unwrap();
        assert_eq!(ways.to_string(), "usb internal");
        assert_eq!(Transports::parse(&ways.to_string()), ways);
        assert!(Transports::parse("").names().is_empty());
        assert!(from_value::<Transports>(json!(vec!["usb"; 17])).is_err());
    }
}

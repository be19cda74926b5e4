//! The enrollment token: what an operator carries from the hub to a new host.
//!
//! ```text
//! wfe1_<kid>_<secret>_<pin>_<crc>      lowercase Crockford base32 fields
//!      10    32       52    7          characters
//! ```

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::identity::KeyDigest;
use crate::text::{ALPHABET, base32};

/// What every enrollment token starts with; secret scanners look for it.
pub const PREFIX: &str = "wfe1";

const KID_LEN: usize = 10;
const SECRET_BYTES: usize = 20;
const SECRET_LEN: usize = 32;
const CRC_LEN: usize = 7;
const TEXT_LEN: usize = PREFIX.len() + KID_LEN + SECRET_LEN + KeyDigest::TEXT_LEN + CRC_LEN + 4;

/// The text is not an enrollment token. The input is never repeated, since it
/// may be most of a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("this is not an enrollment token: copy the whole line that starts with {PREFIX}_ and try again")]
pub struct MalformedToken;

/// The public half of a token: names it in the hub's database, its lists and
/// its audit log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

impl TokenId {
    /// A token id from random bits; the lowest 50 are used.
    pub fn from_random(bits: u64) -> Self {
        let symbols = ALPHABET.as_bytes();
        let symbol = |i: usize| char::from(symbols[(bits >> (5 * i)) as usize % symbols.len()]);
        Self((0..KID_LEN).map(symbol).collect())
    }

    /// Reads ten characters of the alphabet.
    ///
    /// # Errors
    /// [`MalformedToken`] for anything else.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let valid = text.len() == KID_LEN && text.chars().all(|c| ALPHABET.contains(c));
        valid.then(|| Self(text.to_owned())).ok_or(MalformedToken)
    }

    /// The ten characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What comes over the wire is checked like what a person types, since it goes
/// into logs and the audit before anything vouches for it.
impl TryFrom<String> for TokenId {
    type Error = MalformedToken;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The 160 secret bits of a token. Prints as `[redacted]` and is wiped when
/// dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenSecret([u8; SECRET_BYTES]);

impl TokenSecret {
    /// A secret from 160 bits of a cryptographic random source.
    pub fn from_random(bits: [u8; SECRET_BYTES]) -> Self {
        Self(bits)
    }

    /// The bits, for computing a MAC over them.
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenSecret([redacted])")
    }
}

/// A whole token: who vouches (`id`, `secret`) and which hub to trust (`pin`).
#[derive(Clone, Debug)]
pub struct EnrollmentToken {
    /// The public id.
    pub id: TokenId,
    /// The secret, shown to the hub only after its key matched the pin.
    pub secret: TokenSecret,
    /// Digest of the public key of the fleet's certificate authority.
    pub pin: KeyDigest,
}

impl EnrollmentToken {
    /// Reads a token, in upper or lower case, surrounding white space ignored.
    /// The checksum catches a mistyped or truncated paste before any network
    /// is touched.
    ///
    /// # Errors
    /// [`MalformedToken`], whatever is wrong.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let text = text.trim();
        if text.len() != TEXT_LEN || !text.is_ascii() {
            return Err(MalformedToken);
        }
        let text = Zeroizing::new(text.to_ascii_lowercase());
        let (body, crc) = text.rsplit_once('_').ok_or(MalformedToken)?;
        let fields: Vec<&str> = body.split('_').collect();
        let [PREFIX, id, secret, pin] = fields[..] else {
            return Err(MalformedToken);
        };
        if checksum(body) != crc {
            return Err(MalformedToken);
        }
        let secret = Zeroizing::new(base32().decode(secret.as_bytes()).map_err(|_| MalformedToken)?);
        Ok(Self {
            id: TokenId::parse(id)?,
            secret: TokenSecret(secret.as_slice().try_into().map_err(|_| MalformedToken)?),
            pin: KeyDigest::parse(pin).ok_or(MalformedToken)?,
        })
    }

    /// The text that an operator carries. It is shown once and stored nowhere.
    pub fn expose(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(base32().encode(self.secret.expose()));
        let body = Zeroizing::new(format!("{PREFIX}_{}_{}_{}", self.id, *secret, self.pin));
        Zeroizing::new(format!("{}_{}", *body, checksum(&body)))
    }
}

/// The checksum that ends every Windflow credential: CRC-32C of all that
/// stands before its underscore, in seven base32 characters.
pub fn checksum(body: &str) -> String {
    base32().encode(&crc32c::crc32c(body.as_bytes()).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer;

    use super::*;

    fn token() -> EnrollmentToken {
        EnrollmentToken {
            id: TokenId::from_random(0x1234_5678_9abc),
            secret: TokenSecret([7; SECRET_BYTES]),
            pin: KeyDigest([9; 32]),
        }
    }

    #[test]
    fn a_token_survives_its_text_form_in_any_case() {
        let text = token().expose();
        assert_eq!(text.len(), TEXT_LEN);
        for text in [text.to_string(), text.to_uppercase(), format!("  {}\n", *text)] {
            let parsed = EnrollmentToken::parse(&text).unwrap();
            assert_eq!(parsed.id, token().id);
            assert_eq!(parsed.secret.expose(), token().secret.expose());
            assert_eq!(parsed.pin, token().pin);
        }
    }

    #[test]
    fn the_text_form_is_fixed() {
        let golden = "wfe1_wn6h7bh6j0_0w3ge1r70w3ge1r70w3ge1r70w3ge1r7_144gj289144gj289144gj289144gj289144gj289144gj289144g_6nmyar8";
        assert_eq!(*token().expose(), golden);
    }

    #[test]
    fn every_changed_character_is_caught() {
        let text = token().expose();
        for i in 0..text.len() {
            for replacement in ['0', 'z', '_', 'u', ' ', '\u{0}'] {
                let mut changed: Vec<char> = text.chars().collect();
                if changed[i] == replacement {
                    continue;
                }
                changed[i] = replacement;
                let changed: String = changed.into_iter().collect();
                assert!(EnrollmentToken::parse(&changed).is_err(), "position {i} as {replacement:?}");
            }
        }
    }

    #[test]
    fn an_id_from_the_wire_is_ten_characters_of_the_alphabet() {
        let decode = |text: &str| {
            let wire: serde::de::value::StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
            TokenId::deserialize(wire)
        };
        assert_eq!(decode(token().id.as_str()).unwrap(), token().id);
        for text in ["", "a\nWARN forged", "wn6h7bh6j0 ", "wn6h7bh6jU"] {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let token = token();
        let shown = format!("{token:?}");
        assert!(!shown.contains(&base32().encode(token.secret.expose())));
        assert!(shown.contains("[redacted]"));
    }
}

//! The text of an access token: a JSON web signature (RFC 7515) of one kind and
//! no other.
//!
//! The algorithm is Ed25519, whatever a token says; a header has `alg`, `typ`
//! and `kid` and nothing else, so that a token can neither choose how it is
//! checked nor bring a key along. General libraries know many algorithms, and
//! bring cryptography of their own for them; this needs the one that `ring` has.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Longest text that is looked at.
const TEXT_MAX: usize = 1024;
/// Longest name of a key.
const KEY_ID_MAX: usize = 32;
/// Bytes of a signature.
const SIGNATURE_BYTES: usize = 64;
const ALGORITHM: &str = "EdDSA";
/// An access token by RFC 9068, so that no other kind passes for one.
const KIND: &str = "at+jwt";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    kid: &'a str,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The hub that made it.
    pub iss: String,
    /// The user.
    pub sub: Uuid,
    /// For what it was made.
    pub aud: String,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Its own name.
    pub jti: Uuid,
    /// The family that it belongs to.
    pub sid: Uuid,
}

/// The text of a token that says this.
pub fn sign(key_id: &str, key: &Ed25519KeyPair, claims: &Claims) -> Zeroizing<String> {
    let header = encode(&Header { alg: ALGORITHM, typ: KIND, kid: key_id });
    let signed = Zeroizing::new(format!("{header}.{}", encode(claims)));
    let signature = BASE64URL_NOPAD.encode(key.sign(signed.as_bytes()).as_ref());
    Zeroizing::new(format!("{}.{signature}", *signed))
}

fn encode(part: &impl Serialize) -> String {
    BASE64URL_NOPAD.encode(&serde_json::to_vec(part).expect("it has neither maps nor floats"))
}

/// A text that has the form of a token. Nothing of it is true yet but the name
/// of the key that must have signed it.
#[derive(Debug)]
pub struct Unverified<'a> {
    key_id: String,
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Reads the form; `None` for every other text.
    pub fn parse(text: &'a str) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = BASE64URL_NOPAD.decode(header.as_bytes()).ok()?;
        let Header { alg, typ, kid } = serde_json::from_slice(&header).ok()?;
        let is_named = (1..=KEY_ID_MAX).contains(&kid.len()) && kid.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if alg != ALGORITHM || typ != KIND || !is_named {
            return None;
        }
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
        (signature.len() == SIGNATURE_BYTES).then(|| Self { key_id: kid.to_owned(), signed, claims, signature })
    }

    /// The name of its key.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What it says, if the key signed it.
    pub fn verify(&self, public_key: &[u8]) -> Option<Claims> {
        let key = UnparsedPublicKey::new(&ED25519, public_key);
        key.verify(self.signed.as_bytes(), &self.signature).ok()?;
        serde_json::from_slice(&BASE64URL_NOPAD.decode(self.claims.as_bytes()).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::KeyPair;
    use serde_json::{Value, json};

    use super::*;

    fn key() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            iss: "urn:windflow:hub:1".into(),
            sub: Uuid::from_u128(1),
            aud: "windflow-api".into(),
            exp: 1_800,
            iat: 0,
            jti: Uuid::from_u128(2),
            sid: Uuid::from_u128(3),
        }
    }

    fn verified(text: &str) -> Option<Claims> {
        let token = Unverified::parse(text)?;
        (token.key_id() == "key1").then(|| token.verify(key().public_key().as_ref()))?
    }

    /// A token of these parts, signed well.
    fn signed(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let text = format!("{}.{}", part(header), part(claims));
        format!("{text}.{}", BASE64URL_NOPAD.encode(key().sign(text.as_bytes()).as_ref()))
    }

    #[test]
    fn a_token_survives_its_text_and_every_change_is_caught() {
        let text = sign("key1", &key(), &claims());
        assert_eq!(verified(&text), Some(claims()));
        for i in 0..text.len() {
            for replacement in ["A", "w", ".", "-", "=", "é", ""] {
                let mut changed = text.to_string();
                changed.replace_range(i..=i, replacement);
                assert!(changed == *text || verified(&changed).is_none(), "position {i} as {replacement:?}");
            }
        }
        let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        assert_eq!(verified(&sign("key1", &other, &claims())), None);
    }

    /// V9.1 of the checklist.
    #[test]
    fn a_token_chooses_neither_its_algorithm_nor_its_key() {
        let good = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "key1" });
        let said = serde_json::to_value(claims()).unwrap();
        assert_eq!(verified(&signed(&good, &said)), Some(claims()), "the parts themselves are right");
        let changed = |name: &str, value: Value| {
            let mut header = good.clone();
            header[name] = value;
            header
        };
        for header in [
            changed("alg", json!("none")),
            changed("alg", json!("HS256")),
            changed("alg", json!("ES256")),
            changed("alg", json!("eddsa")),
            changed("alg", json!(["EdDSA"])),
            changed("typ", json!("JWT")),
            changed("typ", Value::Null),
            changed("kid", json!("")),
            changed("kid", json!("../key1")),
            changed("kid", json!("k".repeat(33))),
            changed("jku", json!("https://evil.example")),
            changed("x5u", json!("https://evil.example")),
            changed("jwk", json!({ "kty": "OKP" })),
            changed("crit", json!(["exp"])),
            json!({ "alg": "EdDSA", "kid": "key1" }),
            json!({ "alg": "EdDSA", "typ": "at+jwt" }),
            json!("EdDSA"),
        ] {
            assert!(Unverified::parse(&signed(&header, &said)).is_none(), "{header}");
        }
        let unsigned = signed(&changed("alg", json!("none")), &said);
        let (unsigned, _) = unsigned.rsplit_once('.').unwrap();
        for text in [unsigned, &format!("{unsigned}."), "", ".", "..", "a.b.c", &"a".repeat(TEXT_MAX + 1)] {
            assert!(Unverified::parse(text).is_none(), "{text}");
        }
        assert!(Unverified::parse(&signed(&good, &json!("x".repeat(TEXT_MAX)))).is_none());
    }

    #[test]
    fn claims_are_those_and_no_others() {
        let good = json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": "key1" });
        let said = serde_json::to_value(claims()).unwrap();
        for name in ["iss", "sub", "aud", "exp", "iat", "jti", "sid"] {
            let mut less = said.clone();
            less.as_object_mut().unwrap().remove(name);
            assert_eq!(verified(&signed(&good, &less)), None, "{name}");
        }
        let mut more = said.clone();
        more["role"] = json!("administrator");
        assert_eq!(verified(&signed(&good, &more)), None);
        let mut list = said;
        list["aud"] = json!(["windflow-api"]);
        assert_eq!(verified(&signed(&good, &list)), None);
    }
}

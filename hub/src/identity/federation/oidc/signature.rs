//! A text that a provider signed (RFC 7515), where the crate has no verifier for
//! what it says. Keys and algorithms are those of ID tokens, and so is the code
//! that looks at the signature.

use data_encoding::BASE64URL_NOPAD;
use openidconnect::core::{CoreJsonWebKey, CoreJsonWebKeySet, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyUse, JwsSigningAlgorithm};
use serde_json::{Map, Value};

use super::tokens::{ALGORITHMS, BadToken, TOKEN_MAX};

/// What a header may not have: the hub does not do what it asks for.
const NOT_DONE: [&str; 4] = ["crit", "b64", "cty", "zip"];

/// What a token says that the provider signed. `kinds` are those that it may call
/// itself, where it does.
///
/// # Errors
/// [`BadToken`].
pub fn signed_claims(text: &str, keys: &CoreJsonWebKeySet, kinds: &[&str]) -> Result<Map<String, Value>, BadToken> {
    if text.len() > TOKEN_MAX {
        return Err(BadToken::Malformed);
    }
    let (message, signature) = text.rsplit_once('.').ok_or(BadToken::Malformed)?;
    let (header, claims) = message.split_once('.').ok_or(BadToken::Malformed)?;
    let header = object(header)?;
    if NOT_DONE.iter().any(|name| header.contains_key(*name)) {
        return Err(untrusted("its header asks for what is not done here"));
    }
    let kind = header.get("typ").map(|kind| kind.as_str().unwrap_or_default().to_ascii_lowercase());
    if !kind.is_none_or(|kind| kinds.contains(&kind.strip_prefix("application/").unwrap_or(&kind))) {
        return Err(untrusted("it is a token of another kind"));
    }
    let algorithm = header.get("alg").cloned().ok_or(BadToken::Malformed)?;
    let algorithm: CoreJwsSigningAlgorithm = serde_json::from_value(algorithm).map_err(|_| BadToken::Malformed)?;
    if !ALGORITHMS.contains(&algorithm) {
        return Err(untrusted("it is not signed in a way that counts"));
    }
    let name = match header.get("kid") {
        None => None,
        Some(Value::String(name)) => Some(name),
        Some(_) => return Err(BadToken::Malformed),
    };
    let is_named = |key: &CoreJsonWebKey| name.is_none_or(|name| key.key_id().is_some_and(|id| id.as_str() == name));
    let mut fitting = keys.keys().iter().filter(|key| is_named(key) && fits(key, &algorithm));
    let key = fitting.next().ok_or(BadToken::UnknownKey)?;
    if fitting.next().is_some() {
        return Err(untrusted("it does not say which key signed it"));
    }
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).map_err(|_| BadToken::Malformed)?;
    let verified = key.verify_signature(&algorithm, message.as_bytes(), &signature);
    verified.map_err(|_| untrusted("its signature is wrong"))?;
    object(claims)
}

/// Whether a key is one for such signatures.
fn fits(key: &CoreJsonWebKey, algorithm: &CoreJwsSigningAlgorithm) -> bool {
    let is_for_it = match key.signing_alg() {
        JsonWebKeyAlgorithm::Algorithm(only) => only == algorithm,
        JsonWebKeyAlgorithm::Unspecified => true,
        JsonWebKeyAlgorithm::Unsupported => false,
    };
    let signs = key.key_use().is_none_or(JsonWebKeyUse::allows_signature);
    is_for_it && signs && algorithm.key_type().as_ref() == Some(key.key_type())
}

fn object(part: &str) -> Result<Map<String, Value>, BadToken> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| BadToken::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| BadToken::Malformed)
}

fn untrusted(why: &str) -> BadToken {
    BadToken::Untrusted(why.to_owned())
}

//! What a registry wants to see before it gives an image away.

use axum::http::HeaderValue;
use data_encoding::BASE64URL;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::reference::ImageReference;

/// Longest name and longest password, in bytes. The tokens of some registries
/// are long.
const USERNAME_MAX: usize = 256;
const PASSWORD_MAX: usize = 8 * 1024;

/// A name and a password, or a token in its place, for the registry of one
/// image. The engine is told them with the pull; the hub keeps them nowhere.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(try_from = "Told")]
pub struct RegistryLogin {
    /// The name.
    #[schema(max_length = 256)]
    username: String,
    /// The password or the token.
    #[schema(value_type = String, format = Password, max_length = 8192)]
    password: SecretString,
}

/// As it comes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    username: String,
    password: SecretString,
}

/// The name or the password is none.
#[derive(Debug, thiserror::Error)]
#[error("a registry's user name has 1 to 256 bytes and its password or token 1 to 8192, without control characters")]
pub struct InvalidLogin;

impl TryFrom<Told> for RegistryLogin {
    type Error = InvalidLogin;

    fn try_from(Told { username, password }: Told) -> Result<Self, InvalidLogin> {
        let is_text =
            |text: &str, most: usize| !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control);
        (is_text(&username, USERNAME_MAX) && is_text(password.expose_secret(), PASSWORD_MAX))
            .then_some(Self { username, password })
            .ok_or(InvalidLogin)
    }
}

impl RegistryLogin {
    /// The value of `X-Registry-Auth`, as the Engine API has it: JSON in
    /// base64url.
    pub(super) fn header(&self, image: &ImageReference) -> HeaderValue {
        let told = json!({
            "username": self.username,
            "password": self.password.expose_secret(),
            "serveraddress": image.registry(),
        });
        let encoded = Zeroizing::new(BASE64URL.encode(Zeroizing::new(told.to_string()).as_bytes()));
        let mut value = HeaderValue::from_str(&encoded).expect("base64url is in every header's alphabet");
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(username: &str, password: &str) -> Result<RegistryLogin, serde_json::Error> {
        serde_json::from_value(json!({ "username": username, "password": password }))
    }

    #[test]
    fn a_login_goes_to_the_registry_of_its_image_and_does_not_print() {
        let login = login("ada", "canary-of-a-password").unwrap();
        assert!(!format!("{login:?}").contains("canary"), "{login:?}");
        for (image, registry) in [
            ("registry.example:5000/team/app:1", "registry.example:5000"),
            ("nginx", "docker.io"),
            ("team/app", "docker.io"),
        ] {
            let header = login.header(&image.parse().unwrap());
            assert!(header.is_sensitive());
            let told: serde_json::Value =
                serde_json::from_slice(&BASE64URL.decode(header.as_bytes()).unwrap()).unwrap();
            let expected = json!({ "username": "ada", "password": "canary-of-a-password", "serveraddress": registry });
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn a_login_that_could_break_a_line_or_fill_the_memory_is_none() {
        let long = "x".repeat(PASSWORD_MAX + 1);
        for (username, password) in [("", "p"), ("u", ""), ("u\r\nX-Other: 1", "p"), ("u", "p\0"), ("u", &long)] {
            assert!(login(username, password).is_err(), "{username:?}");
        }
        assert!(login("$oauthtoken", &long[..PASSWORD_MAX]).is_ok());
    }
}

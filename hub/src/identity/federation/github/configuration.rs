//! Where a GitHub is, checked before it is kept.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::outgoing::{Authorities, Rules};

/// The one that everybody means.
const USUAL: &str = "https://github.com";
/// What its customers have of their own ends so (data residency).
const TENANTS: &str = ".ghe.com";
/// Longest text that is taken for an address or an id.
const TEXT_MAX: usize = 512;
/// Longest name of an organization or a team.
const NAME_MAX: usize = 100;
/// Longest certificates of authorities, in bytes.
const AUTHORITIES_MAX: usize = 128 * 1024;

/// How a GitHub is asked. Its groups are organizations, as `org`, and teams, as
/// `org/team`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GitHubConfiguration {
    /// Its address: `https://github.com` unless given, or that of a GitHub
    /// Enterprise Server. It is the issuer of who somebody is there.
    #[serde(default = "usual")]
    pub base: String,
    /// What the hub is called there.
    pub client_id: String,
    /// Whether it may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// Whether it may be spoken to without TLS.
    #[serde(default)]
    pub allow_http: bool,
    /// Certificates in PEM form of those who sign its own, where the machine
    /// does not trust them by itself.
    #[serde(default)]
    pub authorities: Option<String>,
}

fn usual() -> String {
    USUAL.to_owned()
}

/// Whether two names are those of one organization, or of one team.
pub fn is_same_group(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

impl GitHubConfiguration {
    /// Which addresses it may lead to.
    ///
    /// # Errors
    /// 400 where its authorities cannot be read.
    pub fn rules(&self) -> ApiResult<Rules> {
        let authorities = self.authorities.as_deref().map(Authorities::parse).transpose();
        let unreadable = |_| wrong("invalid_authorities", "These are no certificates of authorities in PEM form.");
        let (allow_http, allow_private) = (self.allow_http, self.allow_private);
        Ok(Rules { allow_http, allow_private, authorities: authorities.map_err(unreadable)? })
    }

    /// Where browsers go.
    pub fn authorization(&self) -> Option<Url> {
        self.base_url()?.join("/login/oauth/authorize").ok()
    }

    /// Where a code is redeemed.
    pub fn token(&self) -> Option<Url> {
        self.base_url()?.join("/login/oauth/access_token").ok()
    }

    /// What is asked of somebody.
    pub fn api(&self, path: &str) -> Option<Url> {
        let base = self.base_url()?;
        let host = base.host_str()?;
        let root = match host == "github.com" || host.ends_with(TENANTS) {
            true => format!("https://api.{host}"),
            false => format!("{}/api/v3", self.base),
        };
        Url::parse(&format!("{root}{path}")).ok()
    }

    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// 400 where it does not.
    pub fn check(&self) -> ApiResult<()> {
        if self.base_url().is_none() {
            let message =
                "The address is an https:// one such as https://github.com, without anything behind the host.";
            return Err(wrong("invalid_base", message));
        }
        let is_id = |id: &str| (1..=TEXT_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
        if !is_id(&self.client_id) {
            return Err(wrong("invalid_client_id", "The client id is what the provider calls this hub."));
        }
        if self.authorities.as_ref().is_some_and(|pem| pem.len() > AUTHORITIES_MAX) {
            return Err(wrong("invalid_authorities", "The certificates may have at most 128 KiB."));
        }
        self.rules().map(drop)
    }

    /// Whether this can be an organization or a team.
    ///
    /// # Errors
    /// 400 where it cannot.
    pub fn check_group(group: &str) -> ApiResult<()> {
        let is_name = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(plain)
        };
        let fits = match group.split_once('/') {
            Some((organization, team)) => is_name(organization) && is_name(team),
            None => is_name(group),
        };
        let message = "Name an organization, such as `corp`, or a team by its short name, such as `corp/operators`.";
        if fits { Ok(()) } else { Err(wrong("invalid_group", message)) }
    }

    /// The address, if it is written in the one way in which it is the issuer.
    fn base_url(&self) -> Option<Url> {
        let url = Url::parse(&self.base).ok().filter(|_| self.base.len() <= TEXT_MAX)?;
        let is_secure = url.scheme() == "https" || (self.allow_http && url.scheme() == "http");
        (is_secure && url.has_host() && url.origin().ascii_serialization() == self.base).then_some(url)
    }
}

fn wrong(code: &'static str, message: &str) -> ApiError {
    ApiError::bad_request(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str) -> GitHubConfiguration {
        GitHubConfiguration {
            base: base.into(),
            client_id: "windflow".into(),
            allow_private: false,
            allow_http: false,
            authorities: None,
        }
    }

    #[test]
    fn each_has_its_api_where_it_is_documented() {
        for (base, api) in [
            ("https://github.com", "https://api.github.com/user"),
            ("https://corp.ghe.com", "https://api.corp.ghe.com/user"),
            ("https://github.corp.example", "https://github.corp.example/api/v3/user"),
            ("https://github.corp.example:8443", "https://github.corp.example:8443/api/v3/user"),
            ("https://evilghe.com", "https://evilghe.com/api/v3/user"),
        ] {
            assert!(at(base).check().is_ok(), "{base}");
            assert_eq!(at(base).api("/user").unwrap().as_str(), api);
        }
        assert_eq!(at(USUAL).token().unwrap().as_str(), "https://github.com/login/oauth/access_token");
        assert_eq!(at(USUAL).authorization().unwrap().as_str(), "https://github.com/login/oauth/authorize");
    }

    #[test]
    fn an_address_is_written_in_one_way() {
        for base in [
            "https://github.com/",
            "https://GitHub.com",
            "https://github.com:443",
            "http://github.com",
            "https://user@github.com",
            "https://github.com/login",
            "https://github.com?x",
            "https://github.com#x",
            "github.com",
            "javascript:x",
            "",
        ] {
            assert_eq!(at(base).check().unwrap_err().code(), "invalid_base", "{base}");
        }
        assert_eq!(
            GitHubConfiguration { client_id: String::new(), ..at(USUAL) }.check().unwrap_err().code(),
            "invalid_client_id"
        );
        assert!(GitHubConfiguration { allow_http: true, ..at("http://github.corp.example") }.check().is_ok());
    }

    #[test]
    fn a_group_is_an_organization_or_a_team_of_one() {
        for good in ["corp", "Corp-1", "corp/ops", "corp/ops_2.a"] {
            assert!(GitHubConfiguration::check_group(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "corp/", "/ops", "corp/ops/x", "a b", "corp/ö", &"x".repeat(101)] {
            assert!(GitHubConfiguration::check_group(bad).is_err(), "{bad}");
        }
        assert!(is_same_group("Corp/Ops", "corp/ops") && !is_same_group("corp", "corp/ops"));
    }
}

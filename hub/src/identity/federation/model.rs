//! What identity providers are, and what they may say.

use std::str::FromStr;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use super::github::GitHubConfiguration;
use super::ldap::{GroupSource, LdapConfiguration};
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{Scope, Title};
use crate::identity::grants::{self, Mapped, RoleRef};
use crate::outgoing::{Authorities, Rules};

/// Longest text that is taken for an address, an id or a name of a claim.
const TEXT_MAX: usize = 512;
/// Longest certificates of authorities, in bytes.
const AUTHORITIES_MAX: usize = 128 * 1024;
/// Most scopes that are asked for.
const SCOPES_MAX: usize = 20;
/// Most mappings of one provider.
const MAPPINGS_MAX: usize = 500;

/// The name of a provider in addresses: 1 to 32 lowercase letters, digits and
/// dashes, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Slug(String);

/// The text cannot be part of an address.
#[derive(Debug, thiserror::Error)]
#[error("a slug has 1 to 32 lowercase letters, digits and dashes, and starts with a letter or digit")]
pub struct InvalidSlug;

impl Slug {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Slug {
    type Err = InvalidSlug;

    fn from_str(text: &str) -> Result<Self, InvalidSlug> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let fits = (1..=32).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-');
        fits.then(|| Self(text.to_owned())).ok_or(InvalidSlug)
    }
}

impl TryFrom<String> for Slug {
    type Error = InvalidSlug;

    fn try_from(text: String) -> Result<Self, InvalidSlug> {
        text.parse()
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// How a provider is asked, by the protocol that it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Configuration {
    /// OpenID Connect.
    Oidc(OidcConfiguration),
    /// A directory that speaks LDAP.
    Ldap(LdapConfiguration),
    /// GitHub, or a GitHub Enterprise Server.
    #[serde(rename = "github")]
    GitHub(GitHubConfiguration),
}

impl Configuration {
    /// The protocol's name in the database.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Oidc(_) => "oidc",
            Self::Ldap(_) => "ldap",
            Self::GitHub(_) => "github",
        }
    }

    /// For whom the client secret is: it is not told to anybody else.
    pub fn confidant(&self) -> String {
        match self {
            Self::Oidc(oidc) => oidc.issuer.clone(),
            Self::Ldap(ldap) => ldap.confidant(),
            Self::GitHub(github) => github.base.clone(),
        }
    }
}

/// How a provider of OpenID Connect is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OidcConfiguration {
    /// Its issuer, exactly as it calls itself.
    pub issuer: String,
    /// What the hub is called there.
    pub client_id: String,
    /// What is asked for beside `openid`: `profile` and `email` unless given.
    #[serde(default = "usual_scopes")]
    pub scopes: Vec<String>,
    /// The claim with the groups of a user. Dots lead into it, as in
    /// `realm_access.roles`.
    #[serde(default)]
    pub groups_claim: Option<String>,
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

fn usual_scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

impl OidcConfiguration {
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

    fn check(&self) -> ApiResult<()> {
        let url = Url::parse(&self.issuer).ok().filter(|_| self.issuer.len() <= TEXT_MAX);
        let fits = url.is_some_and(|url| {
            let scheme = url.scheme() == "https" || (self.allow_http && url.scheme() == "http");
            let plain = url.username().is_empty() && url.password().is_none();
            scheme && plain && url.has_host() && url.query().is_none() && url.fragment().is_none()
        });
        if !fits {
            let message = "The issuer is an https:// address without a query, exactly as the provider calls itself.";
            return Err(wrong("invalid_issuer", message));
        }
        let is_token = |text: &str| {
            (1..=TEXT_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
        };
        if self.client_id.is_empty() || self.client_id.len() > TEXT_MAX || self.client_id.chars().any(char::is_control)
        {
            return Err(wrong("invalid_client_id", "The client id is what the provider calls this hub."));
        }
        if self.scopes.len() > SCOPES_MAX || !self.scopes.iter().all(|scope| is_token(scope)) {
            return Err(wrong("invalid_scopes", "A scope is one word, and there are at most 20."));
        }
        if self.groups_claim.as_ref().is_some_and(|claim| claim.is_empty() || claim.len() > TEXT_MAX) {
            return Err(wrong("invalid_claim", "Name the claim with the groups, or none."));
        }
        if self.authorities.as_ref().is_some_and(|pem| pem.len() > AUTHORITIES_MAX) {
            return Err(wrong("invalid_authorities", "The certificates may have at most 128 KiB."));
        }
        self.rules().map(drop)
    }
}

/// Whoever is in a group there has a role here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The group, as the provider names it.
    pub value: String,
    /// `administrator`, `operator`, `viewer`, or the id of another role.
    #[schema(value_type = String)]
    pub role: RoleRef,
    /// Where it counts.
    pub scope: Scope,
}

impl Mapping {
    /// What it grants.
    pub fn mapped(&self) -> Mapped {
        Mapped { role: self.role, scope: self.scope.clone() }
    }
}

/// An identity provider.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Provider {
    /// Its id.
    pub id: Uuid,
    /// What it is called on the sign-in page.
    pub name: String,
    /// What it is called in addresses.
    #[schema(value_type = String)]
    pub slug: Slug,
    /// Whether people can sign in by it.
    pub enabled: bool,
    /// Whether whoever comes for the first time is made a user.
    pub create_users: bool,
    /// Whether it asks for a second factor itself, so that the hub does not.
    pub trusted_for_second_factor: bool,
    /// The group that is let in; everyone where there is none.
    pub required_group: Option<String>,
    /// How it is asked.
    pub configuration: Configuration,
    /// Whether there is a client secret.
    pub has_client_secret: bool,
    /// Who has which role.
    pub mappings: Vec<Mapping>,
    /// How many users are linked with it.
    pub users: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// A provider that is added, or all that it is to be from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvider {
    /// What it is called on the sign-in page.
    #[schema(value_type = String)]
    pub name: Title,
    /// What it is called in addresses: the provider sends people back to
    /// `/api/v1/auth/oidc/{slug}/callback`.
    #[schema(value_type = String)]
    pub slug: Slug,
    /// Whether people can sign in by it.
    pub enabled: bool,
    /// Whether whoever comes for the first time is made a user.
    pub create_users: bool,
    /// Whether it asks for a second factor itself, so that the hub does not.
    pub trusted_for_second_factor: bool,
    /// The group that is let in; everyone where there is none.
    pub required_group: Option<String>,
    /// How it is asked.
    pub configuration: Configuration,
    /// What the hub proves itself with there. Left out, the one before stays,
    /// but for another issuer.
    #[schema(value_type = Option<String>, format = Password)]
    pub client_secret: Option<SecretString>,
    /// Who has which role.
    pub mappings: Vec<Mapping>,
}

impl NewProvider {
    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// 400 where it does not.
    pub fn check(&self) -> ApiResult<()> {
        match &self.configuration {
            Configuration::Oidc(oidc) => {
                oidc.check()?;
                let needs_groups = self.required_group.is_some() || !self.mappings.is_empty();
                if needs_groups && oidc.groups_claim.is_none() {
                    return Err(wrong("invalid_claim", "Name the claim that has the groups."));
                }
            }
            Configuration::Ldap(ldap) => self.check_directory(ldap)?,
            Configuration::GitHub(github) => self.check_github(github)?,
        }
        let is_value = |value: &str| !value.is_empty() && value.len() <= TEXT_MAX;
        if self.required_group.as_deref().is_some_and(|group| !is_value(group)) {
            return Err(wrong("invalid_group", "Name a group, or none."));
        }
        if self.mappings.len() > MAPPINGS_MAX {
            return Err(wrong("too_many", "There are at most 500 mappings."));
        }
        for mapping in &self.mappings {
            grants::check_scope(&mapping.scope)?;
            if !is_value(&mapping.value) {
                return Err(wrong("invalid_group", "Each mapping names a group."));
            }
        }
        Ok(())
    }
}

impl NewProvider {
    fn check_directory(&self, ldap: &LdapConfiguration) -> ApiResult<()> {
        ldap.check()?;
        if self.trusted_for_second_factor {
            let message = "A directory sees a password and nothing else: the hub asks for the second factor itself.";
            return Err(wrong("invalid_second_factor", message));
        }
        let needs_groups = self.required_group.is_some() || !self.mappings.is_empty();
        if needs_groups && ldap.groups == GroupSource::None {
            return Err(wrong("invalid_groups", "Say where the groups of somebody stand."));
        }
        Ok(())
    }
}

impl NewProvider {
    fn check_github(&self, github: &GitHubConfiguration) -> ApiResult<()> {
        github.check()?;
        let mapped = self.mappings.iter().map(|mapping| mapping.value.as_str());
        mapped.chain(self.required_group.as_deref()).try_for_each(GitHubConfiguration::check_group)
    }
}

/// One step of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TestStep {
    /// Of a provider of OpenID Connect `discovery`, `endpoints` or `keys`; of a
    /// GitHub `api`. Of a directory `connect`, `tls` and `service_bind`, for each server that was
    /// tried, then `base` and `group_base`, or `search`, `user_bind`, `groups`
    /// and `roles`.
    pub step: &'static str,
    /// Whether it went well; null where it was not come to.
    pub passed: Option<bool>,
    /// What is wrong, in one word.
    pub trouble: Option<&'static str>,
    /// What was found.
    pub found: Vec<String>,
}

/// What a sign-in page needs of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SignInProvider {
    /// What it is called in addresses.
    #[schema(value_type = String)]
    pub slug: Slug,
    /// What it is called.
    pub name: String,
}

/// Who a user is with a provider.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct LinkedIdentity {
    /// The link.
    pub id: Uuid,
    /// The provider.
    pub provider_id: Uuid,
    /// What it is called.
    pub provider_name: String,
    /// Who says so.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// What they are called there, where the subject says nothing to people.
    pub called: Option<String>,
    /// The user here.
    #[serde(skip)]
    pub user_id: Uuid,
    /// Since when.
    pub linked_at: Timestamp,
    /// When they signed in by it last.
    pub last_used_at: Option<Timestamp>,
}

fn wrong(code: &'static str, message: &str) -> ApiError {
    ApiError::bad_request(code, message)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_slug_is_a_plain_word() {
        for good in ["a", "corp-sso", "2fa", &"x".repeat(32)] {
            assert!(good.parse::<Slug>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a/b", "a.b", "ä", "a b", &"x".repeat(33)] {
            assert!(bad.parse::<Slug>().is_err(), "{bad}");
        }
    }
}

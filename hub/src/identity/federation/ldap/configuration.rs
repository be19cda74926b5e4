//! How a directory is asked, checked before it is kept.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::dn;
use super::filter::{self, Template};
use crate::error::{ApiError, ApiResult};
use crate::outgoing::{Authorities, Rules, Target};

/// Servers of one directory.
const SERVERS_MAX: usize = 4;
/// Longest address of a server.
const SERVER_MAX: usize = 300;
/// Longest certificates of authorities, in bytes.
const AUTHORITIES_MAX: usize = 128 * 1024;

/// How a directory is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LdapConfiguration {
    /// Its servers, `ldaps://host[:port]` or `ldap://host[:port]`. The first one
    /// that answers is asked. On `ldap://` TLS is begun before anything is said.
    pub servers: Vec<String>,
    /// Whether nothing is encrypted on `ldap://`.
    #[serde(default)]
    pub allow_plain: bool,
    /// Whether they may be on this machine or in a private network.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates in PEM form of those who sign the servers', where the
    /// machine does not trust them by itself.
    #[serde(default)]
    pub authorities: Option<String>,
    /// As whom people and groups are looked for; nobody where there is none. The
    /// password is the client secret.
    #[serde(default)]
    pub bind_dn: Option<String>,
    /// Below which entry people are looked for.
    pub base_dn: String,
    /// Who somebody is that types a name, which stands where `{name}` is.
    #[serde(default = "usual_user_filter")]
    pub user_filter: String,
    /// The attribute that stays the same for somebody, whatever they are called:
    /// `entryUUID`, or `objectGUID` in Active Directory.
    #[serde(default = "usual_id")]
    pub id_attribute: String,
    /// The attribute by which somebody new is called here: `uid`, or
    /// `sAMAccountName`.
    #[serde(default = "usual_name")]
    pub name_attribute: String,
    /// Where the groups of somebody stand.
    #[serde(default)]
    pub groups: GroupSource,
    /// The attribute with the names of one's groups.
    #[serde(default = "usual_group_attribute")]
    pub group_attribute: String,
    /// Below which entry groups are looked for; the one of people unless given.
    #[serde(default)]
    pub group_base_dn: Option<String>,
    /// Which groups somebody is in, whose name stands where `{dn}` is.
    #[serde(default = "usual_group_filter")]
    pub group_filter: String,
    /// Whether groups count that one is in through other groups.
    #[serde(default)]
    pub nested_groups: Nesting,
    /// Which directory is asked first: the one with the smallest number.
    #[serde(default)]
    pub position: u16,
}

/// Where the groups of somebody stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GroupSource {
    /// Nowhere.
    #[default]
    None,
    /// In an attribute of theirs.
    Attribute,
    /// In the groups, which are looked for.
    Search,
}

/// Whether groups count that one is in through other groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Nesting {
    /// They do not.
    #[default]
    None,
    /// They do: the groups of each group are asked for.
    Walk,
    /// They do: Active Directory finds them.
    InChain,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// At once.
    Tls,
    /// Before anything else is said.
    StartTls,
    /// Never.
    Plain,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As it is configured.
    pub address: String,
    /// Where it is.
    pub target: Target,
    /// How TLS begins.
    pub security: Security,
}

fn usual_user_filter() -> String {
    "(&(objectClass=person)(uid={name}))".to_owned()
}

fn usual_id() -> String {
    "entryUUID".to_owned()
}

fn usual_name() -> String {
    "uid".to_owned()
}

fn usual_group_attribute() -> String {
    "memberOf".to_owned()
}

fn usual_group_filter() -> String {
    "(member={dn})".to_owned()
}

impl LdapConfiguration {
    /// Which addresses it may lead to.
    ///
    /// # Errors
    /// 400 where its authorities cannot be read.
    pub fn rules(&self) -> ApiResult<Rules> {
        let authorities = self.authorities.as_deref().map(Authorities::parse).transpose();
        let unreadable = |_| wrong("invalid_authorities", "These are no certificates of authorities in PEM form.");
        Ok(Rules {
            allow_http: false,
            allow_private: self.allow_private,
            authorities: authorities.map_err(unreadable)?,
        })
    }

    /// Its servers, in the order in which they are tried.
    pub fn servers(&self) -> Option<Vec<Server>> {
        self.servers.iter().map(|text| self.server(text)).collect()
    }

    /// Where groups are looked for.
    pub fn group_base(&self) -> &str {
        self.group_base_dn.as_deref().unwrap_or(&self.base_dn)
    }

    /// To whom the password is told, and how.
    pub fn confidant(&self) -> String {
        let manner = if self.allow_plain { "openly" } else { "over TLS" };
        format!("ldap {manner} {}", self.servers.join(" "))
    }

    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// 400 where it does not.
    pub fn check(&self) -> ApiResult<()> {
        let count = self.servers.len();
        if !(1..=SERVERS_MAX).contains(&count) || self.servers().is_none() {
            let message = "Name 1 to 4 servers as ldaps://host or ldap://host, with a port where it is another one.";
            return Err(wrong("invalid_server", message));
        }
        if self.authorities.as_ref().is_some_and(|pem| pem.len() > AUTHORITIES_MAX) {
            return Err(wrong("invalid_authorities", "The certificates may have at most 128 KiB."));
        }
        self.rules()?;
        // The root of Active Directory is none, and its account may be `user@domain`.
        let fits = |text: &str| (1..=dn::DN_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        let bases = [Some(&self.base_dn), self.group_base_dn.as_ref()];
        if !bases.into_iter().flatten().all(|base| dn::is_dn(base)) || !self.bind_dn.as_deref().is_none_or(fits) {
            return Err(wrong("invalid_dn", "Name entries of the directory, such as `ou=people,dc=example,dc=org`."));
        }
        let attributes = [&self.id_attribute, &self.name_attribute, &self.group_attribute];
        if !attributes.into_iter().all(|name| filter::is_attribute(name)) {
            return Err(wrong("invalid_attribute", "An attribute is one word, such as `entryUUID`."));
        }
        if Template::parse(&self.user_filter, "{name}").is_err() {
            let message =
                "The filter of people is one in parentheses with `{name}` in a value, such as `(uid={name})`.";
            return Err(wrong("invalid_filter", message));
        }
        if Template::parse(&self.group_filter, "{dn}").is_err() {
            let message = "The filter of groups is one in parentheses with `{dn}` in a value, such as `(member={dn})`.";
            return Err(wrong("invalid_filter", message));
        }
        Ok(())
    }

    fn server(&self, text: &str) -> Option<Server> {
        if text.len() > SERVER_MAX {
            return None;
        }
        let plain = if self.allow_plain { Security::Plain } else { Security::StartTls };
        let (security, rest, port) = match (text.strip_prefix("ldaps://"), text.strip_prefix("ldap://")) {
            (Some(rest), _) => (Security::Tls, rest, 636),
            (None, Some(rest)) => (plain, rest, 389),
            (None, None) => return None,
        };
        let target = Target::parse(rest.strip_suffix('/').unwrap_or(rest), port)?;
        Some(Server { address: text.to_owned(), target, security })
    }
}

fn wrong(code: &'static str, message: &str) -> ApiError {
    ApiError::bad_request(code, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(changes: &Value) -> Result<LdapConfiguration, serde_json::Error> {
        let mut text = json!({ "servers": ["ldaps://dc.corp.example"], "base_dn": "dc=corp,dc=example" });
        let pairs = changes.as_object().into_iter().flatten();
        pairs.for_each(|(key, value)| text[key] = value.clone());
        serde_json::from_value(text)
    }

    #[test]
    fn c19_tls_begins_before_anything_is_said_unless_somebody_said_otherwise() {
        let securities = |changes: Value| {
            let servers = with(&changes).unwrap().servers().unwrap();
            servers.iter().map(|server| (server.target.to_string(), server.security)).collect::<Vec<_>>()
        };
        let both = json!(["ldap://a", "ldaps://b:1636/"]);
        let (a, b) = ("a:389".to_owned(), "b:1636".to_owned());
        let over_tls = [(a.clone(), Security::StartTls), (b.clone(), Security::Tls)];
        assert_eq!(securities(json!({ "servers": both })), over_tls);
        let openly = [(a, Security::Plain), (b, Security::Tls)];
        assert_eq!(securities(json!({ "servers": both, "allow_plain": true })), openly);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert!(with(&json!({})).unwrap().check().is_ok());
        for (changes, code) in [
            (json!({ "servers": [] }), "invalid_server"),
            (json!({ "servers": ["ldap://a", "ldap://b", "ldap://c", "ldap://d", "ldap://e"] }), "invalid_server"),
            (json!({ "servers": ["https://a"] }), "invalid_server"),
            (json!({ "servers": ["ldap://u@a"] }), "invalid_server"),
            (json!({ "servers": ["ldap://a/dc=x"] }), "invalid_server"),
            (json!({ "servers": ["ldapi:///x"] }), "invalid_server"),
            (json!({ "authorities": "x" }), "invalid_authorities"),
            (json!({ "base_dn": "" }), "invalid_dn"),
            (json!({ "base_dn": "corp" }), "invalid_dn"),
            (json!({ "group_base_dn": "x" }), "invalid_dn"),
            (json!({ "bind_dn": "" }), "invalid_dn"),
            (json!({ "bind_dn": "a\u{0}b" }), "invalid_dn"),
            (json!({ "id_attribute": "a b" }), "invalid_attribute"),
            (json!({ "name_attribute": "*" }), "invalid_attribute"),
            (json!({ "user_filter": "(uid=*)" }), "invalid_filter"),
            (json!({ "user_filter": "uid={name}" }), "invalid_filter"),
            (json!({ "group_filter": "(member={name})" }), "invalid_filter"),
        ] {
            assert_eq!(with(&changes).unwrap().check().unwrap_err().code(), code, "{changes}");
        }
        assert!(with(&json!({ "verify": false })).is_err(), "there is no such thing");
    }
}

//! What follows from the groups that somebody is in elsewhere.

use super::model::{Configuration, Provider};
use super::{github, ldap};
use crate::identity::grants::Mapped;

/// Whether a provider's users are let in who are in these groups.
pub fn lets_in(provider: &Provider, groups: &[String]) -> bool {
    provider.required_group.as_ref().is_none_or(|required| is_among(provider, required, groups))
}

/// What those in these groups are granted, each once.
pub fn granted_to(provider: &Provider, groups: &[String]) -> Vec<Mapped> {
    let mut granted = Vec::new();
    for mapping in provider.mappings.iter().filter(|mapping| is_among(provider, &mapping.value, groups)) {
        let mapped = mapping.mapped();
        if !granted.contains(&mapped) {
            granted.push(mapped);
        }
    }
    granted
}

/// Whether the provider says of somebody that they are in a group. In a directory
/// and at a GitHub one name can be written in several ways.
fn is_among(provider: &Provider, named: &str, groups: &[String]) -> bool {
    match provider.configuration {
        Configuration::Oidc(_) => groups.iter().any(|group| group == named),
        Configuration::GitHub(_) => groups.iter().any(|group| github::is_same_group(group, named)),
        Configuration::Ldap(_) => groups.iter().any(|group| ldap::is_same_group(group, named)),
    }
}

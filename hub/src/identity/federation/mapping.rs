//! What follows from the groups that somebody is in elsewhere.

use super::model::Provider;
use crate::identity::grants::Mapped;

/// Whether a provider's users are let in who are in these groups.
pub fn lets_in(provider: &Provider, groups: &[String]) -> bool {
    provider.required_group.as_ref().is_none_or(|required| groups.contains(required))
}

/// What those in these groups are granted, each once.
pub fn granted_to(provider: &Provider, groups: &[String]) -> Vec<Mapped> {
    let mut granted = Vec::new();
    for mapping in provider.mappings.iter().filter(|mapping| groups.contains(&mapping.value)) {
        let mapped = mapping.mapped();
        if !granted.contains(&mapped) {
            granted.push(mapped);
        }
    }
    granted
}

//! What a new token is to be limited to, and that it is no more than its maker.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde_json::json;
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::http::{Limits, TokenScope};
use crate::identity::audit::Entry;

/// Environments, groups and networks that a token is limited to, of each.
const PLACES_MAX: usize = 100;

/// What a new token is to be limited to: no more than the one that makes it,
/// where nothing is asked for.
#[derive(Debug, Default)]
pub struct AskedLimits {
    /// What it is for.
    pub scopes: Option<Vec<TokenScope>>,
    /// The environments that there are for it.
    pub environments: Vec<Uuid>,
    /// The groups whose environments there are for it.
    pub groups: Vec<Uuid>,
    /// The networks that it may be used from.
    pub networks: Vec<IpNet>,
}

impl AskedLimits {
    /// Whether there are not too many of them, before any is looked for.
    pub(super) fn check_size(&self) -> ApiResult<()> {
        let counts = [self.environments.len(), self.groups.len(), self.networks.len()];
        if counts.into_iter().all(|count| count <= PLACES_MAX) {
            return Ok(());
        }
        let message = format!("A token is limited to at most {PLACES_MAX} environments, groups and networks each.");
        Err(ApiError::bad_request("too_many_limits", message))
    }

    /// What the token is limited to: what is asked for, and where nothing is,
    /// what its maker is limited to.
    ///
    /// # Errors
    /// 403 where it could do more than its maker.
    pub(super) fn within(self, maker: Option<&Limits>) -> ApiResult<Limits> {
        let base = maker.cloned().unwrap_or_default();
        let scopes = self.scopes.map_or_else(|| base.scopes.clone(), |scopes| scopes.into_iter().collect());
        if scopes.is_empty() {
            let message = "A token is for something: name its scopes, or leave them out.";
            return Err(ApiError::bad_request("no_scopes", message));
        }
        let anywhere = self.environments.is_empty() && self.groups.is_empty();
        let (environments, groups) = match anywhere {
            true => (base.environments.clone(), base.groups.clone()),
            false => (unique(self.environments), unique(self.groups)),
        };
        let networks = if self.networks.is_empty() { base.networks.clone() } else { unique(self.networks) };
        let limits = Limits { scopes, environments, groups, networks };
        if limits.are_within(&base) {
            return Ok(limits);
        }
        let message = "A token makes tokens that may do what it may do itself, or less.";
        Err(ApiError::forbidden("exceeds_token", message))
    }
}

fn unique<T: Ord>(items: Vec<T>) -> Vec<T> {
    items.into_iter().collect::<BTreeSet<T>>().into_iter().collect()
}

/// What stands in the record of a token's making.
pub(super) fn facts(entry: Entry, limits: &Limits) -> Entry {
    let entry = entry.fact("scopes", json!(limits.scopes));
    let lists = [
        ("environments", json!(limits.environments), limits.environments.is_empty()),
        ("groups", json!(limits.groups), limits.groups.is_empty()),
        ("networks", json!(limits.networks), limits.networks.is_empty()),
    ];
    let named = lists.into_iter().filter(|(_, _, is_empty)| !is_empty);
    named.fold(entry, |entry, (name, list, _)| entry.fact(name, list))
}

//! What narrows an API token. It never lets anybody do more than its owner may
//! now, and these are what it does not let them do of that.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Permission, Permissions, Scope};

/// What a token is for. Each permission is of one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// To see what is there and what happened, and change nothing.
    Read,
    /// To keep what is there running.
    Operate,
    /// To make and remove what runs. Whoever may do this owns the hosts.
    Deploy,
    /// Everything.
    Admin,
}

/// The text is no scope.
#[derive(Debug, thiserror::Error)]
#[error("the scope must be read, operate, deploy or admin")]
pub struct UnknownScope;

impl TokenScope {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Read, Self::Operate, Self::Deploy, Self::Admin];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }

    /// Whether a token of this scope may use a permission. One of `admin` may
    /// use them all.
    pub fn brings(self, permission: Permission) -> bool {
        self == Self::Admin || permission.token_scope() == self
    }
}

impl std::fmt::Display for TokenScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TokenScope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

impl Permission {
    /// The scope that a token must have to use it.
    pub const fn token_scope(self) -> TokenScope {
        match self {
            Self::EnvironmentsView
            | Self::ContainersView
            | Self::ContainersLogs
            | Self::ImagesView
            | Self::VolumesView
            | Self::NetworksView
            | Self::MetricsView
            | Self::ActivityView
            | Self::AuditView
            | Self::JobsView => TokenScope::Read,
            Self::ContainersOperate
            | Self::ContainersExec
            | Self::FilesRead
            | Self::FilesWrite
            | Self::ImagesPull
            | Self::JobsCancel => TokenScope::Operate,
            Self::ContainersDeploy | Self::ContainersRemove | Self::EnginePrune | Self::EngineRaw => TokenScope::Deploy,
            Self::EnvironmentsManage
            | Self::GroupsManage
            | Self::AgentsManage
            | Self::EnrollmentManage
            | Self::SecretsRead
            | Self::RecordingsView
            | Self::RecordingsDelete
            | Self::UsersManage
            | Self::HubManage => TokenScope::Admin,
        }
    }
}

/// What a token is limited to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::FromRow, ToSchema)]
pub struct Limits {
    /// What it is for: `admin` is all that its owner may do.
    #[sqlx(json)]
    pub scopes: BTreeSet<TokenScope>,
    /// The environments that there are for it. Where it names neither these nor
    /// groups, it is not limited to any.
    #[sqlx(json)]
    pub environments: Vec<Uuid>,
    /// The groups whose environments there are for it.
    #[sqlx(json, rename = "environment_groups")]
    pub groups: Vec<Uuid>,
    /// The networks that it may be used from; from everywhere where there is
    /// none.
    #[sqlx(json)]
    #[schema(value_type = Vec<String>)]
    pub networks: Vec<IpNet>,
}

impl Default for Limits {
    /// What limits nothing.
    fn default() -> Self {
        let scopes = BTreeSet::from([TokenScope::Admin]);
        Self { scopes, environments: Vec::new(), groups: Vec::new(), networks: Vec::new() }
    }
}

impl Limits {
    /// Whether they leave all that the owner may do, from everywhere.
    pub fn are_none(&self) -> bool {
        self.scopes.contains(&TokenScope::Admin) && !self.are_placed() && self.networks.is_empty()
    }

    /// Whether they leave some environments only.
    pub fn are_placed(&self) -> bool {
        !self.environments.is_empty() || !self.groups.is_empty()
    }

    /// Where those environments are; `None` for everywhere.
    pub fn places(&self) -> Option<Vec<Scope>> {
        let environments = self.environments.iter().map(|id| Scope::Environment { environment_id: *id });
        let groups = self.groups.iter().map(|id| Scope::Group { group_id: *id });
        self.are_placed().then(|| environments.chain(groups).collect())
    }

    /// What they leave of all that may be allowed.
    pub fn permissions(&self) -> Permissions {
        let brought = |permission: &Permission| self.scopes.iter().any(|scope| scope.brings(*permission));
        Permission::ALL.iter().copied().filter(brought).collect()
    }

    /// Whether the token may be used from there. Nobody knows where someone is
    /// who has no address.
    pub fn admit(&self, address: Option<IpAddr>) -> bool {
        let inside = |address: IpAddr| self.networks.iter().any(|network| network.contains(&address.to_canonical()));
        self.networks.is_empty() || address.is_some_and(inside)
    }

    /// Whether these leave no more than `other` does. Of places and networks
    /// nothing is asked but that the other has them too: an environment may
    /// leave its group.
    pub fn are_within(&self, other: &Self) -> bool {
        let scopes = other.scopes.contains(&TokenScope::Admin) || self.scopes.is_subset(&other.scopes);
        let environments = self.environments.iter().all(|id| other.environments.contains(id));
        let groups = self.groups.iter().all(|id| other.groups.contains(id));
        let places = !other.are_placed() || (self.are_placed() && environments && groups);
        let known = |network: &IpNet| other.networks.iter().any(|wider| wider.contains(network));
        let networks = other.networks.is_empty() || (!self.networks.is_empty() && self.networks.iter().all(known));
        scopes && places && networks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Role;

    fn scoped(scopes: &[TokenScope]) -> Limits {
        Limits { scopes: scopes.iter().copied().collect(), ..Limits::default() }
    }

    fn network(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn admin_is_everything_and_the_others_share_the_rest_without_overlap() {
        assert_eq!(Limits::default().permissions().to_vec(), Permission::ALL);
        assert!(Limits::default().are_none());
        let parts = [TokenScope::Read, TokenScope::Operate, TokenScope::Deploy];
        let all: Vec<Permission> = parts.iter().flat_map(|scope| scoped(&[*scope]).permissions().to_vec()).collect();
        let once: BTreeSet<&str> = all.iter().map(|permission| permission.as_str()).collect();
        assert_eq!(all.len(), once.len());
        assert!(!once.contains("users.manage") && !once.contains("hub.manage") && !once.contains("secrets.read"));
        assert_eq!(scoped(&parts).permissions().to_vec().len(), all.len());
    }

    #[test]
    fn read_and_operate_are_no_more_than_the_roles_that_look_and_operate() {
        let viewer = Role::Viewer.permissions();
        let more: Vec<_> = scoped(&[TokenScope::Read]).permissions().iter().filter(|p| !viewer.has(*p)).collect();
        assert_eq!(more, [Permission::AuditView]);
        let operator = Role::Operator.permissions();
        assert!(scoped(&[TokenScope::Operate]).permissions().iter().all(|permission| operator.has(permission)));
    }

    #[test]
    fn a_token_is_used_from_its_networks_and_from_nowhere_else() {
        let limits = Limits { networks: vec![network("10.0.0.0/8"), network("2001:db8::/64")], ..Limits::default() };
        for (address, admitted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("2001:db8::1", true),
            ("2001:db8:0:1::1", false),
        ] {
            assert_eq!(limits.admit(Some(address.parse().unwrap())), admitted, "{address}");
        }
        assert!(!limits.admit(None) && Limits::default().admit(None));
        assert!(!limits.are_none());
    }

    #[test]
    fn limits_are_within_others_only_where_each_part_is() {
        let (here, there) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let narrow = Limits {
            scopes: BTreeSet::from([TokenScope::Read, TokenScope::Operate]),
            environments: vec![here],
            groups: vec![there],
            networks: vec![network("10.0.0.0/8")],
        };
        assert!(narrow.are_within(&narrow) && narrow.are_within(&Limits::default()));
        assert!(!Limits::default().are_within(&narrow));
        let within = [
            Limits { scopes: BTreeSet::from([TokenScope::Read]), ..narrow.clone() },
            Limits { environments: vec![], ..narrow.clone() },
            Limits { networks: vec![network("10.9.0.0/16")], ..narrow.clone() },
        ];
        let beyond = [
            scoped(&[TokenScope::Read]),
            Limits { scopes: BTreeSet::from([TokenScope::Admin]), ..narrow.clone() },
            Limits { scopes: BTreeSet::from([TokenScope::Deploy]), ..narrow.clone() },
            Limits { environments: vec![], groups: vec![], ..narrow.clone() },
            Limits { environments: vec![here, there], ..narrow.clone() },
            Limits { groups: vec![here], ..narrow.clone() },
            Limits { networks: vec![], ..narrow.clone() },
            Limits { networks: vec![network("10.0.0.0/7")], ..narrow.clone() },
            Limits { networks: vec![network("10.0.0.0/8"), network("::/0")], ..narrow.clone() },
        ];
        for limits in within {
            assert!(limits.are_within(&narrow), "{limits:?}");
        }
        for limits in beyond {
            assert!(!limits.are_within(&narrow), "{limits:?}");
        }
    }
}

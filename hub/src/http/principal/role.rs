//! The roles that come with the hub.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Permission, Permissions};

/// What a user may do in all environments. What they were granted beside it
/// comes on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Administrator,
    /// Keep what is there running: start and stop, look into containers, pull
    /// images. Make nothing and remove nothing.
    Operator,
    /// Look, and change nothing but their own credentials.
    Viewer,
    /// Nothing but what they were granted.
    Restricted,
}

/// The text is no role.
#[derive(Debug, thiserror::Error)]
#[error("the role must be administrator, operator, viewer or restricted")]
pub struct UnknownRole;

impl Role {
    /// All there are, those that may do most first.
    pub const ALL: [Self; 4] = [Self::Administrator, Self::Operator, Self::Viewer, Self::Restricted];

    /// The role's name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Restricted => "restricted",
        }
    }

    /// Whether the role has a permission. What a role has not been given is
    /// denied.
    pub fn may(self, permission: Permission) -> bool {
        match self {
            Self::Administrator => true,
            Self::Operator => VIEWER.contains(&permission) || OPERATOR_TOO.contains(&permission),
            Self::Viewer => VIEWER.contains(&permission),
            Self::Restricted => false,
        }
    }

    /// All that the role has.
    pub fn permissions(self) -> Permissions {
        Permission::ALL.iter().copied().filter(|permission| self.may(*permission)).collect()
    }
}

const VIEWER: [Permission; 9] = [
    Permission::EnvironmentsView,
    Permission::ContainersView,
    Permission::ContainersLogs,
    Permission::ImagesView,
    Permission::VolumesView,
    Permission::NetworksView,
    Permission::MetricsView,
    Permission::ActivityView,
    Permission::JobsView,
];

const OPERATOR_TOO: [Permission; 6] = [
    Permission::ContainersOperate,
    Permission::ContainersExec,
    Permission::FilesRead,
    Permission::FilesWrite,
    Permission::ImagesPull,
    Permission::JobsCancel,
];

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownRole)
    }
}

impl TryFrom<String> for Role {
    type Error = UnknownRole;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_the_next_may_and_more() {
        let counts = Role::ALL.map(|role| role.permissions().iter().count());
        assert_eq!(counts, [Permission::ALL.len(), VIEWER.len() + OPERATOR_TOO.len(), VIEWER.len(), 0]);
        assert!(Role::Viewer.permissions().iter().all(|permission| Role::Operator.may(permission)));
    }

    #[test]
    fn a_viewer_only_looks() {
        let looks = |permission: &Permission| {
            permission.as_str().ends_with(".view") || *permission == Permission::ContainersLogs
        };
        assert!(Role::Viewer.permissions().iter().all(|permission| looks(&permission)));
    }

    #[test]
    fn an_operator_can_take_over_neither_hosts_nor_the_hub() {
        for permission in Role::Operator.permissions().iter() {
            let name = permission.as_str();
            assert!(!name.ends_with(".manage") && !["engine.raw", "containers.deploy", "secrets.read"].contains(&name));
        }
    }
}

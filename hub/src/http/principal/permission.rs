//! What may be allowed, one thing at a time.

use serde::{Deserialize, Serialize};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Something that may be allowed to somebody.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Permission {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Permission {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in the API and the documents: what it is about, and what
            /// may be done with it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

permissions! {
    /// See environments, their groups and agents, and how they are.
    EnvironmentsView => "environments.view",
    /// Add, change and remove environments.
    EnvironmentsManage => "environments.manage",
    /// Make, rename and remove groups of environments.
    GroupsManage => "groups.manage",
    /// Approve, rename, replace and revoke agents.
    AgentsManage => "agents.manage",
    /// Make and revoke the tokens with which hosts are enrolled.
    EnrollmentManage => "enrollment.manage",
    /// See containers, what they run and what they changed. Values that look
    /// like secrets are masked.
    ContainersView => "containers.view",
    /// Read what containers print.
    ContainersLogs => "containers.logs",
    /// Start, stop, restart, kill, pause and unpause containers.
    ContainersOperate => "containers.operate",
    /// Open terminals in containers.
    ContainersExec => "containers.exec",
    /// Make, edit and rename containers, and make images of them. Who may
    /// mount any folder of a host owns the host.
    ContainersDeploy => "containers.deploy",
    /// Remove containers.
    ContainersRemove => "containers.remove",
    /// List and download files in containers, and whole file systems.
    FilesRead => "files.read",
    /// Upload, edit, rename and delete files in containers.
    FilesWrite => "files.write",
    /// See values that look like secrets.
    SecretsRead => "secrets.read",
    /// See images.
    ImagesView => "images.view",
    /// Pull images.
    ImagesPull => "images.pull",
    /// See volumes.
    VolumesView => "volumes.view",
    /// See networks.
    NetworksView => "networks.view",
    /// Delete what is not in use.
    EnginePrune => "engine.prune",
    /// Ask an engine anything, past every other permission. Whoever may do
    /// this owns the host.
    EngineRaw => "engine.raw",
    /// See how much of a host and its containers is in use.
    MetricsView => "metrics.view",
    /// See what engines told.
    ActivityView => "activity.view",
    /// See what users did.
    AuditView => "audit.view",
    /// See jobs and what they printed.
    JobsView => "jobs.view",
    /// Cancel jobs.
    JobsCancel => "jobs.cancel",
    /// See, play and download recordings of terminals.
    RecordingsView => "recordings.view",
    /// Delete recordings of terminals.
    RecordingsDelete => "recordings.delete",
    /// Make, change and shut out users, and end their sessions and tokens.
    UsersManage => "users.manage",
    /// Back up the hub, change its keys, and see how much room its data has.
    HubManage => "hub.manage",
}

impl Permission {
    /// Whether it is about the hub, and not about what is in an environment: it
    /// counts only where it is given for all of them.
    pub const fn is_of_hub(self) -> bool {
        matches!(
            self,
            Self::GroupsManage | Self::EnrollmentManage | Self::AuditView | Self::UsersManage | Self::HubManage
        )
    }
}

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions(u64);

const _: () = assert!(Permission::ALL.len() <= u64::BITS as usize, "a set of permissions has a bit for each");

impl Permissions {
    /// Whether this one is in it.
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u8) != 0
    }

    /// Whether there is none in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in this set or in the other.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in this set and in the other.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are about what is in an environment.
    #[must_use]
    pub fn in_environments(self) -> Self {
        self.iter().filter(|permission| !permission.is_of_hub()).collect()
    }

    /// Each of them, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.iter().copied().filter(move |permission| self.has(*permission))
    }

    /// The same as a list.
    pub fn to_vec(self) -> Vec<Permission> {
        self.iter().collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(all: I) -> Self {
        Self(all.into_iter().fold(0, |set, permission| set | (1 << permission as u8)))
    }
}

impl PartialSchema for Permission {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|permission| permission.as_str());
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
        schema.description(Some("Something that may be allowed to somebody.")).into()
    }
}

impl ToSchema for Permission {}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_has_its_own_name_which_is_the_same_everywhere() {
        let names: BTreeSet<&str> = Permission::ALL.iter().map(|permission| permission.as_str()).collect();
        assert_eq!(names.len(), Permission::ALL.len());
        for permission in Permission::ALL {
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.as_str());
            let (about, what) = permission.as_str().split_once('.').unwrap();
            assert!(!about.is_empty() && !what.is_empty() && !what.contains('.'), "{permission}");
        }
    }

    #[test]
    fn a_set_has_what_was_put_into_it_and_nothing_else() {
        for permission in Permission::ALL {
            let set = Permissions::from_iter([*permission]);
            assert_eq!(set.to_vec(), [*permission]);
            assert!(!set.is_empty() && !Permissions::default().has(*permission));
        }
        let all: Permissions = Permission::ALL.iter().copied().collect();
        assert_eq!(all.to_vec(), Permission::ALL);
        assert!(all.in_environments().iter().all(|permission| !permission.is_of_hub()));
        assert!(!all.in_environments().has(Permission::UsersManage));
    }
}

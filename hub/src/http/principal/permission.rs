//! What may be allowed, one thing at a time.

use serde::{Deserialize, Serialize};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

macro_rules! permissions {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Something that may be allowed to somebody.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Back up the hub, and see how much room its data has.
    HubManage => "hub.manage",
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
}

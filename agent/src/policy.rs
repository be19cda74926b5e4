//! What a file on the host says that no hub may do there.
//!
//! The file is read when the agent starts and when it is told to (SIGHUP), by
//! nobody from afar. Without one, everything is passed on as it comes. With one,
//! what the hub asks of the engine goes through the [`gate`], which knows what it
//! lets through and refuses the rest, and the agent's own services keep to it.

mod file;
pub mod gate;
mod keeper;
mod rails;
mod recorder;
mod settings;
mod workload;

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use windflow_protocol::message::policy::PolicyFacts;

pub use self::file::FileError;
pub(crate) use self::gate::is_open_label;
pub use self::keeper::Keeper;
pub use self::rails::Rails;
pub use self::settings::Settings;

/// Where the policy of a host is, unless said.
pub const POLICY_FILE: &str = "/etc/windflow/policy.toml";

/// How far a hub may go, from the least to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// It may look.
    Monitor,
    /// And start and stop what is there.
    Operate,
    /// And make what cannot reach the host.
    DeploySafe,
    /// Everything but what would touch the agent itself.
    Full,
}

impl Profile {
    /// Its name in the file and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Operate => "operate",
            Self::DeploySafe => "deploy-safe",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A kind of request. Each is allowed or refused as a whole, before anything in
/// it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Lists, and what is told of one thing.
    Look,
    /// What containers say.
    Logs,
    /// Starting and stopping what is there.
    Operate,
    /// Fetching images.
    Pull,
    /// Removing images that nothing names.
    Prune,
    /// Making, changing and removing containers.
    Deploy,
    /// A container's own input and output.
    Attach,
    /// Programs in containers.
    Exec,
    /// Files out of containers.
    ReadFiles,
    /// Files into containers.
    WriteFiles,
    /// Making and removing volumes.
    Volumes,
    /// Making, joining and removing networks.
    Networks,
    /// Images from an archive.
    LoadImages,
    /// Containers as images and archives, images as archives.
    Capture,
    /// Building images.
    Build,
    /// Swarm, its services and its secrets.
    Swarm,
    /// Plugins of the engine.
    Plugins,
}

impl Class {
    const ALL: [Self; 17] = [
        Self::Look,
        Self::Logs,
        Self::Operate,
        Self::Pull,
        Self::Prune,
        Self::Deploy,
        Self::Attach,
        Self::Exec,
        Self::ReadFiles,
        Self::WriteFiles,
        Self::Volumes,
        Self::Networks,
        Self::LoadImages,
        Self::Capture,
        Self::Build,
        Self::Swarm,
        Self::Plugins,
    ];

    /// The rule by which it is refused.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Logs => "logs",
            Self::Operate => "operate",
            Self::Pull => "pull",
            Self::Prune => "prune",
            Self::Deploy => "deploy",
            Self::Attach => "attach",
            Self::Exec => "exec",
            Self::ReadFiles => "files.read",
            Self::WriteFiles => "files.write",
            Self::Volumes => "volumes",
            Self::Networks => "networks",
            Self::LoadImages => "images.load",
            Self::Capture => "capture",
            Self::Build => "build",
            Self::Swarm => "swarm",
            Self::Plugins => "plugins",
        }
    }
}

/// The policy that counts, which never changes: another file makes another one.
#[derive(Debug)]
pub struct Policy {
    profile: Profile,
    digest: Option<[u8; 32]>,
    invalid: Option<String>,
    settings: Settings,
    rails: Rails,
}

impl Policy {
    /// What the file at `path` says; `None` where there is none. One that cannot
    /// be used leaves a hub nothing but looking on.
    pub fn load(path: &Path, rails: &Rails) -> Option<Self> {
        match file::read(path, rustix::process::Uid::ROOT, rails) {
            Ok(None) => None,
            Ok(Some(read)) => Some(Self::of(read, rails.clone())),
            Err(error) => {
                tracing::error!(error.code = "POLICY_INVALID", path = %path.display(), %error, "the policy cannot be used: only looking on is allowed");
                Some(Self::invalid(&error, rails.clone()))
            }
        }
    }

    fn of(read: file::Read, rails: Rails) -> Self {
        let (profile, digest) = (read.profile, Some(read.digest));
        Self { profile, digest, invalid: None, settings: read.settings, rails }
    }

    fn invalid(error: &FileError, rails: Rails) -> Self {
        let settings = Settings::default();
        Self { profile: Profile::Monitor, digest: error.digest(), invalid: Some(error.to_string()), settings, rails }
    }

    /// How far a hub may go.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Why the file does not count, where it does not.
    pub fn invalidity(&self) -> Option<&str> {
        self.invalid.as_deref()
    }

    /// SHA-256 of the file.
    pub const fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }

    /// Whether values that may be secret are left out of what the hub is told.
    pub fn redacts(&self) -> bool {
        self.profile == Profile::Monitor
    }

    /// Whether requests of this kind are let through, each for what is in it.
    pub fn permits(&self, class: Class) -> bool {
        let reaches = |least: Profile| self.profile >= least;
        let settings = &self.settings;
        match class {
            Class::Look => true,
            Class::Logs => settings.logs.enabled,
            Class::Operate | Class::Prune => reaches(Profile::Operate),
            Class::Pull => reaches(Profile::Full) || reaches(Profile::Operate) && settings.images.allow.is_some(),
            Class::Deploy | Class::Attach | Class::Volumes | Class::Networks => reaches(Profile::DeploySafe),
            Class::Exec => reaches(Profile::Full) || reaches(Profile::DeploySafe) && settings.exec.enabled,
            Class::ReadFiles => reaches(Profile::Full) || reaches(Profile::DeploySafe) && settings.files.read,
            Class::WriteFiles => reaches(Profile::Full) || reaches(Profile::DeploySafe) && settings.files.write,
            Class::LoadImages => reaches(Profile::Full) || reaches(Profile::DeploySafe) && settings.images.load,
            Class::Capture | Class::Build | Class::Swarm => reaches(Profile::Full),
            Class::Plugins => false,
        }
    }

    /// What the hub is told of it.
    pub fn facts(&self) -> PolicyFacts {
        let refused = Class::ALL.into_iter().filter(|class| !self.permits(*class));
        PolicyFacts {
            profile: self.profile.as_str().to_owned(),
            digest: self.digest,
            invalid: self.invalid.clone(),
            refuses: refused.map(|class| class.rule().to_owned()).collect(),
        }
        .sanitized()
    }
}

/// What the hub is told where there is no file.
pub fn facts_without_a_file() -> PolicyFacts {
    PolicyFacts { profile: Profile::Full.as_str().to_owned(), ..PolicyFacts::default() }
}

#[cfg(test)]
mod tests;

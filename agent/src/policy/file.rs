//! The policy's file: who may have written it, and what it says.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ring::digest;
use rustix::process::Uid;
use serde::Deserialize;

use super::Profile;
use super::rails::Rails;
use super::settings::{Settings, *};
use super::workload::Place;

/// Largest file, in bytes.
const FILE_MAX: u64 = 64 * 1024;
/// The only version there is.
const VERSION: u32 = 1;
/// Who may write beside the owner: nobody.
const OTHERS_WRITE: u32 = 0o022;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// Somebody else may have written it.
    #[error("it must be a file of root that nobody else may write (chown root:root, chmod 644)")]
    NotRoots,
    /// It is larger than any policy.
    #[error("it is larger than 64 KiB")]
    TooLarge,
    /// It makes no sense.
    #[error("{what}")]
    Malformed {
        /// What is wrong with it.
        what: String,
        /// SHA-256 of it.
        digest: [u8; 32],
    },
}

impl FileError {
    /// SHA-256 of the file, where it was read.
    pub(super) const fn digest(&self) -> Option<[u8; 32]> {
        match self {
            Self::Malformed { digest, .. } => Some(*digest),
            Self::Unreadable(_) | Self::NotRoots | Self::TooLarge => None,
        }
    }
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) profile: Profile,
    pub(super) digest: [u8; 32],
    pub(super) settings: Settings,
}

/// The form of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    profile: Profile,
    #[serde(default)]
    logs: Logs,
    #[serde(default)]
    exec: Exec,
    #[serde(default)]
    files: Files,
    #[serde(default)]
    images: Images,
    #[serde(default)]
    mounts: Mounts,
    #[serde(default)]
    container: Container,
    #[serde(default)]
    networks: Networks,
    #[serde(default)]
    limits: Limits,
}

/// Reads the file, which must be `owner`'s; `None` where there is none.
pub(super) fn read(path: &Path, owner: Uid, rails: &Rails) -> Result<Option<Read>, FileError> {
    // A link that leads nowhere is a mistake, not the absence of a policy.
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
        Ok(_) => {}
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != owner.as_raw() || found.mode() & OTHERS_WRITE != 0 {
        return Err(FileError::NotRoots);
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(FileError::TooLarge);
    }
    let digest = sha256(&bytes);
    parse(&bytes, digest, rails).map(Some).map_err(|what| FileError::Malformed { what, digest })
}

fn parse(bytes: &[u8], digest: [u8; 32], rails: &Rails) -> Result<Read, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let written: Written = toml::from_str(text).map_err(|error| one_line(&error.to_string()))?;
    if written.version != VERSION {
        return Err(format!("version {} is not known: this agent reads version {VERSION}", written.version));
    }
    let Written { profile, logs, exec, files, images, mut mounts, container, networks, limits, .. } = written;
    if !mounts.binds.is_empty() && rails.is_in_a_container() {
        return Err("mounts.binds cannot be checked from inside a container: run the agent on the host".to_owned());
    }
    if exec.record && profile != Profile::DeploySafe {
        let why = "under full a hub can remove what was written down, and the others run no programs";
        return Err(format!("exec.record needs profile = \"deploy-safe\": {why}"));
    }
    for bind in &mut mounts.binds {
        bind.place = Some(place(&bind.source, rails)?);
    }
    check_nesting(&mounts.binds)?;
    let settings = Settings { logs, exec, files, images, mounts, container, networks, limits };
    Ok(Read { profile, digest, settings })
}

/// What stands at the source of a bind.
fn place(source: &Path, rails: &Rails) -> Result<Place, String> {
    let shown = source.display();
    if !is_plain(source) {
        return Err(format!("mounts.binds: {shown} must be an absolute path without . and .. in it"));
    }
    if rails.are_touched_by(source) {
        return Err(format!("mounts.binds: {shown} holds what is the agent's or the engine's own, or is in it"));
    }
    Place::of(source)
        .map_err(|error| format!("mounts.binds: {shown} cannot be opened without following a link: {error}"))
}

/// Who may write in a place could put a link where another one is to be, between
/// the look at it and the engine's.
fn check_nesting(binds: &[Bind]) -> Result<(), String> {
    for outer in binds.iter().filter(|bind| !bind.ro) {
        let inner = binds.iter().find(|bind| bind.source != outer.source && bind.source.starts_with(&outer.source));
        if let Some(inner) = inner {
            let (inner, outer) = (inner.source.display(), outer.source.display());
            return Err(format!("mounts.binds: {inner} is in {outer}, in which containers may write"));
        }
    }
    Ok(())
}

/// Whether a path is absolute, and written in its shortest form.
fn is_plain(path: &Path) -> bool {
    let shortest: PathBuf = path.components().collect();
    let has_parents = path.components().any(|part| matches!(part, std::path::Component::ParentDir));
    path.is_absolute() && !has_parents && shortest.as_os_str() == path.as_os_str()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

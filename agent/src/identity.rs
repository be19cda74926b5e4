//! Who the agent is, on disk: its key, its certificate and what it knows of
//! its hub, in the folder `identity` of the state directory.
//!
//! The folder is complete or not there at all. An enrollment grows beside it
//! in `identity.next` and takes its place in one rename, so that a crash
//! leaves either the old identity, or a key with which to ask again.

mod edge;
mod files;
mod key;
mod state;

use std::path::{Path, PathBuf};

use anyhow::Context;
use windflow_protocol::message::enroll::{Certificate, Enrolled};
use windflow_protocol::tls::{ClientIdentity, FleetTrust, TlsError};
use windflow_protocol::token::TokenId;

pub use edge::{EdgeCredentials, SessionView};
pub use files::Lock;
pub use key::AgentKey;
pub use state::{Renewal, State};

const CURRENT: &str = "identity";
const NEXT: &str = "identity.next";
const PREVIOUS: &str = "identity.previous";
const KEY: &str = "key.der";
const CERTIFICATE: &str = "cert.der";
const AUTHORITY: &str = "ca.der";
const STATE: &str = "state.json";
/// In [`NEXT`] only: which token the key there was made for.
const TOKEN: &str = "token-id";

/// The folder in which an agent keeps everything, readable by its user alone.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// When it cannot be made, or is no folder.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        files::make_private_folder(path)
            .with_context(|| format!("Failed to prepare the state directory {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Keeps every other agent out of this folder while the lock lives.
    ///
    /// # Errors
    /// When another process holds it.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        Lock::take(&self.0.join("lock"))
    }

    /// The identity, if this host has one. Finishes what a crash left.
    ///
    /// # Errors
    /// When there is one and it cannot be read.
    pub fn load(&self) -> anyhow::Result<Option<Identity>> {
        self.finish_commit()?;
        if !self.0.join(CURRENT).join(STATE).exists() {
            return Ok(None);
        }
        Identity::read(self.0.join(CURRENT)).map(Some)
    }

    /// The key with which to enroll by this token: the one of an earlier
    /// attempt with the same token, so that a lost answer costs nothing, or a
    /// new one. It is on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be made or kept.
    pub fn begin(&self, token: &TokenId) -> anyhow::Result<Pending> {
        let folder = self.0.join(NEXT);
        let same = std::fs::read_to_string(folder.join(TOKEN)).is_ok_and(|kept| kept == token.as_str());
        if same && let Ok(key) = AgentKey::read(&folder.join(KEY)) {
            return Ok(Pending { state_dir: self.clone(), key });
        }
        files::remove_folder(&folder)?;
        files::make_private_folder(&folder)?;
        let key = AgentKey::generate()?;
        files::replace(&folder.join(KEY), key.pkcs8()).context("Failed to store the new key")?;
        files::replace(&folder.join(TOKEN), token.as_str().as_bytes())?;
        files::sync_folder(&self.0)?;
        Ok(Pending { state_dir: self.clone(), key })
    }

    /// Puts a complete `identity.next` in its place. Each step can be the last
    /// one before a crash; the next start goes on from there.
    fn finish_commit(&self) -> anyhow::Result<()> {
        let [current, next, previous] = [CURRENT, NEXT, PREVIOUS].map(|name| self.0.join(name));
        if next.join(STATE).exists() {
            if current.exists() {
                files::remove_folder(&previous)?;
                std::fs::rename(&current, &previous)?;
            }
            std::fs::rename(&next, &current)?;
            files::sync_folder(&self.0)?;
        }
        Ok(files::remove_folder(&previous)?)
    }
}

/// An enrollment that has a key and waits for the hub's word.
#[derive(Debug)]
pub struct Pending {
    state_dir: StateDir,
    key: AgentKey,
}

impl Pending {
    /// The key.
    pub const fn key(&self) -> &AgentKey {
        &self.key
    }

    /// Keeps what the hub granted. The old identity, where there is one, is
    /// replaced in the last step.
    ///
    /// # Errors
    /// When the certificate is not one for this key, or cannot be kept.
    pub fn grant(self, granted: &Enrolled, state: &State) -> anyhow::Result<Identity> {
        check(&granted.certificate, &self.key)?;
        let folder = self.state_dir.0.join(NEXT);
        files::replace(&folder.join(CERTIFICATE), &granted.certificate.leaf)?;
        files::replace(&folder.join(AUTHORITY), &granted.certificate.authority)?;
        files::remove(&folder.join(TOKEN))?;
        files::replace(&folder.join(STATE), &state.to_json())?;
        self.state_dir.finish_commit()?;
        self.state_dir.load()?.context("The new identity is not where it was stored")
    }
}

/// A complete identity.
#[derive(Debug)]
pub struct Identity {
    folder: PathBuf,
    key: AgentKey,
    leaf: Vec<u8>,
    authority: Vec<u8>,
    /// What the agent knows of itself and its hub.
    pub state: State,
}

impl Identity {
    fn read(folder: PathBuf) -> anyhow::Result<Self> {
        let read = |name: &str| {
            std::fs::read(folder.join(name)).with_context(|| format!("Failed to read {}", folder.join(name).display()))
        };
        let state = State::from_json(&read(STATE)?)?;
        let (leaf, authority) = (read(CERTIFICATE)?, read(AUTHORITY)?);
        let key = AgentKey::read(&folder.join(KEY))?;
        Ok(Self { folder, key, leaf, authority, state })
    }

    /// The key.
    pub const fn key(&self) -> &AgentKey {
        &self.key
    }

    /// What to show in a handshake.
    pub fn client_identity(&self) -> ClientIdentity {
        let chain = vec![self.leaf.clone().into(), self.authority.clone().into()];
        ClientIdentity { chain, key: self.key.to_private_key() }
    }

    /// Whom to trust.
    pub fn trust(&self) -> FleetTrust {
        FleetTrust { pins: self.state.pins.clone(), hub: Some(self.state.hub) }
    }

    /// Whether the folder was made on another machine: a copy, not a move,
    /// as far as machine ids tell.
    pub fn is_from_another_machine(&self) -> bool {
        let here = crate::host::machine();
        let unknown = [0; 32];
        self.state.machine != unknown && here != unknown && self.state.machine != here
    }

    /// Keeps a fresh certificate for the same key.
    ///
    /// # Errors
    /// When it is not one for this key, or cannot be kept.
    pub fn renew(&mut self, certificate: &Certificate) -> anyhow::Result<()> {
        check(certificate, &self.key)?;
        self.state.renewal = Renewal::Within { secs: certificate.renew_in_secs };
        self.state.not_after_micros = certificate.not_after_micros;
        // A crash in between leaves a good certificate that is renewed early.
        files::replace(&self.folder.join(AUTHORITY), &certificate.authority)?;
        files::replace(&self.folder.join(CERTIFICATE), &certificate.leaf)?;
        self.leaf.clone_from(&certificate.leaf);
        self.authority.clone_from(&certificate.authority);
        self.save()
    }

    /// Keeps a changed [`state`](Self::state); on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written; the old one is still there then.
    pub fn save(&self) -> anyhow::Result<()> {
        let path = self.folder.join(STATE);
        files::replace(&path, &self.state.to_json()).with_context(|| format!("Failed to write {}", path.display()))
    }
}

/// A hub that answers with somebody else's certificate is not believed.
fn check(certificate: &Certificate, key: &AgentKey) -> anyhow::Result<()> {
    let leaf = windflow_protocol::tls::PeerCertificate::read(&certificate.leaf).map_err(TlsError::Certificate)?;
    anyhow::ensure!(leaf.key == key.digest(), "The hub sent a certificate for another key");
    Ok(())
}

#[cfg(test)]
mod tests;

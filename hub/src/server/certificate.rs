//! The certificate that the port shows: whatever its files hold, as long as
//! that is good. What is not good is said, and the one before stays.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::bail;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::tls::{CertificateSource, PemPair, Usable};
use crate::clock::Timestamp;

/// How often the files are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A certificate that ends within this is warned of.
const WARN_BEFORE: time::Duration = time::Duration::days(14);
/// How often it is warned of.
const WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// The certificate of the port, shared by all of its connections.
pub struct PortCertificate {
    source: CertificateSource,
    state: RwLock<State>,
}

/// What came of a look at the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They are as they were.
    Unchanged,
    /// What they hold is shown from now on.
    Replaced,
    /// What they hold cannot be used.
    Refused,
}

struct State {
    shown: Usable,
    digest: Vec<u8>,
    /// What is wrong with the files now.
    trouble: Option<String>,
    warned: Option<Timestamp>,
}

impl PortCertificate {
    /// Loads the certificate for the first time.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn load(source: CertificateSource, now: Timestamp) -> anyhow::Result<Self> {
        let pair = source.read(now)?;
        let state = State { shown: pair.open()?, digest: pair.digest(), trouble: None, warned: None };
        let certificate = Self { source, state: RwLock::new(state) };
        certificate.warn_of_end(now);
        Ok(certificate)
    }

    /// Looks at the files again. Blocks while it reads them.
    pub fn look(&self, now: Timestamp) -> Look {
        let found = self.source.read(now).and_then(|pair| self.judge(&pair, now));
        let look = match found {
            Ok(None) => self.forget_trouble(),
            Ok(Some((usable, digest))) => self.replace(usable, digest),
            Err(error) => self.note_trouble(format!("{error:#}")),
        };
        self.warn_of_end(now);
        look
    }

    /// Whether the certificate is good and its files are as they should be.
    pub fn is_well(&self, now: Timestamp) -> bool {
        let state = self.state();
        state.trouble.is_none() && state.shown.ends > now.as_datetime()
    }

    /// Whether the hub made it, so that no browser knows who signed it.
    pub fn is_self_signed(&self) -> bool {
        match self.source {
            CertificateSource::SelfSigned(_) => true,
            CertificateSource::Files { .. } => false,
        }
    }

    /// What the files hold now, if it is something else and good.
    fn judge(&self, pair: &PemPair, now: Timestamp) -> anyhow::Result<Option<(Usable, Vec<u8>)>> {
        let digest = pair.digest();
        let state = self.state();
        if digest == state.digest {
            return Ok(None);
        }
        let usable = pair.open()?;
        let over = |ends: time::OffsetDateTime| ends <= now.as_datetime();
        if over(usable.ends) && !over(state.shown.ends) {
            bail!("The new certificate has ended on {} already", usable.ends.date());
        }
        Ok(Some((usable, digest)))
    }

    fn replace(&self, shown: Usable, digest: Vec<u8>) -> Look {
        tracing::info!(ends = %shown.ends.date(), "the port shows a new certificate");
        *self.state_mut() = State { shown, digest, trouble: None, warned: None };
        Look::Replaced
    }

    fn forget_trouble(&self) -> Look {
        self.state_mut().trouble = None;
        Look::Unchanged
    }

    /// Said once, however often the same is found.
    fn note_trouble(&self, trouble: String) -> Look {
        let mut state = self.state_mut();
        if state.trouble.as_ref() != Some(&trouble) {
            tracing::error!(error = trouble, "the port's new certificate cannot be used; the old one stays");
            state.trouble = Some(trouble);
        }
        Look::Refused
    }

    fn warn_of_end(&self, now: Timestamp) {
        let mut state = self.state_mut();
        let left = state.shown.ends - now.as_datetime();
        let due = state.warned.is_none_or(|at| now.since(at) >= WARN_EVERY);
        if left < WARN_BEFORE && due {
            state.warned = Some(now);
            let days = left.whole_days();
            tracing::warn!(ends = %state.shown.ends.date(), days, "the port's certificate ends soon or has ended: renew it");
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for PortCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.state().shown.certified))
    }
}

impl fmt::Debug for PortCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortCertificate").field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const NOW: time::OffsetDateTime = time::macros::datetime!(2026-05-04 0:00 UTC);

    struct Pair {
        certificate: String,
        key: String,
    }

    fn pair(days: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["hub.example".to_owned()]).unwrap();
        params.not_before = NOW - time::Duration::days(90);
        params.not_after = NOW + time::Duration::days(days);
        Pair { certificate: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    fn put(folder: &Path, certificate: &str, key: &str) {
        std::fs::write(folder.join("hub.pem"), certificate).unwrap();
        std::fs::write(folder.join("hub.key"), key).unwrap();
    }

    struct Scene {
        folder: tempfile::TempDir,
        port: PortCertificate,
        first: Arc<CertifiedKey>,
    }

    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let first = pair(90);
        put(folder.path(), &first.certificate, &first.key);
        let certificate = folder.path().join("hub.pem");
        let source = CertificateSource::Files { certificate, key: folder.path().join("hub.key") };
        let port = PortCertificate::load(source, NOW.into()).unwrap();
        let first = Arc::clone(&port.state().shown.certified);
        Scene { folder, port, first }
    }

    impl Scene {
        fn shows_the_first(&self) -> bool {
            Arc::ptr_eq(&self.first, &self.port.state().shown.certified)
        }
    }

    #[test]
    fn a_good_new_pair_is_shown() {
        let scene = scene();
        assert_eq!(scene.port.look(NOW.into()), Look::Unchanged);
        let next = pair(180);
        put(scene.folder.path(), &next.certificate, &next.key);
        assert_eq!(scene.port.look(NOW.into()), Look::Replaced);
        assert!(!scene.shows_the_first());
        assert!(scene.port.is_well(NOW.into()));
    }

    #[test]
    fn a_pair_that_is_not_good_changes_nothing_until_it_is() {
        let scene = scene();
        let (next, other, over) = (pair(180), pair(180), pair(-1));
        for (certificate, key) in [
            (next.certificate.as_str(), other.key.as_str()),
            (&next.certificate[..100], &next.key),
            ("", &next.key),
            (&next.certificate, "no key"),
            (&over.certificate, &over.key),
        ] {
            put(scene.folder.path(), certificate, key);
            assert_eq!(scene.port.look(NOW.into()), Look::Refused);
            assert!(scene.shows_the_first());
            assert!(!scene.port.is_well(NOW.into()));
        }
        std::fs::remove_file(scene.folder.path().join("hub.key")).unwrap();
        assert_eq!(scene.port.look(NOW.into()), Look::Refused);
        put(scene.folder.path(), &next.certificate, &next.key);
        assert_eq!(scene.port.look(NOW.into()), Look::Replaced);
        assert!(scene.port.is_well(NOW.into()));
    }

    #[test]
    fn a_certificate_that_ended_is_not_well_and_any_newer_one_takes_its_place() {
        let scene = scene();
        let late = NOW + time::Duration::days(100);
        assert_eq!(scene.port.look(late.into()), Look::Unchanged);
        assert!(!scene.port.is_well(late.into()));
        let ended_later = pair(95);
        put(scene.folder.path(), &ended_later.certificate, &ended_later.key);
        assert_eq!(scene.port.look(late.into()), Look::Replaced);
    }

    #[test]
    fn an_end_within_14_days_is_warned_of_once_a_day() {
        let scene = scene();
        let warned = |days: i64| {
            scene.port.look((NOW + time::Duration::days(days)).into());
            scene.port.state().warned
        };
        assert_eq!(warned(75), None);
        let first = warned(80);
        assert!(first.is_some());
        assert_eq!(warned(80), first);
        assert!(warned(81) > first);
    }
}

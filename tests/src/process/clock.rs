//! Programs that see another wall clock than the machine's. Their monotonic
//! clock stays true.

use tempfile::TempDir;

use crate::places;

/// The environment in which a program sees the wall clock at another time:
/// `+30d` for later, `@1970-01-02 00:00:00` for a fixed start. Its monotonic
/// clock stays true.
///
/// # Panics
/// When the library for it is not installed.
pub fn wall_clock_at(time: &str) -> Vec<(String, String)> {
    let library = places::clock_library().display().to_string();
    let variables = [("LD_PRELOAD", library.as_str()), ("FAKETIME", time), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

/// A wall clock that is moved while programs look at it.
#[derive(Debug)]
pub struct MovableClock(TempDir);

impl MovableClock {
    /// A clock that is right.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn new() -> Self {
        let clock = Self(tempfile::Builder::new().prefix("windflow-clock-").tempdir().expect("a temporary folder"));
        clock.set("+0");
        clock
    }

    /// Moves it to this distance from the right time: `+1h`, `-1h`, `+0`.
    ///
    /// # Panics
    /// When the disk is full.
    pub fn set(&self, distance: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, distance).expect("the folder is ours");
        std::fs::rename(new, self.file()).expect("the folder is ours");
    }

    /// The environment in which a program sees it.
    ///
    /// # Panics
    /// When the library for it is not installed.
    pub fn environment(&self) -> Vec<(String, String)> {
        let (library, file) = (places::clock_library().display().to_string(), self.file().display().to_string());
        let variables = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("clock")
    }
}

impl Default for MovableClock {
    fn default() -> Self {
        Self::new()
    }
}

//! Looking for what was remembered, and for whatever looks like a token.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::PoisonError;

use super::heard::tokens_in;
use super::{KNOWN, SETUP_CODE, Sighting};

/// What was found, and where.
#[derive(Debug, Default)]
pub struct Findings(BTreeSet<String>);

impl Findings {
    /// Nothing yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// Looks at some bytes, which are told of as `place`.
    pub fn look_at(&mut self, place: &str, bytes: &[u8]) {
        self.look_but_for(place, bytes, |_| false);
    }

    /// Looks at the log of a hub, which may hold the code to set it up.
    pub fn look_at_log_of_hub(&mut self, place: &str, log: &[u8]) {
        self.look_but_for(place, log, |label| label == SETUP_CODE);
    }

    /// Looks at all files in a folder, but for those whose path in it `is_meant`
    /// to hold a secret.
    pub fn look_into(&mut self, place: &str, folder: &Path, is_meant: impl Fn(&Path) -> bool + Copy) {
        self.look_below(place, folder, folder, is_meant);
    }

    /// Looks at what was seen of processes.
    pub fn look_at_processes(&mut self, seen: &[Sighting]) {
        for sighting in seen {
            self.look_at(&sighting.place, &sighting.text);
        }
    }

    /// Fails where something was found.
    ///
    /// # Panics
    /// With the labels and the places.
    pub fn assert_none(self) {
        let lines: Vec<_> = self.0.into_iter().collect();
        assert!(lines.is_empty(), "secrets stand where nobody may read them:\n  {}", lines.join("\n  "));
    }

    fn look_below(&mut self, place: &str, root: &Path, folder: &Path, is_meant: impl Fn(&Path) -> bool + Copy) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let inside = path.strip_prefix(root).unwrap_or(&path);
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                self.look_below(place, root, &path, is_meant);
            } else if kind.is_file() && !is_meant(inside) {
                // What goes away while it is looked for is gone.
                let bytes = std::fs::read(&path).unwrap_or_default();
                self.look_at(&format!("{} of {place}", inside.display()), &bytes);
            }
        }
    }

    fn look_but_for(&mut self, place: &str, bytes: &[u8], is_meant: impl Fn(&str) -> bool) {
        let found = KNOWN.read().unwrap_or_else(PoisonError::into_inner).find_in(bytes);
        let found = found.into_iter().filter(|(label, _)| !is_meant(label));
        self.0.extend(found.map(|(label, form)| format!("{label}, {form}, stands in {place}")));
        if !tokens_in(bytes).is_empty() {
            self.0.insert(format!("something that looks like a token stands in {place}"));
        }
    }
}

/// Looks at one text that the product said.
///
/// # Panics
/// When a secret stands in it, with its label.
pub fn assert_tells_nothing(place: &str, text: &[u8]) {
    let mut findings = Findings::none();
    findings.look_at(place, text);
    findings.assert_none();
}

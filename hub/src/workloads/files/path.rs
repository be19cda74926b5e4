//! Where a file is in a container. Every path that a caller gives becomes a
//! [`FilePath`] before anything is done with it.

use serde::{Deserialize, Deserializer};

/// Longest path, in bytes: what Linux takes.
pub const PATH_MAX: usize = 4096;
/// Longest name in it, in bytes.
pub const NAME_MAX: usize = 255;

/// A path in a container: absolute, and written in one way only. It has no
/// empty part, no `.` and no `..`, no NUL, and no slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilePath(String);

/// Why something is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin at the root.
    #[error("a path begins with a slash")]
    NotAbsolute,
    /// It could lead elsewhere than it seems to.
    #[error("a path has no empty part, no `.` and no `..`, and no slash at its end")]
    NotNormal,
    /// No file can be called so.
    #[error("a path has no NUL")]
    Nul,
    /// No system takes it.
    #[error("a path has at most {PATH_MAX} bytes, and each name in it at most {NAME_MAX}")]
    TooLong,
}

impl FilePath {
    /// The folder that all others are in.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Takes a path that is in its one form.
    ///
    /// # Errors
    /// [`PathError`]; nothing is repaired.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let rest = text.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        if text.len() > PATH_MAX {
            return Err(PathError::TooLong);
        }
        for part in rest.split('/').filter(|_| !rest.is_empty()) {
            if part.is_empty() || part == "." || part == ".." {
                return Err(PathError::NotNormal);
            }
            if part.len() > NAME_MAX {
                return Err(PathError::TooLong);
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it is called in its folder; the root has no name.
    pub fn name(&self) -> Option<&str> {
        self.split().map(|(_, name)| name)
    }

    /// The folder that it is in; the root is in none.
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(folder, _)| if folder.is_empty() { Self::root() } else { Self(folder.to_owned()) })
    }

    /// What the paths of things in this folder begin with.
    pub fn prefix(&self) -> String {
        if self.0 == "/" { self.0.clone() } else { format!("{}/", self.0) }
    }

    fn split(&self) -> Option<(&str, &str)> {
        self.0.rsplit_once('/').filter(|(_, name)| !name.is_empty())
    }
}

impl std::fmt::Display for FilePath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_that_could_lead_elsewhere_are_refused() {
        for (text, error) in [
            ("", PathError::NotAbsolute),
            ("etc/passwd", PathError::NotAbsolute),
            ("//etc", PathError::NotNormal),
            ("/etc/", PathError::NotNormal),
            ("/etc//passwd", PathError::NotNormal),
            ("/etc/./passwd", PathError::NotNormal),
            ("/etc/../root", PathError::NotNormal),
            ("/..", PathError::NotNormal),
            ("/a\0b", PathError::Nul),
        ] {
            assert_eq!(FilePath::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(FilePath::parse(&format!("/{}", "a".repeat(NAME_MAX + 1))), Err(PathError::TooLong));
        assert_eq!(FilePath::parse(&"/a".repeat(PATH_MAX / 2 + 1)), Err(PathError::TooLong));
    }

    #[test]
    fn a_path_knows_its_name_and_its_folder() {
        let path = FilePath::parse("/srv/my data/%2f.txt").unwrap();
        assert_eq!((path.name(), path.prefix().as_str()), (Some("%2f.txt"), "/srv/my data/%2f.txt/"));
        assert_eq!(path.parent().unwrap().as_str(), "/srv/my data");
        let top = FilePath::parse("/srv").unwrap();
        assert_eq!(top.parent(), Some(FilePath::root()));
        let root = FilePath::parse("/").unwrap();
        assert_eq!((root.name(), root.parent(), root.prefix().as_str()), (None, None, "/"));
    }

    proptest! {
        /// Whatever is taken names the same place for everyone who reads it.
        #[test]
        fn whatever_is_taken_stays_where_it_says(text in "[/.a\\x00é ~-]{0,12}") {
            if let Ok(path) = FilePath::parse(&text) {
                prop_assert_eq!(path.as_str(), text.as_str());
                let parts: Vec<_> = std::path::Path::new(&text).components().skip(1).collect();
                let are_names = parts.iter().all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(are_names && text.starts_with('/') && !text.contains('\0'));
                let names: Vec<_> = parts.iter().map(|part| part.as_os_str().to_str().unwrap()).collect();
                prop_assert_eq!(format!("/{}", names.join("/")), text);
                if let Some(parent) = path.parent() {
                    prop_assert_eq!(FilePath::parse(parent.as_str()), Ok(parent.clone()));
                    prop_assert_eq!(format!("{}{}", parent.prefix(), path.name().unwrap()), path.as_str());
                }
            }
        }
    }
}

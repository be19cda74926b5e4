//! The name of an image, as people write it.

use std::fmt::Display;
use std::str::FromStr;

/// Longest name of an image, in bytes.
const REFERENCE_MAX: usize = 512;
/// Longest tag, in bytes.
const TAG_MAX: usize = 128;
/// The registry that is meant where none is said.
const HUB: &str = "docker.io";
/// The tag that is meant where none is said.
const LATEST: &str = "latest";

/// An image by its name: `[registry/]repository[:tag][@digest]`. It always
/// names one image: where neither tag nor digest is said, it is `latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct ImageReference {
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// The text names no image.
#[derive(Debug, thiserror::Error)]
#[error("an image is named registry/repository:tag or registry/repository@sha256:digest, in small letters")]
pub struct InvalidReference;

impl ImageReference {
    /// The repository, with its registry where that is said.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The registry, with its port where that is said.
    pub fn registry(&self) -> &str {
        let first = self.repository.split_once('/').map(|(first, _)| first);
        first.filter(|first| is_registry(first)).unwrap_or(HUB)
    }

    /// Whether it names an image by what is in it.
    pub fn has_digest(&self) -> bool {
        self.digest.is_some()
    }

    /// What the engine takes as a tag: the digest, where one is said.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or(LATEST)
    }
}

impl FromStr for ImageReference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let text = text.trim();
        if text.is_empty() || text.len() > REFERENCE_MAX {
            return Err(InvalidReference);
        }
        let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
        // A colon before the last slash is a registry's port.
        let tag_at = name.rfind(':').filter(|at| !name[*at..].contains('/'));
        let (repository, tag) = tag_at.map_or((name, None), |at| (&name[..at], Some(&name[at + 1..])));
        let is_good = is_repository(repository) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        let owned = |part: Option<&str>| part.map(str::to_owned);
        is_good
            .then(|| Self { repository: repository.to_owned(), tag: owned(tag), digest: owned(digest) })
            .ok_or(InvalidReference)
    }
}

impl TryFrom<String> for ImageReference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl Display for ImageReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None if self.tag.is_none() => write!(f, ":{LATEST}"),
            None => Ok(()),
        }
    }
}

fn is_repository(text: &str) -> bool {
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let first_is_good =
        if !rest.is_empty() && is_registry(first) { is_registry_name(first) } else { is_path_part(first) };
    first_is_good && rest.into_iter().all(is_path_part)
}

/// Whether what stands before the first slash is meant as a registry.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

fn is_registry_name(text: &str) -> bool {
    let (host, port) = text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_host = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let ends_in_words = |host: &str| {
        host.starts_with(|c: char| c.is_ascii_alphanumeric()) && host.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = is_address.is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let host_is_good = is_address || ends_in_words(host) && host.chars().all(is_host);
    host_is_good && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_path_part(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_in_words = text.starts_with(is_word) && text.ends_with(is_word);
    ends_in_words && text.chars().all(|c| is_word(c) || matches!(c, '.' | '_' | '-'))
}

fn is_tag(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= TAG_MAX && text.starts_with(is_word) && text.chars().all(|c| is_word(c) || c == '.' || c == '-')
}

fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        let is_algorithm = matches!(algorithm, "sha256" | "sha384" | "sha512");
        is_algorithm && hex.len() >= 64 && hex.len() <= 128 && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

/// The platform of an image: `os/architecture[/variant]`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Platform(String);

/// The text is no platform.
#[derive(Debug, thiserror::Error)]
#[error("a platform is os/architecture or os/architecture/variant, such as linux/arm64")]
pub struct InvalidPlatform;

impl Platform {
    /// The platform as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Platform {
    type Error = InvalidPlatform;

    fn try_from(text: String) -> Result<Self, InvalidPlatform> {
        let is_part = |part: &str| {
            (1..=32).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        };
        let is_good = (2..=3).contains(&text.split('/').count()) && text.split('/').all(is_part);
        is_good.then_some(Self(text)).ok_or(InvalidPlatform)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String)> {
        let reference: ImageReference = text.parse().ok()?;
        Some((reference.repository().to_owned(), reference.version().to_owned()))
    }

    #[test]
    fn an_image_is_named_as_people_write_it() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for (text, repository, version) in [
            ("nginx", "nginx", "latest"),
            (" nginx:1.27 ", "nginx", "1.27"),
            ("library/nginx", "library/nginx", "latest"),
            ("127.0.0.1:5000/a/b_c-d.e:X_y.1-z", "127.0.0.1:5000/a/b_c-d.e", "X_y.1-z"),
            ("localhost/x", "localhost/x", "latest"),
            ("[::1]:5000/x", "[::1]:5000/x", "latest"),
            (&format!("ghcr.io/a/b@{digest}"), "ghcr.io/a/b", &digest),
            (&format!("a:1@{digest}"), "a", &digest),
        ] {
            assert_eq!(read(text), Some((repository.to_owned(), version.to_owned())), "{text}");
        }
        assert_eq!("nginx".parse::<ImageReference>().unwrap().to_string(), "nginx:latest");
        assert_eq!("a:1".parse::<ImageReference>().unwrap().to_string(), "a:1");
    }

    #[test]
    fn what_names_no_image_is_refused() {
        for text in [
            "",
            "Nginx",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:b:c",
            "a@sha256:12",
            "a b",
            "a?x=1",
            "a&fromSrc=-",
            "../a",
            "a/../b",
            "-a",
            "a.",
            "host:99999/x",
            "a\0b",
            &"a".repeat(513),
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_platform_has_two_or_three_parts() {
        for good in ["linux/amd64", "linux/arm/v7"] {
            assert!(Platform::try_from(good.to_owned()).is_ok());
        }
        for bad in ["linux", "linux/", "a/b/c/d", "linux/amd64&x=1", ""] {
            assert!(Platform::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}

//! Names of images, in full, and which of them a policy lets through.

use super::check::Rule;

/// Longest name of an image, in bytes.
const REFERENCE_MAX: usize = 512;

/// A name as it stands in a request, and in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// `registry/path`.
    name: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl Reference {
    /// Reads `[registry/]path[:tag][@digest]`.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > REFERENCE_MAX {
            return None;
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            // A colon before the last slash is that of a port.
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            Some(_) | None => (rest, None),
        };
        let well = is_path(path) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        well.then(|| Self { name: in_full(path), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
    }

    /// The same with this tag or digest, where it has neither.
    pub fn with_tag(mut self, tag: &str) -> Option<Self> {
        match (&self.tag, &self.digest, tag) {
            (None, None, "") => self.tag = Some("latest".to_owned()),
            (None, None, tag) if is_tag(tag) => self.tag = Some(tag.to_owned()),
            (None, None, digest) if is_digest(digest) => self.digest = Some(digest.to_owned()),
            (_, _, "") => {}
            _ => return None,
        }
        Some(self)
    }

    /// The part before tag and digest.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What an engine is told to fetch: the digest counts where both are there.
    pub fn tag_or_digest(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    fn full(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{}{tag}{digest}", self.name)
    }
}

/// Which images a policy lets through.
#[derive(Clone, Copy, Debug)]
pub struct Allowed<'a> {
    /// Patterns; without them, all that is on the host.
    pub patterns: Option<&'a [String]>,
    /// Whether a name without a digest is refused.
    pub require_digest: bool,
}

impl Allowed<'_> {
    /// Whether this name is one of them.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn check(&self, reference: &Reference) -> Result<(), Rule> {
        if self.require_digest && reference.digest.is_none() {
            return Err("image.digest");
        }
        let Some(patterns) = self.patterns else { return Ok(()) };
        if patterns.iter().any(|pattern| is_covered(pattern, reference)) { Ok(()) } else { Err("image.allow") }
    }

    /// Whether an image with all these names is one of them, however it is
    /// called in the request.
    ///
    /// # Errors
    /// The rule that refuses it.
    pub fn check_names<'n>(&self, names: impl Iterator<Item = &'n str>) -> Result<(), Rule> {
        let Some(patterns) = self.patterns else { return Ok(()) };
        let mut names = names.filter_map(Reference::parse);
        let covered = names.any(|name| patterns.iter().any(|pattern| is_covered(pattern, &name)));
        if covered { Ok(()) } else { Err("image.allow") }
    }
}

/// A pattern without tag and digest covers all of them.
fn is_covered(pattern: &str, reference: &Reference) -> bool {
    let behind_path = &pattern[pattern.rfind('/').map_or(0, |slash| slash + 1)..];
    let names_one = behind_path.contains([':', '@']);
    if names_one {
        glob(pattern.as_bytes(), reference.full().as_bytes())
    } else {
        glob(pattern.as_bytes(), reference.name.as_bytes())
    }
}

/// `*` is anything but a slash or an at, `**` is anything.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|at| glob(rest, &text[at..])),
        [b'*', rest @ ..] => {
            let end = text.iter().position(|byte| matches!(byte, b'/' | b'@')).unwrap_or(text.len());
            (0..=end).any(|at| glob(rest, &text[at..]))
        }
        [byte, rest @ ..] => text.first() == Some(byte) && glob(rest, &text[1..]),
    }
}

fn in_full(path: &str) -> String {
    match path.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => {
            match path.strip_prefix("index.docker.io/") {
                Some(rest) => in_full(rest),
                None => match path.strip_prefix("docker.io/") {
                    Some(rest) if !rest.contains('/') => format!("docker.io/library/{rest}"),
                    Some(_) | None => path.to_owned(),
                },
            }
        }
        Some(_) => format!("docker.io/{path}"),
        None => format!("docker.io/library/{path}"),
    }
}

fn is_path(path: &str) -> bool {
    let (host, rest) = match path.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), rest),
        _ => (None, path),
    };
    host.is_none_or(is_host) && rest.split('/').all(is_component)
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
    let port_is_one = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    !name.is_empty() && name.bytes().all(known) && port_is_one
}

fn is_component(part: &str) -> bool {
    let ends_well = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'_' | b'-');
    ends_well(part.bytes().next()) && ends_well(part.bytes().last()) && part.bytes().all(known)
}

fn is_tag(tag: &str) -> bool {
    let starts = tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    starts && tag.len() <= 128 && tag.bytes().all(known)
}

/// Whether a text is the id of an image or the begin of one, which a name may
/// look like.
pub fn is_image_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
}

fn is_digest(digest: &str) -> bool {
    let hex = digest.strip_prefix("sha256:");
    hex.is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    })
}

//! What a request is for: its path and its query, taken apart, checked, and
//! written anew. Nothing of what was sent is passed on as it is.

use http::Uri;
use url::form_urlencoded;

use super::refusal::Refusal;

/// Longest target, in bytes.
const TARGET_MAX: usize = 2048;
/// Longest query; filters are long.
const QUERY_MAX: usize = 8192;
/// The newest API whose words are known here, and the oldest that is spoken.
const NEWEST: u16 = 45;
const OLDEST_UNKNOWN: u16 = 41;

/// The path of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The minor version that was asked for.
    pub(super) version: Option<u16>,
    /// What comes behind it.
    pub(super) segments: Vec<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes a path apart.
    ///
    /// # Errors
    /// [`Refusal`] where it is written in another than the one plain way.
    pub(super) fn parse(uri: &'a Uri) -> Result<Self, Refusal> {
        let path = uri.path();
        let is_plain = uri.scheme().is_none()
            && uri.authority().is_none()
            && path.len() <= TARGET_MAX
            && path.starts_with('/')
            && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'));
        if !is_plain {
            return Err(Refusal::malformed("path.form"));
        }
        let mut segments: Vec<&str> = path[1..].split('/').collect();
        if segments.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            return Err(Refusal::malformed("path.form"));
        }
        let version = match version(segments[0])? {
            Some(version) => {
                segments.remove(0);
                Some(version)
            }
            None => None,
        };
        if segments.is_empty() {
            return Err(Refusal::malformed("path.form"));
        }
        Ok(Self { version, segments })
    }

    /// The version to speak with an engine of this one: what was asked for, but
    /// none that the engine lacks or that has words unknown here.
    pub(super) fn negotiated(&self, of_engine: Option<u16>) -> u16 {
        let newest = of_engine.unwrap_or(OLDEST_UNKNOWN).min(NEWEST);
        self.version.map_or(newest, |asked| asked.min(newest))
    }
}

/// `v1.24` to `v1.99`. What only looks like a version is neither that nor a
/// word of a path.
fn version(segment: &str) -> Result<Option<u16>, Refusal> {
    let Some(number) = segment.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) else {
        return Ok(None);
    };
    let minor = number.strip_prefix("1.").filter(|minor| minor.len() == 2);
    let minor = minor.filter(|minor| minor.bytes().all(|byte| byte.is_ascii_digit()));
    let minor: Option<u16> = minor.and_then(|minor| minor.parse().ok()).filter(|minor| *minor >= 24);
    minor.map(Some).ok_or(Refusal::malformed("path.version"))
}

/// `1.45` as an engine says it.
pub(super) fn minor_of(api_version: &str) -> Option<u16> {
    api_version.strip_prefix("1.")?.parse().ok()
}

/// What a value of a query may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Set or not.
    Flag,
    /// Not set, however that is said.
    Unset,
    /// A number, `all`, a time, a signal, a name: letters, digits and `._:+-`.
    Word,
    /// The name of an image, or of a platform: a word with slashes.
    Name,
    /// What only the engine understands, such as a path in a container.
    Text,
    /// An object of filters.
    Filters,
}

/// The keys and values of a query, each key once and known.
///
/// # Errors
/// [`Refusal`] where it is not so.
pub(super) fn query(raw: Option<&str>, known: &[(&'static str, Kind)]) -> Result<Vec<(&'static str, String)>, Refusal> {
    let raw = raw.unwrap_or_default();
    let is_plain = raw.len() <= QUERY_MAX && raw.is_ascii() && !raw.contains(';');
    if !is_plain {
        return Err(Refusal::malformed("query.form"));
    }
    let mut read: Vec<(&'static str, String)> = Vec::new();
    for (key, value) in form_urlencoded::parse(raw.as_bytes()) {
        let (key, kind) = known.iter().find(|(known, _)| *known == key).ok_or(Refusal::denied("query.key"))?;
        if read.iter().any(|(before, _)| before == key) {
            return Err(Refusal::malformed("query.twice"));
        }
        read.push((key, checked(*kind, &value).ok_or(Refusal::malformed("query.value"))?));
    }
    Ok(read)
}

/// A query as it is sent on.
pub(super) fn written(query: &[(&'static str, String)]) -> String {
    let mut written = form_urlencoded::Serializer::new(String::new());
    written.extend_pairs(query);
    written.finish()
}

fn checked(kind: Kind, value: &str) -> Option<String> {
    let of = |known: fn(u8) -> bool| value.bytes().all(known).then(|| value.to_owned());
    match kind {
        Kind::Flag => match value {
            "1" | "true" | "True" | "TRUE" => Some("1".to_owned()),
            "" | "0" | "false" | "False" | "FALSE" => Some("0".to_owned()),
            _ => None,
        },
        Kind::Unset => checked(Kind::Flag, value).filter(|value| value == "0"),
        Kind::Word => {
            of(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'+' | b'-' | b','))
        }
        Kind::Name => of(|byte| byte.is_ascii_graphic()),
        Kind::Text => (!value.chars().any(char::is_control)).then(|| value.to_owned()),
        Kind::Filters => super::json::strict(value.as_bytes())
            .ok()
            .filter(serde_json::Value::is_object)
            .map(|value| value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(target: &str) -> Option<(Option<u16>, Vec<String>)> {
        let uri: Uri = target.parse().ok()?;
        let target = Target::parse(&uri).ok()?;
        Some((target.version, target.segments.iter().map(ToString::to_string).collect()))
    }

    #[test]
    fn c03_a_version_is_written_in_one_way_only() {
        assert_eq!(parsed("/v1.41/info"), Some((Some(41), vec!["info".to_owned()])));
        assert_eq!(parsed("/info"), Some((None, vec!["info".to_owned()])));
        for other in [
            "/v01.45/info",
            "/v1.045/info",
            "/v1.45.0/info",
            "/v1.9/info",
            "/v1.23/info",
            "/v2.45/info",
            "/v1/info",
            "/v1.4a/info",
            "/v1.145/info",
            "/v1.45",
            "/V1.45/",
            "/v1.45//info",
            "/v1.+5/info",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
    }

    #[test]
    fn c03_a_path_is_written_in_one_way_only() {
        for other in [
            "http://x/containers/json",
            "//containers/json",
            "/containers//json",
            "/containers/./json",
            "/containers/../json",
            "/containers/json/",
            "/containers\\json",
            "*",
            "/",
        ] {
            assert_eq!(parsed(other), None, "{other}");
        }
        let long = format!("/containers/{}/json", "a".repeat(TARGET_MAX));
        assert_eq!(parsed(&long), None);
    }

    #[test]
    fn a_version_is_never_above_what_engine_and_gate_know() {
        let asked = |version| Target { version, segments: vec!["info"] };
        assert_eq!(asked(None).negotiated(Some(41)), 41);
        assert_eq!(asked(None).negotiated(Some(52)), 45);
        assert_eq!(asked(Some(52)).negotiated(Some(52)), 45);
        assert_eq!(asked(Some(45)).negotiated(Some(41)), 41);
        assert_eq!(asked(Some(40)).negotiated(Some(45)), 40);
        assert_eq!(asked(None).negotiated(None), 41);
    }

    #[test]
    fn c03_a_query_has_known_keys_once_and_is_written_anew() {
        let known = [("all", Kind::Flag), ("filters", Kind::Filters), ("path", Kind::Text), ("tail", Kind::Word)];
        let read = |raw: &str| query(Some(raw), &known).map(|read| written(&read)).map_err(|refusal| refusal.rule);
        assert_eq!(read("all=True&tail=all"), Ok("all=1&tail=all".to_owned()));
        assert_eq!(read("%61ll=1"), Ok("all=1".to_owned()), "what it means counts");
        assert_eq!(read("path=%2Fetc%2Fa+b%26all%3D1"), Ok("path=%2Fetc%2Fa+b%26all%3D1".to_owned()));
        assert_eq!(read("all=1&all=0"), Err("query.twice"));
        assert_eq!(read("all=1&%61ll=0"), Err("query.twice"));
        assert_eq!(read("ALL=1"), Err("query.key"));
        assert_eq!(read("all=1;size=1"), Err("query.form"));
        assert_eq!(read("all=maybe"), Err("query.value"));
        assert_eq!(read("filters={\"a\":[\"b\"],\"a\":[]}"), Err("query.value"));
        assert_eq!(read("tail=1%0d%0aX:1"), Err("query.value"));
    }
}

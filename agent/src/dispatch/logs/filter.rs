//! Which lines are wanted. The expression is somebody's input: its length and
//! what it grows into are bounded, and matching takes time in proportion to the
//! line, whatever the expression.

use std::borrow::Cow;

use regex::bytes::{Regex, RegexBuilder};
use windflow_protocol::limits::LOG_FILTER_MAX;
use windflow_protocol::message::logs::LogFilter;

/// Largest compiled expression, in bytes.
const COMPILED_MAX: usize = 512 * 1024;
/// Most memory in which the expression's states are kept while it is matched,
/// in bytes.
const STATES_MAX: usize = 512 * 1024;
/// How deep the expression's groups may be in one another.
const DEPTH_MAX: u32 = 50;

/// A filter that can be applied.
#[derive(Clone, Debug)]
pub struct Filter(Option<Regex>);

/// Why a filter cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It is longer than [`LOG_FILTER_MAX`].
    #[error("the filter may have at most {LOG_FILTER_MAX} bytes")]
    TooLong,
    /// The expression grows into too much.
    #[error("the expression is too large: use fewer or smaller repetitions")]
    TooLarge,
    /// The expression is none.
    #[error("the expression cannot be read: {0}")]
    NotAPattern(String),
}

impl Filter {
    /// Makes the filter that the hub, or one of its users, asks for.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn new(filter: &LogFilter) -> Result<Self, FilterError> {
        let (pattern, ignore_case) = match filter {
            LogFilter::All => return Ok(Self(None)),
            LogFilter::Text { text, ignore_case } => (regex::escape(checked(text)?), *ignore_case),
            LogFilter::Pattern { pattern, ignore_case } => (checked(pattern)?.to_owned(), *ignore_case),
        };
        let built = RegexBuilder::new(&pattern)
            .case_insensitive(ignore_case)
            .size_limit(COMPILED_MAX)
            .dfa_size_limit(STATES_MAX)
            .nest_limit(DEPTH_MAX)
            .build();
        built.map(|regex| Self(Some(regex))).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => FilterError::TooLarge,
            other => FilterError::NotAPattern(in_one_line(&other.to_string())),
        })
    }

    /// Whether this line is wanted, as a person sees it: without its colours,
    /// and without the end of a terminal's line.
    pub(super) fn wants(&self, line: &[u8]) -> bool {
        let Some(regex) = &self.0 else {
            return true;
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        regex.is_match(&without_escapes(line))
    }
}

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// The line without what only a terminal understands (ECMA-48).
fn without_escapes(line: &[u8]) -> Cow<'_, [u8]> {
    if !line.contains(&ESCAPE) {
        return Cow::Borrowed(line);
    }
    let mut seen = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == ESCAPE) {
        seen.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        rest = &rest[escape_length(rest)..];
    }
    seen.extend_from_slice(rest);
    Cow::Owned(seen)
}

/// How many bytes behind an escape belong to it.
fn escape_length(rest: &[u8]) -> usize {
    let end_of = |is_end: fn(&u8) -> bool| rest.iter().skip(1).position(is_end).map(|end| end + 1);
    match rest.first() {
        None => 0,
        Some(b'[') => end_of(|byte| (0x40..=0x7e).contains(byte)).map_or(rest.len(), |end| end + 1),
        Some(b']') => match end_of(|byte| matches!(*byte, BELL | ESCAPE)) {
            Some(end) if rest[end] == BELL => end + 1,
            // What ends a title may be an escape of its own.
            Some(end) => end,
            None => rest.len(),
        },
        Some(_) => 1,
    }
}

fn checked(text: &str) -> Result<&str, FilterError> {
    if text.len() <= LOG_FILTER_MAX { Ok(text) } else { Err(FilterError::TooLong) }
}

/// What the parser says on several lines: the expression, a mark below it, and
/// what is wrong there.
fn in_one_line(report: &str) -> String {
    let what = report.lines().last().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(what);
    // The expression and its mark are indented alike.
    const INDENT: usize = 4;
    let mark = report.lines().filter(|line| line.trim_start().starts_with('^')).find_map(|line| line.find('^'));
    match mark.and_then(|column| column.checked_sub(INDENT)) {
        Some(before) => format!("{what}, at character {}", before + 1),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str, ignore_case: bool) -> Filter {
        Filter::new(&LogFilter::Text { text: text.to_owned(), ignore_case }).unwrap()
    }

    fn pattern(pattern: &str) -> Result<Filter, FilterError> {
        Filter::new(&LogFilter::Pattern { pattern: pattern.to_owned(), ignore_case: false })
    }

    #[test]
    fn a_text_is_looked_for_as_it_is() {
        assert!(text("a.b", false).wants(b"1 a.b 2"));
        assert!(!text("a.b", false).wants(b"axb"));
        assert!(!text("WARN", false).wants(b"warn"));
        assert!(text("\u{c9}T\u{c9}", true).wants("l'\u{e9}t\u{e9}".as_bytes()));
    }

    #[test]
    fn an_expression_matches_bytes_that_are_no_text_too() {
        assert!(pattern(r"\d+ ms$").unwrap().wants(b"\xff took 12 ms"));
        assert!(pattern(r"12 ms$").unwrap().wants(b"took 12 ms\r"));
        assert!(!pattern(r"^took").unwrap().wants(b"it took"));
    }

    #[test]
    fn a_line_is_looked_at_as_a_person_sees_it() {
        let coloured = b"\x1b]0;title\x07\x1b]0;other\x1b\\\x1b[1;34mINFO\x1b[0m request \x1b[33m12\x1b[0m\r";
        assert!(pattern("^INFO request 12$").unwrap().wants(coloured));
        for cut in [b"a\x1b".as_slice(), b"a\x1b[", b"a\x1b[3", b"a\x1b]title"] {
            assert!(pattern("^a$").unwrap().wants(cut), "{cut:?}");
        }
    }

    #[test]
    fn an_expression_that_is_none_is_refused_with_its_place() {
        let error = pattern("(ab").unwrap_err().to_string();
        assert_eq!(error, "the expression cannot be read: unclosed group, at character 1");
        let error = pattern("ab[z-a]").unwrap_err().to_string();
        assert!(error.contains("at character 4"), "{error}");
    }

    #[test]
    fn an_expression_that_grows_without_measure_is_refused() {
        assert_eq!(pattern(r"(\w{50}){50}").unwrap_err(), FilterError::TooLarge);
        assert_eq!(pattern(&"a".repeat(LOG_FILTER_MAX + 1)).unwrap_err(), FilterError::TooLong);
        assert!(pattern(&"(".repeat(500)).is_err());
    }

    #[test]
    fn an_expression_that_would_backtrack_for_ever_elsewhere_is_quick_here() {
        let filter = pattern("(a*)*(a*)*b").unwrap();
        assert!(!filter.wants(&[b'a'; 16 * 1024]));
    }
}

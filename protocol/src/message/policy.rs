//! What a host's own policy is, as its agent tells it, and the words in which
//! the host refuses.

use serde::{Deserialize, Serialize};

use crate::text::sanitize;

/// Most things that a policy is told to refuse.
const REFUSES_MAX: usize = 64;
/// Longest name of a rule, in bytes.
const RULE_MAX: usize = 64;
/// What each refusal begins with.
const REFUSED: &str = "this host refuses this: rule ";

/// The header of an answer that is a refusal of the host; it names the rule.
pub const REFUSED_HEADER: &str = "windflow-refused-rule";

/// The policy of a host, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyFacts {
    /// `monitor`, `operate`, `deploy-safe` or `full`.
    pub profile: String,
    /// SHA-256 of the file; none where there is no file.
    pub digest: Option<[u8; 32]>,
    /// Why the file does not count, where it does not.
    pub invalid: Option<String>,
    /// The rules by which whole kinds of requests are refused, such as `exec`.
    pub refuses: Vec<String>,
}

impl PolicyFacts {
    /// The same, fit to be shown and kept.
    #[must_use]
    pub fn sanitized(self) -> Self {
        let refuses = self.refuses.into_iter().filter(|rule| is_rule(rule)).take(REFUSES_MAX).collect();
        Self {
            profile: sanitize(&self.profile),
            digest: self.digest,
            invalid: self.invalid.as_deref().map(sanitize),
            refuses,
        }
    }
}

/// What somebody is told whose request a host refuses.
pub fn refusal(rule: &str, profile: &str) -> String {
    format!("{REFUSED}{rule} (profile {profile})")
}

/// The rule that a refusal names; `None` where the words are no refusal.
pub fn rule_of(words: &str) -> Option<&str> {
    let named = words.find(REFUSED).map(|at| &words[at + REFUSED.len()..])?;
    let rule = named.split(' ').next()?;
    is_rule(rule).then_some(rule)
}

/// Whether this can be the name of a rule.
pub fn is_rule(rule: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_');
    !rule.is_empty() && rule.len() <= RULE_MAX && rule.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_rule_and_other_words_name_none() {
        let words = refusal("container.privileged", "deploy-safe");
        assert_eq!(words, "this host refuses this: rule container.privileged (profile deploy-safe)");
        assert_eq!(rule_of(&words), Some("container.privileged"));
        assert_eq!(rule_of(&format!("Error response from daemon: {words}")), Some("container.privileged"));
        for other in ["No such container: a", "this host refuses this: rule ", "this host refuses this: rule <b> x", ""]
        {
            assert_eq!(rule_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_an_agent_claims_is_cut_to_what_can_be_shown() {
        let claimed = PolicyFacts {
            profile: "mon\u{7}itor".to_owned(),
            digest: Some([1; 32]),
            invalid: Some("a\nb".to_owned()),
            refuses: ["exec", "<script>", "", "files.read"].map(str::to_owned).into(),
        };
        let facts = claimed.sanitized();
        assert_eq!((facts.profile.as_str(), facts.invalid.as_deref()), ("monitor", Some("ab")));
        assert_eq!(facts.refuses, ["exec", "files.read"]);
        let many = PolicyFacts { refuses: vec!["exec".to_owned(); 1000], ..PolicyFacts::default() };
        assert_eq!(many.sanitized().refuses.len(), REFUSES_MAX);
    }
}

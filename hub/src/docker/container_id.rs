//! What names a container towards its engine.

/// Longest name or id of a container.
const NAME_MAX: usize = 128;

/// A container's id or name, fit to stand in an engine's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerId(String);

impl ContainerId {
    /// Takes what Docker allows as a name or an id; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let starts = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        (starts && rest && text.len() <= NAME_MAX).then(|| Self(text.to_owned()))
    }

    /// The id or name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_a_path_is_none() {
        for wrong in
            ["", "../x", "a/b", "a?b", "a%2fb", "a%252fb", "$(id)", "`id`", "a;id", "-a", "a b", &"a".repeat(129)]
        {
            assert_eq!(ContainerId::parse(wrong), None, "{wrong:?}");
        }
        assert!(ContainerId::parse("shop_web.1-x").is_some());
    }
}

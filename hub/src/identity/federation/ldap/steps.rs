//! What was done on the way to an answer, for those who test a directory. Never
//! a secret.

use super::configuration::{Security, Server};
use super::conversation::Trouble;
use crate::identity::federation::model::TestStep;

/// Things found that are told, at most.
const FOUND_MAX: usize = 50;

/// The steps so far, and the one that is being taken.
#[derive(Debug, Default)]
pub struct Steps {
    done: Vec<TestStep>,
    taken: Option<&'static str>,
    server: String,
}

impl Steps {
    /// From now on with this server.
    pub fn at(&mut self, server: &Server) {
        self.server.clone_from(&server.address);
    }

    /// Begins one.
    pub fn begin(&mut self, step: &'static str) {
        self.taken = Some(step);
    }

    /// It went well, and this was found.
    pub fn passed(&mut self, found: impl IntoIterator<Item = Option<String>>) {
        self.note(None, found.into_iter().flatten().collect());
    }

    /// TLS is as it is configured.
    pub fn passed_over(&mut self, security: Security) {
        let found = match security {
            Security::Tls => "tls",
            Security::StartTls => "start_tls",
            Security::Plain => "plain",
        };
        self.note(None, vec![found.to_owned()]);
    }

    /// It was done, and the answer is no.
    pub fn refused(&mut self, trouble: &'static str, words: Option<String>) {
        self.note(Some(trouble), words.into_iter().filter(|words| !words.is_empty()).collect());
    }

    /// It could not be done.
    pub fn failed(&mut self, trouble: &Trouble) {
        let words = trouble.words().map(str::to_owned);
        self.refused(trouble.as_str(), words);
    }

    /// All of them; the steps of `expected` that were not come to stand at the
    /// end.
    pub fn finish(mut self, expected: &[&'static str]) -> Vec<TestStep> {
        let at = |step: &TestStep| expected.iter().position(|expected| *expected == step.step);
        let reached = self.done.iter().rev().find_map(at).map_or(0, |at| at + 1);
        let rest = expected.iter().skip(reached);
        self.done.extend(rest.map(|step| TestStep { step, passed: None, trouble: None, found: Vec::new() }));
        self.done
    }

    fn note(&mut self, trouble: Option<&'static str>, mut found: Vec<String>) {
        let Some(step) = self.taken.take() else { return };
        found.truncate(FOUND_MAX);
        if step == "connect" {
            found.insert(0, self.server.clone());
        }
        self.done.push(TestStep { step, passed: Some(trouble.is_none()), trouble, found });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_come_to_stands_at_the_end() {
        let expected = ["connect", "tls", "base"];
        let named = |steps: Vec<TestStep>| steps.iter().map(|step| (step.step, step.passed)).collect::<Vec<_>>();
        let mut steps = Steps::default();
        steps.begin("connect");
        steps.passed([]);
        steps.begin("tls");
        steps.failed(&Trouble::Slow);
        let all = [("connect", Some(true)), ("tls", Some(false)), ("base", None)];
        assert_eq!(named(steps.finish(&expected)), all);

        let mut steps = Steps::default();
        for step in ["connect", "tls", "base", "group_base"] {
            steps.begin(step);
            steps.passed([]);
        }
        assert_eq!(named(steps.finish(&expected)).len(), 4, "nothing is left");
        assert_eq!(named(Steps::default().finish(&expected)), expected.map(|step| (step, None)));
    }
}

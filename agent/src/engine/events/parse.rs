//! One event in the engine's words, and what is told of it.

use serde::Deserialize;
use windflow_protocol::message::events::Event;
use windflow_protocol::text::sanitize;

use super::SECOND;

/// The events that are asked for: what happens inside a container, health
/// checks for one, and what only looks are none. Podman has other words for
/// some.
pub const WANTED: &str = concat!(
    r#"{"type":["container","image","volume","network","daemon"],"event":["create","start","restart","stop","die","#,
    r#""died","kill","oom","pause","unpause","rename","update","destroy","remove","rm","health_status","commit","#,
    r#""export","extract-to-dir","pull","push","tag","untag","delete","import","load","loadFromArchive","save","#,
    r#""prune","connect","disconnect","reload"]}"#
);

/// The kinds that are told.
const KINDS: [&str; 5] = ["container", "image", "volume", "network", "daemon"];

#[derive(Deserialize)]
struct Said {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(default, rename = "Action")]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
    #[serde(default, rename = "timeNano")]
    time_nano: i64,
    #[serde(default)]
    time: i64,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(default, rename = "ID")]
    id: String,
    #[serde(default, rename = "Attributes")]
    attributes: Option<Attributes>,
}

/// What is told of an event's attributes, labels of the container among them.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    name: Option<String>,
    image: Option<String>,
    exit_code: Option<String>,
    container_exit_code: Option<String>,
    signal: Option<String>,
    old_name: Option<String>,
    container: Option<String>,
    #[serde(rename = "health_status")]
    health: Option<String>,
}

/// An event; `None` where it is none that is told. `now` is when it happened,
/// where the engine does not say.
pub fn parse(line: &[u8], now: impl FnOnce() -> i64) -> serde_json::Result<Option<Event>> {
    let said: Said = serde_json::from_slice(line)?;
    let Said { kind, action, actor, .. } = &said;
    let (action, beside) = action.split_once(": ").unwrap_or((action, ""));
    if !KINDS.contains(&kind.as_str()) || action.starts_with("exec_") {
        return Ok(None);
    }
    let time = match (said.time_nano, said.time) {
        (0, 0) => now(),
        (0, seconds) => seconds.saturating_mul(SECOND),
        (nanos, _) => nanos,
    };
    let own = Attributes::default();
    let attributes = actor.attributes.as_ref().unwrap_or(&own);
    let facts = attributes.facts(kind, action, beside);
    let name = attributes.name.as_deref().unwrap_or_default();
    let action = in_dockers_word(kind, action).to_owned();
    Ok(Some(Event {
        time,
        kind: kind.clone(),
        action: sanitize(&action),
        id: sanitize(&actor.id),
        name: sanitize(name),
        facts,
    }))
}

fn in_dockers_word<'a>(kind: &str, action: &'a str) -> &'a str {
    match (kind, action) {
        ("container", "died") => "die",
        ("container", "remove" | "rm") => "destroy",
        ("image", "remove") => "delete",
        ("image", "loadFromArchive") => "load",
        _ => action,
    }
}

impl Attributes {
    fn facts(&self, kind: &str, action: &str, beside: &str) -> Vec<(String, String)> {
        let of_container = |value: &Option<String>| value.clone().filter(|_| kind == "container");
        let is_death = matches!(action, "die" | "died");
        let exit_code = self.exit_code.as_ref().or(self.container_exit_code.as_ref()).filter(|_| is_death);
        let said_beside = Some(beside.to_owned()).filter(|beside| !beside.is_empty());
        let health = said_beside.or_else(|| self.health.clone()).filter(|_| action == "health_status");
        let facts = [
            ("image", of_container(&self.image)),
            ("exit_code", exit_code.cloned()),
            ("signal", self.signal.clone().filter(|_| action == "kill")),
            ("old_name", self.old_name.clone().filter(|_| action == "rename")),
            ("container", self.container.clone().filter(|_| kind != "container")),
            ("health", health),
        ];
        let told = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        told.map(|(name, value)| (name.to_owned(), sanitize(&value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Event> {
        parse(text.as_bytes(), || 7).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_json() {
        let wanted: serde_json::Value = serde_json::from_str(WANTED).unwrap();
        assert_eq!(wanted["type"].as_array().unwrap().len(), KINDS.len());
    }

    #[test]
    fn an_event_is_told_in_few_words() {
        let died = parsed(
            r#"{"Type":"container","Action":"die","Actor":{"ID":"ab","Attributes":{"name":"web","image":"nginx",
                "exitCode":"137","signal":"9","secret.label":"x"}},"time":1,"timeNano":1000000002}"#,
        );
        let facts = [("image", "nginx"), ("exit_code", "137")];
        assert_eq!(
            died.unwrap(),
            Event {
                time: 1_000_000_002,
                kind: "container".to_owned(),
                action: "die".to_owned(),
                id: "ab".to_owned(),
                name: "web".to_owned(),
                facts: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            }
        );
    }

    #[test]
    fn podmans_words_become_dockers() {
        let died = parsed(
            r#"{"Type":"container","Action":"died","Actor":{"ID":"a","Attributes":{"containerExitCode":"1"}},"time":3}"#,
        )
        .unwrap();
        assert_eq!((died.action.as_str(), died.fact("exit_code"), died.time), ("die", Some("1"), 3 * SECOND));
        let docker = r#"{"Type":"container","Action":"health_status: healthy","Actor":{"ID":"a"}}"#;
        let podman = r#"{"Type":"container","Action":"health_status",
                         "Actor":{"ID":"a","Attributes":{"health_status":"healthy"}}}"#;
        assert_eq!(parsed(docker), parsed(podman));
        assert_eq!(parsed(docker).unwrap().fact("health"), Some("healthy"));
    }

    #[test]
    fn what_runs_inside_a_container_and_other_kinds_are_not_told() {
        for (kind, action) in [("container", "exec_start: sh -c true"), ("plugin", "enable"), ("pod", "create")] {
            let text = format!(r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"a"}}}}"#);
            assert_eq!(parsed(&text), None, "{kind} {action}");
        }
        assert!(parse(b"x", || 0).is_err());
        let network = r#"{"Type":"network","Action":"connect","Actor":{"ID":"n","Attributes":{"container":"c"}}}"#;
        assert_eq!(parsed(network).unwrap().fact("container"), Some("c"));
    }
}

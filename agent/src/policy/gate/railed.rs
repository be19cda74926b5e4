//! The gate of a host whose policy is `full`: whatever the engine offers, but
//! for what would touch the agent itself. It is no protection of the host.

use std::path::Path;

use http::request::Parts;
use http::{HeaderMap, Method, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use windflow_protocol::message::report::ObjectId;

use super::super::Class;
use super::super::rails::cleaned;
use super::engine::{self, Asked, Sending};
use super::refusal::Refusal;
use super::target::Target;
use super::{Failure, Gate, Outcome, json};

/// Headers of a request that an engine goes by.
const PASSED: [&str; 5] = ["content-type", "x-registry-auth", "x-registry-config", "upgrade", "connection"];

/// What a builder's session says of itself.
const OF_SESSIONS: &str = "x-docker-expose-session-";

impl Gate {
    pub(super) async fn pass_railed(&self, head: &Parts, body: &mut Option<Incoming>) -> Result<Outcome, Failure> {
        let target = Target::parse(&head.uri)?;
        // A word that is spelled in another way is none of the engine's.
        let words: Vec<&str> = target.segments.clone();
        if words.iter().any(|word| !is_plain(word, words[0] == "images")) {
            return Err(Refusal::malformed("path.form").into());
        }
        if words[0] == "plugins" {
            return Err(Refusal::class(Class::Plugins).into());
        }
        if words[..] == ["swarm", "unlockkey"] {
            return Err(Refusal::denied("rail.unlock_key").into());
        }
        let types = head.headers.contains_key(header::UPGRADE);
        let changes = types || !matches!(head.method, Method::GET | Method::HEAD);
        if changes && words[0] == "containers" && words.len() > 1 && words[1] != "create" && words[1] != "prune" {
            self.not_the_agent(words[1]).await?;
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &head.headers {
            if PASSED.contains(&name.as_str()) || name.as_str().starts_with(OF_SESSIONS) {
                headers.append(name.clone(), value.clone());
            }
        }
        let makes =
            changes && matches!(words[..], [.., "create"] | ["services", _, "update"] | ["containers", _, "update"]);
        let body = body.take().ok_or_else(|| anyhow::anyhow!("a request has one body"))?;
        let body = match makes && words[0] != "images" {
            true => {
                let read = self.read(body).await?;
                let own = self.own_places().await?;
                if read.is_empty() { engine::nothing() } else { engine::whole(self.off_the_rails(&read, &own)?) }
            }
            false => body.boxed(),
        };
        let version = target.version.map(|minor| format!("/v1.{minor}")).unwrap_or_default();
        let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let target = format!("{version}/{}{query}", words.join("/"));
        self.forward(Sending { method: head.method.clone(), target, headers, body }, false).await
    }

    /// A body that mounts nothing of the agent's own, written anew.
    fn off_the_rails(&self, read: &[u8], own: &[String]) -> Result<Vec<u8>, Failure> {
        let value = json::strict(read).map_err(|_| Refusal::malformed("body.json"))?;
        let is_own = |source: &str| {
            let place = cleaned(Path::new(source));
            self.policy.rails.hold(&place) || own.iter().any(|own| place.starts_with(own))
        };
        if mounts(&value).iter().any(|source| is_own(source)) {
            return Err(Refusal::denied("rail.own_places").into());
        }
        serde_json::to_vec(&value).map_err(|error| Failure::Engine(error.into()))
    }

    async fn not_the_agent(&self, name: &str) -> Result<(), Failure> {
        let Some(own) = self.policy.rails.container() else { return Ok(()) };
        match engine::ask(&self.engine, format!("/containers/{name}/json")).await? {
            Asked::Told(told) if told["Id"].as_str().and_then(ObjectId::parse) == Some(own) => {
                Err(Refusal::denied("rail.own_container").into())
            }
            Asked::Told(_) => Ok(()),
            Asked::Nothing(words) => Err(Failure::Missing(words)),
        }
    }
}

/// Whether a word of a path is written as it is; names of images may have their
/// slashes, colons and ats written out.
fn is_plain(word: &str, of_image: bool) -> bool {
    let escapes = word.match_indices('%').map(|(at, _)| word.get(at + 1..at + 3).unwrap_or_default());
    { escapes }.all(|escape| of_image && matches!(escape, "2F" | "2f" | "3A" | "3a" | "40"))
}

/// Every place of the host that is named anywhere in a body as one to mount.
fn mounts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(mounts).collect(),
        Value::Object(members) => {
            let found = members.iter().flat_map(|(name, member)| match member {
                Value::String(source)
                    if ["Source", "device"].iter().any(|word| json::is_same_to_engine(word, name)) =>
                {
                    vec![source.clone()]
                }
                Value::Array(lines) if json::is_same_to_engine("Binds", name) => {
                    let sources = lines.iter().filter_map(|line| line.as_str()?.split(':').next());
                    sources.map(str::to_owned).collect()
                }
                member => mounts(member),
            });
            found.collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_name_a_place_of_the_host_is_seen() {
        let body = json!({
            "HostConfig": { "binds": ["/a:/x", "named:/y"], "Mounts": [{ "Type": "bind", "source": "/b" }] },
            "TaskTemplate": { "ContainerSpec": { "Mounts": [{ "Source": "/c", "VolumeOptions": {
                "DriverConfig": { "Options": { "type": "none", "o": "bind", "device": "/d" } } } }] } },
        });
        let mut found = mounts(&body);
        found.sort();
        assert_eq!(found, ["/a", "/b", "/c", "/d", "named"]);
    }
}

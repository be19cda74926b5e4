//! The engine's own word on what changed: its events, as far as they say what
//! to look at again.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use anyhow::Context;
use bytes::{Buf, BytesMut};
use http::header;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::timeout;
use windflow_protocol::message::report::ObjectId;

use super::super::inquiry::{self, Carrier};
use super::super::{CONNECT_DEADLINE, EngineAddress, connect};
use super::Cause;
use super::known::Kind;

/// Longest event, in bytes: it carries all labels of what it is about.
const EVENT_MAX: usize = 256 * 1024;
/// Containers of one burst that are looked at for their own sake; after more,
/// each is.
const CONTAINERS_MAX: usize = 1024;
/// Pieces of one burst that are taken in at once.
const PIECES_MAX: usize = 1024;
/// Podman begins its answer with the first event, so the answer is not waited
/// for.
type Answer = std::pin::Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

/// The events after which something looks different: what runs inside a
/// container, health checks for one, is none. Podman has other words for some.
const TOLD: &str = concat!(
    r#"{"type":["container","image","volume","network"],"event":["create","start","restart","stop","die","died","#,
    r#""kill","oom","pause","unpause","rename","update","destroy","remove","rm","health_status","pull","push","tag","#,
    r#""untag","delete","import","load","loadFromArchive","prune","connect","disconnect"]}"#
);

/// What to look at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    pub kinds: BTreeSet<Kind>,
    /// Containers of which more may have changed than a list shows.
    pub containers: BTreeSet<ObjectId>,
    /// Of too many containers more may have changed to name them.
    pub all: bool,
}

/// The events of an engine.
pub struct Changes {
    answering: Option<Answer>,
    body: Option<Incoming>,
    buffer: BytesMut,
    suspects: Suspects,
}

/// An event, as far as it matters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    #[serde(rename = "Type")]
    kind: String,
    actor: Actor,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Default, Deserialize)]
struct Attributes {
    /// The container that a network is about.
    container: Option<String>,
}

impl Suspects {
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Every list.
    pub fn everything() -> Self {
        Self { kinds: Kind::ALL.into(), ..Self::default() }
    }

    /// The list of containers.
    pub fn containers() -> Self {
        Self { kinds: [Kind::Containers].into(), ..Self::default() }
    }

    fn add(&mut self, event: &Event) {
        let kind = match event.kind.as_str() {
            "container" => Kind::Containers,
            "image" => Kind::Images,
            "volume" => Kind::Volumes,
            "network" => Kind::Networks,
            _ => return,
        };
        self.kinds.insert(kind);
        let container = match kind {
            Kind::Containers => Some(&event.actor.id),
            Kind::Networks => event.actor.attributes.container.as_ref(),
            Kind::Images | Kind::Volumes => None,
        };
        if let Some(id) = container.and_then(|id| ObjectId::parse(id)) {
            self.kinds.insert(Kind::Containers);
            self.containers.insert(id);
            self.all |= self.containers.len() > CONTAINERS_MAX;
            if self.all {
                self.containers.clear();
            }
        }
    }
}

impl Changes {
    /// Asks the engine to tell, and suspects everything at first. The carrier
    /// has to be polled.
    pub async fn begin(address: &EngineAddress) -> anyhow::Result<(Self, Carrier)> {
        static PATH: LazyLock<String> = LazyLock::new(|| {
            let filters: String = url::form_urlencoded::byte_serialize(TOLD.as_bytes()).collect();
            format!("/events?filters={filters}")
        });
        let connecting = timeout(CONNECT_DEADLINE, connect::connect(address));
        let stream = connecting.await.context("The engine takes no connection")??;
        let (mut sender, carrier) = inquiry::begin(stream).await?;
        let request = Request::get(PATH.as_str()).header(header::HOST, "docker").body(Empty::new())?;
        let answering: Answer = Box::pin(async move { sender.send_request(request).await });
        let suspects = Suspects::everything();
        Ok((Self { answering: Some(answering), body: None, buffer: BytesMut::new(), suspects }, carrier))
    }

    /// What to look at now; nothing is suspected any more.
    pub fn take(&mut self) -> Suspects {
        std::mem::take(&mut self.suspects)
    }

    /// Suspects these, for this cause.
    pub fn suspect(&mut self, suspects: Suspects, cause: Cause) -> Cause {
        self.suspects = suspects;
        cause
    }

    /// Waits until the engine has told of something. Cancel safe.
    pub async fn wait(&mut self) -> anyhow::Result<()> {
        while self.suspects.is_empty() {
            self.read().await?;
        }
        Ok(())
    }

    /// Takes in what has been told already.
    pub fn gather(&mut self) -> anyhow::Result<()> {
        use futures_util::FutureExt;
        for _ in 0..PIECES_MAX {
            match self.read().now_or_never() {
                Some(read) => read?,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes in what the engine says next. Cancel safe.
    async fn read(&mut self) -> anyhow::Result<()> {
        if let Some(answering) = &mut self.answering {
            let answer = answering.await?;
            self.answering = None;
            anyhow::ensure!(answer.status().is_success(), "The engine answered {}", answer.status());
            self.body = Some(answer.into_body());
        }
        let body = self.body.as_mut().context("The engine has not answered")?;
        let frame = body.frame().await.context("The events ended")??;
        if let Ok(data) = frame.into_data() {
            anyhow::ensure!(self.buffer.len() + data.len() <= EVENT_MAX, "An event is too long");
            self.buffer.extend_from_slice(&data);
        }
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            match serde_json::from_slice::<Event>(&line) {
                Ok(event) => self.suspects.add(&event),
                Err(error) => tracing::debug!(%error, "an event makes no sense"),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspects(event: &str) -> Suspects {
        let mut suspects = Suspects::default();
        suspects.add(&serde_json::from_str(event).unwrap());
        suspects
    }

    #[test]
    fn an_event_says_what_to_look_at_again() {
        let id = "ab".repeat(32);
        let container = suspects(&format!(r#"{{"Type":"container","Action":"start","Actor":{{"ID":"{id}"}}}}"#));
        assert_eq!(container.kinds, [Kind::Containers].into());
        assert_eq!(container.containers.len(), 1);

        let joined = format!(r#"{{"Type":"network","Actor":{{"ID":"n","Attributes":{{"container":"{id}"}}}}}}"#);
        assert_eq!(suspects(&joined).kinds, [Kind::Containers, Kind::Networks].into());

        let image = suspects(r#"{"Type":"image","Actor":{"ID":"nginx:1","Attributes":{"name":"nginx"}}}"#);
        assert_eq!((image.kinds.len(), image.containers.len()), (1, 0));
        assert!(suspects(r#"{"Type":"plugin","Actor":{"ID":"x"}}"#).is_empty());
    }

    #[test]
    fn what_is_asked_for_is_json() {
        let told: serde_json::Value = serde_json::from_str(TOLD).unwrap();
        assert_eq!(told["type"].as_array().unwrap().len(), Kind::ALL.len());
    }
}

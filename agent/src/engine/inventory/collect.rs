//! Looks at an engine: its lists, and each container that is not as it was.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;
use windflow_protocol::message::report::{ObjectId, Report};

use super::super::inquiry::{self, Sender, carried_by, get};
use super::super::{CONNECT_DEADLINE, EngineAddress, connect};
use super::changes::Suspects;
use super::known::{Key, Kind};
use super::listed::{Inspected, ListedContainer, ListedImage, ListedNetwork, ListedVolumes};

/// Largest list of an engine, in bytes: some ten thousand containers.
const LIST_MAX: usize = 16 * 1024 * 1024;
/// Largest answer about one container, in bytes.
const INSPECT_MAX: usize = 1024 * 1024;
/// Containers that one look looks at closely: a host with thousands shows its
/// list at once, and what the list does not say by and by.
const INSPECTED_MAX: usize = 256;
/// An engine must have answered one question within this, also on a busy host.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// All things of one kind.
pub struct Seen {
    pub kind: Kind,
    pub things: BTreeMap<Key, Report>,
}

/// Remembers of each container what a list does not show.
#[derive(Default)]
pub struct Collector {
    inspected: HashMap<ObjectId, (String, Inspected)>,
    /// Whether some were not looked at closely yet.
    has_rest: bool,
}

impl Collector {
    /// Looks at what is suspected.
    pub async fn look(&mut self, address: &EngineAddress, suspects: &Suspects) -> anyhow::Result<Vec<Seen>> {
        let connecting = timeout(CONNECT_DEADLINE, connect::connect(address));
        let stream = connecting.await.context("The engine takes no connection")??;
        let (mut sender, carrier) = inquiry::begin(stream).await?;
        carried_by(carrier, async {
            let mut seen = Vec::new();
            for kind in suspects.kinds.iter().copied() {
                let things = match kind {
                    Kind::Containers => self.containers(&mut sender, suspects).await?,
                    Kind::Images => images(&mut sender).await?,
                    Kind::Volumes => volumes(&mut sender).await?,
                    Kind::Networks => networks(&mut sender).await?,
                };
                seen.push(Seen { kind, things });
            }
            Ok(seen)
        })
        .await
    }

    /// Whether another look would show more.
    pub const fn has_rest(&self) -> bool {
        self.has_rest
    }

    async fn containers(&mut self, sender: &mut Sender, suspects: &Suspects) -> anyhow::Result<BTreeMap<Key, Report>> {
        let listed: Vec<ListedContainer> = ask(sender, "/containers/json?all=1", LIST_MAX).await?;
        let mut before = if suspects.all { HashMap::new() } else { std::mem::take(&mut self.inspected) };
        let mut left = INSPECTED_MAX;
        self.has_rest = false;
        self.inspected.clear();
        let mut things = BTreeMap::new();
        for listed in listed {
            let Some(id) = ObjectId::parse(&listed.id) else {
                continue;
            };
            let sentence = listed.sentence();
            let suspected = suspects.containers.contains(&id);
            let kept = before.remove(&id).filter(|(known, _)| !suspected && *known == sentence);
            let inspected = match kept {
                Some((_, inspected)) => Some(inspected),
                None if left == 0 => {
                    self.has_rest = true;
                    None
                }
                // One that is gone meanwhile will be missing in the next list.
                None => {
                    left -= 1;
                    inspect(sender, id).await?
                }
            };
            let container = listed.into_container(id, &inspected.clone().unwrap_or_default());
            things.insert(Key::Container(id), Report::Container(container));
            self.inspected.extend(inspected.map(|inspected| (id, (sentence, inspected))));
        }
        Ok(things)
    }
}

/// What the engine says of one container; `None` where it says nothing.
async fn inspect(sender: &mut Sender, id: ObjectId) -> anyhow::Result<Option<Inspected>> {
    match ask(sender, &format!("/containers/{id}/json"), INSPECT_MAX).await {
        Ok(inspected) => Ok(Some(inspected)),
        Err(error) if sender.is_closed() => Err(error),
        Err(error) => {
            tracing::debug!(container.id = %id, %error, "a container cannot be looked at");
            Ok(None)
        }
    }
}

async fn images(sender: &mut Sender) -> anyhow::Result<BTreeMap<Key, Report>> {
    let listed: Vec<ListedImage> = ask(sender, "/images/json", LIST_MAX).await?;
    let images = listed.into_iter().filter_map(ListedImage::into_image);
    Ok(images.map(|image| (Key::Image(image.id), Report::Image(image))).collect())
}

async fn volumes(sender: &mut Sender) -> anyhow::Result<BTreeMap<Key, Report>> {
    let listed: ListedVolumes = ask(sender, "/volumes", LIST_MAX).await?;
    let volumes = listed.volumes.unwrap_or_default().into_iter().map(|volume| volume.into_volume());
    Ok(volumes.map(|volume| (Key::Volume(volume.name.clone()), Report::Volume(volume))).collect())
}

async fn networks(sender: &mut Sender) -> anyhow::Result<BTreeMap<Key, Report>> {
    let listed: Vec<ListedNetwork> = ask(sender, "/networks", LIST_MAX).await?;
    let networks = listed.into_iter().filter_map(ListedNetwork::into_network);
    Ok(networks.map(|network| (Key::Network(network.id), Report::Network(network))).collect())
}

async fn ask<T: serde::de::DeserializeOwned>(sender: &mut Sender, path: &str, most: usize) -> anyhow::Result<T> {
    timeout(ANSWER_DEADLINE, get(sender, path, most)).await.context("The engine has not answered in time")?
}

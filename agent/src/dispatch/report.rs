//! The report stream: what the engine has, and each change as it happens. A
//! hub that takes nothing stops this stream and nothing else; what changed
//! meanwhile it hears once, as it is then.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use windflow_protocol::codec::{self, CodecError};
use windflow_protocol::limits::PREAMBLE_DEADLINE;
use windflow_protocol::message::report::{Position, Report, ReportRequest};
use windflow_protocol::transport::{ResetCode, Stream};

use crate::engine::Inventory;
use crate::policy::is_open_label;

/// Bytes that are gathered before they are sent.
const BATCH: usize = 16 * 1024;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    Everything,
    /// All but where people keep secrets, since the host's policy says so.
    NoSecrets,
}

impl Tells {
    fn of(self, mut report: Report) -> Report {
        if self == Self::NoSecrets {
            match &mut report {
                Report::Container(container) => {
                    container.command = String::new();
                    container.mounts.iter_mut().for_each(|mount| mount.source = String::new());
                    hide_labels(&mut container.labels);
                }
                Report::Image(image) => hide_labels(&mut image.labels),
                Report::Volume(volume) => {
                    volume.path = String::new();
                    hide_labels(&mut volume.labels);
                }
                Report::Network(network) => hide_labels(&mut network.labels),
                Report::Everything
                | Report::Position(_)
                | Report::ContainerGone(_)
                | Report::ImageGone(_)
                | Report::VolumeGone(_)
                | Report::NetworkGone(_)
                | Report::Stale => {}
            }
        }
        report
    }
}

fn hide_labels(labels: &mut [(String, String)]) {
    for (_, value) in labels.iter_mut().filter(|(name, _)| !is_open_label(name)) {
        *value = String::new();
    }
}

/// Serves one until the hub leaves.
pub(super) async fn serve(mut stream: Stream, inventory: &Inventory, tells: Tells) {
    let request: ReportRequest = match timeout(PREAMBLE_DEADLINE, codec::read_message(&mut stream)).await {
        Ok(Ok(request)) => request,
        Ok(Err(_)) => return stream.reset(ResetCode::Malformed),
        Err(_) => return stream.reset(ResetCode::Deadline),
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let telling = tell(&mut writer, inventory, request.after, tells);
    tokio::select! {
        told = telling => if let Err(error) = told {
            tracing::debug!(%error, "the report stream ended");
        },
        // The hub says nothing more: it leaves, or makes no sense.
        _ = reader.read_u8() => {}
    }
    reader.unsplit(writer).reset(ResetCode::Cancelled);
}

async fn tell(
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    inventory: &Inventory,
    mut heard: Option<Position>,
    tells: Tells,
) -> Result<(), CodecError> {
    let mut newest = inventory.follow();
    let mut is_stale = true;
    loop {
        let now = *newest.borrow_and_update();
        if now.is_stale && !is_stale {
            send(to, &[Report::Stale]).await?;
        } else if now.number > 0 && !now.is_stale {
            let told: Vec<Report> = inventory.after(heard).into_iter().map(|report| tells.of(report)).collect();
            // A hub that knows everything already is told that it is so now.
            if is_stale || told.len() > 1 {
                send(to, &told).await?;
            }
            heard = told.last().and_then(Report::position).or(heard);
        }
        is_stale = now.is_stale || now.number == 0;
        if newest.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn send(to: &mut (impl tokio::io::AsyncWrite + Unpin), told: &[Report]) -> Result<(), CodecError> {
    let mut batch = Vec::new();
    for report in told {
        match codec::frame(report) {
            Ok(framed) => batch.extend_from_slice(&framed),
            // It was cut to fit; one that does not is left out.
            Err(error) => tracing::warn!(%error, "something of the engine's cannot be told"),
        }
        if batch.len() >= BATCH {
            to.write_all(&std::mem::take(&mut batch)).await?;
        }
    }
    to.write_all(&batch).await?;
    Ok(to.flush().await?)
}

#[cfg(test)]
mod tests {
    use windflow_protocol::message::report::{Container, Mount};

    use super::*;

    #[test]
    fn c01_a_hub_that_may_only_look_hears_no_label_command_or_place_that_may_be_secret() {
        let label = |name: &str| (name.to_owned(), "value".to_owned());
        let mount = Mount { source: "/srv/secret".to_owned(), target: "/data".to_owned(), ..Mount::default() };
        let container = Container {
            name: "web".to_owned(),
            command: "app --password=secret".to_owned(),
            labels: vec![label("com.docker.compose.project"), label("auth")],
            mounts: vec![mount],
            ..Container::default()
        };
        let report = Report::Container(container);
        assert_eq!(Tells::Everything.of(report.clone()), report);
        let Report::Container(told) = Tells::NoSecrets.of(report) else { panic!("it is a container") };
        assert_eq!((told.name.as_str(), told.command.as_str()), ("web", ""));
        assert_eq!((told.mounts[0].source.as_str(), told.mounts[0].target.as_str()), ("", "/data"));
        assert_eq!(told.labels, [label("com.docker.compose.project"), ("auth".to_owned(), String::new())]);
    }
}

//! Answers the streams that the hub opens: reads what each is for, checks it
//! against what was agreed, and hands it to its service.

mod events;
pub mod logs;
mod metrics;
mod pipe;
mod report;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use windflow_protocol::capability::Capabilities;
use windflow_protocol::limits::PREAMBLE_DEADLINE;
use windflow_protocol::message::policy::refusal;
use windflow_protocol::message::preamble::{PreambleError, StreamKind, read_preamble};
use windflow_protocol::transport::{CloseReason, Connection, ResetCode, Stream};

use crate::engine::Engine;
use crate::policy::gate::Gate;
use crate::policy::{Class, Policy};

/// What every stream of one session may use.
#[derive(Clone, Debug)]
pub struct Services {
    /// The engine behind all streams.
    pub engine: Arc<Engine>,
    /// What both ends agreed on, and the hub's trust allows; it grows when a
    /// pending agent is approved.
    pub agreed: watch::Receiver<Capabilities>,
    /// What the host's policy lets through; none lets everything through.
    pub gate: Option<Arc<Gate>>,
}

impl Services {
    fn policy(&self) -> Option<&Policy> {
        self.gate.as_deref().map(Gate::policy)
    }

    /// How much is told of what the engine has.
    fn tells(&self) -> report::Tells {
        match self.policy() {
            Some(policy) if policy.redacts() => report::Tells::NoSecrets,
            Some(_) | None => report::Tells::Everything,
        }
    }

    /// The words in which the policy refuses what is of this kind, if it does.
    fn refused(&self, class: Class) -> Option<String> {
        let policy = self.policy().filter(|policy| !policy.permits(class))?;
        Some(refusal(class.rule(), policy.profile().as_str()))
    }
}

/// Serves every stream until the connection ends, then waits until all that it
/// started is gone. Dropping it cancels the rest. Once it is `over`, nothing is
/// served any more, however long the hub takes to close.
pub async fn dispatch(connection: &Connection, services: &Services, over: &CancellationToken) -> CloseReason {
    let tracker = TaskTracker::new();
    let stop = CancellationToken::new();
    let _cut_on_drop = stop.clone().drop_guard();
    let buffers = Arc::new(pipe::Buffers::default());
    let ended = loop {
        let stream = match over.run_until_cancelled(connection.accept()).await {
            Some(Ok(stream)) => stream,
            Some(Err(reason)) => break reason,
            None => {
                stop.cancel();
                break connection.closed().await;
            }
        };
        let (stop, services, buffers) = (stop.clone(), services.clone(), Arc::clone(&buffers));
        tracker.spawn(async move { stop.run_until_cancelled(serve_stream(stream, &services, &buffers)).await });
    };
    stop.cancel();
    tracker.close();
    tracker.wait().await;
    ended
}

async fn serve_stream(mut stream: Stream, services: &Services, buffers: &pipe::Buffers) {
    let kind = match timeout(PREAMBLE_DEADLINE, read_preamble(&mut stream)).await {
        Ok(Ok(kind)) => kind,
        Ok(Err(PreambleError::UnknownKind(kind))) => {
            tracing::debug!(stream.kind = kind, "refused a stream of unknown kind");
            return stream.reset(ResetCode::UnknownKind);
        }
        Ok(Err(PreambleError::Codec(error))) => {
            tracing::debug!(%error, "refused a stream without a preamble");
            return stream.reset(ResetCode::Malformed);
        }
        Err(_) => return stream.reset(ResetCode::Deadline),
    };
    if !services.agreed.borrow().contains(kind.requires()) {
        return stream.reset(ResetCode::NotAgreed);
    }
    match kind {
        // There is one for each session, and it was opened before all others.
        StreamKind::Control => stream.reset(ResetCode::Malformed),
        StreamKind::Docker => match &services.gate {
            Some(gate) => gate.serve(stream).await,
            None => serve_docker(stream, &services.engine, buffers).await,
        },
        StreamKind::Report => report::serve(stream, services.engine.inventory(), services.tells()).await,
        StreamKind::Logs => logs::serve(stream, &services.engine, services.refused(Class::Logs)).await,
        StreamKind::Events => events::serve(stream, services.engine.events()).await,
        StreamKind::Metrics => metrics::serve(stream, services.engine.meter()).await,
    }
}

async fn serve_docker(stream: Stream, engine: &Engine, buffers: &pipe::Buffers) {
    match engine.connect().await {
        Ok(engine) => pipe::pipe(stream, engine, buffers).await,
        Err(error) => {
            tracing::debug!(%error, "engine cannot be reached");
            stream.reset(ResetCode::EngineUnavailable);
        }
    }
}

#[cfg(test)]
mod tests;

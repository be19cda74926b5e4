//! What everything that is done with files has in common: a way to the
//! container, a place among those who move files, and a record.

use std::sync::Arc;

use serde_json::json;
use windflow_protocol::ids::EnvironmentId;

use super::engine::Host;
use super::model::FileError;
use super::path::FilePath;
use crate::app::App;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::websocket::Place;
use crate::http::{Caller, Principal, UserId};
use crate::identity::audit::{Action, Entry, Outcome};

/// The container of a request and who asks.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its environment.
    pub environment: EnvironmentId,
    /// The container.
    pub container: ContainerId,
    /// Who asks.
    pub caller: Caller,
}

impl App {
    /// The record of something that is done with a file.
    pub(super) fn file_entry(&self, target: &Target, action: Action, path: &FilePath) -> Entry {
        let entry = self.container_entry(&target.caller, action, target.environment, &target.container);
        entry.fact("path", json!(path.as_str()))
    }

    /// The way to the files of a container.
    ///
    /// # Errors
    /// 404 where there is no such environment, 503 where it is offline.
    pub(super) async fn files_of(&self, target: &Target) -> ApiResult<Host> {
        let session = self.session(target.environment).await?;
        Ok(Host { engines: self.engines.clone(), session, container: target.container.clone() })
    }

    /// A place among those who move files.
    ///
    /// # Errors
    /// 503 where there is no room.
    pub(super) fn place_for_files(&self, caller: &Caller) -> ApiResult<Place<Option<UserId>>> {
        let user = caller.principal.as_ref().and_then(Principal::user).map(|user| user.id);
        self.files.places.take(user).ok_or_else(|| {
            ApiError::unavailable("too_many_transfers", "Too many files are on their way. Wait until some are done.")
        })
    }

    /// Does something that is recorded. Its end is recorded whatever happens,
    /// also where the caller does not wait for it.
    ///
    /// # Errors
    /// As it says itself, and when its beginning cannot be recorded.
    pub(super) async fn recorded<T: Send + 'static>(
        self: &Arc<Self>,
        entry: Entry,
        doing: impl Future<Output = Result<T, FileError>> + Send + 'static,
    ) -> ApiResult<T> {
        self.fleet.note(entry.clone().outcome(Outcome::Begun)).await?;
        let app = Arc::clone(self);
        let doing = async move {
            let done = doing.await;
            app.record_end(entry, done.as_ref().err().map(ToString::to_string)).await;
            done
        };
        let done = self.lifecycle.tasks.spawn(doing).await;
        Ok(done.map_err(ApiError::internal)??)
    }

    /// Records how something with a file ended.
    pub(super) async fn record_end(&self, entry: Entry, error: Option<String>) {
        let ended = match error {
            None => entry,
            Some(error) => entry.outcome(Outcome::Failed).fact("error", json!(error)),
        };
        if let Err(error) = self.fleet.note(ended).await {
            tracing::error!(%error, "the end of something with a file was not recorded");
        }
    }
}

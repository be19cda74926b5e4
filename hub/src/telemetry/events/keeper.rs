//! Follows every session's events, and knows the last one of each environment.

use super::follower::{FollowError, follow};
use crate::app::AppState;
use crate::telemetry::followers::{self, Then};
use crate::tunnel::StreamError;

/// Follows and writes until the hub is asked to finish.
pub async fn keep(app: AppState) {
    if let Err(error) = app.recall_last_events().await {
        tracing::warn!(%error, "the last events of environments cannot be read");
    }
    followers::follow_all(&app, |app, session| async move {
        let Err(error) = follow(&app, &session).await;
        tracing::debug!(session.id = %session.id, %error, "an engine's events do not come");
        match error {
            // There is news of the environment once it is approved.
            FollowError::Stream(StreamError::NotActive | StreamError::NotCapable) => Then::Leave,
            FollowError::Stream(_) | FollowError::Codec(_) | FollowError::Db(_) => Then::Retry,
        }
    })
    .await;
}

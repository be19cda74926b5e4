//! What is measured just now for one viewer: every two seconds where the agent
//! can, and at the pace of what is written down where it cannot.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::metrics::Subject;
use windflow_protocol::message::metrics::deltas::Extent;

use crate::app::AppState;
use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};
use crate::http::{Permission, Reach};
use crate::telemetry::metrics::{Glimpse, Look, Value, values};

/// A viewer is told no more often, whatever its agent does.
const PACE: Duration = Duration::from_secs(1);

/// What a browser wants to be measured for it: a host, or one container of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsWish {
    environment: Uuid,
    /// The container's name or id.
    #[serde(default)]
    container: Option<String>,
}

/// What was measured, as the browser is told it.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename = "metrics")]
pub struct Usage {
    environment_id: Uuid,
    /// The container's full id; null for the host.
    container_id: Option<String>,
    /// Seconds since 1970.
    at: i64,
    /// Whether it is in the history too.
    stored: bool,
    values: Vec<Value>,
}

/// A wish that is being fulfilled, until this is dropped.
#[derive(Debug)]
pub struct Looking {
    wish: MetricsWish,
    look: Look,
    /// When the browser may be told again.
    due: Instant,
}

impl Looking {
    /// Begins to fulfil a wish.
    ///
    /// # Errors
    /// 403 where the viewer may not see it, 404 where there is no such
    /// environment or container for them.
    pub async fn begin(app: &AppState, reach: &Reach, wish: &MetricsWish) -> ApiResult<Self> {
        reach.require_at(Permission::MetricsView, EnvironmentId(wish.environment)).await?;
        let parse = |text: &String| ContainerId::parse(text).ok_or_else(|| ApiError::not_found("container"));
        let container = wish.container.as_ref().map(parse).transpose()?;
        let look = app.look_at(EnvironmentId(wish.environment), container.as_ref()).await?;
        Ok(Self { wish: wish.clone(), look, due: Instant::now() })
    }

    /// Whether it is this wish that is being fulfilled.
    pub fn fulfils(&self, wish: &MetricsWish) -> bool {
        self.wish == *wish
    }

    /// What is measured next. Cancel safe.
    pub async fn next(&mut self) -> Usage {
        sleep_until(self.due).await;
        let glimpse = self.look.next().await;
        self.due = Instant::now() + PACE;
        self.told(&glimpse)
    }

    fn told(&self, glimpse: &Glimpse) -> Usage {
        let container_id = match self.look.subject() {
            Subject::Container(id) => Some(id.to_string()),
            Subject::Host | Subject::Disk(_) => None,
        };
        Usage {
            environment_id: self.wish.environment,
            container_id,
            at: glimpse.at,
            stored: glimpse.extent == Extent::Everything,
            values: glimpse.readings.iter().flat_map(values).collect(),
        }
    }
}

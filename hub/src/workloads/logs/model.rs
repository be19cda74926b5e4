//! What callers may ask of logs.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use windflow_agent::dispatch::logs::Filter;
use windflow_protocol::ids::EnvironmentId;
use windflow_protocol::message::logs::{LogFilter, LogPace, LogsRequest};

use crate::docker::ContainerId;
use crate::error::{ApiError, ApiResult};

/// Lines of the past that a channel shows when nothing is said of them.
const TAIL_DEFAULT: u32 = 500;
/// Most lines of the past that a channel shows of one container.
const TAIL_MAX: u32 = 100_000;

/// Which lines of a container are wanted.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Selection {
    /// At most so many lines of the past, the last ones.
    pub tail: Option<u32>,
    /// Only lines from this moment on, by the host's clock.
    #[param(value_type = Option<String>, format = DateTime)]
    pub since: Option<Moment>,
    /// Only lines up to this moment.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Moment>,
    /// Only what was said there.
    #[param(inline)]
    pub stream: Option<Only>,
    /// Only lines with this text. The agent looks at the first 16 KiB of each.
    #[param(max_length = 1024)]
    pub text: Option<String>,
    /// Only lines in which this regular expression finds something.
    #[param(max_length = 1024)]
    pub regex: Option<String>,
    /// Whether capital and small letters are the same to either.
    pub ignore_case: bool,
    /// Whether a download has each line's time before it. A channel always
    /// gives it.
    pub timestamps: bool,
}

/// One of a container's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Selection {
    /// What the agent is asked for.
    ///
    /// # Errors
    /// 400 when the filter cannot be applied; it says where it is wrong.
    pub fn request(&self, container: &ContainerId, pace: LogPace) -> ApiResult<LogsRequest> {
        Ok(LogsRequest {
            container: container.as_str().to_owned(),
            stdout: self.stream != Some(Only::Stderr),
            stderr: self.stream != Some(Only::Stdout),
            since: self.since.map(Moment::nanos),
            until: self.until.map(Moment::nanos),
            tail: self.tail,
            pace,
            filter: self.filter()?,
        })
    }

    /// The same for a channel, whose reader has bounded room: some of the past,
    /// unless it says from where on it wants all.
    #[must_use]
    pub fn for_channel(self) -> Self {
        let unless_given = self.since.is_none().then_some(TAIL_DEFAULT);
        let tail = self.tail.or(unless_given).map(|tail| tail.min(TAIL_MAX));
        Self { tail, ..self }
    }

    fn filter(&self) -> ApiResult<LogFilter> {
        let ignore_case = self.ignore_case;
        let filter = match (&self.text, &self.regex) {
            (None, None) => LogFilter::All,
            (Some(text), None) => LogFilter::Text { text: text.clone(), ignore_case },
            (None, Some(pattern)) => LogFilter::Pattern { pattern: pattern.clone(), ignore_case },
            (Some(_), Some(_)) => {
                return Err(ApiError::bad_request(
                    "invalid_filter",
                    "Filter by a text or by an expression, not by both.",
                ));
            }
        };
        match Filter::new(&filter) {
            Ok(_) => Ok(filter),
            Err(error) => Err(ApiError::bad_request("invalid_filter", crate::error::sentence(&error))),
        }
    }
}

/// A moment, good to the nanosecond: lines of a log are that close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(i64);

impl Moment {
    /// Nanoseconds since the start of 1970.
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

impl TryFrom<String> for Moment {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let moment = OffsetDateTime::parse(&text, &Rfc3339).ok();
        let nanos = moment.and_then(|moment| i64::try_from(moment.unix_timestamp_nanos()).ok());
        nanos.map(Self).ok_or("a moment is written as 2026-05-04T10:00:00Z")
    }
}

/// A container whose log is wanted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    environment: Uuid,
    container: String,
    /// Only its lines from this moment on, where it is gone on with.
    #[serde(default)]
    since: Option<Moment>,
}

impl Source {
    /// Where it is, and which; none where that cannot be a container.
    pub fn place(&self) -> (EnvironmentId, Option<ContainerId>) {
        (EnvironmentId(self.environment), ContainerId::parse(&self.container))
    }

    /// Which of its lines a channel with this selection shows.
    pub fn select(&self, selection: &Selection) -> Selection {
        match self.since {
            None => selection.clone(),
            since => Selection { since, tail: None, ..selection.clone() },
        }
    }
}

/// Why a source says nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// All that was asked for is there.
    Complete,
    /// The container stopped.
    Stopped,
    /// The container was removed.
    Removed,
    /// There is no such environment or container.
    NotFound,
    /// The environment is offline, or its agent cannot do it.
    Unreachable,
    /// The engine does not answer, or went away.
    Engine,
    /// The engine keeps no log that can be read.
    Unreadable,
    /// The filter is none.
    InvalidFilter,
    /// Too many logs are read on this environment.
    Busy,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selection(wish: serde_json::Value) -> Selection {
        serde_json::from_value(wish).unwrap()
    }

    fn request(wish: serde_json::Value) -> ApiResult<LogsRequest> {
        selection(wish).request(&ContainerId::parse("web").unwrap(), LogPace::Whole)
    }

    #[test]
    fn a_selection_becomes_a_request() {
        let asked = request(json!({
            "tail": 3, "since": "2025-06-15T15:06:40.000000001Z", "stream": "stderr", "text": "x", "ignore_case": true,
        }));
        let asked = asked.unwrap();
        assert_eq!((asked.tail, asked.since, asked.until), (Some(3), Some(1_750_000_000_000_000_001), None));
        assert_eq!((asked.stdout, asked.stderr), (false, true));
        assert_eq!(asked.filter, LogFilter::Text { text: "x".into(), ignore_case: true });
        assert_eq!(request(json!({})).unwrap().filter, LogFilter::All);
    }

    #[test]
    fn an_expression_that_is_none_is_a_bad_request_that_says_where() {
        let refused = request(json!({ "regex": "(ab" })).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (400, "invalid_filter"));
        assert!(refused.message.contains("at character 1"), "{}", refused.message);
        assert_eq!(request(json!({ "regex": "a", "text": "b" })).unwrap_err().code(), "invalid_filter");
    }

    #[test]
    fn a_channel_has_bounded_room() {
        assert_eq!(selection(json!({})).for_channel().tail, Some(TAIL_DEFAULT));
        assert_eq!(selection(json!({ "since": "2025-06-15T15:06:40Z" })).for_channel().tail, None);
        assert_eq!(selection(json!({ "tail": u32::MAX })).for_channel().tail, Some(TAIL_MAX));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        assert!(serde_json::from_value::<Selection>(json!({ "since": "yesterday" })).is_err());
        assert!(serde_json::from_value::<Selection>(json!({ "sinse": null })).is_err());
    }
}

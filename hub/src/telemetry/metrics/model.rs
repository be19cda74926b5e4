//! What the API says of measurements.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use windflow_protocol::message::metrics::deltas::Reading;
use windflow_protocol::message::metrics::{ContainerValue, DiskValue, HostValue, Subject};

use super::subject::seconds;
use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};

/// Most moments in one answer.
pub const MOMENTS_MAX: i64 = 2000;
/// Moments in an answer whose step was left to the hub, at most.
const MOMENTS_WANTED: i64 = 500;
/// Seconds between moments that the hub chooses from.
const STEPS: [i64; 11] = [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400];
/// Without a beginning, as many seconds before the end.
const RANGE_DEFAULT: i64 = 60 * 60;
/// Longest time that can be asked for, in seconds: more than is kept.
const RANGE_MAX: i64 = 62 * 24 * 60 * 60;

/// What a container uses now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct ContainerUse {
    /// Of one processor, in percent: two that are busy are 200. Null until it
    /// was measured twice.
    pub cpu_percent: Option<f64>,
    /// Memory without the files that can be dropped, as `docker stats` counts
    /// it.
    pub memory_bytes: Option<u64>,
    /// How much it may have: its limit, or the host's memory.
    pub memory_limit_bytes: Option<u64>,
}

/// Over which time measurements are wanted, and how close to each other.
#[derive(Clone, Copy, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Range {
    /// From this moment on; an hour before the end unless given.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<OffsetDateTime>,
    /// Up to this moment; now unless given.
    #[serde(default, with = "time::serde::rfc3339::option")]
    #[param(value_type = Option<String>, format = DateTime)]
    pub to: Option<OffsetDateTime>,
    /// Seconds between two moments. Where there were more than 2000 of them, or
    /// it is not given, the hub chooses; the answer has what it chose.
    #[param(minimum = 1, maximum = 1_000_000)]
    pub step: Option<u32>,
}

/// A range that was looked at: in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: i64,
    pub to: i64,
    pub step: i64,
}

impl Range {
    /// The window that is asked for at this moment.
    ///
    /// # Errors
    /// 400 where it ends before it begins, or is longer than anything is kept.
    pub fn window(&self, now: Timestamp) -> ApiResult<Window> {
        let to = self.to.map_or_else(|| seconds(now), OffsetDateTime::unix_timestamp);
        let from = self.from.map_or(to - RANGE_DEFAULT, OffsetDateTime::unix_timestamp);
        let length = to - from;
        if length <= 0 {
            return Err(ApiError::bad_request("invalid_range", "The end must be after the beginning."));
        }
        if length > RANGE_MAX {
            return Err(ApiError::bad_request("invalid_range", "Ask for at most 62 days at once."));
        }
        let fits = |step: i64, most: i64| length / step < most;
        let chosen = || STEPS.into_iter().find(|step| fits(*step, MOMENTS_WANTED)).unwrap_or(STEPS[STEPS.len() - 1]);
        let asked = self.step.map(i64::from).filter(|step| *step > 0 && fits(*step, MOMENTS_MAX));
        let step = asked.unwrap_or_else(chosen);
        Ok(Window { from: from - from.rem_euclid(step), to, step })
    }
}

/// Measurements over a time, by columns.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct History {
    /// Seconds between two moments.
    pub step_seconds: i64,
    /// The moments, in seconds since 1970; each stands for the time until the
    /// next. Those before the first measurement and after the last are left out.
    pub times: Vec<i64>,
    /// What was measured. Values that were never known are left out.
    pub series: Vec<Series>,
}

/// One measured value over the time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Series {
    /// What it is, such as `cpu_percent`, `memory_bytes` or
    /// `network_received_bytes`, which is by the second as all that is
    /// transferred.
    pub name: &'static str,
    /// The file system it is about, by where it is mounted.
    pub disk: Option<String>,
    /// The mean at each moment; null where nothing was measured.
    pub mean: Vec<Option<f64>>,
    /// The least; left out where it is the mean everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<Vec<Option<f64>>>,
    /// The most; left out where it is the mean everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<Vec<Option<f64>>>,
}

/// What a value is called, and what makes the API's number of a stored one.
pub type Named = (&'static str, f64);

const PERCENT: f64 = 0.001;
const HUNDREDTHS: f64 = 0.01;
const KIB: f64 = 1024.0;

/// The names of a host's values, by their places.
pub const HOST_NAMES: [Named; HostValue::COUNT] = [
    ("cpu_percent", PERCENT),
    ("load_1", HUNDREDTHS),
    ("load_5", HUNDREDTHS),
    ("load_15", HUNDREDTHS),
    ("memory_bytes", KIB),
    ("memory_total_bytes", KIB),
    ("swap_bytes", KIB),
    ("swap_total_bytes", KIB),
    ("network_received_bytes", 1.0),
    ("network_sent_bytes", 1.0),
    ("disk_read_bytes", 1.0),
    ("disk_written_bytes", 1.0),
];

/// The names of a file system's values, by their places.
pub const DISK_NAMES: [Named; DiskValue::COUNT] = [("disk_bytes", KIB), ("disk_total_bytes", KIB)];

/// The names of a container's values, by their places.
pub const CONTAINER_NAMES: [Named; ContainerValue::COUNT] = [
    ("cpu_percent", PERCENT),
    ("memory_bytes", KIB),
    ("memory_limit_bytes", KIB),
    ("network_received_bytes", 1.0),
    ("network_sent_bytes", 1.0),
    ("disk_read_bytes", 1.0),
    ("disk_written_bytes", 1.0),
    ("processes", 1.0),
];

/// One value of one moment, named as its series.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Value {
    /// As [`Series::name`].
    pub name: &'static str,
    /// The file system it is about, by where it is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// What was measured.
    pub value: f64,
}

/// The values of a reading that are known.
pub fn values(reading: &Reading) -> impl Iterator<Item = Value> {
    let (names, disk): (&[Named], _) = match &reading.subject {
        Subject::Host => (&HOST_NAMES, None),
        Subject::Disk(path) => (&DISK_NAMES, Some(path)),
        Subject::Container(_) => (&CONTAINER_NAMES, None),
    };
    let known = names.iter().zip(&reading.values);
    known.filter_map(move |((name, factor), value)| {
        Some(Value { name, disk: disk.cloned(), value: scaled((*value)?, *factor) })
    })
}

/// Rounded to what was measured, so that no digits follow that mean nothing.
#[expect(clippy::cast_precision_loss, reason = "what needs more than 52 bits is drawn as well without the rest")]
pub fn scaled(value: u64, factor: f64) -> f64 {
    (value as f64 * factor * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64, step: Option<u32>) -> Range {
        let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).ok();
        Range { from: moment(from), to: moment(to), step }
    }

    #[test]
    fn an_answer_never_has_more_moments_than_it_may() {
        let now = Timestamp::from_micros(0).unwrap();
        for length in [1, 3600, 86_400, 7 * 86_400, 30 * 86_400, RANGE_MAX] {
            for step in [None, Some(0), Some(1), Some(15), Some(86_400)] {
                let window = range(1_000_000_007, 1_000_000_007 + length, step).window(now).unwrap();
                assert!((window.to - window.from) / window.step <= MOMENTS_MAX, "{window:?}");
                assert_eq!(window.from % window.step, 0);
            }
        }
        assert_eq!(range(1_000_000_000, 1_000_003_600, None).window(now).unwrap().step, 15);
        assert_eq!(range(1_000_000_000, 1_002_592_000, None).window(now).unwrap().step, 7200);
    }

    #[test]
    fn a_time_that_ends_before_it_begins_or_has_no_end_is_refused() {
        let now = Timestamp::from_micros(0).unwrap();
        for wrong in [range(10, 10, None), range(10, 9, None), range(0, RANGE_MAX + 1, None)] {
            assert!(wrong.window(now).is_err(), "{wrong:?}");
        }
        assert_eq!(Range::default().window(now).unwrap(), Window { from: -3600, to: 0, step: 15 });
    }
}

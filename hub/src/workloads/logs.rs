//! Logs: what containers said and say. A channel shows a browser several of
//! them as one, in the order of their times; a download gives one of them whole.
//! The agents read, filter and bound them; nothing is kept here.

mod channel;
mod download;
mod merge;
mod model;
mod routes;
mod source;
#[cfg(test)]
mod tests;

use windflow_protocol::ids::EnvironmentId;

pub(super) use self::routes::routes;
use crate::http::UserId;
use crate::http::websocket::Places;

/// Most readers at once: channels and downloads.
const READERS_MAX: usize = 512;
/// Most of one user.
const READERS_OF_USER_MAX: usize = 16;
/// Most logs that are read at once.
const SOURCES_MAX: usize = 4096;
/// Most of one environment: half of the streams that its session may have.
const SOURCES_OF_ENVIRONMENT_MAX: usize = 64;

/// Who reads logs, and on which environments.
#[derive(Debug)]
pub struct Logs {
    readers: Places<Option<UserId>>,
    sources: Places<EnvironmentId>,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            readers: Places::new(READERS_MAX, READERS_OF_USER_MAX),
            sources: Places::new(SOURCES_MAX, SOURCES_OF_ENVIRONMENT_MAX),
        }
    }
}

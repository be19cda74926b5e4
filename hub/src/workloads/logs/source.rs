//! One container's log on its way from the agent.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::time::timeout;
use windflow_protocol::codec::{CodecError, read_message, write_message};
use windflow_protocol::message::logs::{LogBatch, LogsEnd, LogsEvent, LogsRequest};
use windflow_protocol::message::policy::rule_of;
use windflow_protocol::message::preamble::StreamKind;
use windflow_protocol::transport::{Priority, ResetCode, Stream, StreamReset};

use super::model::Why;
use crate::error::{ApiError, sentence};
use crate::tunnel::{Session, StreamError};

/// The request must be on its way within this.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);

/// Why a source says nothing more, in a word for programs and a sentence for
/// people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub why: Why,
    pub message: String,
}

/// What comes of a log.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Lines.
    Lines(LogBatch),
    /// From now on they come as they are said.
    CaughtUp,
    /// Nothing more.
    Ended(Ending),
}

/// A log that is read.
#[derive(Debug)]
pub struct LogReader {
    stream: Stream,
}

impl LogReader {
    /// Asks an environment's agent for a log.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn open(session: &Session, request: &LogsRequest) -> Result<Self, StreamError> {
        let mut stream = session.open(StreamKind::Logs, Priority::Normal).await?;
        match timeout(REQUEST_DEADLINE, write_message(&mut stream, request)).await {
            Ok(Ok(())) => Ok(Self { stream }),
            Ok(Err(error)) => Err(StreamError::Ended(error.to_string())),
            Err(_) => Err(StreamError::Busy),
        }
    }

    /// What comes next. It waits for as long as the container says nothing.
    /// Not cancel safe.
    pub async fn next(&mut self) -> Event {
        loop {
            match read_message(&mut self.stream).await {
                Ok(LogsEvent::Lines(batch)) if batch.lines().is_some() => return Event::Lines(batch),
                Ok(LogsEvent::Lines(_)) => return Event::Ended(Ending::broken("its agent sent what makes no sense")),
                Ok(LogsEvent::CaughtUp) => return Event::CaughtUp,
                Ok(LogsEvent::Ended(end)) => return Event::Ended(end.into()),
                // Of a newer agent.
                Err(CodecError::UnknownVariant { .. }) => {}
                Err(error) => return Event::Ended(Ending::cut(&error)),
            }
        }
    }
}

impl Ending {
    pub fn new(why: Why, message: &str) -> Self {
        Self { why, message: message.to_owned() }
    }

    /// There is no room for one more.
    pub fn crowded() -> Self {
        Self::new(Why::Busy, "Too many logs are read on this environment. Close some of your windows.")
    }

    fn broken(what: &str) -> Self {
        Self { why: Why::Unreachable, message: format!("The log broke off: {what}.") }
    }

    fn cut(error: &CodecError) -> Self {
        match StreamReset::code_of(error) {
            Some(ResetCode::EngineUnavailable) => {
                Self::new(Why::Engine, "Nothing answers at the engine's address: is Docker running on the host?")
            }
            Some(code) => Self::broken(&format!("its agent ended the stream ({code:?})")),
            None => match error {
                CodecError::Io(_) => Self::broken("the environment is not connected any more"),
                CodecError::TooLarge { .. } | CodecError::Malformed { .. } | CodecError::UnknownVariant { .. } => {
                    Self::broken("its agent sent what makes no sense")
                }
            },
        }
    }
}

impl From<LogsEnd> for Ending {
    fn from(end: LogsEnd) -> Self {
        match end {
            LogsEnd::Complete => Self::new(Why::Complete, "The log is complete."),
            LogsEnd::Stopped => Self::new(Why::Stopped, "The container does not run any more."),
            LogsEnd::Removed => Self::new(Why::Removed, "The container was removed."),
            LogsEnd::NotFound => Self::new(Why::NotFound, "There is no such container."),
            LogsEnd::Unreadable { message } if rule_of(&message).is_some() => {
                Self { why: Why::Unreadable, message: format!("The policy of this host refuses this: {message}.") }
            }
            LogsEnd::Unreadable { message } => {
                Self { why: Why::Unreadable, message: format!("The engine gives no log: {message}.") }
            }
            LogsEnd::BadFilter { message } => Self { why: Why::InvalidFilter, message: format!("{message}.") },
            LogsEnd::EngineSilent => {
                Self::new(Why::Engine, "The engine does not answer: look at the host's Docker service.")
            }
            LogsEnd::EngineGone => Self::new(Why::Engine, "The engine went away, or its log makes no sense."),
        }
    }
}

impl From<StreamError> for Ending {
    fn from(error: StreamError) -> Self {
        let why = match error {
            StreamError::Busy => Why::Busy,
            StreamError::Offline | StreamError::NotActive | StreamError::NotCapable | StreamError::Ended(_) => {
                Why::Unreachable
            }
        };
        Self { why, message: sentence(&error) }
    }
}

/// The environment's session could not be had.
impl From<ApiError> for Ending {
    fn from(error: ApiError) -> Self {
        let why = if error.status() == StatusCode::NOT_FOUND { Why::NotFound } else { Why::Unreachable };
        Self { why, message: error.message }
    }
}

impl From<Ending> for ApiError {
    fn from(ending: Ending) -> Self {
        let Ending { why, message } = ending;
        match why {
            Why::NotFound | Why::Removed => Self::new(StatusCode::NOT_FOUND, "not_found", message),
            Why::Unreadable => Self::conflict("no_log", message),
            Why::InvalidFilter => Self::bad_request("invalid_filter", message),
            Why::Busy => Self::unavailable("environment_busy", message),
            Why::Unreachable => Self::unavailable("session_ended", message),
            Why::Engine => Self::new(StatusCode::BAD_GATEWAY, "engine_cut", message),
            Why::Complete | Why::Stopped => Self::internal(anyhow::anyhow!("a log that ended well is no error")),
        }
    }
}

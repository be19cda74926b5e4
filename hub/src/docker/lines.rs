//! An answer that comes as lines of JSON, one after the other, for as long as
//! the engine works.

use bytes::{Buf, BytesMut};
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::EngineError;

/// Longest line, in bytes.
const LINE_MAX: usize = 256 * 1024;

/// Lines of JSON as they come.
#[derive(Debug)]
pub struct JsonLines {
    body: Incoming,
    read: BytesMut,
}

impl JsonLines {
    pub(super) fn new(answer: Response<Incoming>) -> Self {
        Self { body: answer.into_body(), read: BytesMut::new() }
    }

    /// The next line; none once the engine is done.
    ///
    /// # Errors
    /// [`EngineError::Cut`] when the stream breaks, or brings no JSON.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, EngineError> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line = self.read.split_to(end);
                self.read.advance(1);
                if !line.trim_ascii().is_empty() {
                    return parse(&line).map(Some);
                }
            }
            if self.read.len() > LINE_MAX {
                return Err(EngineError::Cut("a line is too long".to_owned()));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.read.extend(frame.into_data().ok()),
                Some(Err(error)) => return Err(EngineError::Cut(error.to_string())),
                None if self.read.trim_ascii().is_empty() => return Ok(None),
                None => return parse(&self.read.split()).map(Some),
            }
        }
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(line).map_err(|error| EngineError::Cut(format!("it makes no sense: {error}")))
}

//! Programs that a container has, run with plain words and never by a shell.
//! They do what an engine's archive cannot.

use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, BytesMut};
use http::{Request, header};
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Host;
use crate::docker::EngineError;
use crate::workloads::files::model::FileError;

/// A program must have been begun, or a question answered, within this.
const CALL_DEADLINE: Duration = Duration::from_secs(20);
/// An engine says a moment after a program's last output how it ended.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// How often it is asked until then.
const END_AGAIN: Duration = Duration::from_millis(50);
/// Most bytes of a program's output that are kept.
const OUTPUT_MAX: usize = 4 * 1024 * 1024;
/// Most bytes of its complaints that are kept.
const WORDS_MAX: usize = 2000;
/// How an engine ends a program that it could not run.
const NOT_RUN: [i64; 2] = [126, 127];
/// Parts of what engines say where there is no such program.
const MISSING: [&str; 2] = ["executable file not found", "no such file or directory"];

/// What came of a program.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// With which code it ended.
    pub exit_code: i64,
    /// What it printed.
    pub output: Vec<u8>,
    /// Whether it printed more than is kept.
    pub is_cut: bool,
    /// What it complained of, or the engine, where it could not be run.
    pub words: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExecState {
    running: bool,
    exit_code: Option<i64>,
}

impl Host {
    /// Runs a program of the container as its root user and waits for its end.
    ///
    /// # Errors
    /// [`FileError::NotRunning`] where the container does not run,
    /// [`FileError::NoProgram`] where it has no such program.
    pub async fn run(&self, command: &[&str], deadline: Duration) -> Result<Ran, FileError> {
        let name = command.first().copied().unwrap_or_default();
        let id = self.prepare(command).await?;
        let running = async {
            let start = json!({ "Detach": false, "Tty": false });
            let request = posted(&format!("/exec/{id}/start"), &start)?;
            let answer = self.engines.submit(&self.session, request).await?;
            let printed = Printed::read(answer.into_body()).await?;
            let exit_code = timeout(END_DEADLINE, self.exit_code(&id)).await.map_err(|_| EngineError::Slow)??;
            Ok(Ran { exit_code, output: printed.output, is_cut: printed.is_cut, words: printed.words })
        };
        match timeout(deadline, running).await.unwrap_or(Err(EngineError::Slow)) {
            Ok(ran) if NOT_RUN.contains(&ran.exit_code) && !ran.is_cut => {
                let said = String::from_utf8_lossy(&ran.output);
                if is_missing(&said) || is_missing(&ran.words) { Err(no_program(name)) } else { Ok(ran) }
            }
            Ok(ran) => Ok(ran),
            Err(EngineError::Refused { message, .. }) if is_missing(&message) => Err(no_program(name)),
            Err(error) => Err(FileError::Engine(error)),
        }
    }

    async fn prepare(&self, command: &[&str]) -> Result<String, FileError> {
        let exec = json!({
            "AttachStdout": true, "AttachStderr": true, "Cmd": command, "User": "0", "WorkingDir": "/",
            "Env": ["LC_ALL=C"],
        });
        let target = format!("/containers/{}/exec", self.container.as_str());
        let made = match self.engines.post(&self.session, &target, &exec, CALL_DEADLINE).await {
            Ok(made) => made,
            Err(EngineError::Refused { status: http::StatusCode::CONFLICT, .. }) => return Err(FileError::NotRunning),
            Err(error) => return Err(FileError::Engine(error)),
        };
        let id = made["Id"].as_str().filter(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric()));
        Ok(id.map(str::to_owned).ok_or_else(|| EngineError::Cut("it names no program".to_owned()))?)
    }

    /// The code with which a program ended; waits until it has.
    async fn exit_code(&self, id: &str) -> Result<i64, EngineError> {
        loop {
            let state: ExecState = self.engines.read(&self.session, &format!("/exec/{id}/json"), CALL_DEADLINE).await?;
            match state.exit_code {
                Some(exit_code) if !state.running => return Ok(exit_code),
                Some(_) | None => tokio::time::sleep(END_AGAIN).await,
            }
        }
    }
}

/// A program's output and its complaints, which come mixed, in pieces that say
/// what they are.
#[derive(Debug, Default)]
struct Printed {
    output: Vec<u8>,
    words: String,
    is_cut: bool,
    rest: BytesMut,
}

impl Printed {
    async fn read(mut body: hyper::body::Incoming) -> Result<Self, EngineError> {
        let mut printed = Self::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| EngineError::Cut(error.to_string()))?;
            printed.rest.extend_from_slice(&frame.into_data().unwrap_or_default());
            if !printed.take_pieces() {
                return Err(EngineError::Cut("a program's output makes no sense".to_owned()));
            }
            if printed.is_cut {
                break;
            }
        }
        Ok(printed)
    }

    /// Takes all pieces that are whole; false when they are none.
    fn take_pieces(&mut self) -> bool {
        while let Some((head, _)) = self.rest.split_at_checked(8) {
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let stream = head[0];
            if stream > 2 || length > OUTPUT_MAX {
                return false;
            }
            if self.rest.len() < 8 + length {
                return true;
            }
            self.rest.advance(8);
            let piece = self.rest.split_to(length);
            if stream == 2 {
                let room = WORDS_MAX.saturating_sub(self.words.len());
                self.words.extend(String::from_utf8_lossy(&piece).chars().take(room));
            } else if self.output.len() + piece.len() > OUTPUT_MAX {
                self.is_cut = true;
                return true;
            } else {
                self.output.extend_from_slice(&piece);
            }
        }
        true
    }
}

fn posted(target: &str, body: &Value) -> Result<Request<Body>, EngineError> {
    let request = Request::post(target).header(header::HOST, "docker");
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string()));
    request.map_err(|error| EngineError::Cut(error.to_string()))
}

fn is_missing(message: &str) -> bool {
    MISSING.iter().any(|part| message.contains(part))
}

fn no_program(name: &str) -> FileError {
    FileError::NoProgram(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0], &length[..], text.as_bytes()].concat()
    }

    #[test]
    fn output_and_complaints_are_told_apart_wherever_they_are_cut() {
        let all = [piece(1, "one"), piece(2, "oh"), piece(1, " two")].concat();
        for step in 1..all.len() {
            let mut printed = Printed::default();
            for part in all.chunks(step) {
                printed.rest.extend_from_slice(part);
                assert!(printed.take_pieces());
            }
            assert_eq!((&printed.output[..], printed.words.as_str()), (&b"one two"[..], "oh"));
        }
    }

    #[test]
    fn output_without_end_is_cut_and_nonsense_refused() {
        let mut printed = Printed::default();
        let piece = piece(1, &"x".repeat(1024 * 1024));
        for _ in 0..5 {
            printed.rest.extend_from_slice(&piece);
            assert!(printed.take_pieces());
        }
        assert!(printed.is_cut && printed.output.len() <= OUTPUT_MAX);
        let mut printed = Printed { rest: BytesMut::from(&b"OCI runtime exec failed"[..]), ..Printed::default() };
        assert!(!printed.take_pieces());
    }
}

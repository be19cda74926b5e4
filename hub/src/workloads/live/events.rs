//! The events of one engine, read as they come and posted in the feed.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout};
use windflow_protocol::ids::EnvironmentId;

use crate::docker::{EngineError, Engines};
use crate::tunnel::{Feed, News};

/// The engine's events about containers, from now on.
const EVENTS: &str = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D";
/// Podman begins its answer with the first event; after this long without one
/// an engine is taken to be listening.
const QUIET: Duration = Duration::from_secs(1);
/// Longest event, in bytes: it carries all of a container's labels.
const EVENT_MAX: usize = 256 * 1024;
/// Longest id or action that is passed on, in characters.
const WORD_MAX: usize = 128;
/// Events passed on one by one within [`TURN`]; the rest are told as one, and
/// read at leisure.
const TURN_MAX: usize = 50;
const TURN: Duration = Duration::from_secs(1);

/// Actions after which a list of containers looks as before.
const UNSEEN: [&str; 9] =
    ["exec_", "attach", "detach", "top", "resize", "copy", "export", "archive-path", "extract-to-dir"];

/// An event, as far as it matters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    action: String,
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
}

/// Posts what the engine tells until it stops; and first, that something may
/// have happened before.
///
/// # Errors
/// Why it did not begin, or broke off.
pub async fn pass_on(engines: &Engines, feed: &Feed, environment: EnvironmentId) -> Result<(), EngineError> {
    let session = engines.session(environment)?;
    let opening = engines.open(&session, EVENTS);
    tokio::pin!(opening);
    let opened = match timeout(QUIET, &mut opening).await {
        Ok(opened) => opened,
        Err(_) => {
            feed.post(News::Containers(environment));
            opening.await
        }
    };
    let mut body = opened?.into_body();
    feed.post(News::Containers(environment));
    let mut lines = Lines::default();
    let mut turn = Turn::begin();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| EngineError::Cut(error.to_string()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        lines.add(&data)?;
        while let Some(news) = lines.next(environment) {
            if turn.may_tell() {
                feed.post(news);
            }
        }
        if turn.is_spent() {
            sleep_until(turn.began + TURN).await;
            feed.post(News::Containers(environment));
            turn = Turn::begin();
        }
    }
    Ok(())
}

/// How many events of a second were passed on one by one.
struct Turn {
    began: Instant,
    told: usize,
}

impl Turn {
    fn begin() -> Self {
        Self { began: Instant::now(), told: 0 }
    }

    fn may_tell(&mut self) -> bool {
        if self.began.elapsed() >= TURN && !self.is_spent() {
            *self = Self::begin();
        }
        self.told += 1;
        !self.is_spent()
    }

    const fn is_spent(&self) -> bool {
        self.told > TURN_MAX
    }
}

/// Events as they come, one on each line.
#[derive(Default)]
struct Lines {
    buffer: BytesMut,
}

impl Lines {
    fn add(&mut self, data: &[u8]) -> Result<(), EngineError> {
        if self.buffer.len() + data.len() > EVENT_MAX {
            return Err(EngineError::Cut("an event is too long".to_owned()));
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    /// The next event that matters; `None` once only a part of one is left.
    fn next(&mut self, environment: EnvironmentId) -> Option<News> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
            let line = self.buffer.split_to(end);
            self.buffer.advance(1);
            if let Some(news) = read(&line, environment) {
                return Some(news);
            }
        }
    }
}

fn read(line: &[u8], environment: EnvironmentId) -> Option<News> {
    let event: Event = serde_json::from_slice(line).ok()?;
    if UNSEEN.iter().any(|unseen| event.action.starts_with(unseen)) {
        return None;
    }
    let word = |text: &str| text.chars().filter(|c| !c.is_control()).take(WORD_MAX).collect();
    Some(News::Container { environment, container: word(&event.actor.id), action: word(&event.action) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(chunks: &[&str]) -> Vec<String> {
        let (mut lines, environment) = (Lines::default(), EnvironmentId::generate());
        let mut actions = Vec::new();
        for chunk in chunks {
            lines.add(chunk.as_bytes()).unwrap();
            while let Some(News::Container { action, .. }) = lines.next(environment) {
                actions.push(action);
            }
        }
        actions
    }

    fn event(action: &str) -> String {
        format!(r#"{{"status":"x","Type":"container","Action":"{action}","Actor":{{"ID":"a1","Attributes":{{}}}}}}"#)
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = format!("{}\n{}\n", event("start"), event("die"));
        assert_eq!(actions(&[&text]), ["start", "die"]);
        let halves = text.split_at(text.len() / 2 + 7);
        assert_eq!(actions(&[halves.0, halves.1]), ["start", "die"]);
        let bytes: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(actions(&bytes), ["start", "die"]);
    }

    #[test]
    fn what_no_list_shows_and_what_is_no_event_is_passed_over() {
        let text = [event("exec_create: sh"), "nonsense".to_owned(), String::new(), event("rename")].join("\n") + "\n";
        assert_eq!(actions(&[&text]), ["rename"]);
    }

    #[test]
    fn an_event_without_end_is_not_kept() {
        let mut lines = Lines::default();
        lines.add(&[b'x'; EVENT_MAX]).unwrap();
        assert!(lines.add(b"x").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_events_is_cut_to_so_many_a_second() {
        let mut turn = Turn::begin();
        assert_eq!((0..1000).filter(|_| turn.may_tell()).count(), TURN_MAX);
        assert!(turn.is_spent());
        let mut slow = Turn::begin();
        for _ in 0..TURN_MAX * 2 {
            tokio::time::advance(TURN / 10).await;
            assert!(slow.may_tell());
        }
    }
}

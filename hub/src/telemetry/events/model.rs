//! What happened, as the API shows it, and which of it is wanted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::{LIMIT_DEFAULT, LIMIT_MAX};

/// The kind and action of what is not known.
pub const GAP: &str = "gap";
/// Longest word that is searched for, in bytes.
const WORD_MAX: usize = 256;

/// Who tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An engine: what happened on it, whoever had it done.
    Engine,
    /// The hub: what was done through it, and by whom.
    User,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Activity {
    /// Its record.
    pub id: Uuid,
    /// When it happened; by the engine's clock where an engine tells of it.
    pub at: Timestamp,
    /// Who tells of it.
    pub source: Source,
    /// `engine`, `user`, `local`, `agent`, `system` or `nobody`.
    pub actor_kind: String,
    /// The user's name at that time.
    pub actor_name: Option<String>,
    /// What happened, with the kind of what it happened to before the dot, such
    /// as `container.start`. `gap.gap` is a time until `at` of which nothing is
    /// known; the fact `from` is its begin.
    pub action: String,
    /// The kind of what it happened to.
    pub target_kind: Option<String>,
    /// What it happened to.
    pub target_id: Option<String>,
    /// Its name, where that is known.
    pub target_name: Option<String>,
    /// The container that it is about, where there is one.
    pub container_id: Option<String>,
    /// The environment it happened in.
    pub environment_id: Option<Uuid>,
    /// What that is called, while it is there.
    pub environment_name: Option<String>,
    /// `done`, `denied` or `failed`, where somebody did it.
    pub outcome: Option<String>,
    /// What else there is to say, by name, such as `exit_code`.
    pub facts: BTreeMap<String, String>,
}

/// What happened, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActivityList {
    /// This page.
    pub items: Vec<Activity>,
    /// The cursor of the next page, if there may be one.
    pub next: Option<String>,
}

/// Which of what happened to list.
#[derive(Clone, Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityQuery {
    /// Only in this environment.
    environment: Option<Uuid>,
    /// Only what happened to this kind of thing, such as `container`.
    kind: Option<String>,
    /// Only this, with its kind before the dot, such as `container.start`.
    action: Option<String>,
    /// Only what is about this container, by its id or name.
    container: Option<String>,
    /// Only what has this text in a name, an id or its action.
    q: Option<String>,
    /// Not before this moment.
    from: Option<Timestamp>,
    /// Before this moment.
    to: Option<Timestamp>,
    /// Only what this one tells of. Without it, what the caller may see.
    #[param(inline)]
    source: Option<Source>,
    /// Most entries to return, 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Only what is older: `next` of the page before.
    cursor: Option<String>,
}

/// What is wanted, checked.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub environment: Option<Uuid>,
    pub kind: Option<String>,
    pub action: Option<String>,
    pub container: Option<String>,
    pub text: Option<String>,
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    pub source: Option<Source>,
    pub before: Option<Cursor>,
    pub limit: i64,
}

/// A place in the list: only what is older follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub at: Timestamp,
    pub id: Uuid,
}

impl ActivityQuery {
    /// What is wanted.
    ///
    /// # Errors
    /// 400 where a word is too long, the limit is out of range or the cursor is
    /// none.
    pub fn check(self) -> ApiResult<Wanted> {
        let Self { environment, kind, action, container, q, from, to, source, limit, cursor } = self;
        let words = [("kind", &kind), ("action", &action), ("container", &container), ("q", &q)];
        if let Some((name, _)) = words.iter().find(|(_, word)| word.as_ref().is_some_and(|word| word.len() > WORD_MAX))
        {
            return Err(ApiError::bad_request("invalid_filter", format!("{name} is at most {WORD_MAX} bytes long.")));
        }
        let limit = limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ApiError::bad_request("invalid_limit", format!("limit must be between 1 and {LIMIT_MAX}.")));
        }
        let bad_cursor = || ApiError::bad_request("invalid_cursor", "cursor must be `next` of the page before.");
        let before = cursor.map(|text| Cursor::parse(&text).ok_or_else(bad_cursor)).transpose()?;
        let text = q.filter(|text| !text.is_empty());
        Ok(Wanted { environment, kind, action, container, text, from, to, source, before, limit: limit.into() })
    }
}

impl Cursor {
    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (micros, id) = text.split_once('.')?;
        Some(Self { at: Timestamp::from_micros(micros.parse().ok()?).ok()?, id: id.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at.as_micros(), self.id.simple())
    }
}

//! Which records are wanted, as it is asked for, and what it becomes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};
use crate::http::Keys;
use crate::identity::audit::Outcome;
use crate::identity::audit::store::AuditFilter;

/// Longest word that is searched for, in bytes.
const WORD_MAX: usize = 256;
/// Longest name of an action, in bytes.
const ACTION_MAX: usize = 64;

/// Which page of the records.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditPage {
    /// Most records to return, 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// Only records older than this one: `next` of the page before.
    pub cursor: Option<Uuid>,
}

impl Keys for AuditPage {
    const KEYS: &'static [&'static str] = &["limit", "cursor"];
}

/// Which records.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditWanted {
    /// Only this action, such as `user.sign_in`; with a dot at its end, such as
    /// `user.`, all that begin with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    /// Only what was done to this target.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    /// Only what this actor did, by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    /// Only what an actor of this name did.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// Only what ended so.
    #[param(inline)]
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// Only what happened in this environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment_id: Option<Uuid>,
    /// Not before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Timestamp>,
    /// Before this moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    /// Only what has this text in the actor's name, the target, the action or
    /// the details.
    #[serde(skip_serializing_if = "Option::is_none")]
    q: Option<String>,
}

/// In which form records are given.
#[derive(Clone, Copy, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportForm {
    /// As a table or as JSON, one record a line.
    #[param(inline)]
    pub format: ExportFormat,
}

impl Keys for ExportForm {
    const KEYS: &'static [&'static str] = &["format"];
}

/// The form of a file of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// RFC 4180, for spreadsheets.
    Csv,
    /// One JSON object a line, for programs.
    Json,
}

impl ExportFormat {
    /// How the file's name ends.
    pub const fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Json => "ndjson",
        }
    }

    /// What the answer says that it is.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Json => "application/x-ndjson",
        }
    }
}

/// What is expected of the chain.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerifyQuery {
    /// A record's number and hash that were noted elsewhere: `SEQ:HASH`.
    pub expect: Option<String>,
}

impl AuditWanted {
    /// The filter.
    ///
    /// # Errors
    /// 400 where a word is too long or cannot be one, or the time ends before it
    /// begins.
    pub fn check(self) -> ApiResult<AuditFilter> {
        let Self { action, target_id, actor_id, actor, outcome, environment_id, from, until, q } = self;
        for (name, word) in [("target_id", &target_id), ("actor_id", &actor_id), ("actor", &actor), ("q", &q)] {
            check_word(name, word.as_deref())?;
        }
        if from.zip(until).is_some_and(|(from, until)| from >= until) {
            return Err(invalid("from must be before until.".to_owned()));
        }
        let (action, action_pattern) = match action.as_deref().map(action_wanted).transpose()? {
            None => (None, None),
            Some(ActionWanted::This(action)) => (Some(action), None),
            Some(ActionWanted::Like(pattern)) => (None, Some(pattern)),
        };
        let pattern = q.filter(|text| !text.is_empty()).map(|text| format!("%{}%", escaped(&text)));
        Ok(AuditFilter {
            action,
            action_pattern,
            target_id,
            actor_id,
            actor,
            outcome,
            environment_id,
            from,
            until,
            pattern,
        })
    }
}

enum ActionWanted {
    This(String),
    Like(String),
}

fn action_wanted(text: &str) -> ApiResult<ActionWanted> {
    let fits = |letter: u8| letter.is_ascii_lowercase() || letter == b'_' || letter == b'.';
    if text.is_empty() || text.len() > ACTION_MAX || !text.bytes().all(fits) {
        return Err(invalid("action must be one such as user.sign_in, or its begin such as user.".to_owned()));
    }
    Ok(match text.ends_with('.') {
        true => ActionWanted::Like(format!("{}%", escaped(text))),
        false => ActionWanted::This(text.to_owned()),
    })
}

fn check_word(name: &str, word: Option<&str>) -> ApiResult<()> {
    let word = word.unwrap_or_default();
    if word.len() > WORD_MAX {
        return Err(invalid(format!("{name} is at most {WORD_MAX} bytes long.")));
    }
    // PostgreSQL has no text with a zero in it.
    if word.contains(char::is_control) {
        return Err(invalid(format!("{name} has characters that cannot be searched for.")));
    }
    Ok(())
}

fn invalid(message: String) -> ApiError {
    ApiError::bad_request("invalid_filter", message)
}

/// What `LIKE` takes as this text, with `!` before what would mean more.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: AuditWanted) -> Result<AuditFilter, &'static str> {
        wanted.check().map_err(|error| error.code())
    }

    #[test]
    fn a_filter_is_parsed_at_the_door() {
        let action = |text: &str| AuditWanted { action: Some(text.to_owned()), ..AuditWanted::default() };
        assert_eq!(check(action("user.sign_in")).unwrap().action.as_deref(), Some("user.sign_in"));
        let like = check(action("api_token.")).unwrap();
        assert_eq!((like.action, like.action_pattern.as_deref()), (None, Some("api!_token.%")));
        for text in ["", "User.", "user%", "user ", &"a".repeat(65)] {
            assert_eq!(check(action(text)).unwrap_err(), "invalid_filter", "{text}");
        }
        let text = |q: &str| AuditWanted { q: Some(q.to_owned()), ..AuditWanted::default() };
        assert_eq!(check(text("50%_!")).unwrap().pattern.as_deref(), Some("%50!%!_!!%"));
        assert_eq!(check(text("")).unwrap().pattern, None);
        for q in ["a\0b", "\u{1b}[2J", &"x".repeat(257)] {
            assert_eq!(check(text(q)).unwrap_err(), "invalid_filter");
        }
        let moment = |second: i64| Timestamp::from_micros(second * 1_000_000).ok();
        let span = AuditWanted { from: moment(2), until: moment(2), ..AuditWanted::default() };
        assert_eq!(check(span).unwrap_err(), "invalid_filter");
    }
}

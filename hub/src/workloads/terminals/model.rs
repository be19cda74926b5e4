//! What somebody asks for when they open a terminal, checked, and what they are
//! told of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::error::{ApiError, ApiResult};

/// Most parts of a command.
const PARTS_MAX: usize = 64;
/// Most variables that are set.
const VARIABLES_MAX: usize = 64;
/// Most bytes of the command, and of all variables.
const TEXT_MAX: usize = 16 * 1024;
/// Most bytes of a path.
const PATH_MAX: usize = 4096;
/// Most bytes of a user and group.
const USER_MAX: usize = 128;
/// Most columns or rows.
const SIDE_MAX: u16 = 1000;

/// The id of one terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct TerminalId(pub Uuid);

impl TerminalId {
    /// A new id that sorts by its time of creation.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl std::fmt::Display for TerminalId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A terminal to be opened.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTerminal {
    /// What to run; without it the best shell that the container has.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// Who runs it, as `user`, `user:group` or by number; without it whoever
    /// the container runs as.
    #[serde(default)]
    pub user: Option<String>,
    /// Where it begins, an absolute path; without it where the container's own
    /// process did.
    #[serde(default)]
    pub working_directory: Option<String>,
    /// Further variables, each as `KEY=value`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Characters in a line, at most 1000.
    pub columns: u16,
    /// Lines, at most 1000.
    pub rows: u16,
    /// Attaches to the container's main process instead of running anything.
    #[serde(default)]
    pub attach: bool,
}

/// How large a terminal is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl Size {
    /// A size that can be shown; `None` for any other.
    pub fn new(columns: u16, rows: u16) -> Option<Self> {
        let fits = |side| (1..=SIDE_MAX).contains(&side);
        (fits(columns) && fits(rows)).then_some(Self { columns, rows })
    }
}

/// What is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aim {
    /// The best shell there is.
    Shell,
    /// This command.
    Command(Vec<String>),
    /// The container's main process.
    Main,
}

/// A terminal to be opened, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is opened.
    pub aim: Aim,
    /// Who runs it.
    pub user: Option<String>,
    /// Where it begins.
    pub working_directory: Option<String>,
    /// Further variables.
    pub environment: Vec<String>,
    /// How large it is at first.
    pub size: Size,
}

impl TryFrom<NewTerminal> for Plan {
    type Error = ApiError;

    fn try_from(asked: NewTerminal) -> ApiResult<Self> {
        let size = Size::new(asked.columns, asked.rows)
            .ok_or_else(|| invalid(format!("columns and rows must be between 1 and {SIDE_MAX}.")))?;
        let plan = Self {
            aim: aim(asked.command, asked.attach)?,
            user: asked.user.filter(|user| !user.is_empty()),
            working_directory: asked.working_directory.filter(|path| !path.is_empty()),
            environment: asked.environment,
            size,
        };
        let says_how = plan.user.is_some() || plan.working_directory.is_some() || !plan.environment.is_empty();
        if plan.aim == Aim::Main && says_how {
            return Err(invalid(
                "Attaching takes no user, working directory or environment: the process runs already.",
            ));
        }
        check_user(plan.user.as_deref())?;
        check_path(plan.working_directory.as_deref())?;
        check_variables(&plan.environment)?;
        Ok(plan)
    }
}

fn aim(command: Option<Vec<String>>, attach: bool) -> ApiResult<Aim> {
    match (command, attach) {
        (None, true) => Ok(Aim::Main),
        (Some(_), true) => Err(invalid("Attaching takes no command: the process runs already.")),
        (None, false) => Ok(Aim::Shell),
        (Some(parts), false) => {
            let named = parts.first().is_some_and(|program| !program.is_empty());
            if !named || parts.len() > PARTS_MAX || !are_fit(&parts) {
                return Err(invalid(format!(
                    "A command has a program and at most {PARTS_MAX} parts, {TEXT_MAX} bytes and no NUL together."
                )));
            }
            Ok(Aim::Command(parts))
        }
    }
}

fn check_user(user: Option<&str>) -> ApiResult<()> {
    let is_fit = |user: &str| user.len() <= USER_MAX && !user.contains(|c: char| c.is_control() || c.is_whitespace());
    if user.is_none_or(is_fit) {
        Ok(())
    } else {
        Err(invalid("The user must look like user, user:group or 1000:1000."))
    }
}

fn check_path(path: Option<&str>) -> ApiResult<()> {
    let is_fit = |path: &str| path.starts_with('/') && path.len() <= PATH_MAX && !path.contains('\0');
    if path.is_none_or(is_fit) { Ok(()) } else { Err(invalid("The working directory must be an absolute path.")) }
}

fn check_variables(variables: &[String]) -> ApiResult<()> {
    let named = |variable: &String| variable.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    if variables.len() <= VARIABLES_MAX && variables.iter().all(named) && are_fit(variables) {
        return Ok(());
    }
    Err(invalid(format!(
        "The environment has at most {VARIABLES_MAX} variables like KEY=value, {TEXT_MAX} bytes and no NUL together."
    )))
}

fn are_fit(texts: &[String]) -> bool {
    texts.iter().map(String::len).sum::<usize>() <= TEXT_MAX && !texts.iter().any(|text| text.contains('\0'))
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("invalid_terminal", message)
}

/// A terminal that was opened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Terminal {
    /// Its id.
    pub id: TerminalId,
    /// Where its container is.
    pub environment_id: Uuid,
    /// The container, as it was asked for.
    pub container: String,
    /// What runs; null where it is the container's main process.
    pub command: Option<Vec<String>>,
    /// Whether it shows colours and moves its cursor. A main process without a
    /// terminal of its own only prints lines.
    pub tty: bool,
    /// Whether it takes input.
    pub takes_input: bool,
    /// Whether what it prints is recorded; `/api/v1/recordings/{id}` is the
    /// recording.
    pub recorded: bool,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How it ended; it is forgotten a minute later.
    pub ended: Option<Ending>,
}

/// How a terminal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ending {
    /// With which code its program ended, where that is known.
    pub exit_code: Option<i64>,
    /// Why.
    pub why: Why,
}

/// Why a terminal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its program ended.
    Exited,
    /// Its container stopped or was removed.
    ContainerStopped,
    /// The way to its engine was lost: agent, engine or environment went away.
    Lost,
    /// Somebody closed it.
    Closed,
    /// Nobody looked at it for a minute.
    Left,
    /// Nothing was typed for half an hour.
    Idle,
    /// The hub stopped.
    HubStops,
    /// It is to be recorded, and could not be any more.
    RecordingFailed,
    /// Whoever opened it may not any more.
    NotPermitted,
}

impl Why {
    /// The name in the audit log and on the channel.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::ContainerStopped => "container_stopped",
            Self::Lost => "lost",
            Self::Closed => "closed",
            Self::Left => "left",
            Self::Idle => "idle",
            Self::HubStops => "hub_stops",
            Self::RecordingFailed => "recording_failed",
            Self::NotPermitted => "not_permitted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> NewTerminal {
        NewTerminal { columns: 80, rows: 24, ..NewTerminal::default() }
    }

    fn refused(asked: NewTerminal) -> bool {
        Plan::try_from(asked).is_err_and(|error| error.code() == "invalid_terminal")
    }

    #[test]
    fn a_terminal_is_a_shell_a_command_or_the_main_process() {
        assert_eq!(Plan::try_from(asked()).unwrap().aim, Aim::Shell);
        let top = vec!["top".to_owned(), String::new()];
        let command = NewTerminal { command: Some(top.clone()), ..asked() };
        assert_eq!(Plan::try_from(command).unwrap().aim, Aim::Command(top));
        assert_eq!(Plan::try_from(NewTerminal { attach: true, ..asked() }).unwrap().aim, Aim::Main);
    }

    #[test]
    fn what_no_engine_could_run_is_refused() {
        let command = |parts: &[&str]| NewTerminal {
            command: Some(parts.iter().map(|part| (*part).to_owned()).collect()),
            ..asked()
        };
        assert!(refused(command(&[])) && refused(command(&[""])) && refused(command(&["a\0b"])));
        assert!(refused(command(&["x"; PARTS_MAX + 1])) && refused(command(&[&"x".repeat(TEXT_MAX + 1)])));
        assert!(refused(NewTerminal { attach: true, ..command(&["sh"]) }));
        assert!(refused(NewTerminal { attach: true, user: Some("root".into()), ..asked() }));
        for user in ["a b", "a\nb", &"u".repeat(USER_MAX + 1)] {
            assert!(refused(NewTerminal { user: Some(user.into()), ..asked() }), "{user:?}");
        }
        for path in ["srv", "../x", "/a\0b", &format!("/{}", "x".repeat(PATH_MAX))] {
            assert!(refused(NewTerminal { working_directory: Some(path.into()), ..asked() }), "{path:?}");
        }
        for variable in ["KEY", "=value", "A=\0"] {
            assert!(refused(NewTerminal { environment: vec![variable.into()], ..asked() }), "{variable:?}");
        }
        assert!(refused(NewTerminal { environment: vec!["A=1".into(); VARIABLES_MAX + 1], ..asked() }));
        for (columns, rows) in [(0, 24), (80, 0), (1001, 24), (80, u16::MAX)] {
            assert!(refused(NewTerminal { columns, rows, ..asked() }));
        }
    }
}

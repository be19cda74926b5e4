//! A `docker run` line read as a specification. Nothing of it is dropped in
//! silence: what a specification cannot say is told beside it, and a flag that
//! Docker does not know is an error. Nothing is expanded and no shell is asked.

mod flags;
mod values;
mod words;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::flags::{Flag, Shape};
use self::words::Word;
use super::parts::ContainerSpec;
use crate::error::ApiError;

/// Longest line, in bytes.
const LINE_MAX: usize = 64 * 1024;
/// How far from the line's beginning `run` may stand, in words.
const RUN_WITHIN: usize = 12;

/// A line to be read.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerRun {
    /// The line, as it would be typed; it may go over several lines.
    #[schema(max_length = 65536)]
    pub command: String,
}

/// What a line asks for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ParsedRun {
    /// The container.
    pub spec: ContainerSpec,
    /// Whether it is started too: not by `docker create`.
    pub start: bool,
    /// What of the line is not in the specification, or not as it seems.
    pub remarks: Vec<Remark>,
}

/// Something that the reader of a line should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Remark {
    /// Which part of the line: a flag, or a word.
    pub part: String,
    /// What is to be known.
    pub kind: RemarkKind,
}

/// What is to be known of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemarkKind {
    /// It was left out: no specification can say it.
    LeftOut,
    /// It is the shell that would have put something in its place.
    NotExpanded,
    /// Its value would have come from where the line is typed.
    ValueNeeded,
    /// It is a file where the line is typed, which nobody read.
    FileNotRead,
    /// It is a path that depends on where the line is typed.
    RelativePath,
}

/// Why a line cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// It is too long.
    #[error("the line has more than {LINE_MAX} bytes")]
    TooLong,
    /// It is none.
    #[error("this is no `docker run` line")]
    NoRun,
    /// A quote has no end.
    #[error("the quote {0} has no end")]
    Quote(char),
    /// More than one command.
    #[error("give one command alone: {0} begins another")]
    Operator(String),
    /// Docker has no such flag.
    #[error("docker run has no flag {0}")]
    UnknownFlag(String),
    /// A flag lacks its value.
    #[error("{0} needs a value")]
    NoValue(String),
    /// A flag's value cannot be read.
    #[error("{flag}: {message}")]
    Value {
        /// Which flag.
        flag: String,
        /// What it should be.
        message: &'static str,
    },
    /// There is no image.
    #[error("the line names no image")]
    NoImage,
}

impl From<RunError> for ApiError {
    fn from(error: RunError) -> Self {
        Self::bad_request("unreadable_command", crate::error::sentence(&error))
    }
}

impl DockerRun {
    /// Reads the line.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn parse(&self) -> Result<ParsedRun, RunError> {
        if self.command.len() > LINE_MAX {
            return Err(RunError::TooLong);
        }
        let words = words::split(&self.command)?;
        let (start, arguments) = after_run(&words)?;
        let mut reading = Reading::default();
        let rest = reading.take_flags(arguments)?;
        let [image, command @ ..] = rest else {
            return Err(RunError::NoImage);
        };
        if image.text.starts_with('-') {
            return Err(RunError::NoImage);
        }
        for word in rest {
            reading.remark_expansion(word);
        }
        let mut spec = reading.finish();
        spec.image.clone_from(&image.text);
        spec.command = (!command.is_empty()).then(|| command.iter().map(|word| word.text.clone()).collect());
        Ok(ParsedRun { spec, start, remarks: reading.remarks })
    }
}

/// The words after `docker run`, and whether what they make is started.
fn after_run(words: &[Word]) -> Result<(bool, &[Word]), RunError> {
    if words.first().is_some_and(|word| word.text.starts_with('-')) {
        return Ok((true, words));
    }
    let is_program = |word: &Word| {
        let name = word.text.rsplit('/').next().unwrap_or_default();
        matches!(name, "docker" | "docker.exe" | "podman" | "nerdctl")
    };
    let program = words.iter().take(RUN_WITHIN).position(is_program).ok_or(RunError::NoRun)?;
    let after = words.get(program + 1..).unwrap_or_default();
    let verb = after.iter().take(RUN_WITHIN).position(|word| matches!(word.text.as_str(), "run" | "create"));
    let verb = verb.ok_or(RunError::NoRun)?;
    let arguments = after.get(verb + 1..).unwrap_or_default();
    Ok((after.get(verb).is_some_and(|word| word.text == "run"), arguments))
}

/// What was read so far.
#[derive(Debug, Default)]
struct Reading {
    spec: ContainerSpec,
    remarks: Vec<Remark>,
    /// What is said of the first network apart from its name.
    own_network: super::parts::NetworkSpec,
    has_no_health: bool,
}

impl Reading {
    /// Takes all flags, and gives what stands behind them.
    fn take_flags<'a>(&mut self, mut words: &'a [Word]) -> Result<&'a [Word], RunError> {
        while let [word, rest @ ..] = words {
            words = match word.text.as_str() {
                "--" => return Ok(rest),
                text if text.starts_with("--") => self.take_long(word, rest)?,
                text if text.starts_with('-') && text.len() > 1 => self.take_short(word, rest)?,
                _ => return Ok(words),
            };
        }
        Ok(words)
    }

    fn take_long<'a>(&mut self, word: &'a Word, rest: &'a [Word]) -> Result<&'a [Word], RunError> {
        let (name, value) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.text.as_str(), None),
        };
        let flag = Flag::long(name).ok_or_else(|| RunError::UnknownFlag(name.to_owned()))?;
        match (flag.shape, value) {
            (Shape::Switch, value) => self.switch(flag, value.is_none_or(|value| value != "false"), name)?,
            (Shape::Value, Some(value)) => {
                self.remark_expansion(word);
                self.value(flag, name, value)?;
            }
            (Shape::Value, None) => return self.take_next(flag, name, rest),
        }
        Ok(rest)
    }

    /// One letter or several; the last one may have its value with it.
    fn take_short<'a>(&mut self, word: &'a Word, rest: &'a [Word]) -> Result<&'a [Word], RunError> {
        let letters = &word.text[1..];
        for (at, letter) in letters.char_indices() {
            let name = format!("-{letter}");
            let flag = Flag::short(letter).ok_or_else(|| RunError::UnknownFlag(name.clone()))?;
            if flag.shape == Shape::Switch {
                self.switch(flag, true, &name)?;
                continue;
            }
            let value = &letters[at + letter.len_utf8()..];
            if value.is_empty() {
                return self.take_next(flag, &name, rest);
            }
            self.remark_expansion(word);
            self.value(flag, &name, value.strip_prefix('=').unwrap_or(value))?;
            return Ok(rest);
        }
        Ok(rest)
    }

    fn take_next<'a>(&mut self, flag: Flag, name: &str, rest: &'a [Word]) -> Result<&'a [Word], RunError> {
        let [value, rest @ ..] = rest else {
            return Err(RunError::NoValue(name.to_owned()));
        };
        self.remark_expansion(value);
        self.value(flag, name, &value.text)?;
        Ok(rest)
    }

    fn remark_expansion(&mut self, word: &Word) {
        if word.expands {
            self.remark(&word.text, RemarkKind::NotExpanded);
        }
    }

    fn remark(&mut self, part: &str, kind: RemarkKind) {
        self.remarks.push(Remark { part: part.to_owned(), kind });
    }

    /// What was said of the network goes to the first one.
    fn finish(&mut self) -> ContainerSpec {
        let mut spec = std::mem::take(&mut self.spec);
        let own = std::mem::take(&mut self.own_network);
        if own != super::parts::NetworkSpec::default() {
            if spec.networks.is_empty() {
                spec.networks.push(super::parts::NetworkSpec { name: "bridge".to_owned(), ..Default::default() });
            }
            let first = &mut spec.networks[0];
            first.aliases.extend(own.aliases);
            first.ipv4 = own.ipv4.or(first.ipv4);
            first.ipv6 = own.ipv6.or(first.ipv6);
            first.mac = own.mac.or(first.mac.take());
        }
        if self.has_no_health {
            spec.health.get_or_insert_default().test = vec!["NONE".to_owned()];
        }
        spec
    }
}

//! The words of files in containers.

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::path::{FilePath, PathError};
use super::tar::{Header, Kind, TarError};
use crate::clock::Timestamp;
use crate::docker::EngineError;
use crate::error::{ApiError, sentence};

/// Largest text that is shown and written as a whole, in bytes.
pub const TEXT_MAX: usize = 1024 * 1024;
/// Largest file that is uploaded, in bytes: 4 GiB.
pub const UPLOAD_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Which file or folder.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct At {
    /// Its path in the container: absolute, without `.`, `..` or a slash at
    /// its end.
    #[param(value_type = String, max_length = 4096)]
    pub path: FilePath,
}

/// What is downloaded.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Download {
    /// The path of a file or a folder.
    #[param(value_type = String, max_length = 4096)]
    pub path: FilePath,
    /// In which form, as it is unless given.
    #[serde(default, rename = "as")]
    #[param(rename = "as", value_type = Option<Form>, inline)]
    pub form: Form,
}

/// In which form something is downloaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum Form {
    /// The bytes of a file.
    #[default]
    #[serde(rename = "file")]
    File,
    /// An archive of it and all that is in it.
    #[serde(rename = "tar")]
    Tar,
    /// The same, compressed.
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// Where a file is uploaded to.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Upload {
    /// The path that the file is to have.
    #[param(value_type = String, max_length = 4096)]
    pub path: FilePath,
    /// Whether it may take the place of a file that is there.
    #[serde(default)]
    #[param(value_type = Option<bool>)]
    pub replace: bool,
}

/// Where a text is written.
#[derive(Clone, Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Writing {
    /// The path of a file.
    #[param(value_type = String, max_length = 4096)]
    pub path: FilePath,
    /// The version that was read. Without it the file must not be there yet.
    pub version: Option<String>,
}

/// A folder that is to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewFolder {
    /// Its path; those above it are made too.
    #[schema(value_type = String, max_length = 4096)]
    pub path: FilePath,
}

/// Where something is to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPath {
    /// Where it is.
    #[schema(value_type = String, max_length = 4096)]
    pub path: FilePath,
    /// Where it is to be, and what it is called there.
    #[schema(value_type = String, max_length = 4096)]
    pub to: FilePath,
}

/// Who may do what with something.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMode {
    /// Its path.
    #[schema(value_type = String, max_length = 4096)]
    pub path: FilePath,
    /// Its permissions in octal digits, such as `0644`.
    #[schema(value_type = String, pattern = "^[0-7]{3,4}$")]
    pub mode: Mode,
}

/// Permissions, written as three or four octal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Mode(pub u32);

/// They are written in another way.
#[derive(Debug, thiserror::Error)]
#[error("permissions are three or four octal digits, such as 0644")]
pub struct NotAMode;

impl TryFrom<String> for Mode {
    type Error = NotAMode;

    fn try_from(text: String) -> Result<Self, NotAMode> {
        let are_digits = matches!(text.len(), 3 | 4) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        if are_digits { u32::from_str_radix(&text, 8).map(Self).map_err(|_| NotAMode) } else { Err(NotAMode) }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A folder and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Folder {
    /// Its path.
    pub path: String,
    /// What is in it, by name, at most ten thousand.
    pub entries: Vec<FileEntry>,
    /// Whether there is more that is not shown: the folder is too large to be
    /// looked through.
    pub is_cut: bool,
    /// By whom it was looked at.
    pub seen_by: SeenBy,
}

/// By whom a folder was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SeenBy {
    /// Programs of the container, which runs: it is as processes see it.
    Program,
    /// The engine's archive: it is as it lies on disk.
    Archive,
}

/// A file, a folder, or whatever else has a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileEntry {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// How many bytes it has.
    pub size: u64,
    /// Its permissions in octal digits, such as `0644`.
    pub mode: String,
    /// The number of its owner.
    pub owner: u32,
    /// The number of its group.
    pub group: u32,
    /// When it was changed.
    pub modified_at: Option<Timestamp>,
    /// Where a link leads, as the engine resolves it; in lists it is not told.
    pub target: Option<String>,
}

/// What something with a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link. It is never followed by itself.
    Link,
    /// A device, a pipe, a socket.
    Special,
}

impl From<Kind> for FileKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::File | Kind::HardLink => Self::File,
            Kind::Folder => Self::Folder,
            Kind::Link => Self::Link,
            Kind::Device | Kind::Pipe | Kind::Other => Self::Special,
        }
    }
}

impl FileEntry {
    /// What an archive says of it.
    pub fn of(name: &str, header: &Header) -> Self {
        Self {
            name: name.to_owned(),
            kind: header.kind.into(),
            size: header.size,
            mode: Mode(header.mode).to_string(),
            owner: header.owner,
            group: header.group,
            modified_at: moment(header.modified),
            target: None,
        }
    }
}

/// A moment in seconds since 1970, where it has a date.
pub fn moment(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_micros(seconds.checked_mul(1_000_000)?).ok()
}

/// A text file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TextFile {
    /// What it is.
    pub entry: FileEntry,
    /// Its text.
    pub text: String,
    /// Names this text. Whoever writes gives it back, so that nothing that was
    /// written in between is lost.
    pub version: String,
}

/// A text that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Written {
    /// Names the text that is there now.
    pub version: String,
}

/// Why nothing came of something with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The engine did not do it.
    #[error(transparent)]
    Engine(EngineError),
    /// Its archive is none.
    #[error(transparent)]
    Archive(#[from] TarError),
    /// There is nothing at the path.
    #[error(
        "there is no such file on the container's disk. What lies in memory only, as in /proc or a tmpfs, is reached \
         from a terminal"
    )]
    NoSuchFile,
    /// There is something at the path.
    #[error("there is something with this path already: choose another name, or delete it first")]
    Exists,
    /// A folder would take the place of a file, or a file that of a folder.
    #[error("a file never takes the place of a folder, nor a folder that of a file: choose another name")]
    OtherKind,
    /// It is no folder.
    #[error("this is no folder")]
    NotAFolder,
    /// It is no file.
    #[error("this is no file: a folder is downloaded as an archive")]
    NotAFile,
    /// It is a link, and links are not followed by themselves.
    #[error("this is a symbolic link: open what it leads to")]
    IsLink(Option<String>),
    /// The root folder is no thing in a folder.
    #[error("the root folder itself cannot be changed")]
    IsRoot,
    /// It is mounted for itself.
    #[error(
        "this path is a mount of its own and cannot be replaced from outside: change it on the host, or in a terminal"
    )]
    Mounted,
    /// It is too large to be shown and written as a whole.
    #[error("only files of up to 1 MiB are read and written as a text: download it")]
    TooLarge,
    /// It is more than is taken.
    #[error("a file of up to 4 GiB can be uploaded, and its length must be known before")]
    Length,
    /// Its bytes are no text.
    #[error("this file is no text: download it")]
    NotText,
    /// Someone else wrote it.
    #[error("the file was changed since it was read: read it again, and bring both changes together")]
    Changed,
    /// The container does not run, and without it this is not possible.
    #[error(
        "the engine can only do this by a program of the container, which does not run: start it, or unpause it, first"
    )]
    NotRunning,
    /// The container has no program that does it.
    #[error("the engine can only do this by the program `{0}`, which the container does not have: make a new image")]
    NoProgram(String),
    /// The program could not do it.
    #[error("the container's program could not do it: {0}")]
    Program(String),
    /// Whoever sent it went away, or was too slow.
    #[error("the file did not arrive whole: send it again")]
    Incomplete,
    /// Whoever downloads went away, or took nothing for too long.
    #[error("whoever asked for it did not wait for its end")]
    Left,
    /// The hub ends.
    #[error("the hub stops: try again in a moment")]
    HubStops,
}

impl From<PathError> for ApiError {
    fn from(error: PathError) -> Self {
        Self::bad_request("invalid_path", sentence(&error))
    }
}

impl From<FileError> for ApiError {
    fn from(error: FileError) -> Self {
        let message = sentence(&error);
        match error {
            FileError::Engine(error) => error.into(),
            FileError::Archive(_) => Self::new(StatusCode::BAD_GATEWAY, "engine_cut", message),
            FileError::NoSuchFile => Self::new(StatusCode::NOT_FOUND, "no_such_file", message),
            FileError::Exists => Self::conflict("file_exists", message),
            FileError::OtherKind => Self::conflict("file_other_kind", message),
            FileError::NotAFolder => Self::conflict("not_a_folder", message),
            FileError::NotAFile => Self::conflict("not_a_file", message),
            FileError::IsLink(target) => {
                Self::conflict("file_is_link", message).with_details(json!({ "target": target }))
            }
            FileError::IsRoot => Self::conflict("file_is_root", message),
            FileError::Mounted => Self::conflict("file_is_mounted", message),
            FileError::TooLarge => Self::conflict("file_too_large", message),
            FileError::Length => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "upload_too_large", message),
            FileError::NotText => Self::conflict("not_text", message),
            FileError::Changed => Self::conflict("file_changed", message),
            FileError::NotRunning => Self::conflict("needs_running", message),
            FileError::NoProgram(_) => Self::conflict("needs_program", message),
            FileError::Program(_) => Self::conflict("program_failed", message),
            FileError::Incomplete | FileError::Left => Self::bad_request("transfer_incomplete", message),
            FileError::HubStops => Self::unavailable("hub_stops", message),
        }
    }
}

//! What is shown in terminals and by programs that a hub runs on this host,
//! written down where no hub comes: asciicast v2, a file for each, in the agent's
//! own folder. What is typed is not, but for its echo.

use std::io;
use std::path::{Path, PathBuf};

use tokio::fs::{self, DirBuilder, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::Instant;
use windflow_protocol::asciicast::{self, Decoder, Head};

use crate::host;

/// Where recordings are, below the agent's own folder.
const FOLDER: &str = "recordings";
/// Most bytes of one: whoever has more shown is cut off.
const RECORDING_MAX: u64 = 64 * 1024 * 1024;
/// Most bytes of all: nothing begins from then on, until root removed some.
const ALL_MAX: u64 = 1024 * 1024 * 1024;
/// The least that a file takes of a disk, in bytes, as it is counted here.
const FILE_MIN: u64 = 4096;
/// Most recordings of one program or container that begin in one second.
const NAMES_MAX: u32 = 100;
/// Characters of an id in a file's name.
const ID_SHOWN: usize = 12;
/// Columns and rows until somebody says others.
pub(super) const SIZE: (u16, u16) = (80, 24);
const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// What is written down.
#[derive(Debug)]
pub(super) struct Subject {
    /// The id of the program or the container.
    pub(super) id: String,
    /// For people.
    pub(super) title: String,
    /// What runs, where that is known.
    pub(super) command: Option<String>,
    /// Whether it has a terminal: the engine frames what others print.
    pub(super) has_terminal: bool,
}

/// A recording that goes on. One that was never [kept](Self::kept) is removed.
#[derive(Debug)]
pub(super) struct Recording {
    file: File,
    path: PathBuf,
    is_kept: bool,
    begun: Instant,
    left: u64,
    size: watch::Receiver<(u16, u16)>,
    frames: Option<Frames>,
    decoder: Decoder,
}

impl Recording {
    /// Begins one in the agent's own folder.
    pub(super) async fn begin(state: &Path, subject: Subject, size: watch::Receiver<(u16, u16)>) -> io::Result<Self> {
        let folder = state.join(FOLDER);
        DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(&folder).await?;
        if taken(&folder).await? + RECORDING_MAX > ALL_MAX {
            let advice = format!("{} is full: take old recordings away", folder.display());
            return Err(io::Error::new(io::ErrorKind::StorageFull, advice));
        }
        let now = host::clock_micros() / 1_000_000;
        let (file, path) = create(&folder, now, &subject.id).await?;
        let (columns, rows) = *size.borrow();
        let head = Head::new((columns.into(), rows.into()), now, None, subject.title).command(subject.command);
        let frames = (!subject.has_terminal).then(Frames::default);
        let (begun, left, decoder) = (Instant::now(), RECORDING_MAX, Decoder::default());
        let mut recording = Self { file, path, is_kept: false, begun, left, size, frames, decoder };
        recording.append(&head.line()).await?;
        Ok(recording)
    }

    /// The same, which stays.
    pub(super) fn kept(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// Writes down what the engine sent. It is to be passed on afterwards only,
    /// and nothing after an error.
    pub(super) async fn write(&mut self, sent: &[u8]) -> io::Result<()> {
        let written = self.try_write(sent).await;
        if let Err(error) = &written {
            tracing::error!(%error, "what runs here cannot be recorded any more, and the hub is cut off from it");
        }
        written
    }

    async fn try_write(&mut self, sent: &[u8]) -> io::Result<()> {
        let at = self.begun.elapsed();
        let mut lines = String::new();
        if self.size.has_changed().unwrap_or(false) {
            let (columns, rows) = *self.size.borrow_and_update();
            lines += &asciicast::resize(at, columns, rows);
        }
        let text = match &mut self.frames {
            Some(frames) => self.decoder.push(&frames.content(sent)),
            None => self.decoder.push(sent),
        };
        if !text.is_empty() {
            lines += &asciicast::output(at, &text);
        }
        self.append(&lines).await
    }

    /// Writes down what is left, and waits until all is on the disk.
    pub(super) async fn end(mut self) -> io::Result<()> {
        let rest = self.decoder.finish();
        if !rest.is_empty() {
            let line = asciicast::output(self.begun.elapsed(), &rest);
            self.append(&line).await?;
        }
        self.file.sync_all().await
    }

    async fn append(&mut self, lines: &str) -> io::Result<()> {
        let left = self.left.checked_sub(lines.len() as u64);
        self.left = left.ok_or_else(|| io::Error::new(io::ErrorKind::StorageFull, "the recording is full"))?;
        self.file.write_all(lines.as_bytes()).await?;
        self.file.flush().await
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "an empty recording stays");
        }
    }
}

/// A file that was not there before.
async fn create(folder: &Path, now: i64, id: &str) -> io::Result<(File, PathBuf)> {
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).take(ID_SHOWN).collect();
    for number in 0..NAMES_MAX {
        let path = folder.join(format!("{now}-{id}-{number}.cast"));
        match OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&path).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return Ok((opened?, path)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// The bytes of all recordings.
async fn taken(folder: &Path) -> io::Result<u64> {
    let mut entries = fs::read_dir(folder).await?;
    let mut taken = 0;
    while let Some(entry) = entries.next_entry().await? {
        taken += entry.metadata().await.map_or(0, |found| found.len().max(FILE_MIN));
    }
    Ok(taken)
}

/// Takes apart the frames in which an engine sends what a program without a
/// terminal prints: a head of eight bytes, the last four of which are the length.
#[derive(Debug, Default)]
struct Frames {
    head: Vec<u8>,
    left: usize,
}

impl Frames {
    const HEAD: usize = 8;

    fn content(&mut self, sent: &[u8]) -> Vec<u8> {
        let (mut content, mut rest) = (Vec::with_capacity(sent.len()), sent);
        while !rest.is_empty() {
            let wanted = if self.left == 0 { Self::HEAD - self.head.len() } else { self.left };
            let (piece, after) = rest.split_at(rest.len().min(wanted));
            rest = after;
            if self.left > 0 {
                content.extend_from_slice(piece);
                self.left -= piece.len();
                continue;
            }
            self.head.extend_from_slice(piece);
            if let [_, _, _, _, length @ ..] = self.head.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.left = u32::from_be_bytes(length) as usize;
                self.head.clear();
            }
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn subject(has_terminal: bool) -> Subject {
        let (id, title) = ("ab/../cdef0123456789".to_owned(), "sh in web".to_owned());
        Subject { id, title, command: Some("sh".to_owned()), has_terminal }
    }

    fn files(state: &Path) -> Vec<PathBuf> {
        let mut found: Vec<_> =
            std::fs::read_dir(state.join(FOLDER)).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn what_is_shown_is_written_down_for_root_alone() {
        let state = tempfile::tempdir().unwrap();
        let (sizes, size) = watch::channel(SIZE);
        let mut recording = Recording::begin(state.path(), subject(true), size).await.unwrap().kept();
        recording.write("caf\u{e9}".as_bytes().split_at(4).0).await.unwrap();
        sizes.send((132, 43)).unwrap();
        recording.write("\u{e9}!".as_bytes().split_at(1).1).await.unwrap();
        recording.end().await.unwrap();
        let [file] = &files(state.path())[..] else { panic!("there is one") };
        assert!(file.file_name().unwrap().to_str().unwrap().ends_with("-abcdef012345-0.cast"), "{file:?}");
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        let text = std::fs::read_to_string(file).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (&lines[0]["version"], &lines[0]["title"], &lines[0]["width"]),
            (&2.into(), &"sh in web".into(), &80.into())
        );
        assert_eq!(lines[1..].iter().map(|line| line[1].as_str().unwrap()).collect::<String>(), "oro");
        let shown: String =
            lines[1..].iter().filter(|line| line[1] == "o").map(|line| line[2].as_str().unwrap()).collect();
        assert_eq!(shown, "caf\u{e9}!");
    }

    #[tokio::test]
    async fn one_that_never_began_is_removed_and_a_second_of_one_second_is_another_file() {
        let state = tempfile::tempdir().unwrap();
        let begin = async || Recording::begin(state.path(), subject(true), watch::channel(SIZE).1).await.unwrap();
        drop(begin().await);
        assert!(files(state.path()).is_empty());
        let both = (begin().await.kept(), begin().await.kept());
        drop(both);
        assert_eq!(files(state.path()).len(), 2);
    }

    #[tokio::test]
    async fn where_there_is_no_room_nothing_begins_and_what_is_full_ends() {
        let state = tempfile::tempdir().unwrap();
        let mut recording = Recording::begin(state.path(), subject(true), watch::channel(SIZE).1).await.unwrap().kept();
        recording.left = 30;
        recording.write(b"short").await.unwrap();
        assert_eq!(recording.write(b"too long for what is left").await.unwrap_err().kind(), io::ErrorKind::StorageFull);
        let large = std::fs::File::create(state.path().join(FOLDER).join("old.cast")).unwrap();
        large.set_len(ALL_MAX).unwrap();
        let refused = Recording::begin(state.path(), subject(true), watch::channel(SIZE).1).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn frames_are_taken_apart_wherever_they_were_cut() {
        let sent = b"\x01\0\0\0\0\0\0\x05hello\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x02 x";
        for size in 1..=sent.len() {
            let mut frames = Frames::default();
            let content: Vec<u8> = sent.chunks(size).flat_map(|piece| frames.content(piece)).collect();
            assert_eq!(content, b"hello x", "in pieces of {size}");
        }
    }
}

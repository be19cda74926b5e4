//! What is in a folder.
//!
//! An engine has no way to list one: its archive of `/usr` is all of `/usr`. So
//! a container that runs is asked by its own `find` and `stat`, which costs the
//! same for every folder; their words are the same in GNU's and in busybox's.
//! Where it does not run, or has no such programs, the archive is read for a
//! while, only for what it says of the folder's own things; a folder with more
//! than that in it is shown as far as it was seen, and marked.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::engine::{Host, Things};
use super::model::{FileEntry, FileError, FileKind, Folder, Mode, SeenBy, moment};
use super::path::FilePath;
use super::tar::{Event, Header};

/// Most things of a folder that are shown.
const ENTRIES_MAX: usize = 10_000;
/// A program must have looked through the folder within this.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(15);
/// How long an archive is read.
const ARCHIVE_DEADLINE: Duration = Duration::from_secs(10);
/// How much of it.
const ARCHIVE_MAX: u64 = 256 * 1024 * 1024;
/// How `stat` is to describe each thing. No name has a slash, so nothing that a
/// container names its files can be taken for another line.
const FORMAT: &str = "%f/%s/%Y/%u/%g/%n/";

impl Host {
    /// What is in a folder.
    ///
    /// # Errors
    /// [`FileError`]; a link is not followed.
    pub async fn list(&self, path: &FilePath) -> Result<Folder, FileError> {
        if let Some(folder) = self.list_by_program(path).await? {
            return Ok(folder);
        }
        let opened = self.open(path).await?;
        match opened.header.kind.into() {
            FileKind::Folder => {}
            FileKind::Link => return Err(FileError::IsLink(opened.target)),
            FileKind::File | FileKind::Special => return Err(FileError::NotAFolder),
        }
        let depth = opened.header.parts().count();
        let (found, is_cut) = read_archive(opened.things, depth).await?;
        let entries = found.into_iter().map(|(name, header)| FileEntry::of(&name, &header)).collect();
        Ok(Folder { path: path.to_string(), entries, is_cut, seen_by: SeenBy::Archive })
    }

    /// The same by the container's own programs; `None` where they cannot tell.
    async fn list_by_program(&self, path: &FilePath) -> Result<Option<Folder>, FileError> {
        let command = ["find", path.as_str(), "-maxdepth", "1", "-exec", "stat", "-c", FORMAT, "{}", "+"];
        let ran = match self.run(&command, PROGRAM_DEADLINE).await {
            Ok(ran) => ran,
            Err(FileError::NotRunning | FileError::NoProgram(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(seen) = parse(&ran.output, path) else {
            return Ok(None);
        };
        match seen.own {
            FileKind::Folder => {}
            // The engine knows where it leads, and its error says so.
            FileKind::Link => return Ok(None),
            FileKind::File | FileKind::Special => return Err(FileError::NotAFolder),
        }
        let is_cut = ran.is_cut || seen.is_cut;
        Ok(Some(Folder { path: path.to_string(), entries: seen.entries, is_cut, seen_by: SeenBy::Program }))
    }
}

/// The things of one folder in its archive, by name, and whether there may be
/// more.
async fn read_archive(mut things: Things, depth: usize) -> Result<(BTreeMap<String, Header>, bool), FileError> {
    let deadline = Instant::now() + ARCHIVE_DEADLINE;
    let mut found = BTreeMap::new();
    loop {
        let Ok(event) = timeout_at(deadline, things.next()).await else {
            return Ok((found, true));
        };
        match event? {
            Event::Header(header) => {
                let parts: Vec<&str> = header.parts().collect();
                if let [name] = parts[depth.min(parts.len())..] {
                    found.insert(name.to_owned(), header.clone());
                }
            }
            Event::Data(_) => {}
            Event::End => return Ok((found, false)),
        }
        if found.len() >= ENTRIES_MAX || things.received > ARCHIVE_MAX {
            return Ok((found, true));
        }
    }
}

/// What a program saw.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// What the folder itself is.
    own: FileKind,
    entries: Vec<FileEntry>,
    is_cut: bool,
}

/// Reads what `stat` printed; `None` where it says nothing of the folder.
fn parse(output: &[u8], folder: &FilePath) -> Option<Seen> {
    let text = String::from_utf8_lossy(output);
    let (prefix, mut rest) = (folder.prefix(), text.as_ref());
    let (mut own, mut entries, mut is_cut) = (None, BTreeMap::new(), false);
    while let Some((entry, after)) = described(rest) {
        let (name, after) = match after.strip_prefix(prefix.as_str()).and_then(|after| after.split_once("/\n")) {
            Some((name, after)) if !name.is_empty() && !name.contains('/') => (name, after),
            Some(_) | None => {
                // The folder itself.
                let after = after.strip_prefix(folder.as_str())?.strip_prefix("/\n")?;
                own = Some(entry.kind);
                rest = after;
                continue;
            }
        };
        rest = after;
        if entries.len() >= ENTRIES_MAX {
            is_cut = true;
            break;
        }
        entries.insert(name.to_owned(), FileEntry { name: name.to_owned(), ..entry });
    }
    Some(Seen { own: own?, entries: entries.into_values().collect(), is_cut })
}

/// One thing without its name, and what is printed after it.
fn described(text: &str) -> Option<(FileEntry, &str)> {
    let mut fields = text.splitn(6, '/');
    let mode = u32::from_str_radix(fields.next()?, 16).ok()?;
    let size = fields.next()?.parse().ok()?;
    let modified: i64 = fields.next()?.parse().ok()?;
    let (owner, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let kind = match mode >> 12 {
        0o10 => FileKind::File,
        0o04 => FileKind::Folder,
        0o12 => FileKind::Link,
        _ => FileKind::Special,
    };
    let (mode, modified_at) = (Mode(mode & 0o7777).to_string(), moment(modified));
    let entry = FileEntry { name: String::new(), kind, size, mode, owner, group, modified_at, target: None };
    fields.next().map(|after| (entry, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> FilePath {
        FilePath::parse(text).unwrap()
    }

    fn names(seen: &Seen) -> Vec<(&str, FileKind)> {
        seen.entries.iter().map(|entry| (entry.name.as_str(), entry.kind)).collect()
    }

    #[test]
    fn what_stat_prints_is_read_with_names_that_try_to_be_more() {
        let printed = "41ed/4096/1750000000/0/0//etc/\n81a4/12/1750000000/1000/7//etc/hosts/\na1ff/7/1/0/0//etc/a b/\n\
                       81a4/1/1/0/0//etc/two\nlines/\n";
        let seen = parse(printed.as_bytes(), &path("/etc")).unwrap();
        assert_eq!(seen.own, FileKind::Folder);
        let wanted = [("a b", FileKind::Link), ("hosts", FileKind::File), ("two\nlines", FileKind::File)];
        assert_eq!(names(&seen), wanted);
        let hosts = &seen.entries[1];
        assert_eq!((hosts.size, hosts.mode.as_str(), hosts.owner, hosts.group), (12, "0644", 1000, 7));
        assert_eq!(hosts.modified_at, moment(1_750_000_000));
    }

    #[test]
    fn the_root_and_what_is_no_folder_are_told_apart() {
        let seen = parse(b"41ed/1/1/0/0///\n41ed/1/1/0/0//bin/\n", &path("/")).unwrap();
        assert_eq!((seen.own, names(&seen)), (FileKind::Folder, vec![("bin", FileKind::Folder)]));
        let seen = parse(b"81a4/1/1/0/0//etc/hosts/\n", &path("/etc/hosts")).unwrap();
        assert_eq!((seen.own, seen.entries.len()), (FileKind::File, 0));
        assert_eq!(parse(b"", &path("/etc")), None);
        assert_eq!(parse(b"find: /etc: No such file\n", &path("/etc")), None);
    }

    #[test]
    fn more_than_is_shown_is_cut() {
        let mut printed = "41ed/1/1/0/0//d/\n".to_owned();
        for number in 0..=ENTRIES_MAX {
            printed.push_str(&format!("81a4/1/1/0/0//d/{number}/\n"));
        }
        let seen = parse(printed.as_bytes(), &path("/d")).unwrap();
        assert!(seen.is_cut && seen.entries.len() == ENTRIES_MAX);
    }
}

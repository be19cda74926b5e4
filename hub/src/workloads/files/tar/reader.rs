//! Reads an archive as its bytes come. It does no I/O and holds at most one
//! block and one long name.

use bytes::{Buf, Bytes};

use super::BLOCK;
use super::header::{Header, Kind};

/// Longest extra header that is read, in bytes: a long name, or a set of
/// attributes.
const EXTRA_MAX: u64 = 64 * 1024;
/// Most extra headers before one thing.
const EXTRAS_MAX: u32 = 8;

/// What stands in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A thing begins.
    Header(Header),
    /// Some of the bytes of the thing that began last.
    Data(Bytes),
    /// The archive is over.
    End,
}

/// The bytes are no archive, or one that no engine writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's archive makes no sense: {0}")]
pub struct TarError(&'static str);

/// Reads one archive.
#[derive(Debug, Default)]
pub struct Reader {
    state: State,
    /// A part of a block.
    block: Vec<u8>,
    /// Attributes for the next thing.
    extra: Extra,
    extras: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Header,
    /// Bytes of a thing, then what fills the block.
    Data {
        left: u64,
        filler: u64,
    },
    /// An extra header of this flag.
    Extra {
        flag: u8,
        left: u64,
        filler: u64,
        text: Vec<u8>,
    },
    End,
}

/// What extra headers say of the next thing.
#[derive(Debug, Default)]
struct Extra {
    name: Option<String>,
    size: Option<u64>,
    owner: Option<u32>,
    group: Option<u32>,
    modified: Option<i64>,
}

impl Reader {
    /// The next event in `bytes`, which are taken as they are read; `None` when
    /// there is no more in them.
    ///
    /// # Errors
    /// [`TarError`].
    pub fn next(&mut self, bytes: &mut Bytes) -> Result<Option<Event>, TarError> {
        loop {
            match &mut self.state {
                State::End => {
                    bytes.clear();
                    return Ok(None);
                }
                State::Data { left, filler } => {
                    if *left > 0 && !bytes.is_empty() {
                        let data = bytes.split_to(take(*left, bytes.len()));
                        *left -= data.len() as u64;
                        return Ok(Some(Event::Data(data)));
                    }
                    if !pass_over(left, filler, bytes) {
                        return Ok(None);
                    }
                    self.state = State::Header;
                }
                State::Extra { flag, left, filler, text } => {
                    let part = bytes.split_to(take(*left, bytes.len()));
                    *left -= part.len() as u64;
                    text.extend_from_slice(&part);
                    if !pass_over(left, filler, bytes) {
                        return Ok(None);
                    }
                    self.extra.add(*flag, text)?;
                    self.state = State::Header;
                }
                State::Header => {
                    let missing = BLOCK - self.block.len();
                    self.block.extend_from_slice(&bytes.split_to(missing.min(bytes.len())));
                    if self.block.len() < BLOCK {
                        return Ok(None);
                    }
                    let block = std::mem::take(&mut self.block);
                    if let Some(event) = self.begin(&block)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }

    fn begin(&mut self, block: &[u8]) -> Result<Option<Event>, TarError> {
        if block.iter().all(|byte| *byte == 0) {
            self.state = State::End;
            return Ok(Some(Event::End));
        }
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        if number(&block[148..156])? != sum {
            return Err(TarError("a header is damaged"));
        }
        let (size, flag) = (number(&block[124..136])?, block[156]);
        if matches!(flag, b'x' | b'g' | b'L' | b'K') {
            self.extras += 1;
            if size > EXTRA_MAX || self.extras > EXTRAS_MAX {
                return Err(TarError("an extra header is too long"));
            }
            self.state = State::Extra { flag, left: size, filler: filler(size), text: Vec::new() };
            return Ok(None);
        }
        self.extras = 0;
        let extra = std::mem::take(&mut self.extra);
        let kind = Kind::of(flag);
        let size = extra.size.unwrap_or(size);
        // Only files have bytes, whatever a header says of a folder or a link.
        let size = if matches!(kind, Kind::File | Kind::Other) { size } else { 0 };
        let header = Header {
            name: extra.name.unwrap_or_else(|| name_of(block)),
            kind,
            size,
            mode: small(&block[100..108])? & 0o7777,
            owner: extra.owner.map_or_else(|| small(&block[108..116]), Ok)?,
            group: extra.group.map_or_else(|| small(&block[116..124]), Ok)?,
            modified: extra
                .modified
                .map_or_else(|| Ok(i64::try_from(number(&block[136..148])?).unwrap_or_default()), Ok)?,
        };
        self.state = State::Data { left: size, filler: filler(size) };
        Ok(Some(Event::Header(header)))
    }
}

impl Extra {
    fn add(&mut self, flag: u8, text: &[u8]) -> Result<(), TarError> {
        match flag {
            b'L' => self.name = Some(text_of(text)),
            b'x' => {
                let mut rest = text;
                while !rest.is_empty() {
                    let (key, value, next) = attribute(rest).ok_or(TarError("an attribute is damaged"))?;
                    self.set(key, value)?;
                    rest = next;
                }
            }
            // What holds for all things, and where links lead: nobody asks.
            _ => {}
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), TarError> {
        let wrong = |_| TarError("an attribute is no number");
        let text = String::from_utf8_lossy(value);
        match key {
            b"path" => self.name = Some(text_of(value)),
            b"size" => self.size = Some(text.parse().map_err(wrong)?),
            b"uid" => self.owner = Some(text.parse().map_err(wrong)?),
            b"gid" => self.group = Some(text.parse().map_err(wrong)?),
            b"mtime" => {
                let whole = text.split('.').next().unwrap_or_default();
                self.modified = Some(whole.parse().map_err(wrong)?);
            }
            _ => {}
        }
        Ok(())
    }
}

/// One attribute, written as `LENGTH KEY=VALUE` and a line's end, and what
/// comes after it.
fn attribute(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = text.iter().take(8).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&text[..space]).ok()?.parse().ok()?;
    let record = text.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &text[length..]))
}

/// Whether all of a thing's bytes and what fills its block have come.
fn pass_over(left: &u64, filler: &mut u64, bytes: &mut Bytes) -> bool {
    if *left > 0 {
        return false;
    }
    let passed = take(*filler, bytes.len());
    bytes.advance(passed);
    *filler -= passed as u64;
    *filler == 0
}

fn take(left: u64, there: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(there)
}

fn filler(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

fn name_of(block: &[u8]) -> String {
    let name = text_of(&block[..100]);
    let prefix = if &block[257..263] == b"ustar\0" { text_of(&block[345..500]) } else { String::new() };
    if prefix.is_empty() { name } else { format!("{prefix}/{name}") }
}

fn text_of(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn small(field: &[u8]) -> Result<u32, TarError> {
    u32::try_from(number(field)?).map_err(|_| TarError("a number is too large"))
}

/// A number in octal digits, or in binary where it needs more.
fn number(field: &[u8]) -> Result<u64, TarError> {
    let wrong = TarError("a number is none");
    if field[0] & 0x80 != 0 {
        let (high, low) = field.split_at(field.len().saturating_sub(8));
        let is_small = high.iter().enumerate().all(|(at, byte)| *byte == if at == 0 { 0x80 } else { 0 });
        if !is_small && !high.is_empty() {
            return Err(wrong);
        }
        let low = low.iter().enumerate().map(|(at, byte)| if high.is_empty() && at == 0 { byte & 0x7f } else { *byte });
        return Ok(low.fold(0, |number, byte| number << 8 | u64::from(byte)));
    }
    let digits: Vec<u8> = field.iter().copied().filter(|byte| !matches!(byte, b' ' | 0)).collect();
    if !digits.iter().all(|digit| (b'0'..=b'7').contains(digit)) {
        return Err(wrong);
    }
    Ok(digits.iter().fold(0, |number, digit| number << 3 | u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::writer::{END, header_of, padding};
    use super::*;

    fn header(name: &str, kind: Kind, size: u64) -> Header {
        Header { name: name.to_owned(), kind, size, mode: 0o640, owner: 70_000, group: 7, modified: 1_750_000_000 }
    }

    /// All events of an archive that comes in pieces of `step` bytes; bytes of
    /// one thing are one event.
    fn events(archive: &[u8], step: usize) -> Result<Vec<Event>, TarError> {
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        for piece in archive.chunks(step.max(1)) {
            let mut bytes = Bytes::copy_from_slice(piece);
            while let Some(event) = reader.next(&mut bytes)? {
                match (found.last_mut(), event) {
                    (Some(Event::Data(data)), Event::Data(more)) => *data = [&data[..], &more[..]].concat().into(),
                    (_, event) => found.push(event),
                }
            }
        }
        Ok(found)
    }

    fn archive(things: &[(Header, &[u8])]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (header, data) in things {
            archive.extend(header_of(header));
            archive.extend_from_slice(data);
            archive.extend_from_slice(padding(data.len() as u64));
        }
        archive.extend_from_slice(&END);
        archive
    }

    #[test]
    fn what_is_written_is_read_in_pieces_of_any_size() {
        let long = format!("folder/{}/ü.txt", "n".repeat(180));
        let folder = header("folder/", Kind::Folder, 0);
        let (file, empty) = (header(&long, Kind::File, 700), header("folder/empty", Kind::File, 0));
        let data = vec![b'x'; 700];
        let archive = archive(&[(folder.clone(), b""), (file.clone(), &data), (empty.clone(), b"")]);
        let wanted = vec![
            Event::Header(folder),
            Event::Header(file),
            Event::Data(data.into()),
            Event::Header(empty),
            Event::End,
        ];
        for step in [1, 511, 512, 513, 100_000] {
            assert_eq!(events(&archive, step).unwrap(), wanted, "in pieces of {step}");
        }
    }

    #[test]
    fn a_damaged_header_and_an_endless_name_are_refused() {
        let mut damaged = archive(&[(header("file", Kind::File, 0), b"")]);
        damaged[0] ^= 1;
        assert_eq!(events(&damaged, 512), Err(TarError("a header is damaged")));
        let mut endless = header_of(&header("x", Kind::File, EXTRA_MAX + 1));
        endless[156] = b'L';
        let sum: u32 = endless
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) })
            .sum();
        endless[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(events(&endless, 512), Err(TarError("an extra header is too long")));
    }

    #[test]
    fn large_numbers_are_binary() {
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1]).unwrap(), (2 << 32) + 1);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 1, 0x11, 0x70]).unwrap(), 70_000);
        assert!(number(&[0xff; 12]).is_err());
        assert!(number(b"0000x00\0").is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_ends_without_a_panic(archive in proptest::collection::vec(any::<u8>(), 0..2048), step in 1..700usize) {
            events(&archive, step).ok();
        }

        #[test]
        fn attributes_never_panic(text in proptest::collection::vec(any::<u8>(), 0..64)) {
            Extra::default().add(b'x', &text).ok();
        }
    }
}

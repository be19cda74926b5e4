//! The envelope of a backup: a readable head, and a body that opens only with
//! the passphrase, whole and unchanged.
//!
//! ```text
//! "WFBACKUP" · format (1 byte, 1) · length of the header (4, big-endian) · header (JSON)
//! chunks of 64 KiB, the last one shorter or as long: AES-256-GCM ciphertext · tag (16)
//! ```
//! A chunk's nonce is seven zeros, its number (4, big-endian) and 1 for the
//! last chunk, 0 for the others; its additional data is the SHA-256 of all that
//! stands before the first chunk. So a chunk cannot be changed, moved, left out
//! or added, and a file that was cut off is noticed. The key is used for one
//! file only: scrypt makes it of the passphrase and a fresh salt.

use std::io::{self, ErrorKind, Read};

use data_encoding::BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::clock::{Random, Timestamp};
use crate::vault::KeyCost;

const MAGIC: &[u8; 8] = b"WFBACKUP";
const FORMAT: u8 = 1;
/// Longest header that is read, in bytes.
const HEADER_MAX: u32 = 4096;
/// Bytes of plaintext in a chunk.
const CHUNK: usize = 64 * 1024;
const TAG_LEN: usize = 16;
/// Largest cost that a file may ask for: 256 MiB of memory.
const LOG_N_MAX: u8 = 18;

/// What can be known of a backup without the passphrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Which hub it is of.
    pub hub: Uuid,
    /// The version of the hub that made it.
    pub hub_version: String,
    /// The newest migration of its database.
    pub schema: i64,
    /// Which moment it holds.
    pub created_at: Timestamp,
    kdf: Kdf,
}

/// How the key comes from the passphrase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kdf {
    name: String,
    log_n: u8,
    salt: String,
}

impl Header {
    /// The head of a new backup, with a salt of its own.
    pub fn new(hub: Uuid, schema: i64, created_at: Timestamp, cost: KeyCost) -> Self {
        let salt = BASE64.encode(&Random::default().bytes::<32>());
        let kdf = Kdf { name: "scrypt".to_owned(), log_n: cost.log_n(), salt };
        Self { hub, hub_version: env!("CARGO_PKG_VERSION").to_owned(), schema, created_at, kdf }
    }

    fn encode(&self) -> Vec<u8> {
        let header = serde_json::to_vec(self).expect("a header is JSON");
        let length = u32::try_from(header.len()).expect("a header is short");
        [MAGIC.as_slice(), &[FORMAT], &length.to_be_bytes(), &header].concat()
    }
}

/// Why a backup does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be read.
    #[error("the backup cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("the file is not a backup of a Windflow hub")]
    Foreign,
    /// A newer hub made it.
    #[error("the backup has format {0}, which this hub does not know: use the hub that made it, or a newer one")]
    Format(u8),
    /// Its head is damaged.
    #[error("the head of the backup is damaged")]
    Header,
}

/// A key for one file.
pub struct FileKey {
    key: LessSafeKey,
    context: [u8; 32],
}

impl FileKey {
    /// Derives the key. Slow by intent.
    fn derive(head: &[u8], header: &Header, passphrase: &SecretString) -> Result<Self, OpenError> {
        let Kdf { name, log_n, salt } = &header.kdf;
        if name != "scrypt" || !(1..=LOG_N_MAX).contains(log_n) {
            return Err(OpenError::Header);
        }
        let salt = BASE64.decode(salt.as_bytes()).map_err(|_| OpenError::Header)?;
        let params = scrypt::Params::new(*log_n, 8, 1).map_err(|_| OpenError::Header)?;
        let mut key = Zeroizing::new([0; 32]);
        let passphrase = passphrase.expose_secret().as_bytes();
        scrypt::scrypt(passphrase, &salt, &params, key.as_mut_slice()).expect("32 bytes are a valid length");
        let unbound = UnboundKey::new(&AES_256_GCM, key.as_slice()).expect("32 bytes are an AES-256 key");
        let context = digest(&SHA256, head).as_ref().try_into().expect("SHA-256 has 32 bytes");
        Ok(Self { key: LessSafeKey::new(unbound), context })
    }

    fn nonce(number: u32, place: Place) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        nonce[7..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = match place {
            Place::Middle => 0,
            Place::Last => 1,
        };
        Nonce::assume_unique_for_key(nonce)
    }
}

impl std::fmt::Debug for FileKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileKey([redacted])")
    }
}

/// Whether more chunks follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Middle,
    Last,
}

/// Turns plaintext into the file.
#[derive(Debug)]
pub struct Sealer {
    key: FileKey,
    number: u32,
    waiting: Zeroizing<Vec<u8>>,
    sealed: Vec<u8>,
}

impl Sealer {
    /// Begins a file. Slow by intent: it derives the key.
    pub fn new(header: &Header, passphrase: &SecretString) -> Self {
        let head = header.encode();
        let key = FileKey::derive(&head, header, passphrase).expect("our own header is valid");
        Self { key, number: 0, waiting: Zeroizing::new(Vec::with_capacity(CHUNK)), sealed: head }
    }

    /// Adds plaintext.
    pub fn push(&mut self, mut plain: &[u8]) {
        while self.waiting.len() + plain.len() > CHUNK {
            let (now, later) = plain.split_at(CHUNK - self.waiting.len());
            self.waiting.extend_from_slice(now);
            self.seal(Place::Middle);
            plain = later;
        }
        self.waiting.extend_from_slice(plain);
    }

    /// What is ready to be written; empty while a chunk is not full.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sealed)
    }

    /// Ends the file and gives the rest of it.
    pub fn finish(mut self) -> Vec<u8> {
        self.seal(Place::Last);
        self.sealed
    }

    fn seal(&mut self, place: Place) {
        let nonce = FileKey::nonce(self.number, place);
        let chunk = &mut self.waiting;
        let tag = self.key.key.seal_in_place_separate_tag(nonce, Aad::from(self.key.context), chunk);
        let tag = tag.expect("a chunk is far below the limit of AES-GCM");
        self.sealed.extend_from_slice(chunk);
        self.sealed.extend_from_slice(tag.as_ref());
        self.waiting.zeroize();
        self.number = self.number.checked_add(1).expect("a backup is smaller than 256 TiB");
    }
}

/// Turns the file into plaintext. An error while reading means that the file
/// is not the one that was written, or the passphrase not the one it was
/// written with.
#[derive(Debug)]
pub struct Opener<R> {
    source: R,
    key: FileKey,
    number: u32,
    ahead: Vec<u8>,
    plain: Zeroizing<Vec<u8>>,
    at: usize,
    ended: bool,
}

impl<R: Read> Opener<R> {
    /// Reads the head and derives the key. Slow by intent.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn new(mut source: R, passphrase: &SecretString) -> Result<(Header, Self), OpenError> {
        let (head, header) = read_head(&mut source)?;
        let key = FileKey::derive(&head, &header, passphrase)?;
        let ahead = read_chunk(&mut source)?;
        let plain = Zeroizing::new(Vec::new());
        Ok((header, Self { source, key, number: 0, ahead, plain, at: 0, ended: false }))
    }

    fn open_next(&mut self) -> io::Result<()> {
        let next = read_chunk(&mut self.source)?;
        let place = if next.is_empty() { Place::Last } else { Place::Middle };
        let mut chunk = Zeroizing::new(std::mem::replace(&mut self.ahead, next));
        let nonce = FileKey::nonce(self.number, place);
        let opened = self.key.key.open_in_place(nonce, Aad::from(self.key.context), &mut chunk);
        let length = match (opened, self.number) {
            (Ok(plain), _) => plain.len(),
            (Err(_), 0) => return Err(damage("the passphrase is wrong, or the backup is damaged")),
            (Err(_), _) => return Err(damage("the backup is damaged or was cut off: use another one")),
        };
        chunk.truncate(length);
        (self.plain, self.at, self.ended) = (chunk, 0, place == Place::Last);
        self.number = self.number.checked_add(1).ok_or_else(|| damage("the backup is longer than it can be"))?;
        Ok(())
    }
}

impl<R: Read> Read for Opener<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if self.ended {
                return Ok(0);
            }
            self.open_next()?;
        }
        let length = into.len().min(self.plain.len() - self.at);
        into[..length].copy_from_slice(&self.plain[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

/// The head as bytes, and what it says.
pub fn read_head(source: &mut impl Read) -> Result<(Vec<u8>, Header), OpenError> {
    let mut start = [0; MAGIC.len() + 1 + 4];
    source.read_exact(&mut start).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => OpenError::Foreign,
        _ => OpenError::Io(error),
    })?;
    if start[..MAGIC.len()] != *MAGIC {
        return Err(OpenError::Foreign);
    }
    if start[MAGIC.len()] != FORMAT {
        return Err(OpenError::Format(start[MAGIC.len()]));
    }
    let length = u32::from_be_bytes(start[MAGIC.len() + 1..].try_into().expect("four bytes"));
    if length > HEADER_MAX {
        return Err(OpenError::Header);
    }
    let mut header = vec![0; length as usize];
    source.read_exact(&mut header).map_err(|_| OpenError::Header)?;
    let parsed = serde_json::from_slice(&header).map_err(|_| OpenError::Header)?;
    Ok(([start.as_slice(), &header].concat(), parsed))
}

/// The next chunk as it stands in the file; empty at its end.
fn read_chunk(source: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(CHUNK + TAG_LEN);
    source.take((CHUNK + TAG_LEN) as u64).read_to_end(&mut chunk)?;
    Ok(chunk)
}

fn damage(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase() -> SecretString {
        "correct horse battery staple".into()
    }

    fn sealed(plain: &[u8]) -> Vec<u8> {
        let created_at = Timestamp::from_micros(1).unwrap();
        let header = Header::new(Uuid::nil(), 2, created_at, KeyCost::Cheap);
        let mut sealer = Sealer::new(&header, &passphrase());
        let mut file = Vec::new();
        for part in plain.chunks(10_007) {
            sealer.push(part);
            file.extend(sealer.take());
        }
        file.extend(sealer.finish());
        file
    }

    fn opened(file: &[u8]) -> Result<Vec<u8>, String> {
        let (_, mut opener) = Opener::new(file, &passphrase()).map_err(|error| error.to_string())?;
        let mut plain = Vec::new();
        opener.read_to_end(&mut plain).map_err(|error| error.to_string())?;
        Ok(plain)
    }

    #[test]
    fn what_was_sealed_opens_whatever_its_length() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 77] {
            let plain: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert!(opened(&sealed(&plain)).unwrap() == plain, "{length} bytes");
        }
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_does_not_open() {
        let file = sealed(&vec![7; 2 * CHUNK + 5]);
        let chunk = CHUNK + TAG_LEN;
        let body = file.len() - 2 * chunk - 5 - TAG_LEN;
        for kept in [0, 5, 12, body, body + 1, body + chunk, body + 2 * chunk, file.len() - 1] {
            assert!(opened(&file[..kept]).is_err(), "{kept} bytes");
        }
        assert!(opened(&file).is_ok());
    }

    #[test]
    fn a_file_with_any_part_changed_moved_or_added_does_not_open() {
        let file = sealed(&vec![7; 2 * CHUNK + 5]);
        let chunk = CHUNK + TAG_LEN;
        let body = file.len() - 2 * chunk - 5 - TAG_LEN;
        for at in (0..body).chain([body, body + chunk, file.len() - 1]) {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(opened(&changed).is_err(), "byte {at}");
        }
        let mut swapped = file.clone();
        swapped[body..body + chunk].copy_from_slice(&file[body + chunk..body + 2 * chunk]);
        swapped[body + chunk..body + 2 * chunk].copy_from_slice(&file[body..body + chunk]);
        assert!(opened(&swapped).is_err());
        assert!(opened(&[file.as_slice(), b"x"].concat()).is_err());
    }

    #[test]
    fn another_passphrase_opens_nothing_and_is_told_so() {
        let file = sealed(b"secret");
        let (_, mut opener) = Opener::new(file.as_slice(), &"another passphrase".into()).unwrap();
        let error = opener.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("passphrase"), "{error}");
        assert!(!file.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn a_file_that_asks_for_too_much_memory_is_refused() {
        let created_at = Timestamp::from_micros(1).unwrap();
        let mut header = Header::new(Uuid::nil(), 2, created_at, KeyCost::Cheap);
        header.kdf.log_n = 40;
        let file = header.encode();
        assert!(matches!(Opener::new(file.as_slice(), &passphrase()), Err(OpenError::Header)));
    }

    #[test]
    fn something_else_is_told_from_a_newer_format() {
        assert!(matches!(read_head(&mut &b"PK\x03\x04 no backup at all"[..]), Err(OpenError::Foreign)));
        let newer = [MAGIC.as_slice(), &[9, 0, 0, 0, 0]].concat();
        assert!(matches!(read_head(&mut newer.as_slice()), Err(OpenError::Format(9))));
    }
}

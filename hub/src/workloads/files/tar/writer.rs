//! Writes the headers of an archive; what stands between them is the caller's
//! to stream.

use super::BLOCK;
use super::header::{Header, Kind};

/// What an archive ends with.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
const FILLER: [u8; BLOCK] = [0; BLOCK];
/// Largest number of eleven octal digits, which a size and a time have.
const OCTAL_11_MAX: u64 = (1 << 33) - 1;
/// Largest number of seven octal digits, which an owner has.
const OCTAL_7_MAX: u64 = (1 << 21) - 1;
/// Longest name without an extra header.
const NAME_MAX: usize = 100;

/// The header's blocks; what does not fit into one stands in an extra header
/// before it.
pub fn header_of(header: &Header) -> Vec<u8> {
    let mut extra = Vec::new();
    if header.name.len() > NAME_MAX || !header.name.is_ascii() {
        extra.extend(attribute("path", &header.name));
    }
    for (key, value) in [("uid", header.owner), ("gid", header.group)] {
        if u64::from(value) > OCTAL_7_MAX {
            extra.extend(attribute(key, &value.to_string()));
        }
    }
    let mut blocks = Vec::new();
    if !extra.is_empty() {
        let about = Header { name: "extra".to_owned(), size: extra.len() as u64, ..header.clone() };
        blocks.extend_from_slice(&block(&about, b'x'));
        blocks.extend_from_slice(&extra);
        blocks.extend_from_slice(padding(extra.len() as u64));
    }
    blocks.extend_from_slice(&block(header, header.kind.flag()));
    blocks
}

/// What fills the last block of a thing with so many bytes.
pub fn padding(size: u64) -> &'static [u8] {
    let over = usize::try_from(size % BLOCK as u64).expect("it is less than a block");
    if over == 0 { &[] } else { &FILLER[over..] }
}

fn block(header: &Header, flag: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let name: Vec<u8> = header.name.bytes().map(|byte| if byte.is_ascii() { byte } else { b'_' }).collect();
    let end = name.len().min(NAME_MAX);
    block[..end].copy_from_slice(&name[..end]);
    let size = if header.kind == Kind::File { header.size } else { 0 };
    let modified = u64::try_from(header.modified).unwrap_or_default();
    for (at, digits, value) in [
        (100, 7, u64::from(header.mode)),
        (108, 7, u64::from(header.owner).min(OCTAL_7_MAX)),
        (116, 7, u64::from(header.group).min(OCTAL_7_MAX)),
        (124, 11, if flag == b'x' { header.size } else { size }.min(OCTAL_11_MAX)),
        (136, 11, modified.min(OCTAL_11_MAX)),
    ] {
        block[at..at + digits].copy_from_slice(format!("{value:0digits$o}").as_bytes());
    }
    block[156] = flag;
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// An attribute begins with its own length, the digits of which count.
fn attribute(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

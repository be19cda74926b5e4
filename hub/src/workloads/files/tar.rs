//! Tar archives as engines write and read them, as streams: what is in them is
//! never held. An engine's archive is somebody else's: everything in it is
//! bounded and checked.

mod header;
mod reader;
mod writer;

pub use header::{Header, Kind};
pub use reader::{Event, Reader, TarError};
pub use writer::{END, header_of, padding};

/// Everything in an archive comes in blocks of so many bytes.
pub const BLOCK: usize = 512;

//! What an archive says of one thing in it.

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with bytes.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// The same file as another of the archive.
    HardLink,
    /// A device.
    Device,
    /// A named pipe.
    Pipe,
    /// Anything else.
    Other,
}

impl Kind {
    pub(super) const fn of(flag: u8) -> Self {
        match flag {
            b'0' | 0 | b'7' => Self::File,
            b'1' => Self::HardLink,
            b'2' => Self::Link,
            b'3' | b'4' => Self::Device,
            b'5' => Self::Folder,
            b'6' => Self::Pipe,
            _ => Self::Other,
        }
    }

    pub(super) const fn flag(self) -> u8 {
        match self {
            Self::File | Self::Other => b'0',
            Self::HardLink => b'1',
            Self::Link => b'2',
            Self::Device => b'3',
            Self::Folder => b'5',
            Self::Pipe => b'6',
        }
    }
}

/// One thing in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its path in the archive, which may begin with `./` and end with a slash.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes that follow.
    pub size: u64,
    /// Its permissions, 12 bits.
    pub mode: u32,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// When it was changed, in seconds since 1970.
    pub modified: i64,
}

impl Header {
    /// The names in its path.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.name.split('/').filter(|part| !part.is_empty() && *part != ".")
    }
}

//! The console's files: what they are, and in which forms they are there. The
//! web build makes the compressed forms and puts them beside the plain ones.

use std::borrow::Cow;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use rust_embed::RustEmbed;

/// Bytes of a digest that name a content: enough for one console.
const TAG_BYTES: usize = 16;

/// The built console. A debug build reads it from its folder each time, a
/// release build has it inside; neither needs it to be there.
#[derive(RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Dist;

/// Where the files come from.
#[derive(Clone, Copy, Debug)]
pub struct Files {
    read: fn(&str) -> Option<Content>,
}

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its bytes.
    pub bytes: Bytes,
    /// Names these bytes and no others.
    pub digest: [u8; 32],
}

/// A file, and what a browser is told of it.
#[derive(Clone, Debug)]
pub struct File {
    name: String,
    /// What it holds, not compressed.
    pub plain: Content,
    /// Its media type.
    pub kind: &'static str,
}

/// A form in which a file may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// Compressed with Brotli.
    Brotli,
    /// Compressed with gzip.
    Gzip,
}

impl Form {
    /// The compressed forms, the smallest first.
    pub const COMPRESSED: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// The form's name in HTTP; `None` for the plain one.
    pub const fn encoding(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
        }
    }

    /// What stands behind the name of a file in this form.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

impl Files {
    /// The files that this program was built with.
    pub const BUILT_IN: Self = Self { read: built_in };

    /// Files for a test.
    #[cfg(test)]
    pub const fn simulated(read: fn(&str) -> Option<Content>) -> Self {
        Self { read }
    }

    /// The file of this name; compressed forms are no files of their own.
    pub fn find(self, name: &str) -> Option<File> {
        let kind = kind(name)?;
        let plain = (self.read)(name)?;
        Some(File { name: name.to_owned(), plain, kind })
    }

    /// A file's content in another form, where that was made.
    pub fn in_form(self, file: &File, form: Form) -> Option<Content> {
        (self.read)(&format!("{}{}", file.name, form.suffix()))
    }
}

impl Content {
    /// The content's name in HTTP, quotes included.
    pub fn tag(&self) -> String {
        format!("\"{}\"", HEXLOWER.encode(&self.digest[..TAG_BYTES]))
    }
}

/// The page that is shown where the console was not built.
pub fn stand_in() -> File {
    let bytes = Bytes::from_static(include_bytes!("missing.html"));
    File {
        name: "missing.html".to_owned(),
        plain: Content { bytes, digest: [0; 32] },
        kind: "text/html; charset=utf-8",
    }
}

fn built_in(name: &str) -> Option<Content> {
    let file = Dist::get(name)?;
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some(Content { bytes, digest: file.metadata.sha256_hash() })
}

/// The media type of a file that a web build makes. Others are not served.
fn kind(name: &str) -> Option<&'static str> {
    let (_, extension) = name.rsplit_once('.')?;
    Some(match extension {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

//! Bytes as text that people can read out, and text from the other end as
//! something that can be shown.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::limits::FACT_TEXT_MAX;

/// The digits and letters of every Windflow credential, none of which looks like
/// another (Crockford's base32).
pub(crate) const ALPHABET: &str = "0123456789abcdefghjkmnpqrstvwxyz";

/// Lowercase Crockford base32 without padding, as in every Windflow credential.
pub fn base32() -> &'static Encoding {
    static ENCODING: LazyLock<Encoding> = LazyLock::new(|| {
        let mut specification = Specification::new();
        specification.symbols.push_str(ALPHABET);
        specification.encoding().expect("the alphabet has 32 distinct symbols")
    });
    &ENCODING
}

/// Cuts a text from a peer to [`FACT_TEXT_MAX`] bytes and drops its control
/// characters.
pub fn sanitize(text: &str) -> String {
    sanitize_to(text, FACT_TEXT_MAX)
}

/// Cuts a text from a peer to `most` bytes and drops its control characters.
pub fn sanitize_to(text: &str, most: usize) -> String {
    let mut clean: String = text.chars().filter(|c| !c.is_control()).collect();
    clean.truncate(clean.floor_char_boundary(most));
    clean
}

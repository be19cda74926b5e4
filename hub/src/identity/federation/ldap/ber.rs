//! The basic encoding rules of ASN.1, as far as LDAP needs them (RFC 4511 §5.1):
//! definite lengths, tags of one byte. What is read is never copied before its
//! length was looked at, and nothing in it can end the hub.

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTETS: u8 = 0x04;
pub const ENUMERATED: u8 = 0x0a;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;

/// Bytes of a length, at most.
const LENGTH_BYTES_MAX: usize = 4;

/// What came is not encoded so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not encoded as LDAP is")]
pub struct BadEncoding;

/// Appends one value.
pub fn put(into: &mut Vec<u8>, tag: u8, content: &[u8]) {
    into.push(tag);
    let length = content.len();
    if length < 0x80 {
        into.extend(u8::try_from(length));
    } else {
        let bytes = length.to_be_bytes();
        let used = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        into.extend(u8::try_from(used.len()).map(|count| 0x80 | count));
        into.extend_from_slice(used);
    }
    into.extend_from_slice(content);
}

/// Appends a number.
pub fn put_number(into: &mut Vec<u8>, tag: u8, number: i32) {
    let bytes = number.to_be_bytes();
    // As few bytes as keep the sign.
    let redundant = |pair: &[u8]| matches!((pair[0], pair[1] & 0x80), (0x00, 0) | (0xff, 0x80));
    let skipped = bytes.windows(2).take_while(|pair| redundant(pair)).count();
    put(into, tag, &bytes[skipped..]);
}

/// Reads values one after another.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads these bytes.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value, whatever it is.
    pub fn any(&mut self) -> Result<(u8, &'a [u8]), BadEncoding> {
        let (&tag, rest) = self.0.split_first().ok_or(BadEncoding)?;
        let (&first, rest) = rest.split_first().ok_or(BadEncoding)?;
        let (length, rest) = match long_form(first)? {
            None => (usize::from(first), rest),
            Some(count) => {
                let (bytes, rest) = rest.split_at_checked(count).ok_or(BadEncoding)?;
                (length_of(bytes), rest)
            }
        };
        let (content, rest) = rest.split_at_checked(length).ok_or(BadEncoding)?;
        self.0 = rest;
        Ok((tag, content))
    }

    /// The next value, which has this tag.
    pub fn one(&mut self, tag: u8) -> Result<&'a [u8], BadEncoding> {
        match self.any()? {
            (found, content) if found == tag => Ok(content),
            _ => Err(BadEncoding),
        }
    }

    /// What is in the next value, which has this tag.
    pub fn within(&mut self, tag: u8) -> Result<Self, BadEncoding> {
        self.one(tag).map(Self)
    }

    /// The next value, a number.
    pub fn number(&mut self, tag: u8) -> Result<i32, BadEncoding> {
        let bytes = self.one(tag)?;
        if bytes.is_empty() || bytes.len() > 4 {
            return Err(BadEncoding);
        }
        let sign = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
        Ok(bytes.iter().fold(sign, |number, byte| (number << 8) | i32::from(*byte)))
    }
}

/// How many bytes of length follow the first one; none where it is the length.
pub fn long_form(first: u8) -> Result<Option<usize>, BadEncoding> {
    match usize::from(first) {
        short if short < 0x80 => Ok(None),
        long if (1..=LENGTH_BYTES_MAX).contains(&(long - 0x80)) => Ok(Some(long - 0x80)),
        _ => Err(BadEncoding),
    }
}

/// The length in these bytes.
pub fn length_of(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for number in [0, 1, 127, 128, 255, 256, 65_536, i32::MAX, -1, -128, -129, i32::MIN] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, INTEGER, number);
            assert_eq!(Reader::new(&bytes).number(INTEGER), Ok(number), "{bytes:?}");
        }
        for length in [0, 1, 127, 128, 255, 256, 70_000] {
            let (mut bytes, content) = (Vec::new(), vec![7; length]);
            put(&mut bytes, OCTETS, &content);
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.one(OCTETS), Ok(content.as_slice()));
            assert!(reader.is_empty());
        }
        let mut bytes = Vec::new();
        put_number(&mut bytes, INTEGER, 128);
        assert_eq!(bytes, [0x02, 0x02, 0x00, 0x80]);
    }

    #[test]
    fn what_is_cut_or_strange_is_refused() {
        let bad: [&[u8]; 9] = [
            &[],
            &[0x30],
            &[0x30, 0x01],
            &[0x30, 0x80],
            &[0x30, 0x82, 0x01],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0xff, 0],
            &[0x02, 0x05, 1, 2, 3, 4, 5],
        ];
        for bytes in bad {
            let number = Reader::new(bytes).number(INTEGER);
            assert!(number.is_err(), "{bytes:?}");
        }
        assert!(Reader::new(&[0x30, 0x80]).any().is_err(), "a length that is not said");
        assert!(Reader::new(&[0x04, 0x00]).one(SEQUENCE).is_err());
    }
}

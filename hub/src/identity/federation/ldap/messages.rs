//! The messages of LDAP (RFC 4511) that the hub sends and reads.

use zeroize::Zeroizing;

use super::ber::{self, BOOLEAN, BadEncoding, ENUMERATED, INTEGER, OCTETS, Reader, SEQUENCE, SET};

const BIND: u8 = 0x60;
const BIND_ANSWER: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const SEARCH_REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENDED_ANSWER: u8 = 0x78;
/// Asks for TLS on a connection that is open.
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";
/// Characters of what a server says in words.
const WORDS_MAX: usize = 200;

/// How far down a search goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The one entry.
    Base,
    /// All below it.
    Below,
}

/// What is looked for.
#[derive(Debug)]
pub struct Search<'a> {
    /// Where.
    pub base: &'a str,
    /// How far down.
    pub depth: Depth,
    /// What, as it is sent.
    pub filter: Vec<u8>,
    /// What of it.
    pub attributes: Vec<&'a str>,
    /// Entries at most.
    pub most: i32,
    /// Seconds at most.
    pub seconds: i32,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub dn: String,
    attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Found {
    /// The values of an attribute, whatever the case of its name.
    pub fn values(&self, attribute: &str) -> impl Iterator<Item = &[u8]> {
        let found = self.attributes.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(attribute));
        found.flat_map(|(_, values)| values.iter().map(Vec::as_slice))
    }

    /// The values of an attribute that are texts.
    pub fn texts(&self, attribute: &str) -> impl Iterator<Item = String> {
        self.values(attribute).filter_map(|value| std::str::from_utf8(value).ok().map(str::to_owned))
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its code: zero is good.
    pub code: i32,
    /// What the server says of it, in a line of plain words.
    pub words: String,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// How a bind ended.
    Bound(Outcome),
    /// Something that was found.
    Entry(Found),
    /// Somewhere else where more might be. It is not gone to.
    Elsewhere,
    /// How a search ended.
    Searched(Outcome),
    /// How an extended request ended, or that the server ends the connection.
    Extended(Outcome),
}

/// A bind with a name and a password; with neither, as nobody.
pub fn bind(id: i32, dn: &str, password: &str) -> Zeroizing<Vec<u8>> {
    let mut request = Zeroizing::new(Vec::with_capacity(dn.len() + password.len() + 32));
    ber::put_number(&mut request, INTEGER, 3);
    ber::put(&mut request, OCTETS, dn.as_bytes());
    ber::put(&mut request, 0x80, password.as_bytes());
    message(id, BIND, &request)
}

/// A search.
pub fn search(id: i32, search: &Search<'_>) -> Zeroizing<Vec<u8>> {
    let mut request = Vec::new();
    ber::put(&mut request, OCTETS, search.base.as_bytes());
    ber::put_number(&mut request, ENUMERATED, if search.depth == Depth::Base { 0 } else { 2 });
    // An alias would lead to somebody else.
    ber::put_number(&mut request, ENUMERATED, 0);
    ber::put_number(&mut request, INTEGER, search.most);
    ber::put_number(&mut request, INTEGER, search.seconds);
    ber::put(&mut request, BOOLEAN, &[0]);
    request.extend_from_slice(&search.filter);
    let mut attributes = Vec::new();
    search.attributes.iter().for_each(|name| ber::put(&mut attributes, OCTETS, name.as_bytes()));
    ber::put(&mut request, SEQUENCE, &attributes);
    message(id, SEARCH, &request)
}

/// The wish to speak TLS from now on.
pub fn start_tls(id: i32) -> Zeroizing<Vec<u8>> {
    let mut request = Vec::new();
    ber::put(&mut request, 0x80, START_TLS);
    message(id, EXTENDED, &request)
}

/// The end.
pub fn unbind(id: i32) -> Zeroizing<Vec<u8>> {
    message(id, UNBIND, &[])
}

fn message(id: i32, tag: u8, request: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut inner = Zeroizing::new(Vec::with_capacity(request.len() + 16));
    ber::put_number(&mut inner, INTEGER, id);
    ber::put(&mut inner, tag, request);
    let mut all = Zeroizing::new(Vec::with_capacity(inner.len() + 8));
    ber::put(&mut all, SEQUENCE, &inner);
    all
}

/// Reads what is in one message: to which request it belongs, and what it says.
pub fn read(content: &[u8]) -> Result<(i32, Answer), BadEncoding> {
    let mut reader = Reader::new(content);
    let id = reader.number(INTEGER)?;
    let (tag, inner) = reader.any()?;
    let answer = match tag {
        BIND_ANSWER => Answer::Bound(outcome(inner)?),
        SEARCH_DONE => Answer::Searched(outcome(inner)?),
        EXTENDED_ANSWER => Answer::Extended(outcome(inner)?),
        SEARCH_REFERENCE => Answer::Elsewhere,
        SEARCH_ENTRY => Answer::Entry(entry(inner)?),
        _ => return Err(BadEncoding),
    };
    Ok((id, answer))
}

fn outcome(inner: &[u8]) -> Result<Outcome, BadEncoding> {
    let mut reader = Reader::new(inner);
    let code = reader.number(ENUMERATED)?;
    reader.one(OCTETS)?;
    let words = String::from_utf8_lossy(reader.one(OCTETS)?).into_owned();
    let words = words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect::<String>();
    Ok(Outcome { code, words: words.trim().to_owned() })
}

fn entry(inner: &[u8]) -> Result<Found, BadEncoding> {
    let mut reader = Reader::new(inner);
    let dn = text(reader.one(OCTETS)?)?;
    let (mut list, mut attributes) = (reader.within(SEQUENCE)?, Vec::new());
    while !list.is_empty() {
        let mut attribute = list.within(SEQUENCE)?;
        let name = text(attribute.one(OCTETS)?)?;
        let (mut set, mut values) = (attribute.within(SET)?, Vec::new());
        while !set.is_empty() {
            values.push(set.one(OCTETS)?.to_vec());
        }
        attributes.push((name, values));
    }
    Ok(Found { dn, attributes })
}

fn text(bytes: &[u8]) -> Result<String, BadEncoding> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| BadEncoding)
}

#[cfg(test)]
pub mod testing {
    use super::*;

    /// What a server sends that ends a request so.
    pub fn ended(id: i32, tag: u8, code: i32) -> Vec<u8> {
        let mut inner = Vec::new();
        ber::put_number(&mut inner, ENUMERATED, code);
        ber::put(&mut inner, OCTETS, b"");
        ber::put(&mut inner, OCTETS, b"some\nwords");
        message(id, tag, &inner).to_vec()
    }

    /// What a server sends that found something.
    pub fn found(id: i32, dn: &str, attributes: &[(&str, &[&str])]) -> Vec<u8> {
        let mut list = Vec::new();
        for (name, values) in attributes {
            let (mut attribute, mut set) = (Vec::new(), Vec::new());
            values.iter().for_each(|value| ber::put(&mut set, OCTETS, value.as_bytes()));
            ber::put(&mut attribute, OCTETS, name.as_bytes());
            ber::put(&mut attribute, SET, &set);
            ber::put(&mut list, SEQUENCE, &attribute);
        }
        let mut inner = Vec::new();
        ber::put(&mut inner, OCTETS, dn.as_bytes());
        ber::put(&mut inner, SEQUENCE, &list);
        message(id, SEARCH_ENTRY, &inner).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::testing::{ended, found};
    use super::*;

    fn content(message: &[u8]) -> &[u8] {
        Reader::new(message).one(SEQUENCE).unwrap()
    }

    #[test]
    fn requests_are_sent_as_the_standard_says() {
        let bound = bind(1, "cn=a", "pw");
        assert_eq!(&bound[..], b"\x30\x12\x02\x01\x01\x60\x0d\x02\x01\x03\x04\x04cn=a\x80\x02pw");
        assert_eq!(&start_tls(1)[..10], b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16\x31");
        assert_eq!(&unbind(3)[..], b"\x30\x05\x02\x01\x03\x42\x00");
    }

    #[test]
    fn answers_are_read() {
        let (id, answer) = read(content(&ended(7, BIND_ANSWER, 49))).unwrap();
        assert_eq!((id, answer), (7, Answer::Bound(Outcome { code: 49, words: "some words".into() })));
        let bytes = found(2, "uid=ada", &[("entryUUID", &["x"]), ("memberOf", &["cn=a", "cn=b"])]);
        let (_, Answer::Entry(entry)) = read(content(&bytes)).unwrap() else { panic!("no entry") };
        assert_eq!(entry.dn, "uid=ada");
        assert_eq!(entry.texts("MEMBEROF").collect::<Vec<_>>(), ["cn=a", "cn=b"]);
        assert_eq!(entry.values("uid").count(), 0);
    }

    proptest! {
        #[test]
        fn no_answer_ends_the_hub(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            read(&bytes).ok();
        }

        #[test]
        fn no_answer_that_is_nearly_right_ends_the_hub(at in 0usize..60, with in any::<u8>(), cut in 0usize..60) {
            let mut bytes = found(2, "uid=ada", &[("entryUUID", &["x"]), ("memberOf", &["cn=a", "cn=b"])]);
            let length = bytes.len();
            bytes[at % length] = with;
            bytes.truncate(length - cut % length);
            read(&bytes).ok();
            read(&bytes[2.min(bytes.len())..]).ok();
        }
    }
}

//! Filters (RFC 4515) with a place for a value.
//!
//! The text is read once, when it is configured, and what somebody types is put
//! into what was read: as a value, which it stays whatever is in it. There is
//! nothing that would have to be escaped, and nothing that could be forgotten.

use super::ber::{self, OCTETS};

/// Longest text of a filter.
const TEXT_MAX: usize = 1024;
/// How deep filters are nested, at most.
const DEPTH_MAX: usize = 12;
/// The rule of Active Directory that follows groups through groups.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const AT_LEAST: u8 = 0xa5;
const AT_MOST: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const APPROXIMATE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// The text is no filter, or has no place for the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no filter with a place for the value")]
pub struct BadFilter;

/// A filter with a place for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Filter);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Filter {
    Every(u8, Vec<Filter>),
    Not(Box<Filter>),
    Compared(u8, String, Value),
    Substrings(String, Vec<(u8, Value)>),
    Present(String),
    Extensible { rule: Option<String>, attribute: Option<String>, value: Value, of_dn: bool },
}

/// Bytes, with the value that is looked for between each two.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value(Vec<Vec<u8>>);

impl Template {
    /// Reads a filter in which `place`, such as `{name}`, stands for the value.
    pub fn parse(text: &str, place: &str) -> Result<Self, BadFilter> {
        let text = text.trim();
        if text.len() > TEXT_MAX || !text.contains(place) {
            return Err(BadFilter);
        }
        let mut parser = Parser { rest: text, place };
        let filter = parser.filter(0)?;
        // In a description of an attribute it would have been refused, so it is in a value.
        if parser.rest.is_empty() { Ok(Self(filter)) } else { Err(BadFilter) }
    }

    /// The groups that somebody is in, also through other groups, as Active
    /// Directory finds them.
    pub fn in_chain() -> Self {
        let value = Value(vec![Vec::new(), Vec::new()]);
        let (rule, attribute) = (Some(IN_CHAIN.to_owned()), Some("member".to_owned()));
        Self(Filter::Extensible { rule, attribute, value, of_dn: false })
    }

    /// The filter as it is sent, with this value.
    pub fn fill(&self, value: &[u8]) -> Vec<u8> {
        let mut into = Vec::new();
        self.0.write(&mut into, value);
        into
    }
}

/// Everything that there is, as it is sent.
pub fn anything() -> Vec<u8> {
    let mut into = Vec::new();
    ber::put(&mut into, PRESENT, b"objectClass");
    into
}

/// Whether this is the name of an attribute.
pub fn is_attribute(text: &str) -> bool {
    let starts = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    starts && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.;".contains(&byte))
}

impl Filter {
    fn write(&self, into: &mut Vec<u8>, looked_for: &[u8]) {
        let mut inner = Vec::new();
        let tag = match self {
            Self::Every(tag, all) => {
                all.iter().for_each(|filter| filter.write(&mut inner, looked_for));
                *tag
            }
            Self::Not(filter) => {
                filter.write(&mut inner, looked_for);
                NOT
            }
            Self::Compared(tag, attribute, value) => {
                ber::put(&mut inner, OCTETS, attribute.as_bytes());
                ber::put(&mut inner, OCTETS, &value.with(looked_for));
                *tag
            }
            Self::Substrings(attribute, parts) => {
                ber::put(&mut inner, OCTETS, attribute.as_bytes());
                let mut list = Vec::new();
                parts.iter().for_each(|(tag, part)| ber::put(&mut list, *tag, &part.with(looked_for)));
                ber::put(&mut inner, ber::SEQUENCE, &list);
                SUBSTRINGS
            }
            Self::Present(attribute) => {
                inner.extend_from_slice(attribute.as_bytes());
                PRESENT
            }
            Self::Extensible { rule, attribute, value, of_dn } => {
                for (tag, text) in [(0x81, rule), (0x82, attribute)] {
                    text.iter().for_each(|text| ber::put(&mut inner, tag, text.as_bytes()));
                }
                ber::put(&mut inner, 0x83, &value.with(looked_for));
                if *of_dn {
                    ber::put(&mut inner, 0x84, &[0xff]);
                }
                EXTENSIBLE
            }
        };
        ber::put(into, tag, &inner);
    }
}

impl Value {
    fn with(&self, looked_for: &[u8]) -> Vec<u8> {
        self.0.join(looked_for)
    }

    fn is_empty(&self) -> bool {
        self.0.len() == 1 && self.0[0].is_empty()
    }
}

struct Parser<'a> {
    rest: &'a str,
    place: &'a str,
}

impl<'a> Parser<'a> {
    fn filter(&mut self, depth: usize) -> Result<Filter, BadFilter> {
        if depth > DEPTH_MAX {
            return Err(BadFilter);
        }
        self.expect("(")?;
        let filter = if self.take("&") {
            Filter::Every(AND, self.list(depth)?)
        } else if self.take("|") {
            Filter::Every(OR, self.list(depth)?)
        } else if self.take("!") {
            Filter::Not(Box::new(self.filter(depth + 1)?))
        } else {
            self.item()?
        };
        self.expect(")")?;
        Ok(filter)
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Filter>, BadFilter> {
        let mut all = Vec::new();
        while self.rest.starts_with('(') {
            all.push(self.filter(depth + 1)?);
        }
        if all.is_empty() { Err(BadFilter) } else { Ok(all) }
    }

    fn item(&mut self) -> Result<Filter, BadFilter> {
        let end = self.rest.find(['(', ')']).ok_or(BadFilter)?;
        let (item, rest) = self.rest.split_at(end);
        self.rest = rest;
        let (described, value) = item.split_once('=').ok_or(BadFilter)?;
        if let Some(described) = described.strip_suffix(':') {
            return self.extensible(described, value);
        }
        let compared = [('>', AT_LEAST), ('<', AT_MOST), ('~', APPROXIMATE)];
        for (sign, tag) in compared {
            if let Some(described) = described.strip_suffix(sign) {
                return Ok(Filter::Compared(tag, attribute(described)?, self.value(value)?));
            }
        }
        let attribute = attribute(described)?;
        if value == "*" {
            return Ok(Filter::Present(attribute));
        }
        if !value.contains('*') {
            return Ok(Filter::Compared(EQUAL, attribute, self.value(value)?));
        }
        let parts: Vec<&str> = value.split('*').collect();
        let last = parts.len() - 1;
        let mut found = Vec::new();
        for (number, part) in parts.into_iter().enumerate() {
            let part = self.value(part)?;
            match number {
                _ if part.is_empty() && (number == 0 || number == last) => {}
                _ if part.is_empty() => return Err(BadFilter),
                0 => found.push((0x80, part)),
                number if number == last => found.push((0x82, part)),
                _ => found.push((0x81, part)),
            }
        }
        Ok(Filter::Substrings(attribute, found))
    }

    fn extensible(&self, described: &str, value: &str) -> Result<Filter, BadFilter> {
        let mut parts = described.split(':');
        let first = parts.next().unwrap_or_default();
        let attribute = if first.is_empty() { None } else { Some(attribute(first)?) };
        let (mut of_dn, mut rule) = (false, None);
        for part in parts {
            match part {
                "dn" if !of_dn && rule.is_none() => of_dn = true,
                part if rule.is_none() && is_attribute(part) => rule = Some(part.to_owned()),
                _ => return Err(BadFilter),
            }
        }
        if attribute.is_none() && rule.is_none() {
            return Err(BadFilter);
        }
        Ok(Filter::Extensible { rule, attribute, value: self.value(value)?, of_dn })
    }

    fn value(&self, text: &str) -> Result<Value, BadFilter> {
        text.split(self.place).map(unescaped).collect::<Result<_, _>>().map(Value)
    }

    fn take(&mut self, sign: &str) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, sign: &str) -> Result<(), BadFilter> {
        if self.take(sign) { Ok(()) } else { Err(BadFilter) }
    }
}

fn attribute(text: &str) -> Result<String, BadFilter> {
    if is_attribute(text) { Ok(text.to_owned()) } else { Err(BadFilter) }
}

fn unescaped(text: &str) -> Result<Vec<u8>, BadFilter> {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or(BadFilter)?;
        let digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(digits).ok_or(BadFilter)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| BadFilter)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    if bytes.contains(&0) { Err(BadFilter) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::federation::ldap::ber::Reader;

    fn filled(text: &str, value: &str) -> Vec<u8> {
        Template::parse(text, "{name}").unwrap().fill(value.as_bytes())
    }

    fn compared(bytes: &[u8]) -> (&[u8], &[u8]) {
        let mut inner = Reader::new(bytes).within(EQUAL).unwrap();
        let pair = (inner.one(OCTETS).unwrap(), inner.one(OCTETS).unwrap());
        assert!(inner.is_empty());
        pair
    }

    #[test]
    fn c19_whatever_somebody_types_is_one_value_of_the_same_filter() {
        let names = [
            "*",
            "*)(uid=*",
            "*)(uid=*))(|(uid=*",
            "admin)(!(uid=x",
            "\\2a",
            "\\00",
            "\0",
            "(",
            ")",
            "&",
            "|",
            "\\",
            "a*b",
            "{name}",
            "{dn}",
            "日本",
            " ",
            "cn=a,dc=b",
            "\u{202e}",
        ];
        for name in names {
            let bytes = filled("(uid={name})", name);
            assert_eq!(compared(&bytes), (&b"uid"[..], name.as_bytes()), "{name:?}");
            let bytes = filled("(&(objectClass=person)(uid={name}))", name);
            let mut both = Reader::new(&bytes).within(AND).unwrap();
            let (first, second) = (both.any().unwrap(), both.any().unwrap());
            assert!(both.is_empty(), "{name:?}");
            assert_eq!((first.0, second.0), (EQUAL, EQUAL), "{name:?}");
            let mut second = Reader::new(second.1);
            assert_eq!((second.one(OCTETS), second.one(OCTETS)), (Ok(&b"uid"[..]), Ok(name.as_bytes())));
        }
    }

    #[test]
    fn filters_are_sent_as_the_standard_says() {
        let cases: [(&str, &[u8]); 8] = [
            ("(cn={name})", b"\xa3\x07\x04\x02cn\x04\x01x"),
            ("(cn={name}@a)", b"\xa3\x09\x04\x02cn\x04\x03x@a"),
            ("(cn=\\2a{name}\\29)", b"\xa3\x09\x04\x02cn\x04\x03*x)"),
            ("(!(cn={name}))", b"\xa2\x09\xa3\x07\x04\x02cn\x04\x01x"),
            ("(cn=a*{name}*b)", b"\xa4\x0f\x04\x02cn\x30\x09\x80\x01a\x81\x01x\x82\x01b"),
            ("(cn=*{name}*)", b"\xa4\x09\x04\x02cn\x30\x03\x81\x01x"),
            ("(|(cn=*)(n>={name}))", b"\xa1\x0c\x87\x02cn\xa5\x06\x04\x01n\x04\x01x"),
            ("(m:dn:1.2:={name})", b"\xa9\x0e\x81\x031.2\x82\x01m\x83\x01x\x84\x01\xff"),
        ];
        for (text, bytes) in cases {
            assert_eq!(filled(text, "x"), bytes, "{text}");
        }
        let chain = Template::parse("(member:1.2.840.113556.1.4.1941:={dn})", "{dn}").unwrap();
        assert_eq!(chain, Template::in_chain());
    }

    #[test]
    fn what_is_no_filter_with_a_place_is_refused() {
        let deep = format!("{}(cn={{name}}){}", "(!".repeat(20), ")".repeat(20));
        let long = format!("(cn={{name}}{})", "x".repeat(2000));
        for text in [
            "",
            "cn={name}",
            "(cn=x)",
            "(cn={name}",
            "((cn={name}))",
            "(cn={name})x",
            "(&)",
            "(={name})",
            "({name}=x)",
            "(cn={name}\\2)",
            "(cn={name}\\zz)",
            "(cn={name}\\00)",
            "(c n={name})",
            "(cn=a**{name})",
            "(:={name})",
            "(cn={name})(cn={name})",
            "(cn:a:b:={name})",
            &deep,
            &long,
        ] {
            assert_eq!(Template::parse(text, "{name}"), Err(BadFilter), "{text}");
        }
    }
}

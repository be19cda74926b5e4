//! One JSON value that can be read in one way only: no name twice in an object,
//! not deeper than anybody writes it, and nothing behind it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Deepest nesting.
const DEPTH_MAX: usize = 64;

/// Reads one value.
///
/// # Errors
/// Where it is none, or can be read in several ways.
pub(super) fn strict(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth < DEPTH_MAX { Ok(Self { depth: self.depth + 1 }) } else { Err(E::custom("nested too deep")) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let (mut read, mut names) = (Map::new(), BTreeSet::new());
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a name stands twice in an object"));
            }
            read.insert(name, members.next_value_seed(inside)?);
        }
        Ok(Value::Object(read))
    }
}

/// Whether two names are the same to a reader that does not mind case, as the
/// engine's does not: also `ſ` for `s`, and the sign of Kelvin for `k`.
pub(super) fn is_same_to_engine(one: &str, other: &str) -> bool {
    let folded = |name: &str| {
        let plain = name.chars().map(|letter| match letter {
            'ſ' => 's',
            '\u{212a}' => 'k',
            letter => letter,
        });
        plain.flat_map(char::to_lowercase).collect::<String>()
    };
    folded(one) == folded(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c03_one_value_in_one_reading() {
        assert_eq!(strict(br#"{"a":[1,-2,1.5,"x",null,true]}"#).unwrap()["a"][3], "x");
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(strict(deep(DEPTH_MAX).as_bytes()).is_ok());
        for other in [
            r#"{"a":1,"a":2}"#,
            r#"{"b":{"a":1,"\u0061":2}}"#,
            r#"{"a":1} {"a":2}"#,
            r#"{"a":1}x"#,
            "",
            "\u{feff}{}",
            &deep(DEPTH_MAX + 1),
            "{'a':1}",
        ] {
            assert!(strict(other.as_bytes()).is_err(), "{other}");
        }
    }

    #[test]
    fn c03_names_that_an_engine_takes_for_another_are_known() {
        for other in ["hostconfig", "HOSTCONFIG", "Ho\u{17f}tConfig", "hostConfig"] {
            assert!(is_same_to_engine("HostConfig", other), "{other}");
        }
        assert!(is_same_to_engine("Links", "Lin\u{212a}s"));
        assert!(!is_same_to_engine("HostConfig", "HostConfigs"));
    }
}

//! What is hashed: every field with its length before it, so that no two
//! records have the same bytes, and documents in one form, whichever way a
//! database writes them.

use serde_json::{Map, Number, Value};

use super::Head;
use crate::identity::audit::store::{AuditRecord, ChainHash};

/// What the bytes of a record begin with. Another form needs another name.
const RECORD: &[u8] = b"windflow.audit.record.v1";
/// What the bytes of a head begin with.
const HEAD: &[u8] = b"windflow.audit.head.v1";

/// Digits of a fraction that survive every way through a database.
const FRACTION_DIGITS: usize = 14;

/// Numbers that 64 bits hold, as fractions.
const I64_RANGE: std::ops::Range<f64> = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
const U64_RANGE: std::ops::Range<f64> = 0.0..18_446_744_073_709_551_616.0;

/// The bytes of a record in its place.
pub(super) fn record(seq: i64, before: &ChainHash, record: &AuditRecord) -> Vec<u8> {
    let AuditRecord {
        id,
        at,
        actor_kind,
        actor_id,
        actor_name,
        credential,
        action,
        outcome,
        target_kind,
        target_id,
        environment_id,
        address,
        request_id,
        details,
        seq: _,
        hash: _,
    } = record;
    let mut bytes = Bytes::new(RECORD);
    bytes.number(seq).field(&before.0).field(id.as_bytes()).number(at.as_micros());
    bytes.text(actor_kind).optional(actor_id).text(actor_name).optional(credential);
    bytes.text(action).text(outcome).optional(target_kind).optional(target_id);
    match environment_id {
        Some(environment) => bytes.present().field(environment.as_bytes()),
        None => bytes.absent(),
    };
    bytes.optional(address).optional(request_id).object(&details.0);
    bytes.0
}

/// The bytes of a head but its own MAC.
pub(super) fn head(head: &Head) -> Vec<u8> {
    let Head { seq, hash, anchor_seq, anchor_hash, unchained, mac: _ } = head;
    let mut bytes = Bytes::new(HEAD);
    bytes.number(*seq).field(&hash.0).number(*anchor_seq).field(&anchor_hash.0).number(*unchained);
    bytes.0
}

/// The same facts with fractions that are read back as they were written: a
/// database may write a number in another way, and not every way is read to the
/// last bit.
pub fn steady(facts: Map<String, Value>) -> Map<String, Value> {
    facts.into_iter().map(|(name, value)| (name, steady_value(value))).collect()
}

fn steady_value(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => Value::Number(steady_number(number)),
        Value::Array(items) => Value::Array(items.into_iter().map(steady_value).collect()),
        Value::Object(facts) => Value::Object(steady(facts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn steady_number(number: Number) -> Number {
    let short = number.as_f64().and_then(|fraction| format!("{fraction:.FRACTION_DIGITS$e}").parse().ok());
    short.and_then(Number::from_f64).unwrap_or(number)
}

/// Bytes that grow.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new(kind: &[u8]) -> Self {
        let mut bytes = Self(Vec::with_capacity(512));
        bytes.field(kind);
        bytes
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.field(text.as_bytes())
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.field(&number.to_be_bytes())
    }

    fn present(&mut self) -> &mut Self {
        self.0.push(1);
        self
    }

    fn absent(&mut self) -> &mut Self {
        self.0.push(0);
        self
    }

    fn optional(&mut self, text: &Option<String>) -> &mut Self {
        match text {
            Some(text) => self.present().text(text),
            None => self.absent(),
        }
    }

    fn object(&mut self, facts: &Map<String, Value>) -> &mut Self {
        let mut names: Vec<&String> = facts.keys().collect();
        names.sort();
        self.0.push(b'o');
        self.field(&(names.len() as u64).to_be_bytes());
        for name in names {
            self.text(name).value(&facts[name]);
        }
        self
    }

    fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.tagged(b'z', &[]),
            Value::Bool(truth) => self.tagged(b'b', &[u8::from(*truth)]),
            Value::Number(number) => {
                let (kind, bytes) = plain(number);
                self.tagged(kind, &bytes)
            }
            Value::String(text) => self.tagged(b's', text.as_bytes()),
            Value::Array(items) => {
                self.tagged(b'a', &(items.len() as u64).to_be_bytes());
                for item in items {
                    self.value(item);
                }
                self
            }
            Value::Object(facts) => self.object(facts),
        }
    }

    fn tagged(&mut self, kind: u8, bytes: &[u8]) -> &mut Self {
        self.0.push(kind);
        self.field(bytes)
    }
}

/// A number's kind and bits. A fraction that is whole is a whole number, as
/// PostgreSQL writes it.
fn plain(number: &Number) -> (u8, [u8; 8]) {
    if let Some(whole) = number.as_i64() {
        return (b'i', whole.to_be_bytes());
    }
    if let Some(whole) = number.as_u64() {
        return (b'u', whole.to_be_bytes());
    }
    let fraction = number.as_f64().unwrap_or_default();
    match fraction {
        _ if fraction.fract() != 0.0 => (b'f', fraction.to_bits().to_be_bytes()),
        _ if I64_RANGE.contains(&fraction) => (b'i', (fraction as i64).to_be_bytes()),
        _ if U64_RANGE.contains(&fraction) => (b'u', (fraction as u64).to_be_bytes()),
        _ => (b'f', fraction.to_bits().to_be_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::identity::audit::{Action, Actor, Entry};

    fn of(value: &Value) -> Vec<u8> {
        let mut bytes = Bytes(Vec::new());
        bytes.value(value);
        bytes.0
    }

    #[test]
    fn a_document_has_one_form_and_no_other_document_has_it() {
        let read = |text: &str| of(&serde_json::from_str(text).unwrap());
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, r#"{ "b" : [ true , null ], "a" : 1 }"#),
            (r#"{"n":1e3}"#, r#"{"n":1000}"#),
            (r#"{"n":1e16}"#, r#"{"n":10000000000000000}"#),
            (r#"{"n":1e19}"#, r#"{"n":10000000000000000000}"#),
            (r#"{"n":1e-7}"#, r#"{"n":0.0000001}"#),
            (r#"{"n":-0.0}"#, r#"{"n":0}"#),
        ] {
            assert_eq!(read(one), read(other), "{one}");
        }
        for (one, other) in [
            (r#"{"a":"1"}"#, r#"{"a":1}"#),
            (r#"{"a":[1,2]}"#, r#"{"a":[[1],2]}"#),
            (r#"{"a":null}"#, r"{}"),
            (r#"{"ab":"c"}"#, r#"{"a":"bc"}"#),
            (r#"{"a":1.5}"#, r#"{"a":1.25}"#),
            (r#"["a","b"]"#, r#"["a,b"]"#),
            (r#"{"a":{"b":1}}"#, r#"{"a":{},"b":1}"#),
        ] {
            assert_ne!(read(one), read(other), "{one}");
        }
    }

    #[test]
    fn fractions_are_read_back_as_they_were_written() {
        for fraction in [0.1 + 0.2, 1.0 / 3.0, 12_345.678_901_234_567, 1e-7 / 3.0, 2.0_f64.powf(0.5) * 1e9] {
            let facts = steady(Map::from_iter([("n".to_owned(), json!({ "deep": [fraction] }))]));
            let again: Map<String, Value> = serde_json::from_str(&serde_json::to_string(&facts).unwrap()).unwrap();
            assert_eq!(again, facts);
            let kept = facts["n"]["deep"][0].as_f64().unwrap();
            assert!((kept - fraction).abs() <= fraction * 1e-13, "{kept}");
            // PostgreSQL writes no exponent.
            let decimal: Value = serde_json::from_str(&kept.to_string()).unwrap();
            assert_eq!(decimal.as_f64(), Some(kept));
        }
    }

    #[test]
    fn what_is_hashed_of_a_record_is_what_this_version_says() {
        let at = Timestamp::from_micros(1_000_000).unwrap();
        let entry = Entry::new(&Actor::System, Action::AgentApprove, "t").fact("n", json!(7));
        let sample = AuditRecord { id: uuid::Uuid::nil(), ..AuditRecord::of(&entry, at) };
        let bytes = record(1, &ChainHash(vec![9; 2]), &sample);
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let digest = data_encoding::HEXLOWER.encode(digest.as_ref());
        assert_eq!((bytes.len(), digest.as_str()), GOLDEN, "another form needs another name in RECORD");
    }

    const GOLDEN: (usize, &str) = (225, "a30b34af2482fa9f76f4e82396298c466369d7a02151b86e9df9721728acf7b5");
}

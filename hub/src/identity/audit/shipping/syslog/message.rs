//! A record as a syslog message (RFC 5424): one line of structured data, and the
//! record as JSON. Nothing in a record can end the line or a parameter.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::clock::Timestamp;
use crate::identity::audit::store::AuditRecord;

/// Facility 13, "log audit".
const FACILITY: u8 = 13;
const INFORMATIONAL: u8 = 6;
const WARNING: u8 = 4;
const APP: &str = "windflow-hub";
/// Whose structured data this is. The number is the one for documents (RFC
/// 5612): Windflow has none of its own.
const SD_ID: &str = "windflow@32473";
/// Longest host name and message id (RFC 5424 §6).
const HOST_MAX: usize = 255;
const MSGID_MAX: usize = 32;
/// Longest value of a parameter, in bytes.
const VALUE_MAX: usize = 512;
/// Longest record as JSON, in bytes: a longer one goes without its details.
const BODY_MAX: usize = 6 * 1024;

/// Makes messages of one hub.
#[derive(Clone, Debug)]
pub struct Writer {
    host: String,
    process: u32,
}

impl Writer {
    /// For the hub on this machine.
    pub fn of_this_machine() -> Self {
        let system = rustix::system::uname();
        Self::new(&system.nodename().to_string_lossy(), std::process::id())
    }

    /// For a hub on a host of this name.
    pub fn new(host: &str, process: u32) -> Self {
        Self { host: name(host, HOST_MAX), process }
    }

    /// The message of a record.
    pub fn record(&self, record: &AuditRecord) -> Vec<u8> {
        let severity = match record.outcome.as_str() {
            "denied" | "failed" => WARNING,
            _ => INFORMATIONAL,
        };
        let seq = record.seq.map(|seq| seq.to_string()).unwrap_or_default();
        let hash = record.hash.as_ref().map(ToString::to_string).unwrap_or_default();
        let environment = record.environment_id.map(|id| id.to_string()).unwrap_or_default();
        let parameters = [
            ("seq", seq.as_str()),
            ("hash", &hash),
            ("action", &record.action),
            ("outcome", &record.outcome),
            ("actorKind", &record.actor_kind),
            ("actor", &record.actor_name),
            ("target", record.target_id.as_deref().unwrap_or_default()),
            ("environment", &environment),
            ("address", record.address.as_deref().unwrap_or_default()),
        ];
        self.message(severity, record.at, &record.action, &parameters, &body(record))
    }

    /// A message that somebody sends to see whether it arrives.
    pub fn trial(&self, now: Timestamp) -> Vec<u8> {
        let body = json!({ "action": "audit.shipping_test" }).to_string();
        self.message(INFORMATIONAL, now, "audit.shipping_test", &[("action", "audit.shipping_test")], &body)
    }

    fn message(&self, severity: u8, at: Timestamp, id: &str, parameters: &[(&str, &str)], body: &str) -> Vec<u8> {
        let (priority, id) = (FACILITY * 8 + severity, name(id, MSGID_MAX));
        let mut line = format!("<{priority}>1 {at} {} {APP} {} {id} [{SD_ID}", self.host, self.process);
        for (key, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
            // Cannot fail: it is written into memory.
            let _in_memory = write!(line, " {key}=\"{}\"", escaped(value));
        }
        // The byte order mark says that what follows is UTF-8 (§6.4).
        line.push_str("] \u{feff}");
        line.push_str(body);
        line.into_bytes()
    }
}

/// The record as JSON on one line.
fn body(record: &AuditRecord) -> String {
    let whole = one_line(record);
    if whole.len() <= BODY_MAX {
        return whole;
    }
    let mut cut = record.clone();
    cut.details.0 = Map::from_iter([("cut".to_owned(), Value::Bool(true))]);
    one_line(&cut)
}

/// JSON escapes most of what could end a line; the rest is escaped here.
fn one_line(record: &AuditRecord) -> String {
    let json = serde_json::to_string(record).unwrap_or_else(|_| "{}".to_owned());
    let mut line = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') {
            // Cannot fail: it is written into memory.
            let _in_memory = write!(line, "\\u{:04x}", u32::from(letter));
        } else {
            line.push(letter);
        }
    }
    line
}

/// A name of printable ASCII (§6, PRINTUSASCII), or the sign for none.
fn name(text: &str, longest: usize) -> String {
    let name: String =
        text.chars().map(|letter| if letter.is_ascii_graphic() { letter } else { '_' }).take(longest).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

/// A value of a parameter (§6.3.3), with nothing in it that steers.
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for letter in value.chars() {
        if escaped.len() > VALUE_MAX {
            escaped.push('…');
            break;
        }
        match letter {
            '"' | '\\' | ']' => escaped.extend(['\\', letter]),
            letter if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}') => escaped.push('\u{fffd}'),
            letter => escaped.push(letter),
        }
    }
    escaped
}

//! Walks the chain from its anchor to its head and says whether all fits.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ChainKey, Head, count_unchained, find_head, is_same};
use crate::db::{DbError, Tx};
use crate::identity::audit::Action;
use crate::identity::audit::store::{self, AuditRecord, ChainHash};

/// Records that are in memory at once.
const PAGE: i64 = 1_000;

/// A place in the chain that somebody noted elsewhere: `SEQ:HASH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The number.
    pub seq: i64,
    /// The hash.
    pub hash: ChainHash,
}

/// The text is not `SEQ:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expect must be SEQ:HASH, a record's number and its hash in 64 hexadecimal digits")]
pub struct NotExpected;

impl FromStr for Expected {
    type Err = NotExpected;

    fn from_str(text: &str) -> Result<Self, NotExpected> {
        let (seq, hash) = text.split_once(':').filter(|(_, hash)| hash.len() == 64).ok_or(NotExpected)?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0).ok_or(NotExpected)?;
        let hash = HEXLOWER_PERMISSIVE.decode(hash.as_bytes()).map_err(|_| NotExpected)?;
        Ok(Self { seq, hash: ChainHash(hash) })
    }
}

/// What was found of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Whether all of it fits, and what was expected is there.
    pub intact: bool,
    /// Records that fit.
    pub checked: i64,
    /// The number of the first record that is left.
    pub first_seq: Option<i64>,
    /// The number of the newest record, by the chain's head.
    pub last_seq: i64,
    /// The head's hash in hexadecimal digits; note it elsewhere, with its
    /// number, to expect it later.
    pub head_hash: String,
    /// Records up to this one were deleted since their time was over.
    pub deleted_to: i64,
    /// Records from before the chain, of which only the number is checked.
    pub unchained: i64,
    /// The first that does not fit.
    pub fault: Option<Fault>,
    /// How what was expected compares, where something was.
    pub expected: Option<Comparison>,
}

/// Where the chain does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// The number of the record.
    pub seq: i64,
    /// How.
    pub kind: FaultKind,
}

/// How something does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The record of this number is not the one that was written: it was
    /// changed, or another stands in its place.
    Changed,
    /// There is no record of this number.
    Missing,
    /// There is a record where there can be none: before the first that is
    /// left, or behind the newest.
    OutOfOrder,
    /// The chain's head is not as the hub left it.
    HeadChanged,
    /// There are more or fewer records from before the chain than there were.
    Unchained,
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "it was changed, or another record stands in its place",
            Self::Missing => "there is no record of this number",
            Self::OutOfOrder => "it stands where there can be none",
            Self::HeadChanged => "the end of the log is not as the hub left it",
            Self::Unchained => "there are more or fewer records from before the chain than there were",
        })
    }
}

/// How a place that was noted elsewhere compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The record is there, with this hash.
    Met,
    /// The record has another hash, or is not there: the chain was written
    /// anew, or an older one was put in its place.
    NotMet,
    /// The record was deleted since its time was over: there is nothing to
    /// compare with.
    Deleted,
}

/// Walks the chain. The transaction must see one moment of the database.
///
/// # Errors
/// When the database fails.
pub async fn verify(tx: &mut Tx, expected: Option<&Expected>) -> Result<Verification, DbError> {
    let key = ChainKey::of(tx)?;
    let found = find_head(tx, "").await?;
    let is_begun = found.is_some();
    let head = found.unwrap_or_default();
    let mut walk = Walk::from(&head, expected);
    let mut fault = walk.run(tx, &key, &head).await?;
    let unchained = count_unchained(tx).await?;
    if fault.is_none() && is_begun && !head.is_genuine(&key) {
        fault = Some(Fault { seq: head.seq, kind: FaultKind::HeadChanged });
    }
    if fault.is_none() && is_begun && unchained != head.unchained {
        fault = Some(Fault { seq: head.anchor_seq, kind: FaultKind::Unchained });
    }
    let expected = expected.map(|expected| walk.compare(&head, expected));
    Ok(Verification {
        intact: fault.is_none() && expected != Some(Comparison::NotMet),
        checked: walk.checked,
        first_seq: walk.first,
        last_seq: head.seq,
        head_hash: head.hash.to_string(),
        deleted_to: head.anchor_seq,
        unchained,
        fault,
        expected,
    })
}

/// How far the walk is.
struct Walk<'a> {
    expected: Option<&'a Expected>,
    /// The hash of the record before the next one.
    before: ChainHash,
    next: i64,
    checked: i64,
    first: Option<i64>,
    /// Whether a record with the expected number and hash was passed.
    met: bool,
}

impl<'a> Walk<'a> {
    fn from(head: &Head, expected: Option<&'a Expected>) -> Self {
        let (before, next) = (head.anchor_hash.clone(), head.anchor_seq + 1);
        Self { expected, before, next, checked: 0, first: None, met: false }
    }

    async fn run(&mut self, tx: &mut Tx, key: &ChainKey, head: &Head) -> Result<Option<Fault>, DbError> {
        let mut after = i64::MIN;
        loop {
            let page = store::list_chained(tx, after, PAGE).await?;
            let Some(last) = page.last().and_then(|record| record.seq) else { break };
            after = last;
            for record in &page {
                if let Some(fault) = self.pass(key, head, record) {
                    return Ok(Some(fault));
                }
            }
        }
        Ok(self.arrive(head))
    }

    /// Passes one record, in the order of numbers.
    fn pass(&mut self, key: &ChainKey, head: &Head, record: &AuditRecord) -> Option<Fault> {
        let seq = record.seq.unwrap_or_default();
        let fault = |seq, kind| Some(Fault { seq, kind });
        if seq < self.next || seq > head.seq {
            let is_gap = seq > head.seq && self.next <= head.seq;
            return if is_gap { fault(self.next, FaultKind::Missing) } else { fault(seq, FaultKind::OutOfOrder) };
        }
        if seq > self.next {
            return fault(self.next, FaultKind::Missing);
        }
        let hash = record.hash.clone().unwrap_or_default();
        if !is_same(&hash, &key.of_record(seq, &self.before, record)) {
            return fault(seq, FaultKind::Changed);
        }
        if record.action == Action::AuditHeadChanged.as_str() {
            return fault(seq, FaultKind::HeadChanged);
        }
        self.met |= self.expected.is_some_and(|expected| expected.seq == seq && is_same(&expected.hash, &hash));
        self.first.get_or_insert(seq);
        (self.before, self.next, self.checked) = (hash, seq + 1, self.checked + 1);
        None
    }

    /// At the end of the records: it must be the head's.
    fn arrive(&self, head: &Head) -> Option<Fault> {
        if self.next <= head.seq {
            return Some(Fault { seq: self.next, kind: FaultKind::Missing });
        }
        let is_head = is_same(&self.before, &head.hash);
        (!is_head).then_some(Fault { seq: head.seq, kind: FaultKind::HeadChanged })
    }

    fn compare(&self, head: &Head, expected: &Expected) -> Comparison {
        let is_anchor = expected.seq == head.anchor_seq;
        if self.met || (is_anchor && is_same(&expected.hash, &head.anchor_hash)) {
            return Comparison::Met;
        }
        if expected.seq < head.anchor_seq { Comparison::Deleted } else { Comparison::NotMet }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_a_number_and_a_hash() {
        let hash = "0123456789abcdefABCDEF".to_owned() + &"0".repeat(42);
        let expected: Expected = format!("12:{hash}").parse().unwrap();
        assert_eq!((expected.seq, expected.hash.to_string()), (12, hash.to_lowercase()));
        for text in ["", ":", "12", &hash, &format!("0:{hash}"), &format!("-1:{hash}"), &format!("1:{}", &hash[1..])] {
            assert_eq!(text.parse::<Expected>(), Err(NotExpected), "{text}");
        }
    }
}

//! The secrets of this run, laid out so that a search takes no longer for many
//! of them than for one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::forms;

/// Bytes by which a form is looked up.
const HEAD: usize = 8;
/// Every so many bytes of a text are looked up. A form is known by as many
/// heads, so that one of them is met wherever it begins.
const STRIDE: usize = 4;
/// Bits of the table that says at once what is no head.
const TABLE_BITS: u32 = 20;

/// What was found: the label of the secret, and the form that it has.
pub(super) type Found = (Arc<str>, &'static str);

/// One form of a secret.
#[derive(Debug)]
struct Form {
    name: &'static str,
    label: Arc<str>,
    bytes: Vec<u8>,
}

/// All that is remembered.
#[derive(Debug)]
pub(super) struct Known {
    secrets: HashSet<Vec<u8>>,
    /// Which forms have these bytes, and where in them.
    heads: HashMap<[u8; HEAD], Vec<(Arc<Form>, usize)>>,
    table: Vec<u64>,
}

impl Default for Known {
    /// Nothing yet.
    fn default() -> Self {
        Self { secrets: HashSet::new(), heads: HashMap::new(), table: vec![0; 1 << (TABLE_BITS - 6)] }
    }
}

impl Known {
    /// Whether this is remembered already.
    pub(super) fn has(&self, secret: &[u8]) -> bool {
        self.secrets.contains(secret)
    }

    /// Remembers a secret in all its forms.
    pub(super) fn insert(&mut self, label: &str, secret: &[u8]) {
        if !self.secrets.insert(secret.to_owned()) {
            return;
        }
        let label = Arc::<str>::from(label);
        for (name, bytes) in forms::of(secret) {
            let form = Arc::new(Form { name, label: Arc::clone(&label), bytes });
            for (at, head) in form.bytes.windows(HEAD).enumerate().take(STRIDE) {
                let head = <[u8; HEAD]>::try_from(head).expect("a window has this length");
                let bit = place(head);
                self.table[bit / 64] |= 1 << (bit % 64);
                self.heads.entry(head).or_default().push((Arc::clone(&form), at));
            }
        }
    }

    /// What stands in `text`.
    pub(super) fn find_in(&self, text: &[u8]) -> BTreeSet<Found> {
        let mut found = BTreeSet::new();
        let mut at = 0;
        while let Some(head) = text.get(at..at + HEAD) {
            let head = <[u8; HEAD]>::try_from(head).expect("a range has this length");
            let bit = place(head);
            if self.table[bit / 64] >> (bit % 64) & 1 == 1 {
                let forms = self.heads.get(&head).into_iter().flatten();
                let whole = forms.filter(|(form, before)| stands_at(text, at, *before, &form.bytes));
                found.extend(whole.map(|(form, _)| (Arc::clone(&form.label), form.name)));
            }
            at += STRIDE;
        }
        found
    }
}

/// Whether the byte at `before` of `form` is the one at `at` of `text`, with the
/// rest of it around.
fn stands_at(text: &[u8], at: usize, before: usize, form: &[u8]) -> bool {
    at.checked_sub(before).is_some_and(|begin| text[begin..].starts_with(form))
}

fn place(head: [u8; HEAD]) -> usize {
    let mixed = u64::from_le_bytes(head).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (64 - TABLE_BITS)).expect("it has few bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_wherever_it_stands_and_its_neighbour_is_not() {
        let mut known = Known::default();
        known.insert("the password", b"a long secret");
        for before in 0..20 {
            let text = format!("{}a long secret and more", "x".repeat(before));
            let found = known.find_in(text.as_bytes());
            assert_eq!(found.into_iter().collect::<Vec<_>>(), [("the password".into(), "as it is")], "{text}");
        }
        for text in ["a long secre", "a longer secret", "", "short", "A LONG SECRET"] {
            assert_eq!(known.find_in(text.as_bytes()), BTreeSet::new(), "{text}");
        }
    }
}

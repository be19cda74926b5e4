//! Every column that holds sealed values. A rotation seals anew what stands in
//! them, and a key is forgotten when none of them uses it: a sealed column that
//! is not here would be lost. So nothing is sealed for another one (see
//! [`Vault::seal`](super::Vault::seal)), and a test compares this with the schema.

use uuid::Uuid;

use super::Place;

/// How a row of a table is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// By a text.
    Text(&'static str),
    /// By an id.
    Id(&'static str),
    /// By an id and a number.
    Part(&'static str, &'static str),
}

/// A column with sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedColumn {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    pub(super) key: Key,
    /// Rows that are sealed anew in one transaction.
    pub(super) batch: i64,
    /// Whether there are values beside the sealed ones. Which is which shows
    /// when one is opened.
    pub(super) is_mixed: bool,
}

/// One row, as [`Place`] has it and as SQL takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowKey {
    Text(String),
    Id(Uuid),
    Part(Uuid, i64),
}

impl std::fmt::Display for RowKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Id(id) => id.fmt(f),
            Self::Part(id, number) => write!(f, "{id}/{number}"),
        }
    }
}

const fn of_id(table: &'static str, id: &'static str, column: &'static str) -> SealedColumn {
    SealedColumn { table, column, key: Key::Id(id), batch: 64, is_mixed: false }
}

/// All of them, in the order of a rotation.
pub const SEALED_COLUMNS: &[SealedColumn] = &[
    SealedColumn { table: "settings", column: "value", key: Key::Text("key"), batch: 64, is_mixed: true },
    of_id("environments", "id", "tls_key_sealed"),
    of_id("second_factors", "user_id", "secret_sealed"),
    of_id("identity_providers", "id", "client_secret_sealed"),
    of_id("outbox", "id", "letter_sealed"),
    SealedColumn { table: "signing_keys", column: "secret_sealed", key: Key::Text("id"), batch: 64, is_mixed: false },
    SealedColumn {
        table: "recording_chunks",
        column: "content_sealed",
        key: Key::Part("recording_id", "number"),
        batch: 16,
        is_mixed: false,
    },
];

/// Whether a rotation finds what is sealed for this place.
pub(super) fn knows(place: &Place<'_>) -> bool {
    SEALED_COLUMNS.iter().any(|known| (known.table, known.column) == (place.table, place.column))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::tables;
    use crate::db::testing::on_both_engines;

    on_both_engines! {
        async fn every_sealed_column_of_the_schema_is_here_and_no_other(db) {
            let mut tx = db.read().await.unwrap();
            let mut found = Vec::new();
            for table in tables::list(&mut tx).await.unwrap() {
                let sealed = table.columns.iter().filter(|column| column.name.ends_with("_sealed"));
                found.extend(sealed.map(|column| (table.name.clone(), column.name.clone())));
                for known in SEALED_COLUMNS.iter().filter(|known| known.table == table.name) {
                    let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
                    assert!(columns.contains(&known.column), "{}.{}", known.table, known.column);
                    let named = match known.key {
                        Key::Text(name) | Key::Id(name) => vec![name],
                        Key::Part(id, number) => vec![id, number],
                    };
                    assert!(named.iter().all(|name| columns.contains(name)), "{}: {named:?}", known.table);
                }
            }
            let mut known: Vec<(String, String)> = SEALED_COLUMNS
                .iter()
                .filter(|known| !known.is_mixed)
                .map(|known| (known.table.to_owned(), known.column.to_owned()))
                .collect();
            found.sort();
            known.sort();
            assert_eq!(found, known, "put the column into hub/src/vault/register.rs: a rotation must find it");
        }
    }

    #[test]
    #[should_panic(expected = "register.rs")]
    fn nothing_is_sealed_for_a_column_that_is_not_here() {
        super::super::Vault::for_tests().seal(&Place { table: "users", row: "1", column: "name" }, b"secret");
    }
}

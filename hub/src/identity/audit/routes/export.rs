//! Records as a file: read page by page while it is sent, so that it needs no
//! more memory the longer it is.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::filter::ExportFormat;
use crate::app::AppState;
use crate::db::DbError;
use crate::identity::audit::store::{self, AuditFilter, AuditRecord};

/// Records that are in memory at once.
const PAGE: i64 = 500;

/// The columns of a table of records.
const COLUMNS: [&str; 16] = [
    "seq",
    "at",
    "actor_kind",
    "actor_id",
    "actor_name",
    "credential",
    "action",
    "outcome",
    "target_kind",
    "target_id",
    "environment_id",
    "address",
    "request_id",
    "details",
    "id",
    "hash",
];

/// A file that is on its way.
pub(super) struct Export {
    app: AppState,
    filter: AuditFilter,
    format: ExportFormat,
    /// The oldest record that was given.
    before: Option<Uuid>,
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Export {
    pub fn new(app: AppState, filter: AuditFilter, format: ExportFormat, place: OwnedSemaphorePermit) -> Self {
        Self { app, filter, format, before: None, is_over: false, _place: place }
    }

    /// The file.
    pub fn body(self) -> Body {
        let head = match self.format {
            ExportFormat::Csv => Some(Ok(Bytes::from(line(COLUMNS.map(str::to_owned))))),
            ExportFormat::Json => None,
        };
        Body::from_stream(stream::iter(head).chain(stream::try_unfold(self, Self::next)))
    }

    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.is_over {
            return Ok(None);
        }
        let page = self.read().await.map_err(|error| {
            tracing::error!(%error, "records cannot be exported to their end");
            io::Error::other(error)
        })?;
        self.is_over = page.len() as i64 != PAGE;
        let Some(last) = page.last() else { return Ok(None) };
        self.before = Some(last.id);
        let mut text = Vec::new();
        for record in page {
            match self.format {
                ExportFormat::Csv => text.extend(row(record).into_bytes()),
                ExportFormat::Json => {
                    serde_json::to_writer(&mut text, &record)?;
                    text.push(b'\n');
                }
            }
        }
        Ok(Some((text.into(), self)))
    }

    async fn read(&self) -> Result<Vec<AuditRecord>, DbError> {
        let mut tx = self.app.db.read().await?;
        store::list(&mut tx, &self.filter, self.before, PAGE).await
    }
}

fn row(record: AuditRecord) -> String {
    let or_empty = |text: Option<String>| text.unwrap_or_default();
    line([
        or_empty(record.seq.map(|seq| seq.to_string())),
        record.at.to_string(),
        record.actor_kind,
        or_empty(record.actor_id),
        record.actor_name,
        or_empty(record.credential),
        record.action,
        record.outcome,
        or_empty(record.target_kind),
        or_empty(record.target_id),
        or_empty(record.environment_id.map(|id| id.to_string())),
        or_empty(record.address),
        or_empty(record.request_id),
        serde_json::Value::Object(record.details.0).to_string(),
        record.id.to_string(),
        or_empty(record.hash.map(|hash| hash.to_string())),
    ])
}

/// One line of a table, as RFC 4180 has it.
fn line(cells: [String; COLUMNS.len()]) -> String {
    cells.map(cell).join(",") + "\r\n"
}

/// A cell. Names come from other machines and people: what a spreadsheet would
/// take for a formula gets an apostrophe before it.
fn cell(text: String) -> String {
    let text = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_never_a_formula() {
        for (text, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=HYPERLINK(\"x\")", "\"'=HYPERLINK(\"\"x\"\")\""),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "\"'\rx\""),
            ("a=b", "a=b"),
        ] {
            assert_eq!(cell(text.to_owned()), expected);
        }
    }
}

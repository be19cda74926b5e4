//! Where environments stand among the others, for those who decide what
//! somebody may do in them.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::types::Json;
use uuid::Uuid;

use super::store::EnvironmentRow;
use crate::db::{DbError, Tx};
use crate::error::ApiResult;
use crate::fleet::Fleet;
use crate::http::{Place, Places};
use crate::on_tx;

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    group_id: Option<Uuid>,
    labels: Json<BTreeMap<String, String>>,
}

impl From<Row> for Place {
    fn from(row: Row) -> Self {
        Self { environment: row.id, group: row.group_id, labels: row.labels.0 }
    }
}

impl From<&EnvironmentRow> for Place {
    fn from(row: &EnvironmentRow) -> Self {
        Self { environment: row.id, group: row.group_id, labels: row.labels.0.clone() }
    }
}

impl Places for Fleet {
    fn find(&self, environment: Uuid) -> BoxFuture<'_, ApiResult<Option<Place>>> {
        async move { Ok(select_one(&mut self.base.db.read().await?, environment).await?.map(Place::from)) }.boxed()
    }

    fn list(&self) -> BoxFuture<'_, ApiResult<Vec<Place>>> {
        async move { Ok(self.environment_rows().await?.iter().map(Place::from).collect()) }.boxed()
    }
}

async fn select_one(tx: &mut Tx, id: Uuid) -> Result<Option<Row>, DbError> {
    let sql = "SELECT id, group_id, labels FROM environments WHERE id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

//! What happened, from the engines' events and the hub's own records together.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::model::{Activity, ActivityList, ActivityQuery, Cursor, Source, Wanted};
use super::store::{self, Row};
use crate::app::App;
use crate::db::DbError;
use crate::error::ApiResult;
use crate::fleet::environments::EnvironmentFilter;
use crate::http::{Caller, Permission, Visible};
use crate::identity::audit::{self, AuditRecord, WantedRecords};

impl App {
    /// One page of what happened in the environments that are to be shown, newest
    /// first.
    ///
    /// # Errors
    /// 400 for a filter that is none; 403 where somebody asks for what users
    /// did who may not see it.
    pub(super) async fn list_activity(
        &self,
        query: ActivityQuery,
        visible: &Visible,
        caller: &Caller,
    ) -> ApiResult<ActivityList> {
        let wanted = query.check()?;
        if wanted.source == Some(Source::User) {
            caller.require(Permission::AuditView)?;
        }
        let sees_users = caller.may(Permission::AuditView);
        // One more than asked for says whether there is another page.
        let most = wanted.limit + 1;
        let mut tx = self.db.read().await?;
        let events = match wanted.source {
            Some(Source::User) => Vec::new(),
            Some(Source::Engine) | None => store::list(&mut tx, &wanted, visible.ids(), most).await?,
        };
        let records = match wanted.source {
            Some(Source::Engine) => Vec::new(),
            Some(Source::User) | None if sees_users => audit::list_wanted(&mut tx, &records(&wanted), most).await?,
            Some(Source::User) | None => Vec::new(),
        };
        drop(tx);
        let names = self.environment_names().await?;
        let events = events.into_iter().map(Activity::from);
        let records = records.into_iter().map(Activity::from);
        let mut items: Vec<Activity> = events.chain(records).collect();
        items.sort_by_key(|entry| std::cmp::Reverse((entry.at, entry.id)));
        let limit = usize::try_from(wanted.limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        for item in &mut items {
            item.environment_name = item.environment_id.and_then(|id| names.get(&id).cloned());
            self.name_container(item);
        }
        let last = items.last().filter(|_| has_more);
        let next = last.map(|last| Cursor { at: last.at, id: last.id }.to_string());
        Ok(ActivityList { items, next })
    }

    /// Reads what happened last in each environment, also in those that are
    /// away.
    pub(super) async fn recall_last_events(&self) -> Result<(), DbError> {
        let names = self.environment_names().await?;
        let mut tx = self.db.read().await?;
        for environment in names.into_keys().map(EnvironmentId) {
            if let Some(last) = store::find_last(&mut tx, environment).await? {
                self.fleet.told().put_event(environment, last.summary());
            }
        }
        Ok(())
    }

    /// Deletes events whose time is over, and the oldest of environments with
    /// too many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn delete_old_events(&self) -> Result<u64, DbError> {
        let options = self.events.options;
        let mut tx = self.db.write_vital().await?;
        let mut deleted = store::delete_before(&mut tx, self.clock.now() - options.life()).await?;
        for environment in store::list_above(&mut tx, options.events_max.into()).await? {
            deleted += store::delete_above(&mut tx, EnvironmentId(environment), options.events_max.into()).await?;
        }
        tx.commit().await?;
        let names = self.environment_names().await?;
        self.events.retain(|environment| names.contains_key(&environment.0));
        Ok(deleted)
    }

    /// Deletes the oldest events of an environment that has too many.
    pub(super) async fn trim_events(&self, environment: EnvironmentId) -> Result<(), DbError> {
        let mut tx = self.db.write().await?;
        store::delete_above(&mut tx, environment, self.events.options.events_max.into()).await?;
        tx.commit().await
    }

    async fn environment_names(&self) -> Result<HashMap<Uuid, String>, DbError> {
        let environments = self.fleet.list_environments(&EnvironmentFilter::default()).await?;
        Ok(environments.into_iter().map(|known| (known.id.0, known.name.to_string())).collect())
    }

    /// Who acts on a container names it by its id; who reads wants its name, also
    /// where the record does not have it.
    fn name_container(&self, item: &mut Activity) {
        let (Some(environment), Some(container), None) = (item.environment_id, &item.container_id, &item.target_name)
        else {
            return;
        };
        if item.target_id.as_ref() == Some(container) {
            item.target_name = self.inventories.name_of(EnvironmentId(environment), container);
        }
    }
}

fn records(wanted: &Wanted) -> WantedRecords {
    WantedRecords {
        environment: wanted.environment,
        kind: wanted.kind.clone(),
        action: wanted.action.clone(),
        target: wanted.container.clone(),
        pattern: wanted.text.as_deref().map(store::pattern),
        from: wanted.from,
        to: wanted.to,
        before: wanted.before.map(|before| (before.at, before.id)),
    }
}

impl From<Row> for Activity {
    fn from(row: Row) -> Self {
        let named = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: row.id,
            at: row.at,
            source: Source::Engine,
            actor_kind: "engine".to_owned(),
            actor_name: None,
            action: format!("{}.{}", row.kind, row.action),
            target_kind: Some(row.kind),
            target_id: named(row.object_id),
            target_name: named(row.object_name),
            container_id: row.container_id,
            environment_id: Some(row.environment_id),
            environment_name: None,
            outcome: None,
            facts: row.facts.0,
        }
    }
}

impl From<AuditRecord> for Activity {
    fn from(mut record: AuditRecord) -> Self {
        let target_name = record.take_target_name();
        let container_id = match record.target_kind.as_deref() {
            Some("container") => record.target_id.clone(),
            _ => record.details.0.get("container").and_then(in_words),
        };
        let said = record.details.0.into_iter().filter_map(|(name, value)| Some((name, in_words(&value)?)));
        let facts: BTreeMap<String, String> = said.collect();
        Self {
            id: record.id,
            at: record.at,
            source: Source::User,
            actor_kind: record.actor_kind,
            actor_name: Some(record.actor_name).filter(|name| !name.is_empty()),
            action: record.action,
            target_kind: record.target_kind,
            target_id: record.target_id.filter(|id| !id.is_empty()),
            target_name,
            container_id,
            environment_id: record.environment_id,
            environment_name: None,
            outcome: Some(record.outcome),
            facts,
        }
    }
}

/// A fact as text; `None` where it is a list of facts itself.
fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

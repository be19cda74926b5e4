//! Grants that follow from what an identity provider says of a user. They come
//! and go with it; what somebody granted by hand is never touched here.

use uuid::Uuid;

use super::model::{Grantee, RoleRef};
use super::service::{GRANTS_MAX, entry};
use super::store::{self, Granted, ScopeRow};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Role, Scope, UserId};
use crate::identity::audit::{self, Action, Actor};
use crate::on_tx;

/// A role somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// What it gives.
    pub role: RoleRef,
    /// Where it counts.
    pub scope: Scope,
}

/// Has a user granted exactly `wanted` by a provider. Whether something changed.
pub async fn reconcile(
    tx: &mut Tx,
    provider: Uuid,
    user: UserId,
    wanted: &[Mapped],
    now: Timestamp,
) -> Result<bool, DbError> {
    let present = list(tx, provider, Some(user)).await?;
    let mut changed = false;
    for (id, mapped) in &present {
        if !wanted.contains(mapped) {
            take_back(tx, *id, now).await?;
            changed = true;
        }
    }
    let missing = wanted.iter().filter(|wanted| !present.iter().any(|(_, mapped)| mapped == *wanted));
    for mapped in missing {
        if store::count_grants(tx).await? >= GRANTS_MAX {
            tracing::warn!(user.id = %user, "there are as many grants as there may be: a mapping grants nothing more");
            break;
        }
        let id = Uuid::now_v7();
        let granted = Granted { grantee: Grantee::User(user.0), role: mapped.role, scope: &mapped.scope };
        store::insert_grant(tx, id, &granted, now).await?;
        mark(tx, id, provider).await?;
        record(tx, Action::GrantCreate, id, now).await?;
        changed = true;
    }
    Ok(changed)
}

/// Takes back what a provider granted to anybody and none of its mappings says
/// any more.
pub async fn take_back_unmapped(
    tx: &mut Tx,
    provider: Uuid,
    mappings: &[Mapped],
    now: Timestamp,
) -> Result<(), DbError> {
    for (id, mapped) in list(tx, provider, None).await? {
        if !mappings.contains(&mapped) {
            take_back(tx, id, now).await?;
        }
    }
    Ok(())
}

async fn take_back(tx: &mut Tx, id: Uuid, now: Timestamp) -> Result<(), DbError> {
    record(tx, Action::GrantDelete, id, now).await?;
    store::delete_grant(tx, id).await
}

/// The hub does it by itself, at the provider's word.
async fn record(tx: &mut Tx, action: Action, id: Uuid, now: Timestamp) -> Result<(), DbError> {
    match store::find_grant(tx, id).await? {
        Some(grant) => audit::record(tx, entry(&Actor::System, action, &grant), now).await,
        None => Ok(()),
    }
}

async fn mark(tx: &mut Tx, id: Uuid, provider: Uuid) -> Result<(), DbError> {
    let sql = "UPDATE grants SET provider_id = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(provider).execute(c).await.map(drop))?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct MappedRow {
    id: Uuid,
    role: Option<String>,
    role_id: Option<Uuid>,
    #[sqlx(flatten)]
    scope: ScopeRow,
}

async fn list(tx: &mut Tx, provider: Uuid, user: Option<UserId>) -> Result<Vec<(Uuid, Mapped)>, DbError> {
    let sql = "SELECT id, role, role_id, scope, group_id, label, environment_id FROM grants
               WHERE provider_id = $1 AND ($2 IS NULL OR user_id = $2) ORDER BY id";
    let user = user.map(|user| user.0);
    let rows: Vec<MappedRow> = on_tx!(tx, |c| sqlx::query_as(sql).bind(provider).bind(user).fetch_all(c).await)?;
    let mapped = rows.into_iter().filter_map(|row| {
        let built_in = row.role.and_then(|name| name.parse::<Role>().ok()).map(RoleRef::BuiltIn);
        let role = built_in.or(row.role_id.map(RoleRef::Own))?;
        Some((row.id, Mapped { role, scope: row.scope.scope()? }))
    });
    Ok(mapped.collect())
}

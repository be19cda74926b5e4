//! The tables of identity providers, their mappings and who is linked with them.

use sqlx::AssertSqlSafe;
use sqlx::types::Json;
use uuid::Uuid;

use super::model::{Configuration, LinkedIdentity, Mapping, Provider, Slug};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Role, UserId};
use crate::identity::grants::{RoleRef, ScopeRow};
use crate::identity::sessions::{EndedThere, There};
use crate::on_tx;

#[derive(sqlx::FromRow)]
struct ProviderRow {
    id: Uuid,
    name: String,
    #[sqlx(try_from = "String")]
    slug: Slug,
    enabled: bool,
    create_users: bool,
    trusted_for_second_factor: bool,
    required_group: Option<String>,
    configuration: Json<Configuration>,
    has_client_secret: bool,
    users: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl ProviderRow {
    fn with(self, mappings: Vec<Mapping>) -> Provider {
        Provider {
            id: self.id,
            name: self.name,
            slug: self.slug,
            enabled: self.enabled,
            create_users: self.create_users,
            trusted_for_second_factor: self.trusted_for_second_factor,
            required_group: self.required_group,
            configuration: self.configuration.0,
            has_client_secret: self.has_client_secret,
            mappings,
            users: self.users,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

const PROVIDER: &str = "SELECT id, name, slug, enabled, create_users, trusted_for_second_factor, required_group,
    configuration, client_secret_sealed IS NOT NULL AS has_client_secret,
    (SELECT COUNT(*) FROM linked_identities WHERE provider_id = identity_providers.id) AS users,
    created_at, updated_at FROM identity_providers";

/// Every provider, by name.
pub async fn list(tx: &mut Tx) -> Result<Vec<Provider>, DbError> {
    let sql = AssertSqlSafe(format!("{PROVIDER} ORDER BY LOWER(name), id"));
    let rows: Vec<ProviderRow> = on_tx!(tx, |c| sqlx::query_as(sql).fetch_all(c).await)?;
    let mut providers = Vec::with_capacity(rows.len());
    for row in rows {
        let mappings = mappings_of(tx, row.id).await?;
        providers.push(row.with(mappings));
    }
    Ok(providers)
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<Provider>, DbError> {
    let sql = AssertSqlSafe(format!("{PROVIDER} WHERE id = $1"));
    let row: Option<ProviderRow> = on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?;
    let Some(row) = row else { return Ok(None) };
    let mappings = mappings_of(tx, row.id).await?;
    Ok(Some(row.with(mappings)))
}

pub async fn find_by_slug(tx: &mut Tx, slug: &str) -> Result<Option<Provider>, DbError> {
    let sql = "SELECT id FROM identity_providers WHERE slug = $1";
    let id: Option<Uuid> = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(slug).fetch_optional(c).await)?;
    match id {
        Some(id) => find(tx, id).await,
        None => Ok(None),
    }
}

/// Whether a user is in a directory.
pub async fn is_in_directory(tx: &mut Tx, user: UserId) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM linked_identities
               JOIN identity_providers ON identity_providers.id = linked_identities.provider_id
               WHERE user_id = $1 AND kind = 'ldap'";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user.0).fetch_one(c).await)?;
    Ok(count > 0)
}

/// The directories that are asked, in their order.
pub async fn list_directories(tx: &mut Tx) -> Result<Vec<Provider>, DbError> {
    let sql = "SELECT id FROM identity_providers WHERE kind = 'ldap' AND enabled = $1";
    let ids: Vec<Uuid> = on_tx!(&mut *tx, |c| sqlx::query_scalar(sql).bind(true).fetch_all(c).await)?;
    let mut directories = Vec::with_capacity(ids.len());
    for id in ids {
        directories.extend(find(tx, id).await?);
    }
    let order = |provider: &Provider| match &provider.configuration {
        Configuration::Ldap(ldap) => (ldap.position, provider.name.to_lowercase(), provider.id),
        Configuration::Oidc(_) | Configuration::GitHub(_) => (u16::MAX, provider.name.to_lowercase(), provider.id),
    };
    directories.sort_by_cached_key(order);
    Ok(directories)
}

/// Adds a provider, without its mappings.
pub async fn insert(tx: &mut Tx, provider: &Provider, secret_sealed: Option<&[u8]>) -> Result<(), DbError> {
    let sql = "INSERT INTO identity_providers (id, kind, name, slug, enabled, create_users, trusted_for_second_factor,
                   required_group, configuration, client_secret_sealed, created_at, updated_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(provider.id).bind(provider.configuration.kind()).bind(&provider.name);
        let query = query.bind(provider.slug.as_str()).bind(provider.enabled).bind(provider.create_users);
        let query = query.bind(provider.trusted_for_second_factor).bind(&provider.required_group);
        let query = query.bind(Json(&provider.configuration)).bind(secret_sealed);
        query.bind(provider.created_at).bind(provider.updated_at).execute(c).await.map(drop)
    })?;
    Ok(())
}

/// Puts all that a provider is to be in the place of what it was, but for its
/// mappings.
pub async fn update(tx: &mut Tx, provider: &Provider, secret_sealed: Option<&[u8]>) -> Result<(), DbError> {
    let sql = "UPDATE identity_providers SET kind = $2, name = $3, slug = $4, enabled = $5, create_users = $6,
                   trusted_for_second_factor = $7, required_group = $8, configuration = $9, client_secret_sealed = $10,
                   updated_at = $11 WHERE id = $1";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(provider.id).bind(provider.configuration.kind()).bind(&provider.name);
        let query = query.bind(provider.slug.as_str()).bind(provider.enabled).bind(provider.create_users);
        let query = query.bind(provider.trusted_for_second_factor).bind(&provider.required_group);
        let query = query.bind(Json(&provider.configuration)).bind(secret_sealed);
        query.bind(provider.updated_at).execute(c).await.map(drop)
    })?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM identity_providers WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// The sealed client secret, where there is one.
pub async fn find_secret(tx: &mut Tx, id: Uuid) -> Result<Option<Vec<u8>>, DbError> {
    let sql = "SELECT client_secret_sealed FROM identity_providers
               WHERE id = $1 AND client_secret_sealed IS NOT NULL";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)?)
}

#[derive(sqlx::FromRow)]
struct MappingRow {
    value: String,
    role: Option<String>,
    role_id: Option<Uuid>,
    #[sqlx(flatten)]
    scope: ScopeRow,
}

async fn mappings_of(tx: &mut Tx, provider: Uuid) -> Result<Vec<Mapping>, DbError> {
    let sql = "SELECT value, role, role_id, scope, group_id, label, environment_id FROM provider_mappings
               WHERE provider_id = $1 ORDER BY id";
    let rows: Vec<MappingRow> = on_tx!(tx, |c| sqlx::query_as(sql).bind(provider).fetch_all(c).await)?;
    let mappings = rows.into_iter().filter_map(|row| {
        let built_in = row.role.and_then(|name| name.parse::<Role>().ok()).map(RoleRef::BuiltIn);
        let role = built_in.or(row.role_id.map(RoleRef::Own))?;
        Some(Mapping { value: row.value, role, scope: row.scope.scope()? })
    });
    Ok(mappings.collect())
}

/// Puts these mappings in the place of all that a provider had.
pub async fn replace_mappings(tx: &mut Tx, provider: Uuid, mappings: &[Mapping]) -> Result<(), DbError> {
    let sql = "DELETE FROM provider_mappings WHERE provider_id = $1";
    on_tx!(&mut *tx, |c| sqlx::query(sql).bind(provider).execute(c).await.map(drop))?;
    let sql = "INSERT INTO provider_mappings (id, provider_id, value, role, role_id, scope, group_id, label,
                   environment_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    for mapping in mappings {
        let scope = ScopeRow::from(&mapping.scope);
        on_tx!(&mut *tx, |c| {
            let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(provider).bind(&mapping.value);
            let query = query.bind(mapping.role.built_in().map(Role::as_str)).bind(mapping.role.own());
            let query = query.bind(&scope.scope).bind(scope.group_id).bind(&scope.label).bind(scope.environment_id);
            query.execute(c).await.map(drop)
        })?;
    }
    Ok(())
}

const IDENTITY: &str =
    "SELECT linked_identities.id, provider_id, identity_providers.name AS provider_name, issuer, subject,
    called, user_id, linked_at, last_used_at
    FROM linked_identities JOIN identity_providers ON identity_providers.id = linked_identities.provider_id";

/// Who this is, by issuer and subject.
pub async fn find_identity(tx: &mut Tx, issuer: &str, subject: &str) -> Result<Option<LinkedIdentity>, DbError> {
    let sql = AssertSqlSafe(format!("{IDENTITY} WHERE issuer = $1 AND subject = $2"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(issuer).bind(subject).fetch_optional(c).await)?)
}

/// All that a user is linked with, the oldest first.
pub async fn identities_of(tx: &mut Tx, user: UserId) -> Result<Vec<LinkedIdentity>, DbError> {
    let sql = AssertSqlSafe(format!("{IDENTITY} WHERE user_id = $1 ORDER BY linked_identities.id"));
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(user.0).fetch_all(c).await)?)
}

/// Links a user with who they are elsewhere.
pub async fn insert_identity(tx: &mut Tx, identity: &LinkedIdentity) -> Result<(), DbError> {
    let sql = "INSERT INTO linked_identities (id, provider_id, issuer, subject, user_id, linked_at, last_used_at,
                   called) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(identity.id).bind(identity.provider_id).bind(&identity.issuer);
        let query = query.bind(&identity.subject).bind(identity.user_id);
        let query = query.bind(identity.linked_at).bind(identity.last_used_at).bind(&identity.called);
        query.execute(c).await.map(drop)
    })?;
    Ok(())
}

/// Notes that somebody signed in so, and what they are called there by now.
pub async fn note_identity_used(tx: &mut Tx, id: Uuid, called: Option<&str>, at: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE linked_identities SET last_used_at = $2, called = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(at).bind(called).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete_identity(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM linked_identities WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// Notes that an attempt came back. Whether it did for the first time: of many
/// at once one does.
pub async fn spend(tx: &mut Tx, digest: &[u8], at: Timestamp) -> Result<bool, DbError> {
    let sql = "INSERT INTO spent_sign_ins (digest, spent_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING";
    let done = on_tx!(tx, |c| sqlx::query(sql).bind(digest).bind(at).execute(c).await?.rows_affected());
    Ok(done == 1)
}

/// Forgets attempts that are too old to come back.
pub async fn delete_spent_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM spent_sign_ins WHERE spent_at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await?.rows_affected()))
}

/// Notes that a provider said what ended there. Whether it did for the first
/// time: each token counts once.
pub async fn insert_logout(
    tx: &mut Tx,
    digest: &[u8],
    provider: Uuid,
    ended: &EndedThere,
    at: Timestamp,
) -> Result<bool, DbError> {
    let sql = "INSERT INTO provider_logouts (digest, provider_id, issuer, subject, provider_session, said_at)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (digest) DO NOTHING";
    let done = on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(digest).bind(provider).bind(&ended.issuer).bind(&ended.subject);
        query.bind(&ended.session).bind(at).execute(c).await?.rows_affected()
    });
    Ok(done == 1)
}

/// Whether a provider said since this moment that what somebody had there ended.
pub async fn has_ended_there(tx: &mut Tx, provider: Uuid, there: &There, since: Timestamp) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM provider_logouts
               WHERE provider_id = $1 AND issuer = $2 AND said_at >= $5
                 AND (subject IS NULL OR subject = $3)
                 AND (provider_session IS NULL OR provider_session = $4 OR ($4 IS NULL AND subject = $3))";
    let count: i64 = on_tx!(tx, |c| {
        let query = sqlx::query_scalar(sql).bind(provider).bind(&there.issuer).bind(&there.subject);
        query.bind(&there.session).bind(since).fetch_one(c).await
    })?;
    Ok(count > 0)
}

/// Forgets what providers said so long ago.
pub async fn delete_logouts_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM provider_logouts WHERE said_at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await?.rows_affected()))
}

//! API tokens in the database.

use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;
use sqlx::types::Json;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Limits, Page, UserId};
use crate::identity::users::User;
use crate::on_tx;

/// One token. Its secret is not part of it.
#[derive(Clone, Debug, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct ApiToken {
    /// The public part of the token.
    pub id: String,
    /// Whose it is.
    #[sqlx(try_from = "Uuid")]
    pub user_id: UserId,
    /// Their name.
    pub user_name: String,
    /// What it is for.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was used last, to within ten minutes.
    pub last_used_at: Option<Timestamp>,
    /// Since when it is revoked.
    pub revoked_at: Option<Timestamp>,
    /// What it is limited to.
    #[serde(flatten)]
    #[sqlx(flatten)]
    pub limits: Limits,
}

const COLUMNS: &str = "t.id, t.user_id, u.name AS user_name, t.name, t.created_at, t.expires_at, t.last_used_at,
    t.revoked_at, t.scopes, t.environments, t.environment_groups, t.networks";

/// Which tokens to list.
#[derive(Clone, Debug, Default)]
pub struct ApiTokenFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
    /// Only those of this name.
    pub name: Option<String>,
    /// Only the one of this id.
    pub id: Option<String>,
}

/// A token as it is needed to recognise its user.
#[derive(sqlx::FromRow)]
pub struct TokenUser {
    pub secret_hash: Vec<u8>,
    pub last_used_at: Option<Timestamp>,
    #[sqlx(flatten)]
    pub limits: Limits,
    #[sqlx(flatten)]
    pub user: User,
}

pub async fn insert(tx: &mut Tx, token: &ApiToken, secret_hash: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO api_tokens (id, user_id, name, secret_hash, created_at, expires_at, scopes, environments,
                   environment_groups, networks)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(&token.id)
            .bind(token.user_id.0)
            .bind(&token.name)
            .bind(secret_hash)
            .bind(token.created_at)
            .bind(token.expires_at)
            .bind(Json(&token.limits.scopes))
            .bind(Json(&token.limits.environments))
            .bind(Json(&token.limits.groups))
            .bind(Json(&token.limits.networks))
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// The token of this id with its user, if both are still good.
pub async fn find_user(tx: &mut Tx, id: &str, now: Timestamp) -> Result<Option<TokenUser>, DbError> {
    let sql = "SELECT t.secret_hash, t.last_used_at, t.scopes, t.environments, t.environment_groups, t.networks, u.id,
                    u.name, u.role, u.created_at, u.updated_at, u.disabled_at
               FROM api_tokens t JOIN users u ON u.id = t.user_id
               WHERE t.id = $1 AND t.expires_at > $2 AND t.revoked_at IS NULL AND u.disabled_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).bind(now).fetch_optional(c).await)?)
}

pub async fn find(tx: &mut Tx, id: &str) -> Result<Option<ApiToken>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM api_tokens t JOIN users u ON u.id = t.user_id WHERE t.id = $1");
    Ok(on_tx!(tx, |c| sqlx::query_as(AssertSqlSafe(sql)).bind(id).fetch_optional(c).await)?)
}

/// A token that is neither revoked nor expired.
pub async fn find_standing(tx: &mut Tx, id: &str, now: Timestamp) -> Result<Option<ApiToken>, DbError> {
    Ok(find(tx, id).await?.filter(|token| token.revoked_at.is_none() && token.expires_at > now))
}

/// Whether there is such a group of environments.
pub async fn group_exists(tx: &mut Tx, id: Uuid) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM environment_groups WHERE id = $1";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id).fetch_one(c).await)?;
    Ok(count > 0)
}

pub async fn list(tx: &mut Tx, filter: &ApiTokenFilter, page: Page) -> Result<Vec<ApiToken>, DbError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM api_tokens t JOIN users u ON u.id = t.user_id
         WHERE ($1 IS NULL OR t.user_id = $1) AND ($2 IS NULL OR t.name = $2) AND ($3 IS NULL OR t.id = $3)
         ORDER BY t.created_at DESC, t.id LIMIT $4 OFFSET $5"
    );
    let (user, Page { limit, offset }) = (filter.user.map(|user| user.0), page);
    let tokens = on_tx!(tx, |c| {
        let asked = sqlx::query_as(AssertSqlSafe(sql)).bind(user).bind(&filter.name).bind(&filter.id);
        asked.bind(limit).bind(offset).fetch_all(c).await
    })?;
    Ok(tokens)
}

pub async fn count(tx: &mut Tx, filter: &ApiTokenFilter) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM api_tokens
               WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR name = $2) AND ($3 IS NULL OR id = $3)";
    let user = filter.user.map(|user| user.0);
    let count =
        on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user).bind(&filter.name).bind(&filter.id).fetch_one(c).await)?;
    Ok(count)
}

pub async fn set_last_used(tx: &mut Tx, id: &str, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE api_tokens SET last_used_at = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn revoke(tx: &mut Tx, id: &str, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Deletes the tokens that ended before `moment`.
pub async fn delete_ended_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM api_tokens WHERE expires_at < $1 OR revoked_at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;
    use crate::identity::users::testing::{disable, insert_user};

    const ALL: Page = Page { limit: 10, offset: 0 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    fn token(id: &str, user: &User) -> ApiToken {
        ApiToken {
            id: id.into(),
            user_id: user.id,
            user_name: user.name.clone(),
            name: format!("name of {id}"),
            created_at: at(1),
            expires_at: at(10),
            last_used_at: None,
            revoked_at: None,
            limits: Limits::default(),
        }
    }

    on_both_engines! {
        async fn a_token_names_its_user_until_it_ends_or_is_revoked_or_the_user_is_disabled(db) {
            let mut tx = db.write().await.unwrap();
            let (ada, bob) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
            insert(&mut tx, &token("a", &ada), b"hash").await.unwrap();
            insert(&mut tx, &token("b", &bob), b"hash").await.unwrap();
            let found = find_user(&mut tx, "a", at(9)).await.unwrap().unwrap();
            assert_eq!((found.user.id, found.secret_hash.as_slice()), (ada.id, &b"hash"[..]));
            assert!(find_user(&mut tx, "a", at(10)).await.unwrap().is_none());
            revoke(&mut tx, "a", at(2)).await.unwrap();
            assert!(find_user(&mut tx, "a", at(9)).await.unwrap().is_none());
            disable(&mut tx, bob.id, at(2)).await;
            assert!(find_user(&mut tx, "b", at(9)).await.unwrap().is_none());
        }

        async fn tokens_are_listed_filtered_and_their_use_is_noted(db) {
            let mut tx = db.write().await.unwrap();
            let (ada, bob) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
            insert(&mut tx, &token("a", &ada), b"").await.unwrap();
            insert(&mut tx, &token("b", &bob), b"").await.unwrap();
            set_last_used(&mut tx, "b", at(3)).await.unwrap();
            assert_eq!(find(&mut tx, "b").await.unwrap().unwrap().last_used_at, Some(at(3)));
            let ids = |tokens: Vec<ApiToken>| tokens.into_iter().map(|token| token.id).collect::<Vec<_>>();
            let of_ada = ApiTokenFilter { user: Some(ada.id), ..ApiTokenFilter::default() };
            assert_eq!(ids(list(&mut tx, &of_ada, ALL).await.unwrap()), ["a"]);
            let named = ApiTokenFilter { name: Some("name of b".into()), ..ApiTokenFilter::default() };
            assert_eq!(ids(list(&mut tx, &named, ALL).await.unwrap()), ["b"]);
            assert_eq!(count(&mut tx, &ApiTokenFilter::default()).await.unwrap(), 2);
        }

        async fn tokens_that_ended_long_ago_are_deleted(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await;
            for id in ["expired", "revoked", "good"] {
                insert(&mut tx, &token(id, &ada), b"").await.unwrap();
            }
            revoke(&mut tx, "revoked", at(2)).await.unwrap();
            assert_eq!(delete_ended_before(&mut tx, at(5)).await.unwrap(), 1);
            assert_eq!(delete_ended_before(&mut tx, at(11)).await.unwrap(), 2);
        }
    }
}

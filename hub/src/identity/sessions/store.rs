//! Cookie sessions in the database.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Page, UserId};
use crate::identity::users::User;
use crate::on_tx;

/// One session. Its secret is not part of it.
#[derive(Clone, Debug, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct Session {
    /// The session.
    pub id: Uuid,
    /// Whose it is.
    #[sqlx(try_from = "Uuid")]
    pub user_id: UserId,
    /// Their name.
    pub user_name: String,
    /// Where it was started from.
    pub address: Option<String>,
    /// What the browser called itself.
    pub user_agent: String,
    /// When it was started.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Which sessions to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
}

pub async fn insert(tx: &mut Tx, session: &Session, secret_hash: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO sessions (id, user_id, secret_hash, address, user_agent, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(session.id)
            .bind(session.user_id.0)
            .bind(secret_hash)
            .bind(&session.address)
            .bind(&session.user_agent)
            .bind(session.created_at)
            .bind(session.expires_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// The session with this secret and its user, if both are still good.
pub async fn find_user(tx: &mut Tx, secret_hash: &[u8], now: Timestamp) -> Result<Option<(Uuid, User)>, DbError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        session_id: Uuid,
        #[sqlx(flatten)]
        user: User,
    }
    let sql = "SELECT s.id AS session_id, u.id, u.name, u.role, u.created_at, u.updated_at, u.disabled_at
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.secret_hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL";
    let row: Option<Row> = on_tx!(tx, |c| sqlx::query_as(sql).bind(secret_hash).bind(now).fetch_optional(c).await)?;
    Ok(row.map(|row| (row.session_id, row.user)))
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<Session>, DbError> {
    let sql = "SELECT s.id, s.user_id, u.name AS user_name, s.address, s.user_agent, s.created_at, s.expires_at
               FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// Whether a session is still there and has not expired.
pub async fn stands(tx: &mut Tx, id: Uuid, now: Timestamp) -> Result<bool, DbError> {
    Ok(find(tx, id).await?.is_some_and(|session| session.expires_at > now))
}

pub async fn list(tx: &mut Tx, filter: &SessionFilter, page: Page, now: Timestamp) -> Result<Vec<Session>, DbError> {
    let sql = "SELECT s.id, s.user_id, u.name AS user_name, s.address, s.user_agent, s.created_at, s.expires_at
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.expires_at > $1 AND ($2 IS NULL OR s.user_id = $2)
               ORDER BY s.created_at DESC, s.id LIMIT $3 OFFSET $4";
    let user = filter.user.map(|user| user.0);
    let sessions = on_tx!(tx, |c| {
        sqlx::query_as(sql).bind(now).bind(user).bind(page.limit).bind(page.offset).fetch_all(c).await
    })?;
    Ok(sessions)
}

pub async fn count(tx: &mut Tx, filter: &SessionFilter, now: Timestamp) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM sessions WHERE expires_at > $1 AND ($2 IS NULL OR user_id = $2)";
    let user = filter.user.map(|user| user.0);
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(now).bind(user).fetch_one(c).await)?)
}

pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM sessions WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete_by_hash(tx: &mut Tx, secret_hash: &[u8]) -> Result<(), DbError> {
    let sql = "DELETE FROM sessions WHERE secret_hash = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(secret_hash).execute(c).await.map(drop))?;
    Ok(())
}

/// Ends every session of everyone.
pub async fn delete_all(tx: &mut Tx) -> Result<(), DbError> {
    on_tx!(tx, |c| sqlx::query("DELETE FROM sessions").execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete_of_user(tx: &mut Tx, user: UserId) -> Result<u64, DbError> {
    let sql = "DELETE FROM sessions WHERE user_id = $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(user.0).execute(c).await.map(|done| done.rows_affected()))?)
}

pub async fn delete_expired(tx: &mut Tx, now: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM sessions WHERE expires_at <= $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(now).execute(c).await.map(|done| done.rows_affected()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;
    use crate::identity::users::testing::insert_user;

    const ALL: Page = Page { limit: 10, offset: 0 };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    fn session(user: &User, created: i64, expires: i64) -> Session {
        Session {
            id: Uuid::now_v7(),
            user_id: user.id,
            user_name: user.name.clone(),
            address: Some("192.0.2.1".into()),
            user_agent: "browser".into(),
            created_at: at(created),
            expires_at: at(expires),
        }
    }

    on_both_engines! {
        async fn a_session_names_its_user_until_it_ends_or_the_user_is_disabled(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await;
            let session = session(&ada, 0, 10);
            insert(&mut tx, &session, b"hash").await.unwrap();
            let (id, user) = find_user(&mut tx, b"hash", at(9)).await.unwrap().unwrap();
            assert_eq!((id, user.id, user.name.as_str()), (session.id, ada.id, "ada"));
            assert!(find_user(&mut tx, b"hash", at(10)).await.unwrap().is_none());
            assert!(find_user(&mut tx, b"other", at(9)).await.unwrap().is_none());
            crate::identity::users::testing::disable(&mut tx, ada.id, at(1)).await;
            assert!(find_user(&mut tx, b"hash", at(9)).await.unwrap().is_none());
        }

        async fn running_sessions_are_listed_newest_first(db) {
            let mut tx = db.write().await.unwrap();
            let (ada, bob) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
            let (old, over, new) = (session(&ada, 1, 100), session(&ada, 2, 5), session(&bob, 3, 100));
            for (session, hash) in [(&old, b"1"), (&over, b"2"), (&new, b"3")] {
                insert(&mut tx, session, hash).await.unwrap();
            }
            let ids = |sessions: Vec<Session>| sessions.into_iter().map(|session| session.id).collect::<Vec<_>>();
            let everyone = SessionFilter::default();
            assert_eq!(ids(list(&mut tx, &everyone, ALL, at(50)).await.unwrap()), [new.id, old.id]);
            assert_eq!(count(&mut tx, &everyone, at(50)).await.unwrap(), 2);
            let of_ada = SessionFilter { user: Some(ada.id) };
            assert_eq!(ids(list(&mut tx, &of_ada, ALL, at(50)).await.unwrap()), [old.id]);
            assert_eq!(find(&mut tx, new.id).await.unwrap().unwrap().user_name, "bob");
        }

        async fn sessions_are_deleted_one_by_one_by_user_and_when_over(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await;
            let sessions = [1, 2, 3, 4, 5].map(|second| session(&ada, second, second * 10));
            for (i, session) in sessions.iter().enumerate() {
                insert(&mut tx, session, &[i as u8]).await.unwrap();
            }
            delete(&mut tx, sessions[4].id).await.unwrap();
            delete_by_hash(&mut tx, &[3]).await.unwrap();
            assert_eq!(delete_expired(&mut tx, at(10)).await.unwrap(), 1);
            assert_eq!(delete_of_user(&mut tx, ada.id).await.unwrap(), 2);
        }
    }
}

//! Cookie sessions in the database.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Page, UserId};
use crate::identity::sessions::{EndedThere, SignedInBy};
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
    /// When it ends, whatever is done with it.
    pub expires_at: Timestamp,
    /// When the browser was heard of last, to about a minute.
    pub last_used_at: Timestamp,
}

/// The bounds of sessions that are not over.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// They expire after this.
    pub now: Timestamp,
    /// They were used after this.
    pub used_after: Timestamp,
}

/// The user whose session has some secret.
#[derive(Debug, sqlx::FromRow)]
pub struct FoundUser {
    pub session_id: Uuid,
    pub last_used_at: Timestamp,
    #[sqlx(flatten)]
    pub user: User,
}

/// Which sessions to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionFilter {
    /// Only those of this user.
    pub user: Option<UserId>,
}

/// Starts a session, whose user proved just now that it is they.
pub async fn insert(tx: &mut Tx, session: &Session, secret_hash: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO sessions (id, user_id, secret_hash, address, user_agent, created_at, expires_at,
               last_used_at, confirmed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $6)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(session.id)
            .bind(session.user_id.0)
            .bind(secret_hash)
            .bind(&session.address)
            .bind(&session.user_agent)
            .bind(session.created_at)
            .bind(session.expires_at)
            .bind(session.last_used_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// When the session's user last proved that it is they.
pub async fn find_confirmed_at(tx: &mut Tx, id: Uuid) -> Result<Option<Timestamp>, DbError> {
    let sql = "SELECT confirmed_at FROM sessions WHERE id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)?)
}

/// Notes that they proved it, and gives the session another secret. When it
/// ends; `None` where it is over or has another secret already.
pub async fn confirm(
    tx: &mut Tx,
    id: Uuid,
    (before, after): (&[u8], &[u8]),
    now: Timestamp,
) -> Result<Option<Timestamp>, DbError> {
    let sql = "UPDATE sessions SET secret_hash = $3, confirmed_at = $4 WHERE id = $1 AND secret_hash = $2
               RETURNING expires_at";
    let ends = on_tx!(tx, |c| {
        sqlx::query_scalar(sql).bind(id).bind(before).bind(after).bind(now).fetch_optional(c).await
    })?;
    Ok(ends)
}

/// Notes by which provider the session's user is known, and who they are there.
pub async fn set_provider(tx: &mut Tx, id: Uuid, provider: &SignedInBy) -> Result<(), DbError> {
    let sql = "UPDATE sessions SET provider_id = $2, provider_issuer = $3, provider_subject = $4,
                   provider_session = $5 WHERE id = $1";
    let there = provider.there.as_ref();
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(id).bind(provider.id).bind(there.map(|there| &there.issuer));
        let query = query.bind(there.map(|there| &there.subject)).bind(there.and_then(|there| there.session.as_ref()));
        query.execute(c).await.map(drop)
    })?;
    Ok(())
}

/// The sessions that end because a provider says that theirs did. Of one that
/// does not say which it was there, the subject decides; of one that is older
/// than these notes, the user who is linked so.
pub async fn list_ended_there(tx: &mut Tx, provider: Uuid, ended: &EndedThere) -> Result<Vec<Session>, DbError> {
    let sql = "SELECT s.id, s.user_id, u.name AS user_name, s.address, s.user_agent, s.created_at, s.expires_at,
                   s.last_used_at
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.provider_id = $1 AND (
                   (s.provider_issuer = $2 AND ($3 IS NULL OR s.provider_subject = $3)
                    AND ($4 IS NULL OR s.provider_session = $4
                         OR (s.provider_session IS NULL AND s.provider_subject = $3)))
                   OR (s.provider_subject IS NULL AND s.user_id IN (
                       SELECT user_id FROM linked_identities WHERE issuer = $2 AND subject = $3)))
               ORDER BY s.id";
    let sessions = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(provider).bind(&ended.issuer).bind(&ended.subject);
        query.bind(&ended.session).fetch_all(c).await
    })?;
    Ok(sessions)
}

/// By which provider the session's user is known, where it was one.
pub async fn find_provider(tx: &mut Tx, id: Uuid) -> Result<Option<Uuid>, DbError> {
    let sql = "SELECT provider_id FROM sessions WHERE id = $1 AND provider_id IS NOT NULL";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id).fetch_optional(c).await)?)
}

/// The user whose running session has this secret, unless disabled.
pub async fn find_user(tx: &mut Tx, secret_hash: &[u8], running: Running) -> Result<Option<FoundUser>, DbError> {
    let sql =
        "SELECT s.id AS session_id, s.last_used_at, u.id, u.name, u.role, u.created_at, u.updated_at, u.disabled_at
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.secret_hash = $1 AND s.expires_at > $2 AND s.last_used_at > $3 AND u.disabled_at IS NULL";
    let Running { now, used_after } = running;
    let found =
        on_tx!(tx, |c| sqlx::query_as(sql).bind(secret_hash).bind(now).bind(used_after).fetch_optional(c).await)?;
    Ok(found)
}

pub async fn find(tx: &mut Tx, id: Uuid) -> Result<Option<Session>, DbError> {
    let sql = "SELECT s.id, s.user_id, u.name AS user_name, s.address, s.user_agent, s.created_at, s.expires_at,
                   s.last_used_at
               FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id).fetch_optional(c).await)?)
}

/// A session that is not over.
pub async fn find_running(tx: &mut Tx, id: Uuid, running: Running) -> Result<Option<Session>, DbError> {
    let Running { now, used_after } = running;
    Ok(find(tx, id).await?.filter(|session| session.expires_at > now && session.last_used_at > used_after))
}

pub async fn list(tx: &mut Tx, filter: &SessionFilter, page: Page, running: Running) -> Result<Vec<Session>, DbError> {
    let sql = "SELECT s.id, s.user_id, u.name AS user_name, s.address, s.user_agent, s.created_at, s.expires_at,
                   s.last_used_at
               FROM sessions s JOIN users u ON u.id = s.user_id
               WHERE s.expires_at > $1 AND s.last_used_at > $2 AND ($3 IS NULL OR s.user_id = $3)
               ORDER BY s.created_at DESC, s.id LIMIT $4 OFFSET $5";
    let (Running { now, used_after }, user) = (running, filter.user.map(|user| user.0));
    let sessions = on_tx!(tx, |c| {
        let query = sqlx::query_as(sql).bind(now).bind(used_after).bind(user);
        query.bind(page.limit).bind(page.offset).fetch_all(c).await
    })?;
    Ok(sessions)
}

pub async fn count(tx: &mut Tx, filter: &SessionFilter, running: Running) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM sessions
               WHERE expires_at > $1 AND last_used_at > $2 AND ($3 IS NULL OR user_id = $3)";
    let (Running { now, used_after }, user) = (running, filter.user.map(|user| user.0));
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(now).bind(used_after).bind(user).fetch_one(c).await)?)
}

pub async fn set_last_used(tx: &mut Tx, id: Uuid, at: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE sessions SET last_used_at = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(at).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM sessions WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// Ends the session that has this secret. Whether there was one.
pub async fn delete_by_hash(tx: &mut Tx, secret_hash: &[u8]) -> Result<bool, DbError> {
    let sql = "DELETE FROM sessions WHERE secret_hash = $1";
    let deleted = on_tx!(tx, |c| sqlx::query(sql).bind(secret_hash).execute(c).await.map(|done| done.rows_affected()))?;
    Ok(deleted > 0)
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

pub async fn delete_expired(tx: &mut Tx, Running { now, used_after }: Running) -> Result<u64, DbError> {
    let sql = "DELETE FROM sessions WHERE expires_at <= $1 OR last_used_at <= $2";
    let delete =
        on_tx!(tx, |c| sqlx::query(sql).bind(now).bind(used_after).execute(c).await.map(|done| done.rows_affected()));
    Ok(delete?)
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

    /// Nothing is idle.
    fn by(second: i64) -> Running {
        Running { now: at(second), used_after: at(-1) }
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
            last_used_at: at(created),
        }
    }

    on_both_engines! {
        async fn a_session_names_its_user_until_it_ends_or_the_user_is_disabled(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await;
            let session = session(&ada, 0, 10);
            insert(&mut tx, &session, b"hash").await.unwrap();
            let found = find_user(&mut tx, b"hash", by(9)).await.unwrap().unwrap();
            assert_eq!((found.session_id, found.user.id, found.user.name.as_str()), (session.id, ada.id, "ada"));
            assert!(find_user(&mut tx, b"hash", by(10)).await.unwrap().is_none());
            assert!(find_user(&mut tx, b"other", by(9)).await.unwrap().is_none());
            crate::identity::users::testing::disable(&mut tx, ada.id, at(1)).await;
            assert!(find_user(&mut tx, b"hash", by(9)).await.unwrap().is_none());
        }

        async fn a_session_that_nobody_uses_is_over(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await;
            let session = session(&ada, 1, 100);
            insert(&mut tx, &session, b"hash").await.unwrap();
            set_last_used(&mut tx, session.id, at(5)).await.unwrap();
            let used_after = |second| Running { now: at(20), used_after: at(second) };
            let everyone = SessionFilter::default();
            let good = find_running(&mut tx, session.id, used_after(4)).await.unwrap().unwrap();
            assert_eq!(good.last_used_at, at(5));
            assert_eq!(count(&mut tx, &everyone, used_after(4)).await.unwrap(), 1);
            assert!(find_user(&mut tx, b"hash", used_after(4)).await.unwrap().is_some());
            assert!(find_user(&mut tx, b"hash", used_after(5)).await.unwrap().is_none());
            assert!(find_running(&mut tx, session.id, used_after(5)).await.unwrap().is_none());
            assert!(list(&mut tx, &everyone, ALL, used_after(5)).await.unwrap().is_empty());
            assert_eq!(delete_expired(&mut tx, used_after(4)).await.unwrap(), 0);
            assert_eq!(delete_expired(&mut tx, used_after(5)).await.unwrap(), 1);
        }

        async fn a_session_is_confirmed_from_its_start_and_again_with_another_secret(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await;
            let (one, other) = (session(&ada, 1, 100), session(&ada, 2, 100));
            insert(&mut tx, &one, b"one").await.unwrap();
            insert(&mut tx, &other, b"other").await.unwrap();
            assert_eq!(find_confirmed_at(&mut tx, one.id).await.unwrap(), Some(at(1)));
            assert_eq!(confirm(&mut tx, one.id, (b"one", b"new"), at(9)).await.unwrap(), Some(at(100)));
            assert_eq!(find_confirmed_at(&mut tx, one.id).await.unwrap(), Some(at(9)));
            assert_eq!(find_confirmed_at(&mut tx, other.id).await.unwrap(), Some(at(2)));
            assert!(find_user(&mut tx, b"one", by(9)).await.unwrap().is_none());
            assert_eq!(find_user(&mut tx, b"new", by(9)).await.unwrap().unwrap().session_id, one.id);
            assert_eq!(confirm(&mut tx, one.id, (b"one", b"late"), at(10)).await.unwrap(), None);
            delete(&mut tx, one.id).await.unwrap();
            assert_eq!(confirm(&mut tx, one.id, (b"new", b"late"), at(10)).await.unwrap(), None);
            assert_eq!(find_confirmed_at(&mut tx, one.id).await.unwrap(), None);
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
            assert_eq!(ids(list(&mut tx, &everyone, ALL, by(50)).await.unwrap()), [new.id, old.id]);
            assert_eq!(count(&mut tx, &everyone, by(50)).await.unwrap(), 2);
            let of_ada = SessionFilter { user: Some(ada.id) };
            assert_eq!(ids(list(&mut tx, &of_ada, ALL, by(50)).await.unwrap()), [old.id]);
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
            assert!(delete_by_hash(&mut tx, &[3]).await.unwrap());
            assert!(!delete_by_hash(&mut tx, &[3]).await.unwrap());
            assert_eq!(delete_expired(&mut tx, by(10)).await.unwrap(), 1);
            assert_eq!(delete_of_user(&mut tx, ada.id).await.unwrap(), 2);
        }
    }
}

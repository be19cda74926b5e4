//! Passkeys in the database.

use uuid::Uuid;

use super::ceremony::Handle;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::UserId;
use crate::on_tx;

/// One passkey.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PasskeyRow {
    pub id: Uuid,
    #[sqlx(try_from = "Uuid")]
    pub user_id: UserId,
    pub credential_id: Vec<u8>,
    pub public_key: Vec<u8>,
    pub sign_count: i64,
    pub transports: String,
    pub user_handle: Vec<u8>,
    pub rp_id: String,
    pub name: String,
    pub backup_eligible: bool,
    pub backed_up: bool,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
}

impl PasskeyRow {
    /// How its authenticator knows its user.
    pub fn handle(&self) -> Option<Handle> {
        <[u8; 64]>::try_from(self.user_handle.as_slice()).ok().map(Handle::from)
    }
}

/// Those of a user, oldest first.
pub async fn list_of(tx: &mut Tx, user: UserId) -> Result<Vec<PasskeyRow>, DbError> {
    let sql = "SELECT id, user_id, credential_id, public_key, sign_count, transports, user_handle, rp_id, name,
                      backup_eligible, backed_up, created_at, last_used_at
               FROM passkeys WHERE user_id = $1 ORDER BY created_at, id";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(user.0).fetch_all(c).await)?)
}

/// Whether a user has one.
pub async fn has_any(tx: &mut Tx, user: UserId) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM passkeys WHERE user_id = $1";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user.0).fetch_one(c).await)?;
    Ok(count > 0)
}

/// One of this user.
pub async fn find(tx: &mut Tx, user: UserId, id: Uuid) -> Result<Option<PasskeyRow>, DbError> {
    Ok(list_of(tx, user).await?.into_iter().find(|row| row.id == id))
}

pub async fn find_by_credential(tx: &mut Tx, credential_id: &[u8]) -> Result<Option<PasskeyRow>, DbError> {
    let sql = "SELECT id, user_id, credential_id, public_key, sign_count, transports, user_handle, rp_id, name,
                      backup_eligible, backed_up, created_at, last_used_at
               FROM passkeys WHERE credential_id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(credential_id).fetch_optional(c).await)?)
}

pub async fn insert(tx: &mut Tx, row: &PasskeyRow) -> Result<(), DbError> {
    let sql = "INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, transports, user_handle,
                                     rp_id, name, backup_eligible, backed_up, created_at, last_used_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(row.id)
            .bind(row.user_id.0)
            .bind(&row.credential_id)
            .bind(&row.public_key)
            .bind(row.sign_count)
            .bind(&row.transports)
            .bind(&row.user_handle)
            .bind(&row.rp_id)
            .bind(&row.name)
            .bind(row.backup_eligible)
            .bind(row.backed_up)
            .bind(row.created_at)
            .bind(row.last_used_at)
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

/// Notes a use, unless the number of uses is one that is over by now. An
/// authenticator that counts nothing says 0 each time.
pub async fn note_use(
    tx: &mut Tx,
    id: Uuid,
    sign_count: u32,
    backed_up: bool,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "UPDATE passkeys SET sign_count = $2, backed_up = $3, last_used_at = $4
               WHERE id = $1 AND (sign_count < $2 OR sign_count = 0)";
    let done = on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(id).bind(i64::from(sign_count)).bind(backed_up).bind(now);
        query.execute(c).await.map(|done| done.rows_affected())
    })?;
    Ok(done > 0)
}

pub async fn rename(tx: &mut Tx, id: Uuid, name: &str) -> Result<(), DbError> {
    let sql = "UPDATE passkeys SET name = $2 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).bind(name).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn delete(tx: &mut Tx, id: Uuid) -> Result<(), DbError> {
    let sql = "DELETE FROM passkeys WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    Ok(())
}

/// Deletes those of a user; how many there were.
pub async fn delete_all_of(tx: &mut Tx, user: UserId) -> Result<u64, DbError> {
    let sql = "DELETE FROM passkeys WHERE user_id = $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(user.0).execute(c).await.map(|done| done.rows_affected()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;
    use crate::identity::users::testing::insert_user;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    fn row(user: UserId, number: u8) -> PasskeyRow {
        PasskeyRow {
            id: Uuid::now_v7(),
            user_id: user,
            credential_id: vec![number; 16],
            public_key: vec![0, 255, number],
            sign_count: i64::from(u32::MAX) - 1,
            transports: "usb internal".into(),
            user_handle: vec![7; 64],
            rp_id: "hub.example".into(),
            name: "Clé".into(),
            backup_eligible: true,
            backed_up: false,
            created_at: at(number.into()),
            last_used_at: None,
        }
    }

    on_both_engines! {
        async fn a_passkey_comes_back_as_it_was_kept(db) {
            let mut tx = db.write().await.unwrap();
            let (ada, bob) = (insert_user(&mut tx, "ada").await.id, insert_user(&mut tx, "bob").await.id);
            let (first, second, other) = (row(ada, 1), row(ada, 2), row(bob, 3));
            for row in [&second, &first, &other] {
                insert(&mut tx, row).await.unwrap();
            }
            assert_eq!(list_of(&mut tx, ada).await.unwrap(), [first.clone(), second.clone()]);
            assert_eq!(find_by_credential(&mut tx, &[2; 16]).await.unwrap(), Some(second.clone()));
            assert_eq!(find_by_credential(&mut tx, &[9; 16]).await.unwrap(), None);
            assert_eq!(find(&mut tx, ada, other.id).await.unwrap(), None, "it is another's");
            rename(&mut tx, first.id, "Téléphone").await.unwrap();
            assert_eq!(find(&mut tx, ada, first.id).await.unwrap().unwrap().name, "Téléphone");
            delete(&mut tx, first.id).await.unwrap();
            assert!(has_any(&mut tx, ada).await.unwrap());
            assert_eq!(delete_all_of(&mut tx, ada).await.unwrap(), 1);
            assert!(!has_any(&mut tx, ada).await.unwrap() && has_any(&mut tx, bob).await.unwrap());
        }

        async fn a_number_of_uses_counts_once_and_none_before_it_does(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await.id;
            let counting = PasskeyRow { sign_count: 7, ..row(ada, 1) };
            let silent = PasskeyRow { sign_count: 0, ..row(ada, 2) };
            insert(&mut tx, &counting).await.unwrap();
            insert(&mut tx, &silent).await.unwrap();
            let mut done = Vec::new();
            for count in [7, 8, 8, 6, 0, u32::MAX] {
                done.push(note_use(&mut tx, counting.id, count, true, at(9)).await.unwrap());
            }
            assert_eq!(done, [false, true, false, false, false, true]);
            let noted = find(&mut tx, ada, counting.id).await.unwrap().unwrap();
            assert_eq!((noted.sign_count, noted.backed_up), (u32::MAX.into(), true));
            assert_eq!(noted.last_used_at, Some(at(9)));
            for _ in 0..2 {
                assert!(note_use(&mut tx, silent.id, 0, false, at(9)).await.unwrap());
            }
        }

        async fn no_two_passkeys_have_one_credential(db) {
            let mut tx = db.write().await.unwrap();
            let (ada, bob) = (insert_user(&mut tx, "ada").await.id, insert_user(&mut tx, "bob").await.id);
            insert(&mut tx, &row(ada, 1)).await.unwrap();
            assert!(matches!(insert(&mut tx, &row(bob, 1)).await, Err(DbError::Duplicate(_))));
        }
    }
}

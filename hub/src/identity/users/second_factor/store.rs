//! Second factors in the database.

use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::UserId;
use crate::on_tx;

/// A user's second factor, confirmed or only begun.
#[derive(Debug, sqlx::FromRow)]
pub struct FactorRow {
    pub secret_sealed: Vec<u8>,
    pub last_step: i64,
    pub begun_at: Timestamp,
    pub confirmed_at: Option<Timestamp>,
}

pub async fn find(tx: &mut Tx, user: UserId) -> Result<Option<FactorRow>, DbError> {
    let sql = "SELECT secret_sealed, last_step, begun_at, confirmed_at FROM second_factors WHERE user_id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(user.0).fetch_optional(c).await)?)
}

/// Whether a user has no password here, and signs in only with providers that
/// are trusted to ask for a second factor.
pub async fn is_looked_after_elsewhere(tx: &mut Tx, user: UserId) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM users WHERE users.id = $1 AND users.password_hash = ''
               AND EXISTS (SELECT 1 FROM linked_identities WHERE linked_identities.user_id = users.id)
               AND NOT EXISTS (SELECT 1 FROM linked_identities
                               JOIN identity_providers ON identity_providers.id = linked_identities.provider_id
                               WHERE linked_identities.user_id = users.id
                                 AND NOT identity_providers.trusted_for_second_factor)";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user.0).fetch_one(c).await)?;
    Ok(count > 0)
}

pub async fn is_on(tx: &mut Tx, user: UserId) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM second_factors WHERE user_id = $1 AND confirmed_at IS NOT NULL";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user.0).fetch_one(c).await)?;
    Ok(count > 0)
}

/// Begins anew, unless there is a confirmed one.
pub async fn begin(tx: &mut Tx, user: UserId, secret_sealed: &[u8], now: Timestamp) -> Result<bool, DbError> {
    let sql = "INSERT INTO second_factors (user_id, secret_sealed, last_step, begun_at) VALUES ($1, $2, -1, $3)
               ON CONFLICT (user_id) DO UPDATE SET secret_sealed = excluded.secret_sealed, last_step = -1,
                   begun_at = excluded.begun_at
               WHERE second_factors.confirmed_at IS NULL";
    changed(on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(user.0).bind(secret_sealed).bind(now);
        query.execute(c).await.map(|done| done.rows_affected())
    }))
}

/// Confirms the one that was begun with this secret, unless that was done or
/// another was begun meanwhile.
pub async fn confirm(
    tx: &mut Tx,
    user: UserId,
    secret_sealed: &[u8],
    step: i64,
    now: Timestamp,
) -> Result<bool, DbError> {
    let sql = "UPDATE second_factors SET confirmed_at = $4, last_step = $3
               WHERE user_id = $1 AND secret_sealed = $2 AND confirmed_at IS NULL";
    changed(on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(user.0).bind(secret_sealed).bind(step).bind(now);
        query.execute(c).await.map(|done| done.rows_affected())
    }))
}

/// Uses the code of a step up; false if it, or that of a later one, was used.
/// Of many who try at once, one succeeds.
pub async fn use_step(tx: &mut Tx, user: UserId, step: i64) -> Result<bool, DbError> {
    let sql = "UPDATE second_factors SET last_step = $2
               WHERE user_id = $1 AND last_step < $2 AND confirmed_at IS NOT NULL";
    changed(on_tx!(tx, |c| {
        sqlx::query(sql).bind(user.0).bind(step).execute(c).await.map(|done| done.rows_affected())
    }))
}

/// Forgets it, confirmed or not, with its recovery codes. Whether there was one.
pub async fn delete(tx: &mut Tx, user: UserId) -> Result<bool, DbError> {
    let sql = "DELETE FROM second_factors WHERE user_id = $1";
    changed(on_tx!(tx, |c| sqlx::query(sql).bind(user.0).execute(c).await.map(|done| done.rows_affected())))
}

/// Puts these recovery codes in the place of those from before.
pub async fn replace_recovery_codes(tx: &mut Tx, user: UserId, hashes: &[[u8; 32]]) -> Result<(), DbError> {
    let sql = "DELETE FROM recovery_codes WHERE user_id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(user.0).execute(c).await.map(drop))?;
    for hash in hashes {
        let sql = "INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)";
        on_tx!(tx, |c| sqlx::query(sql).bind(user.0).bind(hash.as_slice()).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// Uses a recovery code up; false if there is none, or it was used. Of many who
/// try at once, one succeeds.
pub async fn use_recovery_code(tx: &mut Tx, user: UserId, hash: &[u8; 32], now: Timestamp) -> Result<bool, DbError> {
    let sql = "UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL";
    changed(on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(user.0).bind(hash.as_slice()).bind(now);
        query.execute(c).await.map(|done| done.rows_affected())
    }))
}

/// How many recovery codes are left.
pub async fn count_recovery_codes(tx: &mut Tx, user: UserId) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user.0).fetch_one(c).await)?)
}

fn changed(rows: Result<u64, sqlx::Error>) -> Result<bool, DbError> {
    Ok(rows? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;
    use crate::identity::users::testing::insert_user;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    on_both_engines! {
        async fn a_factor_is_begun_anew_until_it_is_confirmed_and_then_stays(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await.id;
            assert!(begin(&mut tx, ada, b"one", at(1)).await.unwrap());
            assert!(begin(&mut tx, ada, b"two", at(2)).await.unwrap());
            assert!(!is_on(&mut tx, ada).await.unwrap());
            assert!(!use_step(&mut tx, ada, 9).await.unwrap(), "it is not confirmed");
            assert!(!confirm(&mut tx, ada, b"one", 7, at(3)).await.unwrap(), "another was begun");
            assert!(confirm(&mut tx, ada, b"two", 7, at(3)).await.unwrap());
            assert!(!confirm(&mut tx, ada, b"two", 8, at(4)).await.unwrap());
            assert!(!begin(&mut tx, ada, b"three", at(5)).await.unwrap());
            assert!(is_on(&mut tx, ada).await.unwrap());
            let row = find(&mut tx, ada).await.unwrap().unwrap();
            assert_eq!((row.secret_sealed.as_slice(), row.last_step), (&b"two"[..], 7));
            assert_eq!((row.begun_at, row.confirmed_at), (at(2), Some(at(3))));
        }

        async fn a_step_is_used_once_and_none_before_it_is(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await.id;
            begin(&mut tx, ada, b"secret", at(1)).await.unwrap();
            confirm(&mut tx, ada, b"secret", 7, at(1)).await.unwrap();
            let mut done = Vec::new();
            for step in [7, 8, 8, 7, 10, 9, 11] {
                done.push(use_step(&mut tx, ada, step).await.unwrap());
            }
            assert_eq!(done, [false, true, false, false, true, false, true]);
        }

        async fn recovery_codes_are_of_their_user_used_once_and_gone_with_the_factor(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await.id;
            let bob = insert_user(&mut tx, "bob").await.id;
            for user in [ada, bob] {
                begin(&mut tx, user, b"secret", at(1)).await.unwrap();
            }
            replace_recovery_codes(&mut tx, ada, &[[1; 32], [2; 32]]).await.unwrap();
            replace_recovery_codes(&mut tx, bob, &[[3; 32]]).await.unwrap();
            assert!(!use_recovery_code(&mut tx, bob, &[1; 32], at(2)).await.unwrap());
            assert!(use_recovery_code(&mut tx, ada, &[1; 32], at(2)).await.unwrap());
            assert!(!use_recovery_code(&mut tx, ada, &[1; 32], at(3)).await.unwrap());
            assert_eq!(count_recovery_codes(&mut tx, ada).await.unwrap(), 1);
            replace_recovery_codes(&mut tx, ada, &[[4; 32]]).await.unwrap();
            assert!(!use_recovery_code(&mut tx, ada, &[2; 32], at(4)).await.unwrap());
            assert!(delete(&mut tx, ada).await.unwrap());
            assert!(!delete(&mut tx, ada).await.unwrap());
            assert_eq!(count_recovery_codes(&mut tx, ada).await.unwrap(), 0);
            assert_eq!(count_recovery_codes(&mut tx, bob).await.unwrap(), 1);
        }

        async fn of_two_transactions_with_one_code_one_succeeds(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await.id;
            begin(&mut tx, ada, b"secret", at(1)).await.unwrap();
            confirm(&mut tx, ada, b"secret", 7, at(1)).await.unwrap();
            replace_recovery_codes(&mut tx, ada, &[[1; 32]]).await.unwrap();
            tx.commit().await.unwrap();
            let attempts = (0..8).map(|_| async {
                let mut tx = db.write().await.unwrap();
                let step = use_step(&mut tx, ada, 8).await.unwrap();
                let code = use_recovery_code(&mut tx, ada, &[1; 32], at(2)).await.unwrap();
                tx.commit().await.unwrap();
                (step, code)
            });
            let done = futures_util::future::join_all(attempts).await;
            assert_eq!(done.iter().filter(|(step, _)| *step).count(), 1, "{done:?}");
            assert_eq!(done.iter().filter(|(_, code)| *code).count(), 1, "{done:?}");
        }
    }
}

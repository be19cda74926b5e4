//! Users in the database.

use serde::{Deserialize, Serialize};

use super::{Contact, UserName};
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Page, Role, UserId};
use crate::mail::Language;
use crate::on_tx;

/// One user. The password is not part of it.
#[derive(Clone, Debug, Serialize, Deserialize, sqlx::FromRow, utoipa::ToSchema)]
pub struct User {
    /// The user.
    #[sqlx(try_from = "uuid::Uuid")]
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// What they may do.
    #[sqlx(try_from = "String")]
    pub role: Role,
    /// When they were made.
    pub created_at: Timestamp,
    /// When they or their password changed last.
    pub updated_at: Timestamp,
    /// Since when they may not sign in.
    pub disabled_at: Option<Timestamp>,
    /// Since when they sign in with a second factor too.
    #[sqlx(default)]
    pub second_factor_since: Option<Timestamp>,
    /// How many passkeys they have.
    #[sqlx(default)]
    pub passkeys: i64,
    /// Their e-mail address, in small letters.
    #[sqlx(default)]
    pub email: Option<String>,
    /// Since when it is known to be theirs. Nothing that counts is sent to it
    /// before.
    #[sqlx(default)]
    pub email_verified_at: Option<Timestamp>,
    /// The language of mails to them.
    #[sqlx(default, try_from = "String")]
    pub language: Language,
}

impl User {
    pub(super) fn new(name: &UserName, role: Role, now: Timestamp) -> Self {
        let name = name.as_str().to_owned();
        Self {
            id: UserId::generate(),
            name,
            role,
            created_at: now,
            updated_at: now,
            disabled_at: None,
            second_factor_since: None,
            passkeys: 0,
            email: None,
            email_verified_at: None,
            language: Language::default(),
        }
    }

    /// The same with an address that they came from, which is theirs.
    pub(super) fn proven_at(self, email: Option<&str>, language: Language) -> Self {
        let email_verified_at = email.map(|_| self.created_at);
        Self { email: email.map(str::to_owned), email_verified_at, language, ..self }
    }

    /// The same with where they are written to, which is not verified.
    pub(super) fn reached_at(self, contact: Contact) -> Self {
        let email = contact.email.map(|email| email.to_string());
        Self { email, email_verified_at: None, language: contact.language, ..self }
    }
}

/// Which users to list.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// Only the one of this name.
    pub name: Option<String>,
    /// Only those of this role.
    pub role: Option<Role>,
}

pub async fn any(tx: &mut Tx) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM users";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).fetch_one(c).await)?;
    Ok(count > 0)
}

pub async fn insert(tx: &mut Tx, user: &User, password_hash: &str) -> Result<(), DbError> {
    let sql = "INSERT INTO users (id, name, role, password_hash, created_at, updated_at, disabled_at, email,
                                  email_verified_at, language)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    on_tx!(tx, |c| {
        sqlx::query(sql)
            .bind(user.id.0)
            .bind(&user.name)
            .bind(user.role.as_str())
            .bind(password_hash)
            .bind(user.created_at)
            .bind(user.updated_at)
            .bind(user.disabled_at)
            .bind(&user.email)
            .bind(user.email_verified_at)
            .bind(user.language.as_str())
            .execute(c)
            .await
            .map(drop)
    })?;
    Ok(())
}

pub async fn find(tx: &mut Tx, id: UserId) -> Result<Option<User>, DbError> {
    let sql = "SELECT id, name, role, created_at, updated_at, disabled_at, email, email_verified_at, language,
                      (SELECT confirmed_at FROM second_factors WHERE user_id = users.id) AS second_factor_since,
                      (SELECT COUNT(*) FROM passkeys WHERE user_id = users.id) AS passkeys
               FROM users WHERE id = $1";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(id.0).fetch_optional(c).await)?)
}

pub async fn find_by_name(tx: &mut Tx, name: &str) -> Result<Option<User>, DbError> {
    let sql = "SELECT id, name, role, created_at, updated_at, disabled_at, email, email_verified_at, language,
                      (SELECT confirmed_at FROM second_factors WHERE user_id = users.id) AS second_factor_since,
                      (SELECT COUNT(*) FROM passkeys WHERE user_id = users.id) AS passkeys
               FROM users WHERE LOWER(name) = LOWER($1)";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(name).fetch_optional(c).await)?)
}

/// The user whose verified address this is.
pub async fn find_by_verified_email(tx: &mut Tx, email: &str) -> Result<Option<User>, DbError> {
    let sql = "SELECT id, name, role, created_at, updated_at, disabled_at, email, email_verified_at, language,
                      (SELECT confirmed_at FROM second_factors WHERE user_id = users.id) AS second_factor_since,
                      (SELECT COUNT(*) FROM passkeys WHERE user_id = users.id) AS passkeys
               FROM users WHERE email = $1 AND email_verified_at IS NOT NULL";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(email).fetch_optional(c).await)?)
}

/// Whether this is the address of another user, verified or not.
pub async fn is_email_taken(tx: &mut Tx, email: &str, by_another_than: UserId) -> Result<bool, DbError> {
    let sql = "SELECT COUNT(*) FROM users WHERE email = $1 AND id <> $2";
    let count: i64 = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(email).bind(by_another_than.0).fetch_one(c).await)?;
    Ok(count > 0)
}

/// Gives a user another address, or none.
pub async fn set_email(
    tx: &mut Tx,
    id: UserId,
    email: Option<&str>,
    verified_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), DbError> {
    let sql = "UPDATE users SET email = $2, email_verified_at = $3, updated_at = $4 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(email).bind(verified_at).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn set_language(tx: &mut Tx, id: UserId, language: Language, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE users SET language = $2, updated_at = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(language.as_str()).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// What stands for the hash of somebody who has no password here.
pub const NO_PASSWORD: &str = "";

/// The hash of a user's password, where they have one.
pub async fn find_password_hash(tx: &mut Tx, id: UserId) -> Result<Option<String>, DbError> {
    let sql = "SELECT password_hash FROM users WHERE id = $1";
    let hash: Option<String> = on_tx!(tx, |c| sqlx::query_scalar(sql).bind(id.0).fetch_optional(c).await)?;
    Ok(hash.filter(|hash| hash != NO_PASSWORD))
}

pub async fn list(tx: &mut Tx, filter: &UserFilter, page: Page) -> Result<Vec<User>, DbError> {
    let sql = "SELECT id, name, role, created_at, updated_at, disabled_at, email, email_verified_at, language,
                      (SELECT confirmed_at FROM second_factors WHERE user_id = users.id) AS second_factor_since,
                      (SELECT COUNT(*) FROM passkeys WHERE user_id = users.id) AS passkeys
               FROM users
               WHERE ($1 IS NULL OR LOWER(name) = LOWER($1)) AND ($2 IS NULL OR role = $2)
               ORDER BY LOWER(name) LIMIT $3 OFFSET $4";
    let users = on_tx!(tx, |c| {
        sqlx::query_as(sql)
            .bind(&filter.name)
            .bind(filter.role.map(Role::as_str))
            .bind(page.limit)
            .bind(page.offset)
            .fetch_all(c)
            .await
    })?;
    Ok(users)
}

pub async fn count(tx: &mut Tx, filter: &UserFilter) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM users
               WHERE ($1 IS NULL OR LOWER(name) = LOWER($1)) AND ($2 IS NULL OR role = $2)";
    let role = filter.role.map(Role::as_str);
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(&filter.name).bind(role).fetch_one(c).await)?)
}

pub async fn count_active_administrators(tx: &mut Tx) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM users WHERE role = $1 AND disabled_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(Role::Administrator.as_str()).fetch_one(c).await)?)
}

pub async fn set_password(tx: &mut Tx, id: UserId, hash: &str, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(hash).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Puts a fresh hash of the same password in the place of `old`. A password
/// that was changed meanwhile stays.
pub async fn renew_password_hash(tx: &mut Tx, id: UserId, old: &str, fresh: &str) -> Result<bool, DbError> {
    let sql = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
    let done = on_tx!(tx, |c| {
        sqlx::query(sql).bind(id.0).bind(old).bind(fresh).execute(c).await.map(|done| done.rows_affected())
    });
    Ok(done? == 1)
}

pub async fn set_role(tx: &mut Tx, id: UserId, role: Role, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE users SET role = $2, updated_at = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(role.as_str()).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

pub async fn set_disabled(tx: &mut Tx, id: UserId, at: Option<Timestamp>, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE users SET disabled_at = $2, updated_at = $3 WHERE id = $1";
    on_tx!(tx, |c| sqlx::query(sql).bind(id.0).bind(at).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::db::testing::on_both_engines;

    const ALL: Page = Page { limit: 10, offset: 0 };

    fn now() -> Timestamp {
        time::macros::datetime!(2026-05-04 0:00 UTC).into()
    }

    fn user(name: &str, role: Role) -> User {
        User::new(&name.parse().unwrap(), role, now())
    }

    on_both_engines! {
        async fn a_user_is_found_by_id_and_by_name_in_any_case(db) {
            let mut tx = db.write().await.unwrap();
            assert!(!any(&mut tx).await.unwrap());
            let ada = user("Ada", Role::Viewer);
            insert(&mut tx, &ada, "hash").await.unwrap();
            assert!(any(&mut tx).await.unwrap());
            let found = find(&mut tx, ada.id).await.unwrap().unwrap();
            assert_eq!((found.name.as_str(), found.role, found.created_at), ("Ada", Role::Viewer, now()));
            assert_eq!(find_by_name(&mut tx, "aDA").await.unwrap().unwrap().id, ada.id);
            assert_eq!(find_password_hash(&mut tx, ada.id).await.unwrap().unwrap(), "hash");
            assert!(find(&mut tx, UserId::generate()).await.unwrap().is_none());
        }

        async fn a_list_is_sorted_filtered_and_paged(db) {
            let mut tx = db.write().await.unwrap();
            for (name, role) in [("bob", Role::Viewer), ("Ada", Role::Administrator), ("carl", Role::Viewer)] {
                insert(&mut tx, &user(name, role), "").await.unwrap();
            }
            let names = |users: Vec<User>| users.into_iter().map(|user| user.name).collect::<Vec<_>>();
            let everyone = UserFilter::default();
            assert_eq!(names(list(&mut tx, &everyone, ALL).await.unwrap()), ["Ada", "bob", "carl"]);
            assert_eq!(names(list(&mut tx, &everyone, Page { limit: 1, offset: 1 }).await.unwrap()), ["bob"]);
            let viewers = UserFilter { role: Some(Role::Viewer), ..UserFilter::default() };
            assert_eq!(names(list(&mut tx, &viewers, ALL).await.unwrap()), ["bob", "carl"]);
            assert_eq!(count(&mut tx, &viewers).await.unwrap(), 2);
            let by_name = UserFilter { name: Some("ADA".into()), ..UserFilter::default() };
            assert_eq!(names(list(&mut tx, &by_name, ALL).await.unwrap()), ["Ada"]);
        }

        async fn an_address_is_found_only_once_it_is_verified_and_is_of_one_user(db) {
            let mut tx = db.write().await.unwrap();
            let (ada, bob) = (user("ada", Role::Viewer), user("bob", Role::Viewer));
            insert(&mut tx, &ada, "").await.unwrap();
            insert(&mut tx, &bob, "").await.unwrap();
            set_email(&mut tx, ada.id, Some("ada@example.com"), None, now()).await.unwrap();
            assert!(find_by_verified_email(&mut tx, "ada@example.com").await.unwrap().is_none());
            assert!(is_email_taken(&mut tx, "ada@example.com", bob.id).await.unwrap());
            assert!(!is_email_taken(&mut tx, "ada@example.com", ada.id).await.unwrap());
            set_email(&mut tx, ada.id, Some("ada@example.com"), Some(now()), now()).await.unwrap();
            set_language(&mut tx, ada.id, Language::Fr, now()).await.unwrap();
            let found = find_by_verified_email(&mut tx, "ada@example.com").await.unwrap().unwrap();
            assert_eq!((found.id, found.language, found.email_verified_at), (ada.id, Language::Fr, Some(now())));
            let twice = set_email(&mut tx, bob.id, Some("ada@example.com"), None, now()).await;
            assert!(matches!(twice, Err(DbError::Duplicate(_))), "{twice:?}");
        }

        async fn a_hash_is_renewed_only_while_it_is_still_the_old_one(db) {
            let mut tx = db.write().await.unwrap();
            let ada = user("ada", Role::Viewer);
            insert(&mut tx, &ada, "old").await.unwrap();
            assert!(renew_password_hash(&mut tx, ada.id, "old", "fresh").await.unwrap());
            set_password(&mut tx, ada.id, "changed", now()).await.unwrap();
            assert!(!renew_password_hash(&mut tx, ada.id, "fresh", "late").await.unwrap());
            assert_eq!(find_password_hash(&mut tx, ada.id).await.unwrap().unwrap(), "changed");
        }

        async fn a_password_a_role_and_a_lock_are_updated_with_their_time(db) {
            let mut tx = db.write().await.unwrap();
            let ada = user("ada", Role::Administrator);
            insert(&mut tx, &ada, "old").await.unwrap();
            let later = now() + Duration::from_secs(1);
            set_password(&mut tx, ada.id, "new", later).await.unwrap();
            assert_eq!(find_password_hash(&mut tx, ada.id).await.unwrap().unwrap(), "new");
            assert_eq!(count_active_administrators(&mut tx).await.unwrap(), 1);
            set_disabled(&mut tx, ada.id, Some(later), later).await.unwrap();
            assert_eq!(count_active_administrators(&mut tx).await.unwrap(), 0);
            set_role(&mut tx, ada.id, Role::Operator, later).await.unwrap();
            let found = find(&mut tx, ada.id).await.unwrap().unwrap();
            assert_eq!((found.role, found.updated_at), (Role::Operator, later));
            assert_eq!(find(&mut tx, ada.id).await.unwrap().unwrap().disabled_at, Some(later));
        }
    }
}

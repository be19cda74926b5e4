//! Links with a secret: each works once, for what it was made for. Only the
//! secret's digest is stored.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use uuid::Uuid;
use windflow_protocol::text::base32;
use zeroize::Zeroizing;

use crate::clock::{Random, Timestamp};
use crate::db::{DbError, Tx};
use crate::http::UserId;
use crate::identity::hash_secret;
use crate::on_tx;

/// What every secret of a link starts with; in a query it is refused.
pub(in crate::identity::users) const PREFIX: &str = "wfl1_";
/// Random bytes in a secret.
const SECRET_BYTES: usize = 32;

/// The secret of a link.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(in crate::identity::users) struct LinkSecret(SecretString);

impl LinkSecret {
    /// A new one.
    pub fn generate(random: &Random) -> Self {
        let bytes = Zeroizing::new(random.bytes::<SECRET_BYTES>());
        let text = Zeroizing::new(format!("{PREFIX}{}", base32().encode(bytes.as_slice())));
        Self(text.as_str().into())
    }

    /// The text, to be given to whom it is for.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is stored of it. The secret is random enough to need no slow hash.
    pub fn digest(&self) -> [u8; 32] {
        hash_secret(self.expose().as_bytes())
    }
}

/// What a link of a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkKind {
    /// Lets them choose a new password.
    Reset,
    /// Makes the address that it was sent to theirs.
    Verify,
}

impl LinkKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Verify => "verify",
        }
    }
}

/// A link as it stands in the database.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Link {
    #[sqlx(try_from = "Uuid")]
    pub user_id: UserId,
    /// Where it was sent to.
    pub email: String,
}

/// A link to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLink<'a> {
    pub user: UserId,
    pub kind: LinkKind,
    pub email: &'a str,
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

pub(super) async fn insert(tx: &mut Tx, new: NewLink<'_>, digest: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO account_links (id, user_id, kind, secret_hash, email, created_at, expires_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    on_tx!(tx, |c| {
        let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(new.user.0).bind(new.kind.as_str()).bind(digest);
        query.bind(new.email).bind(new.now).bind(new.expires_at).execute(c).await.map(drop)
    })?;
    Ok(())
}

/// The link with this secret, while it works.
pub(super) async fn find(tx: &mut Tx, kind: LinkKind, digest: &[u8], now: Timestamp) -> Result<Option<Link>, DbError> {
    let sql = "SELECT user_id, email FROM account_links
               WHERE kind = $1 AND secret_hash = $2 AND used_at IS NULL AND expires_at > $3";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(kind.as_str()).bind(digest).bind(now).fetch_optional(c).await)?)
}

/// Uses a link up. Of many who try at once, one succeeds.
pub(super) async fn consume(
    tx: &mut Tx,
    kind: LinkKind,
    digest: &[u8],
    now: Timestamp,
) -> Result<Option<Link>, DbError> {
    let sql = "UPDATE account_links SET used_at = $3
               WHERE kind = $1 AND secret_hash = $2 AND used_at IS NULL AND expires_at > $3
               RETURNING user_id, email";
    Ok(on_tx!(tx, |c| sqlx::query_as(sql).bind(kind.as_str()).bind(digest).bind(now).fetch_optional(c).await)?)
}

/// How many of a kind were made for a user since then.
pub(super) async fn count_since(tx: &mut Tx, user: UserId, kind: LinkKind, since: Timestamp) -> Result<i64, DbError> {
    let sql = "SELECT COUNT(*) FROM account_links WHERE user_id = $1 AND kind = $2 AND created_at > $3";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user.0).bind(kind.as_str()).bind(since).fetch_one(c).await)?)
}

/// Where a link to verify an address was sent to, while it works.
pub(super) async fn find_pending_email(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<Option<String>, DbError> {
    let sql = "SELECT email FROM account_links
               WHERE user_id = $1 AND kind = 'verify' AND used_at IS NULL AND expires_at > $2
               ORDER BY created_at DESC LIMIT 1";
    Ok(on_tx!(tx, |c| sqlx::query_scalar(sql).bind(user.0).bind(now).fetch_optional(c).await)?)
}

/// Ends all of a kind that a user has. They are kept, since they were mailed.
pub(super) async fn end_of_user(tx: &mut Tx, user: UserId, kind: LinkKind, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE account_links SET used_at = $3 WHERE user_id = $1 AND kind = $2 AND used_at IS NULL";
    on_tx!(tx, |c| sqlx::query(sql).bind(user.0).bind(kind.as_str()).bind(now).execute(c).await.map(drop))?;
    Ok(())
}

/// Ends those that would give a user another address than the present one.
pub(super) async fn end_changes(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE account_links SET used_at = $2
               WHERE user_id = $1 AND kind = 'verify' AND used_at IS NULL
                 AND NOT EXISTS (SELECT 1 FROM users WHERE id = $1 AND email = account_links.email)";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(user.0).bind(now).execute(c).await.map(drop))?)
}

/// Ends all of everyone.
pub(in crate::identity::users) async fn end_all(tx: &mut Tx, now: Timestamp) -> Result<(), DbError> {
    let sql = "UPDATE account_links SET used_at = $1 WHERE used_at IS NULL";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(now).execute(c).await.map(drop))?)
}

pub(super) async fn delete_created_before(tx: &mut Tx, moment: Timestamp) -> Result<u64, DbError> {
    let sql = "DELETE FROM account_links WHERE created_at < $1";
    Ok(on_tx!(tx, |c| sqlx::query(sql).bind(moment).execute(c).await.map(|done| done.rows_affected()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;
    use crate::identity::users::testing::insert_user;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    #[test]
    fn a_secret_is_long_random_and_not_printed() {
        let [one, other] = [(); 2].map(|()| LinkSecret::generate(&Random::default()));
        assert_ne!(one.expose(), other.expose());
        assert!(one.expose().starts_with(PREFIX) && one.expose().len() == PREFIX.len() + 52);
        assert!(!format!("{one:?}").contains(&one.expose()[5..]));
    }

    on_both_engines! {
        async fn a_link_works_once_in_time_and_for_what_it_was_made(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await.id;
            let new = NewLink { user: ada, kind: LinkKind::Reset, email: "a@example.com", now: at(1), expires_at: at(10) };
            insert(&mut tx, new, b"digest").await.unwrap();
            assert!(find(&mut tx, LinkKind::Verify, b"digest", at(2)).await.unwrap().is_none());
            assert!(consume(&mut tx, LinkKind::Verify, b"digest", at(2)).await.unwrap().is_none());
            assert!(consume(&mut tx, LinkKind::Reset, b"other", at(2)).await.unwrap().is_none());
            assert!(consume(&mut tx, LinkKind::Reset, b"digest", at(10)).await.unwrap().is_none());
            assert_eq!(find(&mut tx, LinkKind::Reset, b"digest", at(9)).await.unwrap().unwrap().user_id, ada);
            assert_eq!(consume(&mut tx, LinkKind::Reset, b"digest", at(9)).await.unwrap().unwrap().email, "a@example.com");
            assert!(consume(&mut tx, LinkKind::Reset, b"digest", at(9)).await.unwrap().is_none());
            assert!(find(&mut tx, LinkKind::Reset, b"digest", at(9)).await.unwrap().is_none());
        }

        async fn links_that_ended_still_count_as_mailed(db) {
            let mut tx = db.write().await.unwrap();
            let ada = insert_user(&mut tx, "ada").await.id;
            for (kind, digest) in [(LinkKind::Reset, b"1"), (LinkKind::Reset, b"2"), (LinkKind::Verify, b"3")] {
                let new = NewLink { user: ada, kind, email: "a@example.com", now: at(5), expires_at: at(10) };
                insert(&mut tx, new, digest).await.unwrap();
            }
            end_of_user(&mut tx, ada, LinkKind::Reset, at(6)).await.unwrap();
            assert!(consume(&mut tx, LinkKind::Reset, b"1", at(6)).await.unwrap().is_none());
            assert_eq!(count_since(&mut tx, ada, LinkKind::Reset, at(4)).await.unwrap(), 2);
            assert_eq!(count_since(&mut tx, ada, LinkKind::Reset, at(5)).await.unwrap(), 0);
            assert_eq!(find_pending_email(&mut tx, ada, at(6)).await.unwrap().as_deref(), Some("a@example.com"));
            assert_eq!(delete_created_before(&mut tx, at(6)).await.unwrap(), 3);
        }
    }
}

//! Of whom a second factor is asked.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::store;
use crate::clock::Timestamp;
use crate::db::{DbError, Tx};
use crate::http::{Permission, Powers, UserId};
use crate::identity::users::passkeys;
use crate::vault::settings;

const KEY: &str = "identity.second_factor";

/// Of whom a second factor is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SecondFactorPolicy {
    /// Of nobody: who wants one has one.
    #[default]
    Optional,
    /// Of those who may do everything, or may come to do it.
    Administrators,
    /// Of everyone.
    Everyone,
}

impl SecondFactorPolicy {
    const ALL: [Self; 3] = [Self::Optional, Self::Administrators, Self::Everyone];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Optional => "optional",
            Self::Administrators => "administrators",
            Self::Everyone => "everyone",
        }
    }

    /// Whether one is asked of those who may do this. Who may manage users may
    /// become an administrator.
    pub fn asks(self, powers: &Powers) -> bool {
        match self {
            Self::Optional => false,
            Self::Administrators => powers.everywhere().has(Permission::UsersManage),
            Self::Everyone => true,
        }
    }
}

/// The text is no policy.
#[derive(Debug)]
pub struct UnknownPolicy;

impl FromStr for SecondFactorPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownPolicy)
    }
}

/// What holds now. What cannot be read asks it of everyone.
pub async fn read(tx: &mut Tx) -> Result<SecondFactorPolicy, DbError> {
    let Some(stored) = settings::find(tx, KEY).await? else {
        return Ok(SecondFactorPolicy::default());
    };
    let known = std::str::from_utf8(&stored).ok().and_then(|text| text.parse().ok());
    Ok(known.unwrap_or(SecondFactorPolicy::Everyone))
}

pub async fn write(tx: &mut Tx, policy: SecondFactorPolicy, now: Timestamp) -> Result<(), DbError> {
    settings::put(tx, KEY, policy.as_str().as_bytes(), now).await
}

/// Whether a second factor is asked of those who may do this.
pub async fn is_asked(tx: &mut Tx, powers: &Powers) -> Result<bool, DbError> {
    Ok(read(tx).await?.asks(powers))
}

/// Whether a second factor is asked of this user, who may do this and has none,
/// neither here nor where alone they sign in.
pub async fn is_due(tx: &mut Tx, user: UserId, powers: &Powers) -> Result<bool, DbError> {
    let asked = read(tx).await?.asks(powers) && !store::is_on(tx, user).await?;
    let asked = asked && !passkeys::has_any(tx, user).await?;
    Ok(asked && !store::is_looked_after_elsewhere(tx, user).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::testing::on_both_engines;
    use crate::http::Role;
    use crate::identity::users::testing::insert_user;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }

    on_both_engines! {
        async fn a_factor_is_due_where_it_is_asked_for_and_not_confirmed(db) {
            let mut tx = db.write().await.unwrap();
            let (viewer, administrator) = (insert_user(&mut tx, "ada").await, insert_user(&mut tx, "bob").await);
            let (some, all) = (Powers::of(Role::Viewer), Powers::of(Role::Administrator));
            let mut due = Vec::new();
            for policy in SecondFactorPolicy::ALL {
                write(&mut tx, policy, at(1)).await.unwrap();
                assert_eq!(read(&mut tx).await.unwrap(), policy);
                let of_viewer = is_due(&mut tx, viewer.id, &some).await.unwrap();
                due.push((of_viewer, is_due(&mut tx, administrator.id, &all).await.unwrap()));
            }
            assert_eq!(due, [(false, false), (false, true), (true, true)]);
            store::begin(&mut tx, viewer.id, b"secret", at(2)).await.unwrap();
            assert!(is_due(&mut tx, viewer.id, &some).await.unwrap(), "it is only begun");
            store::confirm(&mut tx, viewer.id, b"secret", 1, at(3)).await.unwrap();
            assert!(!is_due(&mut tx, viewer.id, &some).await.unwrap());
        }

        async fn nothing_stored_asks_nobody_and_nonsense_asks_everyone(db) {
            let mut tx = db.write().await.unwrap();
            assert_eq!(read(&mut tx).await.unwrap(), SecondFactorPolicy::Optional);
            for nonsense in [&b"some"[..], b"", b"\xff"] {
                settings::put(&mut tx, KEY, nonsense, at(1)).await.unwrap();
                assert_eq!(read(&mut tx).await.unwrap(), SecondFactorPolicy::Everyone);
            }
        }
    }
}

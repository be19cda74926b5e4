//! What users may do in some environments only: roles, the teams and users to
//! whom they are granted, and where each grant counts.

mod mapped;
mod model;
mod routes;
mod service;
mod store;
#[cfg(test)]
mod tests;

pub(super) use self::mapped::{Mapped, reconcile, take_back_unmapped};
pub(super) use self::model::{Grantee, RoleRef};
pub(super) use self::routes::routes;
pub(super) use self::service::{check, check_scope, give, join, require_role, require_team};
pub(super) use self::store::{Granted, ScopeRow};
use super::users::User;
use crate::db::{DbError, Tx};
use crate::http::{Powers, Role};

/// All that a user may do: by their role, and by what was granted to them and
/// to their teams.
pub(super) async fn powers_of(tx: &mut Tx, user: &User) -> Result<Powers, DbError> {
    let mut powers = Powers::of(user.role);
    // Nothing can be added to everything.
    if user.role == Role::Administrator {
        return Ok(powers);
    }
    for (scope, permissions) in store::list_of_user(tx, user.id).await? {
        powers.grant(scope, permissions);
    }
    Ok(powers)
}

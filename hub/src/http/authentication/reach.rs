//! Where a caller may do something: handlers of lists ask it for the
//! environments that are to be shown, and those of single things whether this
//! one is.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use futures_util::future::BoxFuture;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::NotPermitted;
use crate::error::{ApiError, ApiResult};
use crate::http::{Decision, Permission, Permissions, Place, Powers};

/// Knows where environments stand. Implemented by the feature that owns them.
pub trait Places: Send + Sync {
    /// Where this one stands; `None` where there is no such environment.
    fn find(&self, environment: Uuid) -> BoxFuture<'_, ApiResult<Option<Place>>>;

    /// Where each of them stands.
    fn list(&self) -> BoxFuture<'_, ApiResult<Vec<Place>>>;
}

/// Environments that somebody may see, or do something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All there are, those that are gone included.
    All,
    /// These.
    Only(HashSet<Uuid>),
}

impl Visible {
    /// Whether this one is among them; none is what is in no environment.
    pub fn has(&self, environment: Option<EnvironmentId>) -> bool {
        match self {
            Self::All => true,
            Self::Only(these) => environment.is_some_and(|environment| these.contains(&environment.0)),
        }
    }

    /// Which they are; `None` for all.
    pub fn ids(&self) -> Option<Vec<Uuid>> {
        match self {
            Self::All => None,
            Self::Only(these) => Some(these.iter().copied().collect()),
        }
    }
}

/// What a caller may do, and where. Handlers take it as an argument.
#[derive(Clone)]
pub struct Reach {
    powers: Arc<Powers>,
    places: Arc<dyn Places>,
}

impl Reach {
    /// How far these powers reach.
    pub fn new(powers: Arc<Powers>, places: Arc<dyn Places>) -> Self {
        Self { powers, places }
    }

    /// Whether it matters where the caller does something.
    pub fn is_placed(&self) -> bool {
        self.powers.are_placed()
    }

    /// What the caller may do in this environment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn permissions_at(&self, environment: EnvironmentId) -> ApiResult<Permissions> {
        let place = self.place(environment.0).await?;
        Ok(place.map_or(self.powers.everywhere(), |place| self.powers.at(&place)))
    }

    /// Whether the caller may do this there. Who may do it everywhere, or has
    /// nothing that counts in some places only, is told without a look at the
    /// database.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn decide(&self, permission: Permission, environment: Option<Uuid>) -> ApiResult<Decision> {
        let place = match environment {
            Some(environment) if !self.powers.everywhere().has(permission) => self.place(environment).await?,
            Some(_) | None => None,
        };
        Ok(self.powers.decide(permission, place.as_ref()))
    }

    /// The same as a condition.
    ///
    /// # Errors
    /// 403 where they may not, 404 where they may do nothing.
    pub async fn require_at(&self, permission: Permission, environment: EnvironmentId) -> ApiResult<()> {
        self.require_of(permission, Some(environment), "environment").await
    }

    /// The same for a thing in an environment, or in none.
    ///
    /// # Errors
    /// 403 where they may not, 404 for the thing where they may do nothing.
    pub async fn require_of(
        &self,
        permission: Permission,
        environment: Option<EnvironmentId>,
        thing: &'static str,
    ) -> ApiResult<()> {
        match self.decide(permission, environment.map(|environment| environment.0)).await? {
            Decision::Allowed => Ok(()),
            Decision::Forbidden => Err(forbidden_here(permission)),
            Decision::Hidden => Err(ApiError::not_found(thing).caused_by(NotPermitted(permission))),
        }
    }

    /// The environments in which the caller may do this.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn visible(&self, permission: Permission) -> ApiResult<Visible> {
        let [visible] = self.visible_for([permission]).await?;
        Ok(visible)
    }

    /// The same for several permissions at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn visible_for<const N: usize>(&self, permissions: [Permission; N]) -> ApiResult<[Visible; N]> {
        let everywhere = self.powers.everywhere();
        let places = match self.is_placed() && permissions.iter().any(|permission| !everywhere.has(*permission)) {
            true => self.places.list().await?,
            false => Vec::new(),
        };
        Ok(permissions.map(|permission| match everywhere.has(permission) {
            true => Visible::All,
            false => {
                let here = places.iter().filter(|place| self.powers.at(place).has(permission));
                Visible::Only(here.map(|place| place.environment).collect())
            }
        }))
    }

    /// Where the environments stand that the caller may see; `None` where that
    /// is all of them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn places(&self) -> ApiResult<Option<Vec<Place>>> {
        if self.powers.everywhere().has(Permission::EnvironmentsView) {
            return Ok(None);
        }
        let mut places = if self.is_placed() { self.places.list().await? } else { Vec::new() };
        places.retain(|place| self.powers.at(place).has(Permission::EnvironmentsView));
        Ok(Some(places))
    }

    /// Whether there is this environment, and the caller may see it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sees(&self, environment: EnvironmentId) -> ApiResult<bool> {
        let place = self.places.find(environment.0).await?;
        Ok(place.is_some_and(|place| self.powers.at(&place).has(Permission::EnvironmentsView)))
    }

    /// Whether the caller may see a group: all of them, or an environment that
    /// is in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sees_group(&self, group: Uuid) -> ApiResult<bool> {
        let visible = self.places().await?;
        Ok(visible.is_none_or(|places| places.iter().any(|place| place.group == Some(group))))
    }

    async fn place(&self, environment: Uuid) -> ApiResult<Option<Place>> {
        match self.is_placed() {
            true => self.places.find(environment).await,
            false => Ok(None),
        }
    }
}

/// What those are told who may do other things in an environment.
pub(super) fn forbidden_here(permission: Permission) -> ApiError {
    let message = format!("This needs the permission {permission}, which you do not have here. Ask an administrator.");
    ApiError::forbidden("not_permitted", message).caused_by(NotPermitted(permission))
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("powers", &self.powers).finish_non_exhaustive()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Reach {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let reach = parts.extensions.get::<Self>().cloned();
        reach.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a route was added without its gate")))
    }
}

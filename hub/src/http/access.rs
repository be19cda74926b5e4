//! Who may call a route. A route can only be added with its [`Access`], which
//! is enforced before anything else of the request is looked at, and recorded
//! for the reviewed list in `routes.snapshot`.

use std::sync::Arc;

use axum::Router;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::routing::MethodRouter;
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::PathItem;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::authentication::{Authenticate, Gate, Places, enforce};
use super::principal::{Permission, Role};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everyone, without a credential.
    Public,
    /// Everyone, while the hub has no user.
    SetupOnly,
    /// An agent, which proves itself inside what it sends.
    Agent,
    /// Whoever may use the Unix socket in the data directory. Nobody signs in to this.
    LocalSocket,
    /// A program on this machine, or anyone signed in.
    LoopbackOrSignedIn,
    /// Anyone signed in.
    SignedIn,
    /// Anyone signed in, also in a session whose user has yet to set up the
    /// second factor that is asked of them. Nothing else is open to those.
    FactorDue,
    /// Anyone who sends a token themselves. Cookies are not looked at.
    Bearer,
    /// Those who have a permission for the hub, or in all environments.
    Needs(Permission),
    /// Those who have a permission in the environment that `{id}` in the path
    /// names. For those who may do nothing in it, it does not exist.
    At(Permission),
    /// Those who have a permission in some environment. The handler shows them
    /// nothing of the others.
    Somewhere(Permission),
}

impl Access {
    fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::SetupOnly => "setup only",
            Self::Agent => "agent",
            Self::LocalSocket => "local socket",
            Self::LoopbackOrSignedIn => "loopback or signed in",
            Self::SignedIn => "signed in",
            Self::FactorDue => "signed in, second factor due",
            Self::Bearer => "signed in, by a token",
            Self::Needs(permission) | Self::At(permission) | Self::Somewhere(permission) => permission.as_str(),
        }
    }

    /// The permission that it takes, where it takes one.
    pub const fn permission(self) -> Option<Permission> {
        match self {
            Self::Needs(permission) | Self::At(permission) | Self::Somewhere(permission) => Some(permission),
            Self::Public
            | Self::SetupOnly
            | Self::Agent
            | Self::LocalSocket
            | Self::LoopbackOrSignedIn
            | Self::SignedIn
            | Self::FactorDue
            | Self::Bearer => None,
        }
    }

    /// Where the permission must count.
    const fn place(self) -> &'static str {
        match self {
            Self::At(_) => "there",
            Self::Somewhere(_) => "filtered",
            _ => "everywhere",
        }
    }

    /// The roles that a route is for, where it is for some of them only.
    fn roles(self) -> Option<String> {
        let permission = self.permission()?;
        let roles = Role::ALL.into_iter().filter(|role| role.may(permission));
        Some(roles.map(Role::as_str).collect::<Vec<_>>().join(", "))
    }
}

/// One route as it stands in the reviewed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRecord {
    /// The path with its parameters.
    pub path: String,
    /// The method, or `*`.
    pub method: String,
    /// Who may call it.
    pub access: Access,
}

impl RouteRecord {
    /// Its place in the list: by path, then by method.
    fn place(&self) -> (&str, &str) {
        (&self.path, &self.method)
    }
}

impl std::fmt::Display for RouteRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:<7} {:<71} ", self.method, self.path)?;
        match self.access.roles() {
            Some(roles) => write!(f, "{:<19} {:<10} {roles}", self.access.as_str(), self.access.place()),
            None => f.write_str(self.access.as_str()),
        }
    }
}

/// Collects routes. This is the only way to add one.
pub struct Routes<S> {
    router: OpenApiRouter<S>,
    records: Vec<RouteRecord>,
    authenticate: Arc<dyn Authenticate>,
    places: Arc<dyn Places>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes yet; `authenticate` will recognise callers, and `places` knows
    /// where the environments stand that their powers are about.
    pub fn new(document: OpenApi, authenticate: Arc<dyn Authenticate>, places: Arc<dyn Places>) -> Self {
        Self { router: OpenApiRouter::with_openapi(document), records: Vec::new(), authenticate, places }
    }

    /// Adds documented handlers, as `utoipa_axum::routes!` names them. Handlers
    /// of one path go into one call if they share an access, and into several
    /// calls if they do not.
    #[must_use]
    pub fn add(mut self, access: Access, routes: UtoipaMethodRouter<S>) -> Self {
        let (schemas, paths, methods) = routes;
        for (path, item) in &paths.paths {
            for method in documented_methods(item) {
                self.records.push(record(path, method.as_str(), access));
            }
        }
        let methods = self.guard(access, methods);
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    /// Adds a handler that the OpenAPI document does not describe, such as a
    /// gateway; `method` is what the reviewed list says of it.
    #[must_use]
    pub fn add_raw(mut self, access: Access, method: &str, path: &str, methods: MethodRouter<S>) -> Self {
        self.records.push(record(path, method, access));
        let methods = self.guard(access, methods);
        self.router = self.router.route(path, methods);
        self
    }

    /// The router, the OpenAPI document and the list of all routes by path.
    pub fn finish(mut self) -> (Router<S>, OpenApi, Vec<RouteRecord>) {
        self.records.sort_by(|one, other| one.place().cmp(&other.place()));
        let (router, document) = self.router.split_for_parts();
        (router, document, self.records)
    }

    fn guard(&self, access: Access, methods: MethodRouter<S>) -> MethodRouter<S> {
        let gate = Gate { access, authenticate: self.authenticate.clone(), places: self.places.clone() };
        methods.layer(from_fn_with_state(gate, enforce))
    }
}

impl<S> std::fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("records", &self.records).finish_non_exhaustive()
    }
}

fn record(path: &str, method: &str, access: Access) -> RouteRecord {
    RouteRecord { path: path.to_owned(), method: method.to_owned(), access }
}

fn documented_methods(item: &PathItem) -> impl Iterator<Item = Method> {
    let operations = [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
        (Method::HEAD, &item.head),
        (Method::OPTIONS, &item.options),
        (Method::TRACE, &item.trace),
    ];
    operations.into_iter().filter(|(_, operation)| operation.is_some()).map(|(method, _)| method)
}

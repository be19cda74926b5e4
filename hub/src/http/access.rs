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

/// What a browser's session must show beside who it is. Programs are not asked:
/// nobody is there to answer, and what they may do is limited by their tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing.
    NotAsked,
    /// That its user proved a moment ago that it is they.
    Recent,
    /// The same where the query asks for this.
    RecentFor(&'static str),
    /// The proof is in the request itself, and its handler looks at it each time.
    InRequest,
}

impl Confirmation {
    /// What the reviewed list says of it.
    fn note(self) -> String {
        match self {
            Self::NotAsked => String::new(),
            Self::Recent => "; confirmed".to_owned(),
            Self::RecentFor(key) => format!("; confirmed for {key}"),
            Self::InRequest => "; proven in the request".to_owned(),
        }
    }

    /// What the OpenAPI document says of it.
    fn sentence(self) -> Option<String> {
        let asked = "a browser's session whose user did not confirm a moment ago that it is they is refused with 403 \
                     `confirmation_required`";
        match self {
            Self::NotAsked | Self::InRequest => None,
            Self::Recent => Some(format!("Here {asked}.")),
            Self::RecentFor(key) => Some(format!("With `{key}` {asked}.")),
        }
    }
}

/// What stands before a route: who may call it, and what they must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// Who may call it.
    pub access: Access,
    /// What a browser's session must show beside that.
    pub confirmation: Confirmation,
}

impl From<Access> for Guard {
    fn from(access: Access) -> Self {
        Self { access, confirmation: Confirmation::NotAsked }
    }
}

impl Access {
    /// For browsers in which somebody confirmed a moment ago that it is they.
    pub const fn confirmed(self) -> Guard {
        Guard { access: self, confirmation: Confirmation::Recent }
    }

    /// The same where the query asks for this.
    pub const fn confirmed_for(self, key: &'static str) -> Guard {
        Guard { access: self, confirmation: Confirmation::RecentFor(key) }
    }

    /// For requests that prove by themselves that it is they.
    pub const fn proven_in_request(self) -> Guard {
        Guard { access: self, confirmation: Confirmation::InRequest }
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
    /// What a browser's session must show beside that.
    pub confirmation: Confirmation,
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
        }?;
        f.write_str(&self.confirmation.note())
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
    /// of one path go into one call if they share a guard, and into several
    /// calls if they do not.
    #[must_use]
    pub fn add(mut self, guard: impl Into<Guard>, routes: UtoipaMethodRouter<S>) -> Self {
        let guard = guard.into();
        let (schemas, mut paths, methods) = routes;
        for (path, item) in &mut paths.paths {
            for method in documented_methods(item) {
                self.records.push(record(path, method.as_str(), guard));
            }
            describe(item, guard.confirmation);
        }
        let methods = self.guard(guard, methods);
        self.router = self.router.routes((schemas, paths, methods));
        self
    }

    /// Adds a handler that the OpenAPI document does not describe, such as a
    /// gateway; `method` is what the reviewed list says of it.
    #[must_use]
    pub fn add_raw(mut self, access: Access, method: &str, path: &str, methods: MethodRouter<S>) -> Self {
        self.records.push(record(path, method, access.into()));
        let methods = self.guard(access.into(), methods);
        self.router = self.router.route(path, methods);
        self
    }

    /// The router, the OpenAPI document and the list of all routes by path.
    pub fn finish(mut self) -> (Router<S>, OpenApi, Vec<RouteRecord>) {
        self.records.sort_by(|one, other| one.place().cmp(&other.place()));
        let (router, document) = self.router.split_for_parts();
        (router, document, self.records)
    }

    fn guard(&self, guard: Guard, methods: MethodRouter<S>) -> MethodRouter<S> {
        let gate = Gate { guard, authenticate: self.authenticate.clone(), places: self.places.clone() };
        methods.layer(from_fn_with_state(gate, enforce))
    }
}

impl<S> std::fmt::Debug for Routes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Routes").field("records", &self.records).finish_non_exhaustive()
    }
}

fn record(path: &str, method: &str, Guard { access, confirmation }: Guard) -> RouteRecord {
    RouteRecord { path: path.to_owned(), method: method.to_owned(), access, confirmation }
}

/// Says of each operation that a confirmation is asked for, where one is.
fn describe(item: &mut PathItem, confirmation: Confirmation) {
    let Some(sentence) = confirmation.sentence() else { return };
    let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
    for operation in operations.into_iter().flatten() {
        let before = operation.description.take();
        operation.description = Some(before.map_or_else(|| sentence.clone(), |text| format!("{text}\n\n{sentence}")));
    }
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

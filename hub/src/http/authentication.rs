//! Who calls: the gate in front of every route.

mod denial;
mod lease;
mod origin;
mod rates;
mod reach;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::denial::{NotPermitted, WhoCalls, confirmation_required};
use self::lease::Held;
pub use self::lease::{ASK_AGAIN, LOOK_AGAIN, Lease};
use self::origin::MissingOrigin;
pub use self::rates::{Rationing, ration};
use self::reach::forbidden_here;
pub use self::reach::{Places, Reach, Visible};
use super::access::{Access, Confirmation, Guard};
use super::cookie;
use super::envelope::RequestId;
use super::peer::{Peer, Scheme};
use super::principal::{CredentialUsed, Decision, Permission, Powers, Principal, SignedInUser};
use crate::error::ApiError;
use crate::peers::Endings;

/// Query keys under which programs tend to send credentials. A URL ends up in
/// logs and histories, so they are refused even where they would be right.
const CREDENTIAL_KEYS: [&str; 7] =
    ["token", "access_token", "refresh_token", "api_key", "apikey", "authorization", "jwt"];
/// What names the environment in the path of a route that is about one.
const ENVIRONMENT_PARAMETER: &str = "id";
/// What the hub's own credentials start with.
const CREDENTIAL_PREFIXES: [&str; 4] = ["wfa1_", "wfe1_", "wfl1_", "wfr1_"];

/// What a caller sent to prove who they are.
#[derive(Debug)]
pub enum Credential {
    /// The secret of a cookie session.
    Session(Zeroizing<String>),
    /// What a program sends in `Authorization`: an API token or an access token.
    Bearer(Zeroizing<String>),
}

/// Recognises callers. Implemented by the feature that owns users.
pub trait Authenticate: Send + Sync {
    /// Whose credential it is; `None` if it is nobody's, or no longer valid.
    fn authenticate<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Option<SignedInUser>, ApiError>>;

    /// Whether the credential by which a user was recognised is still good, and
    /// lets them do as much as before.
    fn stands<'a>(&'a self, user: &'a SignedInUser) -> BoxFuture<'a, Result<bool, ApiError>>;

    /// Whether it may be taken for granted that it is really they: in a browser
    /// they proved it a moment ago, and a program's token is all it has.
    fn is_confirmed<'a>(&'a self, user: &'a SignedInUser) -> BoxFuture<'a, Result<bool, ApiError>>;

    /// Changes each time when some credential was ended, or somebody may do
    /// something in other places than before.
    fn endings(&self) -> watch::Receiver<Endings>;

    /// Whether the hub still waits for its first user.
    fn setup_is_open(&self) -> bool;
}

/// Who calls and from where. Handlers take it as an argument; what they do is
/// recorded under it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is. A public route looks at no credential, so it is `None` there.
    pub principal: Option<Principal>,
    /// The address, where there is one.
    pub address: Option<IpAddr>,
    /// The scheme the caller used.
    pub scheme: Scheme,
    /// The id of this request.
    pub request_id: RequestId,
}

impl Caller {
    /// Whether the caller may do this everywhere, where a route is for more
    /// people than all that it shows and does.
    pub fn may(&self, permission: Permission) -> bool {
        self.principal.as_ref().is_some_and(|principal| principal.may(permission))
    }

    /// The same as a condition.
    ///
    /// # Errors
    /// 403 for those who may not.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        match &self.principal {
            Some(principal) => require(principal, permission),
            None => Err(ApiError::unauthorized("Sign in, or send an API token as `Authorization: Bearer wfa1_…`.")),
        }
    }

    /// The user, where the route lets only users through.
    ///
    /// # Errors
    /// 403 for a caller on the Unix socket, who is no user.
    pub fn require_user(&self) -> Result<&SignedInUser, ApiError> {
        self.principal.as_ref().and_then(Principal::user).ok_or_else(|| {
            ApiError::forbidden("user_required", "This works only for a signed-in user, not over the local socket.")
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a route was added without its gate")))
    }
}

/// What stands in front of one route.
#[derive(Clone)]
pub struct Gate {
    pub(super) guard: Guard,
    pub(super) authenticate: Arc<dyn Authenticate>,
    pub(super) places: Arc<dyn Places>,
}

/// Lets a request through to its handler if the route's access allows it.
pub async fn enforce(State(gate): State<Gate>, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let peer = *parts.extensions.get::<Peer>().ok_or_else(|| ApiError::internal(anyhow::anyhow!("no peer")))?;
    refuse_credentials_in_query(&parts)?;
    let endings = gate.authenticate.endings();
    let mut held = match gate.guard.access {
        Access::Somewhere(_) | Access::SignedIn => Held::Somewhere,
        _ => Held::Credential,
    };
    let principal = match gate.guard.access {
        Access::Public | Access::SetupOnly | Access::Agent => {
            check_anonymous(&gate, &parts, peer)?;
            None
        }
        Access::LocalSocket => Some(require_local_socket(peer)?),
        Access::LoopbackOrSignedIn if is_program_on_this_machine(&parts.headers, peer) => None,
        Access::LoopbackOrSignedIn | Access::SignedIn | Access::FactorDue | Access::Bearer => {
            Some(recognise(&gate, &parts, peer).await?)
        }
        Access::Needs(permission) => {
            let principal = recognise(&gate, &parts, peer).await?;
            require(&principal, permission)?;
            Some(principal)
        }
        Access::Somewhere(permission) => {
            let principal = recognise(&gate, &parts, peer).await?;
            if !principal.powers().somewhere().has(permission) {
                return Err(not_permitted(&principal, permission));
            }
            Some(principal)
        }
        Access::At(permission) => {
            let principal = recognise(&gate, &parts, peer).await?;
            let environment = environment_in_path(&mut parts).await;
            let reach = Reach::new(principal.powers().clone(), gate.places.clone());
            match reach.decide(permission, environment).await? {
                Decision::Allowed => {}
                Decision::Forbidden if reach.is_placed() => return Err(forbidden_here(permission)),
                Decision::Forbidden => return Err(not_permitted(&principal, permission)),
                Decision::Hidden => {
                    return Err(ApiError::not_found("environment").caused_by(NotPermitted(permission)));
                }
            }
            held = environment.map_or(Held::Credential, |environment| Held::At(permission, environment));
            Some(principal)
        }
    };
    require_confirmation(&gate, &parts, principal.as_ref()).await?;
    let powers = principal.as_ref().map_or_else(Arc::<Powers>::default, |principal| principal.powers().clone());
    let reach = Reach::new(powers, gate.places);
    let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    let user = principal.as_ref().and_then(Principal::user).cloned();
    parts.extensions.insert(Lease::new(gate.authenticate, user, endings, reach.clone()).held(held));
    parts.extensions.insert(reach);
    let caller = Caller { principal, address: peer.address(), scheme: peer.scheme(), request_id };
    parts.extensions.insert(caller);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

fn refuse_credentials_in_query(parts: &Parts) -> Result<(), ApiError> {
    let query = parts.uri.query().unwrap_or_default();
    let found = url::form_urlencoded::parse(query.as_bytes()).any(|(key, value)| {
        CREDENTIAL_KEYS.iter().any(|known| key.eq_ignore_ascii_case(known)) || looks_like_credential(&value)
    });
    if found {
        let message = "A credential in the URL is never accepted. Send an API token as `Authorization: Bearer wfa1_…`.";
        return Err(ApiError::unauthorized(message));
    }
    Ok(())
}

/// Whether a text looks like something that the hub or a provider gave out.
pub fn looks_like_credential(text: &str) -> bool {
    let begins = |prefix: &str| text.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix));
    CREDENTIAL_PREFIXES.into_iter().any(begins) || is_web_token(text)
}

/// Whether a text looks like a signed JSON web token.
fn is_web_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.split('.').count() == 3
}

fn check_anonymous(gate: &Gate, parts: &Parts, peer: Peer) -> Result<(), ApiError> {
    if gate.guard.access == Access::SetupOnly && !gate.authenticate.setup_is_open() {
        return Err(ApiError::conflict("already_set_up", "This hub has its first user. Sign in instead."));
    }
    if gate.guard.access != Access::Agent && origin::needs_check(parts) {
        origin::check(parts, peer, MissingOrigin::Accepted)?;
    }
    Ok(())
}

/// To everybody else the route does not exist, whatever they may do elsewhere.
fn require_local_socket(peer: Peer) -> Result<Principal, ApiError> {
    match peer {
        Peer::Local { .. } => Ok(Principal::LocalRoot),
        Peer::Tcp { .. } => {
            let message = "This is only to be had on the hub's own machine, over its local socket.";
            Err(ApiError::new(StatusCode::NOT_FOUND, "not_found", message))
        }
    }
}

/// A reverse proxy on this machine connects from loopback too, but says for
/// whom; and a page that rebinds its name to loopback has a foreign host.
fn is_program_on_this_machine(headers: &HeaderMap, peer: Peer) -> bool {
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];
    let host = headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let direct = host.is_some_and(|host| {
        let name = host.host().trim_matches(['[', ']']);
        name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    peer.is_loopback() && direct && !forwarded.iter().any(|name| headers.contains_key(*name))
}

async fn recognise(gate: &Gate, parts: &Parts, peer: Peer) -> Result<Principal, ApiError> {
    if let Peer::Local { .. } = peer {
        return Ok(Principal::LocalRoot);
    }
    let credential = match gate.guard.access {
        Access::Bearer => find_bearer(&parts.headers)?.ok_or_else(bearer_needed)?,
        _ => find_credential(&parts.headers, peer.scheme())?,
    };
    if matches!(credential, Credential::Session(_)) && origin::needs_check(parts) {
        origin::check(parts, peer, MissingOrigin::Refused)?;
    }
    let user = gate.authenticate.authenticate(&credential).await?;
    // A token that may not be used from here is as good as none.
    let user = user.filter(|user| user.limits.as_ref().is_none_or(|limits| limits.admit(peer.address())));
    let user = user.ok_or_else(|| {
        ApiError::unauthorized(
            "The credential is not valid, has expired or was revoked. Sign in again or use another token.",
        )
    })?;
    refuse_without_factor(gate.guard.access, &user)?;
    let principal = Principal::User(user);
    WhoCalls::note(parts, &principal, peer);
    Ok(principal)
}

/// Of whom a second factor is asked that they do not have, may set it up in a
/// browser and do nothing else.
fn refuse_without_factor(access: Access, user: &SignedInUser) -> Result<(), ApiError> {
    let sets_up = access == Access::FactorDue && matches!(user.credential, CredentialUsed::Session(_));
    if !user.second_factor_due || sets_up {
        return Ok(());
    }
    let message = "This hub asks for a second factor. Sign in with a browser and set it up first.";
    Err(ApiError::forbidden("second_factor_setup_required", message))
}

/// Whoever does what a stolen session must not be enough for is asked to prove
/// again that it is they, once they are known to be allowed to do it.
async fn require_confirmation(gate: &Gate, parts: &Parts, principal: Option<&Principal>) -> Result<(), ApiError> {
    let is_asked = match gate.guard.confirmation {
        Confirmation::NotAsked | Confirmation::InRequest => false,
        Confirmation::Recent => true,
        Confirmation::RecentFor(key) => {
            let query = parts.uri.query().unwrap_or_default();
            // Whatever does not plainly say no says yes.
            url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == key && value != "false")
        }
    };
    match principal.and_then(Principal::user) {
        Some(user) if is_asked && !gate.authenticate.is_confirmed(user).await? => Err(confirmation_required()),
        Some(_) | None => Ok(()),
    }
}

fn find_bearer(headers: &HeaderMap) -> Result<Option<Credential>, ApiError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::unauthorized("Send one `Authorization` header."));
    }
    match value.to_str().ok().and_then(|value| value.split_once(' ')) {
        Some((kind, token)) if kind.eq_ignore_ascii_case("bearer") => {
            Ok(Some(Credential::Bearer(Zeroizing::new(token.trim().to_owned()))))
        }
        Some(_) | None => Err(bearer_needed()),
    }
}

fn bearer_needed() -> ApiError {
    ApiError::unauthorized("Send a token as `Authorization: Bearer …`.")
}

fn find_credential(headers: &HeaderMap, scheme: Scheme) -> Result<Credential, ApiError> {
    if let Some(bearer) = find_bearer(headers)? {
        return Ok(bearer);
    }
    cookie::find(headers, scheme)
        .map(Credential::Session)
        .ok_or_else(|| ApiError::unauthorized("Sign in, or send an API token as `Authorization: Bearer wfa1_…`."))
}

/// The environment that the path names. What is no id is that of none.
async fn environment_in_path(parts: &mut Parts) -> Option<Uuid> {
    let parameters = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    let (_, id) = parameters.iter().find(|(name, _)| *name == ENVIRONMENT_PARAMETER)?;
    id.parse().ok()
}

fn require(principal: &Principal, permission: Permission) -> Result<(), ApiError> {
    if principal.may(permission) { Ok(()) } else { Err(not_permitted(principal, permission)) }
}

fn not_permitted(principal: &Principal, permission: Permission) -> ApiError {
    let limited = principal.user().is_some_and(|user| user.limits.is_some());
    let message = match limited {
        true => format!("This needs the permission {permission}, which this API token does not have. Use another one."),
        false => format!(
            "This needs the permission {permission}, which the role {} does not have. Ask an administrator.",
            principal.role()
        ),
    };
    ApiError::forbidden("not_permitted", message).caused_by(NotPermitted(permission))
}

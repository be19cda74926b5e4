//! What somebody was let in with may end while their request still runs: a
//! terminal, a log that is followed, live updates. A [`Lease`] tells when.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::watch;
use uuid::Uuid;
use windflow_protocol::ids::EnvironmentId;

use super::{Authenticate, Reach};
use crate::error::ApiError;
use crate::http::{Decision, Permission, SignedInUser};
use crate::peers::Endings;

/// A credential is looked at again after this at the latest: it may end by
/// itself, and the database may be changed by another hand.
pub const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// The same after the database could not be asked.
pub const ASK_AGAIN: Duration = Duration::from_secs(2);

/// How long a caller may stay: as long as their credential is good, and they
/// may do what they do where they do it. Handlers of requests that may last take
/// it as an argument.
#[derive(Clone)]
pub struct Lease {
    authenticate: Arc<dyn Authenticate>,
    /// Who is let in; a caller without a credential has none that could end.
    user: Option<SignedInUser>,
    /// Changes whenever some credential was ended.
    endings: watch::Receiver<Endings>,
    /// How often environments were moved before the caller was let in.
    places: u64,
    reach: Reach,
    held: Held,
}

/// By what somebody stays, beside their credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// By nothing else.
    Credential,
    /// By what they may do in this environment.
    At(Permission, Uuid),
    /// By what they may do in some environments, as long as none of them is
    /// moved.
    Somewhere,
}

impl Lease {
    /// To be made of `endings` as they were before the credential was looked
    /// at, so that no end is missed.
    pub(super) fn new(
        authenticate: Arc<dyn Authenticate>,
        user: Option<SignedInUser>,
        endings: watch::Receiver<Endings>,
        reach: Reach,
    ) -> Self {
        let places = endings.borrow().places;
        Self { authenticate, user, endings, places, reach, held: Held::Credential }
    }

    /// The same as long as this holds, too.
    pub(super) fn held(self, held: Held) -> Self {
        Self { held, ..self }
    }

    /// The same as long as the caller may do this in that environment, too.
    #[must_use]
    pub fn with(self, permission: Permission, environment: EnvironmentId) -> Self {
        self.held(Held::At(permission, environment.0))
    }

    /// Ends with the credential: revoked, expired, or its user shut out; and
    /// when they may not do any more what they do.
    pub async fn ended(mut self) {
        let Some(user) = self.user.clone() else {
            return std::future::pending().await;
        };
        let mut wait = LOOK_AGAIN;
        loop {
            tokio::select! {
                changed = self.endings.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.stands(&user).await {
                Ok(true) => LOOK_AGAIN,
                Ok(false) => return tracing::info!(user.id = %user.id, "access ended while a request was running"),
                // To end every terminal when the database hiccups helps nobody.
                Err(_) => ASK_AGAIN,
            };
        }
    }

    async fn stands(&self, user: &SignedInUser) -> Result<bool, ApiError> {
        if !self.authenticate.stands(user).await? {
            return Ok(false);
        }
        Ok(match self.held {
            Held::Credential => true,
            Held::At(permission, environment) => {
                self.reach.decide(permission, Some(environment)).await? == Decision::Allowed
            }
            Held::Somewhere => !self.reach.is_placed() || self.endings.borrow().places == self.places,
        })
    }

    /// A body that is cut off when the credential ends.
    pub fn limit<B>(self, body: B) -> Body
    where
        B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<axum::BoxError>,
    {
        Body::new(Leased { body, end: End::NotAwaited(Some(self)) })
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("user", &self.user).finish_non_exhaustive()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Lease {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let lease = parts.extensions.get::<Self>().cloned();
        lease.ok_or_else(|| ApiError::internal(anyhow::anyhow!("a route was added without its gate")))
    }
}

/// A body and what it lasts by.
struct Leased<B> {
    body: B,
    end: End,
}

/// Most bodies are over before anybody waits for them: only then a timer is
/// set up for them.
enum End {
    NotAwaited(Option<Lease>),
    Awaited(BoxFuture<'static, ()>),
}

impl End {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::NotAwaited(lease) = self {
            let lease = lease.take().expect("a lease is taken once, when it begins to be awaited");
            *self = Self::Awaited(lease.ended().boxed());
        }
        match self {
            Self::Awaited(ended) => ended.poll_unpin(cx),
            Self::NotAwaited(_) => Poll::Pending,
        }
    }
}

impl<B> HttpBody for Leased<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        self.end.poll(cx).map(|()| Some(Err(io::Error::from(io::ErrorKind::PermissionDenied).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

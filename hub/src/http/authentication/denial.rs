//! That somebody was refused what they may not do, for the layers outside of
//! the gate, which record it.

use std::sync::{Arc, OnceLock};

use axum::http::request::Parts;

use super::Caller;
use crate::error::ApiError;
use crate::http::envelope::RequestId;
use crate::http::peer::Peer;
use crate::http::principal::{Permission, Principal};

/// The cause of an answer `not_permitted`.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the permission {0} is needed")]
pub struct NotPermitted(pub Permission);

/// What those are told who did not prove for too long that it is they.
pub fn confirmation_required() -> ApiError {
    let message = "Confirm first that it is you: with your password, and your code where you have a second factor, by \
                   `POST /api/v1/session/confirmation`, or with your identity provider. Then send the request again.";
    ApiError::forbidden("confirmation_required", message)
}

/// Where the gate leaves who calls. A layer outside of it puts one into the
/// request and keeps another.
#[derive(Clone, Debug, Default)]
pub struct WhoCalls(Arc<OnceLock<Caller>>);

impl WhoCalls {
    /// Who it was, once the gate has recognised somebody.
    pub fn get(&self) -> Option<&Caller> {
        self.0.get()
    }

    /// Leaves who calls, where a layer asks for it.
    pub(super) fn note(parts: &Parts, principal: &Principal, peer: Peer) {
        if let Some(Self(place)) = parts.extensions.get() {
            let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
            let principal = Some(principal.clone());
            place.get_or_init(|| Caller { principal, address: peer.address(), scheme: peer.scheme(), request_id });
        }
    }
}

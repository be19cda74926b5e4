//! The HTTP ground rules, the same for every route: who calls, who may call,
//! where a browser's request came from, what an error looks like, how long a
//! list may be. Knows no feature.

mod access;
mod authentication;
pub mod cookie;
mod envelope;
mod extract;
pub mod hop;
mod page;
mod peer;
mod principal;
pub mod websocket;

pub use self::access::{Access, Confirmation, Guard, RouteRecord, Routes};
pub use self::authentication::{
    ASK_AGAIN, Authenticate, Caller, Credential, LOOK_AGAIN, Lease, NotPermitted, Places, Rationing, Reach, Visible,
    WhoCalls, confirmation_required, looks_like_credential, ration,
};
pub use self::envelope::{RequestId, frame};
pub use self::extract::{Form, InvalidTitle, Json, Keys, Path, Query, Split, Title};
pub use self::page::{LIMIT_DEFAULT, LIMIT_MAX, List, Listing, Page};
pub use self::peer::{LastingTls, Peer, Scheme};
pub use self::principal::{
    CredentialUsed, Decision, Limits, Permission, Permissions, Place, Powers, Principal, Role, Scope, SignedInUser,
    TokenScope, UserId,
};

/// Largest JSON request body, in bytes.
pub const JSON_BODY_MAX: usize = 1024 * 1024;

//! Enrollment: tokens that operators carry to new hosts, and what a host gets
//! for one.

mod limiter;
mod model;
mod routes;
mod service;
mod store;

pub use limiter::Limiter;
pub use model::{Approval, EnrollmentTokenView, InvalidToken, MintedToken, NewEnrollmentToken, Pepper};
pub(super) use routes::{IssuedToken, routes};
pub use service::{IssueError, MintError};
pub use store::revoke_open;
pub(super) use store::{delete_ended, revoke_replacements};

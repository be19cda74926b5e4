//! Sessions: one live connection for each environment, however it is reached.
//!
//! [`admission`] turns an authenticated connection into a [`Session`]: hello,
//! the decision of a [`Gatekeeper`], welcome. [`registry`] holds the sessions
//! by environment, [`session`] opens streams on one, and [`feed`] keeps what
//! changed lately. [`listener`] brings
//! the edge agents' connections in. Nothing here knows a feature or the
//! database; what must be decided is asked of the [`Gatekeeper`].
//!
//! An adapter for agents of another protocol fits at the edge: it speaks the
//! agent's side of the in-memory transport and is admitted like any other
//! connection.

pub mod admission;
pub mod feed;
pub mod gatekeeper;
mod gauge;
pub mod listener;
pub mod registry;
pub mod session;

pub use admission::{Arrival, admit};
pub use feed::{Feed, News};
pub use gatekeeper::{Admitted, Gatekeeper, Identity, Withdrawn};
pub use registry::Registry;
pub use session::{HostUse, Session, StreamError};

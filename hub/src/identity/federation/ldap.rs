//! Directories that speak LDAP (RFC 4511), Active Directory among them: people
//! type their name and password on the hub's own page.
//!
//! ```text
//! sign_in        which directory knows somebody, and who that is here
//! trial          the same step by step, for those who set it up
//! directory      find, bind as, groups: what one directory is asked
//! conversation   one connection, within bounds
//! messages ber   what is said on it
//! ```
//!
//! The hub speaks the little of LDAP that it needs by itself. What a server says
//! is not to be trusted before it proved who it is, and the crate for it ends
//! the program on an answer that has no sense.

mod ber;
mod configuration;
mod conversation;
mod directory;
mod dn;
mod filter;
mod messages;
mod sign_in;
mod steps;
mod walk;

pub use self::configuration::{GroupSource, LdapConfiguration};
pub use self::directory::{Person, is_same_group};
pub use self::sign_in::{Elsewhere, Pace};

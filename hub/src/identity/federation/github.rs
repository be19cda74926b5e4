//! GitHub, GitHub Enterprise Server and whatever answers as they do: OAuth 2.0
//! without an ID token. Who somebody is says the provider's API.
//!
//! ```text
//! sign_in        there and back
//! api            what is asked with the token of one sign-in, which is kept nowhere
//! configuration  where it is
//! ```
//!
//! Nothing is signed here: that an answer is the provider's follows from the
//! address that is asked and its certificate. No answer names its issuer
//! (RFC 9207) either. Against mixing up providers, each has a redirect address of
//! its own, and an attempt is good at the provider for which it began only.

mod api;
mod configuration;
mod sign_in;

pub use self::configuration::{GitHubConfiguration, is_same_group};

//! What stands between: HTTP proxies before agents, reverse proxies before
//! hubs, and those that only claim to be one. And the certificate that the
//! hub shows where nothing stands between, and that it dials nobody by itself.

mod certificate;
mod impostors;
mod outbound;
mod quiet;
mod reverse;

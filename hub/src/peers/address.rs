//! Which Redis the hubs meet in, as its URL says.

use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

/// A Redis, by `redis://user:password@host:port/database`, `rediss://…` for TLS,
/// or `redis+unix:///path`. Prints without the password.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

/// The text names no Redis. It is not repeated, since it may hold a password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the Redis URL must be redis://user:password@host:6379/0, rediss:// for TLS, or redis+unix:///path/of/the/socket"
)]
pub struct InvalidRedisUrl;

impl RedisUrl {
    /// What the client connects by. Messages of other hubs come on the same
    /// connection as answers, as RESP3 has it.
    pub(super) fn connection_info(&self) -> ConnectionInfo {
        let redis = self.0.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        self.0.clone().set_redis_settings(redis)
    }

    /// Whether what is said on the way can be read by others.
    pub(super) fn is_readable(&self) -> bool {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, _) => {
                let host = host.trim_matches(['[', ']']);
                host != "localhost" && !host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
            ConnectionAddr::TcpTls { .. } | ConnectionAddr::Unix(_) => false,
            // What else there may be is not known to be safe.
            _ => true,
        }
    }
}

impl FromStr for RedisUrl {
    type Err = InvalidRedisUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let info = text.into_connection_info().map_err(|_| InvalidRedisUrl)?;
        // `#insecure` would have any certificate do.
        let is_sound = match info.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => !insecure,
            ConnectionAddr::Tcp(host, _) => !host.is_empty(),
            ConnectionAddr::Unix(path) => path.is_absolute(),
            _ => false,
        };
        if is_sound { Ok(Self(info)) } else { Err(InvalidRedisUrl) }
    }
}

impl std::fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.0.addr() {
            ConnectionAddr::TcpTls { .. } => "rediss://",
            ConnectionAddr::Unix(_) => "redis+unix://",
            _ => "redis://",
        };
        write!(f, "{scheme}{}", self.0.addr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_redis_and_hides_its_password() {
        let url: RedisUrl = "redis://hub:hunter2@cache.example/3".parse().unwrap();
        assert_eq!(format!("{url:?}"), "redis://cache.example:6379");
        assert_eq!(url.connection_info().redis_settings().password(), Some("hunter2"));
        assert!(url.is_readable());
        let tls: RedisUrl = "rediss://:hunter2@cache.example:6380".parse().unwrap();
        assert_eq!(tls.to_string(), "rediss://cache.example:6380");
        assert!(!tls.is_readable());
        let unix: RedisUrl = "redis+unix:///run/redis.sock".parse().unwrap();
        assert_eq!(unix.to_string(), "redis+unix:///run/redis.sock");
        for here in ["redis://127.0.0.1", "redis://[::1]:7000", "redis://localhost/1"] {
            assert!(!here.parse::<RedisUrl>().unwrap().is_readable(), "{here}");
        }
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for text in [
            "",
            "cache.example",
            "http://u:hunter2@h",
            "redis://",
            "redis+unix:",
            "rediss://h:1/#insecure",
            "redis://h/x",
        ] {
            assert_eq!(text.parse::<RedisUrl>().unwrap_err(), InvalidRedisUrl, "{text}");
        }
    }
}

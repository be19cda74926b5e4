//! The HTTP proxy on the way to a hub: which one, if any, and the CONNECT
//! request (RFC 9110 §9.3.6) that gets through it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use data_encoding::BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use super::{HubUrl, Outer};

/// Largest response head of a proxy, in bytes.
const RESPONSE_MAX: usize = 8 * 1024;

/// An HTTP proxy. Prints without its password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Proxy {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User and password, ready for a `Proxy-Authorization` header.
    credentials: Option<SecretString>,
}

/// A text that is no proxy's address. It is not repeated: it may hold a
/// password.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the proxy's address is not understood: use http://[USER:PASSWORD@]HOST[:PORT]")]
pub struct ProxyAddressError;

impl FromStr for Proxy {
    type Err = ProxyAddressError;

    fn from_str(text: &str) -> Result<Self, ProxyAddressError> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&with_scheme).ok().filter(|url| url.scheme() == "http").ok_or(ProxyAddressError)?;
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(ProxyAddressError)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = url.port_or_known_default().ok_or(ProxyAddressError)?;
        Ok(Self { host, port, credentials: credentials(&url)? })
    }
}

fn credentials(url: &Url) -> Result<Option<SecretString>, ProxyAddressError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user = percent_decoded(url.username())?;
    let password = percent_decoded(url.password().unwrap_or_default())?;
    Ok(Some(format!("{user}:{password}").into()))
}

fn percent_decoded(text: &str) -> Result<String, ProxyAddressError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(ProxyAddressError);
        let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
        decoded.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits fit in a byte"));
    }
    String::from_utf8(decoded).map_err(|_| ProxyAddressError)
}

impl TryFrom<String> for Proxy {
    type Error = ProxyAddressError;

    fn try_from(text: String) -> Result<Self, ProxyAddressError> {
        text.parse()
    }
}

impl From<Proxy> for String {
    /// With the password: the state directory is private, and a restart must
    /// find the way out again.
    fn from(proxy: Proxy) -> Self {
        let mut url = Url::parse(&format!("http://{proxy}")).expect("host and port were read from a URL");
        if let Some((user, password)) = proxy.credentials.as_ref().and_then(|both| both.expose_secret().split_once(':'))
        {
            url.set_username(user).and_then(|()| url.set_password(Some(password))).expect("http URLs have users");
        }
        url.into()
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = self.host.contains(':');
        if v6 { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// What the environment says of proxies; read once, at the start.
#[derive(Clone, Debug, Default)]
pub struct ProxyRules {
    /// For hubs with [`Outer::Tls`].
    https: Option<Proxy>,
    /// For hubs with [`Outer::Plain`].
    http: Option<Proxy>,
    exempt: Vec<Exempt>,
}

impl ProxyRules {
    /// From variables as curl reads them: `HTTPS_PROXY`, `HTTP_PROXY`,
    /// `ALL_PROXY` and `NO_PROXY`, lowercase first. One that is not understood
    /// is logged and passed over.
    pub fn from_variables(read: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| {
            let found = read(&name.to_ascii_lowercase()).or_else(|| read(name));
            found.filter(|text| !text.trim().is_empty())
        };
        let proxy = |name: &str| {
            let text = variable(name)?;
            text.trim().parse().inspect_err(|error| tracing::warn!(variable = name, %error, "proxy passed over")).ok()
        };
        let all: Option<Proxy> = proxy("ALL_PROXY");
        let exempt = variable("NO_PROXY").unwrap_or_default();
        Self {
            https: proxy("HTTPS_PROXY").or_else(|| all.clone()),
            http: proxy("HTTP_PROXY").or(all),
            exempt: exempt.split([',', ' ']).filter_map(Exempt::parse).collect(),
        }
    }

    /// One proxy for every hub, as the operator said.
    pub fn always(proxy: Proxy) -> Self {
        Self { https: Some(proxy.clone()), http: Some(proxy), exempt: Vec::new() }
    }

    /// The proxy on the way to `hub`.
    pub fn proxy_for(&self, hub: &HubUrl) -> Option<&Proxy> {
        if self.exempt.iter().any(|exempt| exempt.covers(hub)) {
            return None;
        }
        match hub.outer {
            Outer::Tls => self.https.as_ref(),
            Outer::Plain => self.http.as_ref(),
        }
    }
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exempt {
    Everything,
    /// The host itself and every host below it, on any port or one.
    Domain(String, Option<u16>),
    Network(IpAddr, u32),
}

impl Exempt {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = text.split_once('/') {
            return Some(Self::Network(address.parse().ok()?, bits.parse().ok()?));
        }
        if let Ok(address) = text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            return Some(Self::Network(address, 128));
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (text.as_str(), None),
        };
        let name = name.trim_start_matches('*').trim_start_matches('.');
        (!name.is_empty()).then(|| Self::Domain(name.to_owned(), port))
    }

    fn covers(&self, hub: &HubUrl) -> bool {
        match self {
            Self::Everything => true,
            Self::Domain(name, port) => {
                let below = hub.host.strip_suffix(name.as_str());
                port.is_none_or(|port| port == hub.port)
                    && below.is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }
            Self::Network(network, bits) => hub.host.parse().is_ok_and(|host| same_network(*network, host, *bits)),
        }
    }
}

fn same_network(network: IpAddr, host: IpAddr, bits: u32) -> bool {
    match (network, host) {
        (IpAddr::V4(network), IpAddr::V4(host)) => {
            let differing = 32 - bits.min(32);
            (u64::from(network.to_bits()) >> differing) == (u64::from(host.to_bits()) >> differing)
        }
        (IpAddr::V6(network), IpAddr::V6(host)) => {
            let differing = 128 - bits.min(128);
            let prefix = |address: u128| address.checked_shr(differing).unwrap_or(0);
            prefix(network.to_bits()) == prefix(host.to_bits())
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

/// Why a proxy did not let the agent through.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// It wants a user and a password, or other ones.
    #[error("the proxy {0} wants a user and a password")]
    Unauthorized(String),
    /// It does not connect to the hub.
    #[error("the proxy {proxy} answered {status} to CONNECT")]
    Refused {
        /// The proxy.
        proxy: String,
        /// Its HTTP status.
        status: u16,
    },
    /// It does not speak HTTP.
    #[error("the proxy {0} does not answer like an HTTP proxy")]
    NotAProxy(String),
    /// The network failed.
    #[error("the connection through the proxy failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Asks the proxy at the other end of `io` for a connection to the hub. The
/// caller brings the deadline.
///
/// # Errors
/// [`ProxyError`] says whose turn it is.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    io: &mut S,
    proxy: &Proxy,
    hub: &HubUrl,
) -> Result<(), ProxyError> {
    let target = hub.authority();
    let mut request = zeroize::Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
    if let Some(credentials) = &proxy.credentials {
        let encoded = zeroize::Zeroizing::new(BASE64.encode(credentials.expose_secret().as_bytes()));
        *request += &format!("Proxy-Authorization: Basic {}\r\n", *encoded);
    }
    *request += "\r\n";
    io.write_all(request.as_bytes()).await?;
    io.flush().await?;
    match read_status(io).await? {
        Some(200..=299) => Ok(()),
        Some(407) => Err(ProxyError::Unauthorized(proxy.to_string())),
        Some(status) => Err(ProxyError::Refused { proxy: proxy.to_string(), status }),
        None => Err(ProxyError::NotAProxy(proxy.to_string())),
    }
}

/// Reads one response head byte by byte: what follows it is the hub's.
async fn read_status<S: AsyncRead + Unpin>(io: &mut S) -> Result<Option<u16>, ProxyError> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == RESPONSE_MAX || (head.len() == 5 && head != b"HTTP/") {
            return Ok(None);
        }
        head.push(io.read_u8().await?);
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let status = std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    Ok(status)
}

#[cfg(test)]
mod tests;

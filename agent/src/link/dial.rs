//! One dial over one transport, from DNS to the authenticated end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;
use windflow_protocol::tls::{ClientTls, TlsError};
use windflow_protocol::transport::{TransportKind, quic, websocket};

use super::direct::Direct;
use super::names::Names;
use super::outer::OuterTls;
use super::proxy::{self, ProxyRules};
use super::{HubUrl, Io, LinkError, Outer, TlsSource, tcp};

/// An authenticated connection.
pub(super) enum Dialed {
    /// The tunnel's TLS session over TCP, inside a WebSocket or directly.
    Tcp(Box<dyn Io>),
    /// QUIC, with the socket it uses.
    Quic(quinn::Endpoint, quinn::Connection),
}

impl Dialed {
    pub(super) const fn kind(&self) -> TransportKind {
        match self {
            Self::Tcp(_) => TransportKind::WebSocket,
            Self::Quic(..) => TransportKind::Quic,
        }
    }
}

/// Knows how to get out of this host.
#[derive(Debug)]
pub(super) struct Dialer {
    proxies: ProxyRules,
    direct: Direct,
    outer: OuterTls,
    names: Names,
}

/// What HTTP is spoken on, and how it was reached.
struct Reached {
    io: Box<dyn Io>,
    /// The hub's host, or the proxy's before it.
    host: String,
    address: Option<IpAddr>,
}

impl Dialer {
    pub(super) fn new(proxies: ProxyRules) -> Self {
        Self { proxies, direct: Direct::default(), outer: OuterTls::default(), names: Names::default() }
    }

    pub(super) async fn dial(
        &self,
        hub: &HubUrl,
        kind: TransportKind,
        tls: &impl TlsSource,
    ) -> Result<Dialed, LinkError> {
        match kind {
            TransportKind::Quic => dial_quic(&self.names, hub, &tls()?).await,
            TransportKind::WebSocket | TransportKind::Memory => self.dial_tcp(hub, tls).await,
        }
    }

    async fn dial_tcp(&self, hub: &HubUrl, tls: &impl TlsSource) -> Result<Dialed, LinkError> {
        if !self.tries_directly(hub) {
            return self.dial_websocket(hub, &tls()?).await;
        }
        let tcp = tcp::connect(&self.names, &hub.host, hub.port).await?;
        let address = tcp.peer_addr().ok().map(|address| address.ip());
        if let Some(stream) = self.direct.handshake(tcp, &tls()?).await {
            self.note_good(&hub.host, address);
            return Ok(Dialed::Tcp(Box::new(stream)));
        }
        let dialed = self.dial_websocket(hub, &tls()?).await?;
        self.direct.was_in_vain(hub, Instant::now());
        Ok(dialed)
    }

    /// Whether the next dial tries if the hub answers itself.
    pub(super) fn tries_directly(&self, hub: &HubUrl) -> bool {
        self.proxies.proxy_for(hub).is_none() && self.direct.may_work(hub, Instant::now())
    }

    async fn dial_websocket(&self, hub: &HubUrl, tls: &ClientTls) -> Result<Dialed, LinkError> {
        let Reached { io, host, address } = self.reach(hub).await?;
        let uri = format!("ws://{}{}{}", hub.authority(), hub.base, websocket::PATH);
        let uri = uri.parse().map_err(|_| LinkError::NoAddress)?;
        let socket = websocket::connect(io, &uri, http::HeaderMap::new()).await?;
        let stream = Box::new(tls.handshake(socket).await?);
        self.note_good(&host, address);
        Ok(Dialed::Tcp(stream))
    }

    fn note_good(&self, host: &str, address: Option<IpAddr>) {
        if let Some(address) = address {
            self.names.note_good(host, address);
        }
    }

    /// The byte stream on which the hub, or what stands before it, speaks HTTP.
    async fn reach(&self, hub: &HubUrl) -> Result<Reached, LinkError> {
        let (tcp, host) = match self.proxies.proxy_for(hub) {
            None => (tcp::connect(&self.names, &hub.host, hub.port).await?, &hub.host),
            Some(proxy) => {
                let mut tcp = tcp::connect(&self.names, &proxy.host, proxy.port).await?;
                proxy::connect(&mut tcp, proxy, hub).await?;
                (tcp, &proxy.host)
            }
        };
        let address = tcp.peer_addr().ok().map(|address| address.ip());
        let io: Box<dyn Io> = match hub.outer {
            Outer::Plain => Box::new(tcp),
            Outer::Tls => Box::new(self.outer.connect(tcp, &hub.host).await?),
        };
        Ok(Reached { io, host: host.clone(), address })
    }
}

/// A path that carries UDP answers within this.
const QUIC_ANSWER: Duration = Duration::from_secs(5);

async fn dial_quic(names: &Names, hub: &HubUrl, tls: &ClientTls) -> Result<Dialed, LinkError> {
    let mut last = LinkError::NoAddress;
    for address in names.resolve(&hub.host, hub.port).await? {
        let endpoint = match quinn::Endpoint::client(any_port(address)) {
            Ok(endpoint) => endpoint,
            Err(source) => {
                last = LinkError::Tcp { target: address.to_string(), source };
                continue;
            }
        };
        let silent = || LinkError::Udp { target: hub.authority() };
        match tokio::time::timeout(QUIC_ANSWER, quic::connect(&endpoint, address, tls)).await {
            Ok(Ok(connection)) => {
                names.note_good(&hub.host, address.ip());
                return Ok(Dialed::Quic(endpoint, connection));
            }
            Ok(Err(TlsError::Handshake(error))) if error.kind() == std::io::ErrorKind::TimedOut => last = silent(),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => last = silent(),
        }
    }
    Err(last)
}

fn any_port(target: SocketAddr) -> SocketAddr {
    match target {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

//! What `doctor` looks at between this host and a hub, layer by layer, so that
//! the first bad line is the one to mend.

use std::net::IpAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};
use windflow_protocol::identity::Purpose;
use windflow_protocol::tls::client_config;

use super::{Check, Verdict};
use crate::identity::EdgeCredentials;
use crate::link::{HubUrl, Link, LinkError, Proxy, ProxyRules, TransportChoice};

/// How long a name or a TCP connection may take.
const STEP_DEADLINE: Duration = Duration::from_secs(5);

/// One address of a hub, and what is known of the way there.
pub(super) struct Way {
    pub hub: HubUrl,
    pub proxies: ProxyRules,
    pub transport: TransportChoice,
}

/// Everything up to the hub's own TLS session, which says nothing in it: an
/// agent that is connected stays so.
pub(super) async fn check(way: &Way, credentials: Option<&EdgeCredentials>) -> Vec<Check> {
    let proxy = way.proxies.proxy_for(&way.hub);
    let (host, port) = proxy.map_or((&way.hub.host, way.hub.port), |proxy| (&proxy.host, proxy.port));
    let mut checks = vec![check_proxy(way, proxy)];
    checks.extend(check_name(host, port).await);
    if !checks.iter().any(|check| check.verdict == Verdict::Bad) {
        checks.push(check_tcp(host, port).await);
    }
    let unreachable = checks.iter().any(|check| check.verdict == Verdict::Bad);
    if let Some(credentials) = credentials {
        if !unreachable {
            checks.push(check_websocket(way, credentials).await);
        }
        checks.push(check_udp(way, proxy, credentials).await);
    }
    checks
}

fn check_proxy(way: &Way, proxy: Option<&Proxy>) -> Check {
    let name = format!("proxy to {}", way.hub);
    match proxy {
        Some(proxy) => Check::good(name, format!("{proxy}")),
        None => Check::good(name, "none"),
    }
}

/// `None` for an address, which has no name to be looked up.
async fn check_name(host: &str, port: u16) -> Option<Check> {
    if host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let name = format!("name {host}");
    let advice = "check the name, and this host's DNS (/etc/resolv.conf)";
    Some(match timeout(STEP_DEADLINE, lookup_host((host, port))).await {
        Ok(Ok(found)) => {
            let addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            match addresses.is_empty() {
                true => Check::bad(name, "it has no address", advice),
                false => Check::good(name, addresses.join(", ")),
            }
        }
        Ok(Err(error)) => Check::bad(name, format!("DNS_FAILED: {error}"), advice),
        Err(_) => Check::bad(name, "DNS_FAILED: no answer in 5 s", advice),
    })
}

async fn check_tcp(host: &str, port: u16) -> Check {
    let name = format!("TCP {host} port {port}");
    let advice = "check that the hub runs, its port, and the firewalls on the way";
    let begun = Instant::now();
    match timeout(STEP_DEADLINE, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Check::good(name, format!("open, {} ms away", begun.elapsed().as_millis())),
        Ok(Err(error)) => Check::bad(name, format!("CONNECT_FAILED: {error}"), advice),
        Err(_) => Check::bad(name, "CONNECT_FAILED: no answer in 5 s", advice),
    }
}

async fn check_websocket(way: &Way, credentials: &EdgeCredentials) -> Check {
    let name = format!("TLS and pin of {}", way.hub);
    match reach(way, TransportChoice::WebSocket, credentials).await {
        Ok(()) => Check::good(name, "the hub answers, and its key is the pinned one"),
        Err(error) => Check::bad(name, format!("{}: {error}", error.code()), error.advice()),
    }
}

async fn check_udp(way: &Way, proxy: Option<&Proxy>, credentials: &EdgeCredentials) -> Check {
    let name = format!("UDP {} port {}", way.hub.host, way.hub.port);
    let needed = way.transport == TransportChoice::Quic;
    if proxy.is_some() && !needed {
        return Check::note(name, "not used: there is a proxy", "nothing: the agent uses a WebSocket");
    }
    match reach(way, TransportChoice::Quic, credentials).await {
        Ok(()) => Check::good(name, "QUIC gets through, and the hub's key is the pinned one"),
        Err(error) if needed || error.is_distrust() => {
            Check::bad(name, format!("{}: {error}", error.code()), error.advice())
        }
        Err(error) => {
            let advice = "nothing where TCP gets through: the agent uses a WebSocket then; open UDP to the hub's port to have QUIC";
            Check::note(name, format!("{}: {error}", error.code()), advice)
        }
    }
}

async fn reach(way: &Way, over: TransportChoice, credentials: &EdgeCredentials) -> Result<(), LinkError> {
    let tls = || {
        let (identity, trust) = credentials.for_handshake();
        client_config(Purpose::Session, trust, Some(identity))
    };
    let mut link = Link::new(vec![way.hub.clone()], way.proxies.clone(), over);
    let established = link.session(&tls).await?;
    established.connection.close("only looking");
    established.finish().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check_unenrolled(url: &str) -> Vec<Check> {
        let way = Way { hub: url.parse().unwrap(), proxies: ProxyRules::default(), transport: TransportChoice::Auto };
        check(&way, None).await
    }

    #[tokio::test]
    async fn a_closed_port_is_named_with_what_to_do() {
        // A port that nobody listens on: ours, until just now.
        let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let checks = check_unenrolled(&format!("https://127.0.0.1:{port}")).await;
        let bad: Vec<_> = checks.iter().filter(|check| check.verdict == Verdict::Bad).collect();
        assert_eq!(bad.len(), 1, "{checks:?}");
        assert!(bad[0].found.contains("CONNECT_FAILED") && bad[0].advice.as_ref().unwrap().contains("firewalls"));
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_the_only_thing_to_mend() {
        let checks = check_unenrolled("https://no-such-host.invalid").await;
        let bad: Vec<_> = checks.iter().filter(|check| check.verdict == Verdict::Bad).collect();
        assert_eq!(bad.len(), 1, "{checks:?}");
        assert!(bad[0].name.starts_with("name ") && bad[0].found.contains("DNS_FAILED"));
    }
}

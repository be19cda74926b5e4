//! One hop of a Docker conversation: what of a request and of its answer goes
//! on to the next connection, and what ends here. The hub's gateway is one such
//! hop, the socket of `environment connect` another.

use std::io;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;

/// Buffer of an upgraded connection, per direction, in bytes.
const PIPE_BUFFER: usize = 64 * 1024;

/// Headers that concern one connection (RFC 9110 §7.6.1) and are set anew for
/// the next; `TE` and `Trailer` pass, since trailers do.
const PER_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::EXPECT,
];

/// Headers that are between a caller and the hub, and never reach an engine.
const HUBS_OWN: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::REFERER,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
];

/// What one hop keeps of a request until its answer is there.
#[derive(Debug)]
pub struct Hop {
    upgrade: Option<(HeaderValue, OnUpgrade)>,
}

impl Hop {
    /// Makes `request` fit for the next connection: what concerns this one is
    /// gone from its headers, and a wish for an upgrade is made anew.
    pub fn begin<B>(request: &mut Request<B>) -> Self {
        let protocol = wished_upgrade(request.headers());
        let upgrade = protocol.clone().map(|protocol| (protocol, hyper::upgrade::on(&mut *request)));
        let headers = request.headers_mut();
        strip_connection(headers);
        for name in &HUBS_OWN {
            headers.remove(name);
        }
        insert_upgrade(headers, protocol);
        request.extensions_mut().clear();
        *request.version_mut() = Version::HTTP_11;
        Self { upgrade }
    }

    /// The protocol that the request wishes to go on with, if it wishes for an
    /// upgrade.
    pub fn wished_protocol(&self) -> Option<&HeaderValue> {
        self.upgrade.as_ref().map(|(protocol, _)| protocol)
    }

    /// Makes `answer` fit for this connection. When both ends have agreed on an
    /// upgrade, what follows is to be joined. A switch that nobody asked for is
    /// the far end's fault, and no answer.
    pub fn finish<B>(self, answer: &mut Response<B>) -> Option<Upgrades> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS && self.upgrade.is_none() {
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
        }
        let switched = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = answer.headers().get(header::UPGRADE).filter(|_| switched).cloned();
        strip_connection(answer.headers_mut());
        insert_upgrade(answer.headers_mut(), protocol);
        let near = self.upgrade.filter(|_| switched);
        let upgrades = near.map(|(_, near)| Upgrades { near, far: hyper::upgrade::on(&mut *answer) });
        answer.extensions_mut().clear();
        upgrades
    }
}

/// The two ends of an upgrade that both have agreed on.
#[derive(Debug)]
pub struct Upgrades {
    near: OnUpgrade,
    far: OnUpgrade,
}

impl Upgrades {
    /// Carries bytes both ways until both directions have ended, or one end is
    /// cut. The end of one direction is passed on and leaves the other open.
    pub async fn join(self) {
        let (near, far) = match tokio::try_join!(self.near, self.far) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "an upgrade was not carried through"),
        };
        if let Err(error) = pipe(near, far).await {
            tracing::debug!(%error, "an upgraded connection was cut");
        }
    }
}

fn wished_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers.get(header::CONNECTION)?.to_str().ok()?;
    let asked = asks.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    asked.then(|| headers.get(header::UPGRADE).cloned()).flatten()
}

fn insert_upgrade(headers: &mut HeaderMap, protocol: Option<HeaderValue>) {
    if let Some(protocol) = protocol {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
}

/// Removes what concerns one connection only, and what its `Connection` header
/// lists besides.
fn strip_connection(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != header::TE)
        .collect();
    for name in PER_CONNECTION.iter().chain(&listed) {
        headers.remove(name);
    }
}

async fn pipe(near: Upgraded, far: Upgraded) -> io::Result<()> {
    let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
    tokio::io::copy_bidirectional_with_sizes(&mut near, &mut far, PIPE_BUFFER, PIPE_BUFFER).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_or_the_hub_goes_no_further() {
        let mut request = Request::post("/session")
            .header("connection", "Upgrade, X-Listed")
            .header("upgrade", "h2c")
            .header("x-listed", "1")
            .header("authorization", "Bearer x")
            .header("x-registry-auth", "kept")
            .body(())
            .unwrap();
        let hop = Hop::begin(&mut request);
        assert_eq!(hop.wished_protocol().unwrap(), "h2c");
        let mut left: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("connection", "Upgrade"), ("upgrade", "h2c"), ("x-registry-auth", "kept")]);
    }

    #[test]
    fn an_upgrade_that_is_refused_stays_an_ordinary_answer() {
        let mut request = Request::post("/").header("connection", "upgrade").header("upgrade", "tcp").body(()).unwrap();
        let hop = Hop::begin(&mut request);
        let mut answer = Response::builder().status(404).header("upgrade", "tcp").body(()).unwrap();
        assert!(hop.finish(&mut answer).is_none());
        assert!(answer.headers().is_empty());
    }

    #[test]
    fn a_switch_that_nobody_asked_for_is_no_answer() {
        let hop = Hop::begin(&mut Request::get("/info").body(()).unwrap());
        let mut answer = Response::builder().status(101).header("upgrade", "tcp").body(()).unwrap();
        assert!(hop.finish(&mut answer).is_none());
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        assert!(answer.headers().is_empty());
    }
}

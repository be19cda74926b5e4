//! Single requests to a hub's HTTP port.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;

use crate::secrets;

/// How long a request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// A response of the hub's HTTP port.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The first header of this name, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of the error in the body, or nothing.
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// What an answer of `/readyz` says of this part of the hub.
    ///
    /// # Panics
    /// When it names no such part.
    pub fn component(&self, name: &str) -> serde_json::Value {
        let ready: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let parts = ready["components"].as_array().cloned().unwrap_or_default();
        parts.into_iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("no {name} in {}", self.body))
    }

    /// Checks that no secret stands in what is said of an error.
    pub(super) fn assert_its_error_tells_nothing(&self, method: &str) {
        if !(200..300).contains(&self.status) {
            secrets::assert_tells_nothing(&format!("the answer {} to a {method}", self.status), self.body.as_bytes());
        }
    }
}

/// Whoever has the administrator's token, also while the hub comes and goes.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) address: SocketAddr,
    pub(super) api_token: String,
}

impl Caller {
    /// Sends a request; `None` when no answer came.
    pub fn try_request(&self, method: &str, path: &str, body: &str) -> Option<Answer> {
        let headers = [("authorization", format!("Bearer {}", self.api_token))];
        ask(self.address, method, path, &headers, body)
    }
}

/// Sends one request from a thread of its own, since the caller's may belong
/// to a runtime already.
pub(super) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &str,
) -> Option<Answer> {
    let ask = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("room for a runtime");
        let exchange = async {
            let stream = TokioIo::new(tokio::net::TcpStream::connect(address).await?);
            exchange(stream, &address.to_string(), method, path, headers, body).await
        };
        runtime.block_on(async { tokio::time::timeout(REQUEST_DEADLINE, exchange).await }).ok()?.ok()
    };
    secrets::glance();
    let answer = std::thread::scope(|scope| scope.spawn(ask).join()).expect("a request does not panic");
    answer.inspect(|answer| answer.assert_its_error_tells_nothing(method))
}

/// Sends one request on a connection of its own.
pub(super) async fn exchange<S>(
    stream: S,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &str,
) -> anyhow::Result<Answer>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    secrets::heard_request(method, path, body);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    let mut request = http::Request::builder().method(method).uri(path).header("host", host);
    if !body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(bytes::Bytes::copy_from_slice(body.as_bytes())))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let headers = response.headers().clone();
        let body = response.into_body().collect().await?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        secrets::heard_answer(method, path, &headers, status, &body);
        anyhow::Ok(Answer { status, headers, retry_after, body })
    };
    tokio::select! {
        answer = answer => answer,
        ended = connection => Err(anyhow::anyhow!("the connection ended first: {ended:?}")),
    }
}

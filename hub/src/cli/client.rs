//! Speaks the hub's API: over the Unix socket in the data directory, or over
//! HTTPS to a hub elsewhere.

mod way;

use std::time::Duration;

use anyhow::anyhow;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use serde_json::Value;

pub use self::way::{Dialer, HubWay};
use super::exit::Failure;
use crate::config::{DataDir, RemoteOptions};

/// One request must be answered within this.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// The next part of a file must arrive within this.
const PART_DEADLINE: Duration = Duration::from_secs(120);
/// Largest answer that is read, in bytes.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// Items asked for at once when a whole list is wanted.
const PAGE: usize = 200;

/// Asks one hub.
#[derive(Debug)]
pub struct HubClient {
    way: HubWay,
    client: Client<Dialer, Full<Bytes>>,
}

impl HubClient {
    /// The hub that the options name.
    ///
    /// # Errors
    /// As [`HubWay::new`].
    pub fn new(data_dir: &DataDir, options: &RemoteOptions) -> anyhow::Result<Self> {
        let way = HubWay::new(data_dir, options)?;
        Ok(Self { client: way.client(), way })
    }

    /// The way that requests go, for those that are no JSON.
    pub const fn way(&self) -> &HubWay {
        &self.way
    }

    /// Reads one object.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::GET, path, None).await
    }

    /// Does something, with a JSON body.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::POST, path, Some(body)).await
    }

    /// Changes something.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn patch(&self, path: &str, body: Value) -> Result<Value, Failure> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    /// Puts something where it is to be.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn put(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::PUT, path, None).await
    }

    /// Removes something.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.send(Method::DELETE, path, None).await
    }

    /// Reads a whole list, page by page. `filters` go into the query.
    ///
    /// # Errors
    /// As the hub or the way to it says.
    pub async fn list(&self, path: &str, filters: &[(&str, &str)]) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filters);
            query.append_pair("limit", &PAGE.to_string()).append_pair("offset", &items.len().to_string());
            let mut page = self.get(&format!("{path}?{}", query.finish())).await?;
            let Value::Array(fresh) = page["items"].take() else {
                return Err(Failure::Other(anyhow!("the hub's answer is not a list")));
            };
            let full = fresh.len() == PAGE;
            items.extend(fresh);
            if !full {
                return Ok(items);
            }
        }
    }

    /// The id of the one `what` that is called `name`; an id is taken as it is.
    ///
    /// # Errors
    /// [`Failure::NotFound`] when there is none, and when there are several a
    /// sentence that says so.
    pub async fn resolve(&self, what: &str, path: &str, name: &str) -> Result<String, Failure> {
        if name.parse::<uuid::Uuid>().is_ok() {
            return Ok(name.to_owned());
        }
        let found = self.list(path, &[("name", name)]).await?;
        let mut ids = found.iter().filter_map(|item| item["id"].as_str());
        match (ids.next(), ids.next()) {
            (Some(id), None) => Ok(id.to_owned()),
            (None, _) => Err(Failure::NotFound(format!("there is no {what} called {name}"))),
            (Some(_), Some(_)) => Err(Failure::Other(anyhow!("several are called {name}: name one {what} by its id"))),
        }
    }

    /// Does something whose answer is a file; `take` gets its parts.
    ///
    /// # Errors
    /// As the hub, the way to it or `take` says, and when the answer breaks off.
    pub async fn download(
        &self,
        path: &str,
        body: Value,
        take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        self.receive(self.request(Method::POST, path, Some(body))?, take).await
    }

    /// Reads a file; `take` gets its parts.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    pub async fn fetch(&self, path: &str, take: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), Failure> {
        self.receive(self.request(Method::GET, path, None)?, take).await
    }

    async fn receive(
        &self,
        request: Request<Full<Bytes>>,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        let silent = |_| Failure::Unreachable(anyhow!("the hub sent nothing for {} s", PART_DEADLINE.as_secs()));
        let response = tokio::time::timeout(PART_DEADLINE, self.client.request(request)).await.map_err(silent)?;
        let response = response.map_err(|error| Failure::Unreachable(self.way.explain(&error)))?;
        let status = response.status();
        if !status.is_success() {
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            let body = body.map_err(|error| Failure::Unreachable(anyhow!("the hub's answer broke off: {error}")))?;
            return interpret(status, &body.to_bytes()).map(drop);
        }
        let mut body = response.into_body();
        while let Some(frame) = tokio::time::timeout(PART_DEADLINE, body.frame()).await.map_err(silent)? {
            let frame = frame.map_err(|_| Failure::Other(anyhow!("the answer broke off; the hub's log says why")))?;
            if let Some(part) = frame.data_ref() {
                take(part).map_err(|error| Failure::Other(anyhow!("the file cannot be written: {error}")))?;
            }
        }
        Ok(())
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value, Failure> {
        let request = self.request(method, path, body)?;
        let answer = tokio::time::timeout(REQUEST_DEADLINE, self.exchange(request)).await;
        let (status, body) =
            answer.map_err(|_| Failure::Unreachable(anyhow!("the hub did not answer within 30 s")))??;
        interpret(status, &body)
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder().method(method).uri(self.way.address(path)?);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = request.body(Full::new(Bytes::from(body)))?;
        self.way.authorize(request.headers_mut());
        Ok(request)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failure> {
        let response = self.client.request(request).await;
        let response = response.map_err(|error| Failure::Unreachable(self.way.explain(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| Failure::Unreachable(anyhow!("the hub's answer broke off: {error}")))?;
        Ok((status, body.to_bytes()))
    }
}

fn interpret(status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    if status.is_success() && body.is_empty() {
        return Ok(Value::Null);
    }
    let body: Option<Value> = serde_json::from_slice(body).ok();
    if status.is_success() {
        return body.ok_or_else(|| Failure::Other(anyhow!("the hub's answer is not JSON; is this a Windflow hub?")));
    }
    let message = body.as_ref().and_then(|body| body["error"]["message"].as_str());
    let message = message.map_or_else(|| format!("the hub answered {status}"), str::to_owned);
    Err(match status {
        StatusCode::NOT_FOUND => Failure::NotFound(message),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => Failure::Refused(message),
        _ => Failure::Other(anyhow!(message)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_the_hubs_sentence_and_its_kind() {
        let body = br#"{"error":{"code":"x","message":"Not today."}}"#;
        let failure = |status| interpret(status, body).unwrap_err();
        assert!(matches!(failure(StatusCode::NOT_FOUND), Failure::NotFound(message) if message == "Not today."));
        assert!(matches!(failure(StatusCode::FORBIDDEN), Failure::Refused(message) if message == "Not today."));
        assert!(matches!(failure(StatusCode::CONFLICT), Failure::Other(error) if error.to_string() == "Not today."));
        assert_eq!(interpret(StatusCode::NO_CONTENT, b"").unwrap(), Value::Null);
    }
}

//! The hub's channels, as a program has them: the live one, and those of logs.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::product::Hub;
use crate::secrets::assert_tells_nothing;

/// How long the hub may take to open a channel.
const OPEN_DEADLINE: Duration = Duration::from_secs(15);

/// An open channel of the administrator.
#[derive(Debug)]
pub struct LiveChannel {
    runtime: Runtime,
    socket: WebSocketStream<TcpStream>,
}

impl LiveChannel {
    /// Opens the live channel and says what to be told.
    ///
    /// # Panics
    /// When the hub does not open it.
    pub fn open(hub: &Hub, wish: &Value) -> Self {
        Self::open_at(hub, "/api/v1/live", wish)
    }

    /// Opens the channel at this path and says what to be told.
    ///
    /// # Panics
    /// When the hub does not open it.
    pub fn open_at(hub: &Hub, path: &str, wish: &Value) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("room for a runtime");
        let opening = async {
            let mut request = format!("ws://{}{path}", hub.address()).into_client_request()?;
            let token = format!("Bearer {}", hub.api_token());
            request.headers_mut().insert("authorization", token.parse()?);
            let stream = TcpStream::connect(hub.address()).await?;
            let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
            socket.send(Message::text(wish.to_string())).await?;
            anyhow::Ok(socket)
        };
        let opened = runtime.block_on(async { tokio::time::timeout(OPEN_DEADLINE, opening).await });
        let socket = opened.expect("the hub answers in time").expect("the hub opens a live channel");
        Self { runtime, socket }
    }

    /// The first message that `wanted` is true of; those before it are passed
    /// over.
    ///
    /// # Panics
    /// When there is none `within` the given time, or the hub ends the channel.
    pub fn until(&mut self, what: &str, within: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let Self { runtime, socket } = self;
        let reading = async {
            while let Some(message) = socket.next().await {
                let Message::Text(text) = message.expect("the channel is open") else { continue };
                assert_tells_nothing("a live message", text.as_bytes());
                let message: Value = serde_json::from_str(&text).expect("a message is JSON");
                if wanted(&message) {
                    return message;
                }
            }
            panic!("the hub ended the channel before {what}");
        };
        let read = runtime.block_on(async { tokio::time::timeout(within, reading).await });
        read.unwrap_or_else(|_| panic!("no message told of {what} within {within:?}"))
    }

    /// Says something more.
    ///
    /// # Panics
    /// When the channel has ended.
    pub fn say(&mut self, wish: &Value) {
        let Self { runtime, socket } = self;
        let sending = socket.send(Message::text(wish.to_string()));
        let sent = runtime.block_on(async { tokio::time::timeout(OPEN_DEADLINE, sending).await });
        sent.expect("the hub listens").expect("the channel is open");
    }

    /// The next message; none when the hub has ended the channel.
    ///
    /// # Panics
    /// When neither happens `within` the given time.
    pub fn next(&mut self, within: Duration) -> Option<Value> {
        let Self { runtime, socket } = self;
        let reading = async {
            loop {
                match socket.next().await? {
                    Ok(Message::Text(text)) => {
                        assert_tells_nothing("a live message", text.as_bytes());
                        return serde_json::from_str(&text).ok();
                    }
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        let read = runtime.block_on(async { tokio::time::timeout(within, reading).await });
        read.unwrap_or_else(|_| panic!("nothing was told within {within:?}"))
    }
}

//! A terminal in a container, as the console has it: over its channel, with the
//! numbers of all bytes.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::product::{Answer, Hub};
use crate::secrets::assert_tells_nothing;

/// How long the hub may take to open a channel.
const OPEN_DEADLINE: Duration = Duration::from_secs(15);
/// What is typed has no number until the hub has said which.
const NOT_TOLD: u64 = u64::MAX;
/// Bytes of the number before the others.
const NUMBER: usize = 8;

/// An open channel to a terminal. Dropping it is what a browser does that goes
/// away.
#[derive(Debug)]
pub struct TerminalChannel {
    runtime: Runtime,
    socket: WebSocketStream<TcpStream>,
    /// The terminal's id.
    pub id: String,
    /// Everything that was printed since this channel was opened.
    pub printed: String,
    /// The number of the next byte of output.
    pub received: u64,
    /// How much input the hub has taken.
    pub taken: u64,
    /// The number of the next byte of input.
    pub typed: u64,
    /// How many bytes the hub said are not kept any more.
    pub lost: u64,
    /// Whether it is recorded, as the hub said: `on` or `full`.
    pub recorded: Option<String>,
    /// What the hub said of the end.
    pub ended: Option<Value>,
    /// Why the hub closed the channel.
    pub closed: Option<String>,
}

/// Asks for a terminal in a container, with the administrator's token; `asked`
/// adds to a size of 80 by 24.
///
/// # Panics
/// When there is no answer.
pub fn ask_for_terminal(hub: &Hub, environment_id: &str, container: &str, mut asked: Value) -> Answer {
    asked["columns"] = json!(80);
    asked["rows"] = json!(24);
    let path = format!("/api/v1/environments/{environment_id}/containers/{container}/terminals");
    hub.request("POST", &path, &asked.to_string())
}

impl TerminalChannel {
    /// Opens a terminal in a container and looks at it.
    ///
    /// # Panics
    /// When the hub does not open it.
    pub fn open(hub: &Hub, environment_id: &str, container: &str, asked: Value) -> Self {
        let answer = ask_for_terminal(hub, environment_id, container, asked);
        assert_eq!(answer.status, 201, "{}", answer.body);
        let opened: Value = serde_json::from_str(&answer.body).expect("a terminal is JSON");
        Self::attach(hub, opened["id"].as_str().expect("a terminal has an id"), 0)
    }

    /// Looks at a terminal that is open, having seen everything before `from`.
    ///
    /// # Panics
    /// When the hub does not let it.
    pub fn attach(hub: &Hub, id: &str, from: u64) -> Self {
        Self::try_attach(hub, id, from, hub.api_token()).unwrap_or_else(|status| panic!("no channel: {status}"))
    }

    /// The same with another token.
    ///
    /// # Errors
    /// The status with which the hub refused.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn try_attach(hub: &Hub, id: &str, from: u64, api_token: &str) -> Result<Self, u16> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("room for a runtime");
        let opening = async {
            let url = format!("ws://{}/api/v1/terminals/{id}/channel", hub.address());
            let mut request = url.into_client_request().expect("a URL");
            let token = format!("Bearer {api_token}").parse().expect("a token fits a header");
            request.headers_mut().insert("authorization", token);
            let stream = TcpStream::connect(hub.address()).await.expect("the hub listens");
            stream.set_nodelay(true).expect("a TCP socket has this option");
            match tokio_tungstenite::client_async(request, stream).await {
                Ok((mut socket, _)) => {
                    let first = json!({ "kind": "from", "output": from });
                    socket.send(Message::text(first.to_string())).await.expect("the channel is open");
                    Ok(socket)
                }
                Err(Error::Http(response)) => Err(response.status().as_u16()),
                Err(error) => panic!("{error}"),
            }
        };
        let opened = runtime.block_on(async { tokio::time::timeout(OPEN_DEADLINE, opening).await });
        let socket = opened.expect("the hub answers in time")?;
        let (id, printed) = (id.to_owned(), String::new());
        let (lost, recorded, ended, closed) = (0, None, None, None);
        let mut channel = Self {
            runtime,
            socket,
            id,
            printed,
            received: from,
            taken: 0,
            typed: NOT_TOLD,
            lost,
            recorded,
            ended,
            closed,
        };
        channel.until("the hub to say what it has taken", OPEN_DEADLINE, |channel| channel.typed != NOT_TOLD);
        Ok(channel)
    }

    /// Types a text.
    ///
    /// # Panics
    /// When the channel is not open.
    pub fn type_in(&mut self, text: &str) {
        let from = self.typed;
        self.typed += text.len() as u64;
        self.send_input(from, text);
    }

    /// Sends input whose first byte has the number `from`.
    ///
    /// # Panics
    /// When the channel is not open.
    pub fn send_input(&mut self, from: u64, text: &str) {
        let message: Bytes = from.to_be_bytes().into_iter().chain(text.bytes()).collect();
        self.send(Message::Binary(message));
    }

    /// Says how large it is shown.
    ///
    /// # Panics
    /// When the channel is not open.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.send(Message::text(json!({ "kind": "resize", "columns": columns, "rows": rows }).to_string()));
    }

    /// Says that everything was shown.
    ///
    /// # Panics
    /// When the channel is not open.
    pub fn note_shown(&mut self) {
        self.send(Message::text(json!({ "kind": "taken", "output": self.received }).to_string()));
    }

    /// Waits until this was printed.
    ///
    /// # Panics
    /// When it was not `within` the given time.
    pub fn until_printed(&mut self, text: &str, within: Duration) {
        self.until(&format!("{text:?} to be printed"), within, |channel| channel.printed.contains(text));
    }

    /// Waits until the hub says how it ended.
    ///
    /// # Panics
    /// When it did not `within` the given time.
    pub fn until_ended(&mut self, within: Duration) -> Value {
        self.until("its end", within, |channel| channel.ended.is_some());
        self.ended.clone().expect("it was waited for")
    }

    /// Waits until the hub closes the channel, and returns why.
    ///
    /// # Panics
    /// When it did not `within` the given time.
    pub fn until_closed(&mut self, within: Duration) -> String {
        self.until("the channel's end", within, |channel| channel.closed.is_some());
        self.closed.clone().expect("it was waited for")
    }

    /// Reads until `done`, without saying that anything was shown.
    ///
    /// # Panics
    /// When it is not `within` the given time.
    pub fn until(&mut self, what: &str, within: Duration, done: impl Fn(&Self) -> bool) {
        let give_up = Instant::now() + within;
        while !done(self) {
            assert!(self.closed.is_none(), "closed ({:?}) before {what}: {:?}", self.closed, self.printed);
            let Self { runtime, socket, .. } = self;
            let next = runtime.block_on(async { tokio::time::timeout_at(give_up, socket.next()).await });
            let message = next.unwrap_or_else(|_| panic!("waited {within:?} for {what}: {:?}", self.printed));
            self.take(message);
        }
    }

    fn take(&mut self, message: Option<Result<Message, Error>>) {
        match message {
            Some(Ok(Message::Binary(bytes))) => {
                let (number, output) = bytes.split_at(NUMBER);
                let from = u64::from_be_bytes(number.try_into().expect("eight bytes"));
                assert_eq!(from, self.received, "output comes once and in order");
                self.received += output.len() as u64;
                self.printed.push_str(&String::from_utf8_lossy(output));
            }
            Some(Ok(Message::Text(text))) => {
                assert_tells_nothing("a message about a terminal", text.as_bytes());
                let told: Value = serde_json::from_str(&text).expect("a message is JSON");
                match told["kind"].as_str() {
                    Some("taken") => {
                        self.taken = told["input"].as_u64().expect("a number");
                        if self.typed == NOT_TOLD {
                            self.typed = self.taken;
                        }
                    }
                    Some("lost") => {
                        self.lost += told["bytes"].as_u64().expect("a number");
                        self.received = told["output"].as_u64().expect("a number");
                    }
                    Some("recorded") => {
                        self.recorded = told["state"].as_str().map(str::to_owned);
                    }
                    Some("ended") => self.ended = Some(told),
                    _ => {}
                }
            }
            Some(Ok(Message::Close(frame))) => {
                self.closed = Some(frame.map(|frame| frame.reason.to_string()).unwrap_or_default());
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.closed = Some("gone".to_owned()),
        }
    }

    fn send(&mut self, message: Message) {
        let Self { runtime, socket, .. } = self;
        runtime.block_on(socket.send(message)).expect("the channel is open");
    }
}

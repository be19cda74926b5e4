//! One connection to one server: what is said on it, within bounds. Referrals
//! are not followed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::ber;
use super::configuration::{Security, Server};
use super::messages::{self, Answer, Found, Outcome, Search};
use crate::outgoing::{Io, LineError, Outgoing, Rules, Socket};

/// Largest message of a server: an entry with its groups.
const MESSAGE_MAX: usize = 256 * 1024;
/// Largest sum of what a server says on one connection.
const RECEIVED_MAX: usize = 4 * 1024 * 1024;
/// Before TLS is spoken a server says one thing only.
const START_MAX: usize = 4 * 1024;

/// The end of a request that went well.
const SUCCESS: i32 = 0;
/// There is more than was asked for.
const TOO_MANY: i32 = 4;
/// There is no such entry.
const NO_SUCH_ENTRY: i32 = 32;

/// Why a directory cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The way to it.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It takes too long.
    #[error("it takes too long")]
    Slow,
    /// It ends the connection, or says what no directory says.
    #[error("it ends the connection, or does not speak LDAP")]
    Broken,
    /// It does not begin TLS.
    #[error("it does not begin TLS: {}", .0.words)]
    StartTls(Outcome),
    /// It does not know those as whom the hub asks.
    #[error("it refuses the account of the hub with code {}: {}", .0.code, .0.words)]
    Service(Outcome),
    /// It does not look for anybody.
    #[error("it refuses to search with code {}: {}", .0.code, .0.words)]
    Search(Outcome),
    /// There is more than the hub reads.
    #[error("it answers with more than is read")]
    TooMuch,
    /// There is no such entry to look below.
    #[error("there is no such entry to look below")]
    NoBase,
    /// Somebody has nothing by which they could be known again, or no name.
    #[error("somebody has not exactly one value of the attribute that is their id")]
    NoId,
}

impl Trouble {
    /// Its name in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Line(LineError::Unresolved) => "unresolved",
            Self::Line(LineError::Private) => "private",
            Self::Line(LineError::Unconnected) => "unconnected",
            Self::Line(LineError::Untrusted) => "untrusted",
            Self::Line(LineError::OtherName) => "other_name",
            Self::Line(LineError::Expired) => "expired",
            Self::Line(LineError::NoTls) => "no_tls",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::StartTls(_) => "start_tls",
            Self::Service(_) => "service_refused",
            Self::Search(_) => "search_refused",
            Self::TooMuch => "too_much",
            Self::NoBase => "no_base",
            Self::NoId => "no_id",
        }
    }

    /// What the server says of it.
    pub fn words(&self) -> Option<&str> {
        match self {
            Self::StartTls(outcome) | Self::Service(outcome) | Self::Search(outcome) => Some(&outcome.words),
            _ => None,
        }
    }

    /// Whether another server of the same directory may do better.
    pub const fn is_the_servers(&self) -> bool {
        match self {
            Self::Line(_) | Self::Slow | Self::Broken | Self::StartTls(_) => true,
            // Busy, unavailable, unwilling.
            Self::Service(outcome) | Self::Search(outcome) => matches!(outcome.code, 51..=53),
            Self::TooMuch | Self::NoBase | Self::NoId => false,
        }
    }
}

/// One connection.
pub struct Conversation {
    socket: Socket,
    last_id: i32,
    received: usize,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").field("last_id", &self.last_id).finish_non_exhaustive()
    }
}

/// Makes the connection as secure as it is to be. Nothing is said before.
pub async fn secured(
    outgoing: &Outgoing,
    rules: &Rules,
    server: &Server,
    mut tcp: TcpStream,
) -> Result<Conversation, Trouble> {
    let socket: Socket = match server.security {
        Security::Plain => Box::new(tcp),
        Security::Tls => outgoing.secure(rules, tcp, &server.target).await?,
        Security::StartTls => {
            start_tls(&mut tcp).await?;
            outgoing.secure(rules, tcp, &server.target).await?
        }
    };
    Ok(Conversation::on(socket))
}

/// Has the server expect TLS from the next byte on. What it says too early is
/// not read, and breaks TLS.
async fn start_tls(tcp: &mut (impl Io + ?Sized)) -> Result<(), Trouble> {
    tcp.write_all(&messages::start_tls(1)).await.map_err(|_| Trouble::Broken)?;
    let content = receive(tcp, START_MAX).await?;
    match messages::read(&content) {
        Ok((1, Answer::Extended(outcome))) if outcome.code == SUCCESS => Ok(()),
        Ok((1, Answer::Extended(outcome))) => Err(Trouble::StartTls(outcome)),
        _ => Err(Trouble::Broken),
    }
}

impl Conversation {
    /// Speaks on this.
    pub fn on(socket: Socket) -> Self {
        Self { socket, last_id: 1, received: 0 }
    }

    /// Says who one is. Whoever has an empty password or name is nobody to a
    /// server (RFC 4513 §5.1.2), so that is no way to prove anything: it is for
    /// the caller not to ask, and refused here once more.
    ///
    /// # Errors
    /// [`Trouble`] when there is no answer; a refusal is one.
    pub async fn bind(&mut self, dn: &str, password: &str) -> Result<Outcome, Trouble> {
        if dn.is_empty() || password.is_empty() {
            return Ok(Outcome { code: 49, words: "an empty password is none".to_owned() });
        }
        self.bind_as(dn, password).await
    }

    /// Says that one is nobody.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub async fn bind_as_nobody(&mut self) -> Result<Outcome, Trouble> {
        self.bind_as("", "").await
    }

    async fn bind_as(&mut self, dn: &str, password: &str) -> Result<Outcome, Trouble> {
        let id = self.next_id();
        self.send(&messages::bind(id, dn, password)).await?;
        match self.answer(id).await? {
            Answer::Bound(outcome) => Ok(outcome),
            _ => Err(Trouble::Broken),
        }
    }

    /// Looks for entries. More than may be are an error.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn search(&mut self, search: Search<'_>) -> Result<Vec<Found>, Trouble> {
        let id = self.next_id();
        self.send(&messages::search(id, &search)).await?;
        let mut found = Vec::new();
        loop {
            match self.answer(id).await? {
                Answer::Entry(_) if i32::try_from(found.len()).is_ok_and(|count| count >= search.most) => {
                    return Err(Trouble::TooMuch);
                }
                Answer::Entry(entry) => found.push(entry),
                Answer::Elsewhere => {}
                Answer::Searched(outcome) => return ended(outcome).map(|()| found),
                Answer::Bound(_) | Answer::Extended(_) => return Err(Trouble::Broken),
            }
        }
    }

    /// Says that it is over, and ends the connection. Nobody waits for anything.
    pub async fn end(mut self) {
        let id = self.next_id();
        if self.send(&messages::unbind(id)).await.is_ok() {
            // The server sees that it is over, one way or the other.
            self.socket.shutdown().await.ok();
        }
    }

    fn next_id(&mut self) -> i32 {
        self.last_id += 1;
        self.last_id
    }

    async fn send(&mut self, message: &[u8]) -> Result<(), Trouble> {
        self.socket.write_all(message).await.map_err(|_| Trouble::Broken)?;
        self.socket.flush().await.map_err(|_| Trouble::Broken)
    }

    async fn answer(&mut self, id: i32) -> Result<Answer, Trouble> {
        let content = receive(&mut self.socket, MESSAGE_MAX).await?;
        self.received += content.len();
        if self.received > RECEIVED_MAX {
            return Err(Trouble::TooMuch);
        }
        // One of another id is the server's notice that it ends the connection,
        // or nonsense.
        match messages::read(&content) {
            Ok((of, answer)) if of == id => Ok(answer),
            Ok(_) | Err(_) => Err(Trouble::Broken),
        }
    }
}

fn ended(outcome: Outcome) -> Result<(), Trouble> {
    match outcome.code {
        SUCCESS => Ok(()),
        TOO_MANY => Err(Trouble::TooMuch),
        NO_SUCH_ENTRY => Err(Trouble::NoBase),
        _ => Err(Trouble::Search(outcome)),
    }
}

impl Outcome {
    /// Whether it went well.
    pub const fn is_good(&self) -> bool {
        self.code == SUCCESS
    }
}

/// The content of the next message. Its length is looked at before anything is
/// kept for it.
async fn receive(socket: &mut (impl Io + ?Sized), most: usize) -> Result<Vec<u8>, Trouble> {
    let mut head = [0; 2];
    socket.read_exact(&mut head).await.map_err(|_| Trouble::Broken)?;
    let [tag, first] = head;
    if tag != ber::SEQUENCE {
        return Err(Trouble::Broken);
    }
    let length = match ber::long_form(first).map_err(|_| Trouble::Broken)? {
        None => usize::from(first),
        Some(count) => {
            let mut bytes = [0; 4];
            let bytes = &mut bytes[..count];
            socket.read_exact(bytes).await.map_err(|_| Trouble::Broken)?;
            ber::length_of(bytes)
        }
    };
    if length > most {
        return Err(Trouble::TooMuch);
    }
    let mut content = vec![0; length];
    socket.read_exact(&mut content).await.map_err(|_| Trouble::Broken)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::super::messages::Depth;
    use super::super::messages::testing::{ended, found};
    use super::*;

    /// A server that says this, whatever it is asked.
    fn hears(said: &[u8]) -> Conversation {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let said = said.to_vec();
        let saying = async move {
            theirs.write_all(&said).await.unwrap();
            theirs
        };
        // It fits into the pipe, so nobody has to read meanwhile.
        let theirs = futures_util::FutureExt::now_or_never(saying).unwrap();
        std::mem::forget(theirs);
        Conversation::on(Box::new(ours))
    }

    async fn search(conversation: &mut Conversation, most: i32) -> Result<Vec<Found>, Trouble> {
        let filter = super::super::filter::anything();
        let search = Search { base: "dc=c", depth: Depth::Below, filter, attributes: vec!["cn"], most, seconds: 5 };
        conversation.search(search).await
    }

    #[tokio::test]
    async fn what_is_found_is_read_and_what_is_elsewhere_is_not_gone_to() {
        let reference = b"\x30\x10\x02\x01\x02\x73\x0b\x04\x09ldap://x/";
        let said = [found(2, "cn=a", &[]), reference.to_vec(), found(2, "cn=b", &[]), ended(2, 0x65, 0)].concat();
        let entries = search(&mut hears(&said), 2).await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.dn.as_str()).collect::<Vec<_>>(), ["cn=a", "cn=b"]);
        assert_eq!(search(&mut hears(&said), 1).await, Err(Trouble::TooMuch));
    }

    #[tokio::test]
    async fn c19_an_empty_password_is_not_sent() {
        let mut willing = hears(&ended(2, 0x61, 0));
        assert!(!willing.bind("cn=a", "").await.unwrap().is_good());
        assert!(!willing.bind("", "x").await.unwrap().is_good());
        assert_eq!(willing.last_id, 1, "nothing was said");
        assert!(willing.bind("cn=a", "x").await.unwrap().is_good());
    }

    #[tokio::test]
    async fn what_no_directory_says_is_trouble() {
        for (said, trouble) in [
            (ended(3, 0x65, 0), Trouble::Broken),
            (ended(0, 0x78, 52), Trouble::Broken),
            (ended(2, 0x61, 0), Trouble::Broken),
            (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), Trouble::Broken),
            (ended(2, 0x65, 4), Trouble::TooMuch),
            (ended(2, 0x65, 32), Trouble::NoBase),
            (ended(2, 0x65, 10), Trouble::Search(Outcome { code: 10, words: "some words".into() })),
            (b"\x30\x84\xff\xff\xff\xff".to_vec(), Trouble::TooMuch),
            (b"\x30\x80".to_vec(), Trouble::Broken),
        ] {
            assert_eq!(search(&mut hears(&said), 9).await, Err(trouble), "{said:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_too_much_is_not_heard_to_the_end() {
        let long = "x".repeat(200 * 1024);
        let mut said = Vec::new();
        (0..21).for_each(|_| said.extend(found(2, "cn=a", &[("cn", &[&long])])));
        let (ours, mut theirs) = tokio::io::duplex(1 << 16);
        let saying = async {
            // The other end goes before all was said.
            theirs.write_all(&said).await.ok();
            std::future::pending().await
        };
        let mut conversation = Conversation::on(Box::new(ours));
        let heard = tokio::select! {
            heard = search(&mut conversation, 500) => heard,
            never = saying => never,
        };
        assert_eq!(heard, Err(Trouble::TooMuch));
    }

    #[tokio::test]
    async fn c19_tls_that_is_refused_is_not_done_without() {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        theirs.write_all(&ended(1, 0x78, 2)).await.unwrap();
        assert!(matches!(start_tls(&mut ours).await, Err(Trouble::StartTls(_))));
        theirs.write_all(&ended(1, 0x61, 0)).await.unwrap();
        assert_eq!(start_tls(&mut ours).await, Err(Trouble::Broken));
    }
}

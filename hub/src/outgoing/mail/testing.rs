//! Mail for tests: a server that takes it, and what waits to be sent.

use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::letter::Rendered;
use super::place;
use crate::on_tx;
use crate::testing::{Client, TestHub};

/// The console of the hub under test.
pub const PUBLIC_URL: &str = "https://hub.example:8443";

/// A mail that waits to be sent.
#[derive(Debug)]
pub struct Waiting {
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Waiting {
    /// The secret of its link.
    pub fn secret(&self) -> String {
        let (_, rest) = self.text.split_once('#').unwrap_or_else(|| panic!("a link in {}", self.text));
        rest.split_whitespace().next().unwrap().to_owned()
    }
}

/// Settings for a server on this machine.
pub fn server_at(port: u16) -> Value {
    json!({ "host": "127.0.0.1", "port": port, "security": "none", "sender": "hub@example.com",
            "sender_name": "Windflow", "public_url": PUBLIC_URL })
}

/// Gives the hub a server that is not there: mails wait.
pub async fn set_server(hub: &TestHub) {
    set(hub, server_at(1)).await;
}

/// Sets a server.
pub async fn set(hub: &TestHub, settings: Value) {
    let request = axum::http::Request::put("/api/v1/settings/mail").header("content-type", "application/json");
    let answer = hub.send(&Client::local(), request, settings.to_string().into()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The mails that wait, the oldest first, once nothing is done in the
/// background any more.
pub async fn waiting(hub: &TestHub) -> Vec<Waiting> {
    let tasks = &hub.app.lifecycle.tasks;
    tasks.close();
    tasks.wait().await;
    tasks.reopen();
    let sql = "SELECT id, recipient, letter_sealed FROM outbox WHERE letter_sealed IS NOT NULL ORDER BY id";
    let mut tx = hub.app.db.read().await.unwrap();
    let rows: Vec<(uuid::Uuid, String, Vec<u8>)> = on_tx!(&mut tx, |c| sqlx::query_as(sql).fetch_all(c).await).unwrap();
    let open = |(id, to, sealed): (uuid::Uuid, String, Vec<u8>)| {
        let opened = hub.app.vault.open(&place(&id.to_string()), &sealed).unwrap();
        let Rendered { subject, text, html } = serde_json::from_slice(&opened).unwrap();
        Waiting { to, subject: subject.as_str().to_owned(), text, html }
    };
    rows.into_iter().map(open).collect()
}

/// How a server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It takes every mail, from whoever signs in.
    Takes,
    /// It refuses every recipient for good.
    RefusesRecipients,
    /// It refuses every mail for good, and repeats what it read.
    Quotes,
    /// Its greeting never ends.
    Babbles,
    /// It takes connections and says nothing.
    Hangs,
    /// It protects the connection after the greeting, and somebody on the way
    /// puts an answer behind its own before that.
    IsPrecededUnderTls,
}

/// A mail server on this machine.
#[derive(Debug)]
pub struct Server {
    pub port: u16,
    /// Its certificate, which signs itself.
    pub certificate: String,
    taken: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<Vec<String>>>,
    _running: AbortOnDropHandle<()>,
}

impl Server {
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's handle of it")]
    pub async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, said) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (into, heard) = (taken.clone(), said.clone());
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = own.cert.pem();
        let acceptor = acceptor(&own);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever hangs up has heard enough.
                greet(stream, behaviour, &acceptor, &into, &heard).await.ok();
            }
        });
        Self { port, certificate, taken, said, _running: AbortOnDropHandle::new(running) }
    }

    /// The mails that it took, with their headers.
    pub fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    /// Every command that it heard.
    pub fn heard(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

fn acceptor(own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![own.cert.der().clone()], key.into()).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn greet(
    mut stream: TcpStream,
    behaviour: Behaviour,
    acceptor: &TlsAcceptor,
    taken: &Mutex<Vec<String>>,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    if behaviour == Behaviour::Babbles {
        loop {
            stream.write_all(&[b'x'; 4096]).await?;
        }
    }
    if behaviour == Behaviour::Hangs {
        return stream.read_to_end(&mut Vec::new()).await.map(drop);
    }
    stream.write_all(b"220 mail.example ESMTP\r\n").await?;
    if behaviour != Behaviour::IsPrecededUnderTls {
        return converse(BufReader::new(stream), behaviour, taken, heard).await;
    }
    let mut stream = BufReader::new(stream);
    stream.read_line(&mut String::new()).await?;
    stream.write_all(b"250-mail.example\r\n250 STARTTLS\r\n").await?;
    stream.read_line(&mut String::new()).await?;
    stream.write_all(b"220 go on\r\n250-mail.example\r\n250 AUTH PLAIN\r\n").await?;
    let protected = acceptor.accept(stream.into_inner()).await?;
    converse(BufReader::new(protected), behaviour, taken, heard).await
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    behaviour: Behaviour,
    taken: &Mutex<Vec<String>>,
    heard: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        heard.lock().unwrap().push(line.trim_end().to_owned());
        let command = line.split([' ', '\r']).next().unwrap_or_default().to_uppercase();
        let answer: &[u8] = match command.as_str() {
            "EHLO" => b"250-mail.example\r\n250 AUTH PLAIN LOGIN\r\n",
            "AUTH" => b"235 welcome\r\n",
            "RCPT" if behaviour == Behaviour::RefusesRecipients => b"550 no such mailbox\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mail = read_mail(&mut stream).await?;
                if behaviour == Behaviour::Quotes {
                    let whole = mail.replace("=\r\n", "");
                    let link = whole.split_whitespace().find(|word| word.contains("#wfl1_")).unwrap();
                    stream.write_all(format!("554 spam: {link}\r\n").as_bytes()).await?;
                    continue;
                }
                taken.lock().unwrap().push(mail);
                b"250 taken\r\n"
            }
            "QUIT" => b"221 bye\r\n",
            _ => b"250 fine\r\n",
        };
        stream.write_all(answer).await?;
    }
}

async fn read_mail<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut mail = String::new();
    loop {
        let before = mail.len();
        if stream.read_line(&mut mail).await? == 0 || &mail[before..] == ".\r\n" {
            mail.truncate(before);
            return Ok(mail);
        }
    }
}

//! One mail to one server, step by step, with a sentence about each. Everything
//! that a server says is bounded and untrusted.

mod bounded;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lettre::address::Envelope;
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, Message};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use utoipa::ToSchema;
use uuid::Uuid;

use self::bounded::{Ahead, Bounded};
use super::letter::Rendered;
use super::settings::{Security, Server};
use super::{MailAddress, MailSettings};
use crate::clock::Timestamp;
use crate::outgoing::address::Reach;

/// How long one step may take.
const STEP_DEADLINE: Duration = Duration::from_secs(10);
/// Addresses of a server that are tried.
const ADDRESSES_MAX: usize = 2;
/// Characters of what a server says that are repeated.
const SAID_MAX: usize = 200;
/// What the secrets in links start with.
const SECRET_PREFIX: &str = "wfl1_";

/// A step on the way of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The server's name has an address.
    Resolve,
    /// It takes a connection, and speaks SMTP.
    Connect,
    /// It shows a certificate that is trusted and is its own.
    Tls,
    /// It takes the user and the password.
    SignIn,
    /// It takes the mail.
    Accept,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct StepReport {
    /// Which.
    pub step: Step,
    /// Whether it went well.
    pub ok: bool,
    /// What happened, in a sentence.
    pub detail: String,
}

/// How a mail went.
#[derive(Debug)]
pub(super) struct Delivered {
    /// Its steps; the last one failed, if one did.
    pub steps: Vec<StepReport>,
    /// Whether it makes no sense to try the same again.
    pub is_final: bool,
}

impl Delivered {
    /// What went wrong.
    pub fn failure(&self) -> Option<&StepReport> {
        self.steps.last().filter(|last| !last.ok)
    }
}

/// A mail to be sent.
#[derive(Debug)]
pub(super) struct Post<'a> {
    /// The same each time when it is tried, so that a mail that comes twice is
    /// seen to be one.
    pub id: Uuid,
    pub to: &'a MailAddress,
    pub letter: &'a Rendered,
    pub at: Timestamp,
}

/// Why a step failed.
struct Failed {
    step: Step,
    detail: String,
    is_final: bool,
}

impl Failed {
    fn at(step: Step, detail: impl Into<String>) -> Self {
        Self { step, detail: detail.into(), is_final: false }
    }
}

/// Hands a mail to the server.
pub(super) async fn deliver(server: &Server, post: &Post<'_>) -> Delivered {
    let mut steps = Vec::new();
    match attempt(server, post, &mut steps).await {
        Ok(()) => Delivered { steps, is_final: true },
        Err(Failed { step, detail, is_final }) => {
            steps.push(StepReport { step, ok: false, detail });
            Delivered { steps, is_final }
        }
    }
}

async fn attempt(server: &Server, post: &Post<'_>, steps: &mut Vec<StepReport>) -> Result<(), Failed> {
    let mut passed = |step, detail: String| steps.push(StepReport { step, ok: true, detail });
    let settings = &server.settings;
    let (sender, recipient) = (address(&settings.sender)?, address(post.to)?);
    let message = compose(settings, post)?;
    let envelope = Envelope::new(Some(sender), vec![recipient]).map_err(|_| unfit())?;

    let addresses = resolve(settings).await?;
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    passed(Step::Resolve, format!("{} is {}.", settings.host.as_str(), shown.join(", ")));

    let (stream, at) = connect(&addresses).await?;
    let hello = ClientId::Domain(settings.public_url.domain().unwrap_or_else(|| "localhost".to_owned()));
    let mut connection = match settings.security {
        Security::None => {
            let connection = greet(Bounded::new(stream, Ahead::Far), &hello).await?;
            passed(Step::Connect, format!("{at} answers."));
            passed(Step::Tls, "The connection is not protected, as it is set.".to_owned());
            connection
        }
        Security::Starttls => {
            let mut connection = greet(Bounded::new(stream, Ahead::Nothing), &hello).await?;
            passed(Step::Connect, format!("{at} answers."));
            let trust = starttls_trust(server)?;
            within(Step::Tls, connection.starttls(trust, &hello)).await?;
            passed(Step::Tls, "The certificate is trusted, and the connection is protected.".to_owned());
            connection
        }
        Security::Tls => {
            let stream = handshake(server, stream).await?;
            let connection = greet(Bounded::new(stream, Ahead::Far), &hello).await?;
            passed(Step::Connect, format!("{at} answers."));
            passed(Step::Tls, "The certificate is trusted, and the connection is protected.".to_owned());
            connection
        }
    };

    match (&settings.user, &server.password) {
        (Some(user), Some(password)) => {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            within(Step::SignIn, connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials)).await?;
            passed(Step::SignIn, "The server takes user and password.".to_owned());
        }
        (Some(_), None) => return Err(Failed::at(Step::SignIn, "There is a user, but no password is stored.")),
        (None, _) => passed(Step::SignIn, "The hub does not sign in, as it is set.".to_owned()),
    }

    within(Step::Accept, connection.send(&envelope, &message.formatted())).await?;
    passed(Step::Accept, format!("The server takes the mail to {}.", post.to));
    // The server has the mail, whatever it says to this.
    timeout(STEP_DEADLINE, connection.quit()).await.ok();
    Ok(())
}

/// A header has its value encoded by the library, and cannot have a line of its
/// own: every value is of a type that has none.
fn compose(settings: &MailSettings, post: &Post<'_>) -> Result<Message, Failed> {
    let name = settings.sender_name.as_ref().map(|name| name.as_str().to_owned());
    let from = Mailbox::new(name, address(&settings.sender)?);
    let to = Mailbox::new(None, address(post.to)?);
    let body = MultiPart::alternative_plain_html(post.letter.text.clone(), post.letter.html.clone());
    Message::builder()
        .from(from)
        .to(to)
        .subject(post.letter.subject.as_str())
        .date(SystemTime::from(post.at.as_datetime()))
        .message_id(Some(format!("<{}@{}>", post.id, settings.sender.domain())))
        .multipart(body)
        .map_err(|_| unfit())
}

fn address(of: &MailAddress) -> Result<Address, Failed> {
    Address::new(of.local(), of.domain()).map_err(|_| unfit())
}

fn unfit() -> Failed {
    Failed { is_final: true, ..Failed::at(Step::Accept, "The mail cannot be written to this address.") }
}

/// The server's addresses, of those that may be reached. Each connection goes to
/// the very address that was judged here.
async fn resolve(settings: &MailSettings) -> Result<Vec<SocketAddr>, Failed> {
    let host = settings.host.as_str();
    let failed = |detail| Failed::at(Step::Resolve, detail);
    let found = timeout(STEP_DEADLINE, tokio::net::lookup_host((host, settings.port.get()))).await;
    let found = found.map_err(|_| failed(format!("No name server answers about {host}.")))?;
    let found = found.map_err(|error| failed(format!("{host} has no address: {error}.")))?;
    let found: Vec<SocketAddr> = found.collect();
    let open: Vec<SocketAddr> = found.iter().copied().filter(|found| may_reach(settings, found.ip())).collect();
    match (open.is_empty(), found.iter().any(|found| Reach::of(found.ip()) == Reach::Private)) {
        (false, _) => Ok(open.into_iter().take(ADDRESSES_MAX).collect()),
        (true, true) => Err(failed(format!("{host} is in a private network, which is not allowed for it."))),
        (true, false) => Err(failed(format!("{host} has no address that may be used."))),
    }
}

/// A server that is named as this machine's is there; where nothing protects the
/// way, it must be. Another one is in a private network only where somebody said
/// so, and never where a cloud hands out credentials.
fn may_reach(settings: &MailSettings, address: IpAddr) -> bool {
    let must_be_here = settings.security == Security::None && !settings.allow_plain;
    match must_be_here || settings.host.is_here() {
        true => address.is_loopback(),
        false => Reach::of(address).is_open(settings.allow_private),
    }
}

async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Failed> {
    let mut last = Failed::at(Step::Connect, "There is no address to connect to.");
    for address in addresses {
        match timeout(STEP_DEADLINE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, *address)),
            Ok(Err(error)) => last = Failed::at(Step::Connect, format!("{address} takes no connection: {error}.")),
            Err(_) => last = Failed::at(Step::Connect, format!("{address} does not answer in time.")),
        }
    }
    Err(last)
}

async fn greet<S: bounded::Stream>(stream: Bounded<S>, hello: &ClientId) -> Result<AsyncSmtpConnection, Failed> {
    within(Step::Connect, AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello)).await
}

fn starttls_trust(server: &Server) -> Result<TlsParameters, Failed> {
    let host = server.settings.host.as_str().to_owned();
    let mut builder = TlsParametersBuilder::new(host).certificate_store(CertificateStore::None);
    for certificate in usable(server) {
        let der = Certificate::from_der(certificate.to_vec());
        builder = builder.add_root_certificate(der.map_err(|error| Failed::at(Step::Tls, said(&error)))?);
    }
    builder.build().map_err(|error| Failed::at(Step::Tls, said(&error)))
}

/// The trusted certificates that can be used: a machine's own list may hold
/// some that cannot.
fn usable(server: &Server) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    let mut store = RootCertStore::empty();
    { server.trusted().into_iter() }.filter(|certificate| store.add(certificate.clone()).is_ok()).collect()
}

/// TLS from the beginning.
async fn handshake(server: &Server, stream: TcpStream) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Failed> {
    let failed = |detail: String| Failed::at(Step::Tls, detail);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(server.trusted());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| failed(error.to_string()))?.with_root_certificates(roots).with_no_client_auth();
    let host = server.settings.host.as_str();
    let name = match host.parse::<IpAddr>() {
        Ok(address) => ServerName::from(address),
        Err(_) => ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?,
    };
    let shaken = timeout(STEP_DEADLINE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
    let shaken = shaken.map_err(|_| failed("The server does not answer in time.".to_owned()))?;
    shaken.map_err(|error| failed(format!("No protected connection: {}.", plain(&error.to_string()))))
}

async fn within<T>(step: Step, asked: impl Future<Output = Result<T, SmtpError>>) -> Result<T, Failed> {
    match timeout(STEP_DEADLINE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            let is_final = step == Step::Accept && error.is_permanent();
            Err(Failed { is_final, ..Failed::at(step, said(&error)) })
        }
        Err(_) => Err(Failed::at(step, "The server does not answer in time.")),
    }
}

/// What went wrong, with its causes, on one line of bounded length.
fn said(error: &SmtpError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        let told = found.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        cause = found.source();
    }
    let text = plain(&text);
    if text.ends_with('.') { text } else { format!("{text}.") }
}

/// What may be kept and shown of what a server says. It may repeat the mail that
/// it refuses, and with it a link that would still work.
fn plain(text: &str) -> String {
    let mut parts = text.split(SECRET_PREFIX);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str(SECRET_PREFIX);
        kept.push('…');
        kept.push_str(part.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric()));
    }
    kept.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).take(SAID_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_short_line_without_the_secrets_of_links() {
        let secret = format!("{SECRET_PREFIX}{}", "a2".repeat(26));
        let said = plain(&format!("550 spam:\r\nhttps://hub.example/password-reset#{secret}, and {secret}\0!"));
        assert_eq!(said, "550 spam:  https://hub.example/password-reset#wfl1_…, and wfl1_… !");
        assert_eq!(plain(&"x".repeat(300)).len(), SAID_MAX);
        let cut = plain(&format!("{}{secret}", "x".repeat(SAID_MAX - 10)));
        assert!(!cut.contains("a2"), "{cut}");
    }
}

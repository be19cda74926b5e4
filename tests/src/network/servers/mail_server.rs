//! A real mail server on this machine, with a certificate of an authority that
//! nobody knows.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use serde::Deserialize;
use tempfile::TempDir;

use crate::engine::free_port;
use crate::places;
use crate::process::{Process, write_private};
use crate::wait;

/// How long it may take to start.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// As whom it is signed in to.
const USER: &str = "hub";
/// With which password.
const PASSWORD: &str = "nine copper lanterns";

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// After the greeting.
    Starttls,
    /// At once.
    Tls,
}

impl MailSecurity {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Starttls => "starttls",
            Self::Tls => "tls",
        }
    }
}

/// A mail that the server took.
#[derive(Clone, Debug, Deserialize)]
pub struct TakenMail {
    /// The sender of the envelope.
    pub sender: String,
    /// The recipients of the envelope.
    pub recipients: Vec<String>,
    /// Whether whoever brought it had signed in.
    pub signed_in: bool,
    /// Every header.
    pub headers: Vec<(String, String)>,
    /// The subject, decoded.
    pub subject: String,
    /// The message's id.
    pub id: String,
    /// Its text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

impl TakenMail {
    /// The secret behind the `#` of its link.
    ///
    /// # Panics
    /// When it has none.
    pub fn secret(&self) -> String {
        let (_, rest) = self.text.split_once('#').unwrap_or_else(|| panic!("a link in {}", self.text));
        rest.split_whitespace().next().expect("a link ends").to_owned()
    }
}

/// The server. It takes mail over TLS only, from whoever signs in. Dropping it
/// ends it.
#[derive(Debug)]
pub struct MailServer {
    process: Option<Process>,
    port: u16,
    security: MailSecurity,
    authority: String,
    folder: TempDir,
}

impl MailServer {
    /// Starts one with an authority of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(security: MailSecurity) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-mail-").tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("taken")).expect("the folder is ours");
        let authority = write_certificates(&folder);
        let mut server = Self { process: None, port: free_port(), security, authority, folder };
        server.start_again();
        server
    }

    /// Starts it again on its old port.
    ///
    /// # Panics
    /// When it runs already, or does not start.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the mail server runs already");
        let mut command = Command::new(places::installed("python3"));
        command
            .arg(places::workspace().join("tests/src/network/servers/mail_server.py"))
            .arg(self.folder.path().join("taken"));
        command.arg(self.port.to_string()).arg(self.security.as_str());
        command.arg(self.file("cert.pem")).arg(self.file("key.pem")).args([USER, PASSWORD]);
        let process = Process::start("the mail server", &command, &self.file("log"));
        self.process = Some(process);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        wait::until_true("the mail server", START_DEADLINE, || TcpStream::connect(address).is_ok());
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// What a hub is told to send mail to it.
    pub fn settings(&self) -> serde_json::Value {
        serde_json::json!({
            "host": "localhost", "port": self.port, "security": self.security.as_str(), "user": USER,
            "password": PASSWORD, "sender": "hub@example.com", "sender_name": "Windflow",
            "authority": self.authority, "public_url": "https://hub.example:8443",
        })
    }

    /// The password that it takes.
    pub const fn password() -> &'static str {
        PASSWORD
    }

    /// The mails that it took, the oldest first.
    ///
    /// # Panics
    /// When one cannot be read.
    pub fn taken(&self) -> Vec<TakenMail> {
        let entries = std::fs::read_dir(self.folder.path().join("taken")).expect("the folder is ours");
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("the folder is ours").path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
        files.sort();
        let read = |file: &PathBuf| {
            let text = std::fs::read_to_string(file).expect("the file is there");
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
        };
        files.iter().map(read).collect()
    }

    /// Waits for a mail after the first `known` ones.
    ///
    /// # Panics
    /// When none comes.
    pub fn wait_for(&self, known: usize, within: Duration) -> TakenMail {
        wait::until("a mail", within, || self.taken().get(known).cloned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Writes the server's certificate and key. The certificate of who signed it.
fn write_certificates(folder: &TempDir) -> String {
    let new_key = || KeyPair::generate().expect("the system has randomness");
    let mut params = CertificateParams::new(vec![]).expect("no names are good names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, new_key()).expect("the parameters are good");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("the name is good");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = new_key();
    let certificate = params.signed_by(&key, &authority).expect("the parameters are good");
    write_private(&folder.path().join("cert.pem"), &certificate.pem());
    write_private(&folder.path().join("key.pem"), &key.serialize_pem());
    authority.pem()
}

//! rathole's two processes, with TLS between them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use windflow_tests::engine::free_port;
use windflow_tests::process::{Process, run, write_private};
use windflow_tests::wait;

use super::{Contender, START};

/// How long a certificate may take to be packed.
const PACKING: Duration = Duration::from_secs(10);
/// Of no worth to anybody: the tunnel ends with the benchmark.
const PASSWORD: &str = "throw-away";
/// The name in the certificate.
const NAME: &str = "rathole.test";

/// A tunnel from a port of its own to the server behind it.
pub struct Rathole {
    entrance: SocketAddr,
    server: Process,
    client: Process,
    _folder: TempDir,
}

impl Rathole {
    /// Starts both ends and waits until the tunnel carries connections.
    pub fn start(program: &Path, openssl: &Path, behind: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-rathole-").tempdir().expect("a temporary folder");
        write_certificates(openssl, folder.path());
        let (tunnel, entrance) = (local(free_port()), local(free_port()));
        let server_file = folder.path().join("server.toml");
        write_private(&server_file, &server_configuration(tunnel, entrance, folder.path()));
        let client_file = folder.path().join("client.toml");
        write_private(&client_file, &client_configuration(tunnel, behind, folder.path()));
        let start = |name: &str, file: &Path| {
            let mut command = Command::new(program);
            command.arg(file).env("RUST_LOG", "info");
            Process::start(name, &command, &folder.path().join(name))
        };
        let server = start("rathole-server", &server_file);
        let client = start("rathole-client", &client_file);
        wait::until_true("rathole's tunnel", START, || client.log().contains("Control channel established"));
        Self { entrance, server, client, _folder: folder }
    }

    /// Where connections go in, and whose processor time counts.
    pub fn contender(&self) -> Contender {
        let processes = [&self.server, &self.client].map(|process| process.id().as_raw_nonzero().to_string());
        Contender { entrance: self.entrance, processes: processes.to_vec() }
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn server_configuration(tunnel: SocketAddr, entrance: SocketAddr, folder: &Path) -> String {
    format!(
        "[server]\nbind_addr = \"{tunnel}\"\ndefault_token = \"{PASSWORD}\"\n\
         [server.transport]\ntype = \"tls\"\n\
         [server.transport.tls]\npkcs12 = \"{}\"\npkcs12_password = \"{PASSWORD}\"\n\
         [server.services.bench]\nbind_addr = \"{entrance}\"\n",
        folder.join("identity.pfx").display()
    )
}

fn client_configuration(tunnel: SocketAddr, behind: SocketAddr, folder: &Path) -> String {
    format!(
        "[client]\nremote_addr = \"{tunnel}\"\ndefault_token = \"{PASSWORD}\"\n\
         [client.transport]\ntype = \"tls\"\n\
         [client.transport.tls]\ntrusted_root = \"{}\"\nhostname = \"{NAME}\"\n\
         [client.services.bench]\nlocal_addr = \"{behind}\"\n",
        folder.join("authority.pem").display()
    )
}

fn write_certificates(openssl: &Path, folder: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With the leaf's own name OpenSSL would take the leaf for self-signed.
    authority.distinguished_name.push(DnType::CommonName, "the benchmark's authority");
    let key = KeyPair::generate().expect("the system has randomness");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("the parameters are good");
    let key = KeyPair::generate().expect("the system has randomness");
    let leaf = CertificateParams::new(vec![NAME.to_owned()]).expect("the name is good");
    let leaf = leaf.signed_by(&key, &authority).expect("the authority can sign");
    fs::write(folder.join("authority.pem"), authority.as_ref().pem()).expect("the folder is ours");
    fs::write(folder.join("leaf.pem"), leaf.pem()).expect("the folder is ours");
    write_private(&folder.join("leaf.key"), &key.serialize_pem());
    let mut pack = Command::new(openssl);
    pack.current_dir(folder).args(["pkcs12", "-export", "-in", "leaf.pem", "-inkey", "leaf.key"]);
    pack.args(["-certfile", "authority.pem", "-out", "identity.pfx", "-passout"]).arg(format!("pass:{PASSWORD}"));
    run(&mut pack, PACKING).succeeded();
}

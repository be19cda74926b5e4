//! Real reverse proxies that end TLS in front of the hub.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::engine::free_port;
use crate::places;
use crate::process::{Process, write_private};
use crate::wait;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReverseProxyKind {
    /// nginx with the documented settings for WebSockets.
    Nginx,
    /// HAProxy in HTTP mode.
    HaProxy,
}

/// A reverse proxy with a certificate of its own, which nobody trusts. Dropping
/// it ends it.
#[derive(Debug)]
pub struct ReverseProxy {
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl ReverseProxy {
    /// Starts a proxy on a loopback port in front of the hub at `target`, to
    /// which it speaks plain HTTP.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(kind: ReverseProxyKind, target: SocketAddr) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-proxy-").tempdir().expect("a temporary folder");
        let port = free_port();
        let certificate = write_certificate(folder.path());
        let command = match kind {
            ReverseProxyKind::Nginx => nginx(folder.path(), &certificate, port, target),
            ReverseProxyKind::HaProxy => haproxy(folder.path(), &certificate, port, target),
        };
        let process = Process::start("reverse proxy", &command, &folder.path().join("log"));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        wait::until_true("the reverse proxy", Duration::from_secs(10), || {
            std::net::TcpStream::connect(address).is_ok()
        });
        Self { port, process, _folder: folder }
    }

    /// The hub's URL through this proxy.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// Certificate and key in one file, as HAProxy wants it and nginx takes it.
fn write_certificate(folder: &Path) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("the name is good");
    let path = folder.join("proxy.pem");
    write_private(&path, &format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()));
    path
}

fn nginx(folder: &Path, certificate: &Path, port: u16, target: SocketAddr) -> Command {
    let (certificate, root) = (certificate.display(), folder.display());
    let configuration = format!(
        "daemon off;\nmaster_process off;\npid {root}/nginx.pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 512; }}\n\
         http {{\n  access_log off;\n  client_body_temp_path {root}/body;\n  proxy_temp_path {root}/proxy;\n  \
         fastcgi_temp_path {root}/fastcgi;\n  uwsgi_temp_path {root}/uwsgi;\n  scgi_temp_path {root}/scgi;\n  \
         server {{\n    listen 127.0.0.1:{port} ssl;\n    ssl_certificate {certificate};\n    \
         ssl_certificate_key {certificate};\n    client_max_body_size 0;\n    location / {{\n      \
         proxy_pass http://{target};\n      proxy_http_version 1.1;\n      proxy_set_header Host $http_host;\n      \
         proxy_set_header Upgrade $http_upgrade;\n      proxy_set_header Connection \"upgrade\";\n      \
         proxy_read_timeout 60s;\n      proxy_request_buffering off;\n      proxy_buffering off;\n    }}\n  }}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    std::fs::write(&path, configuration).expect("the folder is ours");
    let mut command = Command::new(places::installed("nginx"));
    command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(path);
    command
}

fn haproxy(folder: &Path, certificate: &Path, port: u16, target: SocketAddr) -> Command {
    let configuration = format!(
        "global\n  maxconn 512\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  \
         timeout server 60s\n  timeout tunnel 60s\nfrontend hub\n  bind 127.0.0.1:{port} ssl crt {}\n  \
         default_backend hub\nbackend hub\n  server hub {target}\n",
        certificate.display()
    );
    let path = folder.join("haproxy.cfg");
    std::fs::write(&path, configuration).expect("the folder is ours");
    let mut command = Command::new(places::installed("haproxy"));
    command.arg("-db").arg("-f").arg(path);
    command
}

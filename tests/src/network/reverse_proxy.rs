//! Real reverse proxies in front of the hub, configured as docs/OPERATIONS.md
//! tells operators to: its own text is what runs here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::Netns;
use crate::engine::free_port;
use crate::places;
use crate::process::{Process, write_private};
use crate::wait;

/// How long a proxy may take to start.
const START_DEADLINE: Duration = Duration::from_secs(10);

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReverseProxyKind {
    /// nginx.
    Nginx,
    /// Caddy.
    Caddy,
    /// Apache.
    Apache,
    /// HAProxy in HTTP mode.
    HaProxyHttp,
    /// HAProxy in TCP mode: TLS ends in the hub.
    HaProxyTcp,
    /// Caddy in the place of Traefik, which cannot be had here: it writes the
    /// headers that Traefik writes.
    CaddyLikeTraefik,
}

/// Where a proxy stands and how patient it is.
#[derive(Clone, Debug)]
pub struct ReverseProxyOptions {
    /// The address it listens on and is known by.
    pub address: IpAddr,
    /// The network namespace it lives in.
    pub namespace: Option<String>,
    /// How long it lets a connection rest, in whole seconds; the documented
    /// day if it is not given.
    pub idle: Option<Duration>,
}

impl Default for ReverseProxyOptions {
    fn default() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), namespace: None, idle: None }
    }
}

impl ReverseProxyOptions {
    /// A proxy on a host of its own.
    pub fn inside(namespace: &Netns) -> Self {
        let address = namespace.inside().into();
        Self { address, namespace: Some(namespace.name().to_owned()), idle: None }
    }
}

/// A reverse proxy with a certificate of its own, which nobody trusts. Dropping
/// it ends it.
#[derive(Debug)]
pub struct ReverseProxy {
    address: SocketAddr,
    certificate: String,
    process: Process,
    _folder: TempDir,
}

/// What the documented configuration is changed into.
struct Site<'a> {
    folder: &'a Path,
    pem: PathBuf,
    address: SocketAddr,
    target: SocketAddr,
    idle: Option<u64>,
}

impl ReverseProxy {
    /// Starts a proxy in front of the hub at `target`, to which it speaks as
    /// documented: plain HTTP, or whatever the caller speaks.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(kind: ReverseProxyKind, target: SocketAddr, options: &ReverseProxyOptions) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-proxy-").tempdir().expect("a temporary folder");
        let address = SocketAddr::new(options.address, free_port());
        let (pem, certificate) = write_certificate(folder.path(), options.address);
        let idle = options.idle.map(|idle| idle.as_secs());
        let site = Site { folder: folder.path(), pem, address, target, idle };
        let command = site.command(kind);
        let command = match &options.namespace {
            Some(namespace) => super::wrap_in(&super::namespace_file(namespace), &command),
            None => command,
        };
        let process = Process::start("the reverse proxy", &command, &folder.path().join("log"));
        let proxy = Self { address, certificate, process, _folder: folder };
        wait::until_true("the reverse proxy", START_DEADLINE, || std::net::TcpStream::connect(address).is_ok());
        proxy
    }

    /// The hub's URL through this proxy.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate, as PEM text.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Site<'_> {
    fn command(&self, kind: ReverseProxyKind) -> Command {
        match kind {
            ReverseProxyKind::Nginx => self.nginx(),
            ReverseProxyKind::Caddy => self.caddy(&[]),
            ReverseProxyKind::CaddyLikeTraefik => self.caddy(&[
                "header_up X-Forwarded-Proto wss",
                "header_up X-Forwarded-Host {http.request.hostport}",
                "header_up X-Forwarded-Port 443",
                "header_up X-Forwarded-Server traefik",
                "header_up X-Real-Ip {http.request.remote.host}",
            ]),
            ReverseProxyKind::Apache => self.apache(),
            ReverseProxyKind::HaProxyHttp => self.haproxy(0),
            ReverseProxyKind::HaProxyTcp => self.haproxy(1),
        }
    }

    fn nginx(&self) -> Command {
        let server = Documented::block("nginx", 0)
            .with("listen 443 ssl", &format!("listen {} ssl", self.address))
            .with("/etc/ssl/hub.pem", &self.pem.display().to_string())
            .with("/etc/ssl/hub.key", &self.pem.display().to_string())
            .with("127.0.0.1:8443", &self.target.to_string())
            .with_idle("1d", self.idle.map(|idle| format!("{idle}s")));
        let root = self.folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|kind| format!("{kind}_temp_path {root}/{kind};\n")).concat();
        let whole = format!(
            "daemon off;\nmaster_process off;\npid {root}/nginx.pid;\nerror_log stderr warn;\n\
             events {{ worker_connections 512; }}\nhttp {{\naccess_log off;\n{temporary}{}}}\n",
            server.0
        );
        let path = self.write("nginx.conf", &whole);
        let mut command = Command::new(places::installed("nginx"));
        command.arg("-p").arg(self.folder).arg("-e").arg("stderr").arg("-c").arg(path);
        command
    }

    /// Caddy has no idle timeout on what it passes on.
    fn caddy(&self, further: &[&str]) -> Command {
        let pem = self.pem.display();
        let inside = further.iter().map(|line| format!("        {line}\n")).collect::<String>();
        let site = Documented::block("caddyfile", 0)
            .with("hub.example {", &format!("https://{} {{\n    tls {pem} {pem}", self.address))
            .with("127.0.0.1:8443", &self.target.to_string())
            .with("        flush_interval -1\n", &format!("        flush_interval -1\n{inside}"));
        let whole =
            format!("{{\n    admin off\n    auto_https disable_redirects\n    skip_install_trust\n}}\n{}", site.0);
        let path = self.write("Caddyfile", &whole);
        let mut command = Command::new(places::installed("caddy"));
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
        for variable in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(variable, self.folder);
        }
        command
    }

    fn apache(&self) -> Command {
        let host = Documented::block("apache", 0)
            .with("*:443", &self.address.to_string())
            .with("/etc/ssl/hub.pem", &self.pem.display().to_string())
            .with("/etc/ssl/hub.key", &self.pem.display().to_string())
            .with("127.0.0.1:8443", &self.target.to_string())
            .with_idle("86400", self.idle.map(|idle| idle.to_string()));
        let modules = ["mpm_event", "authz_core", "socache_shmcb", "ssl", "headers", "proxy", "proxy_http"];
        let modules = modules.map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"));
        let root = self.folder.display();
        let whole = format!(
            "{}ServerRoot {root}\nServerName hub.example\nPidFile {root}/apache.pid\nDefaultRuntimeDir {root}\n\
             User www-data\nGroup www-data\nErrorLog /dev/stderr\nListen {}\n{}",
            modules.concat(),
            self.address,
            host.0
        );
        let path = self.write("apache.conf", &whole);
        let mut command = Command::new(places::installed("apache2"));
        // One process: those that it would start outlive it when it is killed.
        command.arg("-X").arg("-f").arg(path);
        command
    }

    fn haproxy(&self, number: usize) -> Command {
        let documented = Documented::block("haproxy", number)
            .with("bind :443", &format!("bind {}", self.address))
            .with("127.0.0.1:8443", &self.target.to_string())
            .with_idle("1d", self.idle.map(|idle| format!("{idle}s")));
        let documented = match number {
            0 => documented.with("/etc/ssl/hub.pem", &self.pem.display().to_string()),
            _ => documented,
        };
        let path = self.write("haproxy.cfg", &format!("global\n    maxconn 512\n{}", documented.0));
        let mut command = Command::new(places::installed("haproxy"));
        command.arg("-db").arg("-f").arg(path);
        command
    }

    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::write(&path, content).expect("the folder is ours");
        path
    }
}

/// A configuration as the operations manual shows it, with the places of a
/// test put in.
struct Documented(String);

impl Documented {
    /// The block of this language, counted from 0.
    fn block(language: &str, number: usize) -> Self {
        let manual = places::workspace().join("docs/OPERATIONS.md");
        let manual = std::fs::read_to_string(manual).expect("the manual is there");
        let fence = format!("\n```{language}\n");
        let mut blocks = manual.split(&fence).skip(1);
        let block = blocks.nth(number).and_then(|rest| rest.split("\n```").next());
        let block = block.unwrap_or_else(|| panic!("docs/OPERATIONS.md has no block {number} of {language}"));
        Self(format!("{block}\n"))
    }

    fn with(self, documented: &str, here: &str) -> Self {
        assert!(self.0.contains(documented), "docs/OPERATIONS.md no longer says {documented:?} in:\n{}", self.0);
        Self(self.0.replace(documented, here))
    }

    fn with_idle(self, documented: &str, here: Option<String>) -> Self {
        match here {
            Some(here) => self.with(documented, &here),
            None => self,
        }
    }
}

/// Certificate and key in one file, as HAProxy wants it and the others take
/// it, and the certificate alone.
fn write_certificate(folder: &Path, address: IpAddr) -> (PathBuf, String) {
    let made = rcgen::generate_simple_self_signed(vec![address.to_string()]).expect("the name is good");
    let path = folder.join("proxy.pem");
    write_private(&path, &format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem()));
    (path, made.cert.pem())
}

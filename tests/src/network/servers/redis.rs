//! A real Redis that speaks TLS on an address of its own and asks for a
//! password.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::Authority;
use crate::places;
use crate::process::{Process, run, write_private};
use crate::{secrets, wait};

/// How long it may take to answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// As whom hubs come.
const USER: &str = "windflow";
/// All that they may, as docs/OPERATIONS.md says.
const COMMANDS: &str = "+hello +auth +client +select +subscribe +publish +ping +get +mget +set +del +incr +time +eval \
                        +evalsha +script +multi +exec";

/// A Redis on the usual port, which keeps nothing on a disk. Dropping it kills
/// it.
#[derive(Debug)]
pub struct Redis {
    process: Option<Process>,
    address: Ipv4Addr,
    password: String,
    folder: TempDir,
}

impl Redis {
    /// Starts one with a certificate of this authority.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(authority: &Authority) -> Self {
        let folder = tempfile::Builder::new().prefix("windflow-redis-").tempdir().expect("a temporary folder");
        let [a, b, c] = [1, 2, 3].map(|_| rand::random_range(2..250));
        let (address, password) = (Ipv4Addr::new(127, a, b, c), secrets::fresh("the password of Redis"));
        let (certificate, key) = authority.issue(&address.to_string());
        for (name, text) in [("ca.pem", authority.pem()), ("cert.pem", certificate), ("key.pem", key)] {
            write_private(&folder.path().join(name), &text);
        }
        let file = |name: &str| folder.path().join(name).display().to_string();
        let configuration = format!(
            "bind {address}\nport 0\nunixsocket {}\ntls-port 6379\ntls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n\
             tls-auth-clients no\nuser default off\n\
             user {USER} on >{password} resetchannels &{{windflow:* ~{{windflow:* -@all {COMMANDS}\n\
             user root on >{password} ~* &* +@all\nsave \"\"\nappendonly no\ndir {}\n",
            file("socket"),
            file("cert.pem"),
            file("key.pem"),
            file("ca.pem"),
            folder.path().display(),
        );
        write_private(&folder.path().join("redis.conf"), &configuration);
        let mut redis = Self { process: None, address, password, folder };
        redis.start_again();
        redis
    }

    /// Starts a killed one again, with nothing in it.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self) {
        let mut serve = Command::new(places::installed("redis-server"));
        serve.arg(self.folder.path().join("redis.conf"));
        self.process = Some(Process::start("Redis", &serve, &self.folder.path().join("log")));
        wait::until_true("Redis to answer", DEADLINE, || run(self.ask().arg("PING"), DEADLINE).stdout.trim() == "PONG");
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// What `--redis-url` wants.
    pub fn url(&self) -> String {
        format!("rediss://{USER}:{}@{}:6379/0", self.password, self.address)
    }

    /// The file with its authority's certificate.
    pub fn authority_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Everything that is in it, as text.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn dump(&self) -> String {
        let all = "local all = {} for _, key in ipairs(redis.call('KEYS', '*')) do \
                   all[#all + 1] = key all[#all + 1] = redis.call('GET', key) end return all";
        run(self.ask().args(["EVAL", all, "0"]), DEADLINE).succeeded()
    }

    /// Asks it as its operator does, on a socket.
    fn ask(&self) -> Command {
        let mut ask = Command::new(places::installed("redis-cli"));
        ask.arg("-s").arg(self.folder.path().join("socket"));
        ask.args(["--no-auth-warning", "--user", "root", "-a", &self.password]);
        ask
    }
}

//! A real Redis for tests, on a Unix socket only.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::Peers;

/// The password that it asks for.
pub const PASSWORD: &str = "redis-lamp-orchard";

/// A Redis that ends with this value.
#[derive(Debug)]
pub struct TestRedis {
    directory: TempDir,
    server: Option<Child>,
}

impl TestRedis {
    /// Starts one and waits until it answers.
    pub async fn start() -> Self {
        let mut redis = Self { directory: tempfile::tempdir().unwrap(), server: None };
        redis.begin().await;
        redis
    }

    /// Starts it once more, empty.
    pub async fn begin(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--appendonly", "no", "--requirepass", PASSWORD]);
        command.arg("--unixsocket").arg(self.socket()).arg("--dir").arg(self.directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.server = Some(command.spawn().expect("redis-server is installed for the tests"));
        let listens = async {
            while tokio::net::UnixStream::connect(self.socket()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), listens).await.expect("Redis listens");
    }

    /// Ends it, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
            std::fs::remove_file(self.socket()).ok();
        }
    }

    /// A hub's way to the others, by way of this Redis.
    pub fn peers(&self) -> Peers {
        self.peers_with(PASSWORD)
    }

    /// The same with another password.
    pub fn peers_with(&self, password: &str) -> Peers {
        let url = format!("redis+unix://{}?pass={password}", self.socket().display());
        Peers::by_way_of(url.parse().unwrap())
    }

    /// The answer to a command.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        let url = format!("redis+unix://{}?pass={PASSWORD}", self.socket().display());
        let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        command.query_async(&mut connection).await.unwrap()
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("redis.sock")
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until a hub meets the others, or does not.
pub async fn until_met(peers: &Peers, are_met: bool) {
    let met = async {
        while peers.are_met() != Some(are_met) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), met).await.expect("the hubs meet, or cannot any more");
}

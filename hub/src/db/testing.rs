//! Databases for tests: every store test runs on both engines, each in a
//! database of its own.
//!
//! PostgreSQL comes from a private cluster that the first test starts, on a
//! Unix socket only. A watcher whose standard input is a pipe from this process
//! stops the cluster and removes its files when the process is gone, however it
//! went.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::{DatabaseUrl, Db};

/// Expands each function to a module with one test per engine. The argument is
/// a migrated, empty database.
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($db:ident) $body:block)*) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn run($db: $crate::db::Db) $body

            #[tokio::test]
            async fn sqlite() {
                let test = $crate::db::testing::TestDb::sqlite().await;
                run(test.db.clone()).await;
            }

            #[tokio::test]
            async fn postgres() {
                let test = $crate::db::testing::TestDb::postgres().await;
                run(test.db.clone()).await;
            }
        }
    )*};
}
pub(crate) use on_both_engines;

/// A migrated, empty database that goes away with this value.
#[derive(Debug)]
pub struct TestDb {
    /// The open database.
    pub db: Db,
    /// How to open it again.
    pub url: DatabaseUrl,
    _directory: Option<TempDir>,
}

impl TestDb {
    /// A SQLite file in a temporary directory.
    pub async fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::in_directory(directory.path());
        Self::open(url, Some(directory)).await
    }

    /// A database on the private PostgreSQL cluster.
    pub async fn postgres() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let cluster = tokio::task::spawn_blocking(|| &*CLUSTER).await.unwrap();
        let mut connection = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        Self::open(cluster.url(&name).parse().unwrap(), None).await
    }

    /// The same database, opened once more.
    pub async fn again(&self) -> Self {
        let (db, url) = (Db::open(&self.url).await.unwrap(), self.url.clone());
        db.row_key().set(&[7; 32]);
        Self { db, url, _directory: None }
    }

    async fn open(url: DatabaseUrl, directory: Option<TempDir>) -> Self {
        let db = Db::open(&url).await.unwrap();
        db.migrate().await.unwrap();
        db.row_key().set(&[7; 32]);
        Self { db, url, _directory: directory }
    }
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

struct Cluster {
    directory: PathBuf,
    /// Lives as long as this process; its end of the pipe is the signal.
    _watcher: Child,
}

impl Cluster {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("windflow-pg-").tempdir().unwrap().keep();
        let postgres = Postgres::find(&directory);
        let data = directory.join("data");
        postgres.run("initdb", &["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "-D"], &data);
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories='{}' -c fsync=off -c max_connections=300",
            directory.display()
        );
        let log = directory.join("log").display().to_string();
        postgres.run("pg_ctl", &["start", "-w", "-s", "-l", &log, "-o", &options, "-D"], &data);
        let watcher = postgres.watch(&data, &directory);
        Self { directory, _watcher: watcher }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.directory.display())
    }
}

/// The server's programs, and the user they agree to run as.
struct Postgres {
    programs: PathBuf,
    drop_root: bool,
}

impl Postgres {
    fn find(directory: &Path) -> Self {
        let installed =
            std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL's server is installed for the tests");
        let programs = installed.map(|entry| entry.unwrap().path().join("bin")).max().expect("a version is installed");
        let drop_root = std::fs::metadata(directory).unwrap().uid() == 0;
        if drop_root {
            let (uid, gid) = postgres_user();
            chown(directory, Some(uid), Some(gid)).unwrap();
        }
        Self { programs, drop_root }
    }

    fn command(&self, program: &Path) -> Command {
        if !self.drop_root {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command
    }

    fn run(&self, program: &str, arguments: &[&str], data: &Path) {
        let mut command = self.command(&self.programs.join(program));
        command.args(arguments).arg(data).current_dir("/");
        // The server must not hold this process's output open.
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "{program} failed");
    }

    fn watch(&self, data: &Path, directory: &Path) -> Child {
        let script = "trap '' INT TERM HUP; read -r _; \"$0\" stop -m immediate -s -D \"$1\"; rm -rf \"$2\"";
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", script]).arg(self.programs.join("pg_ctl")).arg(data).arg(directory).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

fn postgres_user() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("the user postgres exists");
    let fields: Vec<&str> = line.split(':').collect();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

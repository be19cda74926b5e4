//! `health`, `migrate`, `doctor` and `openapi`: what is done on the hub's own machine,
//! whether the hub runs or not; [`backup`] and [`keys`] too. [`audit`] asks a hub that runs.

pub mod audit;
pub mod backup;
pub mod keys;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::client::HubClient;
use super::exit::Failure;
use super::output::Format;
use crate::app::open_migrated;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::{DataDir, EngineOptions, StorageOptions};
use crate::db::Db;
use crate::ops::console;
use crate::vault::{KeyCost, Vault};

/// An engine must answer within this.
const ENGINE_DEADLINE: Duration = Duration::from_secs(5);
/// A clock that shows an earlier day is certainly wrong.
const EARLIEST: time::OffsetDateTime = time::macros::datetime!(2026-01-01 0:00 UTC);

/// Brings the database's schema to this version of the hub.
///
/// # Errors
/// When the hub runs, or the database cannot be opened or migrated.
pub async fn migrate(data_dir: &DataDir, options: &StorageOptions) -> anyhow::Result<()> {
    data_dir.create()?;
    let _lock = data_dir.lock()?;
    let db = open_migrated(data_dir, options).await?;
    db.close().await;
    eprintln!("The database {} is up to date.", options.database(data_dir));
    Ok(())
}

/// Prints the OpenAPI document.
///
/// # Errors
/// When it is no JSON.
pub fn print_openapi() -> anyhow::Result<()> {
    println!("{}", crate::router::document().to_pretty_json()?);
    Ok(())
}

/// Succeeds when the hub is ready.
///
/// # Errors
/// When it does not answer, or a part of it is degraded.
pub async fn health(hub: &HubClient) -> Result<(), Failure> {
    hub.get("/readyz").await?;
    println!("ready");
    Ok(())
}

/// What `doctor` looks at.
#[derive(clap::Args, Debug)]
pub struct DoctorOptions {
    #[command(flatten)]
    storage: StorageOptions,
    #[command(flatten)]
    engine: EngineOptions,
    /// Address and port that the hub listens on
    #[arg(long, env = "WINDFLOW_LISTEN", default_value = "0.0.0.0:8443", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
}

/// Looks at all that the hub needs, and says of each part that is wrong what to
/// do about it.
///
/// # Errors
/// When a part is wrong.
pub async fn doctor(data_dir: &DataDir, options: &DoctorOptions, format: Format) -> Result<(), Failure> {
    check_rights(data_dir.path())?;
    let running = UnixStream::connect(data_dir.socket()).await.is_ok();
    let mut findings = vec![
        finding("data directory", check_data_dir(data_dir.path())),
        finding("clock", check_clock(SystemClock.now())),
        finding("hub", Ok(if running { "running".to_owned() } else { "not running".to_owned() })),
    ];
    findings.extend(check_storage(data_dir, &options.storage).await);
    if !running {
        findings.push(finding("port", check_port(options.listen)));
    }
    findings.push(finding("console", Ok(describe_console().to_owned())));
    findings.push(finding("engine", check_engine(&options.engine).await));
    format.list(&findings, &[("PART", "part"), ("STATUS", "status"), ("DETAIL", "detail")]);
    match findings.iter().filter(|finding| finding["status"] != "ok").count() {
        0 => Ok(()),
        wrong => Err(Failure::Other(anyhow!("{wrong} of {} parts are not right", findings.len()))),
    }
}

/// Who may not look into the data directory would find everything missing.
fn check_rights(data_dir: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(data_dir) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("{} is for root and the user that the hub runs as: run this with sudo", data_dir.display())
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn finding(part: &str, checked: anyhow::Result<String>) -> Value {
    match checked {
        Ok(detail) => json!({ "part": part, "status": "ok", "detail": detail }),
        Err(error) => json!({ "part": part, "status": "wrong", "detail": format!("{error:#}") }),
    }
}

fn check_data_dir(path: &Path) -> anyhow::Result<String> {
    let metadata = std::fs::metadata(path).with_context(|| format!("Failed to open {}", path.display()))?;
    if metadata.mode() & 0o077 != 0 {
        bail!("{} is open to others: run chmod 700 on it", path.display());
    }
    Ok(path.display().to_string())
}

fn check_clock(now: Timestamp) -> anyhow::Result<String> {
    if now.as_datetime() < EARLIEST {
        bail!("the clock shows {now}: set it, certificates depend on it");
    }
    Ok(now.to_string())
}

async fn check_storage(data_dir: &DataDir, options: &StorageOptions) -> Vec<Value> {
    let url = options.database(data_dir);
    let opened = async {
        if let crate::db::DatabaseUrl::Sqlite(path) = &url {
            std::fs::metadata(path).context("there is no database yet; `serve` or `migrate` makes it")?;
        }
        let db = Db::open(&url).await.with_context(|| format!("Failed to open {url}"))?;
        db.ping().await.with_context(|| format!("{url} does not answer"))?;
        db.check().await.with_context(|| format!("restore a backup: {}", options.restore_command(data_dir)))?;
        anyhow::Ok(db)
    };
    match opened.await {
        Err(error) => vec![finding("database", Err(error))],
        Ok(db) => {
            let key = check_master_key(&db, data_dir, options).await;
            db.close().await;
            vec![finding("database", Ok(url.to_string())), finding("master key", key)]
        }
    }
}

async fn check_master_key(db: &Db, data_dir: &DataDir, options: &StorageOptions) -> anyhow::Result<String> {
    let source = options.master_key(data_dir);
    let key = source.read().await?;
    let root = Vault::check(db, key, KeyCost::Production).await?;
    let place = source.file().map_or_else(|| "the command's key".to_owned(), |path| path.display().to_string());
    Ok(format!("{place} opens the vault; its id is {}", root.id()))
}

fn check_port(address: SocketAddr) -> anyhow::Result<String> {
    std::net::TcpListener::bind(address)
        .with_context(|| format!("{address} cannot be used; is another program listening there?"))?;
    Ok(format!("{address} is free"))
}

/// A hub without a console is whole: the command line and the API are there.
fn describe_console() -> &'static str {
    if console::is_built(console::Files::BUILT_IN) {
        "built in"
    } else {
        "not in this program; `make build` builds both"
    }
}

async fn check_engine(options: &EngineOptions) -> anyhow::Result<String> {
    let Some(path) = options.socket() else {
        return Ok("no local engine; hosts with agents need none".to_owned());
    };
    let asked = tokio::time::timeout(ENGINE_DEADLINE, ping_engine(&path)).await;
    let answer = asked.with_context(|| format!("the engine on {} accepts but does not answer", path.display()))?;
    answer.with_context(|| format!("the engine on {} cannot be used", path.display()))?;
    Ok(format!("{} answers", path.display()))
}

async fn ping_engine(path: &Path) -> anyhow::Result<()> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n").await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    if head != *b"HTTP/1.1 200" {
        bail!("its answer is not that of a Docker engine");
    }
    Ok(())
}

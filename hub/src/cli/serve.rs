//! `windflow-hub serve`: builds the hub, opens its doors and waits for its end.

use std::net::SocketAddr;
use std::sync::Arc;

use windflow_protocol::transport::quic;

use crate::app::background;
use crate::app::{App, AppState};
use crate::clock::{Clock, SystemClock};
use crate::config::{DataDir, ServeOptions};
use crate::lifecycle::Lifecycle;
use crate::ops::console;
use crate::ops::keys::locked::{self, NoAgents};
use crate::router;
use crate::server::{CertificateSource, DoorPlan, PortCertificate, Server, TrustedProxies};

/// Runs the hub until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(data_dir: &DataDir, options: &ServeOptions) -> anyhow::Result<()> {
    options.logging.start()?;
    data_dir.create()?;
    let _lock = data_dir.lock()?;
    let lifecycle = Lifecycle::default();
    let app = match App::build(data_dir, options, lifecycle.clone()).await {
        Ok(app) => app,
        Err(error) => {
            let Some(why) = locked::reason(&error) else { return Err(error) };
            return serve_locked(data_dir, options, &lifecycle, &why).await;
        }
    };
    if !console::is_built(app.console) {
        tracing::warn!("this program was built without the web console: `make build` builds both");
    }
    let source = CertificateSource::new(&options.listen, &data_dir.tls())?;
    let certificate = Arc::new(PortCertificate::load(source, app.clock.now())?);
    background::watch_certificate(&app, &certificate);
    let proxies = TrustedProxies::new(&options.proxies);
    let agents = Arc::new(app.listener.clone());
    let (address, socket) = (options.listen.listen, data_dir.socket());
    let plan = DoorPlan { address, certificate, proxies, agents, socket };
    let server = Server::bind(plan, router::build(app.clone()), lifecycle.clone())?;
    tracing::info!(address = %server.address()?, database = app.db.engine(), "hub is listening");
    let address = server.address()?;
    server.serve();
    serve_quic(&app, address)?;
    app.attached.start_all().await?;
    background::start(&app, &lifecycle);
    if let Some(code) = app.identity.issue_setup_code() {
        show_setup_code(&code);
    }
    let ended = lifecycle.run().await?;
    app.db.close().await;
    tracing::info!(?ended, "hub has stopped");
    Ok(())
}

/// Says at the doors that the secrets cannot be opened, until it is told to stop.
async fn serve_locked(
    data_dir: &DataDir,
    options: &ServeOptions,
    lifecycle: &Lifecycle,
    why: &str,
) -> anyhow::Result<()> {
    tracing::error!(why, "the hub is locked: it cannot open its secrets, and does nothing until it is started again");
    let source = CertificateSource::new(&options.listen, &data_dir.tls())?;
    let certificate = Arc::new(PortCertificate::load(source, SystemClock.now())?);
    let (address, socket) = (options.listen.listen, data_dir.socket());
    let proxies = TrustedProxies::new(&options.proxies);
    let plan = DoorPlan { address, certificate, proxies, agents: Arc::new(NoAgents), socket };
    let server = Server::bind(plan, locked::router(why), lifecycle.clone())?;
    tracing::info!(address = %server.address()?, "a locked hub is listening");
    server.serve();
    lifecycle.run().await?;
    Ok(())
}

/// Takes agents over QUIC on the UDP port of the same number. Where it is not
/// to be had, agents come by WebSocket all the same.
fn serve_quic(app: &AppState, address: SocketAddr) -> anyhow::Result<()> {
    match quic::listen(address, app.fleet.tunnel_tls()?, app.fleet.quic_secret()) {
        Ok(endpoint) => {
            let (listener, stop) = (app.listener.clone(), app.lifecycle.soft.clone());
            app.lifecycle.tasks.spawn(async move { listener.take_quic(endpoint, stop).await });
        }
        Err(error) => tracing::warn!(%address, %error, "no QUIC: the UDP port cannot be used"),
    }
    Ok(())
}

/// Goes to the terminal beside the log, so that no collector of logs keeps it
/// as a record of its own.
fn show_setup_code(code: &str) {
    eprintln!();
    eprintln!("  This hub has no user yet. Set it up with this code, valid for 15 minutes:");
    eprintln!();
    eprintln!("      {code}");
    eprintln!();
    eprintln!("  A new code: windflow-hub setup-code");
    eprintln!("  or without: windflow-hub user add NAME --role administrator --password-stdin");
    eprintln!();
}

//! `windflow-hub serve`: builds the hub, opens its doors and waits for its end.

use crate::app::App;
use crate::config::{DataDir, ServeOptions};
use crate::lifecycle::Lifecycle;
use crate::router;
use crate::server::Server;

/// Runs the hub until it is told to stop.
///
/// # Errors
/// When it cannot start.
pub async fn run(data_dir: &DataDir, options: &ServeOptions) -> anyhow::Result<()> {
    options.logging.start()?;
    data_dir.create()?;
    let _lock = data_dir.lock()?;
    let lifecycle = Lifecycle::default();
    let app = App::build(data_dir, &options.storage).await?;
    let server = Server::bind(&options.listen, data_dir, router::build(app.clone()), lifecycle.clone())?;
    tracing::info!(address = %server.address()?, database = app.db.engine(), "hub is listening");
    server.serve();
    let ended = lifecycle.run().await?;
    app.db.close().await;
    tracing::info!(?ended, "hub has stopped");
    Ok(())
}

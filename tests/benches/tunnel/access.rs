//! What it costs that everybody is asked who they are: requests with and
//! without a credential, lists of a large company, and a morning on which
//! everybody signs in.

mod asking;
mod lists;
mod signing_in;

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use windflow_tests::product::{Hub, HubOptions};

use super::engine::client::{Target, runtime};

/// Who there is, and what they may do.
const PEOPLE: &str = include_str!("access/people.sql");
/// Passwords are as those of the hub's first user.
const USERS: usize = 10_000;

/// Every figure of who may do what.
pub fn measure() {
    let mut hub = Hub::start_with(HubOptions {
        // So that everybody comes from an address of their own.
        arguments: ["--trusted-proxy", "127.0.0.0/8", "--proxy-headers", "x-forwarded"].map(String::from).to_vec(),
        ..HubOptions::default()
    });
    hub.terminate();
    runtime().block_on(fill(&hub.data_folder().join("windflow.db")));
    hub.start_again();
    asking::measure(&hub);
    lists::measure(&hub);
    signing_in::measure(&hub);
}

async fn fill(database: &Path) {
    let options = SqliteConnectOptions::new().filename(database);
    let mut connection = options.connect().await.expect("the hub has left its database");
    sqlx::raw_sql(PEOPLE).execute(&mut connection).await.expect("the tables are as they were written for");
    connection.close().await.expect("nothing else is left to do");
}

/// The name of a user.
fn name_of(user: usize) -> String {
    format!("user-{:05}", user % USERS)
}

/// The hub as the administrator asks it.
fn administrator(hub: &Hub) -> Target {
    Target::routes(hub, "/api/v1")
}

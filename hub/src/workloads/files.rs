//! Files in containers: browsed, moved in and out, read, written and deleted,
//! through the engine's archive and, where that cannot do it, through programs
//! that the container has. What is moved is streamed: the hub holds a text of at
//! most 1 MiB and never a whole file.

mod change;
mod engine;
mod listing;
mod model;
mod path;
mod routes;
mod service;
mod tar;
mod text;
mod transfer;

pub(super) use self::routes::routes;
use crate::http::UserId;
use crate::http::websocket::Places;

/// Most files that are on their way at once.
const TRANSFERS_MAX: usize = 128;
/// Most of one user.
const TRANSFERS_OF_USER_MAX: usize = 8;

/// Who moves files at the moment.
#[derive(Debug)]
pub struct Transfers {
    places: Places<Option<UserId>>,
}

impl Default for Transfers {
    fn default() -> Self {
        Self { places: Places::new(TRANSFERS_MAX, TRANSFERS_OF_USER_MAX) }
    }
}

//! What only the shared log promises: about several nodes, and a database that fails.

mod failure;
mod network;
mod nodes;
mod stored;
mod support;
mod tls;

use std::sync::Arc;

use crate::log::contract::{self, Fresh};

async fn make() -> Fresh {
    let database = fixtures::postgres::server().fresh();
    let log = support::open(&database.url()).await;
    Fresh { log: Arc::new(log), keep: Box::new(database) }
}

contract::tests!(make);

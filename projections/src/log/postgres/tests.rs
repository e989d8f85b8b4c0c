//! What only the shared log promises: about several nodes, and a database that fails.

use std::sync::Arc;

use super::PostgresLog;
use crate::{
    log::contract::{self, Fresh},
    postgres::Postgres,
};

async fn make() -> Fresh {
    let database = fixtures::postgres::server().fresh();
    let log = PostgresLog::open(&Postgres::new(&database.url()).unwrap()).await.unwrap();
    Fresh { log: Arc::new(log), keep: Box::new(database) }
}

contract::tests!(make);

//! What only the embedded log promises: about its file, other processes, and death.

mod crash;
mod failure;
mod file;

use std::sync::Arc;

use super::SqliteLog;
use crate::log::contract::{self, Fresh};

async fn make() -> Fresh {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(folder.path().join("log.db")).await.unwrap();
    Fresh { log: Arc::new(log), keep: Box::new(folder) }
}

contract::tests!(make);

//! Doing something alone: while one looks and then changes, no other does.

use tokio::sync::OwnedMutexGuard;

use super::{Private, PrivateError};
use crate::sql::{Store, Tx};

/// Held while something is done alone.
#[derive(Debug)]
pub struct Alone {
    _among_nodes: Option<Tx>,
    _here: OwnedMutexGuard<()>,
}

impl Private {
    /// Waits until nobody else does what has this name, at any node; what is answered holds the others off until it is
    /// dropped. Not for longer than ten seconds, and not while another is held.
    ///
    /// # Errors
    /// When the store fails, or it took too long.
    pub async fn alone(&self, name: &str) -> Result<Alone, PrivateError> {
        // First within this process, so that whoever waits for other nodes does so on one connection.
        let here = self.alone.clone().lock_owned().await;
        let among_nodes = match &self.store {
            Store::Sqlite(_) => None,
            Store::Postgres(_) => {
                let mut tx = self.store.begin().await?;
                tx.alone(name).await?;
                Some(tx)
            }
        };
        Ok(Alone { _among_nodes: among_nodes, _here: here })
    }
}

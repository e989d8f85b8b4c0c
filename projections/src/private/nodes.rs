//! What the nodes that share a store must have in common.

use domain::key::Digest;

use super::{Private, PrivateError};
use crate::sql::sql;

impl Private {
    /// Remembers which server keys this store is used with, and answers with those of whoever came first: another node
    /// with other keys could open nothing here, and no device would believe it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn node_key(&self, fingerprint: Digest) -> Result<Digest, PrivateError> {
        let query =
            sql("insert into server_keys (id, fingerprint) values (1, ?) on conflict (id) do nothing");
        query.bind(fingerprint).execute(&self.store).await?;
        let (first,) = sql("select fingerprint from server_keys").one::<(Vec<u8>,)>(&self.store).await?;
        Ok(Digest(first.try_into().unwrap_or_default()))
    }

    /// The server keys that this store is used with, if any were remembered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn known_node_key(&self) -> Result<Option<Digest>, PrivateError> {
        let found = sql("select fingerprint from server_keys").optional::<(Vec<u8>,)>(&self.store).await?;
        Ok(found.map(|(known,)| Digest(known.try_into().unwrap_or_default())))
    }
}

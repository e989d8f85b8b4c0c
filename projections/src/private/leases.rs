//! Leases of things that only one server may do.

use domain::time::Time;
use uuid::Uuid;

use super::{Private, PrivateError};

impl Private {
    /// Takes or keeps a lease until `until`; answers its fence, which grows with every change of hands, or `None` while
    /// somebody else holds it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: Uuid,
        now: Time,
        until: Time,
    ) -> Result<Option<u64>, PrivateError> {
        let sql = "insert into leader_leases (name, holder, fence, until) values (?1, ?2, 1, ?4)
                   on conflict (name) do update set
                       fence = fence + (holder <> excluded.holder), holder = excluded.holder, until = excluded.until
                   where holder = excluded.holder or until <= ?3
                   returning fence";
        let query = sqlx::query_scalar::<_, i64>(sql).bind(name).bind(holder.as_bytes().to_vec());
        let fence = query.bind(now.unix()).bind(until.unix()).fetch_optional(&self.pool).await?;
        Ok(fence.map(i64::cast_unsigned))
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_lease(&self, name: &str, holder: Uuid, now: Time) -> Result<(), PrivateError> {
        let query =
            sqlx::query("update leader_leases set until = min(until, ?) where name = ? and holder = ?");
        query.bind(now.unix()).bind(name).bind(holder.as_bytes().to_vec()).execute(&self.pool).await?;
        Ok(())
    }
}

//! What waits for an operator, counted as far as a page shows it.

use super::{
    ViewError, Views,
    devices::{LOST, UNERASED},
};
use crate::db::Db;

/// Where counting ends: beyond that, "1000 or more" says enough, and the answer stays fast.
pub const MAX_COUNT: u32 = 1_000;

/// How many there are of what an operator looks after, each up to [`MAX_COUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overview {
    /// Devices that are lost.
    pub lost_devices: u32,
    /// Devices whose lease has ended and whose data is not proved to be erased.
    pub unerased_devices: u32,
    /// Orders that nobody has decided on.
    pub undecided_orders: u32,
    /// Orders that went back in full, ever.
    pub rejected_orders: u32,
    /// Settlements that wait to be tried.
    pub due_settlements: u32,
    /// Settlements that are being tried.
    pub started_settlements: u32,
    /// Settlements whose last try failed.
    pub failed_settlements: u32,
    /// Settlements of which nobody knows whether they moved.
    pub quarantined_settlements: u32,
    /// Rentals that run.
    pub running_contracts: u32,
}

impl Views {
    /// Counts what waits for an operator.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn overview(&self) -> Result<Overview, ViewError> {
        self.ask(|db| {
            let state = db.snapshot()?;
            let counted = Overview {
                lost_devices: count(db, "devices", LOST)?,
                unerased_devices: count(db, "devices", UNERASED)?,
                undecided_orders: count(db, "orders", "status = 'received'")?,
                rejected_orders: count(db, "orders", "status = 'rejected'")?,
                due_settlements: count(db, "settlements", "status = 'due'")?,
                started_settlements: count(db, "settlements", "status = 'started'")?,
                failed_settlements: count(db, "settlements", "status = 'failed'")?,
                quarantined_settlements: count(db, "settlements", "status = 'quarantined'")?,
                running_contracts: count(db, "contracts", "status = 'running'")?,
            };
            state.commit()?;
            Ok(counted)
        })
        .await
    }
}

fn count(db: &Db, table: &str, condition: &str) -> Result<u32, ViewError> {
    let found = format!("select 1 from {table} where {condition} limit {MAX_COUNT}");
    #[cfg(test)]
    super::read::tests::assert_indexed(db, &found);
    let sql = format!("select count(*) from ({found}) as found");
    Ok(db.value(&sql, Vec::new())?.unwrap_or(0))
}

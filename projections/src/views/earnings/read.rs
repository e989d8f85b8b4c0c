//! Reading earnings: few rows, however many devices there are.

use domain::{
    id::{AccountId, DeviceId},
    money::Asset,
};

use super::{ALL_DEVICES, EarningsRow, Month, Sum};
use crate::views::{
    ViewError, Views,
    read::{Filter, limit},
};

impl EarningsRow {
    /// What was decided to be paid and has not arrived, in minor units.
    #[must_use]
    pub const fn unpaid(&self) -> i128 {
        self.earned.0 - self.paid.0
    }
}

impl Views {
    /// What an owner got out of all devices in each month from one on: by asset, then in order of time.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn earnings(
        &self,
        owner: AccountId,
        since: Month,
        wanted: usize,
    ) -> Result<Vec<EarningsRow>, ViewError> {
        self.earnings_of_device(owner, ALL_DEVICES, since, wanted).await
    }

    /// What an owner got out of a device in each month from one on; [`Month::ALL`] begins with the sum of all of them, in
    /// each asset.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn earnings_of_device(
        &self,
        owner: AccountId,
        device: DeviceId,
        since: Month,
        wanted: usize,
    ) -> Result<Vec<EarningsRow>, ViewError> {
        let filter = Filter::by("owner = ?", &owner).and("device = ?", &device).and("month >= ?", &since);
        let tail = format!("order by asset, month limit {}", limit(wanted));
        self.ask(move |db| filter.select(db, &tail)).await
    }

    /// What an owner ever got out of all devices: a row for each asset.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn earnings_in_all(&self, owner: AccountId) -> Result<Vec<EarningsRow>, ViewError> {
        let filter = Filter::by("owner = ?", &owner).and("device = ?", &ALL_DEVICES);
        let filter = filter.and("month = ?", &Month::ALL);
        self.ask(move |db| filter.select(db, "order by asset")).await
    }

    /// The devices that earned an owner most of an asset in a month, or in all; those after a sum and device.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn best_devices(
        &self,
        owner: AccountId,
        (asset, month): (Asset, Month),
        after: Option<(Sum, DeviceId)>,
        wanted: usize,
    ) -> Result<Vec<EarningsRow>, ViewError> {
        let filter = Filter::by("owner = ?", &owner)
            .and("asset = ?", &asset)
            .and("month = ?", &month)
            // As the index has it, or it would not be chosen.
            .plain("device <> x'00000000000000000000000000000000'");
        let filter = match after {
            Some((earned, device)) => filter.pair("(earned, device) < (?, ?)", &earned, &device),
            None => filter,
        };
        let tail = format!("order by earned desc, device desc limit {}", limit(wanted));
        self.ask(move |db| filter.select(db, &tail)).await
    }
}

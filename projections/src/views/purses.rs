//! Payouts that wait until together they are worth sending.

use domain::{
    any::AnyEvent,
    event::{Position, Revision},
    id::AccountId,
    money::Money,
    purse::{PurseEvent, PurseId},
    time::Time,
};

use super::{Envelope, Page, View, ViewError, Views, read::Filter};
use crate::rows::{Rows, row};

row! {
    /// What waits for one owner, at one marketplace, in one asset.
    PurseRow in "purses" by (
        /// Whose, where and of what.
        purse: PurseId,
    ) {
        /// The event that first held something in it; lists are in this order.
        position: Position,
        /// The purse stream's last revision: its ETag.
        revision: Revision,
        /// The last event that changed the row.
        updated: Position,
        /// Who will get it.
        owner: AccountId,
        /// All that waits.
        amount: Money,
        /// How many payouts that is.
        payouts: u32,
        /// Since when the oldest waits; `None` when nothing does.
        held_since: Option<Time>,
    }
}

/// The view.
#[derive(Debug)]
pub struct Purses;

impl View for Purses {
    const VERSION: u32 = 1;
    const DDL: &'static str = include_str!("../../../migrations/sqlite/views/purses.sql");
    type Row = PurseRow;

    fn fold(rows: &mut Rows<'_, PurseRow>, event: &Envelope<'_>) -> Result<(), ViewError> {
        let AnyEvent::Purse(happened) = event.event else { return Ok(()) };
        let recorded = event.recorded;
        let purse: PurseId = recorded.stream.key().parse().map_err(|e| ViewError::event(recorded, e))?;
        let (position, revision) = (recorded.position, recorded.revision);
        let new = || PurseRow {
            purse: purse.clone(),
            position,
            revision,
            updated: position,
            owner: purse.owner,
            amount: Money::zero(purse.asset),
            payouts: 0,
            held_since: None,
        };
        rows.edit_or(&(purse.clone(),), new, |row| {
            (row.revision, row.updated) = (revision, position);
            match happened {
                PurseEvent::PayoutHeld(e) => {
                    row.amount = row.amount.plus(e.amount).unwrap_or(row.amount);
                    row.payouts += 1;
                    row.held_since = row.held_since.or(Some(event.recorded_at()));
                }
                PurseEvent::PayoutsReleased(_) => {
                    (row.amount, row.payouts, row.held_since) = (Money::zero(purse.asset), 0, None);
                }
            }
        })
    }
}

impl Views {
    /// Purses with something in them: an owner's, or all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn purses(&self, owner: Option<AccountId>, page: Page) -> Result<Vec<PurseRow>, ViewError> {
        let filter = Filter::default().and_some("owner = ?", owner.as_ref());
        self.list(filter.plain("held_since is not null"), page).await
    }
}

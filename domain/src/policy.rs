//! The rules in force for one contract, pinned in its opening event: a later policy never changes an old contract.

use serde::{Deserialize, Serialize};

use crate::{money::Money, offer::MAX_TERM_S, prorate::Terms, time::Seconds};

/// How a rental came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The paid term was over.
    Term,
    /// The renter ended it early.
    Renter,
    /// The owner ended it early.
    Owner,
    /// The operator ended it early.
    Operator,
    /// The device was lost past its grace.
    DeviceLost,
}

/// Pro-rating terms for each way a rental can end, and the waits around money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The term was served; an outage is still credited.
    pub term: Terms,
    /// The renter ended it.
    pub renter: Terms,
    /// The owner ended it.
    pub owner: Terms,
    /// The operator ended it.
    pub operator: Terms,
    /// The device was lost.
    pub device_lost: Terms,
    /// Seconds from a rental's end until its payout is issued.
    pub payout_delay_s: Seconds,
    /// Seconds for which a refund quote stands; see [`Policy::for_term`].
    pub quote_valid_s: Seconds,
    /// A rental of more seconds than this is paid out segment by segment, as each was served.
    #[serde(default = "never", skip_serializing_if = "is_never")]
    pub segment_payout_after_s: Seconds,
    /// Payouts below this wait in the owner's purse until together they reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum_payout: Option<Money>,
}

/// No rental is longer than this.
const fn never() -> Seconds {
    MAX_TERM_S
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_never(seconds: &Seconds) -> bool {
    *seconds >= MAX_TERM_S
}

impl Policy {
    /// The terms for one way to end.
    #[must_use]
    pub const fn terms(&self, by: EndedBy) -> &Terms {
        match by {
            EndedBy::Term => &self.term,
            EndedBy::Renter => &self.renter,
            EndedBy::Owner => &self.owner,
            EndedBy::Operator => &self.operator,
            EndedBy::DeviceLost => &self.device_lost,
        }
    }

    /// Seconds from a segment's end until it may be closed: when its payout may be issued, and no quote from before its end
    /// stands any more.
    #[must_use]
    pub fn close_delay_s(&self) -> Seconds {
        self.payout_delay_s.max(self.quote_valid_s)
    }

    /// The policy as a contract pins it: a quote stands for a hundredth of the initial term at most, rounded up, so that
    /// the time used between a quote and the end it is redeemed at stays a small part of what was paid.
    #[must_use]
    pub fn for_term(self, term_s: Seconds) -> Self {
        let hundredth = term_s.max(0) / 100 + i64::from(term_s % 100 > 0);
        Self { quote_valid_s: self.quote_valid_s.min(hundredth), ..self }
    }

    /// Whether every number is in its range.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let terms = [self.term, self.renter, self.owner, self.operator, self.device_lost];
        terms.iter().all(Terms::is_valid)
            && !self.term.void
            && self.term.keep_bps == 0
            && self.payout_delay_s >= 0
            && self.quote_valid_s >= 0
            && self.segment_payout_after_s >= 0
    }
}

impl Default for Policy {
    /// Ten percent for the operator, none when the operator ends it; no notice, nothing kept; quotes stand 5 minutes;
    /// rentals of more than 31 days are paid out segment by segment.
    fn default() -> Self {
        let terms = Terms { fee_bps: 1_000, ..Terms::default() };
        Self {
            term: terms,
            renter: terms,
            owner: terms,
            operator: Terms::default(),
            device_lost: terms,
            payout_delay_s: 0,
            quote_valid_s: 300,
            segment_payout_after_s: 2_678_400,
            minimum_payout: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_stands_for_a_hundredth_of_the_term_at_most() {
        let valid = |term_s| Policy::default().for_term(term_s).quote_valid_s;
        assert_eq!([valid(10), valid(100), valid(101), valid(3_600), valid(86_400)], [1, 1, 2, 36, 300]);
    }
}

//! Pro-rating: who gets what of one paid segment when it ends at `t`.
//!
//! # Shape
//! [`split`] takes a segment, the instant, the terms in force and the outages; it answers with refund, owner and fee.
//! Integers only: UTC seconds and minor units. The basis is the amount *received* for the segment.
//!
//! # Correctness
//! What was earned is floored, so the residual goes to the renter; the fee is floored out of what was earned, so its
//! residual goes to the owner; refund and owner come from subtraction and are never rounded a second time. Hence
//! `refund + owner + fee = paid` exactly, and each part is at least 0. Rounding any two parts on their own breaks it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    money::mul_div,
    time::{Interval, Seconds, Time},
};

/// One hundred percent, in basis points.
pub const FULL_BPS: u32 = 10_000;

/// What holds when a segment ends in one particular way; pinned in the contract's opening event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// Seconds after the end was asked for that are still paid.
    pub notice_s: Seconds,
    /// Share of the unused rest that the owner keeps, in basis points.
    pub keep_bps: u32,
    /// The operator's share of what was earned, in basis points.
    pub fee_bps: u32,
    /// Nothing counts as earned.
    pub void: bool,
}

impl Terms {
    /// Whether every number is in its range: notice from 0, shares from 0 to 10,000 basis points.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.notice_s >= 0 && self.keep_bps <= FULL_BPS && self.fee_bps <= FULL_BPS
    }
}

/// The parts of one paid amount, in minor units; they always add up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Split {
    /// Back to the renter.
    pub refund: i128,
    /// To the owner.
    pub owner: i128,
    /// To the operator.
    pub fee: i128,
}

impl Split {
    /// What was earned: owner and fee together.
    #[must_use]
    pub const fn gross(&self) -> i128 {
        self.owner + self.fee
    }
}

/// Splits `paid` minor units for `segment` when it ends at `t`.
///
/// `offline` may overlap, repeat and reach outside the segment. A segment of no length or void terms refunds all.
/// Formula: floor(paid·used/D), then forfeiture, then fee; used = cut − start less the union of outages before
/// `min(cut, t)`.
///
/// # Panics
/// In debug builds when `paid` is negative or the terms are invalid; the aggregates refuse both before.
#[must_use]
pub fn split(segment: Interval, paid: i128, t: Time, terms: &Terms, offline: &[Interval]) -> Split {
    debug_assert!(paid >= 0 && terms.is_valid());
    let Interval { start, end } = segment;
    let length = end.since(start);
    if length <= 0 || terms.void {
        return Split { refund: paid, ..Split::default() };
    }
    let cut = if t < start { start } else { t.plus(terms.notice_s).clamp(start, end) };
    let outage_end = cut.min(t.max(start));
    let used = cut.since(start) - union_len(offline, Interval::new(start, outage_end));
    let mut gross = mul_div(paid, used.into(), length.into());
    gross += mul_div(paid - gross, terms.keep_bps.into(), FULL_BPS.into());
    let fee = mul_div(gross, terms.fee_bps.into(), FULL_BPS.into());
    Split { refund: paid - gross, owner: gross - fee, fee }
}

/// Seconds of `window` that lie in at least one of `intervals`.
#[must_use]
pub fn union_len(intervals: &[Interval], window: Interval) -> Seconds {
    union(intervals, window).into_iter().map(Interval::len).sum()
}

/// The parts of `window` that lie in at least one of `intervals`: in order, apart from each other, none empty.
#[must_use]
pub fn union(intervals: &[Interval], window: Interval) -> Vec<Interval> {
    let clip = |i: &Interval| Interval::new(i.start.max(window.start), i.end.min(window.end));
    let mut clipped: Vec<_> = intervals.iter().map(clip).filter(|i| !i.is_empty()).collect();
    clipped.sort_unstable();
    clipped.dedup_by(|next, last| {
        let meets = next.start <= last.end;
        if meets {
            last.end = last.end.max(next.end);
        }
        meets
    });
    clipped
}

/// As [`union`], in at most `max` parts (at least 1): the shortest gaps are filled, so nothing is lost and little gained.
#[must_use]
pub fn union_of(max: usize, intervals: &[Interval], window: Interval) -> Vec<Interval> {
    let mut parts = union(intervals, window);
    let excess = parts.len().saturating_sub(max.max(1));
    if excess == 0 {
        return parts;
    }
    let gap = |pair: &[Interval]| pair[1].start.since(pair[0].end);
    let mut gaps: Vec<_> = parts.windows(2).map(gap).zip(1..).collect();
    gaps.sort_unstable();
    let filled: BTreeSet<usize> = gaps.into_iter().take(excess).map(|(_, next)| next).collect();
    let mut joined: Vec<Interval> = Vec::with_capacity(parts.len() - excess);
    for (i, part) in parts.drain(..).enumerate() {
        match joined.last_mut() {
            Some(last) if filled.contains(&i) => last.end = part.end,
            _ => joined.push(part),
        }
    }
    joined
}

/// Divides `total` by `weights`: floors first, then one unit each to the largest remainders, ties to the lowest index.
///
/// Answers `None` when the weights add up to 0.
#[must_use]
pub fn largest_remainder(total: i128, weights: &[u64]) -> Option<Vec<i128>> {
    let sum: i128 = weights.iter().map(|w| i128::from(*w)).sum();
    if sum == 0 {
        return None;
    }
    let mut shares: Vec<i128> = weights.iter().map(|w| mul_div(total, (*w).into(), sum)).collect();
    let remainder = |i: usize| {
        // total·w − share·sum lies in 0..sum, so wrapping arithmetic gives it exactly.
        total.wrapping_mul(weights[i].into()).wrapping_sub(shares[i].wrapping_mul(sum))
    };
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(remainder(*i)));
    let left = total - shares.iter().sum::<i128>();
    for i in order.into_iter().take(usize::try_from(left).unwrap_or_default()) {
        shares[i] += 1;
    }
    Some(shares)
}

#[cfg(test)]
#[path = "prorate_tests.rs"]
mod tests;

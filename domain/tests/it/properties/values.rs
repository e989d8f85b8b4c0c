//! Ordinary and extreme values.

use domain::{
    device::Rentable,
    id::{AccountId, DeviceId, OrderKey},
    money::{Asset, MAX_MINOR, Money},
    offer::{MAX_TERM_S, Offer, Rate, Unit},
    policy::{EndedBy, Policy},
    prorate::Terms,
    time::{Interval, Time},
};
use proptest::prelude::*;
use uuid::Uuid;

pub const T0: i64 = 1_795_338_000;
pub const DEVICE: DeviceId = DeviceId(Uuid::from_u128(0xd));
pub const OWNER: AccountId = AccountId(Uuid::from_u128(0xa));
pub const RENTER: AccountId = AccountId(Uuid::from_u128(0xb));

pub fn order(n: u8) -> OrderKey {
    format!("market-{n}").parse().unwrap()
}

/// Mostly within an hour or two of [`T0`], sometimes anywhere.
pub fn times() -> impl Strategy<Value = Time> {
    prop_oneof![
        12 => (-100i64..8_000).prop_map(|s| T0 + s),
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MAX, 0]),
        1 => (0i64..10_000).prop_map(|s| Time::MAX.unix() - s),
    ]
    .prop_map(Time::from_unix)
}

pub fn seconds() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 1i64..4_000,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![0, -1, 1, MAX_TERM_S, MAX_TERM_S + 1, i64::MIN, i64::MAX]),
    ]
}

/// Non-negative; mostly short.
pub fn waits() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0i64..600, 1 => Just(i64::MAX)]
}

/// Of every magnitude up to the largest.
pub fn amounts(asset: Asset) -> impl Strategy<Value = Money> {
    (1..=MAX_MINOR, prop_oneof![3 => 0u32..91, 1 => Just(0)])
        .prop_map(move |(minor, shift)| Money::from_minor((minor >> shift).max(1), asset).unwrap())
}

pub fn offers() -> impl Strategy<Value = Offer> {
    let units = prop::sample::subsequence(vec![Unit::Hour, Unit::Day, Unit::Week, Unit::Month], 1..=4);
    let asset = prop::sample::select(Asset::ALL.to_vec());
    let rates = (units, asset).prop_flat_map(|(units, asset)| {
        let rate = |per| amounts(asset).prop_map(move |price| Rate { per, price });
        units.into_iter().map(rate).collect::<Vec<_>>()
    });
    (rates, 1i64..1_000, prop_oneof![1_000i64..5_000, Just(MAX_TERM_S)]).prop_map(
        |(rates, min_term_s, max_term_s)| Offer {
            title: "Pi \"4\" \u{fc}".into(),
            place: None,
            rates,
            min_term_s,
            max_term_s,
        },
    )
}

pub fn rentables() -> impl Strategy<Value = Rentable> {
    offers().prop_map(|offer| Rentable { owner: OWNER, epoch: 1, offer })
}

fn terms() -> impl Strategy<Value = Terms> {
    (waits(), 0u32..=10_000, 0u32..=10_000, prop::bool::weighted(0.2))
        .prop_map(|(notice_s, keep_bps, fee_bps, void)| Terms { notice_s, keep_bps, fee_bps, void })
}

/// Any valid policy.
pub fn policies() -> impl Strategy<Value = Policy> {
    let by_term = terms().prop_map(|terms| Terms { keep_bps: 0, void: false, ..terms });
    let long = prop_oneof![1 => 0i64..2_000, 1 => Just(MAX_TERM_S)];
    (by_term, terms(), terms(), terms(), terms(), waits(), waits(), long).prop_map(
        |(
            term,
            renter,
            owner,
            operator,
            device_lost,
            payout_delay_s,
            quote_valid_s,
            segment_payout_after_s,
        )| Policy {
            term,
            renter,
            owner,
            operator,
            device_lost,
            payout_delay_s,
            quote_valid_s,
            segment_payout_after_s,
            minimum_payout: None,
        },
    )
}

pub fn enders() -> impl Strategy<Value = EndedBy> {
    use EndedBy::{DeviceLost, Operator, Owner, Renter, Term};
    prop::sample::select(vec![Term, Renter, Owner, Operator, DeviceLost])
}

/// In any order, overlapping, backwards, outside; sometimes more than any event could hold.
pub fn outages() -> impl Strategy<Value = Vec<Interval>> {
    let few = prop::collection::vec((times(), times()), 0..6)
        .prop_map(|pairs| pairs.into_iter().map(|(a, b)| Interval::new(a, b)).collect());
    let many = (0usize..2_500, 2i64..5).prop_map(|(count, every)| {
        let start = |i: usize| Time::from_unix(T0 + i64::try_from(i).unwrap() * every);
        (0..count).map(|i| Interval::new(start(i), start(i).plus(1))).collect()
    });
    prop_oneof![6 => few, 1 => many]
}

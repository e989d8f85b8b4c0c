//! One contract, any commands in any order at any times.

use domain::{
    contract::{Contract, ContractCommand, ContractEvent, MAX_SEGMENTS, Verdict, Weights},
    device::{MAX_OUTAGES, Rentable},
    id::ExtensionId,
    money::{MAX_MINOR, Money},
    offer::MAX_TERM_S,
    policy::{EndedBy, Policy},
    time::{Interval, Time},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::{Stream, values::*};

/// A command whose payment is looked up when it is asked.
#[derive(Debug, Clone)]
enum Step {
    Start { by: u8, rentable: Box<Rentable>, policy: Box<Policy>, term_s: i64, odd: Option<Money> },
    Request { ext: u128, term_s: i64, valid_s: i64, offered: bool },
    Extend { ext: u128, by: u8, odd: Option<Money> },
    Ask(ContractCommand),
}

fn extension(n: u128) -> ExtensionId {
    ExtensionId(Uuid::from_u128(n))
}

fn steps() -> impl Strategy<Value = Step> {
    let odd = || prop::option::weighted(0.1, amounts("BTC".parse().unwrap()));
    let exts = || 0u128..5;
    let start = (0u8..3, rentables(), policies(), seconds(), odd()).prop_map(
        |(by, rentable, policy, term_s, odd)| {
            let (rentable, policy) = (Box::new(rentable), Box::new(policy));
            Step::Start { by, rentable, policy, term_s, odd }
        },
    );
    let request = (exts(), seconds(), seconds(), prop::bool::weighted(0.9))
        .prop_map(|(ext, term_s, valid_s, offered)| Step::Request { ext, term_s, valid_s, offered });
    let extend = (exts(), 0u8..6, odd()).prop_map(|(ext, by, odd)| Step::Extend { ext, by, odd });
    let terminate = (enders(), prop::option::of(times()), outages())
        .prop_map(|(by, quoted_at, offline)| ContractCommand::Terminate { by, quoted_at, offline });
    let expire = outages().prop_map(|offline| ContractCommand::Expire { offline });
    let lapse = exts().prop_map(|n| ContractCommand::Lapse { extension: extension(n) });
    let segment = || 0u32..3;
    let close = (segment(), outages())
        .prop_map(|(segment, offline)| ContractCommand::CloseSegment { segment, offline });
    let dispute = segment().prop_map(|segment| ContractCommand::OpenDispute { segment, evidence: None });
    let decide = (segment(), 0u32..4, 0u32..4, 0u32..2, any::<bool>()).prop_map(
        |(segment, renter, owner, moderator, refund_held)| {
            let weights = Weights { renter, owner, moderator };
            ContractCommand::DecideDispute { segment, weights, moderator: Some(RENTER), refund_held }
        },
    );
    prop_oneof![
        2 => close.prop_map(Step::Ask),
        1 => dispute.prop_map(Step::Ask),
        1 => decide.prop_map(Step::Ask),
        3 => start,
        5 => request,
        5 => extend,
        1 => lapse.prop_map(Step::Ask),
        1 => terminate.prop_map(Step::Ask),
        1 => expire.prop_map(Step::Ask),
        1 => Just(Step::Ask(ContractCommand::IssuePayout)),
        1 => prop::bool::weighted(0.1).prop_filter_map("rarely", |close| {
            close.then_some(Step::Ask(ContractCommand::CloseOffer { device: DEVICE, epoch: 1 }))
        }),
    ]
}

fn command(step: Step, contract: &Contract) -> ContractCommand {
    match step {
        Step::Start { by, rentable, policy, term_s, odd } => {
            let price =
                rentable.offer.price(term_s).or_else(|| rentable.offer.rates.first().map(|r| r.price));
            let paid = odd.or(price).unwrap();
            let (rentable, policy) = (*rentable, *policy);
            let (device, renter) = (DEVICE, RENTER);
            ContractCommand::Start { device, rentable, order: order(by), renter, paid, term_s, policy }
        }
        Step::Request { ext, term_s, valid_s, offered } => {
            ContractCommand::RequestExtension { extension: extension(ext), term_s, valid_s, offered }
        }
        Step::Extend { ext, by, odd } => {
            let asked = contract.rental().and_then(|r| r.pending.as_ref()).map(|p| p.price);
            let paid = odd.or(asked).unwrap_or(Money::zero("USD".parse().unwrap()));
            ContractCommand::Extend { extension: extension(ext), order: order(by + 10), paid }
        }
        Step::Ask(command) => command,
    }
}

/// Terms follow on each other without gap, overlap or empty one, within every limit.
fn check_segments(contract: &Contract) {
    let Some(rental) = contract.rental() else { return };
    assert_eq!(rental.segments[0].term, rental.started.segment);
    assert!(rental.segments.len() <= MAX_SEGMENTS);
    for segment in &rental.segments {
        assert!(!segment.term.is_empty(), "{segment:?}");
    }
    for pair in rental.segments.windows(2) {
        assert_eq!(pair[0].term.end, pair[1].term.start);
    }
    assert!(rental.until().since(rental.started.segment.start) <= MAX_TERM_S);
    let asset = rental.started.paid.asset();
    assert!(rental.segments.iter().all(|s| s.paid.asset() == asset));
    assert!(rental.segments.iter().map(|s| s.paid.minor()).sum::<i128>() <= MAX_MINOR);
}

/// Nothing is bought after the end, an end happens once, and its outages are in order, apart and few.
fn check_end(events: &[ContractEvent]) {
    let is_end =
        |e: &ContractEvent| matches!(e, ContractEvent::RentalTerminated(_) | ContractEvent::RentalExpired(_));
    let Some(end) = events.iter().position(is_end) else { return };
    for later in &events[end + 1..] {
        assert!(
            matches!(
                later,
                ContractEvent::RefundIssued(_)
                    | ContractEvent::ExtensionLapsed(_)
                    | ContractEvent::PayoutIssued(_)
                    | ContractEvent::DisputeOpened(_)
                    | ContractEvent::DisputeDecided(_)
                    | ContractEvent::ModerationIssued(_)
            ),
            "{later:?} after the end"
        );
    }
    let (ContractEvent::RentalTerminated(domain::contract::RentalTerminated { offline, .. })
    | ContractEvent::RentalExpired(domain::contract::RentalExpired { offline, .. })) = &events[end]
    else {
        unreachable!()
    };
    assert!(offline.len() <= MAX_OUTAGES && offline.iter().all(|i| !i.is_empty()));
    assert!(offline.windows(2).all(|pair: &[Interval]| pair[0].end < pair[1].start));
}

/// refunds + payouts + fees + what moderators got = paid, exactly, once all of it was issued. Of a refund that was held
/// when a dispute was decided, only what the decision gave counts.
fn check_money(contract: &Contract, events: &[ContractEvent]) {
    let Some(rental) = contract.rental() else { return };
    let paid: i128 = rental.segments.iter().map(|s| s.paid.minor()).sum();
    let mut issued = 0;
    for event in events {
        issued += match event {
            ContractEvent::RefundIssued(e) => e.amount.minor(),
            ContractEvent::PayoutIssued(e) => e.amount.minor() + e.fee.minor(),
            ContractEvent::SegmentPayoutIssued(e) => e.amount.minor() + e.fee.minor(),
            ContractEvent::ModerationIssued(e) => e.amount.minor(),
            _ => 0,
        };
    }
    let held = |s: &domain::contract::Segment| match s.verdict {
        Verdict::Decided(d) if d.gone == 0 && refunded_before_dispute(events, s) => rental.refunded_by_end(s),
        _ => 0,
    };
    issued -= rental.segments.iter().map(held).sum::<i128>();
    if rental.paid_out {
        assert_eq!(issued, paid);
    } else {
        assert!(issued <= paid, "{issued} of {paid}");
    }
}

/// Whether the end had issued the segment's refund when it became disputed.
fn refunded_before_dispute(events: &[ContractEvent], segment: &domain::contract::Segment) -> bool {
    let opened = |e: &ContractEvent| matches!(e, ContractEvent::DisputeOpened(d) if d.order == segment.order);
    let refund = |e: &ContractEvent| matches!(e, ContractEvent::RefundIssued(r) if r.order == segment.order);
    let opened = events.iter().position(opened);
    opened.is_some_and(|opened| events[..opened].iter().any(refund))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn whatever_is_asked_money_is_conserved_and_segments_follow_on_each_other(
        first in (rentables(), policies(), 60i64..3_000),
        script in prop::collection::vec((steps(), times()), 1..40),
    ) {
        let (rentable, policy, term_s) = first;
        let start = Step::Start { by: 0, rentable: Box::new(rentable), policy: Box::new(policy), term_s, odd: None };
        let script = std::iter::once((start, Time::from_unix(T0))).chain(script);
        let mut contract = Stream::<Contract>::default();
        for (step, now) in script {
            let before = contract.state.rental().map(|r| r.started.clone());
            let ended = contract.state.rental().and_then(|r| r.ended.clone());
            let command = command(step, &contract.state);
            let _ = contract.ask(command, now);
            if let Some(before) = before {
                let rental = contract.state.rental().unwrap();
                prop_assert_eq!(&rental.started, &before, "what was agreed at the start stands");
                prop_assert!(ended.is_none() || rental.ended == ended, "an end stands");
            }
            check_segments(&contract.state);
            check_end(&contract.events);
            check_money(&contract.state, &contract.events);
        }
        contract.check_replay();

        // In the end every started rental can be brought to its close.
        if contract.state.rental().is_some() {
            let _ = contract.ask(ContractCommand::Expire { offline: vec![] }, Time::MAX);
            prop_assert!(contract.state.rental().unwrap().ended.is_some());
            for segment in 0..u32::try_from(contract.state.rental().unwrap().segments.len()).unwrap() {
                let weights = Weights { renter: 2, owner: 1, moderator: 0 };
                let decide =
                    ContractCommand::DecideDispute { segment, weights, moderator: None, refund_held: true };
                let _ = contract.ask(decide, Time::MAX);
            }
            contract.ask(ContractCommand::IssuePayout, Time::MAX).unwrap();
            check_money(&contract.state, &contract.events);
        }
    }

    #[test]
    fn a_quote_stands_by_its_word(
        rentable in rentables(),
        policy in policies(),
        term_s in 60i64..3_000,
        asked in 0i64..3_000,
        wait in 0i64..600,
        offline in outages(),
    ) {
        let mut contract = Stream::<Contract>::default();
        let step = Step::Start { by: 0, rentable: Box::new(rentable), policy: Box::new(policy), term_s, odd: None };
        let start = command(step, &contract.state);
        let Ok(1) = contract.ask(start, Time::from_unix(T0)) else { return Ok(()) };
        let (at, now) = (Time::from_unix(T0 + asked), Time::from_unix(T0 + asked + wait));
        let rental = contract.state.rental().unwrap().clone();
        let id = domain::id::ContractId::of(DEVICE, 1);
        let quote = domain::contract::Ended { by: EndedBy::Renter, at, offline: offline.clone() };
        let terminate = ContractCommand::Terminate { by: EndedBy::Renter, quoted_at: Some(at), offline };
        let outcome = contract.ask(terminate, now);
        let stands = wait <= rental.started.policy.quote_valid_s && asked + wait < term_s;
        prop_assert_eq!(outcome.is_ok(), stands);
        if stands && quote.offline.len() <= MAX_OUTAGES {
            let refunds: Vec<ContractEvent> = rental.refunds(id, &quote).into_iter().map(Into::into).collect();
            prop_assert_eq!(&contract.events[2..], refunds.as_slice());
        }
    }
}

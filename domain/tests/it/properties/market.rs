//! One device through many leases, with orders, contracts and settlements, as a server drives them: any order of steps,
//! late, repeated, and broken off between the two streams of one honoured order.

mod world;

use domain::{
    contract::ContractEvent,
    device::{DeviceCommand, DeviceEvent},
    id::Epoch,
    policy::EndedBy,
    time::Time,
};
use proptest::prelude::*;
use world::World;

use super::values::*;

#[derive(Debug, Clone)]
enum Step {
    Register { key: u8 },
    GrantAnything { epoch: Epoch, key: u8 },
    Publish { price: u8 },
    Withdraw,
    Order { n: u8, term_s: i64, exact: bool },
    OrderExtension { n: u8, epoch: Epoch, ext: u8, exact: bool },
    Honour { n: u8, crash: bool },
    Request { ext: u8, term_s: i64 },
    Lost { ago: i64 },
    Seen,
    End { by: EndedBy, epoch: Epoch },
    Close { epoch: Epoch },
    EndLease { epoch: Epoch },
    Erase { epoch: Epoch, key: u8 },
    Pay,
    Settle { which: usize, how: u8 },
    CloseSegment { epoch: Epoch, segment: u32 },
    Dispute { epoch: Epoch, segment: u32 },
    Decide { epoch: Epoch, segment: u32, weights: (u32, u32, u32) },
}

fn steps() -> impl Strategy<Value = Step> {
    let n = || 0u8..8;
    let epoch = || prop_oneof![3 => Just(1u32), 1 => 1u32..4];
    let segment = || prop_oneof![2 => Just(0u32), 1 => 0u32..3];
    let key = || prop_oneof![9 => Just(1u8), 1 => Just(2u8)];
    let exact = || prop::bool::weighted(0.9);
    prop_oneof![
        4 => key().prop_map(|key| Step::Register { key }),
        1 => (0u32..5, key()).prop_map(|(epoch, key)| Step::GrantAnything { epoch, key }),
        3 => (1u8..4).prop_map(|price| Step::Publish { price }),
        1 => Just(Step::Withdraw),
        4 => (n(), 60i64..900, exact()).prop_map(|(n, term_s, exact)| Step::Order { n, term_s, exact }),
        3 => (n(), epoch(), 0u8..3, exact())
            .prop_map(|(n, epoch, ext, exact)| Step::OrderExtension { n, epoch, ext, exact }),
        6 => (n(), prop::bool::weighted(0.2)).prop_map(|(n, crash)| Step::Honour { n, crash }),
        3 => (0u8..3, 60i64..900).prop_map(|(ext, term_s)| Step::Request { ext, term_s }),
        1 => (0i64..500).prop_map(|ago| Step::Lost { ago }),
        1 => Just(Step::Seen),
        3 => (enders(), epoch()).prop_map(|(by, epoch)| Step::End { by, epoch }),
        1 => epoch().prop_map(|epoch| Step::Close { epoch }),
        3 => (0u32..5).prop_map(|epoch| Step::EndLease { epoch }),
        3 => (epoch(), key()).prop_map(|(epoch, key)| Step::Erase { epoch, key }),
        2 => Just(Step::Pay),
        4 => (any::<usize>(), 0u8..5).prop_map(|(which, how)| Step::Settle { which, how }),
        2 => (epoch(), segment()).prop_map(|(epoch, segment)| Step::CloseSegment { epoch, segment }),
        2 => (epoch(), segment()).prop_map(|(epoch, segment)| Step::Dispute { epoch, segment }),
        2 => (epoch(), segment(), (0u32..4, 0u32..4, 0u32..2))
            .prop_map(|(epoch, segment, weights)| Step::Decide { epoch, segment, weights }),
    ]
}

fn run(world: &mut World, step: &Step) {
    match *step {
        Step::Register { key } => world.register(key),
        Step::GrantAnything { epoch, key } => {
            world.tell_device(DeviceCommand::GrantLease(world::lease(epoch, key)))
        }
        Step::Publish { price } => {
            world.tell_device(DeviceCommand::PublishOffer { offer: world::offer(price.into()) });
        }
        Step::Withdraw => world.tell_device(DeviceCommand::WithdrawOffer),
        Step::Order { n, term_s, exact } => world.order_rental(n, term_s, exact),
        Step::OrderExtension { n, epoch, ext, exact } => world.order_extension(n, epoch, ext, exact),
        Step::Honour { n, crash } => world.honour(n, crash),
        Step::Request { ext, term_s } => world.request(ext, term_s),
        Step::Lost { ago } => world.lose(ago),
        Step::Seen => world.tell_device(DeviceCommand::ReportSeen { seen_at: world.now }),
        Step::End { by, epoch } => world.end(by, epoch),
        Step::Close { epoch } => world.close(epoch),
        Step::EndLease { epoch } => world.end_lease(epoch),
        Step::Erase { epoch, key } => world.erase(epoch, key),
        Step::Pay => world.pay(),
        Step::Settle { which, how } => world.settle(which, how),
        Step::CloseSegment { epoch, segment } => world.close_segment(epoch, segment),
        Step::Dispute { epoch, segment } => world.dispute(epoch, segment),
        Step::Decide { epoch, segment, weights } => world.decide(epoch, segment, weights),
    }
}

/// W1: epochs are numbered without gap, and none begins before the one before ended and was erased.
fn check_epochs(events: &[DeviceEvent]) {
    let mut expected = (1, "granted");
    for event in events {
        let next = match event {
            DeviceEvent::LeaseGranted(e) => (e.epoch, "granted"),
            DeviceEvent::LeaseEnded(e) => (e.epoch, "ended"),
            DeviceEvent::EpochErased(e) => (e.epoch, "erased"),
            _ => continue,
        };
        assert_eq!(next, expected);
        expected = match next {
            (epoch, "granted") => (epoch, "ended"),
            (epoch, "ended") => (epoch, "erased"),
            (epoch, _) => (epoch + 1, "granted"),
        };
    }
}

/// W2: a lease ends only under a contract that holds its end, and then nothing more is sold on it.
fn check_ends(world: &World) {
    for event in &world.device.events {
        let DeviceEvent::LeaseEnded(e) = event else { continue };
        let contract = &world.contracts[&e.epoch];
        assert_eq!(contract.state.lease_end(), Some(e.why));
        let rental = contract.state.rental();
        assert!(rental.is_none_or(|r| !r.runs(Time::MIN)), "a rental runs on an ended lease");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_order_becomes_one_segment_or_goes_back_and_the_books_balance_until_all_money_has_left(
        script in prop::collection::vec((steps(), prop_oneof![3 => 0i64..60, 1 => 0i64..1_500]), 1..120),
    ) {
        let mut world = World::new();
        for (step, wait) in &script {
            world.now = world.now.plus(*wait);
            let lease = world.device.state.lease().map(|l| (l.granted.epoch, l.ended.is_some()));
            run(&mut world, step);
            world.book();
            if let (Step::EndLease { epoch }, Some((current, _))) = (step, lease)
                && *epoch != current
            {
                let after = world.device.state.lease().map(|l| (l.granted.epoch, l.ended.is_some()));
                prop_assert_eq!(after, lease, "an end of another epoch ends nothing");
            }
            check_epochs(&world.device.events);
            check_ends(&world);
        }
        world.device.check_replay();
        world.finish();
        world.check_orders();
        world.check_escrow_is_empty();
        world.book();
        world.check_books_are_closed();
    }

    #[test]
    fn a_repeated_step_changes_nothing(
        script in prop::collection::vec((steps(), 0i64..300), 1..60),
    ) {
        let mut world = World::new();
        for (step, wait) in &script {
            world.now = world.now.plus(*wait);
            run(&mut world, step);
            let before = world.count();
            // A crashed step is completed by its repetition; a settlement's next step is a new command.
            if !matches!(step, Step::Honour { crash: true, .. } | Step::Settle { .. }) {
                run(&mut world, step);
                prop_assert_eq!(world.count(), before, "{:?}", step);
            }
        }
    }
}

/// Runs a script, ten seconds between two steps, with the books open; then lets everything come to its end.
fn play(script: &[Step]) -> World {
    let mut world = World::new();
    for step in script {
        world.now = world.now.plus(10);
        run(&mut world, step);
        world.book();
    }
    world.finish();
    world.book();
    world.check_orders();
    world.check_escrow_is_empty();
    world.check_books_are_closed();
    world
}

/// Somebody rents for 300 s.
fn rented() -> Vec<Step> {
    vec![
        Step::Register { key: 1 },
        Step::Publish { price: 2 },
        Step::Order { n: 0, term_s: 300, exact: true },
        Step::Honour { n: 0, crash: false },
    ]
}

#[test]
fn a_dispute_takes_in_the_refund_that_is_due_but_not_one_that_is_on_its_way() {
    let end = Step::End { by: EndedBy::Renter, epoch: 1 };
    let (dispute, decide) =
        (Step::Dispute { epoch: 1, segment: 0 }, Step::Decide { epoch: 1, segment: 0, weights: (1, 1, 1) });
    let start = Step::Settle { which: 0, how: 0 };
    let amount = |before: &[Step]| {
        let script: Vec<_> = rented().into_iter().chain(before.iter().cloned()).collect();
        let world = play(&script);
        let decided = world.contracts[&1].events.iter().find_map(|e| match e {
            ContractEvent::DisputeDecided(e) => Some(e.amount.minor()),
            _ => None,
        });
        (decided.unwrap(), world.kinds().contains("SettlementWithdrawn"))
    };
    // 600 cents were paid for 300 s; 10 s were served when the renter left.
    assert_eq!(amount(&[dispute.clone(), end.clone(), decide.clone()]), (600, false));
    assert_eq!(amount(&[end.clone(), dispute.clone(), decide.clone()]), (600, true));
    assert_eq!(
        amount(&[end.clone(), Step::Pay, start.clone(), dispute.clone(), decide.clone()]),
        (20, false)
    );
    let failed = Step::Settle { which: 0, how: 2 };
    assert_eq!(amount(&[end, Step::Pay, start, dispute, failed, decide]), (600, true));
}

#[test]
fn a_dispute_about_a_segment_that_went_back_as_a_whole_does_not_hold_the_owners_payout() {
    let mut script = rented();
    script.extend([
        Step::Request { ext: 0, term_s: 500 },
        Step::OrderExtension { n: 2, epoch: 1, ext: 0, exact: true },
        Step::Honour { n: 2, crash: false },
        Step::End { by: EndedBy::Renter, epoch: 1 },
        Step::Pay,
    ]);
    for which in 0..2 {
        script.extend([0, 1].map(|how| Step::Settle { which, how }));
    }
    script.push(Step::Dispute { epoch: 1, segment: 1 });
    let world = play(&script);
    assert!(world.contracts[&1].state.rental().unwrap().paid_out);
}

#[test]
fn a_long_rental_is_paid_out_by_segments_and_the_rest_at_its_end() {
    let mut script = rented();
    for ext in 0..2 {
        script.push(Step::Request { ext, term_s: 500 });
        script.push(Step::OrderExtension { n: 2 + ext, epoch: 1, ext, exact: true });
        script.push(Step::Honour { n: 2 + ext, crash: false });
    }
    script.extend([Step::Lost { ago: 5 }, Step::Seen]);
    script.extend(std::iter::repeat_n(Step::Pay, 40));
    script.push(Step::CloseSegment { epoch: 1, segment: 0 });
    script.push(Step::End { by: EndedBy::Owner, epoch: 1 });
    let world = play(&script);
    let issued = |e: &ContractEvent| match e {
        ContractEvent::SegmentPayoutIssued(e) => Some((e.amount.minor(), e.fee.minor())),
        ContractEvent::PayoutIssued(e) => Some((e.amount.minor(), e.fee.minor())),
        _ => None,
    };
    let issued: Vec<_> = world.contracts[&1].events.iter().filter_map(issued).collect();
    assert_eq!(issued.len(), 2);
    // 300 s less the 15 s offline, at two cents a second.
    assert_eq!(issued[0].0 + issued[0].1, 570);
}

#[test]
fn the_driver_reaches_every_part_of_a_rentals_life() {
    let mut world = World::new();
    let script = [
        Step::Register { key: 1 },
        Step::Publish { price: 2 },
        Step::Order { n: 0, term_s: 300, exact: true },
        Step::Honour { n: 0, crash: true },
        Step::Honour { n: 0, crash: false },
        Step::Order { n: 1, term_s: 300, exact: true },
        Step::Honour { n: 1, crash: false },
        Step::Request { ext: 0, term_s: 200 },
        Step::OrderExtension { n: 2, epoch: 1, ext: 0, exact: true },
        Step::Honour { n: 2, crash: false },
        Step::Lost { ago: 5 },
        Step::Seen,
        Step::End { by: EndedBy::Renter, epoch: 1 },
        Step::EndLease { epoch: 1 },
        Step::Erase { epoch: 1, key: 1 },
        Step::Register { key: 2 },
    ];
    for step in &script {
        world.now = world.now.plus(10);
        run(&mut world, step);
    }
    world.finish();
    let kinds = world.kinds();
    for kind in [
        "LeaseGranted",
        "RentalStarted",
        "ExtensionRequested",
        "RentalExtended",
        "OrderAccepted",
        "OrderRejected",
        "DeviceLost",
        "DeviceRecovered",
        "RentalTerminated",
        "RefundIssued",
        "PayoutIssued",
        "LeaseEnded",
        "EpochErased",
        "SettlementSettled",
    ] {
        assert!(kinds.contains(kind), "{kind} never happened");
    }
    assert_eq!(world.device.state.live_lease().map(|l| l.epoch), Some(2));
    let ends = |e: &ContractEvent| matches!(e, ContractEvent::RefundIssued(r) if r.segment == 1);
    assert!(world.contracts[&1].events.iter().any(ends));
    world.check_orders();
    world.check_escrow_is_empty();
}

use ed25519_dalek::SigningKey;
use uuid::Uuid;

use super::*;
use crate::{
    id::{ContractId, Subdomain},
    money::Money,
    offer::{Hardware, InvalidOffer, Rate, Unit},
    testing::{Given, given},
    wire::{EraseStep, Receipt, SignedReceipt, StepResult, VERSION, sign},
};

const NOW: Time = Time::from_unix(1_000);
const ME: DeviceId = DeviceId(Uuid::from_u128(7));

fn owner(n: u128) -> AccountId {
    AccountId(Uuid::from_u128(n))
}

fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

fn enrolled() -> DeviceEvent {
    DeviceEnrolled { owner: owner(1), enrolment_key: Digest::of(b"1") }.into()
}

fn offer(price: &str) -> Offer {
    let price = Money::parse(price, "USD".parse().unwrap()).unwrap();
    let rates = vec![Rate { per: Unit::Day, price }];
    Offer { title: "Pi 4".into(), place: None, rates, min_term_s: 60, max_term_s: 86_400 }
}

fn published() -> DeviceEvent {
    OfferPublished { offer: offer("1") }.into()
}

/// A lease registered by device key `by`.
fn lease(epoch: Epoch, by: u8) -> LeaseGranted {
    LeaseGranted {
        epoch,
        gateway: "main".parse().unwrap(),
        port: 6000,
        subdomain: Subdomain::of(ME, epoch),
        device_key: PublicKey(key(by).verifying_key().to_bytes()),
        config_hash: Digest::of(b"config"),
        hardware: Hardware::default(),
    }
}

fn end(epoch: Epoch) -> DeviceCommand {
    DeviceCommand::EndLease { epoch, contract: ContractId::of(ME, epoch), why: LeaseEnd::Expired }
}

fn ended(epoch: Epoch) -> DeviceEvent {
    let LeaseGranted { gateway, port, subdomain, .. } = lease(epoch, 1);
    let contract = ContractId::of(ME, epoch);
    LeaseEnded { epoch, contract, why: LeaseEnd::Expired, gateway, port, subdomain }.into()
}

fn receipt(device: DeviceId, epoch: Epoch, by: u8) -> SignedReceipt {
    let step = EraseStep { step: "remove files".into(), result: StepResult::Done, detail: String::new() };
    let tombstone = Digest::of(b"tombstone");
    let volume = "directory".into();
    let receipt =
        Receipt { v: VERSION, device, epoch, tombstone, volume, steps: vec![step], not_before: NOW };
    SignedReceipt(sign(&receipt, &key(by)))
}

fn erase(epoch: Epoch, by: u8) -> DeviceCommand {
    DeviceCommand::RecordErasure { device: ME, receipt: receipt(ME, epoch, by) }
}

fn erased(epoch: Epoch) -> DeviceEvent {
    EpochErased { epoch, receipt: receipt(ME, epoch, 1) }.into()
}

fn lost(last_seen: i64) -> DeviceLost {
    let last_seen = Time::from_unix(last_seen);
    DeviceLost { epoch: 1, last_seen, give_up_at: last_seen.plus(500) }
}

fn report_lost(epoch: Epoch, last_seen: i64) -> DeviceCommand {
    let DeviceLost { last_seen, give_up_at, .. } = lost(last_seen);
    DeviceCommand::ReportLost { epoch, last_seen, give_up_at }
}

fn recovered(last_seen: i64, seen_at: i64) -> DeviceEvent {
    let (last_seen, seen_at) = (Time::from_unix(last_seen), Time::from_unix(seen_at));
    DeviceRecovered { epoch: 1, last_seen, seen_at }.into()
}

fn seen(at: i64) -> DeviceCommand {
    DeviceCommand::ReportSeen { seen_at: Time::from_unix(at) }
}

fn leased() -> Given<Device> {
    given([enrolled(), lease(1, 1).into()])
}

fn after(events: impl IntoIterator<Item = DeviceEvent>) -> Device {
    crate::aggregate::replay(&events.into_iter().collect::<Vec<_>>())
}

mod enrolment {
    use super::*;

    fn enrol(by: u128, key: &[u8]) -> DeviceCommand {
        DeviceCommand::Enrol { owner: owner(by), enrolment_key: Digest::of(key) }
    }

    fn replace(key: &[u8]) -> DeviceCommand {
        DeviceCommand::ReplaceEnrolmentKey { enrolment_key: Digest::of(key) }
    }

    #[test]
    fn a_device_is_enrolled_once_by_one_owner() {
        let once = given::<Device>([]).when(enrol(1, b"1"), NOW).then([enrolled()]);
        once.when(enrol(1, b"1"), NOW).then_already_done();
        once.when(enrol(2, b"1"), NOW).then_refused(DeviceRefusal::AlreadyEnrolled);
        once.when(enrol(1, b"2"), NOW).then_refused(DeviceRefusal::AlreadyEnrolled);
    }

    #[test]
    fn a_new_enrolment_key_replaces_the_old_one_once() {
        let replaced = EnrolmentKeyReplaced { enrolment_key: Digest::of(b"2") };
        let once = given::<Device>([enrolled()]).when(replace(b"2"), NOW).then([replaced.into()]);
        once.when(replace(b"2"), NOW).then_already_done();
    }

    #[test]
    fn nothing_can_be_asked_of_a_device_that_is_not_in_the_books() {
        let nothing = given::<Device>([]);
        for command in [
            replace(b"1"),
            DeviceCommand::PublishOffer { offer: offer("1") },
            DeviceCommand::WithdrawOffer,
            DeviceCommand::GrantLease(lease(1, 1)),
            seen(1),
            DeviceCommand::Retire { is_let: false },
            DeviceCommand::Transfer { to: owner(2) },
        ] {
            nothing.when(command, NOW).then_refused(DeviceRefusal::Unknown);
        }
        for command in [report_lost(1, 0), end(1), erase(1, 1)] {
            nothing.when(command, NOW).then_refused(DeviceRefusal::NotLeased);
        }
    }
}

mod offers {
    use super::*;

    #[test]
    fn an_offer_is_published_changed_and_withdrawn_and_each_only_once() {
        let publish = |price| DeviceCommand::PublishOffer { offer: offer(price) };
        let offered = given::<Device>([enrolled()]).when(publish("1"), NOW).then([published()]);
        offered.when(publish("1"), NOW).then_already_done();
        let changed = offered.when(publish("2"), NOW).then([OfferPublished { offer: offer("2") }.into()]);
        let gone = changed.when(DeviceCommand::WithdrawOffer, NOW).then([OfferWithdrawn {}.into()]);
        gone.when(DeviceCommand::WithdrawOffer, NOW).then_already_done();
    }

    #[test]
    fn an_offer_that_breaks_a_limit_is_refused() {
        let bad = Offer { min_term_s: 0, ..offer("1") };
        given::<Device>([enrolled()])
            .when(DeviceCommand::PublishOffer { offer: bad }, NOW)
            .then_refused(DeviceRefusal::Offer(InvalidOffer::Term));
    }

    #[test]
    fn a_device_can_be_rented_only_while_it_is_offered_leased_heard_of_and_in_service() {
        let all = [enrolled(), lease(1, 1).into(), published()];
        let rentable = Rentable { owner: owner(1), epoch: 1, offer: offer("1") };
        assert_eq!(after(all.clone()).rentable(), Ok(rentable));

        let but = |event: DeviceEvent| after(all.clone().into_iter().chain([event])).rentable();
        assert_eq!(but(OfferWithdrawn {}.into()), Err(RejectReason::NotOffered));
        assert_eq!(but(lost(900).into()), Err(RejectReason::DeviceLost));
        assert_eq!(but(ended(1)), Err(RejectReason::DeviceNotLeased));
        assert_eq!(but(DeviceRetired {}.into()), Err(RejectReason::DeviceRetired));
        assert_eq!(after([]).rentable(), Err(RejectReason::DeviceUnknown));
    }
}

mod leases {
    use super::*;

    fn grant(epoch: Epoch, by: u8) -> DeviceCommand {
        DeviceCommand::GrantLease(lease(epoch, by))
    }

    #[test]
    fn the_first_lease_has_epoch_1_and_registering_again_gives_the_same_lease() {
        let new = given::<Device>([enrolled()]);
        new.when(grant(2, 1), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 1 });
        new.when(grant(0, 1), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 1 });
        new.when(grant(1, 1), NOW).then([lease(1, 1).into()]).when(grant(1, 1), NOW).then_already_done();
    }

    #[test]
    fn a_running_lease_is_held_against_another_key_and_another_configuration() {
        leased().when(grant(1, 2), NOW).then_refused(DeviceRefusal::LeaseHeld);
        let other = LeaseGranted { config_hash: Digest::of(b"other"), ..lease(1, 1) };
        leased().when(DeviceCommand::GrantLease(other), NOW).then_refused(DeviceRefusal::LeaseHeld);
        leased().when(grant(2, 1), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 1 });
    }

    #[test]
    fn no_lease_is_granted_before_the_epoch_before_is_erased() {
        let over = given::<Device>([enrolled(), lease(1, 1).into(), ended(1)]);
        over.when(grant(2, 1), NOW).then_refused(DeviceRefusal::NotErased { epoch: 1 });
        over.when(grant(2, 2), NOW).then_refused(DeviceRefusal::NotErased { epoch: 1 });
        let clean = over.when(erase(1, 1), NOW).then([erased(1)]);
        clean.when(grant(1, 1), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 2 });
        clean.when(grant(2, 2), NOW).then([lease(2, 2).into()]);
    }

    #[test]
    fn a_lease_ends_once_and_gives_its_port_and_subdomain_back() {
        let over = leased().when(end(1), NOW).then([ended(1)]);
        over.when(end(1), NOW).then_already_done();
        over.when(end(2), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 1 });
    }

    #[test]
    fn a_late_end_of_an_older_epoch_ends_nothing() {
        let second =
            given::<Device>([enrolled(), lease(1, 1).into(), ended(1), erased(1), lease(2, 1).into()]);
        second.when(end(1), NOW).then_already_done();
        second.when(end(3), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 2 });
    }
}

mod erasure {
    use super::*;

    #[test]
    fn a_receipt_is_taken_once_and_only_after_the_lease_ended() {
        leased().when(erase(1, 1), NOW).then_refused(DeviceRefusal::LeaseRunning);
        let over = given::<Device>([enrolled(), lease(1, 1).into(), ended(1)]);
        over.when(erase(1, 1), NOW).then([erased(1)]).when(erase(1, 1), NOW).then_already_done();
    }

    #[test]
    fn a_receipt_of_an_older_epoch_is_already_known_and_of_a_later_one_is_refused() {
        let second =
            given::<Device>([enrolled(), lease(1, 1).into(), ended(1), erased(1), lease(2, 1).into()]);
        second.when(erase(1, 1), NOW).then_already_done();
        second.when(erase(3, 1), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 2 });
    }

    #[test]
    fn a_receipt_signed_by_another_key_or_for_another_device_is_not_believed() {
        let over = given::<Device>([enrolled(), lease(1, 1).into(), ended(1)]);
        over.when(erase(1, 2), NOW).then_refused(DeviceRefusal::BadReceipt(
            "the signature of the berth erasure receipt v1 does not fit".into(),
        ));
        let foreign = receipt(DeviceId(Uuid::from_u128(8)), 1, 1);
        over.when(DeviceCommand::RecordErasure { device: ME, receipt: foreign }, NOW).then_refused(
            DeviceRefusal::BadReceipt("the message was not meant for this: another device's receipt".into()),
        );
    }

    #[test]
    fn the_floor_is_the_last_erased_epoch() {
        let events = [enrolled(), lease(1, 1).into(), ended(1), erased(1), lease(2, 1).into()];
        let floors: Vec<_> = (0..=events.len()).map(|n| after(events[..n].to_vec()).erased_floor()).collect();
        assert_eq!(floors, [0, 0, 0, 0, 1, 1]);
    }
}

mod presence {
    use super::*;

    #[test]
    fn a_device_is_lost_once_and_recovers_once() {
        let gone = leased().when(report_lost(1, 900), NOW).then([lost(900).into()]);
        gone.when(report_lost(1, 950), NOW).then_already_done();
        let back = gone.when(seen(1_500), NOW).then([recovered(900, 1_500)]);
        back.when(seen(1_600), NOW).then_already_done();
    }

    #[test]
    fn a_sighting_that_was_counted_before_the_loss_is_no_recovery() {
        let gone = given::<Device>([enrolled(), lease(1, 1).into(), lost(900).into()]);
        gone.when(seen(900), NOW).then_already_done();
        gone.when(seen(-5), NOW).then_already_done();
        gone.when(seen(901), NOW).then([recovered(900, 901)]);
    }

    #[test]
    fn only_the_lease_it_holds_can_be_lost() {
        leased().when(report_lost(2, 900), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 1 });
        given::<Device>([enrolled(), lease(1, 1).into(), ended(1)])
            .when(report_lost(1, 900), NOW)
            .then_refused(DeviceRefusal::NotLeased);
    }

    #[test]
    fn outages_are_kept_for_their_lease_with_the_one_that_goes_on() {
        let span = |a, b| Interval::new(Time::from_unix(a), Time::from_unix(b));
        let past = [enrolled(), lease(1, 1).into(), lost(100).into(), recovered(100, 200)];
        let gone = after(past.clone().into_iter().chain([lost(300).into()]));
        assert_eq!(gone.outages(1, Time::from_unix(450)), [span(100, 200), span(300, 450)]);
        assert_eq!(gone.outages(1, Time::from_unix(250)), [span(100, 200), span(300, 300)]);
        assert_eq!(gone.outages(2, NOW), []);
        let next = after(past.into_iter().chain([ended(1), erased(1), lease(2, 1).into()]));
        assert_eq!((next.outages(1, NOW), next.outages(2, NOW)), (vec![], vec![]));
    }

    #[test]
    fn of_too_many_outages_those_closest_together_become_one_so_the_renter_loses_none() {
        let many = i64::try_from(MAX_OUTAGES).unwrap();
        let blips = (0..many).flat_map(|i| [lost(i * 100).into(), recovered(i * 100, i * 100 + 1)]);
        let close = [lost(many * 100 - 50).into(), recovered(many * 100 - 50, many * 100 - 20)];
        let events = [enrolled(), lease(1, 1).into()].into_iter().chain(blips).chain(close);
        let kept = after(events.chain([lost(90_000).into()])).outages(1, Time::from_unix(90_005));
        assert_eq!(kept.len(), MAX_OUTAGES);
        let span = |a, b| Interval::new(Time::from_unix(a), Time::from_unix(b));
        assert_eq!(kept[0], span(0, 101));
        assert_eq!(kept[kept.len() - 2], span(many * 100 - 100, many * 100 - 20));
        assert_eq!(kept[kept.len() - 1], span(90_000, 90_005));
    }

    #[test]
    fn loss_and_recovery_count_from_when_they_happened() {
        assert_eq!(Device::effective_at(&lost(900).into()), Some(Time::from_unix(900)));
        assert_eq!(Device::effective_at(&recovered(900, 950)), Some(Time::from_unix(950)));
        assert_eq!(Device::effective_at(&ended(1)), None);
    }
}

mod leaving {
    use super::*;

    const RETIRE: DeviceCommand = DeviceCommand::Retire { is_let: false };

    fn transfer(to: u128) -> DeviceCommand {
        DeviceCommand::Transfer { to: owner(to) }
    }

    #[test]
    fn a_device_that_is_let_cannot_be_retired() {
        leased().when(DeviceCommand::Retire { is_let: true }, NOW).then_refused(DeviceRefusal::Let);
    }

    #[test]
    fn a_retired_device_stays_retired() {
        let gone =
            given::<Device>([enrolled(), published()]).when(RETIRE, NOW).then([DeviceRetired {}.into()]);
        gone.when(RETIRE, NOW).then_already_done();
        gone.when(DeviceCommand::Retire { is_let: true }, NOW).then_already_done();
        gone.when(DeviceCommand::WithdrawOffer, NOW).then_already_done();
        for command in [
            DeviceCommand::ReplaceEnrolmentKey { enrolment_key: Digest::of(b"2") },
            DeviceCommand::PublishOffer { offer: offer("1") },
            DeviceCommand::GrantLease(lease(1, 1)),
            transfer(2),
        ] {
            gone.when(command, NOW).then_refused(DeviceRefusal::Retired);
        }
    }

    #[test]
    fn a_retired_device_still_ends_its_lease_and_erases_it() {
        given::<Device>([enrolled(), lease(1, 1).into(), DeviceRetired {}.into()])
            .when(end(1), NOW)
            .then([ended(1)])
            .when(erase(1, 1), NOW)
            .then([erased(1)])
            .when(DeviceCommand::GrantLease(lease(2, 1)), NOW)
            .then_refused(DeviceRefusal::Retired);
    }

    #[test]
    fn a_device_changes_hands_only_without_a_lease_and_erased() {
        leased().when(transfer(2), NOW).then_refused(DeviceRefusal::LeaseRunning);
        let over = given::<Device>([enrolled(), lease(1, 1).into(), ended(1)]);
        over.when(transfer(2), NOW).then_refused(DeviceRefusal::NotErased { epoch: 1 });
        let moved = DeviceTransferred { to: owner(2), owner_gen: 1 };
        let new = over.when(erase(1, 1), NOW).then([erased(1)]).when(transfer(2), NOW).then([moved.into()]);
        new.when(transfer(2), NOW).then_already_done();
    }

    #[test]
    fn a_new_owner_gets_neither_the_old_offer_nor_the_old_key() {
        let moved = after([enrolled(), published(), DeviceTransferred { to: owner(2), owner_gen: 1 }.into()]);
        assert_eq!((moved.owner(), moved.owner_gen()), (Some(owner(2)), 1));
        assert_eq!((moved.offer(), moved.enrolment_key()), (None, None));
    }
}

mod keys {
    use super::*;

    fn destroyed(epoch: Epoch, why: KeyEnd) -> LeaseKeyDestroyed {
        LeaseKeyDestroyed { epoch, commitment: Digest::of(b"half"), why }
    }

    fn record(epoch: Epoch, why: KeyEnd) -> DeviceCommand {
        DeviceCommand::RecordKeyDestroyed { epoch, commitment: Digest::of(b"half"), why }
    }

    #[test]
    fn the_key_of_a_running_lease_is_never_destroyed() {
        let refused = leased().when(record(1, KeyEnd::Asked), NOW);
        refused.then_refused(DeviceRefusal::LeaseRunning);
        leased().when(record(2, KeyEnd::Asked), NOW).then_refused(DeviceRefusal::WrongEpoch { expected: 1 });
        given::<Device>([enrolled()])
            .when(record(1, KeyEnd::Asked), NOW)
            .then_refused(DeviceRefusal::NotLeased);
    }

    #[test]
    fn the_key_of_an_ended_lease_is_destroyed_once_whatever_the_reason() {
        let over = given::<Device>([enrolled(), lease(1, 1).into(), ended(1)]);
        let gone =
            over.when(record(1, KeyEnd::AppealOver), NOW).then([destroyed(1, KeyEnd::AppealOver).into()]);
        gone.when(record(1, KeyEnd::Erased), NOW).then_already_done();
    }

    #[test]
    fn an_earlier_leases_key_may_be_destroyed_while_the_next_lease_runs() {
        let next = given::<Device>([enrolled(), lease(1, 1).into(), ended(1), erased(1), lease(2, 1).into()]);
        let gone = next.when(record(1, KeyEnd::Erased), NOW).then([destroyed(1, KeyEnd::Erased).into()]);
        gone.when(record(2, KeyEnd::Erased), NOW).then_refused(DeviceRefusal::LeaseRunning);
    }

    #[test]
    fn a_device_has_moved_until_it_registers_under_its_new_owner() {
        let moved = DeviceTransferred { to: owner(2), owner_gen: 1 };
        let history = [enrolled(), lease(1, 1).into(), ended(1), erased(1)];
        assert_eq!(after(history.clone()).moved(), None);
        let history = history.into_iter().chain([moved.clone().into()]);
        assert_eq!(after(history.clone()).moved(), Some(1));
        assert_eq!(after(history.chain([lease(2, 1).into()])).moved(), None);
        assert_eq!(after([enrolled(), moved.into()]).moved(), None, "it never registered");
    }
}

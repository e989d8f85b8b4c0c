//! What is let, until when, and to whom.

use domain::{
    contract::ContractRefusal,
    device::{
        Device, DeviceCommand, DeviceEnrolled, DeviceEvent, DeviceRefusal, LeaseEnd, LeaseGranted,
        OfferPublished,
    },
    id::Subdomain,
    key::{Digest, PublicKey},
    offer::{Hardware, MAX_TEXT},
    order::{OrderItem, OrderReceived, RejectReason},
};

use super::*;

fn lease(epoch: u32, key: u8) -> LeaseGranted {
    LeaseGranted {
        epoch,
        gateway: "main".parse().unwrap(),
        port: 6_000,
        subdomain: Subdomain::of(DEVICE, epoch),
        device_key: PublicKey([key; 32]),
        config_hash: Digest::of(b"config"),
        hardware: Hardware::default(),
    }
}

/// Enrolled, on offer, and holding its first lease.
fn device() -> Vec<DeviceEvent> {
    let enrolled = DeviceEnrolled { owner: OWNER, enrolment_key: Digest::of(b"key") };
    vec![enrolled.into(), OfferPublished { offer: offer("Pi") }.into(), lease(1, 1).into()]
}

fn end_lease(epoch: u32, why: LeaseEnd) -> DeviceCommand {
    DeviceCommand::EndLease { epoch, contract: ContractId::of(DEVICE, epoch), why }
}

/// In the predecessor a device that registered again, as after a reboot, lost its renter and its data.
#[test]
fn registering_again_during_a_rental_ends_nothing_and_moves_no_money() {
    let device: Device = replay(&device());
    let LeaseGranted { device_key, config_hash, .. } = lease(1, 1);
    assert_eq!(device.next_epoch(device_key, config_hash), Ok(1));
    let again = device.decide(DeviceCommand::GrantLease(lease(1, 1)), at(HOUR));
    assert_eq!(again, Ok(Decision::AlreadyDone));
    let other = device.decide(DeviceCommand::GrantLease(lease(2, 2)), at(HOUR));
    assert_eq!(other, Err(DeviceRefusal::LeaseHeld));
    let rental = Rental::of_a_day();
    assert_eq!(rental.state.lease_end(), None, "nothing that could end the lease");
}

/// In the predecessor a device called "renewal" made each new sale add 24 h to the old expiration.
#[test]
fn a_devices_name_does_not_make_an_order_a_renewal() {
    let bought = Rental::default().tell(start(1, "renewal - Pi", DAY, DAILY), 0);
    assert_eq!(opening(&bought).segment, Interval::new(at(0), at(DAY)));
    let mut rental = Rental::default();
    rental.tell(start(1, "renewal - Pi", DAY, DAILY), 0);
    let second = rental.state.decide(start(2, "renewal - Pi", DAY, DAILY), at(HOUR));
    assert_eq!(second, Err(ContractRefusal::AlreadyLet));
    assert_eq!(second.unwrap_err().reject_reason(), RejectReason::AlreadyLet);
}

/// The predecessor read the device out of a listing's address, which was cut off after 65 characters.
#[test]
fn an_order_names_its_device_however_long_the_devices_name_is() {
    let longest = "x".repeat(MAX_TEXT);
    let bought = Rental::default().tell(start(1, &longest, DAY, DAILY), 0);
    assert_eq!(opening(&bought).device, DEVICE);
    let item = OrderItem::Rental { device: DEVICE, term_s: DAY };
    let received = OrderReceived { order: order(1), item, renter: RENTER, paid: satoshi(DAILY) };
    let written = serde_json::to_value(&received).unwrap();
    assert_eq!(written["item"]["device"], DEVICE.to_string());
    assert_eq!(written["item"]["kind"], "rental");
}

/// The predecessor never cleared its list of rented devices when a term was over.
#[test]
fn a_term_that_is_over_ends_rental_and_lease() {
    let mut rental = Rental::of_a_day();
    assert!(rental.state.rental().unwrap().runs(at(DAY - 1)));
    assert!(!rental.state.rental().unwrap().runs(at(DAY)), "also before anybody wrote it down");
    rental.tell(expire(), DAY);
    assert_eq!(rental.state.lease_end(), Some(LeaseEnd::Expired));
    let mut device: Device = replay(&device());
    assert!(device.rentable().is_ok());
    for event in decided(&device, end_lease(1, LeaseEnd::Expired), at(DAY)) {
        device.apply(&event);
    }
    assert_eq!(device.live_lease(), None);
    assert_eq!(device.rentable(), Err(RejectReason::DeviceNotLeased));
}

/// The predecessor wrote whole documents back, so a stale copy restored an expiration that had been reset.
#[test]
fn an_end_is_not_undone_by_whatever_comes_late() {
    let mut rental = Rental::of_a_day();
    let extension = ExtensionId(Uuid::from_u128(2));
    let request = ContractCommand::RequestExtension { extension, term_s: DAY, valid_s: DAY, offered: true };
    rental.tell(request.clone(), HOUR);
    rental.end(2 * HOUR);
    let late = [
        (
            ContractCommand::Extend { extension, order: order(2), paid: satoshi(DAILY) },
            Err(ContractRefusal::Over),
        ),
        (start(1, "Pi", DAY, DAILY), Ok(Decision::AlreadyDone)),
        (start(2, "Pi", DAY, DAILY), Err(ContractRefusal::AlreadyLet)),
        (request, Ok(Decision::AlreadyDone)),
    ];
    for (command, answer) in late {
        assert_eq!(rental.state.decide(command, at(3 * HOUR)), answer);
    }
    assert_eq!(rental.state.lease_end(), Some(LeaseEnd::Terminated));
}

/// In the predecessor a renewal that failed left a mark, and the next dead device was refunded but not ended.
#[test]
fn a_renewal_that_failed_changes_nothing_about_the_end() {
    let mut rental = Rental::of_a_day();
    let extension = ExtensionId(Uuid::from_u128(2));
    let request = ContractCommand::RequestExtension { extension, term_s: DAY, valid_s: HOUR, offered: true };
    rental.tell(request, HOUR);
    let short = ContractCommand::Extend { extension, order: order(2), paid: satoshi(1) };
    let refused = rental.state.decide(short, at(HOUR));
    assert_eq!(refused, Err(ContractRefusal::WrongAmount { expected: satoshi(DAILY) }));
    let mut plain = Rental::of_a_day();
    assert_eq!(rental.end(13 * HOUR), plain.end(13 * HOUR));
    assert_eq!(rental.state.lease_end(), Some(LeaseEnd::Terminated));
}

/// The predecessor rented a device out first and recorded the payment after it, if nothing failed in between.
#[test]
fn a_rental_begins_with_its_payment_or_not_at_all() {
    for paid in [0, 1, DAILY - 1, DAILY + 1] {
        let refused = Contract::default().decide(start(1, "Pi", DAY, paid), at(0));
        assert_eq!(refused, Err(ContractRefusal::WrongAmount { expected: satoshi(DAILY) }), "{paid}");
    }
    let begun = Rental::default().tell(start(1, "Pi", DAY, DAILY), 0);
    assert_eq!((&opening(&begun).order, opening(&begun).paid), (&order(1), satoshi(DAILY)));
}

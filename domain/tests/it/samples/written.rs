//! One event of every kind out of the life of one rental, with fixed ids and keys.

use domain::{
    account::{AccountErased, AccountEvent, AccountOpened, Role, RoleGranted, RoleRevoked},
    any::AnyEvent,
    contract::{
        ContractEvent, DisputeDecided, DisputeOpened, ErasureAsked, ExtensionLapsed, ExtensionRequested,
        ModerationIssued, OfferClosed, OfflineResumeChosen, PayoutIssued, RefundIssued, RentalExpired,
        RentalExtended, RentalStarted, RentalTerminated, SegmentClosed, SegmentPayoutIssued, Weights,
    },
    device::{
        DeviceEnrolled, DeviceEvent, DeviceLost, DeviceRecovered, DeviceRetired, DeviceTransferred,
        EnrolmentKeyReplaced, EpochErased, KeyEnd, LeaseEnd, LeaseEnded, LeaseGranted, LeaseKeyDestroyed,
        OfferPublished, OfferWithdrawn,
    },
    event::Events,
    gateway::{GatewayEvent, PortLeased, PortReleased},
    id::{AccountId, CommandId, ContractId, DeviceId, ExtensionId, OrderKey, SettlementId, Subdomain},
    key::{Digest, PublicKey},
    money::Money,
    offer::{Hardware, Offer, Rate, Unit},
    order::{
        OrderAccepted, OrderCollected, OrderEvent, OrderItem, OrderReceived, OrderRejected, RejectReason,
    },
    policy::{EndedBy, Policy},
    purse::{PayoutHeld, PayoutsReleased, PurseEvent},
    settlement::{
        Movement, Resolution, SettlementDue, SettlementEvent, SettlementFailed, SettlementKind,
        SettlementQuarantined, SettlementReinstated, SettlementResolved, SettlementSettled,
        SettlementStarted, SettlementWithdrawn,
    },
    time::{Interval, Time},
    treasury::{FeesSwept, TreasuryEvent},
    wire::{EraseStep, KeyHalf, Receipt, SignedReceipt, StepResult, Tombstone, VERSION, sign},
};
use ed25519_dalek::SigningKey;

/// An event as it is written now.
pub struct Written {
    pub kind: &'static str,
    pub schema: u32,
    pub payload: Vec<u8>,
}

fn of<E: Events>(event: impl Into<E>) -> Written {
    let event = event.into();
    Written { kind: event.kind(), schema: event.schema(), payload: event.payload() }
}

/// The payload of an event as it is written now.
pub fn payload(event: &AnyEvent) -> Vec<u8> {
    match event {
        AnyEvent::Contract(e) => e.payload(),
        AnyEvent::Device(e) => e.payload(),
        AnyEvent::Settlement(e) => e.payload(),
        AnyEvent::Order(e) => e.payload(),
        AnyEvent::Gateway(e) => e.payload(),
        AnyEvent::Purse(e) => e.payload(),
        AnyEvent::Treasury(e) => e.payload(),
        AnyEvent::Account(e) => e.payload(),
    }
}

/// One of every kind, in its newest version.
pub fn all() -> Vec<Written> {
    [device(), contract(), verdicts(), money(), others()].into_iter().flatten().collect()
}

fn device_id() -> DeviceId {
    "0197f3a2-5c1e-7b60-9d42-6f1c0a7be311".parse().unwrap()
}

fn owner() -> AccountId {
    "0197f3a2-11aa-7c05-8e21-b1d0c4f2a901".parse().unwrap()
}

fn renter() -> AccountId {
    "0197f3a5-90d3-7e4f-a1b7-52c6d8e9f042".parse().unwrap()
}

fn contract_id() -> ContractId {
    ContractId::of(device_id(), 1)
}

fn extension() -> ExtensionId {
    let command: CommandId = "0197f8c0-4f6d-7a11-b3c9-0d5e7f8a9b10".parse().unwrap();
    ExtensionId::of(contract_id(), command)
}

fn order(id: &str) -> OrderKey {
    format!("openbazaar-{id}").parse().unwrap()
}

fn first_order() -> OrderKey {
    order("QmTDMoVqvyBkNMRhzvukTDznntByUNDwyNdSfV8dZ3VKRC")
}

fn bch(amount: &str) -> Money {
    Money::parse(amount, "BCH".parse().unwrap()).unwrap()
}

fn at(text: &str) -> Time {
    text.parse().unwrap()
}

fn span(start: &str, end: &str) -> Interval {
    Interval::new(at(start), at(end))
}

fn outage() -> Interval {
    span("2026-11-24T02:10:00Z", "2026-11-24T03:25:30Z")
}

fn offer() -> Offer {
    Offer {
        title: "Raspberry Pi 4, 8 GB \u{2013} Tromsø".into(),
        place: Some("NO".into()),
        rates: vec![
            Rate { per: Unit::Hour, price: bch("0.00002") },
            Rate { per: Unit::Day, price: bch("0.0004") },
        ],
        min_term_s: 3_600,
        max_term_s: 2_592_000,
    }
}

fn device() -> Vec<Written> {
    let key = SigningKey::from_bytes(&Digest::of(b"device key of the recorded samples").0);
    let gateway: domain::id::GatewayName = "north".parse().unwrap();
    let (port, subdomain) = (20_017, Subdomain::of(device_id(), 1));
    let (last_seen, seen_at) = (outage().start, outage().end);
    let hardware = Hardware {
        memory_mib: 7_812,
        disk_mib: 59_392,
        processor: "ARM Cortex-A72".into(),
        cores: 4,
        bandwidth_kbit_s: Some(94_200),
    };
    let lease = LeaseGranted {
        epoch: 1,
        gateway: gateway.clone(),
        port,
        subdomain: subdomain.clone(),
        device_key: PublicKey(key.verifying_key().to_bytes()),
        config_hash: Digest::of(b"agent.json"),
        hardware,
    };
    let (contract, why) = (contract_id(), LeaseEnd::Terminated);
    let tombstone = Tombstone {
        v: VERSION,
        device: device_id(),
        epoch: 1,
        contract,
        ended_at: at("2026-11-25T09:00:02Z"),
        why,
    };
    let steps = vec![
        EraseStep {
            step: "remove files".into(),
            result: StepResult::Done,
            detail: "1284 files, 40 folders".into(),
        },
        EraseStep {
            step: "blkdiscard --secure".into(),
            result: StepResult::Unsupported,
            detail: "directory volume".into(),
        },
    ];
    let receipt = Receipt {
        v: VERSION,
        device: device_id(),
        epoch: 1,
        tombstone: tombstone.digest(),
        volume: "directory".into(),
        steps,
        not_before: at("2026-11-25T09:00:07Z"),
    };
    let receipt = SignedReceipt(sign(&receipt, &key));
    let enrolment_key = Digest::of(b"first enrolment key");
    vec![
        of::<DeviceEvent>(DeviceEnrolled { owner: owner(), enrolment_key }),
        of::<DeviceEvent>(EnrolmentKeyReplaced { enrolment_key: Digest::of(b"second enrolment key") }),
        of::<DeviceEvent>(OfferPublished { offer: offer() }),
        of::<DeviceEvent>(OfferWithdrawn {}),
        of::<DeviceEvent>(lease),
        of::<DeviceEvent>(DeviceLost { epoch: 1, last_seen, give_up_at: last_seen.plus(86_400) }),
        of::<DeviceEvent>(DeviceRecovered { epoch: 1, last_seen, seen_at }),
        of::<DeviceEvent>(LeaseEnded { epoch: 1, contract, why, gateway, port, subdomain }),
        of::<DeviceEvent>(EpochErased { epoch: 1, receipt }),
        of::<DeviceEvent>(LeaseKeyDestroyed {
            epoch: 1,
            commitment: KeyHalf::new([9; 32]).commitment(),
            why: KeyEnd::AppealOver,
        }),
        of::<DeviceEvent>(DeviceRetired {}),
        of::<DeviceEvent>(DeviceTransferred { to: renter(), owner_gen: 1 }),
    ]
}

fn contract() -> Vec<Written> {
    let (device, epoch, contract) = (device_id(), 1, contract_id());
    let segment = span("2026-11-22T09:00:00Z", "2026-11-25T09:00:00Z");
    let more = span("2026-11-25T09:00:00Z", "2026-11-26T09:00:00Z");
    let offline = vec![outage()];
    let extension = extension();
    let lapses_at = at("2026-11-24T13:00:00Z");
    let started = RentalStarted {
        device,
        epoch,
        owner: owner(),
        renter: renter(),
        order: first_order(),
        segment,
        paid: bch("0.0012"),
        offer: offer(),
        policy: Policy { minimum_payout: Some(bch("0.0005")), ..Policy::default() },
    };
    let order = order("QmVooMFKDqT3yYHY8xiFWJqSnWNbTyDbqWwqMtLF6PUJpT");
    let extended = RentalExtended { device, epoch, extension, order, segment: more, paid: bch("0.0004") };
    let terminated = RentalTerminated {
        device,
        epoch,
        by: EndedBy::Renter,
        ended_at: at("2026-11-24T21:00:00Z"),
        offline: offline.clone(),
    };
    vec![
        of::<ContractEvent>(started),
        of::<ContractEvent>(ExtensionRequested {
            extension,
            term_s: 86_400,
            price: bch("0.0004"),
            lapses_at,
        }),
        of::<ContractEvent>(ExtensionLapsed { extension, lapses_at }),
        of::<ContractEvent>(extended),
        of::<ContractEvent>(terminated),
        of::<ContractEvent>(RentalExpired { device, epoch, ended_at: more.end, offline }),
        of::<ContractEvent>(OfflineResumeChosen { device, epoch, allowed: true }),
        of::<ContractEvent>(ErasureAsked { device, epoch }),
        of::<ContractEvent>(OfferClosed { contract, device, epoch, why: LeaseEnd::Unrented }),
        of::<ContractEvent>(RefundIssued {
            settlement: SettlementId::refund(contract, 0),
            segment: 0,
            order: first_order(),
            renter: renter(),
            amount: bch("0.00022098"),
        }),
        of::<ContractEvent>(PayoutIssued {
            settlement: SettlementId::payout(contract),
            order: first_order(),
            owner: owner(),
            amount: bch("0.00088112"),
            fee: bch("0.0000979"),
        }),
    ]
}

fn verdicts() -> Vec<Written> {
    let (device, epoch, segment, contract) = (device_id(), 1, 0, contract_id());
    let weights = Weights { renter: 60, owner: 35, moderator: 5 };
    vec![
        of::<ContractEvent>(SegmentClosed { device, epoch, segment, offline: vec![outage()] }),
        of::<ContractEvent>(SegmentPayoutIssued {
            settlement: SettlementId::segment_payout(contract, 0),
            segment,
            order: first_order(),
            owner: owner(),
            amount: bch("0.00106499"),
            fee: bch("0.00011833"),
        }),
        of::<ContractEvent>(DisputeOpened {
            segment,
            order: first_order(),
            evidence: Some(Digest::of(b"the renter's screenshots")),
        }),
        of::<ContractEvent>(DisputeDecided { segment, order: first_order(), amount: bch("0.0012"), weights }),
        of::<ContractEvent>(ModerationIssued {
            settlement: SettlementId::moderation(contract, 0),
            segment,
            order: first_order(),
            moderator: owner(),
            amount: bch("0.00006"),
        }),
        of::<PurseEvent>(PayoutHeld {
            payout: SettlementId::payout(contract),
            contract,
            order: first_order(),
            amount: bch("0.00088112"),
        }),
        of::<PurseEvent>(PayoutsReleased {
            settlement: SettlementId::release(SettlementId::payout(contract)),
            order: first_order(),
            owner: owner(),
            amount: bch("0.00088112"),
            payouts: vec![SettlementId::payout(contract)],
        }),
        of::<SettlementEvent>(SettlementWithdrawn { amount: bch("0.00022098") }),
        of::<SettlementEvent>(SettlementReinstated {
            due: SettlementDue {
                kind: SettlementKind::Refund,
                order: first_order(),
                contract: Some(contract),
                to: renter(),
                amount: bch("0.00022098"),
            },
        }),
        of::<TreasuryEvent>(FeesSwept { amount: bch("0.0000979"), reference: "till 7".into() }),
    ]
}

fn money() -> Vec<Written> {
    let item = OrderItem::Rental { device: device_id(), term_s: 259_200 };
    let received = OrderReceived { order: first_order(), item, renter: renter(), paid: bch("0.0012") };
    let segment = span("2026-11-22T09:00:00Z", "2026-11-25T09:00:00Z");
    let accepted = OrderAccepted { order: first_order(), contract: contract_id(), segment };
    let late = order("QmZ4tDuvesekSs4qM5ZBKpXiZGun7S2CYtEZRB3DYXkjGx");
    let rejected = OrderRejected {
        settlement: SettlementId::rejected_order(&late),
        order: late,
        reason: RejectReason::WrongAmount { expected: bch("0.0012") },
        renter: renter(),
        refund: bch("0.0011"),
    };
    let collected = OrderCollected {
        order: first_order(),
        reference: "b9925684f7b9b1a24eb703377f8b11d2c83fd2108e60d9ef9870d78311a867a3".into(),
        cost: bch("0.0000123"),
    };
    let due = SettlementDue {
        kind: SettlementKind::Refund,
        order: first_order(),
        contract: Some(contract_id()),
        to: renter(),
        amount: bch("0.00022098"),
    };
    let reference = "5c1e7b609d426f1c0a7be3110197f3a25c1e7b609d426f1c0a7be3110197f3a2".to_string();
    let movement = Movement { reference, moved: bch("0.00022098"), network_fee: Some(bch("0.00000226")) };
    let (attempt, note) = (1, "seen in the wallet's history at height 912345".to_string());
    let resolution = Resolution::Moved { movement: movement.clone() };
    vec![
        of::<OrderEvent>(received),
        of::<OrderEvent>(accepted),
        of::<OrderEvent>(rejected),
        of::<OrderEvent>(collected),
        of::<SettlementEvent>(due),
        of::<SettlementEvent>(SettlementStarted { attempt, method: "openbazaar".into() }),
        of::<SettlementEvent>(SettlementSettled { attempt, movement }),
        of::<SettlementEvent>(SettlementFailed { attempt, reason: "insufficient funds".into() }),
        of::<SettlementEvent>(SettlementQuarantined { attempt, reason: "no answer in 30 s".into() }),
        of::<SettlementEvent>(SettlementResolved { attempt, resolution, note }),
    ]
}

fn others() -> Vec<Written> {
    let (device, epoch, port, subdomain) = (device_id(), 1, 20_017, Subdomain::of(device_id(), 1));
    vec![
        of::<GatewayEvent>(PortLeased { port, subdomain: subdomain.clone(), device, epoch }),
        of::<GatewayEvent>(PortReleased { port, subdomain, device, epoch }),
        of::<AccountEvent>(AccountOpened {}),
        of::<AccountEvent>(RoleGranted { role: Role::Renter }),
        of::<AccountEvent>(RoleRevoked { role: Role::Renter }),
        of::<AccountEvent>(AccountErased {}),
    ]
}

//! What the views say about a marketplace, against what the domain says about the same events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use domain::{
    aggregate::Aggregate,
    any::AnyEvent,
    contract::{Contract, ContractEvent},
    device::{Device, DeviceEvent},
    event::Recorded,
    id::{ContractId, DeviceId, GatewayName, SettlementId},
    time::Time,
};
use fixtures::market::Commit;
use projections::views::{
    Page, Views,
    contracts::{ContractScope, ContractStatus},
    devices::DeviceRow,
    due::{DueKind, DueSubject},
    market::{MarketFilter, MarketSort},
    orders::{OrderScope, OrderStatus},
    settlements::{SettlementFilter, SettlementStatus},
};

use super::support::{fold, fresh, market, recorded};

/// A folded marketplace and its aggregates.
pub(super) struct World {
    pub(super) views: Views,
    events: Vec<(Recorded, AnyEvent)>,
    devices: HashMap<DeviceId, Device>,
    contracts: HashMap<ContractId, Contract>,
    _folder: tempfile::TempDir,
}

impl World {
    pub(super) async fn new(seed: u64, appends: usize) -> Self {
        Self::from_history(market(seed, appends)).await
    }

    pub(super) async fn from_history(history: Vec<Commit>) -> Self {
        let (folder, path) = fresh().await;
        let events = recorded(history);
        fold(&path, &events).unwrap();
        let (mut devices, mut contracts) = (HashMap::new(), HashMap::new());
        let decoded = events.into_iter().map(|recorded| {
            let event = AnyEvent::of(&recorded).unwrap();
            (recorded, event)
        });
        let events: Vec<_> = decoded.collect();
        for (recorded, event) in &events {
            let key = recorded.stream.key();
            match event {
                AnyEvent::Device(e) => {
                    devices.entry(key.parse().unwrap()).or_insert(Device::default()).apply(e)
                }
                AnyEvent::Contract(e) => {
                    contracts.entry(key.parse().unwrap()).or_insert(Contract::default()).apply(e);
                }
                _ => {}
            }
        }
        Self { views: Views::open(&path).unwrap(), events, devices, contracts, _folder: folder }
    }

    fn of<'a>(&'a self, category: &'a str) -> impl Iterator<Item = &'a (Recorded, AnyEvent)> {
        self.events.iter().filter(move |(recorded, _)| recorded.stream.category() == category)
    }
}

#[tokio::test]
async fn contracts_are_what_the_domain_says() {
    let world = World::new(100, 6_000).await;
    let mut seen = BTreeSet::new();
    for (id, contract) in &world.contracts {
        let row = world.views.contract(*id).await.unwrap();
        let Some(rental) = contract.rental() else {
            assert_eq!(row, None, "a lease that was never let is no rental");
            continue;
        };
        let row = row.unwrap();
        let ended = rental.ended.as_ref();
        assert_eq!((row.renter, row.owner), (rental.started.renter, rental.started.owner));
        assert_eq!(row.segments.len(), rental.segments.len());
        for (row, segment) in row.segments.iter().zip(&rental.segments) {
            assert_eq!((row.start, row.end), (segment.term.start, segment.term.end));
            assert_eq!((row.paid, &row.order), (segment.paid, &segment.order));
        }
        assert_eq!((row.ends_at, row.ended_at), (rental.until(), ended.map(|ended| ended.at)));
        assert_eq!(row.ended_by, ended.map(|ended| ended.by));
        assert_eq!(row.paid.minor(), rental.segments.iter().map(|s| s.paid.minor()).sum::<i128>());
        assert_eq!(row.extension.map(|e| e.extension), rental.pending.as_ref().map(|p| p.extension));
        assert_eq!(row.payout.is_some(), rental.paid_out);
        if let (Some(payout), Some(fee)) = (row.payout, row.fee) {
            assert_eq!(
                row.refunded.minor() + payout.minor() + fee.minor() + row.moderation.minor(),
                row.paid.minor(),
                "money is conserved"
            );
        }
        let last = world.of("contract").filter(|(e, _)| e.stream == Contract::stream(id)).last().unwrap();
        let of_lease = world.of("device").filter(|(e, _)| e.stream == Device::stream(&row.device));
        let (mut erased, mut destroyed, mut updated) = (false, None, last.0.position);
        for (recorded, event) in of_lease {
            match event {
                AnyEvent::Device(DeviceEvent::EpochErased(e)) if e.epoch == row.epoch => erased = true,
                AnyEvent::Device(DeviceEvent::LeaseKeyDestroyed(e)) if e.epoch == row.epoch => {
                    destroyed = Some(e.commitment);
                }
                _ => continue,
            }
            updated = updated.max(recorded.position);
        }
        assert_eq!((row.revision, row.updated), (last.0.revision, updated));
        assert_eq!((row.erased_at.is_some(), row.key_commitment), (erased, destroyed));
        assert_eq!(row.offline_resume, rental.offline_resume);
        seen.insert(format!("{:?}", row.status));
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[tokio::test]
async fn devices_and_the_market_are_what_the_domain_says() {
    let world = World::new(104, 3_400).await;
    let open = world.views.market(MarketFilter::default(), MarketSort::Newest, None, 500).await.unwrap();
    let open: BTreeMap<_, _> = open.into_iter().map(|row| (row.device, row)).collect();
    for (id, device) in &world.devices {
        let row = world.views.device(*id).await.unwrap().unwrap();
        let lease = device.lease();
        assert_eq!(Some(row.owner), device.owner());
        assert_eq!(row.enrolment_key, device.enrolment_key());
        assert_eq!(row.offer.as_ref(), device.offer());
        assert_eq!(row.is_leased(), device.live_lease().is_some());
        assert_eq!(row.epoch, lease.map_or(0, |lease| lease.granted.epoch));
        assert_eq!(row.port, lease.map(|lease| lease.granted.port));
        assert_eq!(row.device_key, lease.map(|lease| lease.granted.device_key));
        assert_eq!(row.erased_at.is_some(), lease.is_some_and(|lease| lease.erased));
        assert_eq!(row.lost_since, device.lost().map(|lost| lost.last_seen));
        assert_eq!(row.retired_at.is_some(), device.is_retired());
        if let Some(key) = device.enrolment_key() {
            assert_eq!(world.views.device_by_key(key).await.unwrap(), Some(row.clone()));
        }
        let contract = world.contracts.get(&ContractId::of(*id, row.epoch));
        let rental = contract.and_then(Contract::rental);
        assert_eq!(row.contract.is_some(), rental.is_some());
        assert_eq!(row.is_let, rental.is_some_and(|rental| rental.ended.is_none()));

        let rentable = device.rentable().is_ok() && contract.is_none();
        let listed = open.get(id);
        assert_eq!(listed.is_some(), rentable, "{id}");
        if let Some(listed) = listed {
            assert_eq!(listed.offer, row.offer);
            assert_eq!(listed.hardware, row.hardware);
        }
    }
    assert!(!open.is_empty() && open.len() < world.devices.len());
}

#[tokio::test]
async fn what_an_operator_looks_after_is_listed_and_counted() {
    let mut seen = (0, 0, 0);
    for seed in 110..150 {
        let views = World::new(seed, 300).await.views;
        let all = views.devices(Page::oldest(500)).await.unwrap();
        let chosen = |wanted: fn(&DeviceRow) -> bool| -> Vec<_> {
            all.iter().filter(|row| wanted(row)).cloned().collect()
        };
        let lost = views.lost_devices(Page::oldest(500)).await.unwrap();
        assert_eq!(lost, chosen(|row| row.lost_since.is_some()));
        let unerased = views.unerased_devices(Page::oldest(500)).await.unwrap();
        assert_eq!(unerased, chosen(|row| row.lease_ended_at.is_some() && row.erased_at.is_none()));
        let mut orders = views.orders(OrderScope::All, Page::newest(500)).await.unwrap();
        orders.retain(|row| row.status == OrderStatus::Rejected);
        assert_eq!(views.orders(OrderScope::Rejected, Page::newest(500)).await.unwrap(), orders);
        let counted = views.overview().await.unwrap();
        let counted = (counted.lost_devices, counted.unerased_devices, counted.rejected_orders);
        let found = (lost.len(), unerased.len(), orders.len());
        assert_eq!((counted.0 as usize, counted.1 as usize, counted.2 as usize), found);
        seen = (seen.0 + found.0, seen.1 + found.1, seen.2 + found.2);
    }
    assert!(seen.0 > 0 && seen.1 > 0 && seen.2 > 0, "{seen:?}");
}

#[tokio::test]
async fn what_is_due_is_what_the_domain_waits_for() {
    let world = World::new(102, 2_000).await;
    let far = Time::from_unix(i64::MAX);
    let mut due = BTreeSet::new();
    for kind in
        [DueKind::Expiry, DueKind::ExtensionLapse, DueKind::LostGrace, DueKind::Payout, DueKind::PortReclaim]
    {
        let rows = world.views.due(kind, far, 500).await.unwrap();
        assert!(rows.windows(2).all(|pair| pair[0].due_at <= pair[1].due_at));
        assert_eq!(world.views.next_due(kind).await.unwrap(), rows.first().map(|row| row.due_at));
        if let Some(first) = rows.first() {
            let before = world.views.due(kind, first.due_at.plus(-1), 500).await.unwrap();
            assert!(before.is_empty(), "nothing is due too early");
        }
        due.extend(rows.into_iter().map(|row| (row.kind, row.subject, row.due_at)));
    }
    let mut expected = BTreeSet::new();
    for (id, contract) in &world.contracts {
        let Some(rental) = contract.rental() else { continue };
        let subject = DueSubject::Contract(*id);
        match &rental.ended {
            None => {
                expected.insert((DueKind::Expiry, subject.clone(), rental.until()));
                if let Some(pending) = &rental.pending {
                    expected.insert((DueKind::ExtensionLapse, subject, pending.lapses_at));
                }
            }
            Some(ended) if !rental.paid_out => {
                let at = ended.at.plus(rental.started.policy.payout_delay_s);
                expected.insert((DueKind::Payout, subject, at));
            }
            Some(_) => {}
        }
    }
    for (id, device) in &world.devices {
        if let Some(lost) = device.lost() {
            expected.insert((DueKind::LostGrace, DueSubject::Device(*id), lost.give_up_at));
        }
    }
    let ports: BTreeSet<_> = due.iter().filter(|(kind, ..)| *kind == DueKind::PortReclaim).cloned().collect();
    assert_eq!(due.difference(&ports).cloned().collect::<BTreeSet<_>>(), expected);

    // A port waits to be reclaimed exactly while it is held and its lease has not come.
    let gateway = GatewayName::new("gw0").unwrap();
    let held = world.views.leases(gateway.clone(), None, 500).await.unwrap();
    let waiting = held.iter().filter(|held| {
        let granted = world.devices[&held.device].lease().map_or(0, |lease| lease.granted.epoch);
        granted < held.epoch
    });
    let waiting = waiting.map(|held| DueSubject::Port {
        gateway: held.gateway.clone(),
        port: held.port,
        device: held.device,
        epoch: held.epoch,
    });
    assert_eq!(ports.into_iter().map(|(_, subject, _)| subject).collect::<BTreeSet<_>>(), waiting.collect());
    for lease in &held {
        let found = world.views.lease_of_subdomain(lease.subdomain.clone()).await.unwrap();
        assert_eq!(found.as_ref(), Some(lease));
    }
}

#[tokio::test]
async fn orders_and_settlements_end_where_their_events_say() {
    let world = World::new(103, 2_850).await;
    let mut last = HashMap::new();
    for (recorded, _) in world.of("order").chain(world.of("settlement")) {
        last.insert(recorded.stream.clone(), (recorded.event.kind.clone(), recorded.revision));
    }
    let mut statuses = BTreeSet::new();
    for (stream, (kind, revision)) in last {
        if stream.category() == "order" {
            let row = world.views.order(stream.key().parse().unwrap()).await.unwrap().unwrap();
            let expected = match kind.as_str() {
                "OrderReceived" => OrderStatus::Received,
                // Only what was accepted is collected in these histories.
                "OrderAccepted" | "OrderCollected" => OrderStatus::Accepted,
                _ => OrderStatus::Rejected,
            };
            assert_eq!((row.status, row.revision), (expected, revision));
            assert_eq!(row.settlement.is_some(), row.status == OrderStatus::Rejected);
            continue;
        }
        let row = world.views.settlement(stream.key().parse().unwrap()).await.unwrap().unwrap();
        let expected = match kind.as_str() {
            "SettlementDue" => SettlementStatus::Due,
            "SettlementStarted" => SettlementStatus::Started,
            "SettlementSettled" => SettlementStatus::Settled,
            "SettlementFailed" => SettlementStatus::Failed,
            "SettlementQuarantined" => SettlementStatus::Quarantined,
            _ if row.moved.is_some() => SettlementStatus::Settled,
            _ => SettlementStatus::Due,
        };
        assert_eq!((row.status, row.revision), (expected, revision));
        assert_eq!(row.moved.is_some(), row.status == SettlementStatus::Settled);
        statuses.insert(format!("{:?}", row.status));
    }
    assert!(statuses.len() >= 3, "{statuses:?}");
}

#[tokio::test]
async fn paging_shows_every_row_once_in_either_order() {
    let world = World::new(104, 2_500).await;
    let views = &world.views;
    let rentals = world.contracts.values().filter(|contract| contract.rental().is_some()).count();
    for newest_first in [false, true] {
        let mut page = Page { after: None, newest_first, limit: 7 };
        let mut seen = Vec::new();
        loop {
            let rows = views.contracts(ContractScope::All, None, page).await.unwrap();
            let Some(last) = rows.last() else { break };
            page.after = Some(last.position);
            seen.extend(rows.into_iter().map(|row| row.position));
        }
        assert_eq!(seen.len(), rentals);
        assert!(seen.is_sorted_by(|a, b| if newest_first { a > b } else { a < b }));
    }
    let all = views.contracts(ContractScope::All, None, Page::oldest(500)).await.unwrap();
    for status in [ContractStatus::Running, ContractStatus::Expired, ContractStatus::Terminated] {
        let rows = views.contracts(ContractScope::All, Some(status), Page::oldest(500)).await.unwrap();
        assert_eq!(rows, all.iter().filter(|row| row.status == status).cloned().collect::<Vec<_>>());
        let renter = all[0].renter;
        let rows =
            views.contracts(ContractScope::Renter(renter), Some(status), Page::newest(500)).await.unwrap();
        let expected = all.iter().rev().filter(|row| row.status == status && row.renter == renter);
        assert_eq!(rows, expected.cloned().collect::<Vec<_>>());
    }
    let orders = views.orders(OrderScope::All, Page::oldest(500)).await.unwrap();
    let undecided = views.orders(OrderScope::Undecided, Page::oldest(500)).await.unwrap();
    let expected = orders.iter().filter(|row| row.status == OrderStatus::Received);
    assert_eq!(undecided, expected.cloned().collect::<Vec<_>>());
    let settlements = views.settlements(SettlementFilter::default(), Page::oldest(500)).await.unwrap();
    for row in settlements.iter().take(20) {
        let mine = SettlementFilter {
            kind: Some(row.kind),
            status: Some(row.status),
            recipient: Some(row.recipient),
            ..SettlementFilter::default()
        };
        let found = views.settlements(mine, Page::oldest(500)).await.unwrap();
        let same = |other: &&_| -> bool {
            let other: &&projections::views::settlements::SettlementRow = other;
            (other.kind, other.status, other.recipient) == (row.kind, row.status, row.recipient)
        };
        assert_eq!(found, settlements.iter().filter(same).cloned().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_contracts_history_holds_its_order_its_money_and_its_lease() {
    let world = World::new(106, 2_500).await;
    let mut checked = 0;
    for (id, contract) in &world.contracts {
        let Some(rental) = contract.rental().filter(|rental| rental.paid_out) else { continue };
        let device = rental.started.device;
        let of_lease = |e: &AnyEvent| matches!(e, AnyEvent::Contract(ContractEvent::RentalStarted(e)) if e.device == device);
        let mut expected: BTreeSet<u64> = BTreeSet::new();
        for (recorded, event) in &world.events {
            let order = rental.segments.iter().any(|s| recorded.stream.key() == s.order.to_string());
            let own = recorded.stream == Contract::stream(id);
            let money = (0..rental.segments.len())
                .flat_map(|i| {
                    [
                        SettlementId::refund,
                        SettlementId::segment_payout,
                        SettlementId::dispute_refund,
                        SettlementId::moderation,
                    ]
                    .map(|of| of(*id, i))
                })
                .chain([SettlementId::payout(*id)])
                .any(|settlement| recorded.stream.key() == settlement.to_string());
            if order || own || money {
                expected.insert(recorded.position);
            }
            assert!(!own || !of_lease(event) || recorded.revision == 0);
        }
        let mut found = Vec::new();
        loop {
            let page = world.views.history_of(*id, found.last().copied(), 5).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert!(found.is_sorted_by(|a, b| a < b));
        let found: BTreeSet<_> = found.into_iter().collect();
        assert!(found.is_superset(&expected), "{:?}", expected.difference(&found).collect::<Vec<_>>());
        let kinds: BTreeSet<_> = found
            .iter()
            .map(|position| world.events[usize::try_from(*position).unwrap()].0.event.kind.as_str())
            .collect();
        for kind in ["PortLeased", "LeaseGranted", "OrderReceived", "RentalStarted", "PayoutIssued"] {
            assert!(kinds.contains(kind), "{kind} is missing");
        }
        assert!(kinds.contains("SettlementDue") || kinds.contains("PayoutHeld"), "where is the money?");
        checked += 1;
    }
    assert!(checked > 5);
}

#[tokio::test]
async fn a_device_hears_of_its_leases_and_rentals_but_not_of_keys_and_owners() {
    let world = World::new(107, 2_500).await;
    let mut kinds = BTreeSet::new();
    for id in world.devices.keys() {
        let feed = world.views.device_feed(*id, None, 500).await.unwrap();
        assert!(feed.is_sorted_by(|a, b| a.position < b.position));
        if let Some(middle) = feed.get(feed.len() / 2) {
            let rest = world.views.device_feed(*id, Some(middle.position), 500).await.unwrap();
            assert_eq!(rest, feed[feed.len() / 2 + 1..]);
        }
        kinds.extend(feed.into_iter().map(|row| row.kind));
    }
    for private in ["DeviceEnrolled", "EnrolmentKeyReplaced", "DeviceTransferred", "PayoutIssued"] {
        assert!(!kinds.contains(private), "{private}");
    }
    for public in
        ["LeaseGranted", "RentalStarted", "RentalExtended", "LeaseEnded", "OfferClosed", "EpochErased"]
    {
        assert!(kinds.contains(public), "{public}");
    }
}

//! What owners are said to have earned and got, against the events and the journal.

use std::collections::{BTreeMap, HashMap};

use domain::{
    any::AnyEvent,
    contract::ContractEvent,
    id::{AccountId, ContractId, DeviceId},
    journal::Account,
    money::{Asset, Money},
    settlement::{Resolution, SettlementEvent, SettlementKind},
};
use projections::views::{
    Views,
    earnings::{ALL_DEVICES, EarningsRow, Month},
    journal::{Accounts, JournalReader},
};

use super::support::{fold, fresh, market, recorded};

type Whose = (AccountId, Asset);

/// Earned by owner and device and month, and paid by owner and month, as the events say it.
#[derive(Default)]
struct Expected {
    earned: BTreeMap<(Whose, DeviceId, Month), (i128, u64)>,
    rentals: BTreeMap<(AccountId, DeviceId), u64>,
    paid: BTreeMap<(Whose, Month), i128>,
}

fn expected(events: &[domain::event::Recorded]) -> Expected {
    let mut all = Expected::default();
    let (mut devices, mut due) = (HashMap::new(), HashMap::new());
    for recorded in events {
        let month = Month::of(recorded.event.effective_at);
        let key = recorded.stream.key().to_owned();
        let mut earn = |contract: &str, owner: AccountId, amount: Money| {
            let device: DeviceId = devices[contract];
            let sum = all.earned.entry(((owner, amount.asset()), device, month)).or_default();
            *sum = (sum.0 + amount.minor(), sum.1 + 1);
        };
        let moved = match AnyEvent::of(recorded).unwrap() {
            AnyEvent::Contract(ContractEvent::RentalStarted(e)) => {
                assert_eq!(ContractId::of(e.device, e.epoch).to_string(), key);
                devices.insert(key, e.device);
                *all.rentals.entry((e.owner, e.device)).or_default() += 1;
                continue;
            }
            AnyEvent::Contract(ContractEvent::PayoutIssued(e)) => {
                earn(&key, e.owner, e.amount);
                continue;
            }
            AnyEvent::Contract(ContractEvent::SegmentPayoutIssued(e)) => {
                earn(&key, e.owner, e.amount);
                continue;
            }
            AnyEvent::Settlement(SettlementEvent::SettlementDue(e)) if e.kind == SettlementKind::Payout => {
                due.insert(key, e);
                continue;
            }
            AnyEvent::Settlement(SettlementEvent::SettlementSettled(e)) => e.movement.moved,
            AnyEvent::Settlement(SettlementEvent::SettlementResolved(e)) => match e.resolution {
                Resolution::Moved { movement } => movement.moved,
                Resolution::NotMoved {} => continue,
            },
            _ => continue,
        };
        if let Some(due) = due.remove(&key) {
            let paid = all.paid.entry(((due.to, moved.asset()), month)).or_default();
            *paid += moved.minor().min(due.amount.minor());
        }
    }
    all
}

/// The sums of some of an owner's rows.
fn sums(rows: &[EarningsRow], chosen: impl Fn(&EarningsRow) -> bool) -> (i128, i128, u64, u64) {
    rows.iter().filter(|row| chosen(row)).fold((0, 0, 0, 0), |all, row| {
        (all.0 + row.earned.0, all.1 + row.paid.0, all.2 + row.payouts, all.3 + row.rentals)
    })
}

#[tokio::test]
async fn earnings_are_what_the_events_say_and_what_is_missing_is_owed_by_the_journal() {
    let events = recorded(market(31, 12_000));
    let (_folder, path) = fresh().await;
    fold(&path, &events).unwrap();
    let views = Views::open(&path).unwrap();
    let expected = expected(&events);
    let months: Vec<_> = expected.paid.keys().map(|(_, month)| *month).collect();
    assert!(months.iter().max() > months.iter().min(), "the history is too short to have months");

    let mut owners: Vec<_> = expected.rentals.keys().map(|(owner, _)| *owner).collect();
    owners.dedup();
    let (mut late, mut in_purses) = (0, 0);
    for owner in &owners {
        let mut all = views.earnings(*owner, Month::ALL, 500).await.unwrap();
        let mut devices: Vec<_> =
            expected.rentals.keys().filter(|(o, _)| o == owner).map(|(_, d)| *d).collect();
        devices.sort_unstable();
        let mut each = Vec::new();
        for device in &devices {
            each.extend(views.earnings_of_device(*owner, *device, Month::ALL, 500).await.unwrap());
        }
        for row in &all {
            let same = |other: &EarningsRow| other.asset == row.asset && other.month == row.month;
            assert_eq!(sums(&each, same), sums(&all, same), "all devices are the sum of each");
            if row.month == Month::ALL {
                let of_months = |other: &EarningsRow| other.asset == row.asset && other.month > Month::ALL;
                assert_eq!(sums(&all, of_months), sums(&all, same), "all months are the sum of each");
                let owed = views.payable_to(*owner).await.unwrap();
                let owed: i128 = owed.iter().filter(|o| o.asset == row.asset).map(|o| o.minor).sum();
                assert_eq!(row.unpaid(), owed, "what was earned and is not paid is owed");
                late += usize::from(owed > 0);
            }
            let paid = expected.paid.get(&((*owner, row.asset), row.month)).copied().unwrap_or(0);
            assert!(row.month == Month::ALL || row.paid.0 == paid);
        }
        for row in &each {
            let found = expected.earned.get(&((*owner, row.asset), row.device, row.month));
            let (earned, payouts) = found.copied().unwrap_or_default();
            assert!(row.month == Month::ALL || (row.earned.0, row.payouts) == (earned, payouts));
            assert!(row.paid <= row.earned || row.month > Month::ALL, "nothing is paid that was not earned");
            in_purses += usize::from(row.paid > row.earned);
        }
        let rentals: u64 = all.iter().filter(|row| row.month == Month::ALL).map(|row| row.rentals).sum();
        let started: u64 =
            expected.rentals.iter().filter(|((o, _), _)| o == owner).map(|(_, count)| count).sum();
        assert_eq!(rentals, started);

        let ever = views.earnings_in_all(*owner).await.unwrap();
        all.retain(|row| row.month == Month::ALL);
        assert_eq!(ever, all);
        let latest = views.earnings(*owner, *months.iter().max().unwrap(), 500).await.unwrap();
        assert!(latest.iter().all(|row| Some(&row.month) == months.iter().max()));
    }
    assert!(late > 0 && in_purses > 0, "{late} {in_purses}");
}

#[tokio::test]
async fn the_best_devices_come_first_and_in_pages() {
    let events = recorded(market(32, 9_000));
    let (_folder, path) = fresh().await;
    fold(&path, &events).unwrap();
    let views = Views::open(&path).unwrap();
    let expected = expected(&events);
    let mut longest = 0;
    for (owner, asset) in expected.earned.keys().map(|(whose, ..)| *whose) {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = views.best_devices(owner, (asset, Month::ALL), after, 1).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.earned, last.device));
            found.extend(page);
        }
        assert!(found.is_sorted_by(|a, b| (a.earned, a.device) > (b.earned, b.device)));
        assert!(found.iter().all(|row| row.device != ALL_DEVICES));
        let sum: i128 = found.iter().map(|row| row.earned.0).sum();
        let all = views.earnings_in_all(owner).await.unwrap();
        assert_eq!(all.iter().find(|row| row.asset == asset).map(|row| row.earned.0), Some(sum));
        longest = longest.max(found.len());
    }
    assert!(longest > 1, "{longest}");
}

#[tokio::test]
async fn what_accrued_to_an_owner_is_the_sum_of_the_accounts_of_all_contracts() {
    let events = recorded(market(33, 5_000));
    let (_folder, path) = fresh().await;
    fold(&path, &events).unwrap();
    let views = Views::open(&path).unwrap();
    let mut accrued: BTreeMap<Whose, i128> = BTreeMap::new();
    JournalReader::open(&path)
        .unwrap()
        .balances::<projections::views::ViewError>(|row| {
            if let Account::Accrued(owner, _) = row.account {
                *accrued.entry((owner, row.asset)).or_default() -= row.minor;
            }
            Ok(())
        })
        .unwrap();
    for ((owner, asset), minor) in &accrued {
        let rows = views.accrued_to(*owner).await.unwrap();
        assert_eq!(rows.iter().find(|row| row.asset == *asset).map(|row| row.minor), Some(*minor));
    }
    let left = views.balances(Accounts::NotEmpty, None, 500).await.unwrap();
    assert!(left.iter().any(|row| matches!(row.account, Account::Accrued(..))), "nothing accrued at the end");
}

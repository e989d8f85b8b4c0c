//! How earnings look, from sample data.

use api::{
    accruals::Accrual,
    pages::earnings::{
        Earned, EarningsPage, Payout,
        figures::{DeviceFigures, Figures, MonthFigures, Payable},
    },
};
use domain::{
    account::Role,
    id::{AccountId, DeviceId, OrderKey, SettlementId},
    money::{Asset, Money},
    purse::PurseId,
    settlement::SettlementKind,
    time::Time,
};
use projections::views::{
    purses::PurseRow,
    settlements::{SettlementRow, SettlementStatus},
};
use uuid::Uuid;

use super::super::kit::{HOSTILE, sample_shell, snapshot};

fn now() -> Time {
    crate::app::START.parse().unwrap()
}

fn page(assets: Vec<Earned>) -> EarningsPage {
    EarningsPage {
        shell: sample_shell("Your earnings", "/earnings", &[Role::Owner]),
        assets,
        cut: None,
        purses: Vec::new(),
        payouts: Vec::new(),
        later: false,
        next: None,
        releases: true,
    }
}

fn earned(asset: Asset, scale: i128) -> Earned {
    let month = |i: i128| MonthFigures {
        month: format!("2026-{:02}", i + 1),
        decided: i * 540 * scale,
        paid: i * 500 * scale,
    };
    let device = |i: i128| DeviceFigures {
        device: DeviceId(Uuid::from_u128(i.unsigned_abs())),
        accrued: 40 * scale,
        payable: 400 * scale / (i + 1),
        paid: 9_000 * scale / (i + 1),
    };
    let figures = Figures {
        asset,
        accrued: Accrual { asset, minor: 405 * scale, most: 540 * scale, rate: 15_000 },
        waits: 270 * scale,
        payable: Payable {
            due: 3_000 * scale,
            in_flight: 40 * scale,
            quarantined: 400 * scale,
            held: 7 * scale,
        },
        paid: 35_640 * scale,
        months: (0..12).map(month).collect(),
        devices: (0..25).map(device).collect(),
    };
    let names = figures.devices.iter().map(|device| (device.device, HOSTILE.to_owned())).collect();
    Earned::new(figures, names)
}

fn payout(status: SettlementStatus) -> Payout {
    let order: OrderKey = "shop-order-1".parse().unwrap();
    let usd = |amount: &str| Money::parse(amount, "USD".parse().unwrap()).unwrap();
    let settled = status == SettlementStatus::Settled;
    SettlementRow {
        settlement: SettlementId(Uuid::from_u128(3)),
        position: 1,
        revision: 1,
        updated: 1,
        kind: SettlementKind::Payout,
        status,
        marketplace: order.marketplace.clone(),
        order_key: order,
        contract: None,
        recipient: AccountId(Uuid::from_u128(2)),
        amount: usd("5.40"),
        due_at: now(),
        attempt: 1,
        method: None,
        started_at: Some(now()),
        ended_at: Some(now()),
        reference: settled.then(|| HOSTILE.into()),
        moved: settled.then(|| usd("5.40")),
        network_fee: None,
        reason: (status == SettlementStatus::Failed).then(|| HOSTILE.into()),
    }
    .into()
}

#[test]
fn earnings_look_like_this() {
    snapshot("earnings-empty", &page(Vec::new()));
    let usd: Asset = "USD".parse().unwrap();
    let marketplace = "shop".parse().unwrap();
    let owner = AccountId(Uuid::from_u128(2));
    let purse = PurseRow {
        purse: PurseId { owner, marketplace, asset: usd },
        position: 1,
        revision: 1,
        updated: 1,
        owner,
        amount: Money::parse("5.40", usd).unwrap(),
        payouts: 2,
        held_since: Some(now()),
    };
    let statuses = [
        SettlementStatus::Due,
        SettlementStatus::Started,
        SettlementStatus::Settled,
        SettlementStatus::Failed,
        SettlementStatus::Quarantined,
        SettlementStatus::Withdrawn,
    ];
    let full = EarningsPage {
        cut: Some(200),
        purses: vec![purse],
        payouts: statuses.map(payout).into(),
        later: true,
        next: Some(7),
        ..page(vec![earned("ETH".parse().unwrap(), 1_000_000_000_000_000_000), earned(usd, 1)])
    };
    snapshot("earnings", &full);
}

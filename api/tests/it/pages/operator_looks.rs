//! How the operator's pages look.

use std::time::Duration;

use api::{
    openbazaar::Status,
    pages::{
        audit::told::Named,
        operator::{
            accounts::{AccountLine, AccountsPage, NewAccount},
            front::{AttentionLine, AttentionPage, OperatorPage},
            health::{GatewayLine, Health, JobLine, WebhookLine},
            lists::{DeviceLine, Devices, DevicesPage, OrderLine, OrdersPage},
            people::AccountPage,
            settlements::{STATUSES, SettlementLine, SettlementPage, SettlementsPage},
            steps::Typed,
        },
        page::Shell,
    },
    scheduler::JobRun,
};
use domain::{account::Role, money::Money, time::Time};
use projections::{
    private::{Node, Person, Token},
    views::{
        overview::Overview,
        settlements::SettlementStatus::{self, Failed, Quarantined, Settled, Started},
    },
};
use uuid::Uuid;

use super::kit::{sample_shell, snapshot};

const HOSTILE: &str = "<script>alert(\"1\")</script>'& \u{202e}evil\u{202c} مرحبا";

fn at() -> Time {
    crate::app::START.parse().unwrap()
}

fn shell(title: &str) -> Shell {
    sample_shell(title, "/operator", &[Role::Operator])
}

fn usd(amount: &str) -> Money {
    Money::parse(amount, "USD".parse().unwrap()).unwrap()
}

fn named(text: &str) -> Named {
    Named { text: text.into(), href: Some("/audit/accounts/1".into()) }
}

fn settlement(status: SettlementStatus, text: &str) -> SettlementLine {
    SettlementLine {
        settlement: Uuid::from_u128(1),
        kind: "Refund",
        status,
        amount: usd("6.00"),
        to: named(text),
        marketplace: "shop".into(),
        order: "order-1".into(),
        contract: Some(Uuid::from_u128(2)),
        due_at: at(),
        attempt: 2,
        method: Some(text.into()),
        started_at: Some(at()),
        reason: matches!(status, Failed | Quarantined).then(|| text.into()),
        reference: (status == Settled).then(|| text.into()),
        moved: (status == Settled).then(|| usd("5.00")),
        network_fee: (status == Settled).then(|| usd("0.01")),
    }
}

fn device(text: &str, is_let: bool, retired: bool) -> DeviceLine {
    DeviceLine {
        device: Uuid::from_u128(3),
        name: text.into(),
        owner: named(text),
        epoch: 4,
        contract: is_let.then(|| Uuid::from_u128(2)),
        is_let,
        lost_since: Some(at()),
        give_up_at: Some(at().plus(3_600)),
        ended_at: Some(at()),
        retired_at: retired.then(at),
    }
}

fn order(text: &str, refund: Option<(Uuid, Option<SettlementStatus>)>) -> OrderLine {
    OrderLine {
        marketplace: "shop".into(),
        id: "order-1".into(),
        renter: named(text),
        item: Named { text: text.into(), href: None },
        paid: usd("6.00"),
        reason: "the device is already let".into(),
        received_at: at(),
        refund,
    }
}

fn attention(text: &str) -> AttentionLine {
    AttentionLine {
        subject: text.into(),
        href: Some("/audit/devices/3".into()),
        what: "no port".into(),
        detail: text.into(),
        since: at(),
    }
}

fn health(full: bool) -> Health {
    let job = |name, outcome: Option<Result<u64, String>>| JobLine {
        name,
        expression: "*/5 * * * * *".into(),
        last: outcome.map(|outcome| JobRun {
            at: at(),
            took: Duration::from_millis(12),
            outcome,
            last_done: Some((at(), 3)),
            runs: 9,
        }),
        next: Some(at().plus(5)),
    };
    Health {
        version: "0.1.0",
        up_s: 90_061,
        head: full.then_some(41),
        views_lag: u64::from(full),
        steward_next: 42,
        steward_lag: u64::from(full),
        connector: full.then(|| Status {
            url: "http://node".into(),
            leads: true,
            coins: vec!["BTC".into()],
            looked_at: at(),
            answered_at: at(),
            listings: 3,
            open_orders: 2,
            waiting_payments: 1,
            error: Some(HOSTILE.into()),
        }),
        nodes: [1, 2]
            .into_iter()
            .filter(|_| full)
            .map(|n| Node {
                id: Uuid::from_u128(n),
                roles: "api,steward".into(),
                address: format!("10.0.0.{n}:8080"),
                version: "0.1.0".into(),
                started_at: at(),
            })
            .collect(),
        gateways: [Some(true), Some(false), None]
            .into_iter()
            .filter(|_| full)
            .map(|is_there| GatewayLine {
                name: "main".into(),
                is_there,
                since: is_there.map(|_| at()),
                tunnels: 1,
                leases: 2,
            })
            .collect(),
        webhooks: [None, Some(at())]
            .into_iter()
            .filter(|_| full)
            .map(|disabled_at| WebhookLine {
                name: HOSTILE.into(),
                failures: 3,
                error: Some(HOSTILE.into()),
                disabled_at,
            })
            .collect(),
        schedules: full,
        jobs: vec![
            job("expiry", Some(Ok(3))),
            job("payout", Some(Ok(0))),
            job("lost", Some(Err(HOSTILE.into()))),
            job("stalled", None),
        ],
    }
}

#[test]
fn the_operators_first_page() {
    let empty = OperatorPage {
        shell: shell("Operator"),
        counts: Overview::default(),
        attention_count: 0,
        attention: Vec::new(),
        quarantined: Vec::new(),
        failed: Vec::new(),
        started: Vec::new(),
        lost: Vec::new(),
        unerased: Vec::new(),
        refused: Vec::new(),
        health: health(false),
    };
    snapshot("operator_front_empty", &empty);
    let full = OperatorPage {
        counts: Overview { lost_devices: 1_000, quarantined_settlements: 7, ..Overview::default() },
        attention_count: 7,
        attention: vec![attention(HOSTILE)],
        quarantined: vec![settlement(Quarantined, HOSTILE)],
        failed: vec![settlement(Failed, HOSTILE)],
        started: vec![settlement(Started, HOSTILE)],
        lost: vec![device(HOSTILE, true, false)],
        unerased: vec![device(HOSTILE, false, false)],
        refused: vec![order(HOSTILE, Some((Uuid::from_u128(1), Some(Settled))))],
        health: health(true),
        ..empty
    };
    snapshot("operator_front", &full);
}

#[test]
fn what_to_look_at() {
    let page = |items: Vec<_>, count| AttentionPage { shell: shell("To look at"), items, count };
    snapshot("operator_attention_empty", &page(Vec::new(), 0));
    snapshot("operator_attention", &page(vec![attention(HOSTILE)], 70));
}

#[test]
fn lists_of_devices_and_orders() {
    let page = |which, devices: Vec<_>, next| DevicesPage { shell: shell("Devices"), which, devices, next };
    snapshot("operator_lost_empty", &page(Devices::Lost, Vec::new(), None));
    let all = || vec![device(HOSTILE, true, false), device("pi", false, false), device("pi", false, true)];
    snapshot("operator_lost", &page(Devices::Lost, all(), Some(7)));
    snapshot("operator_unerased_empty", &page(Devices::Unerased, Vec::new(), None));
    snapshot("operator_unerased", &page(Devices::Unerased, all(), Some(7)));
    let page = |orders: Vec<_>, next| OrdersPage { shell: shell("Refused orders"), orders, next };
    snapshot("operator_orders_empty", &page(Vec::new(), None));
    let id = Uuid::from_u128(1);
    let orders = vec![
        order(HOSTILE, Some((id, Some(Quarantined)))),
        order("Ada", Some((id, None))),
        order("Ada", None),
    ];
    snapshot("operator_orders", &page(orders, Some(7)));
}

#[test]
fn settlements_and_what_can_be_done_about_each() {
    let page = |status, settlements: Vec<_>, next| SettlementsPage {
        shell: shell("Settlements"),
        status,
        settlements,
        next,
    };
    snapshot("operator_settlements_empty", &page(Some(Failed), Vec::new(), None));
    let all = STATUSES.map(|status| settlement(status, HOSTILE)).into();
    snapshot("operator_settlements", &page(None, all, Some(7)));
    for status in STATUSES {
        let wrong = (status == Quarantined).then(|| HOSTILE.to_owned());
        let page = SettlementPage {
            shell: shell("Refund"),
            settlement: settlement(status, HOSTILE),
            address: wrong.clone(),
            typed: Typed {
                reference: HOSTILE.into(),
                attempt: "2".into(),
                revision: "3".into(),
                ..Typed::default()
            },
            wrong,
        };
        let name = format!("operator_settlement_{}", page.settlement.word());
        snapshot(&name, &page);
    }
}

#[test]
fn accounts_and_one_of_them() {
    let page = |accounts: Vec<_>, typed, wrong| AccountsPage {
        shell: shell("Accounts"),
        next: (!accounts.is_empty()).then(|| Uuid::from_u128(1)),
        accounts,
        typed,
        wrong,
    };
    snapshot("operator_accounts_empty", &page(Vec::new(), NewAccount::default(), None));
    let one = AccountLine {
        account: Uuid::from_u128(1),
        name: HOSTILE.into(),
        email: HOSTILE.into(),
        roles: Role::ALL.into(),
        marketplace: Some("shop".into()),
    };
    let typed = NewAccount { name: HOSTILE.into(), auditor: "yes".into(), ..NewAccount::default() };
    snapshot("operator_accounts", &page(vec![one], typed, Some("a name".into())));
    let bare = AccountPage {
        shell: shell("Ada"),
        account: Uuid::from_u128(1),
        person: Person { name: "Ada".into(), ..Person::default() },
        login: None,
        roles: Vec::new(),
        others: Vec::new(),
        tokens: Vec::new(),
        fresh: None,
        wrong: None,
    };
    snapshot("operator_account_bare", &bare);
    let token = |revoked_at, expires_at| Token {
        id: Uuid::from_u128(8),
        label: HOSTILE.into(),
        roles: Role::ALL.into(),
        created_at: at(),
        expires_at,
        revoked_at,
    };
    let given = || Some(HOSTILE.to_owned());
    let full = AccountPage {
        person: Person {
            name: HOSTILE.into(),
            email: given(),
            refund_address: given(),
            payout_address: given(),
            marketplace: "shop".parse().ok(),
        },
        login: given(),
        roles: vec![Role::Owner],
        others: vec![Role::Renter],
        tokens: vec![token(None, None), token(Some(at()), None), token(None, Some(at()))],
        fresh: Some("berth_secret".into()),
        wrong: given(),
        ..bare
    };
    snapshot("operator_account", &full);
}

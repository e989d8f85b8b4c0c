//! How the auditor's pages look.

use api::pages::audit::{
    books::{Book, Line},
    event::EventPage,
    facts::Field,
    front::AuditPage,
    timeline::{Slider, TimelinePage},
    told::{Named, PostingLine, Told},
};
use domain::{account::Role, time::Time};
use uuid::Uuid;

use super::kit::{sample_shell, snapshot};

const HOSTILE: &str = "<script>alert(\"1\")</script>'& \u{202e}evil\u{202c} مرحبا";

fn at() -> Time {
    crate::app::START.parse().unwrap()
}

fn named(text: &str, href: Option<&str>) -> Named {
    Named { text: text.into(), href: href.map(Into::into) }
}

fn field(name: &str, value: &str) -> Field {
    Field { name: name.into(), value: value.into(), href: None }
}

fn told(position: u64, text: &str) -> Told {
    Told {
        position,
        title: "Rental started".into(),
        kind: "RentalStarted".into(),
        stream: named("contract-1", Some("/audit/contracts/1")),
        recorded_at: at(),
        effective_at: at().plus(-60),
        who: named(text, Some("/audit/accounts/1")),
        behalf: Some(named("somebody", None)),
        command: Uuid::from_u128(9),
        correlation: Uuid::from_u128(10),
        cause: Some(named("Order received (#1)", Some("/audit/events/1"))),
        fields: vec![field("paid", "6.00 USD"), field("reason", text)],
        more: true,
        changed: vec![field("held in escrow", "6.00 USD")],
        postings: vec![PostingLine {
            account: "Assets:Escrow:Cash:Shop".into(),
            debit: Some("6.00 USD".into()),
            credit: None,
        }],
        later: position > 7,
    }
}

fn front(events: Vec<Told>, books: Vec<Book>, sought: Option<String>) -> AuditPage {
    let shell = sample_shell("Audit", "/audit", &[Role::Auditor]);
    AuditPage { shell, sought, books, earlier: false, before: events.first().map(|e| e.position), events }
}

fn book(complete: bool, balances: bool) -> Book {
    let line = |what, debit: Option<&str>, credit: Option<&str>| Line {
        what,
        debit: debit.map(Into::into),
        credit: credit.map(Into::into),
    };
    Book {
        asset: "USD".parse().unwrap(),
        lines: vec![line("Cash in escrow", Some("6.00"), None), line("Owed to renters", None, Some("6.00"))],
        debits: "6.00".into(),
        credits: "6.00".into(),
        balances,
        complete,
    }
}

#[test]
fn the_audits_first_page() {
    snapshot("audit_front_empty", &front(Vec::new(), Vec::new(), None));
    let books = vec![book(true, true), book(false, true), book(true, false)];
    snapshot("audit_front", &front(vec![told(8, "Ada"), told(7, HOSTILE)], books, Some(HOSTILE.into())));
}

fn timeline(events: Vec<Told>, slider: Slider) -> TimelinePage {
    let next = Some("?after=8&as_of=7".to_owned()).filter(|_| events.len() > 1);
    TimelinePage {
        shell: sample_shell("Contract 1", "/audit/contracts/1", &[Role::Auditor]),
        kind: "Contract",
        id: "1".into(),
        path: "/audit/contracts/1".into(),
        summary: vec![field("state", "running")],
        slider,
        first: next.clone(),
        next,
        events,
    }
}

#[test]
fn a_timeline() {
    let now = Slider { at: 1, of: 1, last: Some(7), ..Slider::default() };
    let one =
        Told { more: false, fields: Vec::new(), changed: Vec::new(), postings: Vec::new(), ..told(7, "Ada") };
    snapshot("audit_timeline_one", &timeline(vec![one], now));
    let then = Slider {
        at: 2,
        of: 500,
        more: true,
        beyond: false,
        as_of: Some("7".into()),
        last: Some(7),
        back: Some(5),
        forth: Some(8),
    };
    snapshot("audit_timeline", &timeline(vec![told(7, HOSTILE), told(8, "Ada")], then));
    let never = Slider { at: 0, of: 1, as_of: Some("0".into()), forth: Some(7), ..Slider::default() };
    snapshot("audit_timeline_before", &timeline(vec![told(8, "Ada")], never));
}

#[test]
fn an_event() {
    let page = |event: Told, pretty: Option<String>, raw: &str| EventPage {
        shell: sample_shell("Event 7", "/audit/events/7", &[Role::Auditor]),
        event,
        id: Uuid::from_u128(7),
        revision: 1,
        schema: 2,
        recorded_at: "2026-11-22T09:00:00.000000Z".into(),
        actor: "system:steward".into(),
        pretty,
        raw: raw.into(),
        before: Some(5),
        after: Some(9),
        consequences: vec![named("Refund issued (#9)", Some("/audit/events/9"))],
    };
    snapshot("audit_event", &page(told(7, HOSTILE), Some(HOSTILE.into()), HOSTILE));
    let bare =
        Told { behalf: None, cause: None, changed: Vec::new(), postings: Vec::new(), ..told(7, "Ada") };
    let bare = EventPage { before: None, after: None, consequences: Vec::new(), ..page(bare, None, "{}") };
    snapshot("audit_event_bare", &bare);
}

//! Reading everything: decoded and folded against the bare rows.

use std::{collections::HashMap, path::Path, sync::Arc, time::Instant};

use domain::{
    aggregate::{Aggregate, Decision},
    contract::{Contract, ContractCommand, ContractEvent},
    device::Rentable,
    event::{Events, NewEvent, Recorded, StreamName},
    id::{ContractId, DeviceId, ExtensionId},
    money::Money,
    offer::{Offer, Rate, Unit},
    policy::Policy,
    time::Time,
};
use projections::log::{Append, EventLog, Expected, MAX_PAGE, pages::Pages, sqlite::SqliteLog};
use rusqlite::{Connection, OpenFlags};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::{event, folder, table::Rounds};

const ROUNDS: usize = 2;
const CONTRACTS: u64 = 100_000;
/// A rental is started, extended four times after a request, expires and is paid out.
const EACH: u64 = 11;
const EVENTS: u64 = CONTRACTS * EACH;
/// Events of one measurement: whole rentals.
const PART: u64 = EVENTS / 10;

pub async fn run() {
    let folder = folder();
    let path = folder.path().join("log.db");
    let log: Arc<dyn EventLog> = Arc::new(SqliteLog::open(&path).await.expect("a log opens"));
    fill(&log).await;
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        for from in (0..EVENTS).step_by(PART as usize) {
            let reference = step(&path, from);
            rounds.add(fold(&log, from).await, reference);
        }
    }
    rounds.print("replay, decoded and folded", Some(0.38));
}

async fn fill(log: &Arc<dyn EventLog>) {
    let mut appends = JoinSet::new();
    let mut bytes = 0;
    for n in 0..CONTRACTS {
        let device = DeviceId(Uuid::from_u64_pair(n, n));
        let events: Vec<NewEvent> = rental(device)
            .iter()
            .zip(0..)
            .map(|(contract, i)| NewEvent {
                kind: contract.kind().into(),
                schema: contract.schema(),
                ..event::new(n << 8 | i, contract.payload())
            })
            .collect();
        assert_eq!(events.len() as u64, EACH);
        bytes += events.iter().map(|event| event.payload.len() as u64).sum::<u64>();
        let stream = Contract::stream(&ContractId::of(device, 1));
        let (log, append) = (log.clone(), Append { stream, expected: Expected::NoStream, events });
        appends.spawn(async move { log.append(append).await.expect("appends") });
        if appends.len() > 500 {
            appends.join_next().await;
        }
    }
    appends.join_all().await;
    println!("  (payloads of {} bytes on average)", bytes / EVENTS);
    assert_eq!(log.head().await, Ok(Some(EVENTS - 1)));
}

/// The events of a whole rental, as the contract decides them.
fn rental(device: DeviceId) -> Vec<ContractEvent> {
    let asset = "USD".parse().expect("an asset");
    let money = |minor| Money::from_minor(minor, asset).expect("money");
    let order = |n| format!("openbazaar-QmYwAPJzv5CZsnA625s3Xf2nemtYg-{n}").parse().expect("an order");
    let extension = |n| ExtensionId(Uuid::new_v5(&device.0, &[n]));
    let start = 1_795_000_000;
    let hour = 3600;
    let rates = vec![Rate { per: Unit::Hour, price: money(100) }];
    let offer = Offer {
        title: "Raspberry Pi 5, 8 GB".into(),
        place: Some("DE".into()),
        rates,
        min_term_s: 60,
        max_term_s: 100 * hour,
    };
    let rentable = Rentable { owner: Uuid::from_u128(1).into(), epoch: 1, offer };
    let (renter, policy) = (Uuid::from_u128(2).into(), Policy::default());
    let delay = policy.payout_delay_s;
    let paid = money(100);
    let mut commands = vec![(
        start,
        ContractCommand::Start { device, rentable, order: order(0), renter, paid, term_s: hour, policy },
    )];
    for n in 1..=4_u8 {
        let at = start + i64::from(n) * 60;
        let extension = extension(n);
        let request =
            ContractCommand::RequestExtension { extension, term_s: hour, valid_s: 600, offered: true };
        commands.push((at, request));
        commands.push((at + 30, ContractCommand::Extend { extension, order: order(n), paid }));
    }
    let end = start + 5 * hour;
    commands.push((end, ContractCommand::Expire { offline: vec![] }));
    commands.push((end + delay, ContractCommand::IssuePayout));
    let mut state = Contract::default();
    let mut all = Vec::new();
    for (at, command) in commands {
        let decision = state.decide(command, Time::from_unix(at)).expect("a legal rental");
        let Decision::Events(events) = decision else { panic!("nothing is done twice") };
        events.iter().for_each(|event| state.apply(event));
        all.extend(events);
    }
    all
}

/// Steps over rows and looks at every column; events per second.
fn step(path: &Path, from: u64) -> f64 {
    let raw = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    let start = Instant::now();
    let sql = "select * from events where position >= ?1 and position < ?2 order by position";
    let mut statement = raw.prepare(sql).expect("prepares");
    let columns = statement.column_count();
    let mut rows = statement.query((from as i64, (from + PART) as i64)).expect("reads");
    let (mut events, mut bytes) = (0, 0);
    while let Some(row) = rows.next().expect("reads") {
        for column in 0..columns {
            let value = row.get_ref(column).expect("a column");
            bytes += value.as_bytes_or_null().ok().flatten().map_or(8, <[u8]>::len);
        }
        events += 1;
    }
    assert!(events == PART && bytes > 0);
    PART as f64 / start.elapsed().as_secs_f64()
}

/// Replays a part of the log into its aggregates; events per second.
async fn fold(log: &Arc<dyn EventLog>, from: u64) -> f64 {
    let start = Instant::now();
    let mut contracts: HashMap<StreamName, Contract> = HashMap::new();
    let mut pages = Pages::new(log.clone(), from, MAX_PAGE);
    let mut events = 0;
    while events < PART {
        let mut page = pages.next().await.expect("the log can be read");
        page.truncate((PART - events) as usize);
        events += page.len() as u64;
        for Recorded { stream, event, .. } in page {
            let decoded = ContractEvent::decode(&event.kind, event.schema, &event.payload);
            let decoded = decoded.expect("a known event").expect("a readable event");
            match contracts.get_mut(&stream) {
                Some(contract) => contract.apply(&decoded),
                None => contracts.entry(stream).or_default().apply(&decoded),
            }
        }
    }
    let rate = PART as f64 / start.elapsed().as_secs_f64();
    assert_eq!(contracts.len() as u64, PART / EACH);
    rate
}

//! A data folder with a large marketplace: written once, kept under `target/`.
//!
//! The history is generated, appended to the log as a server would, and folded into the views by an ordinary rebuild.

use std::{
    collections::VecDeque,
    future::poll_fn,
    path::Path,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use api::app::DataDir;
use domain::{
    id::{AccountId, ContractId, DeviceId, OrderKey},
    time::Time,
};
use fixtures::market::{Commit, Crowd, Market};
use projections::{
    log::{Append, EventLog, sqlite::SqliteLog},
    private::{Person, Private},
    rebuild,
    views::{
        Page, Views,
        contracts::{ContractScope, ContractStatus},
    },
};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, SqliteConnection};

/// Appends that wait for their commit while the log is written.
const WAITING: usize = 2_000;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(5);
/// Says that a folder is complete, and of whom.
const DONE: &str = "marketplace.json";

/// How large it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Devices that live at the same time.
    pub devices: usize,
    /// Rentals that were started.
    pub contracts: u64,
}

/// Whose pages to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct People {
    /// How large it is.
    pub size: Size,
    /// Events in its log.
    pub events: u64,
    /// When its history ends.
    pub now: i64,
    /// Has a tenth of the devices.
    pub owner: AccountId,
    /// Has a hundredth of the rentals.
    pub renter: AccountId,
    /// Receives every order.
    pub marketplace: AccountId,
    /// One of the owner's devices, with a long history.
    pub device: DeviceId,
    /// A rental of it.
    pub contract: ContractId,
    /// The order that started that.
    pub order: OrderKey,
    /// A rental of the renter that runs.
    pub running: ContractId,
}

impl People {
    /// When its history ends.
    pub fn now(&self) -> Time {
        Time::from_unix(self.now)
    }
}

/// Fills a folder, unless it is there already, complete and of this size.
pub async fn big_marketplace(
    folder: &Path,
    size: Size,
    progress: impl Fn(&str) + Send + Sync + 'static,
) -> anyhow::Result<People> {
    let done = folder.join(DONE);
    let known = std::fs::read(&done).ok().and_then(|text| serde_json::from_slice::<People>(&text).ok());
    if let Some(people) = known.filter(|people| people.size == size) {
        return Ok(people);
    }
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let data = DataDir::open(folder)?;
    let progress = Arc::new(progress);
    let log = SqliteLog::open(data.log()).await?;
    let start = Instant::now();
    let (heavy, events, now) = fill(&log, size, &*progress).await?;
    progress(&format!("{events} events were written in {:.0?}", start.elapsed()));
    let log: Arc<dyn EventLog> = Arc::new(log);
    let (start, tell) = (Instant::now(), progress.clone());
    let told = std::sync::Mutex::new(Instant::now());
    rebuild::prepare(&log, &data.views(), move |step| {
        let mut told = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.elapsed() > TELL {
            *told = Instant::now();
            tell(&format!("{:?}: {} of {}", step.stage, step.done, step.total));
        }
    })
    .await?;
    progress(&format!("they were folded in {:.0?}", start.elapsed()));
    let views = Views::open(data.views())?;
    let people = choose(&views, heavy, size, events, now).await?;
    name(&data, &views, &people).await?;
    api::keys::Keys::open(&data.keys(), people.now())?;
    std::fs::write(done, serde_json::to_vec(&people)?)?;
    Ok(people)
}

/// Writes the log; answers who stands out, the number of events, and when the last of them happened.
async fn fill(
    log: &SqliteLog,
    size: Size,
    progress: &(impl Fn(&str) + Send + Sync),
) -> anyhow::Result<(fixtures::market::People, u64, i64)> {
    let crowd = Crowd {
        devices: size.devices,
        idle: size.devices * 6 / 10,
        owner_every: 10,
        renter_permille: 10,
        // Half a day to three: longer than a device takes to act again.
        term_s: 43_200,
        quiet_percent: 80,
    };
    let (market, heavy) = Market::crowded(1, crowd);
    let (mut waiting, mut events, mut contracts, mut now) = (VecDeque::new(), 0, 0, 0);
    let mut told = Instant::now();
    for Commit { stream, after, events: part } in market {
        events += part.len() as u64;
        contracts += part.iter().filter(|event| event.kind == "RentalStarted").count() as u64;
        now = part.last().map_or(now, |event| event.recorded_at.timestamp());
        let mut append = log.append(Append { stream, expected: after.into(), events: part });
        // Queued now, so that two appends to a stream stay in order; answered later.
        let first = poll_fn(|context| Poll::Ready(append.as_mut().poll(context))).await;
        if first.is_pending() {
            waiting.push_back(append);
        }
        if waiting.len() > WAITING
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await?;
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            progress(&format!("{events} events, {contracts} contracts"));
        }
        if contracts >= size.contracts {
            break;
        }
    }
    for append in waiting {
        append.await?;
    }
    Ok((heavy, events, now))
}

/// Chooses whose pages to open.
async fn choose(
    views: &Views,
    heavy: fixtures::market::People,
    size: Size,
    events: u64,
    now: i64,
) -> anyhow::Result<People> {
    let fixtures::market::People { owner, renter, marketplace } = heavy;
    let ended = views.contracts(ContractScope::Owner(owner), None, Page::oldest(1)).await?;
    let ended = ended.into_iter().next().context("the owner has no rentals")?;
    let running = views
        .contracts(ContractScope::Renter(renter), Some(ContractStatus::Running), Page::newest(1))
        .await?;
    let running = running.into_iter().next().context("none of the renter's rentals runs")?.contract;
    let (device, contract, order) = (ended.device, ended.contract, ended.started_by);
    Ok(People { size, events, now, owner, renter, marketplace, device, contract, order, running })
}

/// Names the devices and those who stand out.
async fn name(data: &DataDir, views: &Views, people: &People) -> anyhow::Result<()> {
    let private = Private::open(&data.private()).await?;
    for (account, name) in
        [(people.owner, "Olivia Owner"), (people.renter, "Rene Renter"), (people.marketplace, "OpenBazaar")]
    {
        let shop = (account == people.marketplace).then(|| "openbazaar".parse()).transpose()?;
        let person = Person {
            name: name.into(),
            email: Some(format!("{}@example.org", name.to_lowercase().replace(' ', "."))),
            refund_address: None,
            payout_address: None,
            marketplace: shop,
        };
        private.add_person(account, &person, people.now()).await?;
    }
    private.close().await;
    // One transaction, not one for each of a hundred thousand.
    let mut db = SqliteConnection::connect(&format!("sqlite://{}", data.private().display())).await?;
    let mut all = db.begin().await?;
    let (mut page, mut n) = (Page::oldest(500), 0);
    loop {
        let devices = views.devices(page).await?;
        let Some(last) = devices.last() else { break };
        page.after = Some(last.position);
        for device in devices {
            n += 1;
            let sql = "insert into device_names (device, name) values (?, ?)";
            let id = device.device.0.as_bytes().to_vec();
            sqlx::query(sql).bind(id).bind(format!("shelf {} board {n}", n / 40)).execute(&mut *all).await?;
        }
    }
    all.commit().await?;
    Ok(())
}

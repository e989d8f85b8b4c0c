//! What the pages of a large marketplace cost.
//!
//! `cargo bench -p berth-api --bench pages`; the first time it writes a marketplace of 100,000 devices and 1,000,000
//! contracts under `target/`, which takes more than half an hour and some 15 GB; later it opens that one. `BERTH_BENCH_CONTRACTS`
//! asks for another number of contracts.
//!
//! - **pages**: every page as the server makes it, from request to answer, without the network; medians of 21, and how heavy
//!   it is. At most 20 ms and 100 KB are wanted.
//! - **views**: every question that a page asks of the read models, first pages of fifty rows; medians of 21.

mod made;
mod marketplace;
mod questions;
mod report;

use std::path::PathBuf;

use anyhow::Context as _;
use api::{
    app::{App, DataDir},
    clock::Clock,
    config::Config,
};
use marketplace::{People, Size, big_marketplace};

const DEVICES: usize = 100_000;
const CONTRACTS: u64 = 1_000_000;

fn main() -> anyhow::Result<()> {
    // On a runtime of one thread appends wait for each other and are committed together.
    let writing = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let contracts = std::env::var("BERTH_BENCH_CONTRACTS").ok().map(|text| text.parse()).transpose()?;
    let contracts = contracts.unwrap_or(CONTRACTS);
    let size = Size { devices: DEVICES.min(usize::try_from(contracts)?), contracts };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("marketplace-{contracts}"));
    let people = writing.block_on(big_marketplace(&folder, size, |line| eprintln!("{line}")))?;
    drop(writing);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(&DataDir::existing(&folder)?, &people))
}

async fn measure(data: &DataDir, people: &People) -> anyhow::Result<()> {
    let clock = Clock::manual(people.now());
    let app = App::open(data, Config::default(), clock, |step| eprintln!("{step:?}")).await?;
    let size = |path: PathBuf| path.metadata().map_or(0, |file| file.len()) >> 20;
    println!(
        "{} devices at a time, {} contracts, {} events; log {} MiB, views {} MiB",
        people.size.devices,
        people.size.contracts,
        people.events,
        size(data.log()),
        size(data.views())
    );
    made::pages(&app, people).await?;
    let usd = "USD".parse().context("an asset")?;
    questions::market(&app.views, usd).await;
    questions::owner(&app.views, people).await;
    questions::renter(&app.views, people).await;
    questions::operator(&app.views).await;
    Ok(())
}

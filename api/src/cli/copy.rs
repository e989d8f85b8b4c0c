//! `berth copy`: a whole event log from one place to another, and its people with it.

mod people;

use std::path::Path;

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use projections::log::copy;

use self::people::Move;
use super::Common;
use crate::{
    app::DataDir,
    config::{Config, Secret},
    stores::Stores,
};

/// Appends on their way at once to a log that keeps their order.
const TOGETHER: usize = 256;

/// Copies a whole event log to another place: same positions, ids and bytes.
///
/// A place is a data folder, postgres://… or esdb://…; KurrentDB needs the database that mirrors it beside. A copy that was
/// cut off goes on where it stopped. At the end both are read and compared, event by event.
///
/// With --people a whole marketplace moves: the private store and the key halves go the same way, each wholly or not at all.
/// Then copy the folder keys/ to each node, and destroy the old place.
#[derive(Debug, Args)]
pub struct Copy {
    /// The log to copy: a data folder, postgres://… or esdb://…
    #[arg(long, value_name = "PLACE")]
    from: String,
    /// Where to: a data folder, postgres://… or esdb://…; empty, or with the beginning of the same log
    #[arg(long, value_name = "PLACE")]
    to: String,
    /// The database that mirrors the KurrentDB of --from [default: that of --database]
    #[arg(long, value_name = "ADDRESS")]
    from_database: Option<String>,
    /// The database that mirrors the KurrentDB of --to [default: that of --database]
    #[arg(long, value_name = "ADDRESS")]
    to_database: Option<String>,
    /// Also the private store and the key halves; the server must be stopped
    #[arg(long)]
    people: bool,
    /// Leave the key halves where they are: devices resume the running leases without them
    #[arg(long, requires = "people")]
    without_halves: bool,
}

impl Copy {
    /// Copies, compares, and says how much.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let Self { from, to, from_database, to_database, people, without_halves } = self;
        ensure!(from != to, "--from and --to are the same place");
        let beside = |named: Option<String>| named.or_else(|| common.database.clone());
        let source = place(&from, beside(from_database)).context("--from")?;
        let target = place(&to, beside(to_database)).context("--to")?;
        let people = match people {
            true => Some(Move::begin(&source, &target, !without_halves)?),
            false => None,
        };
        let together = if source_order(&to) { TOGETHER } else { 1 };
        let log = source.source_log().await.context("--from")?;
        // Nobody else writes to a folder meanwhile; of a database the copy itself finds out.
        let _alone = match target.are_shared() || people.is_some() {
            true => None,
            false => Some(DataDir::open(target.data.path())?.lock().context("--to")?),
        };
        let copied = target.open_log().await.context("--to")?;
        let started = std::time::Instant::now();
        let end = copy::copy(&log, &*copied, together, bar("copying")?).await?;
        copy::compare(&log, &copied, end, bar("comparing")?).await?;
        drop(copied);
        let moved = match &people {
            Some(people) => Some(people.run(bar("people")?).await?),
            None => None,
        };
        let seconds = started.elapsed().as_secs_f64();
        if common.json {
            let mut told = people::told(moved.as_ref());
            for (name, value) in [("events", end.into()), ("same", true.into()), ("seconds", seconds.into())]
            {
                told.insert(name.to_owned(), value);
            }
            println!("{}", serde_json::Value::Object(told));
            return Ok(());
        }
        println!(
            "{end} events are the same in {} and {} ({seconds:.1} s)",
            source.shown_log(),
            target.shown_log()
        );
        let more = log.head().await?.map_or(0, |head| head + 1) - end;
        if more > 0 {
            println!("{more} more were appended to the source meanwhile; run the same command again");
        }
        match (&people, &moved) {
            (Some(people), Some(moved)) => people.tell(moved),
            _ => println!(
                "This is the log alone, for audits and exports: a marketplace goes on with its people and keys, which \
                 --people copies"
            ),
        }
        Ok(())
    }
}

/// KurrentDB keeps no order between appends that are on their way together.
fn source_order(to: &str) -> bool {
    !to.starts_with("esdb")
}

/// The stores of a place.
fn place(named: &str, database: Option<String>) -> anyhow::Result<Stores> {
    let mut config = Config::default();
    let folder = match named.split_once("://").map(|(scheme, _)| scheme) {
        None => Path::new(named),
        Some("postgres" | "postgresql") => {
            config.database = Secret(named.to_owned());
            Path::new(".")
        }
        Some(_) => {
            config.log = Secret(named.to_owned());
            config.database = Secret(database.unwrap_or_default());
            Path::new(".")
        }
    };
    Stores::new(&DataDir::at(folder), &config)
}

/// A progress bar on standard error; silent where that is no terminal.
fn bar(doing: &'static str) -> anyhow::Result<impl Fn(u64, u64) + Send> {
    let bar = ProgressBar::no_length();
    bar.set_style(ProgressStyle::with_template(
        "{msg:9} [{wide_bar}] {human_pos}/{human_len} {per_sec} {eta}",
    )?);
    bar.set_message(doing);
    Ok(move |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        if done == total {
            bar.finish_and_clear();
        }
    })
}

//! `berth demo`: a real server, real agents in processes of their own, and a stand-in for an OpenBazaar node, on which
//! renters buy.
//!
//! With `--once` it tells one whole story on a manual clock and exits; else a marketplace lives, with terms of a minute,
//! until it is stopped.

mod agents;
mod audit;
mod bazaar;
mod books;
mod client;
mod life;
mod living;
mod market;
mod once;
mod showcase;
mod visit;
mod workload;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use agent::{config::WorkloadConfig, workload::Workload};
use clap::Args;

use crate::{app::DataDir, cli::Common, config::Config, stores::Stores};

/// Shows a marketplace.
#[derive(Debug, Args)]
pub struct Demo {
    /// Tell one whole story on a manual clock, print its table and exit
    #[arg(long)]
    once: bool,
    /// Where the API listens; the next free port when not given
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
}

impl Demo {
    /// Runs the demo. Without `--data` everything lies in a temporary folder that is removed at the end.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let scratch = Scratch::new()?;
        let root = common.data.clone().unwrap_or_else(|| scratch.0.clone());
        let data = DataDir::open(&root)?;
        let given = common.load(&[])?.config;
        // Of the configuration a demo takes where its data are kept.
        let config = Config { database: given.database, log: given.log, ..Config::default() };
        Stores::new(&data, &config)?.must_be_empty().await?;
        let _lock = data.lock()?;
        match self.once {
            true => once::tell(&data, config, &self.listen).await,
            false => living::run(&data, config, &self.listen).await,
        }
    }
}

/// An agent whose devices offer something to their renters, unless `agent.json` says what.
pub fn agent_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    agent::main_with_workload(args, &|config| -> Box<dyn Workload> {
        match &config.workload {
            WorkloadConfig::None => Box::new(workload::Desk::default()),
            configured => configured.workload(),
        }
    })
}

/// A temporary folder, removed when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let name = format!("berth-demo-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("berth demo: {} could not be removed: {e}", self.0.display());
        }
    }
}

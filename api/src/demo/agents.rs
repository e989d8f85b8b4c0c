//! Devices of the demo: each a folder with `agent.json` and an agent in a process of its own.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use serde_json::json;
use tokio::process::{Child, Command};

/// This very program, also when its file was replaced by a newer build.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// A device's folder and its agent.
pub struct Machine {
    folder: PathBuf,
    agent: Option<Child>,
}

impl Machine {
    /// A machine with its configuration, switched off.
    pub fn new(folder: &Path, server: &str, key: &str, server_key: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let config = json!({ "server": server, "key": key, "server_key": server_key });
        std::fs::write(folder.join("agent.json"), serde_json::to_vec_pretty(&config)?)?;
        Ok(Self { folder: folder.to_owned(), agent: None })
    }

    /// Switches it on.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join("agent.log"))?;
        let agent = Command::new(THIS_PROGRAM)
            .arg("agent")
            .args(["run", "--log-format", "json", "--config"])
            .arg(self.folder.join("agent.json"))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        self.agent = Some(agent.context("the agent does not start")?);
        Ok(())
    }

    /// Pulls the plug: the agent is killed without a chance to clean up.
    pub async fn cut_power(&mut self) -> anyhow::Result<()> {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().await?;
        }
        Ok(())
    }

    /// How often the agent has begun to run a lease.
    pub fn times_running(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default();
        log.lines().filter(|line| line.contains("\"message\":\"running\"")).count()
    }

    /// The renter's folder on the device.
    pub fn data(&self) -> PathBuf {
        self.folder.join("agent-data/volume/data")
    }
}

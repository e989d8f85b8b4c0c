//! The operator's program that writes DNS records.

use std::{path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, bail};
use tokio::process::Command;

/// How long it may take; some wait until every name server has the record.
const CALL: Duration = Duration::from_secs(300);
/// What is shown of its last words.
const WORDS_MAX: usize = 300;

/// The program.
#[derive(Debug)]
pub(super) struct Hook(PathBuf);

impl Hook {
    pub(super) fn new(program: PathBuf) -> Self {
        Self(program)
    }

    /// Calls it: `present` or `cleanup`, the record's name and its value.
    pub(super) async fn call(&self, what: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let Self(program) = self;
        let mut command = Command::new(program);
        command.args([what, name, value]).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let shown = program.display();
        let output = tokio::time::timeout(CALL, command.output()).await;
        let output = output
            .with_context(|| format!("{shown} {what} took longer than {} s", CALL.as_secs()))?
            .with_context(|| format!("{shown} cannot be run"))?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let last: String =
                words.trim().lines().next_back().unwrap_or("").chars().take(WORDS_MAX).collect();
            bail!("{shown} {what} {name} failed ({}): {last}", output.status);
        }
        Ok(())
    }
}

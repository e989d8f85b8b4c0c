//! `berth keys`: what the server signs with, and how it is believed again after a restore or a theft.

use std::path::PathBuf;

use clap::Subcommand;

use super::{Common, show::table};
use crate::{app::DataDir, clock::Clock, keys::Keys};

/// Shows and renews the server's keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Print the root key, the online key and its era, and whether the root's secret is in the data folder
    Show,
    /// Make a new online key of a later era, certified by the root key
    ///
    /// Do this before a server that was restored from a backup is started: devices have heard later answers and refuse
    /// older ones of the same era. Do it too when the online key may have been stolen. The server must not run meanwhile.
    Renew {
        /// The file that holds the root's secret, when it is kept elsewhere than in keys/root.key
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
        /// The new era [default: the one after this server's]; give a later one when the backup is older than a renewal
        #[arg(long)]
        era: Option<u32>,
    },
}

impl KeysCommand {
    /// Carries it out on the data folder.
    pub fn run(self, common: &Common) -> anyhow::Result<()> {
        let data = DataDir::at(&common.data());
        let (dir, now) = (data.keys(), Clock::System.time());
        anyhow::ensure!(dir.exists(), "{} is not there; restore it from a backup", dir.display());
        let keys = match self {
            Self::Show => Keys::open(&dir, now)?,
            Self::Renew { root, era } => {
                // A running server would go on signing with the old key.
                let _alone = data.lock()?;
                Keys::renew(&dir, root.as_deref(), era, now)?
            }
        };
        let (root, online) = (keys.root().to_string(), keys.online());
        let has_root = dir.join("root.key").exists();
        if common.json {
            let shown = serde_json::json!({
                "root": root, "online": online.key, "era": online.era, "certified_at": online.certified_at,
                "root_secret": has_root,
            });
            println!("{shown}");
            return Ok(());
        }
        let secret = if has_root { "in keys/root.key" } else { "kept elsewhere" };
        let rows = [
            ("root key, which devices pin", root),
            ("root's secret", secret.into()),
            ("online key, which signs answers", online.key.to_string()),
            ("era", online.era.to_string()),
            ("certified at", online.certified_at.to_string()),
        ];
        table(false, &["what", "value"], &rows.map(|(what, value)| vec![what.into(), value]));
        Ok(())
    }
}

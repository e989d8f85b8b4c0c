//! `berth export`: the ledger and its journal in forms that other programs read.

mod beancount;
mod events;
mod form;
mod hledger;
mod journal;
mod rows;

use std::io::{BufWriter, ErrorKind, Write};

use clap::Subcommand;

pub use events::line;

use super::Common;

/// Writes the ledger out.
#[derive(Debug, Subcommand)]
pub enum Export {
    Events(events::Events),
    Journal(journal::Journal),
}

impl Export {
    /// Streams it; memory does not grow with the ledger. A reader that has enough is no error.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout());
        let written = match self {
            Self::Events(events) => events.write(common, &mut out).await,
            Self::Journal(journal) => journal.write(common, &mut out).await,
        };
        match written.and_then(|()| Ok(out.flush()?)) {
            Err(e)
                if e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

//! The journal as rows: comma-separated values, or one JSON object a line.

use std::io;

use domain::{journal::Account, money::Signed};
use serde_json::json;

use super::form::{About, Day, Entry, Form};

/// Comma-separated values: a row for each posting.
#[derive(Debug, Default)]
pub struct Csv;

impl Form for Csv {
    fn begin(&mut self, _about: &About, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "position,day,recorded_at,effective_at,type,stream,account,amount,asset")
    }

    fn account(&mut self, _account: &Account, _out: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn io::Write) -> io::Result<()> {
        // No field ever holds a comma, a quote or a line's end.
        let Entry { day, kind, stream, recorded_at, effective_at, .. } = entry;
        let position = entry.position.map(|position| position.to_string()).unwrap_or_default();
        for posting in &entry.postings {
            let amount = Signed { minor: posting.minor, asset: posting.asset };
            let (account, asset) = (&posting.account, posting.asset);
            writeln!(
                out,
                "{position},{day},{recorded_at},{effective_at},{kind},{stream},{account},{amount},{asset}"
            )?;
        }
        Ok(())
    }

    fn balance(&mut self, _: Day, _: &Account, _: Signed, _: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }
}

/// One JSON object a line: a line for each entry.
#[derive(Debug, Default)]
pub struct Jsonl;

impl Form for Jsonl {
    fn begin(&mut self, _about: &About, _out: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }

    fn account(&mut self, _account: &Account, _out: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn io::Write) -> io::Result<()> {
        let posting = |p: &domain::journal::Posting| {
            let amount = Signed { minor: p.minor, asset: p.asset }.to_string();
            json!({ "account": p.account.to_string(), "amount": amount, "asset": p.asset })
        };
        let line = json!({
            "position": entry.position,
            "day": entry.day.to_string(),
            "type": entry.kind,
            "stream": entry.stream,
            "recorded_at": entry.recorded_at,
            "effective_at": entry.effective_at,
            "postings": entry.postings.iter().map(posting).collect::<Vec<_>>(),
        });
        writeln!(out, "{line}")
    }

    fn balance(&mut self, _: Day, _: &Account, _: Signed, _: &mut dyn io::Write) -> io::Result<()> {
        Ok(())
    }
}

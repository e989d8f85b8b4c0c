//! The journal for hledger, which ledger reads as well.
//!
//! # Correctness
//! Every commodity is declared at full scale, because both programs check balances at the declared scale; every account
//! and tag is declared, so strict checks pass; two spaces part account and amount, because one makes the amount a part of
//! the name; the balances at the end are assertions, so an entry that was left out is found although all others balance.

use std::io;

use domain::{journal::Account, money::Signed};

use super::form::{About, Day, Entry, Form, nothing, postings, title};

/// The form.
#[derive(Debug, Default)]
pub struct Hledger {
    title: String,
    closing: bool,
}

impl Form for Hledger {
    fn begin(&mut self, about: &About, out: &mut dyn io::Write) -> io::Result<()> {
        self.title = title(about);
        writeln!(out, "; Berth journal: {}", self.title)?;
        for asset in &about.assets {
            writeln!(out, "commodity {asset}")?;
            // Neither program needs a form for whole numbers, and they want it written differently.
            if asset.scale() > 0 {
                writeln!(out, "    format 1000.{:0width$} {asset}", 0, width = asset.scale() as usize)?;
            }
        }
        for tag in ["stream", "recorded", "effective"] {
            writeln!(out, "tag {tag}")?;
        }
        Ok(())
    }

    fn account(&mut self, account: &Account, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "account {account}")
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn io::Write) -> io::Result<()> {
        let Entry { day, kind, stream, recorded_at, effective_at, .. } = entry;
        match entry.position {
            Some(position) => writeln!(out, "\n{day} ({position}) {kind}")?,
            None => writeln!(out, "\n{day} {kind}")?,
        }
        writeln!(
            out,
            "    ; stream: {stream}\n    ; recorded: {recorded_at}\n    ; effective: {effective_at}"
        )?;
        postings(entry, "    ", out)
    }

    fn balance(
        &mut self,
        day: Day,
        account: &Account,
        holds: Signed,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        if !std::mem::replace(&mut self.closing, true) {
            writeln!(out, "\n{day} Balances at {}", self.title)?;
        }
        let asset = holds.asset;
        writeln!(out, "    {account}  {} {asset} = {holds} {asset}", nothing(asset))
    }
}

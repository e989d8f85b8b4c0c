//! The journal for beancount.
//!
//! # Correctness
//! Tolerances are switched off, because beancount infers them from the digits it sees and would let a minor unit pass;
//! amounts stand at full scale; balances are asserted with the tolerance 0 on the day after the last entry, because an
//! assertion holds at the beginning of its day. Beancount computes with 28 digits.

use std::io;

use domain::{journal::Account, money::Signed};

use super::form::{About, Day, Entry, Form, postings, title};

/// Accounts are open from here on.
const OPEN: &str = "1970-01-01";

/// The form.
#[derive(Debug, Default)]
pub struct Beancount {
    closing: bool,
}

impl Form for Beancount {
    fn begin(&mut self, about: &About, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, ";; Berth journal: {}", title(about))?;
        writeln!(out, "option \"title\" \"Berth journal: {}\"", title(about))?;
        writeln!(out, "option \"inferred_tolerance_multiplier\" \"0.0\"")?;
        about.assets.iter().try_for_each(|asset| writeln!(out, "{OPEN} commodity {asset}"))
    }

    fn account(&mut self, account: &Account, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out, "{OPEN} open {account}")
    }

    fn entry(&mut self, entry: &Entry, out: &mut dyn io::Write) -> io::Result<()> {
        let Entry { day, kind, stream, recorded_at, effective_at, .. } = entry;
        writeln!(out, "\n{day} * \"{kind}\"")?;
        if let Some(position) = entry.position {
            writeln!(out, "  position: {position}")?;
        }
        writeln!(
            out,
            "  stream: \"{stream}\"\n  recorded: \"{recorded_at}\"\n  effective: \"{effective_at}\""
        )?;
        postings(entry, "  ", out)
    }

    fn balance(
        &mut self,
        day: Day,
        account: &Account,
        holds: Signed,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        if !std::mem::replace(&mut self.closing, true) {
            writeln!(out)?;
        }
        writeln!(out, "{} balance {account}  {holds} ~ 0 {}", day.next(), holds.asset)
    }
}

//! What mails say: one file for each letter, from what is known to words.
//!
//! # Correctness
//! Titles, names, references and receipts come from others. Each stays on its line, so none can pass for what Berth says.

mod account;
mod credentials;
mod ended;
mod erased;
mod extended;
mod reminder;
mod settled;

pub(super) use account::{ConfirmAddress, ResetPassword};
pub(super) use credentials::{Credentials, Login};
pub(super) use ended::{Ended, Part};
pub(super) use erased::Erased;
pub(super) use extended::Extended;
pub(super) use reminder::Reminder;
pub(super) use settled::Settled;

use domain::time::Time;

/// The longest text of others in a letter, in characters.
const MAX_LINE: usize = 300;

/// A letter in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    /// What it is about, on one line.
    pub subject: String,
    /// What it says.
    pub body: String,
}

/// A text of others: on one line, not too long.
pub(super) fn one_line(text: &str) -> String {
    let breaks = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
    let spaced: String = text.chars().map(|c| if breaks(c) { ' ' } else { c }).collect();
    spaced.trim().chars().take(MAX_LINE).collect()
}

/// A time as people read it.
fn when(time: Time) -> String {
    time.to_string().replacen('T', " ", 1).replacen('Z', " UTC", 1)
}

/// A whole letter to somebody.
fn letter(name: Option<&str>, subject: String, text: &str) -> Text {
    let hello = match name.map(one_line).filter(|name| !name.is_empty()) {
        Some(name) => format!("Hello {name},"),
        None => "Hello,".into(),
    };
    Text { subject: one_line(&subject), body: format!("{hello}\n\n{}\n", text.trim_end()) }
}

/// Names and values below each other.
fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("  {name:width$}  {}\n", one_line(value));
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod samples {
    use domain::{money::Money, time::Time};

    /// Hours after the first of December 2026.
    pub fn at(hours: i64) -> Time {
        Time::from_unix(1_796_083_200 + hours * 3_600)
    }

    pub fn usd(amount: &str) -> Money {
        Money::parse(amount, "USD".parse().unwrap()).unwrap()
    }

    pub fn shown(text: &super::Text) -> String {
        format!("Subject: {}\n\n{}", text.subject, text.body)
    }

    #[test]
    fn what_others_say_stays_on_its_line() {
        let evil = "Pi\r\nhost  evil.example\u{2028}\u{85}";
        assert_eq!(super::one_line(evil), "Pi  host  evil.example");
        assert!(!super::table(&[("a", evil.into())]).trim_end().contains('\n'));
        let text = super::letter(Some(evil), format!("About {evil}"), "Text\n\n");
        assert_eq!(text.body.lines().count(), 3);
        assert!(!text.subject.contains(['\r', '\n']));
    }
}

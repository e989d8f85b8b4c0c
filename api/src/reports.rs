//! What devices report to a human: one item on the operators' list for each, while it lasts.
//!
//! # Correctness
//! Only what the key that holds the lease has signed gets here. The list is written when a report changes and not at
//! every poll. A server that has the store for itself remembers what it listed, and reads at its start what stands there
//! from before. Where others list reports too, or take them off, the list itself is asked at every poll.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use domain::{
    id::DeviceId,
    wire::{Reported, ReportedState},
};
use projections::private::{Attention, Private, PrivateError};

use crate::{app::App, clones::device_of};

/// How an item begins.
const PREFIX: &str = "the device reports: ";
/// The longest report that is shown, in characters.
const MAX_REPORT: usize = 200;
/// What a human can do about any of them.
const ADVICE: &str = "the device keeps what it has and waits; look at the device and its rental, end the rental if the data \
                      cannot come back, and the renter is refunded";

/// What devices report, as it stands on the operators' list.
#[derive(Debug, Default)]
pub struct Reports(Mutex<HashMap<DeviceId, String>>);

impl Reports {
    /// What stands on the list.
    ///
    /// # Errors
    /// When the private store fails.
    pub async fn load(private: &Private) -> Result<Self, PrivateError> {
        let listed = private.attention_to(PREFIX).await?;
        let listed = listed.into_iter().filter_map(|item| Some((device_of(&item.subject)?, item.what)));
        Ok(Self(Mutex::new(listed.collect())))
    }

    /// Puts `what` in place of what stands there, and answers with that if it is another.
    fn replace(&self, device: DeviceId, what: Option<&String>) -> Option<Option<String>> {
        let mut listed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.get(&device) == what {
            return None;
        }
        Some(match what {
            Some(what) => listed.insert(device, what.clone()),
            None => listed.remove(&device),
        })
    }
}

/// What a human should know of a report, in one line.
fn trouble(reported: &Reported, is_let: bool) -> Option<String> {
    let lost = (is_let && reported.state == ReportedState::Blank)
        .then(|| "it holds nothing of the lease that is let".to_owned());
    let text = reported.conflict.clone().or(lost)?;
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_REPORT);
    Some(format!("{PREFIX}{}", text.collect::<String>()))
}

/// Takes a device's report: what is new is listed, what is over is taken off.
///
/// # Errors
/// When the private store fails.
pub async fn take(
    app: &App,
    device: DeviceId,
    reported: &Reported,
    is_let: bool,
) -> Result<(), PrivateError> {
    let what = trouble(reported, is_let);
    let subject = format!("device-{device}");
    let over = if app.private.is_shared() {
        let mut listed = app.private.attention_of(&subject, PREFIX).await?;
        let stands = listed.len();
        listed.retain(|listed| Some(listed) != what.as_ref());
        if stands == usize::from(what.is_some()) && listed.is_empty() {
            return Ok(());
        }
        listed
    } else {
        let Some(before) = app.reports.replace(device, what.as_ref()) else { return Ok(()) };
        before.into_iter().collect()
    };
    for over in over {
        app.private.end_attention(&subject, &over).await?;
    }
    let Some(what) = what else { return Ok(()) };
    tracing::warn!(%device, report = %what, "a device calls for a human");
    let (detail, since) = (ADVICE.to_owned(), app.clock.time());
    let item = Attention { subject, what, detail, since };
    let written = app.private.call_attention(&item).await;
    if written.is_err() {
        app.reports.forget(device, &item.what);
    }
    written
}

impl Reports {
    /// An item was taken off the list by hand: it is listed again if it is reported again.
    pub fn forget(&self, device: DeviceId, what: &str) {
        let mut listed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if listed.get(&device).is_some_and(|listed| listed == what) {
            listed.remove(&device);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(state: ReportedState, conflict: Option<&str>) -> Reported {
        Reported {
            state,
            epoch: 1,
            running: false,
            conflict: conflict.map(Into::into),
            host_keys: Vec::new(),
        }
    }

    #[test]
    fn a_report_is_one_short_line() {
        let long = format!("a\nb{}", "x".repeat(1_000));
        let shown = trouble(&says(ReportedState::Leased, Some(&long)), true).unwrap();
        assert!(shown.starts_with("the device reports: a bx") && shown.len() == PREFIX.len() + MAX_REPORT);
        assert_eq!(trouble(&says(ReportedState::Leased, None), true), None);
    }

    #[test]
    fn a_device_that_holds_nothing_of_a_lease_that_is_let_has_lost_it() {
        assert!(trouble(&says(ReportedState::Blank, None), true).is_some());
        assert_eq!(trouble(&says(ReportedState::Blank, None), false), None);
    }
}

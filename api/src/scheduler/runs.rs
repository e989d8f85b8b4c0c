//! How the jobs' last runs went, as this process knows it: news, not truth.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use domain::time::Time;

/// A job's last run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    /// When it began.
    pub at: Time,
    /// How long it took.
    pub took: Duration,
    /// How much was due and done, or why it failed.
    pub outcome: Result<u64, String>,
    /// When something was due last, and how much.
    pub last_done: Option<(Time, u64)>,
    /// Runs since this server was started.
    pub runs: u64,
}

/// The last run of every job; as many as there are jobs.
#[derive(Debug, Default)]
pub struct JobRuns(Mutex<BTreeMap<&'static str, JobRun>>);

impl JobRuns {
    /// Notes a run.
    pub fn note(&self, job: &'static str, at: Time, took: Duration, outcome: Result<u64, String>) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = runs.get(job).map_or((None, 0), |run| (run.last_done, run.runs));
        let done = outcome.as_ref().ok().filter(|done| **done > 0);
        let last_done = done.map(|done| (at, *done)).or(before.0);
        runs.insert(job, JobRun { at, took, outcome, last_done, runs: before.1 + 1 });
    }

    /// The last run of a job, if it ran.
    #[must_use]
    pub fn of(&self, job: &str) -> Option<JobRun> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(job).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_found_nothing_does_not_hide_when_something_was_done() {
        let (runs, took) = (JobRuns::default(), Duration::from_millis(3));
        assert_eq!(runs.of("expiry"), None);
        let times = [1, 2, 3].map(Time::from_unix);
        for (at, outcome) in times.into_iter().zip([Ok(4), Ok(0), Err("the disk is full".to_owned())]) {
            runs.note("expiry", at, took, outcome);
        }
        let last = runs.of("expiry").unwrap();
        assert_eq!((last.at, last.last_done, last.runs), (times[2], Some((times[0], 4)), 3));
        assert!(last.outcome.is_err());
    }
}

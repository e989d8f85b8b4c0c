//! How the jobs' last runs went, as this process knows it or another told: news, not truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use domain::time::Time;
use serde::{Deserialize, Serialize};

/// A job's last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRun {
    /// When it began.
    pub at: Time,
    /// How long it took.
    pub took: Duration,
    /// How much was due and done, or why it failed.
    pub outcome: Result<u64, String>,
    /// When something was due last, and how much.
    pub last_done: Option<(Time, u64)>,
    /// Runs since the server that ran it was started.
    pub runs: u64,
}

/// The last run of every job; as many as there are jobs.
#[derive(Debug, Default)]
pub struct JobRuns(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    own: BTreeMap<String, JobRun>,
    others: BTreeMap<String, JobRun>,
}

impl JobRuns {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a run.
    pub fn note(&self, job: &'static str, at: Time, took: Duration, outcome: Result<u64, String>) {
        let mut state = self.state();
        let done = outcome.as_ref().ok().filter(|done| **done > 0);
        let last_done = done.map(|done| (at, *done)).or(state.of(job).and_then(|run| run.last_done));
        let runs = state.own.get(job).map_or(0, |run| run.runs) + 1;
        state.own.insert(job.to_owned(), JobRun { at, took, outcome, last_done, runs });
    }

    /// The last run of a job, if it ran.
    #[must_use]
    pub fn of(&self, job: &str) -> Option<JobRun> {
        self.state().of(job).cloned()
    }

    /// The last run of every job.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, JobRun> {
        let state = self.state();
        let jobs: BTreeSet<_> = state.own.keys().chain(state.others.keys()).collect();
        jobs.into_iter().filter_map(|job| Some((job.clone(), state.of(job)?.clone()))).collect()
    }

    /// Takes what is known of other servers' runs.
    pub fn take(&self, others: BTreeMap<String, JobRun>) {
        self.state().others = others;
    }
}

impl State {
    fn of(&self, job: &str) -> Option<&JobRun> {
        [self.own.get(job), self.others.get(job)].into_iter().flatten().max_by_key(|run| run.at)
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

    #[test]
    fn whoever_ran_a_job_last_tells_of_it() {
        let (a, b) = (JobRuns::default(), JobRuns::default());
        let (at, took) = ([1, 2, 3].map(Time::from_unix), Duration::from_millis(3));
        a.note("expiry", at[0], took, Ok(4));
        b.take(a.all());
        assert_eq!(b.of("expiry"), a.of("expiry"));
        b.note("expiry", at[1], took, Ok(0));
        let last = b.of("expiry").unwrap();
        assert_eq!((last.at, last.last_done, last.runs), (at[1], Some((at[0], 4)), 1));
        b.note("payout", at[2], took, Ok(1));
        a.take(b.all());
        assert_eq!(a.all(), b.all());
    }
}

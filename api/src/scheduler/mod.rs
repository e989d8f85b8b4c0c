//! The scheduler: what is done because time has passed.
//!
//! # Shape
//! Every job has a cron expression and reads *due* rows from the views (or silent devices from the private store, or key
//! halves from theirs), so a run costs what is due and not what exists. For each it issues an ordinary command. How
//! every job's last run went is noted for the operator ([`JobRuns`]).
//!
//! # Correctness
//! A late run is right, because the commands decide by the contract's own times and record them as `effective_at`. A
//! repeated or concurrent run is right, because the commands are idempotent. A row whose command is refused stays due
//! and is put on the operator's list; it does not stop the rows after it.

mod jobs;
mod keys;
mod money;
mod runs;

use std::str::FromStr;

use chrono::{DateTime, Utc};
use cron::Schedule;
use tokio_util::sync::CancellationToken;

pub use jobs::Job;
pub use runs::{JobRun, JobRuns};

use crate::app::App;

/// A job and when it runs next.
struct Timed {
    job: Job,
    schedule: Schedule,
    next: Option<DateTime<Utc>>,
}

/// Runs jobs on time until stopped.
pub async fn run(app: App, stop: CancellationToken) {
    let expressions = app.config.jobs.all();
    let mut timed: Vec<_> = Job::ALL
        .into_iter()
        .filter_map(|job| {
            let (_, expression) = expressions.iter().find(|(name, _)| *name == job.name())?;
            let schedule = Schedule::from_str(expression).ok()?;
            let next = schedule.after(&app.clock.now()).next();
            Some(Timed { job, schedule, next })
        })
        .collect();
    loop {
        let Some(next) = timed.iter().filter_map(|t| t.next).min() else { return };
        let wait = (next - app.clock.now()).to_std().unwrap_or_default();
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        for t in &mut timed {
            let now = app.clock.now();
            if t.next.is_some_and(|next| next <= now) {
                run_job(&app, t.job).await;
                t.next = t.schedule.after(&app.clock.now()).next();
            }
        }
    }
}

/// Runs every job once, now.
pub async fn run_all(app: &App) {
    for job in Job::ALL {
        run_job(app, job).await;
    }
}

async fn run_job(app: &App, job: Job) {
    let (at, started) = (app.clock.time(), std::time::Instant::now());
    let outcome = job.run(app).await;
    let told = outcome.as_ref().map_err(|e| e.to_string()).copied();
    app.jobs.note(job.name(), at, started.elapsed(), told);
    match outcome {
        Ok(0) => tracing::debug!(job = job.name(), "nothing was due"),
        Ok(done) => {
            tracing::info!(job = job.name(), done, elapsed_ms = started.elapsed().as_millis(), "job ran")
        }
        Err(e) => tracing::error!(job = job.name(), error = %e, "a job failed; it runs again on time"),
    }
}

//! Jobs about money that waits.

use domain::{
    contract::{Contract, ContractCommand, ContractRefusal},
    device::Device,
    event::SystemPart,
    settlement::{Settlement, SettlementCommand, SettlementRefusal},
    time::Time,
};
use projections::views::{
    MAX_LIMIT, Page,
    contracts::ContractRow,
    settlements::{SettlementFilter, SettlementRow, SettlementStatus},
};

use super::jobs::PAGE;
use crate::{app::App, error::Problem, execute::ExecuteError};

/// Decides the money of served segments of long rentals; answers how many.
///
/// A segment is closed only after a sign of life from beyond its end: by then every outage in it is recorded.
pub(super) async fn close_segments(app: &App) -> anyhow::Result<u64> {
    app.flush_presence().await?;
    let (now, mut after, mut done) = (app.clock.time(), (Time::MIN, 0), 0);
    loop {
        let rows = app.views.contracts_to_close(now, after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(done) };
        after = (last.segment_due_at.unwrap_or(now), last.position);
        for row in rows {
            if app.stop.is_cancelled() {
                return Ok(done);
            }
            done += close_segments_of(app, &row).await?;
        }
    }
}

async fn close_segments_of(app: &App, row: &ContractRow) -> anyhow::Result<u64> {
    let Some((segment, end)) = row.waiting_segment() else { return Ok(0) };
    let device = app.executor.load::<Device>(&row.device).await?.state;
    let seen = app.private.last_seen(row.device).await?;
    if device.lost().is_some() || seen.is_none_or(|seen| seen < end) {
        return Ok(0);
    }
    let offline = device.outages(row.epoch, app.clock.time());
    let command = ContractCommand::CloseSegment { segment, offline };
    let by = app.by_system(SystemPart::Scheduler, None);
    match app.executor.execute::<Contract>(&row.contract, command, &by).await {
        Ok(done) => {
            app.catch_up(done.position).await;
            Ok(1)
        }
        // It was faster: ended, disputed or closed meanwhile.
        Err(ExecuteError::Refused(
            ContractRefusal::Over | ContractRefusal::Disputed(_) | ContractRefusal::SegmentDecided(_),
        )) => Ok(0),
        Err(other) => Err(Problem::from(other).into()),
    }
}

/// Quarantines settlements that were started long ago and never reported on: nobody knows whether they moved.
pub(super) async fn quarantine_stalled(app: &App) -> anyhow::Result<u64> {
    let limit = app.config.payouts.stalled_after_s;
    let before = app.clock.time().plus(-limit);
    let (mut page, mut done) = (Page::oldest(MAX_LIMIT), 0);
    let started = SettlementFilter { status: Some(SettlementStatus::Started), ..SettlementFilter::default() };
    loop {
        let rows = app.views.settlements(started.clone(), page).await?;
        let Some(last) = rows.last() else { return Ok(done) };
        page.after = Some(last.position);
        let stalled = rows.into_iter().filter(|row| row.started_at.is_some_and(|at| at <= before));
        for row in stalled.filter(|row| !is_attended(app, row)) {
            done += u64::from(quarantine(app, &row, limit).await?);
        }
    }
}

/// Whether the OpenBazaar connector looks after it: some ways out of an escrow take weeks.
fn is_attended(app: &App, row: &SettlementRow) -> bool {
    let settings = &app.config.openbazaar;
    let own = row.method.as_deref().is_some_and(|method| method.starts_with("openbazaar "));
    own && settings.is_set() && row.marketplace == settings.marketplace
}

async fn quarantine(app: &App, row: &SettlementRow, limit: i64) -> anyhow::Result<bool> {
    let reason = format!("nobody reported in {limit} s how the attempt went");
    let command = SettlementCommand::Quarantine { attempt: row.attempt, reason };
    let by = app.by_system(SystemPart::Scheduler, None);
    match app.executor.execute::<Settlement>(&row.settlement, command, &by).await {
        Ok(done) => {
            app.catch_up(done.position).await;
            Ok(done.position.is_some())
        }
        // It was reported on meanwhile.
        Err(ExecuteError::Refused(SettlementRefusal::NotNow(_) | SettlementRefusal::WrongAttempt(_))) => {
            Ok(false)
        }
        Err(other) => Err(Problem::from(other).into()),
    }
}

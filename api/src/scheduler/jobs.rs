//! The jobs.

use std::collections::HashSet;

use domain::{
    contract::{Contract, ContractCommand},
    device::{Device, DeviceCommand, DeviceRefusal},
    event::{Position, SystemPart},
    gateway::{Gateway, GatewayCommand},
    id::{ContractId, DeviceId},
    policy::EndedBy,
};
use projections::{
    private::Attention,
    views::due::{DueKind, DueSubject},
};

use super::{keys, money};
use crate::{
    app::App,
    contracts,
    error::Problem,
    execute::{By, ExecuteError},
    logins, mail, nodes,
};

/// Due rows read at once.
pub(super) const PAGE: usize = 500;

/// Something that is done because time has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Rentals whose time is over.
    Expiry,
    /// Extension requests that were not paid.
    ExtensionLapse,
    /// Devices not heard of.
    Lost,
    /// Lost devices past their grace.
    LostGrace,
    /// Payouts whose delay is over.
    Payout,
    /// Served segments of long rentals.
    SegmentPayout,
    /// Settlements that were started and not reported on.
    Stalled,
    /// Ports leased to devices that never registered.
    PortReclaim,
    /// Key halves of ended leases whose appeal window is over.
    KeyHalves,
    /// Kept answers past their keeping.
    Retention,
}

impl Job {
    /// All jobs, in the order in which one run may cause work for the next.
    pub const ALL: [Self; 10] = [
        Self::ExtensionLapse,
        Self::Expiry,
        Self::Lost,
        Self::LostGrace,
        Self::SegmentPayout,
        Self::Payout,
        Self::Stalled,
        Self::PortReclaim,
        Self::KeyHalves,
        Self::Retention,
    ];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expiry => "expiry",
            Self::ExtensionLapse => "extension_lapse",
            Self::Lost => "lost",
            Self::LostGrace => "lost_grace",
            Self::Payout => "payout",
            Self::SegmentPayout => "segment_payout",
            Self::Stalled => "stalled",
            Self::PortReclaim => "port_reclaim",
            Self::KeyHalves => "key_halves",
            Self::Retention => "retention",
        }
    }

    /// Does what is due now; answers how much that was.
    ///
    /// # Errors
    /// When the log or a store cannot be used.
    pub async fn run(self, app: &App) -> anyhow::Result<u64> {
        match self {
            Self::Expiry => run_due(app, DueKind::Expiry).await,
            Self::ExtensionLapse => run_due(app, DueKind::ExtensionLapse).await,
            Self::LostGrace => run_due(app, DueKind::LostGrace).await,
            Self::Payout => run_due(app, DueKind::Payout).await,
            Self::PortReclaim => run_due(app, DueKind::PortReclaim).await,
            Self::Lost => report_lost(app).await,
            Self::SegmentPayout => money::close_segments(app).await,
            Self::Stalled => money::quarantine_stalled(app).await,
            Self::KeyHalves => keys::destroy_due(app).await,
            Self::Retention => {
                let now = app.clock.time();
                let answers = app.private.forget_idempotent(now.plus(-app.config.idempotency_s)).await?;
                let logins = app.private.forget_logins(now, now.plus(-logins::TRIES_S)).await?;
                Ok(answers + logins + mail::forget(app).await?)
            }
        }
    }
}

async fn run_due(app: &App, kind: DueKind) -> anyhow::Result<u64> {
    let mut tried = HashSet::new();
    let mut done = 0;
    loop {
        let rows = app.views.due(kind, app.clock.time(), PAGE).await?;
        let mut written = None;
        let before = tried.len();
        for row in rows {
            if app.stop.is_cancelled() || !tried.insert(row.subject.clone()) {
                continue;
            }
            match carry_out(app, kind, &row.subject).await {
                Ok(position) => {
                    done += 1;
                    written = written.max(position);
                }
                Err(problem) if problem.status().is_server_error() => return Err(problem.into()),
                Err(problem) => {
                    tracing::error!(subject = %row.subject, ?kind, error = %problem, "what is due was refused");
                    let (subject, what) = (row.subject.to_string(), format!("{kind:?} refused"));
                    let (detail, since) = (problem.to_string(), app.clock.time());
                    app.private.call_attention(&Attention { subject, what, detail, since }).await?;
                }
            }
        }
        if tried.len() == before {
            return Ok(done);
        }
        app.catch_up(written).await;
    }
}

async fn carry_out(app: &App, kind: DueKind, subject: &DueSubject) -> Result<Option<Position>, Problem> {
    let by = app.by_system(SystemPart::Scheduler, None);
    match (kind, subject) {
        (DueKind::Expiry, DueSubject::Contract(id)) => Ok(contracts::expire(app, *id, &by).await?.position),
        (DueKind::ExtensionLapse, DueSubject::Contract(id)) => lapse(app, *id, &by).await,
        (DueKind::Payout, DueSubject::Contract(id)) => {
            Ok(app.executor.execute::<Contract>(id, ContractCommand::IssuePayout, &by).await?.position)
        }
        (DueKind::LostGrace, DueSubject::Device(id)) => give_up(app, *id, &by).await,
        (DueKind::PortReclaim, DueSubject::Port { gateway, device, epoch, .. }) => {
            let release = GatewayCommand::ReleasePort { device: *device, epoch: *epoch };
            Ok(app.executor.execute::<Gateway>(gateway, release, &by).await?.position)
        }
        (kind, subject) => Err(Problem::internal(&format!("{kind:?} cannot be due for {subject}"))),
    }
}

async fn lapse(app: &App, contract: ContractId, by: &By) -> Result<Option<Position>, Problem> {
    let state = app.executor.load::<Contract>(&contract).await?.state;
    let Some(pending) = state.rental().and_then(|rental| rental.pending.as_ref()) else { return Ok(None) };
    let command = ContractCommand::Lapse { extension: pending.extension };
    Ok(app.executor.execute::<Contract>(&contract, command, by).await?.position)
}

async fn give_up(app: &App, device: DeviceId, by: &By) -> Result<Option<Position>, Problem> {
    let state = app.executor.load::<Device>(&device).await?.state;
    let Some(lost) = state.lost().filter(|lost| lost.give_up_at <= app.clock.time()) else { return Ok(None) };
    contracts::close_offer(app, device, lost.epoch, EndedBy::DeviceLost, by).await?;
    app.executor.log().head().await.map_err(|e| Problem::internal(&e))
}

/// Reports watched devices that were silent too long. The servers' own absence is nobody's silence: it counts from when one
/// began to listen.
async fn report_lost(app: &App) -> anyhow::Result<u64> {
    app.flush_presence().await?;
    let (now, settings) = (app.clock.time(), &app.config.devices);
    let before = now.plus(-settings.lost_after_s);
    let Some(listening) = nodes::listening_since(app).await?.filter(|since| *since <= before) else {
        return Ok(0);
    };
    let mut done = 0;
    loop {
        let silent = app.private.silent_devices(before, 500).await?;
        if silent.is_empty() {
            return Ok(done);
        }
        for (device, at) in silent {
            let state = app.executor.load::<Device>(&device).await?.state;
            if let Some(lease) = state.live_lease() {
                let (epoch, last_seen) = (lease.epoch, at.max(listening));
                let command =
                    DeviceCommand::ReportLost { epoch, last_seen, give_up_at: now.plus(settings.grace_s) };
                let by = app.by_system(SystemPart::Scheduler, None);
                match app.executor.execute::<Device>(&device, command, &by).await {
                    Ok(_) => done += 1,
                    Err(ExecuteError::Refused(
                        DeviceRefusal::NotLeased | DeviceRefusal::WrongEpoch { .. },
                    )) => {}
                    Err(e) => return Err(Problem::from(e).into()),
                }
            }
            app.private.watch_device(device, false, now).await?;
        }
    }
}

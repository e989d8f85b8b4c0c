//! The gateway of this very process: told by the log, reporting by a call.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Gateway, Seen};
use crate::{
    app::App,
    gateways::{self, Announcement, TunnelReport},
};

/// How often the gateway reports.
pub const REPORT: Duration = Duration::from_secs(1);

/// What a gateway says of itself.
#[must_use]
pub fn announcement(gateway: &Gateway, section: &crate::config::Gateway, instance: Uuid) -> Announcement {
    Announcement {
        instance,
        host: section.host.clone(),
        domain: section.domain().to_owned(),
        first_port: section.first_port,
        last_port: section.last_port,
        ssh_port: if section.ssh_port == 0 { gateway.ssh.port() } else { section.ssh_port },
        host_key: gateway.host_key,
        http_port: gateway.http.map_or(0, |at| at.port()),
        https_port: gateway.tls.map_or(0, |at| at.port()),
        draining: gateway.is_closing(),
    }
}

/// What a gateway says of its leases.
#[must_use]
pub fn tunnels(gateway: &Gateway) -> Vec<TunnelReport> {
    let report = |seen: Seen| TunnelReport {
        device: seen.device,
        epoch: seen.epoch,
        port_open: seen.port_open,
        heard_s_ago: seen.heard.map(|heard| heard.elapsed().as_secs()),
        visitors: seen.visitors as u64,
        to_device: seen.to_device,
        from_device: seen.from_device,
        connections: seen.connections,
    };
    gateway.look().into_iter().map(report).collect()
}

/// Keeps the gateway's leases as the log has them, until stopped.
pub async fn follow(app: App, gateway: Gateway, stop: CancellationToken) {
    let (mut changed, mut told) = (app.leases.watch(), None);
    let name = gateway.shared().settings.name.clone();
    loop {
        changed.mark_unchanged();
        if let Some(news) = app.leases.since(&name, told, false) {
            told = Some((news.source, news.version));
            gateway.take(&news);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = changed.changed() => if changed.is_err() { return },
        }
    }
}

/// Reports until stopped.
pub async fn report(app: App, gateway: Gateway, stop: CancellationToken) {
    let (instance, section) = (app.fresh_id(), app.config.gateway.clone());
    let mut tick = tokio::time::interval(REPORT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let name = &gateway.shared().settings.name;
        let (announcement, tunnels) = (announcement(&gateway, &section, instance), tunnels(&gateway));
        if let Err(e) = gateways::report(&app, name, announcement, tunnels).await {
            tracing::warn!(error = %e, todo = e.action(), "the gateway's report cannot be taken; trying again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
    }
}

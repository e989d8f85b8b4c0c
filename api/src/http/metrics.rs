//! Numbers for whoever watches: Prometheus' text format, version 0.0.4.
//!
//! What passes through a lease's tunnel is counted by its gateway since that was started; Prometheus takes a counter that
//! begins anew as such.

use std::{collections::BTreeSet, fmt::Write};

use axum::{extract::State, http::header, response::IntoResponse};

use super::auth::Auditor;
use crate::{app::App, error::Problem, gateways::TunnelReport, nodes};

/// The format.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Numbers about the server, its gateways and the tunnels of leases, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", tag = "server", security(("token" = ["operator", "auditor"])),
    responses((status = 200, description = "The numbers", body = String, content_type = "text/plain")))]
pub async fn metrics(State(app): State<App>, _caller: Auditor) -> Result<impl IntoResponse, Problem> {
    let head = app.executor.log().head().await?;
    let views = app.views.checkpoint().await?;
    let steward = app.private.follower("steward").await?;
    let mut text = String::new();
    let next = head.map_or(0, |head| head + 1);
    one(&mut text, "berth_log_events", "gauge", "Events in the log.", next);
    one(
        &mut text,
        "berth_views_lag_events",
        "gauge",
        "Events that some view has not folded.",
        next.saturating_sub(views),
    );
    let lag = next.saturating_sub(steward);
    one(&mut text, "berth_steward_lag_events", "gauge", "Events that the steward has not handled.", lag);
    let nodes = nodes::all(&app).await?.len() as u64;
    one(&mut text, "berth_nodes", "gauge", "Servers that are there on this store.", nodes);
    let (gateways, counts) = (app.gateways.all(), app.leases.counts());
    // Also those that hold leases and were not heard of since this server's start.
    let names: BTreeSet<_> = gateways.keys().chain(counts.keys()).collect();
    let each = |text: &mut String, name: &str, help: &str, value: &dyn Fn(&str) -> u64| {
        head_of(text, name, "gauge", help);
        for gateway in &names {
            line(text, name, &[("gateway", gateway.as_str())], value(gateway.as_str()));
        }
    };
    let known =
        |name: &str| gateways.iter().find(|(gateway, _)| gateway.as_str() == name).map(|(_, known)| known);
    each(&mut text, "berth_gateway_up", "Whether the gateway reports.", &|name| {
        known(name).is_some_and(crate::gateways::Known::is_there).into()
    });
    each(&mut text, "berth_gateway_tunnels", "Tunnels that are up.", &|name| {
        known(name).filter(|known| known.is_there()).map_or(0, |known| known.tunnels as u64)
    });
    each(&mut text, "berth_gateway_leases", "Leases that live.", &|name| {
        counts.iter().find(|(gateway, _)| gateway.as_str() == name).map_or(0, |(_, count)| *count as u64)
    });
    let tunnels = app.gateways.tunnels();
    type Measure = (&'static str, &'static str, &'static str, fn(&TunnelReport) -> u64);
    let measures: [Measure; 5] = [
        ("berth_tunnel_up", "gauge", "Whether the device is connected.", |t| t.heard_s_ago.is_some().into()),
        ("berth_tunnel_visitors", "gauge", "Visitors that are connected.", |t| t.visitors),
        ("berth_tunnel_connections_total", "counter", "Visitors' connections.", |t| t.connections),
        ("berth_tunnel_to_device_bytes_total", "counter", "Bytes from visitors to the device.", |t| {
            t.to_device
        }),
        ("berth_tunnel_from_device_bytes_total", "counter", "Bytes from the device to visitors.", |t| {
            t.from_device
        }),
    ];
    for (name, kind, help, value) in measures {
        head_of(&mut text, name, kind, help);
        for (gateway, tunnel) in &tunnels {
            let (device, epoch) = (tunnel.device.to_string(), tunnel.epoch.to_string());
            let labels = [("gateway", gateway.as_str()), ("device", &device), ("epoch", &epoch)];
            line(&mut text, name, &labels, value(tunnel));
        }
    }
    Ok(([(header::CONTENT_TYPE, FORMAT)], text))
}

fn head_of(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// Names and ids need no escaping.
fn line(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(text, "{name}{labels} {value}");
}

fn one(text: &mut String, name: &str, kind: &str, help: &str, value: u64) {
    head_of(text, name, kind, help);
    line(text, name, &[], value);
}

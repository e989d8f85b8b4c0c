//! `berth serve`.

use std::pin::pin;

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Common, rebuild};
use crate::{
    accounts,
    app::{App, DataDir},
    clock::{Clock, fresh_id},
    config::Config,
    gateway::{self, Gateway, local, remote, token},
    gateways, listen,
    roles::{Part, Roles},
    server::Server,
    stores::Stores,
};

/// Prints a line. Whoever started the server may have stopped reading, which is no reason to stop.
macro_rules! say {
    ($($what:tt)*) => {
        let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($what)*)));
    };
}

/// Runs the server, or parts of it.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen, such as 0.0.0.0:8080
    #[arg(long)]
    listen: Option<String>,
    /// What of the server runs in this process, such as `gateway`: everything unless named
    #[arg(long, value_name = "ROLE,…")]
    roles: Option<String>,
}

impl Serve {
    /// Serves until SIGTERM or Ctrl-C.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let flags = [("listen", self.listen), ("roles", self.roles)];
        let flags: Vec<_> = flags.into_iter().filter_map(|(name, set)| Some((name, set?))).collect();
        let config = common.load(&flags)?.config;
        let roles: Roles = config.roles.parse()?;
        let data = DataDir::open(&common.data())?;
        if roles.is_gateway_only() {
            return gateway_only(&config, &data).await;
        }
        serve(config, &roles, &data).await
    }
}

async fn serve(config: Config, roles: &Roles, data: &DataDir) -> anyhow::Result<()> {
    let listen = config.listen.clone();
    let _alone = data.lock()?;
    let clock = Stores::new(data, &config)?.clock().await?;
    let app = App::open(data, config, clock.clone(), rebuild::bar()).await?;
    let listener = listen::bind(&listen).await;
    let listener =
        listener.with_context(|| format!("cannot listen on {listen}; choose another with --listen"))?;
    let gateway = match roles.has(Part::Gateway) {
        true => Some(gateway::open(&app.config.gateway, &data.gateway(), clock).await?),
        false => None,
    };
    if let Some(gateway) = &gateway {
        gateways::must_be_free(&app.private, app.config.gateway.name.as_str(), gateway.host_key).await?;
    }
    let set_up = accounts::offer_set_up(&app).await?;
    let mut server = Server::start(app, listener, roles).await?;
    let address = server.address;
    tracing::info!(%address, %roles, data = %server.app().stores.shown(), "berth is listening");
    if roles.has(Part::Api) {
        say!("Berth listens on http://{address}/ (API docs at http://{address}/docs)");
    }
    if let Some(gateway) = gateway {
        introduce(&gateway);
        server.run_gateway(gateway);
    }
    if let Some(code) = set_up {
        say!("Nobody has an account yet. Make the first operator at http://{address}/set-up with this code:");
        say!("  {code}");
        say!("or without a browser:");
        say!("  curl -X POST http://{address}/v1/setup -H 'content-type: application/json' \\");
        say!("    -d '{{\"code\":\"{code}\",\"name\":\"operator\"}}'");
    }
    let stopped = server.app().stop.clone();
    tokio::select! {
        () = told_to_stop(signal(SignalKind::terminate())?) => {}
        () = stopped.cancelled() => {}
    }
    server.stop().await
}

/// Runs a gateway that asks another process for its leases.
async fn gateway_only(config: &Config, data: &DataDir) -> anyhow::Result<()> {
    let section = &config.gateway;
    let base = match section.server.is_empty() {
        true => format!("http://{}", config.listen),
        false => section.server.clone(),
    };
    let token = match section.token.0.is_empty() {
        true => token::load(&data.gateway()).context(
            "a gateway in a process of its own needs gateway.token, which a server keeps in gateway/token of its data folder",
        )?,
        false => section.token.clone(),
    };
    let terminate = signal(SignalKind::terminate())?;
    let server = remote::Server::new(&base, section, token)?;
    let gateway = gateway::open(section, &data.gateway(), Clock::System).await?;
    let instance = fresh_id(&Clock::System);
    let announcement = local::announcement(&gateway, section, instance);
    let mut stop = pin!(told_to_stop(terminate));
    tokio::select! {
        introduced = server.introduce(&announcement, &gateway) => introduced?,
        () = stop.as_mut() => return Ok(()),
    }
    introduce(&gateway);
    remote::run(server, gateway, section.clone(), instance, stop).await;
    Ok(())
}

fn introduce(gateway: &Gateway) {
    tracing::info!(ssh = %gateway.ssh, "the gateway takes tunnels");
    say!("Devices bring their tunnels up to {}, under {}", gateway.ssh, gateways::openssh(gateway.host_key));
    let ways = [("http", gateway.http), ("https", gateway.tls)];
    let ways = ways.into_iter().filter_map(|(scheme, at)| {
        Some(format!("{scheme}://<subdomain>.{}:{}", gateway.shared().settings.domain, at?.port()))
    });
    let ways: Vec<_> = ways.collect();
    if !ways.is_empty() {
        say!("Visitors reach them at {}", ways.join(" and "));
    }
}

async fn told_to_stop(mut terminate: Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    tracing::info!("stopping");
}

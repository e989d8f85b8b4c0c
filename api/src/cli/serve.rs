//! `berth serve`.

use anyhow::Context;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Common, rebuild};
use crate::{
    accounts,
    app::{App, DataDir},
    clock::Clock,
    gateway, listen,
    server::Server,
};

/// Runs the server.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen, such as 0.0.0.0:8080
    #[arg(long)]
    listen: Option<String>,
}

impl Serve {
    /// Serves until SIGTERM or Ctrl-C.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let flags: Vec<_> = self.listen.map(|listen| ("listen", listen)).into_iter().collect();
        let config = common.load(&flags)?.config;
        let listen = config.listen.clone();
        let data = DataDir::open(&common.data())?;
        let _alone = data.lock()?;
        let app = App::open(&data, config, Clock::System, rebuild::bar()).await?;
        let listener = listen::bind(&listen).await;
        let listener =
            listener.with_context(|| format!("cannot listen on {listen}; choose another with --listen"))?;
        let set_up = accounts::offer_set_up(&app).await?;
        let gateway = gateway::open(&app.config.gateway, &data.gateway()).await?;
        let mut server = Server::start(app, listener, true).await?;
        let tunnels = gateway.ssh;
        server.run_gateway(gateway);
        let address = server.address;
        tracing::info!(%address, data = %common.data().display(), "berth is listening");
        tracing::info!(address = %tunnels, "the gateway takes tunnels");
        println!("Berth listens on http://{address} (API docs at http://{address}/docs)");
        if let Some(code) = set_up {
            println!("Nobody has an account yet. Make the first operator, once, with this code:");
            println!("  curl -X POST http://{address}/v1/setup -H 'content-type: application/json' \\");
            println!("    -d '{{\"code\":\"{code}\",\"name\":\"operator\"}}'");
        }
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        tracing::info!("stopping");
        server.stop().await
    }
}

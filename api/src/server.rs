//! A running server: views, API, gateway, steward, scheduler, webhooks, mail and the OpenBazaar connector in one process,
//! or the parts of it that its roles name.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use projections::runner::Runner;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::App,
    gateway::{self, Gateway},
    gateways, http,
    lead::lead,
    listen, mail, nodes, openbazaar,
    roles::{Part, Roles},
    scheduler, steward, webhooks,
};

/// How often presence is written down.
const FLUSH_PRESENCE: Duration = Duration::from_secs(2);
/// How long open requests have to end at shutdown.
const DRAIN: Duration = Duration::from_secs(10);

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    app: App,
    gateway: Option<Gateway>,
    tasks: TaskTracker,
    runner: Runner,
}

impl Server {
    /// Starts what `roles` name, except for the gateway, which [`Server::run_gateway`] is given. Without the scheduler, jobs
    /// run only when [`scheduler::run_all`] is called; without the connector, an OpenBazaar node is worked on only by
    /// whoever makes a [`openbazaar::Connector`]; without the API, the listening socket is closed.
    ///
    /// # Errors
    /// When the views cannot be opened for writing, or the log or the private store fails.
    pub async fn start(app: App, listener: TcpListener, roles: &Roles) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let _ = app.address.set(address);
        let runner = Runner::start(app.executor.log().clone(), app.views.clone()).await?;
        let (tasks, stop) = (TaskTracker::new(), app.stop.clone());
        nodes::begin(&app, roles).await?;
        if roles.has(Part::Steward) {
            mail::begin(&app).await?;
            tasks.spawn(lead(app.clone(), "steward", stop.clone(), steward::run));
            tasks.spawn(lead(app.clone(), "webhooks", stop.clone(), webhooks::run));
            tasks.spawn(lead(app.clone(), "mail", stop.clone(), mail::run));
        }
        if roles.has(Part::Scheduler) {
            tasks.spawn(lead(app.clone(), "scheduler", stop.clone(), scheduler::run));
            tasks.spawn(lead(app.clone(), "gateways", stop.clone(), gateways::watch));
        }
        if let Some(database) = app.stores.database().cloned() {
            let (clock, stop) = (app.clock.clone(), stop.clone());
            tasks.spawn(async move { clock.keep_right(&database, stop).await });
        }
        if roles.has(Part::Connector) {
            tasks.spawn(openbazaar::run(app.clone(), stop.clone()));
        }
        let (shared, stopped) = (app.clone(), stop.clone());
        tasks.spawn(async move { shared.feed.run(shared.executor.log().as_ref(), stopped).await });
        tasks.spawn(keep_presence(app.clone(), stop.clone()));
        tasks.spawn(nodes::run(app.clone(), roles.clone(), stop.clone()));
        tasks.spawn(gateway::leases::run(app.clone(), stop.clone()));
        if roles.has(Part::Api) {
            tasks.spawn(listen::serve(listener, http::router(app.clone()), stop));
        }
        Ok(Self { address, app, gateway: None, tasks, runner })
    }

    /// What it shares.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Runs a gateway beside the API.
    pub fn run_gateway(&mut self, gateway: Gateway) {
        let (app, stop) = (&self.app, &self.app.stop);
        self.tasks.spawn(gateway::local::follow(app.clone(), gateway.clone(), stop.clone()));
        self.tasks.spawn(gateway::local::report(app.clone(), gateway.clone(), stop.clone()));
        self.gateway = Some(gateway);
    }

    /// Ends open requests, writes down what is in memory, and stops.
    ///
    /// # Errors
    /// When something could not be written.
    pub async fn stop(self) -> anyhow::Result<()> {
        // Visitors finish first: until then leases can end, and are obeyed.
        if let Some(gateway) = self.gateway {
            gateway.stop().await;
        }
        self.app.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not end in time; stopping without them");
        }
        self.app.flush_presence().await?;
        self.runner.stop().await.context("the views stopped with an error")?;
        self.app.private.close().await;
        self.app.halves.close().await;
        Ok(())
    }
}

async fn keep_presence(app: App, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FLUSH_PRESENCE) => {}
        }
        if let Err(e) = app.flush_presence().await {
            tracing::error!(error = %e, "presence cannot be written down; trying again");
        }
    }
}

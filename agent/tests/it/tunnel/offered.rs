//! The tunnel leads to what the workload offers, and follows it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use agent::{
    config::Config,
    run::Agent,
    workload::{Services, Tenancy, Workload, WorkloadError},
};
use async_trait::async_trait;
use domain::{
    id::{DeviceId, Epoch},
    wire::StepResult,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{Manner, Service, subdomain};
use crate::kit::{
    gateway::Gateway,
    server::{FakeServer, KEY},
};

/// A workload that offers what a test says.
struct Offering(Arc<Mutex<Services>>);

#[async_trait]
impl Workload for Offering {
    fn kind(&self) -> &'static str {
        "offering"
    }

    async fn run(&mut self, _: &Tenancy<'_>) -> Result<(), WorkloadError> {
        Ok(())
    }

    async fn stop(&mut self, _: DeviceId) -> Result<(), WorkloadError> {
        Ok(())
    }

    async fn remove(&mut self, _: DeviceId, _: Epoch) -> Result<(StepResult, String), WorkloadError> {
        Ok((StepResult::NothingThere, String::new()))
    }

    async fn running(&mut self, _: DeviceId) -> Option<Epoch> {
        None
    }

    async fn services(&mut self, _: DeviceId) -> Result<Services, WorkloadError> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn problems(&mut self) -> Vec<String> {
        Vec::new()
    }
}

async fn agent(server: &FakeServer, directory: &Path, offers: &Arc<Mutex<Services>>) -> Agent {
    let path = directory.join("agent.json");
    std::fs::write(&path, json!({ "server": server.url, "key": KEY }).to_string()).unwrap();
    Agent::open_with(Config::load(&path).unwrap(), Box::new(Offering(offers.clone()))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tunnel_leads_to_what_the_workload_offers_and_moves_with_it() {
    let (gateway, directory) = (Gateway::start(1).await, tempfile::tempdir().unwrap());
    let (ssh, http) = (Service::start(Manner::Hasty).await, Service::start(Manner::Echo).await);
    let at = |service: &Service| Some(service.address.parse().unwrap());
    let offers = Arc::new(Mutex::new(Services { ssh: at(&ssh), ..Services::default() }));
    let server = FakeServer::start(1).await;
    server.world().gateway = Some(gateway.address());
    let mut agent = agent(&server, directory.path(), &offers).await;
    let story = async {
        gateway.until_forwards(1).await;
        let mut visitor = gateway.visit("localhost", 20_000).await.unwrap().into_stream();
        let mut said = [0; 3];
        visitor.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"bye");
        *offers.lock().unwrap() = Services { http: at(&http), ..Services::default() };
        server.change(|_| ());
        gateway.until_forwards(2).await;
        assert_eq!(gateway.seen().forwards[1], (subdomain(), 80));
        let mut visitor = gateway.visit(&subdomain(), 80).await.unwrap().into_stream();
        visitor.write_all(b"moved").await.unwrap();
        let mut answer = [0; 5];
        visitor.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"moved");
    };
    tokio::select! {
        () = agent.run() => {}
        told = timeout(Duration::from_secs(30), story) => told.expect("within 30 s"),
    }
    drop(agent);
    timeout(Duration::from_secs(1), gateway.until_left()).await.expect("the tunnel dies with the agent");
}

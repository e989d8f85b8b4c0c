//! Whose container is whose.

use std::collections::HashMap;

use agent::workload::Workload;
use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::CreateContainerOptionsBuilder,
};

use super::rented::{Rented, nothing};
use crate::kit::{
    engine::Engine,
    images::{BARE, ENDLESS},
};

/// A container that somebody else started.
async fn foreign(engine: &Engine, name: &str, labels: &[(&str, &str)]) -> String {
    let client = engine.client().negotiate_version().await.unwrap();
    let body = ContainerCreateBody {
        image: Some(BARE.into()),
        cmd: Some(["/bin/sh", "-c", ENDLESS].map(Into::into).into()),
        labels: Some(
            labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<HashMap<_, _>>(),
        ),
        host_config: Some(HostConfig { network_mode: Some("none".into()), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    let id = client.create_container(Some(options), body).await.unwrap().id;
    client.start_container(&id, None).await.unwrap();
    id
}

async fn is_up(engine: &Engine, id: &str) -> bool {
    let client = engine.client().negotiate_version().await.unwrap();
    let seen = client.inspect_container(id, None).await;
    seen.is_ok_and(|c| c.state.unwrap().running == Some(true))
}

async fn drop_it(engine: &Engine, id: &str) {
    let client = engine.client().negotiate_version().await.unwrap();
    let options =
        bollard::query_parameters::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    client.remove_container(id, Some(options)).await.unwrap();
}

#[tokio::test]
async fn a_container_without_our_labels_is_left_alone_even_when_it_has_our_name() {
    let name = "a_container_without_our_labels_is_left_alone_even_when_it_has_our_name";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::with(engine, BARE, |_| {});
    let device = rented.device.0.to_string();
    for labels in [
        vec![],
        vec![("berth.device", device.as_str()), ("berth.epoch", "3"), ("berth.role", "workload")],
        vec![("berth.managed", "agent"), ("berth.device", device.as_str()), ("berth.epoch", "3")],
        vec![
            ("berth.managed", "agent"),
            ("berth.device", "00000000-0000-0000-0000-00000000abcd"),
            ("berth.epoch", "3"),
            ("berth.role", "workload"),
        ],
    ] {
        let id = foreign(engine, &rented.name(), &labels).await;
        let error = rented.run().await.unwrap_err().to_string();
        assert!(error.contains("docker rename"), "{error}");
        assert_eq!(rented.docker.running(rented.device).await, None);
        rented.docker.stop(rented.device).await.unwrap();
        assert_eq!(rented.remove().await, nothing());
        assert!(is_up(engine, &id).await, "{labels:?}");
        drop_it(engine, &id).await;
    }
    rented.run().await.unwrap();
    rented.remove().await;
}

#[tokio::test]
async fn devices_on_one_engine_do_not_disturb_each_other() {
    let Some(engine) = Engine::shared("devices_on_one_engine_do_not_disturb_each_other") else { return };
    let (mut one, mut other) = (Rented::with(engine, BARE, |_| {}), Rented::with(engine, BARE, |_| {}));
    one.run().await.unwrap();
    other.run().await.unwrap();
    one.docker.stop(one.device).await.unwrap();
    assert_eq!(other.docker.running(other.device).await, Some(3));
    one.remove().await;
    assert_eq!(other.docker.running(other.device).await, Some(3));
    other.remove().await;
}

#[tokio::test]
async fn a_lease_does_not_start_while_another_one_of_the_device_runs() {
    let name = "a_lease_does_not_start_while_another_one_of_the_device_runs";
    let Some(engine) = Engine::shared(name) else { return };
    let mut rented = Rented::with(engine, BARE, |_| {});
    rented.run().await.unwrap();
    let old = rented.name();
    for epoch in [4, 2] {
        rented.epoch = epoch;
        let error = rented.run().await.unwrap_err().to_string();
        assert!(error.contains(&format!("{old} of lease 3 still runs")), "{error}");
        assert_eq!(rented.names(&rented.name()).await, Vec::<String>::new());
    }
    assert_eq!(rented.docker.running(rented.device).await, Some(3));
    rented.docker.stop(rented.device).await.unwrap();
    rented.epoch = 2;
    let error = rented.run().await.unwrap_err().to_string();
    assert!(error.contains("later lease 3"), "{error}");
    assert_eq!(rented.remove().await, nothing(), "only up to lease 2");
    rented.epoch = 4;
    rented.run().await.unwrap();
    assert_eq!(rented.names(&old).await, Vec::<String>::new(), "a stopped leftover is removed");
    rented.remove().await;
}

//! Whether the server says so when it cannot answer truly any more.

use chrono::DateTime;
use domain::{
    event::{Actor, Meta, NewEvent, StreamName, SystemPart},
    id::{CommandId, CorrelationId, EventId},
};
use projections::log::{Append, Expected};
use uuid::Uuid;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_views_have_stopped_is_not_ready() {
    let test = TestApp::new().await;
    assert_eq!(test.get("/readyz", "").await.status, 200);
    let meta = Meta {
        actor: Actor::System(SystemPart::Cli),
        on_behalf_of: None,
        command_id: CommandId(Uuid::nil()),
        causation_id: None,
        correlation_id: CorrelationId(Uuid::nil()),
    };
    let unknown = NewEvent {
        id: EventId(Uuid::from_u128(7)),
        kind: "FromTheFuture".into(),
        schema: 1,
        payload: b"{}".to_vec(),
        recorded_at: DateTime::UNIX_EPOCH,
        effective_at: test.clock.time(),
        meta,
    };
    let stream = StreamName::stored("device-unknown".to_owned());
    let append = Append { stream, expected: Expected::NoStream, events: vec![unknown] };
    test.app.executor.log().append(append).await.unwrap();
    let stopped = test.get("/readyz", "").await;
    assert_eq!(stopped.problem(), (503, "not-ready"));
    assert_eq!(stopped.header("retry-after"), Some("5"));
    assert_eq!(test.get("/healthz", "").await.status, 200, "a restart would not help");
}

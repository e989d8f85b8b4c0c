//! Following `$all` from a position on: a task that reads the subscription, so that the mirror takes what is there at
//! once.
//!
//! # Correctness
//! The client's own resubscribing stays off: when a subscription ends, for whatever reason, the channel closes after
//! its last message, and the mirror starts the next feed from its stored checkpoint.

use eventstore::{
    Client, Error, Position, RecordedEvent, StreamPosition, SubscribeToAllOptions, Subscription,
    SubscriptionEvent,
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::names::Names;

/// Messages that wait to be mirrored; with their payloads at most about 30 MB.
const BUFFER: usize = 512;

/// What the server tells.
#[derive(Debug)]
pub enum Told {
    /// An event of one of Berth's streams, or of their metadata.
    Event(Box<RecordedEvent>),
    /// Everything up to here was looked at.
    Checkpoint(Position),
    /// Nothing more is there at the moment.
    CaughtUp,
    /// Why nothing more comes.
    Ended(Error),
}

/// A running subscription.
#[derive(Debug)]
pub struct Feed {
    told: mpsc::Receiver<Told>,
    reading: JoinHandle<()>,
}

impl Feed {
    /// Follows Berth's streams after a position; from the beginning when there is none.
    pub async fn start(client: &Client, names: &Names, after: Option<Position>) -> Self {
        let from = after.map_or(StreamPosition::Start, StreamPosition::Position);
        let options = SubscribeToAllOptions::default().position(from).filter(names.filter());
        let subscription = client.subscribe_to_all(&options).await;
        let (tell, told) = mpsc::channel(BUFFER);
        let reading = tokio::spawn(read(subscription, tell));
        Self { told, reading }
    }

    /// Waits for a message and takes up to `max` of those that are there; none when the feed is over.
    ///
    /// Dropping the future loses nothing.
    pub async fn take(&mut self, max: usize) -> Vec<Told> {
        let mut taken = Vec::new();
        self.told.recv_many(&mut taken, max).await;
        taken
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.reading.abort();
    }
}

async fn read(mut subscription: Subscription, tell: mpsc::Sender<Told>) {
    loop {
        let told = match subscription.next_subscription_event().await {
            Ok(SubscriptionEvent::EventAppeared(appeared)) => match appeared.link.or(appeared.event) {
                Some(event) => Told::Event(Box::new(event)),
                None => continue,
            },
            Ok(SubscriptionEvent::Checkpoint(position)) => Told::Checkpoint(position),
            Ok(SubscriptionEvent::CaughtUp) => Told::CaughtUp,
            Ok(_) => continue,
            Err(error) => {
                let _ = tell.send(Told::Ended(error)).await;
                return;
            }
        };
        if tell.send(told).await.is_err() {
            return;
        }
    }
}

//! Waking other nodes: `NOTIFY` as a hint, nothing more.
//!
//! # Correctness
//! What is said can be lost: while a connection is away nobody hears anything. So a listener is also called whenever it
//! may have missed something, and whoever must not miss anything looks by himself from time to time.

use std::{future::Future, time::Duration};

use sqlx::{
    ConnectOptions, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgListener},
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
    time::{sleep, timeout},
};

use crate::postgres::Postgres;

/// How often a channel is spoken on at most: each time takes a lock that all who notify share.
const DEBOUNCE: Duration = Duration::from_millis(25);

/// How long a failed connection is not tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// How long saying something may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A silent channel is left after this time and joined again: a dead network looks like silence.
const SILENCE: Duration = Duration::from_secs(60);

/// Ends its task with itself.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl From<JoinHandle<()>> for Task {
    fn from(task: JoinHandle<()>) -> Self {
        Self(task.abort_handle())
    }
}

/// Hears a channel until it is dropped.
#[derive(Debug)]
pub struct Listener(#[expect(dead_code, reason = "ends the task")] Task);

impl Listener {
    /// Calls `heard` with what is said on the channel, and with none whenever something may have been missed: at the
    /// start, and after the connection was lost. Connects again by itself.
    pub fn start<F>(
        postgres: Postgres,
        channel: &'static str,
        mut heard: impl FnMut(Option<String>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send,
    {
        let task = tokio::spawn(async move {
            let pool = postgres.pool(1);
            loop {
                if let Err(error) = hear(&pool, channel, &mut heard).await {
                    tracing::debug!(%error, channel, "a channel of the database cannot be heard");
                    sleep(PAUSE).await;
                }
            }
        });
        Self(task.into())
    }
}

/// Hears until the connection is lost, or nothing is said for long.
async fn hear<F: Future<Output = ()>>(
    pool: &PgPool,
    channel: &str,
    heard: &mut impl FnMut(Option<String>) -> F,
) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    heard(None).await;
    while let Ok(said) = timeout(SILENCE, listener.try_recv()).await {
        match said? {
            Some(said) => heard(Some(said.payload().to_owned())).await,
            None => break,
        }
    }
    Ok(())
}

/// Speaks on a channel, the latest only and not too often, until it is dropped.
#[derive(Debug)]
pub struct Notifier {
    latest: watch::Sender<String>,
    _task: Task,
}

impl Notifier {
    /// Connects when there is something to say.
    pub fn start(postgres: Postgres, channel: &'static str) -> Self {
        let (latest, mut news) = watch::channel(String::new());
        // A hint need not be on the disk.
        let options = postgres.options().clone().options([("synchronous_commit", "off")]);
        let task = tokio::spawn(async move {
            let mut connection = None;
            let mut again = false;
            while again || news.changed().await.is_ok() {
                let said = news.borrow_and_update().clone();
                let done = timeout(PATIENCE, say(&options, connection.take(), channel, &said)).await;
                again = !matches!(done, Ok(Ok(_)));
                match done {
                    Ok(Ok(open)) => {
                        connection = Some(open);
                        sleep(DEBOUNCE).await;
                    }
                    failed => {
                        tracing::debug!(?failed, channel, "nothing can be said on a channel of the database");
                        sleep(PAUSE).await;
                    }
                }
            }
        });
        Self { latest, _task: task.into() }
    }

    /// Says it soon, unless something later is said first.
    pub fn say(&self, what: impl ToString) {
        self.latest.send_replace(what.to_string());
    }
}

async fn say(
    options: &PgConnectOptions,
    open: Option<PgConnection>,
    channel: &str,
    what: &str,
) -> Result<PgConnection, sqlx::Error> {
    let mut connection = match open {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    let notify = sqlx::query("select pg_notify($1, $2)").bind(channel).bind(what);
    notify.execute(&mut connection).await?;
    Ok(connection)
}

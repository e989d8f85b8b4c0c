//! Writing: one call for a batch of appends, and what to make of a call that failed.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::event::Position;
use sqlx::{
    ConnectOptions, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgDatabaseError, PgRow, PgSeverity},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{known, row, signal::Notifier};
use crate::{
    log::{Append, AppendError, Appended},
    postgres::Postgres,
};

/// Told to the session that writes: what the function relies on, that it finds rows by indexes however empty the tables
/// were when it was planned, and when the server gives up.
const SESSION: [(&str, &str); 8] = [
    ("default_transaction_isolation", "read committed"),
    ("statement_timeout", "10000"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_bitmapscan", "off"),
    ("jit", "off"),
];

/// When this side gives up: the server's time, and some for the way.
const PATIENCE: Duration = Duration::from_secs(12);

/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long appends wait for a connection that was just lost; after that they are refused at once.
const GRACE: Duration = Duration::from_secs(1);

/// Pauses between attempts to connect, longer each time.
const PAUSES: [u64; 5] = [0, 50, 100, 250, 500];

/// What an append comes to.
pub type Answer = Result<Appended, AppendError>;

/// The connection that writes.
#[derive(Debug)]
pub struct Writer {
    options: PgConnectOptions,
    link: Link,
    head: Arc<watch::Sender<Option<Position>>>,
    notifier: Notifier,
}

#[derive(Debug)]
enum Link {
    Up(PgConnection),
    Down {
        since: Instant,
        /// Goes on until there is a connection.
        connecting: JoinHandle<PgConnection>,
        /// Why there is none yet.
        why: Arc<Mutex<String>>,
    },
}

impl Writer {
    pub fn new(postgres: &Postgres, head: Arc<watch::Sender<Option<Position>>>, notifier: Notifier) -> Self {
        let options = postgres.options().clone().options(SESSION);
        let link = Link::connect(&options);
        Self { options, link, head, notifier }
    }

    /// Writes a batch, each append to another stream; an answer for each.
    pub async fn commit(&mut self, batch: &[&Append]) -> Vec<Answer> {
        match self.write(batch).await {
            Ok(answers) => {
                let stored = answers.iter().flatten().map(|appended| appended.last).max();
                if stored > *self.head.borrow() {
                    known(&self.head, stored);
                    self.notifier.say(stored.unwrap_or_default());
                }
                answers
            }
            Err(error) => {
                tracing::error!(%error, appends = batch.len(), "the event log could not be written");
                vec![Err(error); batch.len()]
            }
        }
    }

    async fn write(&mut self, batch: &[&Append]) -> Result<Vec<Answer>, AppendError> {
        let mut unknown = false;
        loop {
            let failure = match self.connection().await {
                Err(error) => error,
                Ok(connection) => match timeout(PATIENCE, call(connection, batch)).await {
                    Ok(Ok(answers)) => return Ok(answers),
                    failed => {
                        self.link = Link::connect(&self.options);
                        let Ok(Err(error)) = failed else { return Err(AppendError::OutcomeUnknown) };
                        tracing::warn!(%error, "a call of the database has failed");
                        failure(&error)
                    }
                },
            };
            match failure {
                _ if unknown => return Err(AppendError::OutcomeUnknown),
                AppendError::OutcomeUnknown => unknown = true,
                failure => return Err(failure),
            }
        }
    }

    /// The connection; while there is none, an error at once.
    async fn connection(&mut self) -> Result<&mut PgConnection, AppendError> {
        if let Link::Down { since, connecting, why } = &mut self.link {
            match timeout_at(*since + GRACE, connecting).await {
                Ok(Ok(connection)) => self.link = Link::Up(connection),
                Ok(Err(_)) => self.link = Link::connect(&self.options),
                Err(_) => {
                    let why = why.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    return Err(AppendError::Fatal(why));
                }
            }
        }
        match &mut self.link {
            Link::Up(connection) => Ok(connection),
            Link::Down { .. } => Err(AppendError::Fatal("the database is being connected".into())),
        }
    }
}

impl Link {
    /// Begins to connect.
    fn connect(options: &PgConnectOptions) -> Self {
        let why = Arc::new(Mutex::new("the database does not answer".to_owned()));
        let (options, told) = (options.clone(), why.clone());
        let connecting = tokio::spawn(async move {
            let longest = PAUSES[PAUSES.len() - 1];
            for pause in PAUSES.into_iter().chain(std::iter::repeat(longest)) {
                sleep(Duration::from_millis(pause)).await;
                match timeout(CONNECT, options.connect()).await {
                    Ok(Ok(connection)) => return connection,
                    Ok(Err(error)) => {
                        *told.lock().unwrap_or_else(PoisonError::into_inner) =
                            format!("the database cannot be reached: {error}");
                    }
                    Err(_) => {}
                }
            }
            unreachable!("pauses never end")
        });
        Self::Down { since: Instant::now(), connecting, why }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Self::Down { connecting, .. } = self {
            connecting.abort();
        }
    }
}

/// Calls the function; reads until the server says that the transaction is committed.
async fn call(connection: &mut PgConnection, batch: &[&Append]) -> Result<Vec<Answer>, sqlx::Error> {
    let rows = row::bind(batch).fetch_all(connection).await?;
    let mut answers = vec![Err(AppendError::OutcomeUnknown); batch.len()];
    for row in &rows {
        let number: i32 = row.try_get(0)?;
        let of = number.cast_unsigned() as usize - 1;
        if let (Some(answer), Some(append)) = (answers.get_mut(of), batch.get(of)) {
            *answer = read(row, append)?;
        }
    }
    Ok(answers)
}

fn read(row: &PgRow, append: &Append) -> Result<Answer, sqlx::Error> {
    let get =
        |column: usize| row.try_get::<Option<i64>, _>(column).map(|n| n.and_then(|n| u64::try_from(n).ok()));
    Ok(match (get(1)?, get(2)?) {
        (Some(first), Some(last)) => {
            let revision = append.expected.next() + append.events.len() as u64 - 1;
            Ok(Appended { first, last, revision })
        }
        _ => Err(AppendError::Conflict { actual: get(3)? }),
    })
}

/// What a failed call means: an error that the server reports and survives has rolled the transaction back.
fn failure(error: &sqlx::Error) -> AppendError {
    match error {
        sqlx::Error::Database(said) => match said.try_downcast_ref::<PgDatabaseError>() {
            Some(said) if said.severity() == PgSeverity::Error => match said.code() {
                "53100" => AppendError::Fatal(format!("the database's disk is full: {}", said.message())),
                // A lock or the whole call took too long.
                "55P03" | "57014" => AppendError::Overloaded,
                _ => AppendError::Fatal(said.message().to_owned()),
            },
            _ => AppendError::OutcomeUnknown,
        },
        sqlx::Error::Encode(error) => AppendError::Fatal(error.to_string()),
        _ => AppendError::OutcomeUnknown,
    }
}

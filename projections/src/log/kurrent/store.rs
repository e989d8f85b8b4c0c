//! The mirror's tables: what is written into them, and what appends ask of them. Readers read them as they read a log
//! that PostgreSQL keeps itself.

use std::time::Duration;

use domain::{
    event::{Position, Revision, StreamName},
    id::EventId,
};
use eventstore::Position as Place;
use sqlx::{PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use super::{
    assembly::{Arrived, Batch},
    failure::PATIENCE,
    open::KurrentError,
};
use crate::{log::LogError, postgres::Postgres};

/// Connections for what appends ask; the mirror has one more for itself, so that it never waits for them.
const CONNECTIONS: u32 = 4;

/// How long writing a batch may take: for a lock that another node holds, and for the work.
const WRITING: Duration = Duration::from_secs(30);

/// The mirror in a database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: PgPool,
    mirror: PgPool,
    postgres: Postgres,
}

/// How a batch was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// Everything in it stands there now; this is the last position of all.
    Whole(Option<Position>),
    /// Nothing was written: the event of this index is not what must come, because something is missing before it or
    /// it is another than was mirrored before.
    Bad(usize),
}

/// A stream as the mirror has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its last revision.
    pub last: Option<Revision>,
    /// The events that were asked for, in order.
    pub there: Vec<(Position, EventId)>,
    /// What was done to it in KurrentDB, and whether nothing can be appended.
    pub withdrawn: Option<(String, bool)>,
}

/// A number in the database; positions and revisions there are signed.
pub fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Store {
    /// The tables in a database that has them.
    pub fn new(postgres: &Postgres) -> Self {
        Self { pool: postgres.pool(CONNECTIONS), mirror: postgres.pool(1), postgres: postgres.clone() }
    }

    /// Which prefix is mirrored here, if a KurrentDB is.
    pub async fn prefix(&self) -> Result<Option<String>, KurrentError> {
        let prefix = sqlx::query_scalar("select prefix from kurrent_mirror");
        prefix.fetch_optional(&self.pool).await.map_err(|e| self.failed(&e))
    }

    /// Makes this the mirror of streams with a prefix, unless it is one or holds a log of its own.
    pub async fn claim(&self, prefix: &str) -> Result<(), KurrentError> {
        let claim = "insert into kurrent_mirror (id, prefix, commit_position, prepare_position) \
                     select 1, $1, -1, -1 where not exists (select from events) on conflict do nothing";
        sqlx::query(claim).bind(prefix).execute(&self.pool).await.map_err(|e| self.failed(&e))?;
        if self.prefix().await?.is_none() {
            return Err(KurrentError::OwnLog { database: self.postgres.shown().to_owned() });
        }
        self.must_mirror(prefix).await
    }

    /// Makes sure that this is the mirror of streams with a prefix.
    pub async fn must_mirror(&self, prefix: &str) -> Result<(), KurrentError> {
        let shown = || self.postgres.shown().to_owned();
        match self.prefix().await? {
            None => Err(KurrentError::NoMirror { database: shown() }),
            Some(there) if there != prefix => {
                Err(KurrentError::OtherPrefix { database: shown(), there, asked: prefix.to_owned() })
            }
            Some(_) => Ok(()),
        }
    }

    /// Up to where KurrentDB was read; none before the first event.
    ///
    /// While no event is mirrored it is read from its beginning: nothing tells yet whether it is the same KurrentDB.
    pub async fn checkpoint(&self) -> Result<Option<Place>, LogError> {
        let checkpoint = "select commit_position, prepare_position from kurrent_mirror \
                          where commit_position >= 0 and exists (select from events)";
        let row = in_time(PATIENCE, sqlx::query(checkpoint).fetch_optional(&self.pool)).await?;
        let place = |row: PgRow| -> Result<Place, sqlx::Error> {
            let number = |column| row.try_get::<i64, _>(column).map(i64::cast_unsigned);
            Ok(Place { commit: number(0)?, prepare: number(1)? })
        };
        row.map(place).transpose().map_err(|e| storage(&e))
    }

    /// How many events are mirrored, and up to where in KurrentDB, at one moment.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn end(&self) -> Result<(Position, Option<Place>), LogError> {
        let both = "select coalesce((select max(position) + 1 from events), 0), commit_position, prepare_position \
                    from kurrent_mirror";
        let row = in_time(PATIENCE, sqlx::query(both).fetch_optional(&self.pool)).await?;
        let Some(row) = row else { return Ok((0, None)) };
        let number = |column| row.try_get::<i64, _>(column).map_err(|e| storage(&e));
        let (end, commit, prepare) = (number(0)?, number(1)?, number(2)?);
        let place = Place { commit: commit.cast_unsigned(), prepare: prepare.cast_unsigned() };
        Ok((end.cast_unsigned(), Some(place).filter(|_| commit >= 0 && end > 0)))
    }

    /// Writes a batch in one transaction, leaving out what another node has written.
    pub async fn write(&self, batch: &Batch) -> Result<Written, LogError> {
        let (names, owners) = streams(&batch.events);
        let events = || batch.events.iter();
        let column = |value: fn(&Arrived) -> i64| events().map(value).collect::<Vec<_>>();
        let ids = |value: fn(&Arrived) -> Option<Uuid>| {
            events().map(|arrived| value(arrived).map(|id| id.as_bytes().to_vec())).collect::<Vec<_>>()
        };
        let upto = batch.upto.unwrap_or_else(Place::start);
        let query = sqlx::query(
            "select * from mirror_kurrent($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
             $18, $19, $20)",
        );
        let query = query
            .bind(names)
            .bind(owners)
            .bind(column(|arrived| number(arrived.revision)))
            .bind(ids(|arrived| Some(arrived.event.id.0)))
            .bind(events().map(|arrived| arrived.event.kind.as_str()).collect::<Vec<_>>())
            .bind(column(|arrived| i64::from(arrived.event.schema)))
            .bind(column(|arrived| arrived.event.recorded_at.timestamp_micros()))
            .bind(column(|arrived| arrived.event.effective_at.unix()))
            .bind(events().map(|arrived| arrived.event.meta.actor.to_string()).collect::<Vec<_>>())
            .bind(ids(|arrived| arrived.event.meta.on_behalf_of.map(|id| id.0)))
            .bind(ids(|arrived| Some(arrived.event.meta.command_id.0)))
            .bind(ids(|arrived| arrived.event.meta.causation_id.map(|id| id.0)))
            .bind(ids(|arrived| Some(arrived.event.meta.correlation_id.0)))
            .bind(events().map(|arrived| arrived.event.payload.as_slice()).collect::<Vec<_>>())
            .bind(batch.changes.iter().map(|change| change.stream.as_str()).collect::<Vec<_>>())
            .bind(batch.changes.iter().map(|change| change.why.as_deref()).collect::<Vec<_>>())
            .bind(batch.changes.iter().map(|change| change.deleted).collect::<Vec<_>>())
            .bind(batch.changes.iter().map(|change| number(change.at.commit)).collect::<Vec<_>>())
            .bind(number(upto.commit))
            .bind(number(upto.prepare));
        let row = in_time(WRITING, query.fetch_one(&self.mirror)).await?;
        let next: i64 = row.try_get(0).map_err(|e| storage(&e))?;
        let bad: Option<i32> = row.try_get(1).map_err(|e| storage(&e))?;
        Ok(match bad.and_then(|bad| usize::try_from(bad).ok()) {
            Some(bad) => Written::Bad(bad.saturating_sub(1)),
            None => Written::Whole(next.cast_unsigned().checked_sub(1)),
        })
    }

    /// What is known of a stream, and its events from a revision on, at most `count`.
    pub async fn known(&self, stream: &StreamName, from: Revision, count: usize) -> Result<Known, LogError> {
        let known = "select (select max(revision) from events where stream = s.id), w.why, w.deleted, \
                     e.position, e.event_id \
                     from (select $1) as asked (name) left join streams s on s.name = asked.name \
                     left join kurrent_withdrawn w on w.stream = asked.name and w.why is not null \
                     left join events e on e.stream = s.id and e.revision >= $2 and e.revision < $3 \
                     order by e.position";
        let to = from.saturating_add(count as u64);
        let query = sqlx::query(known).bind(stream.as_str()).bind(number(from)).bind(number(to));
        let rows = in_time(PATIENCE, query.fetch_all(&self.pool)).await?;
        let mut known = Known::default();
        for row in rows {
            read(&row, &mut known).map_err(|e| storage(&e))?;
        }
        Ok(known)
    }

    /// Streams whose events somebody lets go away.
    pub async fn withdrawn(&self) -> Result<Vec<(StreamName, String)>, LogError> {
        let withdrawn = "select stream, why from kurrent_withdrawn where why is not null order by stream";
        let rows = sqlx::query_as::<_, (String, String)>(withdrawn).fetch_all(&self.pool).await;
        let rows = rows.map_err(|e| storage(&e))?;
        Ok(rows.into_iter().map(|(stream, why)| (StreamName::stored(stream), why)).collect())
    }

    /// Closes its connections.
    pub async fn close(&self) {
        self.pool.close().await;
        self.mirror.close().await;
    }

    fn failed(&self, error: &sqlx::Error) -> KurrentError {
        KurrentError::Database(self.postgres.failed(error))
    }
}

fn read(row: &PgRow, known: &mut Known) -> Result<(), sqlx::Error> {
    known.last = row.try_get::<Option<i64>, _>(0)?.map(i64::cast_unsigned);
    known.withdrawn = row.try_get::<Option<String>, _>(1)?.zip(row.try_get(2)?);
    if let (Some(position), Some(id)) =
        (row.try_get::<Option<i64>, _>(3)?, row.try_get::<Option<&[u8]>, _>(4)?)
    {
        let id = Uuid::from_slice(id).map_err(|e| sqlx::Error::Decode(Box::new(e)))?;
        known.there.push((position.cast_unsigned(), id.into()));
    }
    Ok(())
}

/// The streams of events, each once, and which is whose (from 1).
fn streams(events: &[Arrived]) -> (Vec<&str>, Vec<i32>) {
    let (mut names, mut numbers) = (Vec::new(), std::collections::HashMap::new());
    let owners = events.iter().map(|arrived| {
        *numbers.entry(&arrived.stream).or_insert_with(|| {
            names.push(arrived.stream.as_str());
            i32::try_from(names.len()).unwrap_or(i32::MAX)
        })
    });
    let owners = owners.collect();
    (names, owners)
}

/// What the database answers, unless it takes too long.
async fn in_time<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, LogError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => answer.map_err(|e| storage(&e)),
        Err(_) => Err(LogError::Storage("the database does not answer".into())),
    }
}

/// What the database said.
fn storage(error: &sqlx::Error) -> LogError {
    LogError::Storage(error.to_string())
}

//! Where a marketplace's data are kept: in its data folder alone, or in a database and an event log that nodes share.
//!
//! # Shape
//! Without `database`, log, views, private store and key halves are files of the data folder, and one server runs on it.
//! With it, they are tables, and any number of servers run; each still has a folder for its keys, which all nodes must have
//! alike, and for what its gateway keeps. With `log` too, the event log is KurrentDB's, mirrored in the database.
//!
//! # Correctness
//! A node whose keys are not those that the database was made with is refused before it changes anything: it could neither
//! open sealed secrets nor sign what devices believe.

use std::sync::Arc;

#[cfg(not(feature = "kurrentdb"))]
use anyhow::bail;
use anyhow::ensure;
use projections::{
    halves::Halves,
    log::{EventLog, postgres::PostgresLog, sqlite::SqliteLog},
    postgres::Postgres,
    private::Private,
    views::Store,
};

use crate::{
    app::DataDir,
    clock::Clock,
    config::{Config, Secret},
};

/// Where everything is kept.
#[derive(Debug, Clone)]
pub struct Stores {
    /// The folder.
    pub data: DataDir,
    database: Option<Postgres>,
    /// The address of the log, when it is not in the database.
    log: Option<Secret>,
}

impl Stores {
    /// What the configuration names; nothing is opened.
    ///
    /// # Errors
    /// When an address cannot be read, or this program was built without the log's engine.
    pub fn new(data: &DataDir, config: &Config) -> anyhow::Result<Self> {
        let set = |address: &Secret| Some(address.0.clone()).filter(|text| !text.is_empty());
        let database = set(&config.database).map(|url| Postgres::new(&url)).transpose()?;
        let log = set(&config.log).map(Secret);
        if let Some(Secret(log)) = &log {
            ensure!(
                database.is_some(),
                "the log lies on a server of its own, so the read models need a database that nodes share: name it \
                 with --database postgres://user:password@host/database"
            );
            ensure!(log.contains("://"), "the log's address must begin with esdb:// or esdb+discover://");
            #[cfg(not(feature = "kurrentdb"))]
            bail!("this program was built without KurrentDB; build it with the feature `kurrentdb`");
        }
        Ok(Self { data: data.clone(), database, log })
    }

    /// Whether other servers may use the same data.
    #[must_use]
    pub const fn are_shared(&self) -> bool {
        self.database.is_some()
    }

    /// What to call them, without a password.
    #[must_use]
    pub fn shown(&self) -> String {
        let folder = self.data.path().display();
        let Some(database) = &self.database else { return folder.to_string() };
        match self.log {
            Some(_) => format!("{}, its log on KurrentDB, and {folder}", database.shown()),
            None => format!("{} and {folder}", database.shown()),
        }
    }

    /// The database that nodes share.
    #[must_use]
    pub const fn database(&self) -> Option<&Postgres> {
        self.database.as_ref()
    }

    /// Makes sure that there is a ledger.
    ///
    /// # Errors
    /// When there is none.
    pub async fn must_exist(&self) -> anyhow::Result<()> {
        match &self.database {
            None => DataDir::existing(self.data.path()).map(drop),
            Some(database) => Ok(database.must_be_prepared().await?),
        }
    }

    /// Makes sure that there is no ledger yet.
    ///
    /// # Errors
    /// When there is one, or one cannot tell.
    pub async fn must_be_empty(&self) -> anyhow::Result<()> {
        let empty = match &self.database {
            None => !self.data.log().exists(),
            Some(database) => {
                database.prepare().await?;
                let log = self.open_log().await?;
                let private = Private::on(database).await?;
                let nobody = !private.has_accounts().await?;
                private.close().await;
                log.head().await?.is_none() && nobody
            }
        };
        ensure!(empty, "{} already holds a ledger; a demo starts from nothing", self.shown());
        Ok(())
    }

    /// The log, for reading and appending; made or brought up to date when needed.
    ///
    /// # Errors
    /// When it cannot be used.
    pub async fn open_log(&self) -> anyhow::Result<Arc<dyn EventLog>> {
        let Some(database) = &self.database else {
            return Ok(Arc::new(SqliteLog::open(self.data.log()).await?));
        };
        match &self.log {
            None => Ok(Arc::new(PostgresLog::open(database).await?)),
            Some(Secret(url)) => kurrent(url, database, true).await,
        }
    }

    /// The log of an existing ledger, for reading only.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub async fn read_log(&self) -> anyhow::Result<Arc<dyn EventLog>> {
        self.must_exist().await?;
        let Some(database) = &self.database else {
            return Ok(Arc::new(SqliteLog::open_read_only(self.data.log()).await?));
        };
        match &self.log {
            None => Ok(Arc::new(PostgresLog::open_read_only(database).await?)),
            Some(Secret(url)) => kurrent(url, database, false).await,
        }
    }

    /// The log of an existing ledger, for whoever copies it. A KurrentDB is mirrored first.
    ///
    /// # Errors
    /// As [`Stores::read_log`].
    pub async fn source_log(&self) -> anyhow::Result<Arc<dyn EventLog>> {
        if self.log.is_some() { self.open_log().await } else { self.read_log().await }
    }

    /// What to call the log, without a password.
    #[must_use]
    pub fn shown_log(&self) -> String {
        match (&self.log, &self.database) {
            (Some(_), Some(database)) => format!("KurrentDB, mirrored in {}", database.shown()),
            (_, Some(database)) => database.shown().to_owned(),
            (_, None) => self.data.log().display().to_string(),
        }
    }

    /// Holds KurrentDB against what was mirrored of it; none when the log is elsewhere.
    ///
    /// # Errors
    /// When one of the two cannot be read.
    #[cfg(feature = "kurrentdb")]
    pub async fn audit(
        &self,
        progress: &mut (dyn FnMut(u64, u64) + Send),
    ) -> anyhow::Result<Option<projections::log::kurrent::Audit>> {
        use projections::log::kurrent::KurrentLog;
        let (Some(Secret(url)), Some(database)) = (&self.log, &self.database) else { return Ok(None) };
        Ok(Some(KurrentLog::audit(url, database, progress).await?))
    }

    /// Where the views are.
    #[must_use]
    pub fn views(&self) -> Store {
        match &self.database {
            None => Store::File(self.data.views()),
            Some(database) => Store::from(database.clone()),
        }
    }

    /// People, tokens, secrets.
    ///
    /// # Errors
    /// When they cannot be used.
    pub async fn private(&self) -> anyhow::Result<Private> {
        Ok(match &self.database {
            None => Private::open(&self.data.private()).await?,
            Some(database) => Private::on(database).await?,
        })
    }

    /// The server's halves of volume keys.
    ///
    /// # Errors
    /// When they cannot be used.
    pub async fn halves(&self) -> anyhow::Result<Halves> {
        Ok(match &self.database {
            None => Halves::open(&self.data.halves()).await?,
            Some(database) => Halves::on(database).await?,
        })
    }

    /// The clock that all nodes go by: the database's, or this machine's own.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn clock(&self) -> anyhow::Result<Clock> {
        match &self.database {
            None => Ok(Clock::System),
            Some(database) => Clock::shared(database).await,
        }
    }
}

#[cfg(feature = "kurrentdb")]
async fn kurrent(url: &str, database: &Postgres, write: bool) -> anyhow::Result<Arc<dyn EventLog>> {
    use projections::log::kurrent::KurrentLog;
    Ok(Arc::new(match write {
        true => KurrentLog::open(url, database).await?,
        false => KurrentLog::open_read_only(database).await?,
    }))
}

#[cfg(not(feature = "kurrentdb"))]
async fn kurrent(_url: &str, _database: &Postgres, _write: bool) -> anyhow::Result<Arc<dyn EventLog>> {
    bail!("this program was built without KurrentDB")
}

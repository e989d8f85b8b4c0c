//! A data folder that holds a generated marketplace, and the command line on it.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use fixtures::market::{Commit, Market};
use futures_util::future::join_all;
use projections::log::{Append, EventLog, sqlite::SqliteLog};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// Appends that are on their way together: the log takes them in order and syncs them together.
const TOGETHER: usize = 256;

/// A folder with the ledger of a generated marketplace, and no views yet.
pub struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    pub async fn of_market(seed: u64, devices: usize, appends: usize) -> Self {
        let folder = Self { dir: tempfile::tempdir().unwrap() };
        let log = SqliteLog::open(folder.path().join("log.db")).await.unwrap();
        let mut commits = Market::new(seed, devices).take(appends).peekable();
        while commits.peek().is_some() {
            let together = commits.by_ref().take(TOGETHER).map(|Commit { stream, after, events }| {
                log.append(Append { stream, expected: after.into(), events })
            });
            for outcome in join_all(together).await {
                outcome.unwrap();
            }
        }
        folder
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The command line on the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_berth"));
        command.args(arguments).arg("--data").arg(self.path()).env("BERTH_LOG", "error");
        command
    }

    /// What the command line on the folder came to.
    pub fn berth(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command that must succeed prints.
    #[track_caller]
    pub fn prints(&self, arguments: &[&str]) -> String {
        let output = self.berth(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Changes a file of the folder behind the program's back; answers how many rows that were.
    pub async fn tamper(&self, file: &str, sql: &str) -> u64 {
        let options = SqliteConnectOptions::new().filename(self.file(file));
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        // Whoever tampers with the ledger takes its guards away first.
        for guard in ["events_are_not_changed", "events_are_not_deleted"] {
            let drop = format!("drop trigger if exists {guard}");
            sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut db).await.unwrap();
        }
        let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        done.rows_affected()
    }
}

//! The views' tables and checkpoints, in a file or on a server.

use domain::{event::Position, id::EventId, key::Digest};

use super::{Folder, ViewError};
use crate::{
    db::{Array, Db, Kind, Param},
    rows::BadColumn,
};

/// Tables that are being built bear this suffix until they replace the served ones.
pub const BUILD: &str = "__build";

/// A view's row in the table `checkpoints`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The fold's version.
    pub version: u32,
    /// The table's form.
    pub digest: Digest,
    /// Counts rebuilds.
    pub generation: u64,
    /// The first position not folded.
    pub next: Position,
    /// The event before it: tells whether the log is still the one that was folded.
    pub last: Option<EventId>,
}

/// A DDL text's statements without comments.
#[must_use]
pub fn statements(ddl: &str) -> Vec<String> {
    let code =
        ddl.lines().map(|line| line.split("--").next().unwrap_or("").trim()).filter(|line| !line.is_empty());
    let code = code.collect::<Vec<_>>().join(" ");
    code.split(';').map(str::trim).filter(|s| !s.is_empty()).map(String::from).collect()
}

/// Identifies the form of tables; comments do not count.
pub(crate) fn digest(ddl: &str) -> Digest {
    Digest::of(statements(ddl).join(";").as_bytes())
}

/// Makes a view's tables under names of their own, without indexes; drops what an earlier attempt left, and tables
/// without a checkpoint.
pub(crate) fn create(db: &Db, view: &dyn Folder, served: bool) -> Result<(), ViewError> {
    let (statements, schema) = (statements(view.ddl()), db.schema());
    for name in view.tables() {
        db.batch(&format!("drop table if exists {schema}{name}{BUILD}"))?;
        if !served {
            db.batch(&format!("drop table if exists {schema}{name}"))?;
        }
        let head = format!("create table {name} ");
        for statement in statements.iter().filter(|s| s.starts_with(&head)) {
            let named = statement.replacen(&head, &format!("create table {schema}{name}{BUILD} "), 1);
            db.batch(&db.ddl(&named))?;
        }
    }
    Ok(())
}

/// Makes the indexes of a view that is being built. An index keeps its name for life, so the rebuild's number is in it.
pub(crate) fn create_indexes(db: &Db, view: &dyn Folder, generation: u64) -> Result<(), ViewError> {
    for statement in statements(view.ddl()).iter().filter(|s| !s.starts_with("create table")) {
        let made = view.tables().iter().fold(statement.clone(), |made, name| {
            let made =
                made.replacen(&format!("index {name}_by_"), &format!("index {name}_{generation}_by_"), 1);
            made.replacen(&format!(" on {name} "), &format!(" on {name}{BUILD} "), 1)
        });
        db.long(&db.ddl(&made))?;
    }
    if let Db::Postgres(_) = db {
        for name in view.tables() {
            db.long(&format!("analyze {name}{BUILD}"))?;
        }
    }
    Ok(())
}

/// Puts the built tables in the served ones' place.
pub(crate) fn replace(db: &Db, view: &dyn Folder) -> Result<(), ViewError> {
    let schema = db.schema();
    for name in view.tables() {
        db.batch(&format!(
            "drop table if exists {schema}{name}; alter table {schema}{name}{BUILD} rename to {name}"
        ))?;
    }
    Ok(())
}

/// Takes the tables for itself that are about to be replaced, in the open transaction; false while somebody reads them: a
/// long reading is not waited for, or everybody after it would wait too.
pub(crate) fn take<'a>(db: &Db, views: impl Iterator<Item = &'a dyn Folder>) -> Result<bool, ViewError> {
    let Db::Postgres(session) = db else { return Ok(true) };
    let schema = db.schema();
    let tables = views.flat_map(|view| view.tables()).map(|name| format!("'{schema}{name}'"));
    let tables = tables.collect::<Vec<_>>().join(", ");
    session.batch(&format!(
        "set local lock_timeout = '1s'; set local idle_in_transaction_session_timeout = '60s';
         do $$ declare t text; begin
             foreach t in array array[{tables}] loop
                 if to_regclass(t) is not null then
                     execute 'lock table ' || t || ' in access exclusive mode';
                 end if;
             end loop;
             perform set_config('lock_timeout', '10s', true);
         exception when lock_not_available then
             perform set_config('berth.taken', 'no', true);
         end $$"
    ))?;
    let refused =
        db.value::<String>("select coalesce(current_setting('berth.taken', true), '')", Vec::new())?;
    Ok(refused.as_deref() != Some("no"))
}

/// All views' checkpoints, by their names.
pub(crate) fn checkpoints(db: &Db) -> Result<Vec<(String, Checkpoint)>, ViewError> {
    let mut found = Vec::new();
    let bad = |e: BadColumn| ViewError::BadRow { table: "checkpoints", why: e.to_string() };
    db.each("select view, version, digest, generation, next, last from checkpoints", Vec::new(), |row| {
        let view = row.take().map_err(bad)?;
        let checkpoint = Checkpoint {
            version: row.take().map_err(bad)?,
            digest: row.take().map_err(bad)?,
            generation: row.take().map_err(bad)?,
            next: row.take().map_err(bad)?,
            last: row.take().map_err(bad)?,
        };
        found.push((view, checkpoint));
        Ok::<_, ViewError>(true)
    })?;
    Ok(found)
}

/// Reads a view's checkpoint.
pub(crate) fn checkpoint(db: &Db, view: &str) -> Result<Option<Checkpoint>, ViewError> {
    Ok(checkpoints(db)?.into_iter().find(|(name, _)| name == view).map(|(_, checkpoint)| checkpoint))
}

const SET: &str = "insert into checkpoints (view, version, digest, generation, next, last)";
const CHANGE: &str = "on conflict (view) do update set version = excluded.version, digest = excluded.digest, \
     generation = excluded.generation, next = excluded.next, last = excluded.last";

/// Writes views' checkpoints.
pub(crate) fn set_checkpoints(db: &Db, all: &[(&str, Checkpoint)]) -> Result<(), ViewError> {
    let params = |(view, to): &(&str, Checkpoint)| {
        vec![
            Param { kind: Kind::Text, value: (*view).to_owned().into() },
            Param::of(&to.version),
            Param::of(&to.digest),
            Param::of(&to.generation),
            Param::of(&to.next),
            Param::of(&to.last),
        ]
    };
    if let Db::Postgres(session) = db {
        let mut columns = [Kind::Text, Kind::Integer, Kind::Blob, Kind::Integer, Kind::Integer, Kind::Blob]
            .map(|kind| (kind, Array::new(kind)));
        for row in all {
            for ((_, column), param) in columns.iter_mut().zip(params(row)) {
                column.push(param.value);
            }
        }
        let casts: Vec<_> = columns.iter().map(|(kind, _)| format!("?::{}", Array::cast(*kind))).collect();
        let sql = format!("{SET} select * from unnest({}) {CHANGE}", casts.join(", "));
        return session.execute_columns(&sql, columns.map(|(_, column)| column).into()).map(drop);
    }
    for row in all {
        db.execute(&format!("{SET} values (?, ?, ?, ?, ?, ?) {CHANGE}"), params(row))?;
    }
    Ok(())
}

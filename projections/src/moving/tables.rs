//! Which tables there are, as the databases themselves say.

use crate::sql::{Tx, made, sql, two};

/// Tables that are not moved, and why.
pub const LEFT_BEHIND: [(&str, &str); 13] = [
    ("_sqlx_migrations", "each kind of store has migrations of its own"),
    ("nodes", "they are servers that run, at their own place"),
    ("listening", "it says since when servers of that place have listened"),
    ("device_memories", "what is remembered of a device's last answers is learnt again"),
    ("statuses", "they are of servers that run"),
    ("gateways", "they report again to the servers of the new place"),
    ("leader_leases", "they name servers that run, by the clock of their own place"),
    ("schema_floor", "it says which programs can use the database that it stands in"),
    ("view_forms", "views are folded again from the log"),
    ("streams", "the log is copied by itself"),
    ("events", "the log is copied by itself"),
    ("kurrent_mirror", "a mirror is of one KurrentDB, and is read again from there"),
    ("kurrent_withdrawn", "a mirror is of one KurrentDB, and is read again from there"),
];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Number,
    Text,
    Bytes,
}

/// A column, the same in both kinds of store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// Where it stands in the key, from 1; 0 outside it.
    pub key: i64,
    /// Whether the database gives its numbers, and gives none twice.
    pub counted: bool,
}

/// A table, its columns by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
}

impl Table {
    /// Its name in a statement.
    pub fn quoted(&self) -> String {
        quoted(&self.name)
    }

    /// The columns of its key, in their order; all, where it has none.
    pub fn keys(&self) -> Vec<usize> {
        let mut keys: Vec<_> = (0..self.columns.len()).filter(|n| self.columns[*n].key > 0).collect();
        keys.sort_by_key(|n| self.columns[*n].key);
        if keys.is_empty() { (0..self.columns.len()).collect() } else { keys }
    }

    /// The column whose numbers the database gives.
    pub fn counted(&self) -> Option<&Column> {
        self.columns.iter().find(|column| column.counted)
    }
}

/// A name in a statement.
pub fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

/// The tables to move, by name.
pub async fn moved(tx: &mut Tx) -> sqlx::Result<Vec<Table>> {
    let query = two(
        "select t.name, c.name, lower(c.type), c.pk, c.pk = 1 and lower(t.sql) like '% primary key autoincrement%'
         from sqlite_schema t join pragma_table_info(t.name) c
         where t.type = 'table' and substr(t.name, 1, 7) <> 'sqlite_' order by t.name, c.name",
        "select t.relname::text, c.attname::text, format_type(c.atttypid, null),
             coalesce(array_position(i.indkey::int2[], c.attnum) + 1, 0)::bigint,
             (c.attidentity <> '')::int::bigint
         from pg_class t join pg_attribute c on c.attrelid = t.oid
         left join pg_index i on i.indrelid = t.oid and i.indisprimary
         where t.relnamespace = current_schema()::regnamespace and t.relkind in ('r', 'p')
             and c.attnum > 0 and not c.attisdropped
         order by t.relname, c.attname",
    );
    let mut found: Vec<Table> = Vec::new();
    for (table, name, kind, key, counted) in query.all::<(String, String, String, i64, i64)>(&mut *tx).await?
    {
        if LEFT_BEHIND.iter().any(|(left, _)| *left == table) {
            continue;
        }
        let kind = match kind.as_str() {
            "integer" | "bigint" => Kind::Number,
            "text" => Kind::Text,
            "blob" | "bytea" => Kind::Bytes,
            other => {
                let why = format!("{table}.{name} is of the type {other}, which cannot be moved");
                return Err(sqlx::Error::Protocol(why));
            }
        };
        let column = Column { name, kind, key, counted: counted == 1 };
        match found.last_mut().filter(|last| last.name == table) {
            Some(last) => last.columns.push(column),
            None => found.push(Table { name: table, columns: vec![column] }),
        }
    }
    Ok(found)
}

/// The names of the tables to move, for a statement.
pub async fn names(tx: &mut Tx) -> sqlx::Result<Vec<String>> {
    Ok(moved(tx).await?.iter().map(Table::quoted).collect())
}

/// The tables, when both places have the same; else the first difference.
pub fn same(ours: Vec<Table>, theirs: Vec<Table>) -> Result<Vec<Table>, String> {
    let other = |table: &Table, among: &[Table]| among.iter().find(|other| other.name == table.name).cloned();
    for table in &ours {
        let Some(their) = other(table, &theirs) else {
            return Err(format!("the target has no table {}", table.name));
        };
        let lacks = |of: &Table, column: &Column| !of.columns.contains(column);
        if let Some(column) = table.columns.iter().find(|column| lacks(&their, column)) {
            return Err(format!("the target has no such column as {}.{}", table.name, column.name));
        }
        if let Some(column) = their.columns.iter().find(|column| lacks(table, column)) {
            return Err(format!("the source has no such column as {}.{}", table.name, column.name));
        }
    }
    match theirs.iter().find(|table| other(table, &ours).is_none()) {
        Some(table) => Err(format!("the source has no table {}", table.name)),
        None if ours.is_empty() => Err("there are no tables".into()),
        None => Ok(ours),
    }
}

/// Whether a server of a database that nodes share leads something: then it runs. A file has a lock for that.
pub async fn is_led(tx: &mut Tx) -> sqlx::Result<bool> {
    if matches!(tx, Tx::Sqlite(_)) {
        return Ok(false);
    }
    let leases = "select 1::bigint where to_regclass(current_schema() || '.leader_leases') is not null";
    if !sql(leases).any(&mut *tx).await? {
        return Ok(false);
    }
    sql("select 1::bigint from leader_leases where until > clock_timestamp() limit 1").any(tx).await
}

/// The last number that the database gave.
pub async fn given(tx: &mut Tx, table: &Table, column: &Column) -> sqlx::Result<i64> {
    let query = two(
        "select coalesce(max(seq), 0) from sqlite_sequence where name = ?1 and ?2 = ?2",
        "select coalesce(pg_sequence_last_value(pg_get_serial_sequence(?1, ?2)::regclass), 0)",
    );
    let (last,) = query.bind(&table.name).bind(&column.name).one(tx).await?;
    Ok(last)
}

/// Has the database give only numbers above `given`.
pub async fn go_on_after(tx: &mut Tx, table: &Table, column: &Column, given: i64) -> sqlx::Result<()> {
    if self::given(tx, table, column).await? >= given {
        return Ok(());
    }
    match tx {
        Tx::Sqlite(_) => {
            sql("delete from sqlite_sequence where name = ?").bind(&table.name).execute(&mut *tx).await?;
            let query = sql("insert into sqlite_sequence (name, seq) values (?, ?)");
            query.bind(&table.name).bind(given).execute(tx).await?;
        }
        // This outlives a transaction that is undone; then only numbers are left out.
        Tx::Postgres(_) => {
            let query = made("select setval(pg_get_serial_sequence(?, ?)::regclass, ?)".to_owned());
            query.bind(&table.name).bind(&column.name).bind(given).one::<(i64,)>(tx).await?;
        }
    }
    Ok(())
}

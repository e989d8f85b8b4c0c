//! Reading a table row by row, in an order that both databases agree on.

use futures_util::{StreamExt, stream::BoxStream};
use sqlx::{AssertSqlSafe, ColumnIndex, Database, Decode, Row, Type};

use super::tables::{Kind, Table, quoted};
use crate::sql::{Tx, Value};

/// Every row, ordered by its key: bytes and texts byte by byte. What is not asked for yet waits in the database.
pub fn rows<'a>(tx: &'a mut Tx, table: &'a Table) -> BoxStream<'a, sqlx::Result<Vec<Value>>> {
    let columns: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let bytewise = if matches!(tx, Tx::Postgres(_)) { " collate \"C\"" } else { " collate binary" };
    let order = table.keys().into_iter().map(|key| match table.columns[key].kind {
        Kind::Text => format!("{}{bytewise}", columns[key]),
        Kind::Number | Kind::Bytes => columns[key].clone(),
    });
    let (columns, order) = (columns.join(", "), order.collect::<Vec<_>>().join(", "));
    let text = AssertSqlSafe(format!("select {columns} from {} order by {order}", table.quoted()));
    match tx {
        Tx::Sqlite(tx) => sqlx::query(text).fetch(&mut **tx).map(|row| values(&row?, table)).boxed(),
        Tx::Postgres(tx) => sqlx::query(text).fetch(&mut **tx).map(|row| values(&row?, table)).boxed(),
    }
}

fn values<R: Row>(row: &R, table: &Table) -> sqlx::Result<Vec<Value>>
where
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
    R::Database: Database,
{
    let value = |(n, column): (usize, &super::tables::Column)| {
        Ok(match column.kind {
            Kind::Number => Value::Number(row.try_get(n)?),
            Kind::Text => Value::Text(row.try_get(n)?),
            Kind::Bytes => Value::Bytes(row.try_get(n)?),
        })
    };
    table.columns.iter().enumerate().map(value).collect()
}

/// What to call a row: its key.
pub fn name(table: &Table, row: &[Value]) -> String {
    let told = |value: &Value| match value {
        Value::Number(Some(number)) => number.to_string(),
        Value::Text(Some(text)) => format!("{text:?}"),
        Value::Bytes(Some(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        _ => "null".to_owned(),
    };
    let keys = table.keys().into_iter().filter_map(|key| {
        let (column, value) = (table.columns.get(key)?, row.get(key)?);
        Some(format!("{} {}", column.name, told(value)))
    });
    keys.collect::<Vec<_>>().join(", ")
}

/// How two rows differ that should be the same; no value outside the key is shown.
pub fn difference(table: &Table, ours: Option<&[Value]>, theirs: Option<&[Value]>) -> String {
    let at = &table.name;
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if name(table, ours) == name(table, theirs) => {
            let differ = table.columns.iter().zip(ours.iter().zip(theirs)).filter(|(_, (a, b))| a != b);
            let columns: Vec<_> = differ.map(|(column, _)| column.name.as_str()).collect();
            format!("in {at}, {} has another {}", name(table, ours), columns.join(", "))
        }
        (ours, theirs) => {
            let told = |row: Option<&[Value]>| row.map_or("nothing".to_owned(), |row| name(table, row));
            format!("in {at}, the source has {} where the target has {}", told(ours), told(theirs))
        }
    }
}

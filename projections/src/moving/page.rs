//! Rows that are written together.

use super::{
    MoveError, read,
    tables::{Table, quoted},
};
use crate::sql::{Tx, Value, listed, made};

/// Rows of one statement at most: both databases take more values than that.
pub const MAX_ROWS: usize = 200;
/// Bytes after which a page is written.
const FULL: usize = 1 << 20;

/// Rows of one table.
#[derive(Debug)]
pub struct Page<'a> {
    table: &'a Table,
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl<'a> Page<'a> {
    /// An empty one.
    pub fn new(table: &'a Table) -> Self {
        Self { table, rows: Vec::with_capacity(MAX_ROWS), bytes: 0 }
    }

    /// One more row.
    pub fn push(&mut self, row: Vec<Value>) {
        self.bytes += row.iter().map(size).sum::<usize>();
        self.rows.push(row);
    }

    /// Whether it is time to write it.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= MAX_ROWS || self.bytes >= FULL
    }

    /// Writes the rows, and is empty again; answers how many they were.
    pub async fn write(&mut self, to: &mut Tx) -> Result<u64, MoveError> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(0);
        }
        let (postgres, columns) = (matches!(to, Tx::Postgres(_)), &self.table.columns);
        let names: Vec<_> = columns.iter().map(|column| quoted(&column.name)).collect();
        let values = format!("({})", listed("?", columns.len()));
        // Else PostgreSQL takes no number for a column that it numbers itself.
        let own = if postgres && self.table.counted().is_some() { "overriding system value " } else { "" };
        let mut query = made(format!(
            "insert into {} ({}) {own}values {}",
            self.table.quoted(),
            names.join(", "),
            listed(&values, rows.len())
        ));
        let written = rows.len() as u64;
        for row in rows {
            for (column, value) in columns.iter().zip(&row) {
                if postgres && matches!(value, Value::Text(Some(text)) if text.contains('\0')) {
                    let (table, column) = (self.table.name.clone(), column.name.clone());
                    return Err(MoveError::Nul { row: read::name(self.table, &row), table, column });
                }
            }
            for value in row {
                query = query.bind(value);
            }
        }
        query.execute(to).await?;
        Ok(written)
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Number(_) => size_of::<i64>(),
        Value::Text(text) => text.as_ref().map_or(0, String::len),
        Value::Bytes(bytes) => bytes.as_ref().map_or(0, Vec::len),
    }
}

//! Values: numbers, texts and bytes, each of which may be missing.

use domain::{id::AccountId, id::DeviceId, key::Digest, time::Time};
use sqlx::{Arguments, Database, Encode, Type};
use uuid::Uuid;

/// A value that a statement is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number.
    Number(Option<i64>),
    /// A text.
    Text(Option<String>),
    /// Bytes.
    Bytes(Option<Vec<u8>>),
}

/// The values, as a database takes them.
pub(super) fn arguments<DB: Database>(values: &[Value]) -> sqlx::Result<DB::Arguments>
where
    for<'q> Option<i64>: Encode<'q, DB> + Type<DB>,
    for<'q> Option<String>: Encode<'q, DB> + Type<DB>,
    for<'q> Option<Vec<u8>>: Encode<'q, DB> + Type<DB>,
{
    let mut arguments = DB::Arguments::default();
    for value in values {
        match value.clone() {
            Value::Number(number) => arguments.add(number),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// PostgreSQL's texts cannot hold a NUL.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

macro_rules! from {
    ($($type:ty, $value:ident => $made:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        }
    )*};
}

from! {
    i64, number => Self::Number(Some(number));
    u32, number => Self::Number(Some(number.into()));
    bool, yes => Self::Number(Some(yes.into()));
    Option<i64>, number => Self::Number(number);
    Time, at => Self::Number(Some(at.unix()));
    Option<Time>, at => Self::Number(at.map(Time::unix));
    &str, text => text.to_owned().into();
    String, text => Some(text).into();
    &String, text => text.clone().into();
    Option<String>, text => Self::Text(text.map(without_nul));
    &Option<String>, text => text.clone().into();
    Option<&str>, text => text.map(ToOwned::to_owned).into();
    &[u8], bytes => bytes.to_vec().into();
    Vec<u8>, bytes => Self::Bytes(Some(bytes));
    &Vec<u8>, bytes => bytes.clone().into();
    Option<Vec<u8>>, bytes => Self::Bytes(bytes);
    Uuid, id => id.as_bytes().as_slice().into();
    Option<Uuid>, id => Self::Bytes(id.map(|id| id.as_bytes().to_vec()));
    AccountId, id => id.0.into();
    Option<AccountId>, id => id.map(|id| id.0).into();
    DeviceId, id => id.0.into();
    Digest, digest => digest.0.as_slice().into();
    Option<Digest>, digest => Self::Bytes(digest.map(|digest| digest.0.to_vec()));
}

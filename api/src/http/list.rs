//! Lists: a limit, an opaque cursor, and where to go on.

use std::{fmt::Display, str::FromStr};

use axum::http::{Uri, header};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::event::Position;
use projections::views::Page;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::answer::{Answer, next_link};
use crate::error::Problem;

/// The most items of one answer.
pub const MAX_ITEMS: usize = 200;
/// Items of one answer when the caller does not say.
const DEFAULT_ITEMS: usize = 50;
/// The longest cursor, in bytes.
const MAX_CURSOR: usize = 200;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// The `cursor` of the next part; null at the end.
    #[schema(required)]
    pub next: Option<String>,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Part {
    /// Items wanted: 1 to 200, 50 when not given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// `next` of the answer before.
    pub cursor: Option<String>,
}

/// Declares the query of a list: its filters, `limit` and `cursor`; anything else is refused.
macro_rules! list_query {
    ($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            $($(#[$fdoc])* pub $field: Option<$ty>,)*
            /// Items wanted: 1 to 200, 50 when not given.
            #[param(minimum = 1, maximum = 200)]
            pub limit: Option<usize>,
            /// `next` of the answer before.
            pub cursor: Option<String>,
        }

        impl $name {
            /// The part of the list that is wanted.
            #[must_use]
            pub fn part(&self) -> $crate::http::list::Part {
                $crate::http::list::Part { limit: self.limit, cursor: self.cursor.clone() }
            }
        }
    };
}
pub(super) use list_query;

impl Part {
    /// Items wanted.
    ///
    /// # Errors
    /// 422 when outside 1 to 200.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(DEFAULT_ITEMS),
            Some(limit @ 1..=MAX_ITEMS) => Ok(limit),
            Some(_) => Err(Problem::invalid(format!("limit must be 1 to {MAX_ITEMS}"))),
        }
    }

    /// Where to go on in lists of one kind.
    ///
    /// # Errors
    /// 400 when the cursor is not one of this kind.
    pub fn after<C: FromStr>(&self, kind: &str) -> Result<Option<C>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let bytes =
            Some(cursor).filter(|c| c.len() <= MAX_CURSOR).and_then(|c| URL_SAFE_NO_PAD.decode(c).ok());
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let value = text.as_deref().and_then(|text| text.strip_prefix(kind)?.strip_prefix(' ')?.parse().ok());
        let unreadable =
            || Problem::malformed("the cursor is not one of this list; take `next` of the answer before");
        value.map(Some).ok_or_else(unreadable)
    }

    /// The page of a view in which things are listed newest first; one more than wanted, to see whether more follow.
    ///
    /// # Errors
    /// As [`Part::limit`] and [`Part::after`].
    pub fn newest(&self, kind: &str) -> Result<Page, Problem> {
        let (after, limit) = (self.after::<Position>(kind)?, self.limit()? + 1);
        Ok(Page { after, newest_first: true, limit })
    }

    /// As [`Part::newest`], of a list in which the oldest things come first.
    ///
    /// # Errors
    /// As [`Part::newest`].
    pub fn oldest(&self, kind: &str) -> Result<Page, Problem> {
        Ok(Page { newest_first: false, ..self.newest(kind)? })
    }

    /// The answer to a question for one row more than wanted.
    ///
    /// # Errors
    /// As [`Part::limit`].
    pub fn answer<R, T, C: Display>(
        &self,
        uri: &Uri,
        kind: &str,
        mut rows: Vec<R>,
        cursor: impl FnOnce(&R) -> C,
        item: impl FnMut(R) -> T,
    ) -> Result<Answer<List<T>>, Problem> {
        let limit = self.limit()?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(cursor);
        Ok(page(uri, kind, rows.into_iter().map(item).collect(), next))
    }
}

/// A page of a list of one kind, with where to go on.
fn page<T, C: Display>(uri: &Uri, kind: &str, items: Vec<T>, next: Option<C>) -> Answer<List<T>> {
    let next = next.map(|next| URL_SAFE_NO_PAD.encode(format!("{kind} {next}")));
    let link = next.as_deref().map(|next| next_link(uri, next));
    let answer = Answer::ok(List { items, next });
    match link {
        Some(link) => answer.header(header::LINK, &link),
        None => answer,
    }
}

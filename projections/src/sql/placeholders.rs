//! Placeholders: `?` and `?1`, as SQLite has them, become `$1`, as PostgreSQL has them.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, PoisonError, RwLock},
};

/// Statements translated before: as many as the program has.
static KNOWN: LazyLock<RwLock<HashMap<&'static str, Arc<str>>>> = LazyLock::new(RwLock::default);

/// A statement of the program as PostgreSQL has it; translated once.
pub(super) fn numbered(text: &'static str) -> Arc<str> {
    if let Some(known) = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(text) {
        return known.clone();
    }
    let translated: Arc<str> = translated(text).into();
    KNOWN.write().unwrap_or_else(PoisonError::into_inner).insert(text, translated.clone());
    translated
}

/// A statement as PostgreSQL has it. A bare `?` is the number after the largest before it; what is quoted or a comment stays.
pub(super) fn translated(text: &str) -> String {
    let (mut out, mut rest, mut largest) = (String::with_capacity(text.len() + 16), text, 0_usize);
    while let Some(at) = rest.find(['?', '\'', '"', '-', '/']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match rest.as_bytes() {
            [b'?', ..] => {
                let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                let number = rest[1..=digits].parse().unwrap_or(largest + 1);
                largest = largest.max(number);
                out.push('$');
                out.push_str(&number.to_string());
                rest = &rest[1 + digits..];
                continue;
            }
            // A doubled quotation mark ends one text and begins the next, which comes to the same.
            [quote @ (b'\'' | b'"'), ..] => rest[1..].find(char::from(*quote)).map(|end| end + 2),
            [b'-', b'-', ..] => rest.find('\n'),
            [b'/', b'*', ..] => rest.find("*/").map(|end| end + 2),
            _ => Some(1),
        };
        let taken = taken.unwrap_or(rest.len());
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_placeholder_counts_on_from_the_largest_before_it() {
        assert_eq!(translated("select ?, ? where a = ?"), "select $1, $2 where a = $3");
        assert_eq!(translated("values (?1, ?2, ?2, ?12)"), "values ($1, $2, $2, $12)");
        assert_eq!(translated("?3 ? ?1 ?"), "$3 $4 $1 $5");
        assert_eq!(translated("select 1"), "select 1");
    }

    #[test]
    fn what_is_quoted_or_a_comment_stays() {
        assert_eq!(translated("a = 'why?' and b = ?"), "a = 'why?' and b = $1");
        assert_eq!(translated("'it''s ?' || ? || '?'"), "'it''s ?' || $1 || '?'");
        assert_eq!(translated("\"odd?\" = ? - ? / ?"), "\"odd?\" = $1 - $2 / $3");
        assert_eq!(translated("? -- really?\n, ?"), "$1 -- really?\n, $2");
        assert_eq!(translated("? /* '? */ ?"), "$1 /* '? */ $2");
        assert_eq!(translated("what = 'ä?' ? -- ?"), "what = 'ä?' $1 -- ?");
        assert_eq!(translated("? 'never ended ?"), "$1 'never ended ?");
    }

    #[test]
    fn a_statement_is_translated_once() {
        let text = "select ? as translated_once";
        assert!(Arc::ptr_eq(&numbered(text), &numbered(text)));
        assert_eq!(&*numbered(text), "select $1 as translated_once");
    }
}

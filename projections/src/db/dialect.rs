//! SQLite's words in PostgreSQL's: the views' SQL is written once.
//!
//! Of what both understand nothing is changed. What differs is a short list, and each entry has a test: parameters, byte
//! strings, the unary plus that keeps a condition off an index, `instr`, `json_each`, and types of columns.

/// A question or change. `?` becomes `$1`, `$2` … in order; `?2` becomes `$2`.
#[must_use]
pub fn query(sql: &str) -> String {
    let sql = sql
        .replace(
            "select value from json_each(?)",
            "select value::bigint from json_array_elements_text(?::json)",
        )
        .replace("cast(? as integer)", "cast(? as bigint)")
        .replace("instr(", "strpos(");
    let mut out = String::with_capacity(sql.len() + 16);
    let mut rest = sql.chars().peekable();
    let (mut next, mut before) = (0, ' ');
    while let Some(c) = rest.next() {
        match c {
            '?' => {
                let mut number = String::new();
                while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                    number.push(digit);
                }
                if number.is_empty() {
                    next += 1;
                    number = next.to_string();
                }
                out.push('$');
                out.push_str(&number);
            }
            '+' if matches!(before, ' ' | '(') && rest.peek().is_some_and(char::is_ascii_alphabetic) => {}
            'x' if !before.is_alphanumeric() && rest.peek() == Some(&'\'') => {
                rest.next();
                let hex: String = std::iter::from_fn(|| rest.next_if(|c| *c != '\'')).collect();
                rest.next();
                out.push_str(&format!("'\\x{hex}'::bytea"));
            }
            // What is quoted stays as it is.
            '\'' => {
                out.push(c);
                for quoted in rest.by_ref() {
                    out.push(quoted);
                    if quoted == '\'' {
                        break;
                    }
                }
            }
            c => out.push(c),
        }
        before = c;
    }
    out
}

/// A `create table` or `create index`. Text sorts by its bytes, as in SQLite.
#[must_use]
pub fn ddl(statement: &str) -> String {
    let statement = query(statement);
    let Some((head, columns)) = statement.split_once('(').filter(|_| statement.starts_with("create table"))
    else {
        return statement;
    };
    let columns = columns.replace(" strict", "").replace(", without rowid", "");
    let columns = columns.replace(" integer", " bigint").replace(" blob", " bytea");
    format!("{head}({}", columns.replace(" text", " text collate \"C\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_and_what_is_quoted_stays() {
        for (ours, theirs) in [
            ("a = ? and b = ?", "a = $1 and b = $2"),
            ("a = ?2 and b = ?1", "a = $2 and b = $1"),
            ("a = '?' and b = ?", "a = '?' and b = $1"),
            ("d <> x'00ff'", "d <> '\\x00ff'::bytea"),
            ("x = 'x' and +asset = ? and (+place = ?)", "x = 'x' and asset = $1 and (place = $2)"),
            ("instr(words, ?) > 0", "strpos(words, $1) > 0"),
            ("(a, b) > (cast(? as integer), ?)", "(a, b) > (cast($1 as bigint), $2)"),
        ] {
            assert_eq!(query(ours), theirs);
        }
    }

    #[test]
    fn a_table_has_the_same_columns_in_its_types() {
        let ours = "create table t ( a integer not null check (a >= 0), b text, c blob unique, primary key (a) ) strict, \
                    without rowid";
        let theirs = "create table t ( a bigint not null check (a >= 0), b text collate \"C\", c bytea unique, primary \
                      key (a) )";
        assert_eq!(ddl(ours), theirs);
        assert_eq!(ddl("create index t_by_a on t (a)"), "create index t_by_a on t (a)");
    }
}

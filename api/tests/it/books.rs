//! The exported journal, judged by accounting programs that nobody here wrote.

use std::process::Command;

use crate::market::Folder;

/// A program, its arguments before the file, and the package that holds it.
type Judge = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);

const HLEDGER: Judge = ("hledger", &["-f"], &["check", "-s", "ordereddates"], "hledger");
const LEDGER: Judge = ("ledger", &["--pedantic", "-f"], &["balance"], "ledger");
const BEANCOUNT: Judge = ("bean-check", &[], &[], "beancount");

/// Whether a program accepts the books, and what it says.
fn judged((program, before, after, package): Judge, books: &str) -> (bool, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), books).unwrap();
    let output = Command::new(program).args(before).arg(file.path()).args(after).output();
    let output = output.unwrap_or_else(|e| {
        panic!("{program} does not run ({e}); `apt-get install {package}`, or use .ci/test")
    });
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn accepted(judge: Judge, books: &str) {
    let (ok, said) = judged(judge, books);
    assert!(ok, "{}: {}", judge.0, said.chars().take(2_000).collect::<String>());
}

/// The books with the last digit of the amount changed that ends the chosen line.
fn changed_by_one(books: &str, line: usize) -> String {
    let mut lines: Vec<_> = books.lines().map(str::to_owned).collect();
    // Beancount asserts `<amount> ~ 0 <asset>`.
    let (amount, rest) = lines[line].split_once(" ~ ").or_else(|| lines[line].rsplit_once(' ')).unwrap();
    let asset = if lines[line].contains(" ~ ") { format!("~ {rest}") } else { rest.to_owned() };
    let digit = amount.as_bytes()[amount.len() - 1];
    let other = if digit == b'9' { '8' } else { char::from(digit + 1) };
    lines[line] = format!("{}{other} {asset}", &amount[..amount.len() - 1]);
    lines.join("\n") + "\n"
}

/// Every line that moves an amount, or asserts one.
fn amounts(books: &str) -> Vec<usize> {
    let amount = |line: &str| {
        let mut words = line.split_whitespace();
        let named = words.clone().any(|word| word.starts_with("Liabilities:") || word.starts_with("Assets:"));
        named && words.next_back().is_some_and(|last| last.len() == 3) && line.contains("  ")
    };
    books.lines().enumerate().filter(|(_, line)| amount(line)).map(|(i, _)| i).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_contracts_balance_for_hledger_ledger_and_beancount() {
    let folder = Folder::of_market(31, 60, 50_000).await;
    let contracts =
        folder.prints(&["export", "journal", "--format", "csv"]).matches(",RentalStarted,").count() / 2;
    assert!(contracts > 2_000, "{contracts}");
    let hledger = folder.prints(&["export", "journal", "--format", "hledger"]);
    for asset in ["JPY", "USD", "BTC", "ETH"] {
        assert!(hledger.contains(&format!("commodity {asset}\n")), "no {asset} was paid");
    }
    accepted(HLEDGER, &hledger);
    accepted(LEDGER, &hledger);
    accepted(BEANCOUNT, &folder.prints(&["export", "journal", "--format", "beancount"]));
    let verified = folder.prints(&["verify"]);
    assert!(!verified.contains("WRONG"), "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn books_changed_by_one_minor_unit_anywhere_are_rejected_by_all_of_them() {
    let folder = Folder::of_market(32, 6, 900).await;
    let hledger = folder.prints(&["export", "journal", "--format", "hledger"]);
    let beancount = folder.prints(&["export", "journal", "--format", "beancount"]);
    for (judge, books) in [(HLEDGER, &hledger), (LEDGER, &hledger), (BEANCOUNT, &beancount)] {
        accepted(judge, books);
        let lines = amounts(books);
        assert!(lines.len() > 300, "{}", lines.len());
        // Seven of them, from the first entry to the assertions at the end.
        for chosen in (0..7).map(|i| lines[i * (lines.len() - 1) / 6]) {
            let (ok, _) = judged(judge, &changed_by_one(books, chosen));
            assert!(!ok, "{} accepts a change of {}", judge.0, books.lines().nth(chosen).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn books_without_one_entry_are_rejected_although_every_other_entry_balances() {
    let folder = Folder::of_market(33, 6, 900).await;
    let whole = folder.prints(&["export", "journal", "--format", "hledger"]);
    let entries: Vec<_> = whole.split("\n\n").collect();
    let without = [&entries[..40], &entries[41..]].concat().join("\n\n");
    for judge in [HLEDGER, LEDGER] {
        accepted(judge, &whole);
        assert!(!judged(judge, &without).0, "{} misses nothing", judge.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_any_moment_balance_and_name_it() {
    let folder = Folder::of_market(34, 6, 900).await;
    let moments = ["0", "57", "700", "2026-01-03T00:00:00Z", "2026-01-10T12:00:00Z"];
    for moment in moments {
        let books = folder.prints(&["export", "journal", "--as-of", moment]);
        accepted(HLEDGER, &books);
        let first = books.lines().next().unwrap();
        match moment.contains('T') {
            true => assert!(first.ends_with(&format!("accrued until {moment}")), "{first}"),
            false => assert!(first.contains(&format!("position {moment}, event ")), "{first}"),
        }
        accepted(
            BEANCOUNT,
            &folder.prints(&["export", "journal", "--format", "beancount", "--as-of", moment]),
        );
    }
    let beyond = folder.berth(&["export", "journal", "--as-of", "99999999"]);
    assert!(String::from_utf8_lossy(&beyond.stderr).contains("the log ends before position 99999999"));
    assert_eq!(beyond.status.code(), Some(1));
}

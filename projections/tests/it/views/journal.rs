//! The stored journal says what the books in memory say.

use domain::{
    any::AnyEvent,
    event::{Position, Recorded},
    journal::{Books, Happened, Posting},
};
use projections::{
    rebuild,
    views::{
        Page, ViewError, Views,
        journal::{Accounts, BalanceRow, EntryRow, JournalReader},
    },
};
use uuid::Uuid;

use super::support::{fold, fresh, log_of, market, recorded};

/// The books of some events, and each event's entry that has one.
fn books_of(events: &[Recorded]) -> (Books, Vec<(Position, Vec<Posting>)>) {
    let (mut books, mut entries) = (Books::default(), Vec::new());
    for recorded in events {
        let (event, id) = (AnyEvent::of(recorded).unwrap(), Uuid::try_parse(recorded.stream.key()).ok());
        let at = recorded.event.effective_at;
        let (postings, _) = books.post(&Happened { stream: &recorded.stream, id, event: &event, at });
        if !postings.is_empty() {
            entries.push((recorded.position, postings));
        }
    }
    (books, entries)
}

/// The stored journal says the same as the books.
#[track_caller]
fn assert_same(reader: &JournalReader, events: &[Recorded]) {
    let (books, entries) = books_of(events);
    assert_eq!(reader.next(), events.len() as u64);
    assert_eq!(reader.last(), events.last().map(|last| last.event.id));
    let (mut stored, mut balances, mut open) = (Vec::new(), Vec::new(), 0);
    let entry = |entry: EntryRow| {
        stored.push((entry.position, entry.postings));
        Ok(())
    };
    reader.entries::<ViewError>(entry).unwrap();
    assert!(stored == entries, "the entries differ");
    let balance = |row: BalanceRow| {
        balances.extend((row.minor != 0).then_some((row.account, row.asset, row.minor)));
        Ok(())
    };
    reader.balances::<ViewError>(balance).unwrap();
    balances.sort();
    let expected: Vec<_> =
        books.balances().map(|(account, asset, minor)| (account.clone(), asset, minor)).collect();
    assert_eq!(balances, expected);
    let item = |_| {
        open += 1;
        Ok(())
    };
    reader.open_items::<ViewError>(item).unwrap();
    assert_eq!(open, books.open().count());
}

#[tokio::test]
async fn entries_and_balances_are_those_of_the_books_and_nothing_is_open_twice() {
    let events = recorded(market(21, 6_000));
    let (_folder, path) = fresh().await;
    let (early, late) = events.split_at(events.len() / 3);
    fold(&path, early).unwrap();
    fold(&path, late).unwrap();

    assert_same(&JournalReader::open(&path).unwrap(), &events);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_as_of_a_position_is_that_of_the_events_before_it() {
    let commits = market(23, 2_000);
    let (log, events) = (log_of(commits.clone()).await, recorded(commits));
    let (_folder, path) = fresh().await;
    fold(&path, &events).unwrap();
    for end in [0, 1, 100, events.len() / 2, events.len() - 1, events.len()] {
        let journal = rebuild::journal_at(&log, &path, end as u64, |_| {}).await.unwrap();
        assert_same(&journal.reader, &events[..end]);
    }
    let nowhere = path.with_file_name("no views");
    let journal = rebuild::journal_at(&log, &nowhere, 100, |_| {}).await.unwrap();
    assert_same(&journal.reader, &events[..100]);
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn the_journal_is_read_in_pages_and_by_whom_money_is_owed() {
    let events = recorded(market(22, 3_000));
    let (_folder, path) = fresh().await;
    fold(&path, &events).unwrap();
    let views = Views::open(&path).unwrap();

    let first = views.journal(Page::oldest(7)).await.unwrap();
    let after = first.last().map(|entry| entry.position);
    let next = views.journal(Page { after, ..Page::oldest(7) }).await.unwrap();
    assert!(first.len() == 7 && next[0].position > first[6].position);

    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = views.balances(Accounts::All, after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.account.to_string(), last.asset.code().to_owned()));
        all.extend(page);
    }
    let reader = JournalReader::open(&path).unwrap();
    let mut expected = Vec::new();
    reader
        .balances::<ViewError>(|row| {
            expected.push(row);
            Ok(())
        })
        .unwrap();
    assert_eq!(all, expected);
    let left = views.balances(Accounts::NotEmpty, None, 500).await.unwrap();
    expected.retain(|row| row.minor != 0);
    expected.truncate(500);
    assert_eq!(left, expected);

    let mut found = 0;
    for row in all.iter().filter(|row| row.minor != 0) {
        if let domain::journal::Account::Claim(_, account, _) = row.account {
            let owed = views.owed_to(account).await.unwrap();
            let same =
                |o: &&projections::views::journal::Owed| o.account == row.account && o.asset == row.asset;
            assert_eq!(owed.iter().find(same).map(|owed| owed.minor), Some(-row.minor));
            assert_eq!(views.balance(&row.account, row.asset).await.unwrap(), row.minor);
            found += 1;
        }
    }
    assert!(found > 3);
}

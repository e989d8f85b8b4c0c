//! `berth verify` finds what somebody changed behind the program's back.

use crate::market::Folder;

/// What it says, and that it fails.
#[track_caller]
fn wrong(folder: &Folder, expected: &str) {
    let output = folder.berth(&["verify"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("WRONG") && said.contains(expected), "{said}");
}

/// Changes the payload of the middle event of a kind.
async fn change(folder: &Folder, kind: &str, from: &str, to: &str) {
    let sql = format!(
        "update events set payload = cast(replace(cast(payload as text), '{from}', '{to}') as blob) where position = (
             select position from events where kind = '{kind}' and cast(payload as text) like '%{from}%'
             order by position limit 1 offset 3)"
    );
    assert_eq!(folder.tamper("log.db", &sql).await, 1, "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_ledger_holds_together_and_says_so_to_programs_too() {
    let folder = Folder::of_market(41, 6, 1_500).await;
    folder.prints(&["rebuild"]);
    let checks: Vec<serde_json::Value> = serde_json::from_str(&folder.prints(&["verify", "--json"])).unwrap();
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, ["order", "decoding", "money", "escrow", "views"]);
    assert!(checks.iter().all(|check| check["ok"] == true), "{checks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_amount_is_found_wherever_it_stands() {
    for (kind, name) in
        [("RefundIssued", "a refund of"), ("PayoutIssued", "a payout of"), ("SettlementDue", "are due")]
    {
        let folder = Folder::of_market(42, 6, 1_500).await;
        change(&folder, kind, "\"amount\":{\"amount\":\"", "\"amount\":{\"amount\":\"1").await;
        wrong(&folder, name);
    }
    let folder = Folder::of_market(42, 6, 1_500).await;
    change(&folder, "RentalExpired", "\"ended_at\":\"2026", "\"ended_at\":\"2027").await;
    wrong(&folder, "which is not when it could");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_gone_or_cannot_be_read_are_found() {
    let folder = Folder::of_market(43, 6, 1_500).await;
    folder.tamper("log.db", "delete from events where position = 200").await;
    wrong(&folder, "event 201 stands where event 200 should");
    let folder = Folder::of_market(43, 6, 1_500).await;
    folder.tamper("log.db", "update events set payload = x'7b' where position = 200").await;
    wrong(&folder, "event 200: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_say_something_else_than_the_ledger_are_found_and_mended() {
    let folder = Folder::of_market(44, 6, 1_500).await;
    folder.prints(&["rebuild", "journal"]);
    let partly = folder.prints(&["verify"]);
    assert!(
        partly.contains("1 views as of position") && partly.contains("not built yet: port_leases,"),
        "{partly}"
    );
    folder.prints(&["rebuild"]);
    let lie = "update balances set minor = '1' where account like 'Income:%'";
    assert!(folder.tamper("views.db", lie).await > 0);
    wrong(&folder, "run `berth rebuild journal`");
    folder.prints(&["rebuild", "journal"]);
    folder.prints(&["verify"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn views_of_events_that_the_ledger_no_longer_has_are_found() {
    let folder = Folder::of_market(45, 6, 1_500).await;
    folder.prints(&["rebuild"]);
    assert!(folder.tamper("log.db", "delete from events where position > 1200").await > 0);
    wrong(&folder, "restore the log from a backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_temporary_files_is_an_error_and_no_verdict() {
    let folder = Folder::of_market(46, 6, 300).await;
    folder.prints(&["rebuild"]);
    let output = folder.command(&["verify"]).env("TMPDIR", folder.file("nowhere")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("nowhere"), "{said}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("WRONG"));
}

//! The demo's whole story, and the folder it leaves.

use std::process::{Command, Stdio};

use crate::{app::TestApp, crash::BERTH};

#[test]
fn the_demo_tells_its_story_and_leaves_a_ledger_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let berth = |arguments: &[&str]| {
        let mut command = Command::new(BERTH);
        command.args(arguments).arg("--data").arg(dir.path().join("data")).stdin(Stdio::null());
        let output = command.output().unwrap();
        let (said, error) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {said} {error}");
        said.into_owned()
    };
    let story = berth(&["demo", "--once"]);
    for part in ["enrol", "rent", "reboot", "refuse", "extend", "expire", "erase", "terminate", "TBTC"] {
        assert!(story.contains(part), "no {part} in {story}");
    }
    berth(&["verify"]);
    let journal = berth(&["export", "journal", "--format", "csv"]);
    assert!(journal.lines().count() > 20, "{journal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_page_is_served_offline() {
    let test = TestApp::new().await;
    let page = test.call(reqwest::Method::GET, "/docs/openbazaar", "").open().await;
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    let text = page.text().await.unwrap();
    assert!(
        text.contains("Do partial refunds need") && !text.contains("http://") || text.contains("127.0.0.1")
    );
    assert!(!text.contains("src=") && !text.contains("<script"), "nothing is fetched from elsewhere");
}

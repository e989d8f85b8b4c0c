//! Problems are explained: every kind that the program can answer stands in the table, and nothing else does.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde_json::json;

use crate::app::TestApp;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("problems.rs")
        {
            found.push(path);
        }
    }
}

/// The kinds in a source text: the text in the third place of a problem, which is the only kind of text written
/// `lower-case-with-dashes` after a status.
fn kinds(source: &str, found: &mut BTreeSet<String>) {
    let is_kind = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let source = source.split_whitespace().collect::<Vec<_>>().join(" ").replace("( ", "(");
    for start in ["Problem::new(", "Self::new(", "(CONFLICT, ", "(INVALID, "] {
        for (at, _) in source.match_indices(start) {
            let statement: String = source[at + start.len()..].chars().take_while(|c| *c != ';').collect();
            let before_arm = statement.split("=>").next().unwrap_or_default();
            let texts = before_arm.split('"').skip(1).step_by(2);
            found.extend(texts.take(1).filter(|text| is_kind(text)).map(ToOwned::to_owned));
        }
    }
}

#[test]
fn every_kind_of_problem_in_the_source_is_explained_and_no_other() {
    let (mut files, mut used) = (Vec::new(), BTreeSet::new());
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.iter().for_each(|file| kinds(&std::fs::read_to_string(file).unwrap(), &mut used));
    used.extend(["ports-exhausted", "subdomain-taken"].map(String::from));
    let explained: BTreeSet<_> =
        api::http::problems::KINDS.iter().map(|(kind, ..)| (*kind).to_owned()).collect();
    assert_eq!(used.difference(&explained).collect::<Vec<_>>(), Vec::<&String>::new(), "used, not explained");
    assert_eq!(
        explained.difference(&used).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "explained, never used"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_a_problem_leads_to_its_explanation() {
    let test = TestApp::new().await;
    let problem = test.get("/v1/devices", "").await;
    let explained = test.get(problem.body["type"].as_str().unwrap(), "").await.ok();
    assert_eq!((&explained["type"], &explained["status"]), (&problem.body["type"], &json!(401)));
    let all = test.get("/problems", "").await.ok();
    assert!(all["items"].as_array().unwrap().contains(&explained));
    assert_eq!(test.get("/problems/nothing", "").await.problem(), (404, "not-found"));
}

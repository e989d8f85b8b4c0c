//! The API's description: committed, complete, and true to what is answered (every answer in these tests is held against
//! it, see `spec`).

use std::collections::BTreeSet;

use serde_json::Value;

use crate::spec::{operations, spec};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

#[test]
fn the_committed_description_is_the_one_that_is_served() {
    let now = serde_json::to_string_pretty(&api::http::document()).unwrap() + "\n";
    if std::env::var_os("BERTH_RECORD").is_some() {
        std::fs::write(COMMITTED, &now).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
    assert!(
        committed == now,
        "api/openapi.json is outdated; run this test with BERTH_RECORD=1 and commit it"
    );
}

#[test]
fn every_operation_has_a_name_a_summary_a_tag_and_a_success() {
    let mut names = BTreeSet::new();
    for operation in operations() {
        let (name, what) = (operation.name.clone(), &operation.value);
        assert!(names.insert(name.clone()), "{name} twice");
        assert!(what["summary"].as_str().is_some_and(|s| !s.is_empty()), "{name} has no summary");
        assert!(what["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{name} has no tag");
        assert!(
            what["responses"].as_object().unwrap().keys().any(|s| s.starts_with('2')),
            "{name} never succeeds"
        );
    }
}

#[test]
fn every_reference_leads_somewhere_and_no_schema_is_a_catch_all() {
    fn walk(value: &Value, path: &str) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(to)) = map.get("$ref") {
                    assert!(spec().pointer(&to[1..]).is_some(), "{path}: {to} is missing");
                }
                map.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}")));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, path)),
            _ => {}
        }
    }
    walk(spec(), "");
    for (name, schema) in spec()["components"]["schemas"].as_object().unwrap() {
        let says_something =
            ["properties", "enum", "oneOf", "items"].iter().any(|key| schema.get(key).is_some());
        assert!(says_something, "{name} says nothing");
    }
}

#[test]
fn whatever_changes_something_for_an_account_takes_an_idempotency_key() {
    for operation in
        operations().filter(|operation| operation.method != "get" && operation.scopes().is_some())
    {
        let takes = operation.value["parameters"].to_string().contains("Idempotency-Key");
        assert!(takes, "{} takes no Idempotency-Key", operation.name);
        for parameter in
            operation.value["parameters"].as_array().unwrap().iter().filter(|p| p["in"] == "header")
        {
            let form = parameter["schema"]["pattern"].as_str();
            assert!(form.is_some_and(|form| form.starts_with('^') && form.ends_with('$')), "{parameter}");
        }
    }
}

//! Answers as they are shown in snapshots: what differs from run to run is named instead.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::app::Reply;

/// Names for ids, in the order in which they appear.
#[derive(Debug, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Calls an id something.
    pub fn call(&mut self, id: &str, name: &str) {
        self.0.insert(id.to_owned(), name.to_owned());
    }

    /// Status, the headers that mean something, and the body.
    pub fn shape(&self, reply: &Reply) -> String {
        let mut lines = vec![reply.status.to_string()];
        for name in ["berth-position", "location", "retry-after", "www-authenticate"] {
            lines.extend(reply.header(name).map(|value| format!("{name}: {}", self.text(value))));
        }
        let mut body = reply.body.clone();
        self.rename(&mut body);
        if !body.is_null() {
            lines.push(pretty(&body, 0));
        }
        lines.join("\n")
    }

    fn rename(&self, value: &mut Value) {
        match value {
            Value::String(text) => match text.split_once('.') {
                Some((subdomain, "localhost")) if subdomain.len() == 16 => {
                    *text = "<subdomain>.localhost".into()
                }
                _ => *text = self.text(text),
            },
            Value::Array(items) => items.iter_mut().for_each(|item| self.rename(item)),
            Value::Object(members) => {
                for (name, value) in members.iter_mut() {
                    match name.as_str() {
                        "password" | "key" | "token" | "server_key" | "device_key" | "subdomain"
                        | "commitment" | "proof" => {
                            *value = format!("<{name}>").into();
                        }
                        _ => self.rename(value),
                    }
                }
            }
            _ => {}
        }
    }

    fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, &format!("<{name}>")))
    }
}

/// JSON in which whatever fits on a line stands on one.
fn pretty(value: &Value, depth: usize) -> String {
    let short = value.to_string();
    if short.len() + depth <= 100 {
        return short;
    }
    let (inner, end) = (" ".repeat(depth + 2), " ".repeat(depth));
    match value {
        Value::Object(members) => {
            let line = |(name, value)| format!("{inner}{name:?}: {}", pretty(value, depth + 2));
            format!("{{\n{}\n{end}}}", members.iter().map(line).collect::<Vec<_>>().join(",\n"))
        }
        Value::Array(items) => {
            let line = |value| format!("{inner}{}", pretty(value, depth + 2));
            format!("[\n{}\n{end}]", items.iter().map(line).collect::<Vec<_>>().join(",\n"))
        }
        _ => short,
    }
}

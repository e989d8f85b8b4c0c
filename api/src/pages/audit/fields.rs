//! An event's payload as fields that people read: names in words, amounts with their asset, ids as links.

use domain::{
    event::Recorded,
    id::{AccountId, OrderKey},
    money::Money,
    time::{Interval, Time},
};
use serde_json::Value;

use super::{super::show, thing::Thing};

/// The most fields of one event that a page shows; the rest stands on the event's own page.
const MAX_FIELDS: usize = 24;
/// The longest value, in characters.
const MAX_VALUE: usize = 240;
/// The most items of a list.
const MAX_ITEMS: usize = 4;
/// How deep values are unfolded.
const MAX_DEPTH: usize = 3;

/// One line of what an event says, or of how things stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    /// Its name in words.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it leads, when it names something.
    pub href: Option<String>,
}

impl Field {
    /// A field.
    pub fn new(name: impl Into<String>, value: impl ToString) -> Self {
        Self { name: name.into(), value: cut(&value.to_string()), href: None }
    }

    /// A field that names something.
    pub fn of(name: impl Into<String>, thing: &Thing) -> Self {
        Self { href: Some(thing.path()), ..Self::new(name, thing.id()) }
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_VALUE {
        return text.to_owned();
    }
    text.chars().take(MAX_VALUE).chain(['…']).collect()
}

/// The fields of an event, and whether that is not all of them.
pub fn of(recorded: &Recorded) -> (Vec<Field>, bool) {
    let Ok(payload) = serde_json::from_slice::<Value>(&recorded.event.payload) else {
        return (Vec::new(), true);
    };
    let mut fields = Vec::new();
    if let Value::Object(map) = &payload {
        for (key, value) in map {
            unfold(&words(key), key, value, 0, &mut fields);
        }
    }
    let more = fields.len() > MAX_FIELDS;
    fields.truncate(MAX_FIELDS);
    (fields, more)
}

fn unfold(name: &str, key: &str, value: &Value, depth: usize, fields: &mut Vec<Field>) {
    if fields.len() > MAX_FIELDS {
        return;
    }
    match value {
        Value::Null => {}
        Value::Object(map) => match plain(key, value) {
            Some(field) => fields.push(Field { name: name.to_owned(), ..field }),
            None if depth >= MAX_DEPTH => fields.push(Field::new(name, value)),
            None => {
                for (inner, value) in map {
                    unfold(&format!("{name}, {}", words(inner)), inner, value, depth + 1, fields);
                }
            }
        },
        Value::Array(items) if items.is_empty() => {}
        Value::Array(items) => {
            for (n, item) in items.iter().take(MAX_ITEMS).enumerate() {
                unfold(&format!("{name} {}", n + 1), key, item, depth + 1, fields);
            }
            if items.len() > MAX_ITEMS {
                fields.push(Field::new(name, format!("and {} more", items.len() - MAX_ITEMS)));
            }
        }
        _ => {
            let field = plain(key, value).unwrap_or_else(|| Field::new("", value));
            fields.push(Field { name: name.to_owned(), ..field });
        }
    }
}

/// What is one value to people.
fn plain(key: &str, value: &Value) -> Option<Field> {
    let read = |value: &Value| value.clone();
    match value {
        Value::Object(_) => {
            if let Ok(money) = serde_json::from_value::<Money>(read(value)) {
                return Some(Field::new("", money));
            }
            if let Ok(order) = serde_json::from_value::<OrderKey>(read(value)) {
                return Some(Field::of("", &Thing::Order(order)));
            }
            let Interval { start, end } = serde_json::from_value(read(value)).ok()?;
            Some(Field::new("", format!("{} – {}", show::when(start), show::when(end))))
        }
        Value::String(text) => {
            if let Some(thing) = named(key, text) {
                return Some(Field::of("", &thing));
            }
            match text.parse::<Time>() {
                Ok(time) => Some(Field::new("", show::when(time))),
                Err(_) => Some(Field::new("", text)),
            }
        }
        Value::Bool(yes) => Some(Field::new("", if *yes { "yes" } else { "no" })),
        Value::Number(number) => match number.as_i64() {
            Some(seconds) if key.ends_with("_s") && !key.ends_with("bit_s") => {
                Some(Field::new("", show::span(seconds)))
            }
            _ => Some(Field::new("", number)),
        },
        _ => None,
    }
}

/// The thing that a field names.
fn named(key: &str, text: &str) -> Option<Thing> {
    match key {
        "contract" => text.parse().ok().map(Thing::Contract),
        "device" => text.parse().ok().map(Thing::Device),
        "settlement" | "payout" | "payouts" => text.parse().ok().map(Thing::Settlement),
        "owner" | "renter" | "to" | "moderator" | "account" => {
            text.parse::<AccountId>().ok().map(Thing::Account)
        }
        _ => None,
    }
}

/// A name of the program in words: `lapses_at` becomes `lapses at`, `term_s` is a term.
pub fn words(key: &str) -> String {
    let key = if key.ends_with("bit_s") { key } else { key.strip_suffix("_s").unwrap_or(key) };
    key.replace('_', " ")
}

/// An event's name in words: `RentalStarted` becomes `Rental started`.
#[must_use]
pub fn title(kind: &str) -> String {
    let mut title = String::with_capacity(kind.len() + 4);
    for c in kind.chars() {
        if c.is_ascii_uppercase() && !title.is_empty() {
            title.push(' ');
            title.push(c.to_ascii_lowercase());
        } else {
            title.push(c);
        }
    }
    title
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> Vec<(String, String, Option<String>)> {
        let mut fields = Vec::new();
        for (key, value) in value.as_object().unwrap() {
            unfold(&words(key), key, value, 0, &mut fields);
        }
        fields.into_iter().map(|field| (field.name, field.value, field.href)).collect()
    }

    #[test]
    fn amounts_times_spans_and_ids_are_read_by_people() {
        let device = "7f0a1b2c-0000-4000-8000-000000000001";
        let payload = json!({
            "device": device, "paid": {"amount": "6.00", "asset": "USD"}, "term_s": 3_600, "allowed": true,
            "order": {"marketplace": "ob", "id": "Qm1"}, "nothing": null,
            "segment": {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T01:00:00Z"},
        });
        let said = fields(&payload);
        let of = |name: &str| said.iter().find(|field| field.0 == name).map(|field| field.1.as_str());
        assert_eq!((of("paid"), of("term"), of("allowed")), (Some("6.00 USD"), Some("1 h"), Some("yes")));
        assert_eq!(of("segment"), Some("1970-01-01 00:00:00 UTC – 1970-01-01 01:00:00 UTC"));
        assert_eq!(of("nothing"), None);
        let leads = |name: &str| said.iter().find(|field| field.0 == name).and_then(|field| field.2.clone());
        assert_eq!(leads("device"), Some(format!("/audit/devices/{device}")));
        assert_eq!(leads("order"), Some("/audit/orders/ob/Qm1".to_owned()));
    }

    #[test]
    fn long_lists_deep_values_and_long_texts_are_cut() {
        let outage = json!({"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T01:00:00Z"});
        let payload = json!({
            "offline": vec![outage; 500], "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}}, "text": "x".repeat(60_000),
        });
        let said = fields(&payload);
        assert!(said.len() <= MAX_FIELDS + 1, "{}", said.len());
        assert!(said.iter().all(|field| field.1.chars().count() <= MAX_VALUE + 1));
        assert!(said.iter().any(|field| field.1 == "and 496 more"));
    }

    #[test]
    fn names_of_events_are_words() {
        assert_eq!(title("RentalStarted"), "Rental started");
        assert_eq!(title("OfflineResumeChosen"), "Offline resume chosen");
    }
}

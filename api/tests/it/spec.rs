//! The API's description as a judge: whether an answer has the form that it promises.

use std::sync::LazyLock;

use serde_json::Value;

static SPEC: LazyLock<Value> = LazyLock::new(api::http::document);

/// The description.
pub fn spec() -> &'static Value {
    &SPEC
}

/// One method of one path.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Its `operationId`.
    pub name: String,
    /// In lower case.
    pub method: String,
    /// With its placeholders.
    pub path: String,
    /// All that is said about it.
    pub value: Value,
}

impl Operation {
    /// The roles that a token needs, any of them; `None` when no token is needed.
    pub fn scopes(&self) -> Option<Vec<String>> {
        let schemes = self.value["security"].as_array()?;
        let token = schemes.iter().find_map(|scheme| scheme.get("token"))?;
        Some(token.as_array()?.iter().map(|role| role.as_str().unwrap().to_owned()).collect())
    }
}

/// All operations.
pub fn operations() -> impl Iterator<Item = Operation> {
    let paths = spec()["paths"].as_object().unwrap().iter();
    paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(|(method, value)| Operation {
            name: value["operationId"].as_str().unwrap_or_default().to_owned(),
            method: method.clone(),
            path: path.clone(),
            value: value.clone(),
        })
    })
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
    template.len() == path.len()
        && template.iter().zip(&path).all(|(t, p)| t == p || t.starts_with('{') && !p.is_empty())
}

/// The operation that a request means; one without placeholders goes first.
pub fn operation(method: &str, path: &str) -> Option<Operation> {
    let path = path.split('?').next().unwrap_or_default();
    let mut found: Vec<_> =
        operations().filter(|o| o.method.eq_ignore_ascii_case(method) && fits(&o.path, path)).collect();
    found.sort_by_key(|o| o.path.matches('{').count());
    found.into_iter().next()
}

/// What is wrong with an answer to an operation.
pub fn judge(operation: &Operation, status: u16, content_type: &str, body: &Value) -> Result<(), String> {
    let answers = &operation.value["responses"];
    let answer = answers.get(status.to_string()).or_else(|| (status >= 400).then(|| &answers["default"]));
    let answer = answer.ok_or_else(|| format!("{} never answers {status}", operation.name))?;
    let Some(contents) = answer.get("content").and_then(Value::as_object) else {
        return if body.is_null() {
            Ok(())
        } else {
            Err(format!("{} answers a body with {status}", operation.name))
        };
    };
    let content_type = content_type.split(';').next().unwrap_or_default();
    let content =
        contents.get(content_type).ok_or_else(|| format!("{} answers {content_type:?}", operation.name))?;
    fit(&content["schema"], body).map_err(|why| format!("{} {status}: {why} in {body}", operation.name))
}

/// Why a value does not have a form; only what the description uses is understood, everything else is refused.
fn fit(schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(to) = schema["$ref"].as_str() {
        return fit(spec().pointer(&to[1..]).ok_or(to)?, value);
    }
    for any in ["oneOf", "anyOf"] {
        if let Some(forms) = schema[any].as_array() {
            let tries: Vec<_> = forms.iter().map(|form| fit(form, value)).collect();
            return if tries.iter().any(Result::is_ok) { Ok(()) } else { Err(format!("{tries:?}")) };
        }
    }
    if let Some(words) = schema["enum"].as_array() {
        return if words.contains(value) { Ok(()) } else { Err(format!("{value} is none of {words:?}")) };
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(text) => {
            return if has_type(schema, "string") {
                text_fits(schema, text)
            } else {
                Err(format!("{text:?} is text"))
            };
        }
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !has_type(schema, kind) {
        return Err(format!("{value} is no {}", schema["type"]));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| fit(&schema["items"], item)),
        Value::Object(members) => object_fits(schema, members),
        _ => Ok(()),
    }
}

fn has_type(schema: &Value, kind: &str) -> bool {
    match &schema["type"] {
        Value::String(one) => one == kind,
        Value::Array(some) => some.iter().any(|one| one == kind),
        _ => false,
    }
}

fn text_fits(schema: &Value, text: &str) -> Result<(), String> {
    let ok = match schema["format"].as_str() {
        None => true,
        Some("uuid") => uuid::Uuid::parse_str(text).is_ok(),
        Some("date-time") => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        Some(_) => false,
    };
    if ok { Ok(()) } else { Err(format!("{text:?} is no {}", schema["format"])) }
}

fn object_fits(schema: &Value, members: &serde_json::Map<String, Value>) -> Result<(), String> {
    let Some(known) = schema["properties"].as_object() else { return Ok(()) };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        members.get(name).ok_or_else(|| format!("{name} is missing"))?;
    }
    for (name, value) in members {
        let schema = known.get(name).ok_or_else(|| format!("{name} is not described"))?;
        fit(schema, value).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

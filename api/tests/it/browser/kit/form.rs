//! What people do to a page.

use fantoccini::elements::Element;
use serde_json::{Value, json};

use super::{Tab, tab::one_line};

const FIELDS: &str = "input:not([type=submit], [type=button], [type=reset], [type=hidden]), textarea, select";
const BUTTONS: &str = "button, summary, [role=button], [type=submit], [type=button], [type=reset]";
const LINKS: &str = "a[href]";

/// The visible elements of a kind: of the page, or of its innermost part that shows a text.
const FIND: &str = "
    const [kind, shown] = arguments;
    const line = element => element.innerText.split(/\\s+/).join(' ');
    const visible = element => element.checkVisibility({visibilityProperty: true});
    let parts = [document];
    if (shown !== null) {
        const kinds = 'tr, li, article, section, form, fieldset, dialog, details';
        const showing = [...document.querySelectorAll(kinds)].filter(part => visible(part) && line(part).includes(shown));
        parts = showing.filter(part => !showing.some(other => other !== part && part.contains(other)));
    }
    return parts.flatMap(part => [...part.querySelectorAll(kind)]).filter(visible);";

/// Pickers take no keys that mean the same everywhere.
const PICK: &str = "
    const [field, value] = arguments;
    field.value = value;
    for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true}));
    return field.value;";

impl Tab {
    /// Writes into the field with a label. Dates and times as `2026-11-30`, `2026-11-30T09:00`; files as their path.
    pub async fn fill(&self, label: &str, text: &str) {
        let write = async || {
            let field = self.named(FIELDS, None, label).await?;
            let kind = field.prop("type").await.map_err(say)?.unwrap_or_default();
            match kind.as_str() {
                "date" | "datetime-local" | "time" | "month" | "week" | "color" | "range" => {
                    let taken = self.script(PICK, vec![json!(field), json!(text)]).await?;
                    return (taken == text).then_some(()).ok_or(format!("it takes {taken}"));
                }
                "file" => {}
                _ => field.clear().await.map_err(say)?,
            }
            field.send_keys(text).await.map_err(say)
        };
        self.wait(&format!("{label:?} cannot be filled in"), write).await;
    }

    /// Chooses what a list with a label offers.
    pub async fn choose(&self, label: &str, option: &str) {
        let choose = async || {
            let list = self.named(FIELDS, None, label).await?;
            list.select_by_label(option).await.map_err(say)
        };
        self.wait(&format!("{option:?} of {label:?} cannot be chosen"), choose).await;
    }

    /// Ticks the box or takes the choice with a label, or takes the tick away.
    pub async fn tick(&self, label: &str) {
        self.click(FIELDS, None, label, "tick").await;
    }

    /// What the field with a label holds.
    pub async fn value(&self, label: &str) -> String {
        let read = async || {
            let field = self.named(FIELDS, None, label).await?;
            Ok(field.prop("value").await.map_err(say)?.unwrap_or_default())
        };
        self.wait(&format!("{label:?} cannot be read"), read).await
    }

    /// Presses the button with a name.
    pub async fn press(&self, name: &str) {
        self.click(BUTTONS, None, name, "press").await;
    }

    /// Presses a button in the row, form or section that shows a text.
    pub async fn press_in(&self, shown: &str, name: &str) {
        self.click(BUTTONS, Some(shown), name, "press").await;
    }

    /// Follows the link with a name.
    pub async fn follow(&self, name: &str) {
        self.click(LINKS, None, name, "follow").await;
    }

    /// Follows a link in the row, form or section that shows a text.
    pub async fn follow_in(&self, shown: &str, name: &str) {
        self.click(LINKS, Some(shown), name, "follow").await;
    }

    async fn click(&self, kind: &str, shown: Option<&str>, name: &str, verb: &str) {
        let click = async || self.named(kind, shown, name).await?.click().await.map_err(say);
        let place = shown.map(|shown| format!(" where it shows {shown:?}")).unwrap_or_default();
        self.wait(&format!("nobody can {verb} {name:?}{place}"), click).await;
    }

    /// The one visible element of a kind that the browser calls so. Links that lead to one place are one.
    async fn named(&self, kind: &str, shown: Option<&str>, name: &str) -> Result<Element, String> {
        let found = self.script(FIND, vec![json!(kind), json!(shown.map(one_line))]).await?;
        let (mut named, mut names) = (Vec::new(), Vec::new());
        for element in found.as_array().into_iter().flatten() {
            let element = self.element(element);
            let its = self.name_of(&element).await?;
            if its == one_line(name) {
                let leads = if kind == LINKS { element.prop("href").await.map_err(say)? } else { None };
                if leads.is_none() || named.iter().all(|(_, other)| *other != leads) {
                    named.push((element, leads));
                }
            }
            names.push(its);
        }
        match named.len() {
            1 => Ok(named.remove(0).0),
            0 => Err(format!("there are: {names:?}")),
            many => Err(format!("{many} have this name")),
        }
    }

    fn element(&self, found: &Value) -> Element {
        let id = found.as_object().and_then(|members| members.values().next()).and_then(Value::as_str);
        Element::from_element_id(self.client.clone(), id.unwrap().to_owned().into())
    }

    /// What assistive technology calls it.
    pub(super) async fn name_of(&self, element: &Element) -> Result<String, String> {
        let name = self.get(format!("element/{}/computedlabel", element.element_id())).await?;
        Ok(one_line(name.as_str().unwrap_or_default()))
    }
}

fn say(error: impl ToString) -> String {
    error.to_string()
}

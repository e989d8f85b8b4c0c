//! What a page must not have.

use std::fmt;

use serde_json::{Value, json};

use super::{PHONE, Tab, WIDE};

const AXE: &str = include_str!("../../../../../.vendor/axe-core/axe.min.js");

/// What pages are looked at in.
pub const LOOKS: [((u32, u32), &str); 2] = [(WIDE, "light"), (PHONE, "dark")];

/// How much a page may move while it loads: what browsers call good.
const SHIFT_MAX: f64 = 0.1;

/// The viewport is the layout's: browsers of phones zoom out of pages that are too wide.
const TOO_WIDE: &str = "
    const room = document.documentElement.clientWidth;
    if (document.scrollingElement.scrollWidth <= room) return [];
    const wide = [...document.body.querySelectorAll('*')].filter(element => element.getBoundingClientRect().right > room);
    const inner = wide.filter(element => !wide.some(other => other !== element && element.contains(other)));
    return inner.length ? inner.map(element => element.outerHTML.slice(0, 200)) : [document.body.outerHTML.slice(0, 200)];";

/// Browsers pardon what moves soon after people do something, and also soon after a phone's page came up: nobody did
/// anything then, unless there was a first input or a new size.
const SHIFT: &str = "
    const entries = [], keep = list => entries.push(...list.getEntries());
    for (const type of ['layout-shift', 'first-input']) new PerformanceObserver(keep).observe({type, buffered: true});
    await new Promise(resolve => setTimeout(resolve, 100));
    const moved = [document.resized, ...entries.filter(entry => entry.entryType === 'first-input').map(entry => entry.startTime)];
    const alone = Math.min(...moved.filter(at => at !== undefined));
    const counts = entry => entry.entryType === 'layout-shift' && (!entry.hadRecentInput || entry.startTime < alone);
    return entries.filter(counts).reduce((sum, entry) => sum + entry.value, 0);";

const FOREIGN: &str = "
    const all = performance.getEntriesByType('resource').map(entry => entry.name);
    return all.filter(name => !/^(data|blob):/.test(name) && new URL(name).origin !== location.origin);";

/// A rule of accessibility that a page breaks.
#[derive(Debug)]
pub struct Violation {
    /// axe's name of it, such as `color-contrast`.
    pub rule: String,
    pub impact: String,
    pub help: String,
    /// What breaks it: the element, and how to mend it.
    pub places: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}): {}", self.rule, self.impact, self.help)?;
        self.places.iter().try_for_each(|place| write!(out, "\n    {place}"))
    }
}

impl Tab {
    /// Fails unless the page is without [`Tab::faults`].
    pub async fn sound(&self) {
        let faults = self.faults().await;
        assert!(faults.is_empty(), "{} is not sound:\n  {}", self.path().await, faults.join("\n  "));
    }

    /// [`Tab::sound`] in a wide light window, and on a dark phone, where the tab stays; loads the page anew for each.
    pub async fn sound_everywhere(&self) {
        let faults = self.faults_everywhere().await;
        assert!(faults.is_empty(), "{} is not sound:\n  {}", self.path().await, faults.join("\n  "));
    }

    /// [`Tab::faults`] in a wide light window, and on a dark phone.
    pub async fn faults_everywhere(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (size, colours) in LOOKS {
            self.look(size, colours).await;
            self.reload().await;
            faults.extend(self.faults().await.iter().map(|fault| format!("{colours}: {fault}")));
        }
        faults
    }

    /// The page gets a size and colours.
    pub async fn look(&self, (width, height): (u32, u32), colours: &str) {
        self.size(width, height).await;
        self.prefers("prefers-color-scheme", colours).await;
    }

    /// Everything that is wrong with the page at its size, and with its console since the last call.
    pub async fn faults(&self) -> Vec<String> {
        let mut faults: Vec<_> = self.axe().await.iter().map(ToString::to_string).collect();
        faults.extend(self.too_wide().await.iter().map(|element| format!("wider than the page: {element}")));
        faults.extend(self.foreign_requests().await.iter().map(|url| format!("from elsewhere: {url}")));
        faults.extend(self.console_errors().await.iter().map(|line| format!("console: {line}")));
        let shift = self.layout_shift().await;
        if shift > SHIFT_MAX {
            faults.push(format!("moves by {shift} while it loads"));
        }
        faults
    }

    /// The rules of accessibility that the page breaks; only where pages run scripts.
    pub async fn axe(&self) -> Vec<Violation> {
        if self.script("return typeof axe", vec![]).await.unwrap() != "object" {
            self.script(AXE, vec![]).await.unwrap();
        }
        let options = json!({
            "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]},
            "resultTypes": ["violations"],
        });
        let found = "return (await axe.run(document, given[0])).violations";
        let found = self.script_async(found, vec![options]).await;
        found.as_array().unwrap().iter().map(violation).collect()
    }

    /// What makes the page scroll sideways.
    pub async fn too_wide(&self) -> Vec<String> {
        strings(&self.script(TOO_WIDE, vec![]).await.unwrap())
    }

    /// How much the page moved without being asked to since it was opened, as the browser measures it.
    pub async fn layout_shift(&self) -> f64 {
        self.script_async(SHIFT, vec![]).await.as_f64().unwrap()
    }

    /// What the page loaded from other hosts.
    pub async fn foreign_requests(&self) -> Vec<String> {
        strings(&self.script(FOREIGN, vec![]).await.unwrap())
    }

    /// The errors in the console since the last call; what the page's policy stopped is one.
    pub async fn console_errors(&self) -> Vec<String> {
        self.console().await.into_iter().filter(|line| line.starts_with("SEVERE")).collect()
    }

    /// What the console says since the last call.
    pub(super) async fn console(&self) -> Vec<String> {
        let lines = self.post("se/log", json!({"type": "browser"})).await.unwrap_or_default();
        let lines = lines.as_array().into_iter().flatten();
        lines.map(|line| format!("{} {}", text(&line["level"]), text(&line["message"]))).collect()
    }
}

fn violation(found: &Value) -> Violation {
    let place = |node: &Value| {
        format!("{} {}", text(&node["html"]), text(&node["failureSummary"]).replace('\n', " "))
    };
    Violation {
        rule: text(&found["id"]),
        impact: text(&found["impact"]),
        help: text(&found["help"]),
        places: found["nodes"].as_array().into_iter().flatten().map(place).collect(),
    }
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(text).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

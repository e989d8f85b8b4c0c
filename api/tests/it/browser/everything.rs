//! Every page, as the person it is for sees it: with `BERTH_PICTURES=folder`, pictures of all of them are left there.

use std::path::PathBuf;

use super::{
    kit::{Chrome, LOOKS, Tab},
    people::sign_in,
    town::Town,
};

/// Looks at pages; answers with what is wrong with them.
async fn look(tab: &Tab, who: &str, paths: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for path in paths {
        tab.open(path).await;
        let found = tab.faults_everywhere().await;
        faults.extend(found.iter().map(|fault| format!("{who} {path} {fault}")));
        picture(tab, who, path).await;
    }
    faults
}

/// Looks at the page that an action led to, which cannot be loaded anew: that it moves when its size does is no fault.
async fn look_here(tab: &Tab, who: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (size, colours) in LOOKS {
        tab.look(size, colours).await;
        let found = tab.faults().await.into_iter().filter(|fault| !fault.starts_with("moves by "));
        faults.extend(found.map(|fault| format!("{who}: {colours}: {fault}")));
    }
    picture(tab, who, &tab.path().await).await;
    faults
}

async fn picture(tab: &Tab, who: &str, path: &str) {
    let Some(folder) = std::env::var_os("BERTH_PICTURES").map(PathBuf::from) else { return };
    let path: String = path.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    for ((size, colours), name) in LOOKS.into_iter().zip(["wide", "phone"]) {
        tab.look(size, colours).await;
        tab.screenshot(folder.join(format!("{who}{path}.{name}.png"))).await;
    }
}

fn paths(of: &[&str]) -> Vec<String> {
    of.iter().map(ToString::to_string).collect()
}

async fn of_strangers(town: &Town, tab: Tab) -> Vec<String> {
    let market = format!("/market/{}", town.free.id);
    let priced = format!("{market}?term=5&unit=day");
    let asked = "/?max_price=much&per=hour&min_memory=2&place=Hamburg";
    look(&tab, "nobody", &paths(&["/", asked, &market, &priced, "/sign-in", "/sign-up", "/forgot"])).await
}

async fn of_renters(town: &Town, tab: Tab) -> Vec<String> {
    sign_in(&tab, &town.renter.token).await;
    let rental = |id: &str| format!("/rentals/{id}");
    let (quiet, running) = (rental(&town.quiet), rental(&town.running));
    let (more, end) = (format!("{quiet}/extension"), format!("{quiet}/end"));
    let (erased, unerased) = (rental(&town.erased), rental(&town.unerased));
    let all = ["/rentals", &running, &erased, &unerased, &more, &end, "/account", "/account/tokens", &quiet];
    let mut faults = look(&tab, "renter", &paths(&all)).await;
    tab.open(&quiet).await;
    tab.press("Show how to log in").await;
    tab.see("How to log in").await;
    faults.extend(look_here(&tab, "renter").await);
    faults
}

async fn of_owners(town: &Town, tab: Tab) -> Vec<String> {
    sign_in(&tab, &town.owner.token).await;
    let device = |id: &str| format!("/devices/{id}");
    let (free, lost, new, used) =
        (device(&town.free.id), device(&town.lost.id), device(&town.new.id), device(&town.used.id));
    let (offer, first) = (format!("{free}/offer"), format!("{new}/offer"));
    let rental = format!("/rentals/{}", town.erased);
    let all = ["/devices", &used, &lost, &new, &offer, &first, "/earnings", &rental, "/devices/new"];
    let mut faults = look(&tab, "owner", &paths(&all)).await;
    tab.fill("What you call it", "attic").await;
    tab.press("Enrol it").await;
    tab.see("it is not shown again").await;
    faults.extend(look_here(&tab, "owner").await);
    faults
}

async fn of_auditors(town: &Town, tab: Tab) -> Vec<String> {
    sign_in(&tab, &town.auditor.token).await;
    let contract = format!("/audit/contracts/{}", town.erased);
    let (before, device) = (format!("{contract}?event=3"), format!("/audit/devices/{}", town.used.id));
    let (account, settlement) = (
        format!("/audit/accounts/{}", town.renter.id),
        format!("/audit/settlements/{}", town.settlements[2]),
    );
    let order = "/audit/orders/shop/order-0";
    let all = ["/audit", &contract, &before, &device, &account, &settlement, order, "/audit/events/9"];
    look(&tab, "auditor", &paths(&all)).await
}

async fn of_operators(town: &Town, tab: Tab) -> Vec<String> {
    sign_in(&tab, &town.test.operator).await;
    let mut all = paths(&["/operator", "/operator/attention", "/operator/settlements", "/operator/devices"]);
    all.extend(paths(&["/operator/erasures", "/operator/orders", "/operator/accounts"]));
    all.push(format!("/operator/accounts/{}", town.renter.id));
    all.extend(town.settlements.iter().take(5).map(|id| format!("/operator/settlements/{id}")));
    look(&tab, "operator", &all).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_sound() {
    let town = Town::new().await;
    let chrome = Chrome::start().await;
    let site = town.test.site();
    let tab = async || chrome.tab(&site).await;
    let faults = tokio::join!(
        async { of_strangers(&town, tab().await).await },
        async { of_renters(&town, tab().await).await },
        async { of_owners(&town, tab().await).await },
        async { of_auditors(&town, tab().await).await },
        async { of_operators(&town, tab().await).await },
    );
    let (a, b, c, d, e) = faults;
    let faults = [a, b, c, d, e].concat();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What the Tab key comes to, without what is around every page.
async fn walk(tab: &Tab, path: &str) -> Vec<String> {
    tab.open(path).await;
    let mut names = tab.walk().await;
    assert_eq!(names.remove(0), "Skip to the content", "{path}");
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_comes_to_everything() {
    let town = Town::new().await;
    let chrome = Chrome::start().await;
    let tab = chrome.tab(&town.test.site()).await;
    let comes_to = |names: &[String], wanted: &[&str]| {
        for name in wanted {
            assert!(names.iter().any(|known| known == name), "no {name:?} in {names:?}");
        }
    };
    let market = walk(&tab, "/").await;
    comes_to(&market, &["Search in title, processor and place", "More filters", "Search", "Sign in", "API"]);
    comes_to(&walk(&tab, &format!("/market/{}", town.free.id)).await, &["How long", "Show the price"]);
    sign_in(&tab, &town.renter.token).await;
    let rental = walk(&tab, &format!("/rentals/{}", town.quiet)).await;
    comes_to(&rental, &["Show how to log in", "More time", "End it early", "Let the device keep the key"]);
    let end = walk(&tab, &format!("/rentals/{}/end", town.quiet)).await;
    comes_to(&end, &["A fresh quote", "Keep the rental"]);
    assert!(end.iter().any(|name| name.starts_with("End it, and ")), "{end:?}");
    tab.press("Sign out").await;
    sign_in(&tab, &town.owner.token).await;
    let offer = walk(&tab, &format!("/devices/{}/offer", town.free.id)).await;
    comes_to(&offer, &["Title", "Paid in", "A month of 30 days", "Change the offer", "Withdraw the offer"]);
    comes_to(&walk(&tab, "/earnings").await, &["The numbers by month", "The numbers by device"]);
    tab.press("Sign out").await;
    sign_in(&tab, &town.auditor.token).await;
    let audit = walk(&tab, &format!("/audit/contracts/{}", town.erased)).await;
    comes_to(&audit, &["Show as of this event", "Download the whole history", "As of a time"]);
    assert!(audit.iter().any(|name| name.starts_with("As of now, ")), "{audit:?}");
}

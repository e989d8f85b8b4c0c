//! A marketplace that lives until it is stopped, with terms of a minute.

use std::time::Duration;

use anyhow::Context;
use domain::id::DeviceId;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::{agents::Machine, market::Market};
use crate::{
    app::DataDir,
    clock::Clock,
    config::{Config, Jobs},
};

/// Devices on the market.
const DEVICES: [(&str, &str, &str); 3] = [
    ("pi-kitchen", "Raspberry Pi 5 in the kitchen", "0.60"),
    ("pi-attic", "Raspberry Pi 4 in the attic", "0.30"),
    ("nuc-office", "Small machine at the office", "1.20"),
];
/// Seconds bought by an order.
const TERM_S: i64 = 60;
/// Pause between two things that happen.
const BEAT: Duration = Duration::from_secs(4);

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(data: &DataDir, listen: &str) -> anyhow::Result<()> {
    let every_second = || "* * * * * *".to_string();
    let jobs = Jobs {
        expiry: every_second(),
        extension_lapse: every_second(),
        lost: every_second(),
        lost_grace: every_second(),
        payout: every_second(),
        ..Jobs::default()
    };
    let market =
        Market::open(data, Config { jobs, ..Config::default() }, Clock::System, listen, true).await?;
    introduce(&market, data);
    let mut terminate = signal(SignalKind::terminate())?;
    let lived = tokio::select! {
        lived = live(&market) => lived,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    println!("stopping");
    market.server.stop().await?;
    lived
}

fn introduce(market: &Market, data: &DataDir) {
    let base = &market.base;
    println!("A marketplace lives at {base} until you press Ctrl-C. Terms last a minute.");
    println!("  API docs    {base}/docs");
    println!("  the market  curl {base}/v1/market");
    println!(
        "  the ledger  curl -H 'authorization: Bearer {}' '{base}/v1/events?limit=20'",
        market.auditor.token
    );
    println!(
        "  live        curl -N -H 'authorization: Bearer {}' {base}/v1/events/stream",
        market.auditor.token
    );
    println!("  the files   {}", data.path().display());
    println!("Tokens of the people here:");
    let people = [
        ("Ada, owner", &market.ada),
        ("Rita, renter", &market.rita),
        ("Ron, renter", &market.ron),
        ("auditor", &market.auditor),
        ("marketplace", &market.shop),
        ("operator", &market.operator),
    ];
    for (who, somebody) in people {
        println!("  {who:<13} {}", somebody.token);
    }
    println!();
}

async fn live(market: &Market) -> anyhow::Result<()> {
    let mut machines: Vec<(DeviceId, Machine)> = Vec::new();
    for (name, title, per_hour) in DEVICES {
        let (device, machine) = market.enrol(name).await?;
        machines.push((device, machine));
        market.leased(device, 1).await?;
        market.offer(device, title, per_hour, TERM_S).await?;
        say(market, &format!("{name} is enrolled, registered and on the market at {per_hour} USD an hour"));
    }
    for beat in 0_usize.. {
        tokio::time::sleep(BEAT).await;
        // People come too late, or somebody else was faster: the marketplace says no, and life goes on.
        if let Err(no) = happen(market, &mut machines, beat).await {
            say(market, &format!("that did not work: {no:#}"));
        }
    }
    Ok(())
}

async fn happen(market: &Market, machines: &mut [(DeviceId, Machine)], beat: usize) -> anyhow::Result<()> {
    match beat % 6 {
        0 | 2 => rent(market, beat).await,
        1 => extend(market).await,
        3 => reboot(market, machines, beat).await,
        4 => leave(market, beat).await,
        _ => {
            let settled = market.shop.api.settle_all().await?;
            say(market, &format!("the shop settles {settled} refunds and payouts"));
            Ok(())
        }
    }
}

fn say(market: &Market, text: &str) {
    println!("{}  {text}", market.app.clock.time());
}

async fn rent(market: &Market, beat: usize) -> anyhow::Result<()> {
    let listed = market.rita.api.get("/v1/market").await?;
    let Some(item) = listed["items"].as_array().and_then(|items| items.get(beat % items.len().max(1))) else {
        say(market, "everything is let");
        return Ok(());
    };
    let device = item["device"].as_str().context("a listed device has an id")?;
    let price = market.rita.api.get(&format!("/v1/market/{device}/price?term_s={TERM_S}")).await?;
    let (who, renter) = if beat.is_multiple_of(4) { ("Rita", &market.rita) } else { ("Ron", &market.ron) };
    let order = json!({
        "order_id": format!("living-{beat}"),
        "renter": renter.id,
        "item": { "kind": "rental", "device": device, "term_s": TERM_S },
        "paid": price["price"],
    });
    market.shop.api.post("/v1/orders", order).await?;
    say(market, &format!("{who} rents {} for a minute", item["offer"]["title"]));
    Ok(())
}

/// A running rental of Rita's, the newest first.
async fn running(market: &Market) -> anyhow::Result<Option<Value>> {
    let mine = market.rita.api.get("/v1/contracts?status=running").await?;
    Ok(mine["items"].as_array().and_then(|items| items.first()).cloned())
}

async fn extend(market: &Market) -> anyhow::Result<()> {
    let Some(contract) = running(market).await? else { return Ok(()) };
    let id = contract["contract"].as_str().context("a contract has an id")?;
    let asked =
        market.rita.api.post(&format!("/v1/contracts/{id}/extensions"), json!({ "term_s": TERM_S })).await;
    let Ok(asked) = asked else {
        say(market, "Rita asks for more time, too late");
        return Ok(());
    };
    let order = json!({
        "order_id": format!("extension-{}", asked["extension"].as_str().unwrap_or_default()),
        "renter": market.rita.id,
        "item": { "kind": "extension", "contract": id, "extension": asked["extension"] },
        "paid": asked["price"],
    });
    market.shop.api.post("/v1/orders", order).await?;
    say(market, "Rita buys another minute");
    Ok(())
}

async fn reboot(market: &Market, machines: &mut [(DeviceId, Machine)], beat: usize) -> anyhow::Result<()> {
    let which = beat % machines.len();
    machines[which].1.cut_power().await?;
    machines[which].1.start()?;
    say(market, &format!("the power of {} fails and comes back", DEVICES[which].0));
    Ok(())
}

async fn leave(market: &Market, beat: usize) -> anyhow::Result<()> {
    if beat % 12 != 4 {
        return Ok(());
    }
    let Some(contract) = running(market).await? else { return Ok(()) };
    let id = contract["contract"].as_str().context("a contract has an id")?;
    let quote = market.rita.api.get(&format!("/v1/contracts/{id}/refund-quote")).await?;
    let end = json!({ "quoted_at": quote["at"] });
    market.rita.api.post(&format!("/v1/contracts/{id}/termination"), end).await?;
    say(
        market,
        &format!(
            "Rita leaves early; {} USD go back to her",
            quote["total"]["amount"].as_str().unwrap_or("?")
        ),
    );
    Ok(())
}

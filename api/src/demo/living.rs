//! A marketplace that lives until it is stopped, with terms of a minute.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{
    bazaar::{PASSWORD, USER},
    life::Life,
    market::Market,
    showcase::Rosa,
};
use crate::{
    app::DataDir,
    config::{Config, Jobs},
    stores::Stores,
};

/// Pause between two things that happen.
const BEAT: Duration = Duration::from_secs(4);

/// Runs until Ctrl-C or SIGTERM.
pub async fn run(data: &DataDir, config: Config, listen: &str) -> anyhow::Result<()> {
    let every_second = || "* * * * * *".to_string();
    let jobs = Jobs {
        expiry: every_second(),
        extension_lapse: every_second(),
        lost: every_second(),
        lost_grace: every_second(),
        payout: every_second(),
        ..Jobs::default()
    };
    let clock = Stores::new(data, &config)?.clock().await?;
    let market = Market::open(data, Config { jobs, ..config }, clock, listen, true).await?;
    println!("A marketplace begins to live; devices enrol and the first rentals start.");
    let mut terminate = signal(SignalKind::terminate())?;
    let lived = tokio::select! {
        lived = live(&market, data) => lived,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    println!("stopping");
    market.server.stop().await?;
    lived
}

fn introduce(market: &Market, data: &DataDir) {
    let (base, node) = (&market.base, market.bazaar.node.url());
    println!();
    println!("  Open {base}/ in a browser and look around.");
    println!();
    println!("The marketplace lives until you press Ctrl-C. Terms last a minute.");
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
    println!(
        "Whoever rents is shown the ssh and curl commands that lead to the device, through the gateway."
    );
    println!(
        "It sells at {node}, a stand-in for an OpenBazaar node; user {USER}, password {PASSWORD}. Coins are worth nothing:"
    );
    println!("  listings    curl -u {USER}:{PASSWORD} {node}/ob/listings");
    println!("  sales       curl -u {USER}:{PASSWORD} {node}/ob/sales");
    println!("  the wallet  curl -u {USER}:{PASSWORD} {node}/wallet/transactions/TBTC");
    println!("Tokens of the people here; renters get theirs with their orders:");
    let people = [("Ada, owner", &market.ada), ("auditor", &market.auditor), ("operator", &market.operator)];
    for (who, somebody) in people {
        println!("  {who:<11} {}", somebody.token);
    }
    println!();
}

async fn live(market: &Market, data: &DataDir) -> anyhow::Result<()> {
    let rosa = Rosa::begin(market).await?;
    let life = Life::begin(market, rosa.devices().to_vec()).await?;
    introduce(market, data);
    tokio::select! {
        lived = rosa.live() => lived,
        lived = happen(life) => lived,
    }
}

async fn happen(mut life: Life<'_>) -> anyhow::Result<()> {
    for beat in 0_usize.. {
        tokio::time::sleep(BEAT).await;
        // People come too late, or somebody else was faster: the marketplace says no, and life goes on.
        if let Err(no) = life.happen(beat).await {
            life.say(&format!("that did not work: {no:#}"));
        }
        life.tell_payments().await?;
    }
    Ok(())
}

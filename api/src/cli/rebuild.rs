//! `berth rebuild`.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use projections::rebuild::{self, Stage, Step};

use super::Common;

/// Makes views anew.
#[derive(Debug, Args)]
pub struct Rebuild {
    /// Views to make anew; all when none is named
    views: Vec<String>,
}

impl Rebuild {
    /// Rebuilds while the old views go on serving.
    pub async fn run(self, common: &Common) -> anyhow::Result<()> {
        let stores = common.stores()?;
        let log = stores.read_log().await?;
        let names = (!self.views.is_empty()).then_some(self.views.as_slice());
        let started = std::time::Instant::now();
        let done = rebuild::rebuild(&log, &stores.views(), names, bar()).await?;
        let events = log.head().await?.map_or(0, |head| head + 1);
        println!(
            "rebuilt {} from {events} events in {:.1} s",
            done.join(", "),
            started.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// Reports a rebuild as a progress bar on standard error; silent where that is no terminal.
pub fn bar() -> impl Fn(Step) + Send + Sync + 'static {
    let bar = ProgressBar::no_length();
    let style = "{msg:9} [{wide_bar}] {human_pos}/{human_len} {per_sec} {eta}";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    move |step| {
        if bar.is_hidden() {
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        match step.stage {
            Stage::Folding => bar.set_message("folding"),
            Stage::Indexing => bar.set_message("indexing"),
            Stage::Done => return bar.finish_and_clear(),
        }
        bar.set_length(step.total);
        bar.set_position(step.done);
    }
}

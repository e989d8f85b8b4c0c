//! Which events a webhook is told.

use domain::{
    event::Recorded,
    id::{OrderKey, SettlementId},
    settlement::Settlement,
};
use projections::private::Webhook;

use crate::{app::App, execute::ExecutorError};

/// Whether an event is of a wanted name and, where a marketplace is named, about one of its orders or about money that
/// one of them paid.
///
/// # Errors
/// When the log cannot be read.
pub(super) async fn concerns(
    app: &App,
    webhook: &Webhook,
    recorded: &Recorded,
) -> Result<bool, ExecutorError> {
    if !webhook.types.is_empty() && !webhook.types.contains(&recorded.event.kind) {
        return Ok(false);
    }
    let Some(wanted) = &webhook.marketplace else { return Ok(true) };
    let is_wanted = |order: &OrderKey| order.marketplace.as_str() == wanted;
    let key = recorded.stream.key();
    match recorded.stream.category() {
        "order" => Ok(key.parse().is_ok_and(|order| is_wanted(&order))),
        "settlement" => {
            let Ok(id) = key.parse::<SettlementId>() else { return Ok(false) };
            let settlement = app.executor.load::<Settlement>(&id).await?.state;
            Ok(settlement.due().is_some_and(|due| is_wanted(&due.order)))
        }
        _ => Ok(false),
    }
}

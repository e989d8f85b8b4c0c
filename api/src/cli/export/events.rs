//! The ledger as lines, one for each event.

use std::io::Write;

use clap::{Args, ValueEnum};
use domain::event::{Position, Recorded};
use projections::log::{EventLog, MAX_PAGE};
use serde_json::value::RawValue;

use crate::{
    cli::Common,
    cloud_event::{cloud_event, payload, recorded_at},
};

/// Every event, in order, to standard output.
#[derive(Debug, Args)]
pub struct Events {
    /// The form
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only events after this position
    #[arg(long)]
    after: Option<Position>,
}

/// A form of events.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line, as the API shows events
    #[default]
    Jsonl,
    /// One CloudEvents 1.0 JSON object a line
    Cloudevents,
    /// Comma-separated values with a heading
    Csv,
}

impl Events {
    /// Writes a line for each event.
    pub async fn write(self, common: &Common, out: &mut impl Write) -> anyhow::Result<()> {
        let stores = common.stores()?;
        let log = stores.read_log().await?;
        write(&*log, self.format, self.after, out).await
    }
}

async fn write(
    log: &dyn EventLog,
    format: Format,
    after: Option<Position>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    if format == Format::Csv {
        writeln!(
            out,
            "position,stream,revision,id,type,schema,recorded_at,effective_at,actor,command_id,data"
        )?;
    }
    let mut from = after.map_or(0, |after| after + 1);
    loop {
        let page = log.read_all(from, MAX_PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        from = last.position + 1;
        for recorded in &page {
            match format {
                Format::Jsonl => writeln!(out, "{}", line(recorded)?)?,
                Format::Cloudevents => writeln!(out, "{}", cloud_event(recorded)?)?,
                Format::Csv => writeln!(out, "{}", csv(recorded)?)?,
            }
        }
    }
}

/// An event as one line of JSON; the payload's bytes are kept as they are.
pub fn line(recorded: &Recorded) -> anyhow::Result<String> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        position: Position,
        stream: &'a str,
        revision: u64,
        id: uuid::Uuid,
        #[serde(rename = "type")]
        kind: &'a str,
        schema: u32,
        recorded_at: String,
        effective_at: domain::time::Time,
        actor: String,
        on_behalf_of: Option<uuid::Uuid>,
        command_id: uuid::Uuid,
        causation_id: Option<uuid::Uuid>,
        correlation_id: uuid::Uuid,
        data: &'a RawValue,
    }
    let (event, meta) = (&recorded.event, &recorded.event.meta);
    let payload = payload(recorded)?;
    Ok(serde_json::to_string(&Line {
        position: recorded.position,
        stream: recorded.stream.as_str(),
        revision: recorded.revision,
        id: event.id.0,
        kind: &event.kind,
        schema: event.schema,
        recorded_at: recorded_at(recorded),
        effective_at: event.effective_at,
        actor: meta.actor.to_string(),
        on_behalf_of: meta.on_behalf_of.map(|id| id.0),
        command_id: meta.command_id.0,
        causation_id: meta.causation_id.map(|id| id.0),
        correlation_id: meta.correlation_id.0,
        data: &payload,
    })?)
}

fn csv(recorded: &Recorded) -> anyhow::Result<String> {
    let (event, meta) = (&recorded.event, &recorded.event.meta);
    let payload = payload(recorded)?.get().replace('"', "\"\"");
    let (position, stream, revision) = (recorded.position, &recorded.stream, recorded.revision);
    let (id, kind, schema, effective_at) = (event.id, &event.kind, event.schema, event.effective_at);
    let (at, actor, command) = (recorded_at(recorded), &meta.actor, meta.command_id);
    Ok(format!(
        "{position},{stream},{revision},{id},{kind},{schema},{at},{effective_at},{actor},{command},\"{payload}\""
    ))
}

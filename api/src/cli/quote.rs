//! `berth quote`: pro-rating in bulk, JSON lines in and out.

use std::io::{BufRead, BufWriter, ErrorKind, Read, Write};

use clap::Args;
use domain::{
    money::MAX_MINOR,
    prorate::{Terms, split},
    time::{Interval, Time},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest line that is read, in bytes.
const MAX_LINE: usize = 1 << 20;

/// Quotes refunds in bulk: one JSON object a line on standard input, one on standard output.
///
/// Input: `start`, `end`, `t` (UTC seconds), `paid` (minor units), and optionally `ccy`, `fee_bps`, `notice` (seconds),
/// `keep_bps`, `void` and `offline` (a list of `[from, to]`). Output: `refund`, `owner`, `fee` and `gross` in minor
/// units, or `error` for a line that cannot be quoted; then the exit code is 1, and all other lines are answered.
#[derive(Debug, Args)]
pub struct Quote {}

/// A line of input; other fields are ignored.
#[derive(Deserialize)]
struct Line<'a> {
    start: i64,
    end: i64,
    t: i64,
    #[serde(borrow)]
    paid: &'a RawValue,
    #[serde(default)]
    fee_bps: u32,
    #[serde(default)]
    notice: i64,
    #[serde(default)]
    keep_bps: u32,
    #[serde(default)]
    void: bool,
    #[serde(default)]
    offline: Vec<(i64, i64)>,
}

impl Quote {
    /// Streams; memory does not grow with the input.
    pub fn run(self) -> anyhow::Result<()> {
        let (input, output) = (std::io::stdin().lock(), std::io::stdout().lock());
        match answer_all(input, BufWriter::with_capacity(1 << 16, output)) {
            Ok(0) => Ok(()),
            Ok(bad) => anyhow::bail!("{bad} lines could not be quoted; each has its error in its place"),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Answers every line; says how many were bad.
fn answer_all(mut input: impl BufRead, mut output: impl Write) -> std::io::Result<u64> {
    let (mut line, mut bad, mut offline) = (Vec::with_capacity(512), 0, Vec::new());
    loop {
        line.clear();
        let read = input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            output.flush()?;
            return Ok(bad);
        }
        let answered = if line.len() > MAX_LINE && !line.ends_with(b"\n") {
            skip_line(&mut input)?;
            Err(format!("the line is longer than {MAX_LINE} bytes"))
        } else if line.trim_ascii().is_empty() {
            continue;
        } else {
            answer(&line, &mut offline, &mut output)
        };
        if let Err(error) = answered {
            bad += 1;
            writeln!(output, "{}", serde_json::json!({ "error": error }))?;
        }
    }
}

fn skip_line(input: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|b| *b == b'\n');
        let (used, done) = end.map_or((buffer.len(), buffer.is_empty()), |at| (at + 1, true));
        input.consume(used);
        if done {
            return Ok(());
        }
    }
}

fn answer(line: &[u8], offline: &mut Vec<Interval>, output: &mut impl Write) -> Result<(), String> {
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err(
            "the line must be a JSON object like {\"start\":0,\"end\":10,\"paid\":100,\"t\":5}".into()
        );
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let text = line.paid.get().trim_matches('"');
    let paid: i128 = text
        .parse()
        .ok()
        .filter(|_| !text.starts_with('+'))
        .ok_or_else(|| format!("paid must be a whole number of minor units, got {text}"))?;
    if !(0..=MAX_MINOR).contains(&paid) {
        return Err(format!("paid must be 0 to {MAX_MINOR}"));
    }
    let Line { fee_bps, keep_bps, void, .. } = line;
    let terms = Terms { notice_s: line.notice, keep_bps, fee_bps, void };
    if !terms.is_valid() {
        return Err("notice must not be negative, and fee_bps and keep_bps must be 0 to 10000".into());
    }
    offline.clear();
    for (from, to) in &line.offline {
        offline.push(Interval::new(time("offline", *from)?, time("offline", *to)?));
    }
    let segment = Interval::new(time("start", line.start)?, time("end", line.end)?);
    let parts = split(segment, paid, time("t", line.t)?, &terms, offline);
    let (refund, owner, fee, gross) = (parts.refund, parts.owner, parts.fee, parts.gross());
    writeln!(output, r#"{{"refund":{refund},"owner":{owner},"fee":{fee},"gross":{gross}}}"#)
        .map_err(|e| e.to_string())
}

fn time(what: &str, unix: i64) -> Result<Time, String> {
    let time = Time::from_unix(unix);
    if time.unix() == unix { Ok(time) } else { Err(format!("{what} must lie in the years 1 to 9999")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(input: &str) -> (u64, Vec<serde_json::Value>) {
        let mut output = Vec::new();
        let bad = answer_all(input.as_bytes(), &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        (bad, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    #[test]
    fn every_published_vector_is_quoted_exactly() {
        let vectors: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../../fixtures/proration/vectors.json")).unwrap();
        let lines: Vec<_> = vectors.iter().map(ToString::to_string).collect();
        let (bad, answers) = quoted(&lines.join("\n"));
        assert_eq!((bad, answers.len()), (0, vectors.len()));
        for (vector, answer) in vectors.iter().zip(&answers) {
            for part in ["refund", "owner", "fee", "gross"] {
                assert_eq!(vector[part], answer[part], "{}: {part}", vector["name"]);
            }
        }
    }

    #[test]
    fn a_bad_line_is_answered_in_its_place_and_the_others_are_quoted() {
        let good = r#"{"start":0,"end":10,"paid":100,"t":5}"#;
        let bad = [
            "nonsense",
            r#"{"start":0,"end":10,"paid":-1,"t":5}"#,
            r#"{"start":0,"end":10,"paid":1.5,"t":5}"#,
            r#"{"start":0,"end":10,"paid":100,"t":5,"fee_bps":10001}"#,
            r#"{"start":0,"end":9223372036854775807,"paid":100,"t":5}"#,
        ];
        for line in bad {
            let (count, answers) = quoted(&format!("{good}\n{line}\n\n{good}"));
            assert_eq!((count, answers.len()), (1, 3), "{line}");
            assert!(answers[1]["error"].is_string() && answers[2]["refund"] == 50, "{line}");
        }
        let long = format!("{}\n{good}\n", "x".repeat(MAX_LINE + 5));
        let (count, answers) = quoted(&long);
        assert_eq!((count, answers.len()), (1, 2));
    }

    #[test]
    fn amounts_of_eighteen_decimals_are_exact() {
        let line = r#"{"start":0,"end":3,"paid":100000000000000000000000001,"t":1}"#;
        let mut output = Vec::new();
        answer_all(line.as_bytes(), &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        assert!(
            text.starts_with(r#"{"refund":66666666666666666666666668,"owner":33333333333333333333333333,"#),
            "{text}"
        );
    }
}

//! Tables for people, JSON for programs.

use serde_json::{Map, Value, json};

use super::Common;

/// Prints rows under headings, or as a JSON list of objects.
pub fn table(json: bool, headings: &[&str], rows: &[Vec<String>]) {
    if json {
        let object = |row: &Vec<String>| -> Map<String, Value> {
            headings.iter().zip(row).map(|(name, cell)| ((*name).to_string(), json!(cell))).collect()
        };
        println!("{}", json!(rows.iter().map(object).collect::<Vec<_>>()));
        return;
    }
    print!("{}", layout(headings, rows));
}

/// Lays rows out in columns as wide as their widest cell.
#[must_use]
pub fn layout(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| cell.chars().count());
        cells.chain([headings[i].len()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<_> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(headings.to_vec());
    text += &line(rule.iter().map(String::as_str).collect());
    for row in rows {
        text += &line(row.iter().map(String::as_str).collect());
    }
    text
}

/// Prints the effective configuration with its sources.
pub fn configuration(common: &Common) -> anyhow::Result<()> {
    let values = common.load(&[])?.values;
    let rows: Vec<_> =
        values.into_iter().map(|(name, value, source)| vec![name, value, source.to_string()]).collect();
    table(common.json, &["setting", "value", "source"], &rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let text = layout(&["a", "long heading"], &[vec!["wide cell".into(), "x".into()]]);
        assert_eq!(text, "a          long heading\n---------  ------------\nwide cell  x\n");
    }
}

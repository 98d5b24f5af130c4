//! Results for programs: JSON, YAML, CSV, names, tab-separated rows.

use super::escape::escaped;
use super::format::Format;
use super::table::{Cell, Table, value_text};
use crate::error::{Error, Result};
use serde_json::Value;

/// A table in a structured format; `indent` is for people who look at JSON.
pub(super) fn table(table: &Table, format: Format, indent: bool) -> Result<String> {
    match format {
        Format::Json => json(&table.objects().collect(), indent),
        Format::Jsonl => json_lines(table.objects()),
        Format::Yaml => yaml(&table.objects().collect()),
        Format::Csv => csv(table),
        Format::Name => Ok(table
            .names()
            .map(|name| escaped(&value_text(name.value())) + "\n")
            .collect()),
        Format::Table | Format::Wide => Ok(tab_separated(table, format == Format::Wide)),
    }
}

/// A JSON value in a structured format, or without one.
pub(super) fn value(value: &Value, format: Option<Format>, indent: bool) -> Result<String> {
    match (format, value) {
        (Some(Format::Json), _) => json(value, indent),
        (Some(Format::Jsonl), Value::Array(items)) => json_lines(items.iter().cloned()),
        (Some(Format::Jsonl), _) => json(value, false),
        (Some(Format::Yaml), _) => yaml(value),
        (Some(Format::Csv), _) => csv(&Table::of_value(value)),
        (Some(Format::Name), Value::Object(map)) => match map.get("name") {
            Some(name) => Ok(escaped(&value_text(name)) + "\n"),
            None => {
                Err(Error::usage("the result has no name").hint("use another format than -o name"))
            }
        },
        (Some(Format::Name), _) => table(&Table::of_value(value), Format::Name, false),
        (_, Value::Array(_) | Value::Object(_)) => json(value, indent),
        (_, bare) => Ok(escaped(&value_text(bare)) + "\n"),
    }
}

/// Rows separated by tabs, with a header.
pub(super) fn tab_separated(table: &Table, wide: bool) -> String {
    let headers = table
        .visible(wide)
        .into_iter()
        .filter_map(|position| table.columns().get(position));
    let header = headers
        .map(|column| escaped(column.header()))
        .collect::<Vec<_>>()
        .join("\t");
    format!("{header}\n{}", tab_separated_body(table, wide))
}

/// Rows separated by tabs. Tabs and newlines in cells are escaped.
pub(super) fn tab_separated_body(table: &Table, wide: bool) -> String {
    let visible = table.visible(wide);
    let line = |row: &Vec<Cell>| {
        let cells = visible.iter().filter_map(|position| row.get(*position));
        cells
            .map(|cell| escaped(&cell.text()))
            .collect::<Vec<_>>()
            .join("\t")
            + "\n"
    };
    table.rows().iter().map(line).collect()
}

fn json(value: &Value, indent: bool) -> Result<String> {
    let text = match indent {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    text.map(|text| text + "\n")
        .map_err(|error| Error::failed("cannot write JSON").because(error))
}

fn json_lines(values: impl Iterator<Item = Value>) -> Result<String> {
    values.map(|value| json(&value, false)).collect()
}

fn yaml(value: &Value) -> Result<String> {
    serde_yaml_ng::to_string(value)
        .map_err(|error| Error::failed("cannot write YAML").because(error))
}

fn csv(table: &Table) -> Result<String> {
    let failed = |error: csv::Error| Error::failed("cannot write CSV").because(error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(table.columns().iter().map(|column| column.name()))
        .map_err(failed)?;
    for row in table.rows() {
        writer
            .write_record(row.iter().map(|cell| value_text(cell.value())))
            .map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::failed("cannot write CSV").because(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

//! Tables as pandas' `to_dict(orient)` lays them out (spec/rest.md §4.2), written while they
//! are sent: a cell takes many times its memory as JSON.

use super::json::Json;
use super::reply::{Failure, Reply};
use polars::prelude::{Column, DataType};
use serde_json::{Map, Value};
use std::io::{self, Write};

/// Tables with up to so many cells are answered whole, with their length.
const SMALL: usize = 10_000;

/// Text that is collected before it is handed on.
const BLOCK: usize = 64 << 10;

/// The layouts.
#[derive(Debug, Clone, Copy)]
pub enum Orient {
    /// `{column: {row: cell}}`
    Dict,
    /// `{column: [cell]}`
    List,
    /// `[{column: cell}]`
    Records,
    /// `{row: {column: cell}}`
    Index,
    /// `{"index": [row], "columns": [column], "data": [[cell]]}`
    Split,
}

impl Orient {
    /// The layout of this name.
    ///
    /// # Errors
    /// What pandas raises for other names.
    pub fn parse(name: &str) -> Result<Self, Failure> {
        Ok(match name {
            "dict" => Orient::Dict,
            "list" => Orient::List,
            "records" => Orient::Records,
            "index" => Orient::Index,
            "split" => Orient::Split,
            other => {
                let message = format!("orient '{other}' not understood");
                return Err(Failure::raised("ValueError", &message).untraced());
            }
        })
    }
}

/// What the cells of a table are read from.
pub enum Cells {
    /// Columns.
    Columns(Vec<Column>),
    /// Documents, and the names of their fields.
    Documents(Vec<String>, Vec<Map<String, Value>>),
}

impl Cells {
    fn names(&self) -> Vec<&str> {
        match self {
            Cells::Columns(columns) => columns.iter().map(|cells| cells.name().as_str()).collect(),
            Cells::Documents(names, _) => names.iter().map(String::as_str).collect(),
        }
    }

    fn cell(&self, column: usize, row: usize) -> Json {
        match self {
            Cells::Columns(columns) => columns
                .get(column)
                .map_or(Json::Null, |cells| at(cells, row)),
            Cells::Documents(names, rows) => {
                let cell = names.get(column).and_then(|name| rows.get(row)?.get(name));
                cell.cloned().map_or(Json::Null, Json::from)
            }
        }
    }
}

fn at(cells: &Column, row: usize) -> Json {
    match cells.get(row) {
        Ok(cell) => Json::cell(&cell, cells.dtype()),
        Err(_) => Json::Null,
    }
}

/// A table to be answered.
pub struct Table {
    /// How it is laid out.
    pub orient: Orient,
    /// How many rows there are.
    pub height: usize,
    /// What is in them.
    pub cells: Cells,
    /// The levels of the index; none where rows are only numbered.
    pub index: Vec<Column>,
}

impl Table {
    /// The answer.
    pub fn reply(self) -> Reply {
        const JSON: &str = "application/json";
        if self.height.saturating_mul(self.cells.names().len()) > SMALL {
            return Reply::streamed(JSON, Box::new(move |mut out| self.write(&mut out)));
        }
        let mut body = Vec::new();
        match self.write(&mut body) {
            Ok(()) => Reply::bytes(JSON, body),
            // Memory takes everything.
            Err(error) => Reply::streamed(JSON, Box::new(move |_| Err(error))),
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut text = Text {
            out,
            text: String::new(),
        };
        let names = self.cells.names();
        let width = names.len();
        text.put("{\"data\": ");
        let row = |text: &mut Text<'_>, row: usize| {
            text.items('{', width, '}', |text, column| {
                text.key(names.get(column).copied().unwrap_or_default());
                text.value(&self.cells.cell(column, row))
            })
        };
        match self.orient {
            Orient::Dict => text.items('{', width, '}', |text, column| {
                text.key(names.get(column).copied().unwrap_or_default());
                text.items('{', self.height, '}', |text, row| {
                    text.key(&row.to_string());
                    text.value(&self.cells.cell(column, row))
                })
            })?,
            Orient::List => text.items('{', width, '}', |text, column| {
                text.key(names.get(column).copied().unwrap_or_default());
                text.items('[', self.height, ']', |text, row| {
                    text.value(&self.cells.cell(column, row))
                })
            })?,
            Orient::Records => text.items('[', self.height, ']', row)?,
            Orient::Index => text.items('{', self.height, '}', |text, number| {
                text.key(&number.to_string());
                row(text, number)
            })?,
            Orient::Split => {
                text.put("{\"index\": ");
                text.numbers(self.height)?;
                text.put(", \"columns\": ");
                text.items('[', width, ']', |text, column| {
                    text.value(&names.get(column).copied().unwrap_or_default().into())
                })?;
                text.put(", \"data\": ");
                text.items('[', self.height, ']', |text, row| {
                    text.items('[', width, ']', |text, column| {
                        text.value(&self.cells.cell(column, row))
                    })
                })?;
                text.put("}");
            }
        }
        text.put(", \"index\": {\"values\": ");
        match self.index.as_slice() {
            [] => text.numbers(self.height)?,
            [single] => text.items('[', self.height, ']', |text, row| {
                text.value(&at(single, row))
            })?,
            levels => text.items('[', self.height, ']', |text, row| {
                text.items('[', levels.len(), ']', |text, level| {
                    text.value(&levels.get(level).map_or(Json::Null, |level| at(level, row)))
                })
            })?,
        }
        text.put(", \"type\": ");
        text.value(&class(&self.index).into())?;
        text.put("}}\n");
        text.hand_on()
    }
}

/// What pandas calls the class of an index.
fn class(levels: &[Column]) -> &'static str {
    match levels {
        [] => "RangeIndex",
        [single] => match single.dtype() {
            DataType::Datetime(..) | DataType::Date => "DatetimeIndex",
            DataType::Duration(_) => "TimedeltaIndex",
            DataType::Categorical(..) => "CategoricalIndex",
            _ => "Index",
        },
        _ => "MultiIndex",
    }
}

/// Text on its way.
struct Text<'a> {
    out: &'a mut dyn Write,
    text: String,
}

impl Text<'_> {
    fn put(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn key(&mut self, key: &str) {
        Json::from(key).write(&mut self.text);
        self.put(": ");
    }

    fn value(&mut self, value: &Json) -> io::Result<()> {
        value.write(&mut self.text);
        match self.text.len() < BLOCK {
            true => Ok(()),
            false => self.hand_on(),
        }
    }

    /// `count` items between two brackets.
    fn items(
        &mut self,
        open: char,
        count: usize,
        close: char,
        mut item: impl FnMut(&mut Self, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        self.text.push(open);
        for at in 0..count {
            if at > 0 {
                self.put(", ");
            }
            item(self, at)?;
        }
        self.text.push(close);
        Ok(())
    }

    /// The numbers of the rows.
    fn numbers(&mut self, count: usize) -> io::Result<()> {
        self.items('[', count, ']', |text, at| {
            text.value(&Json::Int(at as i128))
        })
    }

    fn hand_on(&mut self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(orient: &str, index: Vec<Column>, cells: Cells) -> String {
        let (orient, height) = (Orient::parse(orient).ok().unwrap(), 2);
        let table = Table {
            orient,
            height,
            cells,
            index,
        };
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn columns() -> Cells {
        Cells::Columns(vec![
            Column::new("x".into(), [Some(1.0), None]),
            Column::new("é".into(), ["a", "b"]),
        ])
    }

    #[test]
    fn every_layout_is_that_of_pandas() {
        let index = || vec![Column::new("i".into(), [5_i64, 7])];
        for (orient, data) in [
            (
                "dict",
                r#"{"x": {"0": 1.0, "1": NaN}, "\u00e9": {"0": "a", "1": "b"}}"#,
            ),
            ("list", r#"{"x": [1.0, NaN], "\u00e9": ["a", "b"]}"#),
            (
                "records",
                r#"[{"x": 1.0, "\u00e9": "a"}, {"x": NaN, "\u00e9": "b"}]"#,
            ),
            (
                "index",
                r#"{"0": {"x": 1.0, "\u00e9": "a"}, "1": {"x": NaN, "\u00e9": "b"}}"#,
            ),
            (
                "split",
                r#"{"index": [0, 1], "columns": ["x", "\u00e9"], "data": [[1.0, "a"], [NaN, "b"]]}"#,
            ),
        ] {
            let expected = format!(
                "{{\"data\": {data}, \"index\": {{\"values\": [5, 7], \"type\": \"Index\"}}}}\n"
            );
            assert_eq!(written(orient, index(), columns()), expected, "{orient}");
        }
        assert!(Orient::parse("sideways").is_err());
        let levels = vec![
            Column::new("i".into(), [5_i64, 7]),
            Column::new("j".into(), ["p", "q"]),
        ];
        assert!(written("list", levels, columns()).ends_with(
            "\"index\": {\"values\": [[5, \"p\"], [7, \"q\"]], \"type\": \"MultiIndex\"}}\n"
        ));
    }

    #[test]
    fn documents_need_not_have_every_field() {
        let rows: Vec<Map<String, Value>> =
            serde_json::from_str(r#"[{"a": 1}, {"b": [true]}]"#).unwrap();
        let cells = Cells::Documents(vec!["a".into(), "b".into()], rows);
        assert_eq!(
            written("list", Vec::new(), cells),
            "{\"data\": {\"a\": [1, null], \"b\": [null, [true]]}, \"index\": {\"values\": [0, 1], \"type\": \"RangeIndex\"}}\n"
        );
    }
}

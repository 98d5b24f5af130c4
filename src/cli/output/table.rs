//! A table of results: what it holds, not how it looks.

use serde_json::{Map, Value};

/// Columns and rows. Every row has as many cells as there are columns.
#[derive(Debug, Clone, Default)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    name_column: usize,
    names_in_pipe: bool,
    empty_note: Option<String>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    header: String,
    key: String,
    align: Align,
    shown_in: ShownIn,
    whole: bool,
}

/// Where a cell's text stands in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Align {
    /// At the left.
    #[default]
    Left,
    /// At the right: numbers.
    Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShownIn {
    Everything,
    Wide,
    Programs,
}

/// A value, and how people read it if not as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    value: Value,
    shown: Option<String>,
}

impl Column {
    /// A column with this header; programs see it in lower case with `_` for blanks.
    pub fn new(header: &str) -> Self {
        Column {
            header: header.to_owned(),
            key: header.to_lowercase().replace([' ', '-'], "_"),
            align: Align::Left,
            shown_in: ShownIn::Everything,
            whole: false,
        }
    }

    /// The name that programs see.
    pub fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.key);
        self
    }

    /// Aligned at the right.
    pub fn right(mut self) -> Self {
        self.align = Align::Right;
        self
    }

    /// Left out of tables without `-o wide`.
    pub fn wide(mut self) -> Self {
        self.shown_in = ShownIn::Wide;
        self
    }

    /// For programs only: json, jsonl, yaml, csv.
    pub fn for_programs(mut self) -> Self {
        self.shown_in = ShownIn::Programs;
        self
    }

    /// Never cut, even if lines become longer than the terminal: paths, URLs.
    pub fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Whether it is never cut.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The header.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The name that programs see.
    pub fn name(&self) -> &str {
        &self.key
    }

    /// The alignment.
    pub fn align(&self) -> Align {
        self.align
    }

    fn is_shown(&self, wide: bool) -> bool {
        match self.shown_in {
            ShownIn::Everything => true,
            ShownIn::Wide => wide,
            ShownIn::Programs => false,
        }
    }
}

impl Cell {
    /// A value that people read as `shown`.
    pub fn shown(value: impl Into<Value>, shown: impl Into<String>) -> Self {
        Cell {
            value: value.into(),
            shown: Some(shown.into()),
        }
    }

    /// A number of bytes; people read `1.2 MB`.
    pub fn bytes(bytes: u64) -> Self {
        Cell::shown(bytes, human_bytes(bytes))
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// What people read; nothing for null.
    pub fn text(&self) -> String {
        match (&self.shown, &self.value) {
            (Some(shown), _) => shown.clone(),
            (None, value) => value_text(value),
        }
    }
}

/// A value bare: text as it is, nothing for null, JSON for the rest.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut amount = bytes as f64 / 1000.0;
    let mut unit = UNITS.iter();
    let mut name = unit.next().copied().unwrap_or_default();
    while amount >= 999.95 {
        match unit.next() {
            Some(next) => (amount, name) = (amount / 1000.0, next),
            None => break,
        }
    }
    format!("{amount:.1} {name}")
}

impl<T: Into<Value>> From<T> for Cell {
    fn from(value: T) -> Self {
        Cell {
            value: value.into(),
            shown: None,
        }
    }
}

impl Table {
    /// An empty table of these columns; the first one is the name.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Table {
            columns: columns.into_iter().collect(),
            ..Table::default()
        }
    }

    /// Makes another column the name (`-o name`); an unknown header changes nothing.
    pub fn named_by(mut self, header: &str) -> Self {
        if let Some(position) = self
            .columns
            .iter()
            .position(|column| column.header == header)
        {
            self.name_column = position;
        }
        self
    }

    /// A listing of objects: in a pipe, without `-o`, it is their names, one a line.
    pub fn listing(mut self) -> Self {
        self.names_in_pipe = true;
        self
    }

    /// What is said on a terminal when there are no rows.
    pub fn when_empty(mut self, note: impl Into<String>) -> Self {
        self.empty_note = Some(note.into());
        self
    }

    /// Adds a row; missing cells are null, and cells beyond the last column are dropped.
    pub fn push<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let mut row: Vec<Cell> = cells.into_iter().map(Into::into).collect();
        row.resize(self.columns.len(), Cell::default());
        self.rows.push(row);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows.
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// The columns.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names, one a row.
    pub fn names(&self) -> impl Iterator<Item = &Cell> {
        self.rows.iter().filter_map(|row| row.get(self.name_column))
    }

    pub(super) fn name_column(&self) -> usize {
        self.name_column
    }

    pub(super) fn names_in_pipe(&self) -> bool {
        self.names_in_pipe
    }

    pub(super) fn empty_note(&self) -> Option<&str> {
        self.empty_note.as_deref()
    }

    /// Positions of the columns that people see.
    pub(super) fn visible(&self, wide: bool) -> Vec<usize> {
        let columns = self.columns.iter().enumerate();
        columns
            .filter(|(_, column)| column.is_shown(wide))
            .map(|(position, _)| position)
            .collect()
    }

    /// The rows as JSON objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = Value> {
        self.rows.iter().map(|row| {
            let names = self.columns.iter().map(|column| column.key.clone());
            Value::Object(
                names
                    .zip(row.iter().map(|cell| cell.value.clone()))
                    .collect(),
            )
        })
    }

    /// Two columns, name and value, of an object; any other value is one row.
    pub(super) fn of_record(record: &Value) -> Self {
        let mut table = Table::new([Column::new("NAME"), Column::new("VALUE")]);
        match record {
            Value::Object(map) => {
                for (name, value) in map {
                    table.push([Cell::from(name.as_str()), Cell::from(value.clone())]);
                }
            }
            other => table.push([Cell::from("value"), Cell::from(other.clone())]),
        }
        table
    }

    /// The table that a JSON value amounts to: of an array the objects with the union of
    /// their keys, else one row a value; of an object its entries.
    pub(super) fn of_value(value: &Value) -> Self {
        let Value::Array(items) = value else {
            return Table::of_record(value);
        };
        let objects: Option<Vec<&Map<String, Value>>> =
            items.iter().map(Value::as_object).collect();
        let Some(objects) = objects.filter(|objects| !objects.is_empty()) else {
            let mut table = Table::new([Column::new("VALUE")]);
            items.iter().for_each(|item| table.push([item.clone()]));
            return table;
        };
        let mut keys: Vec<&str> = Vec::new();
        for key in objects.iter().flat_map(|object| object.keys()) {
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        let mut table =
            Table::new(keys.iter().map(|key| Column::new(key).key(key))).named_by("name");
        for object in objects {
            table.push(
                keys.iter()
                    .map(|key| object.get(*key).cloned().unwrap_or_default()),
            );
        }
        table
    }
}

//! The formats of `-o`.

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Table on a terminal, tab-separated rows elsewhere
    Table,
    /// Table with all columns
    Wide,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
    /// YAML
    Yaml,
    /// CSV with a header
    Csv,
    /// Names only, one a line
    Name,
}

impl Format {
    /// Whether it is for programs.
    pub fn is_structured(self) -> bool {
        !matches!(self, Format::Table | Format::Wide)
    }
}

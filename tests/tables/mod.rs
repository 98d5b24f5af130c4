//! Iris, wine and diabetes as frames and targets.

use ndarray::Array2;
use omega::models::{Target, matrix};
use polars::prelude::DataFrame;

/// Column names, numbers, and the last column as text.
pub fn read(name: &str) -> (Vec<String>, Array2<f64>, Vec<String>) {
    let path = format!("{}/tests/data/{name}.csv", env!("CARGO_MANIFEST_DIR"));
    let mut reader = csv::Reader::from_path(path).unwrap();
    let mut names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_string)
        .collect();
    names.pop();
    let mut values = Vec::new();
    let mut last = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        values.extend(
            record
                .iter()
                .take(names.len())
                .map(|v| v.parse::<f64>().unwrap()),
        );
        last.push(record.iter().next_back().unwrap().to_string());
    }
    let table = Array2::from_shape_vec((last.len(), names.len()), values).unwrap();
    (names, table, last)
}

/// Indexes into the sorted labels, and how many there are.
pub fn classes(labels: &[String]) -> Target {
    let mut known = labels.to_vec();
    known.sort();
    known.dedup();
    Target::Classes {
        index: labels
            .iter()
            .map(|label| known.binary_search(label).unwrap())
            .collect(),
        count: known.len(),
    }
}

/// The last column as one column of numbers.
pub fn numbers(last: &[String]) -> Target {
    let values = last.iter().map(|v| v.parse().unwrap()).collect();
    Target::Values(Array2::from_shape_vec((last.len(), 1), values).unwrap())
}

/// A frame of a matrix.
pub fn frame(table: &Array2<f64>, names: &[String]) -> DataFrame {
    matrix::frame(table.clone(), names).unwrap()
}

//! Statistics of every column of a table. A few columns are read at a time, so memory
//! holds those and no more.

use super::dtype::pandas_name;
use super::json;
use super::run::{collect, schema};
use crate::error::{Context, Result};
use polars::prelude::{
    AnyValue, Column, DataType, Expr, IntoColumn, LazyFrame, QuantileMethod, Series,
    SortMultipleOptions, col,
};
use serde::Serialize;
use serde_json::Value;

/// Columns that are read together.
const TOGETHER: usize = 16;
/// Bins of a histogram.
const BINS: usize = 10;
/// Most frequent values that are told.
const TOP: usize = 5;

/// Statistics of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Description {
    /// Rows.
    pub rows: u64,
    /// One a column, in order.
    pub columns: Vec<ColumnDescription>,
}

/// Statistics of a column. Null and NaN are counted as nulls and left out of all else.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDescription {
    /// Name.
    pub name: String,
    /// Type, in pandas' words.
    pub dtype: String,
    /// Values.
    pub count: u64,
    /// Nulls and NaN.
    pub nulls: u64,
    /// Distinct values.
    pub distinct: u64,
    /// Arithmetic mean of numbers.
    pub mean: Option<f64>,
    /// Sample standard deviation of numbers.
    pub std: Option<f64>,
    /// Smallest value; dates and times as ISO text; null where there is no order.
    pub min: Value,
    /// First quartile of numbers, linearly interpolated.
    pub q25: Option<f64>,
    /// Median of numbers.
    pub q50: Option<f64>,
    /// Third quartile of numbers.
    pub q75: Option<f64>,
    /// Largest value.
    pub max: Value,
    /// Histogram of finite numbers; none for other columns.
    pub histogram: Option<Histogram>,
    /// The most frequent values of columns that are not numbers.
    pub top: Vec<Top>,
}

/// Ten bins of equal width from the smallest to the largest value, both included.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Histogram {
    /// Eleven edges.
    pub edges: Vec<f64>,
    /// Values in each bin.
    pub counts: Vec<u64>,
}

/// A value and how often it occurs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Top {
    /// The value as text.
    pub value: String,
    /// How often.
    pub count: u64,
}

/// Describes every column.
///
/// # Errors
/// What Polars says of a column that cannot be read.
pub fn describe(mut frame: LazyFrame) -> Result<Description> {
    let names: Vec<String> = schema(&mut frame)?
        .iter_names()
        .map(|name| name.to_string())
        .collect();
    let mut description = Description {
        rows: 0,
        columns: Vec::with_capacity(names.len()),
    };
    for some in names.chunks(TOGETHER) {
        let columns: Vec<_> = some
            .iter()
            .map(|name| Expr::Column(name.as_str().into()))
            .collect();
        let part = collect(frame.clone().select(columns))?;
        description.rows = part.height() as u64;
        for column in part.columns() {
            description
                .columns
                .push(one(column).context(|| format!("cannot describe {}", column.name()))?);
        }
    }
    Ok(description)
}

fn one(column: &Column) -> polars::prelude::PolarsResult<ColumnDescription> {
    let series = column.as_materialized_series();
    let rows = series.len() as u64;
    let values = match series.dtype() {
        DataType::Float32 | DataType::Float64 => series.filter(&series.is_not_nan()?)?.drop_nulls(),
        _ => series.drop_nulls(),
    };
    let numeric = values.dtype().is_primitive_numeric();
    let nested = matches!(values.dtype(), DataType::List(_) | DataType::Struct(_));
    let mut described = ColumnDescription {
        name: column.name().to_string(),
        dtype: pandas_name(column.dtype()),
        count: values.len() as u64,
        nulls: rows - values.len() as u64,
        distinct: if nested { 0 } else { values.n_unique()? as u64 },
        mean: None,
        std: None,
        min: Value::Null,
        q25: None,
        q50: None,
        q75: None,
        max: Value::Null,
        histogram: None,
        top: Vec::new(),
    };
    if nested || values.is_empty() {
        return Ok(described);
    }
    described.min = json::value(&values.min_reduce()?.into_value());
    described.max = json::value(&values.max_reduce()?.into_value());
    if numeric {
        let numbers = values.cast(&DataType::Float64)?;
        described.mean = numbers.mean();
        described.std = numbers.std(1);
        let quantile = |share| -> polars::prelude::PolarsResult<Option<f64>> {
            Ok(numbers
                .quantile_reduce(share, QuantileMethod::Linear)?
                .value()
                .extract::<f64>())
        };
        described.q25 = quantile(0.25)?;
        described.q50 = quantile(0.5)?;
        described.q75 = quantile(0.75)?;
        described.histogram = histogram(&numbers)?;
    } else {
        described.top = top(&values)?;
    }
    Ok(described)
}

fn histogram(numbers: &Series) -> polars::prelude::PolarsResult<Option<Histogram>> {
    let numbers = numbers.f64()?;
    let finite = || numbers.iter().flatten().filter(|number| number.is_finite());
    let least = finite().fold(f64::INFINITY, f64::min);
    let most = finite().fold(f64::NEG_INFINITY, f64::max);
    let width = (most - least) / BINS as f64;
    if !width.is_finite() {
        return Ok(None);
    }
    let mut counts = vec![0; BINS];
    for number in finite() {
        let bin = if width > 0.0 {
            ((number - least) / width) as usize
        } else {
            0
        };
        if let Some(count) = counts.get_mut(bin.min(BINS - 1)) {
            *count += 1;
        }
    }
    let edges = (0..=BINS).map(|edge| least + width * edge as f64).collect();
    Ok(Some(Histogram { edges, counts }))
}

/// Most frequent first; equally frequent in the order of the values.
fn top(values: &Series) -> polars::prelude::PolarsResult<Vec<Top>> {
    use polars::prelude::IntoLazy;
    let name = values.name().clone();
    let frame = polars::prelude::DataFrame::new(
        values.len(),
        vec![values.clone().with_name("value".into()).into_column()],
    )?;
    let order = SortMultipleOptions::default().with_order_descending_multi([true, false]);
    let counted = frame
        .lazy()
        .group_by([col("value")])
        .agg([polars::prelude::len().alias("count")])
        .sort(["count", "value"], order)
        .limit(TOP as u32)
        .collect()?;
    let (texts, counts) = (counted.column("value")?, counted.column("count")?);
    (0..counted.height())
        .map(|row| {
            let text = match json::value(&texts.get(row)?) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let count = match counts.get(row)? {
                AnyValue::UInt32(count) => u64::from(count),
                other => other.extract::<u64>().unwrap_or(0),
            };
            Ok(Top { value: text, count })
        })
        .collect::<polars::prelude::PolarsResult<_>>()
        .map_err(|error| error.wrap_msg(|message| format!("{name}: {message}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::{IntoLazy, df};
    use serde_json::json;

    #[test]
    fn numbers_and_texts_are_described() {
        let frame = df!(
            "n" => [Some(1.0), Some(2.0), Some(3.0), Some(4.0), None, Some(f64::NAN)],
            "t" => ["b", "a", "b", "c", "c", "b"],
        )
        .unwrap();
        let described = describe(frame.lazy()).unwrap();
        assert_eq!(described.rows, 6);
        let numbers = &described.columns[0];
        assert_eq!((numbers.count, numbers.nulls, numbers.distinct), (4, 2, 4));
        assert_eq!(
            (numbers.mean, numbers.q25, numbers.q50),
            (Some(2.5), Some(1.75), Some(2.5))
        );
        assert!((numbers.std.unwrap() - 1.290_994_448_735_805_6).abs() < 1e-12);
        assert_eq!((&numbers.min, &numbers.max), (&json!(1.0), &json!(4.0)));
        let counts = &numbers.histogram.as_ref().unwrap().counts;
        assert_eq!(counts.iter().sum::<u64>(), 4);
        assert_eq!(counts[9], 1);
        let texts = &described.columns[1];
        assert_eq!(
            texts.top[0],
            Top {
                value: "b".into(),
                count: 3
            }
        );
        assert_eq!(
            texts.top[1],
            Top {
                value: "c".into(),
                count: 2
            }
        );
    }

    #[test]
    fn empty_and_constant_columns_are_described() {
        let frame = df!("a" => [Option::<f64>::None, None], "b" => [5i64, 5]).unwrap();
        let described = describe(frame.lazy()).unwrap();
        assert_eq!(
            (described.columns[0].count, described.columns[0].mean),
            (0, None)
        );
        assert_eq!(
            described.columns[1].histogram.as_ref().unwrap().counts[0],
            2
        );
    }
}

//! Whatever the command line does, a few lines do against the library: store a table,
//! then query it with Polars, which reads only what the query needs.
//!
//! `cargo run --example lazy -- examples/data/flights.csv.gz`

use omega::frame::format::{Format, ReadOptions, Source, open};
use omega::progress::Silent;
use omega::store::{Object, PutOptions};
use omega::{Error, Omega, Result};
use polars::prelude::{IntoLazy, col, lit};
use std::sync::Arc;

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .ok_or_else(|| Error::usage("which file?"))?;
    let om = Omega::embedded(std::env::temp_dir().join("om-example"))?;

    let table = open(
        Source::Path(path.into()),
        Format::Csv,
        &ReadOptions::default(),
        Arc::new(Silent),
    )?;
    om.datasets
        .put("flights", Object::Frames(table), &PutOptions::default())?;

    let late = om
        .datasets
        .lazy("flights")?
        .filter(col("arr_delay").gt(lit(300)));
    let late = omega::frame::collect(late)?;
    om.datasets.put_frame("late", late.clone())?;
    println!(
        "{} late flights",
        late.lazy().collect().map_or(0, |late| late.height())
    );
    Ok(())
}

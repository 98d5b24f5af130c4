//! Rows that arrive in batches, as a lazy frame: kept in memory while they are few, else in
//! a temporary file that Polars streams from. And frames over sources that Polars cannot
//! stream, read first.

use super::polars_error::explained;
use crate::error::{Context, Result};
use polars::prelude::{
    DataFrame, Engine, HiveOptions, IntoLazy, IpcWriter, LazyFrame, ScanSources, SerWriter,
    UnifiedScanArgs,
};
use std::fs::File;
use std::io::{BufWriter, Seek, Write};

/// How many bytes of rows are kept in memory; more go into files of this size.
const IN_MEMORY: usize = 64 << 20;

/// A lazy frame over `batches`, which are read to their end now; there is at least one.
///
/// # Errors
/// What the source says, and a full temporary directory.
pub fn spool(batches: impl Iterator<Item = Result<DataFrame>>) -> Result<LazyFrame> {
    let mut files: Vec<File> = Vec::new();
    let mut kept: Option<DataFrame> = None;
    for batch in batches {
        let batch = batch?;
        let frame = match &mut kept {
            Some(frame) => {
                frame
                    .vstack_mut_owned(batch)
                    .map_err(|error| explained(&error))?;
                frame
            }
            none => none.insert(batch),
        };
        if frame.estimated_size() > IN_MEMORY {
            files.push(written(frame)?);
            *frame = frame.clear();
        }
    }
    let kept = kept.unwrap_or_default();
    if files.is_empty() {
        return Ok(kept.lazy());
    }
    if kept.height() > 0 {
        files.push(written(&mut kept.clone())?);
    }
    LazyFrame::scan_ipc_sources(
        ScanSources::Files(files.into()),
        Default::default(),
        UnifiedScanArgs {
            glob: false,
            hive_options: HiveOptions::new_disabled(),
            ..UnifiedScanArgs::default()
        },
    )
    .map_err(|error| explained(&error))
}

fn written(frame: &mut DataFrame) -> Result<File> {
    let failed = || "cannot write to a temporary file";
    let mut file = tempfile::tempfile().context(failed)?;
    let mut target = BufWriter::with_capacity(1 << 20, &mut file);
    IpcWriter::new(&mut target).finish(frame).context(failed)?;
    target.flush().context(failed)?;
    drop(target);
    file.rewind().context(failed)?;
    Ok(file)
}

/// The frame as the streaming engine can run it: where it reads from a source of our own,
/// which hands out a table as a whole, it is collected now, with everything that was
/// pushed down into the source.
///
/// # Errors
/// What Polars and the source say.
pub(super) fn streamable(frame: LazyFrame) -> Result<LazyFrame> {
    let plan = frame.describe_plan().map_err(|error| explained(&error))?;
    if !plan.to_uppercase().contains(OWN_SOURCE) {
        return Ok(frame);
    }
    let collected = frame
        .collect_with_engine(Engine::InMemory)
        .map_err(|error| explained(&error))?;
    Ok(collected.unwrap_single().lazy())
}

/// How Polars' plans show such sources. Plans cannot be inspected otherwise; a table whose
/// columns are called so is only read in another way.
const OWN_SOURCE: &str = "ANONYMOUS";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::{
        AnonymousScan, AnonymousScanArgs, PolarsResult, ScanArgsAnonymous, col, df,
    };
    use std::any::Any;
    use std::sync::Arc;

    #[test]
    fn many_rows_go_through_a_file() {
        let rows = 3_000_000_i64;
        let batch = |from: i64| {
            let n: Vec<i64> = (from..from + rows).collect();
            df!("n" => n, "x" => vec![0.5; rows as usize]).unwrap()
        };
        for batches in [0, 1, 3] {
            let frames = (0..batches).map(|number| Ok(batch(number * rows)));
            let whole = super::super::collect(spool(frames).unwrap()).unwrap();
            assert_eq!(whole.height() as i64, batches * rows);
            if batches > 0 {
                let n = whole.column("n").unwrap().i64().unwrap();
                assert!(
                    n.into_no_null_iter()
                        .zip(0..)
                        .all(|(n, expected)| n == expected)
                );
            }
        }
    }

    struct Source;

    impl AnonymousScan for Source {
        fn as_any(&self) -> &dyn Any {
            self
        }

        fn scan(&self, _arguments: AnonymousScanArgs) -> PolarsResult<DataFrame> {
            df!("a" => [1i64, 2, 3])
        }
    }

    #[test]
    fn sources_of_our_own_are_read_first() {
        let arguments = ScanArgsAnonymous {
            schema: Some(df!("a" => [1i64]).unwrap().schema().clone()),
            ..ScanArgsAnonymous::default()
        };
        let frame = LazyFrame::anonymous_scan(Arc::new(Source), arguments).unwrap();
        let frame = frame.slice(1, 2).filter(col("a").gt(2));
        let collected = super::super::collect(frame).unwrap();
        assert_eq!(collected, df!("a" => [3i64]).unwrap());
    }
}

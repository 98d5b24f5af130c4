//! Tables in pieces: for what must not be held in memory at once.

use super::polars_error::explained;
use super::run::{collect, schema};
use super::spool::streamable;
use crate::error::{Context, Error, Result};
use polars::prelude::{
    DataFrame, Engine, IdxCa, IdxSize, LazyFrame, PlanCallback, PolarsResult, len,
};
use rand::SeedableRng;
use rand::seq::index;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::sync::mpsc::sync_channel;

/// The rows in batches, in order; at least one, which may be empty.
///
/// # Errors
/// What Polars says, at the start or with a batch.
pub fn batches(mut frame: LazyFrame) -> Result<impl Iterator<Item = Result<DataFrame>> + Send> {
    let empty = DataFrame::empty_with_schema(&*schema(&mut frame)?);
    let (sender, receiver) = sync_channel(1);
    let failed = sender.clone();
    let sink = PlanCallback::new(move |batch| Ok(sender.send(Ok(batch)).is_err()));
    let plan = streamable(frame)?
        .sink_batches(sink, true, None)
        .map_err(|error| explained(&error))?;
    std::thread::Builder::new()
        .name("om-batches".to_owned())
        .spawn(move || {
            if let Err(error) = plan.collect_with_engine(Engine::Streaming) {
                // Nobody listens any more when the reader has enough.
                let _ = failed.send(Err(error));
            }
        })
        .context(|| "cannot start a thread to read rows")?;
    let mut batches = receiver
        .into_iter()
        .map(|batch: PolarsResult<DataFrame>| batch.map_err(|error| explained(&error)));
    let first = batches.next().unwrap_or(Ok(empty));
    Ok(std::iter::once(first).chain(batches))
}

/// The same batches, of which some are made by a thread of its own before they are asked
/// for.
///
/// # Errors
/// Where there can be no such thread.
pub fn ahead<T: Send + 'static>(
    mut batches: impl Iterator<Item = T> + Send + 'static,
) -> Result<impl Iterator<Item = T> + Send> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name("om-ahead".to_owned())
        .spawn(move || {
            // The receiver may have enough.
            let _ = batches.try_for_each(|batch| sender.send(batch));
        })
        .context(|| "cannot start a thread to read rows")?;
    Ok(receiver.into_iter())
}

/// `count` random rows in the table's order, or all if there are fewer; the same ones for
/// the same seed.
///
/// # Errors
/// What Polars says.
pub fn sample(frame: LazyFrame, count: u64, seed: Option<u64>) -> Result<DataFrame> {
    let counted = collect(frame.clone().select([len()]))?;
    let total = counted
        .columns()
        .first()
        .and_then(|column| column.get(0).ok()?.extract::<usize>())
        .unwrap_or(0);
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(total);
    let mut generator = match seed {
        Some(seed) => Xoshiro256PlusPlus::seed_from_u64(seed),
        None => Xoshiro256PlusPlus::from_entropy(),
    };
    let mut chosen = index::sample(&mut generator, total, count).into_vec();
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    let (mut start, mut sampled): (usize, Option<DataFrame>) = (0, None);
    for batch in batches(frame)? {
        let batch = batch?;
        let end = start + batch.height();
        let mut rows: Vec<IdxSize> = Vec::new();
        while let Some(row) = chosen.next_if(|row| *row < end) {
            rows.push(IdxSize::try_from(row - start).unwrap_or(IdxSize::MAX));
        }
        start = end;
        let taken = batch
            .take(&IdxCa::from_vec("".into(), rows))
            .map_err(|error| explained(&error))?;
        match &mut sampled {
            Some(sampled) => {
                sampled
                    .vstack_mut(&taken)
                    .map_err(|error| explained(&error))?;
            }
            None => sampled = Some(taken),
        }
    }
    sampled.ok_or_else(|| Error::failed("the table has no rows to choose from"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use polars::prelude::{IntoLazy, df};

    #[test]
    fn samples_are_distinct_rows_in_order() {
        let frame = df!("a" => (0..1000i64).collect::<Vec<_>>()).unwrap().lazy();
        let sampled = sample(frame.clone(), 10, Some(7)).unwrap();
        let rows: Vec<i64> = sampled
            .column("a")
            .unwrap()
            .i64()
            .unwrap()
            .into_no_null_iter()
            .collect();
        assert_eq!(rows.len(), 10);
        assert!(rows.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(sample(frame.clone(), 10, Some(7)).unwrap().equals(&sampled));
        assert_eq!(sample(frame, 5000, None).unwrap().height(), 1000);
    }

    #[test]
    fn an_empty_table_is_one_empty_batch() {
        let frame = df!("a" => Vec::<i64>::new()).unwrap().lazy();
        let all: Vec<_> = batches(frame).unwrap().collect::<Result<_>>().unwrap();
        assert_eq!(
            all.iter().map(DataFrame::shape).collect::<Vec<_>>(),
            [(0, 1)]
        );
    }
}

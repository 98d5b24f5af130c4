//! Rows for training and rows for testing.

use super::labels::Labels;
use crate::error::{Context, Error, Result};
use polars::prelude::{DataFrame, IdxCa, IdxSize};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Divides the rows at random into (train, test). `test_size` below 1 is a share, from 1
/// on a number of rows; with `stratify` both parts hold each label of that column in the
/// same proportion. The same seed gives the same rows.
pub fn train_test_split(
    frame: &DataFrame,
    test_size: f64,
    seed: u64,
    stratify: Option<&str>,
) -> Result<(DataFrame, DataFrame)> {
    let rows = frame.height();
    let wanted = if test_size > 0.0 && test_size < 1.0 {
        (rows as f64 * test_size).ceil() as usize
    } else if test_size >= 1.0 && test_size.fract() == 0.0 {
        test_size as usize
    } else {
        return Err(Error::usage(
            "test_size must be a share between 0 and 1 or a number of rows",
        ));
    };
    if wanted == 0 || wanted >= rows {
        return Err(Error::invalid(format!(
            "{rows} rows cannot be divided into {wanted} for testing and the rest for training"
        )));
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..rows).collect();
    order.shuffle(&mut random);
    let test = match stratify {
        None => order.split_off(rows - wanted),
        Some(name) => {
            let column = frame
                .column(name)
                .context(|| "cannot find the column to stratify by")?;
            let labels = Labels::learn(column)?;
            let classes = labels.classes(column)?.index;
            let shares = shares(&classes, labels.count(), wanted)?;
            take_shares(&mut order, &classes, shares)
        }
    };
    Ok((rows_of(frame, &order)?, rows_of(frame, &test)?))
}

/// How many rows of each class go to the test: its proportion, the largest remainders
/// rounded up.
fn shares(classes: &[usize], count: usize, wanted: usize) -> Result<Vec<usize>> {
    let sizes = sizes(classes, count);
    if let Some(least) = sizes.iter().min()
        && *least < 2
    {
        return Err(Error::invalid(
            "a label stands in one row only and cannot be in both parts",
        ));
    }
    let exact: Vec<f64> = sizes
        .iter()
        .map(|size| *size as f64 * wanted as f64 / classes.len() as f64)
        .collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..count).collect();
    let remainder = |class: &usize| exact.get(*class).map_or(0.0, |share| share.fract());
    by_remainder.sort_by(|a, b| remainder(b).total_cmp(&remainder(a)));
    let missing = wanted - shares.iter().sum::<usize>();
    for class in by_remainder.into_iter().take(missing) {
        if let Some(share) = shares.get_mut(class) {
            *share += 1;
        }
    }
    Ok(shares)
}

/// Moves the first rows of each class out of `order`.
fn take_shares(order: &mut Vec<usize>, classes: &[usize], mut shares: Vec<usize>) -> Vec<usize> {
    let mut test = Vec::new();
    order.retain(|row| {
        let share = classes.get(*row).and_then(|class| shares.get_mut(*class));
        match share {
            Some(share) if *share > 0 => {
                *share -= 1;
                test.push(*row);
                false
            }
            _ => true,
        }
    });
    test
}

fn sizes(classes: &[usize], count: usize) -> Vec<usize> {
    let mut sizes = vec![0; count];
    for class in classes {
        if let Some(size) = sizes.get_mut(*class) {
            *size += 1;
        }
    }
    sizes
}

/// The test fold of each row: consecutive rows, the first folds one larger where the
/// rows do not divide evenly (scikit-learn's `KFold`).
pub fn k_fold(rows: usize, folds: usize) -> Result<Vec<usize>> {
    check(rows, folds)?;
    let (size, larger) = (rows / folds, rows % folds);
    Ok((0..folds)
        .flat_map(|fold| std::iter::repeat_n(fold, size + usize::from(fold < larger)))
        .collect())
}

/// The test fold of each row so that every fold holds the classes in proportion and rows
/// keep their order within a class (scikit-learn's `StratifiedKFold` without shuffling).
pub fn stratified_k_fold(classes: &[usize], count: usize, folds: usize) -> Result<Vec<usize>> {
    check(classes.len(), folds)?;
    // Classes are counted in the order in which they appear.
    let mut place = vec![usize::MAX; count];
    let mut seen = 0;
    for class in classes {
        if let Some(place) = place.get_mut(*class)
            && *place == usize::MAX
        {
            *place = seen;
            seen += 1;
        }
    }
    let encoded: Vec<usize> = classes
        .iter()
        .map(|class| place.get(*class).copied().unwrap_or(0))
        .collect();
    let sizes = sizes(&encoded, seen);
    if sizes.iter().all(|size| *size < folds) {
        return Err(Error::invalid(format!(
            "no class has as many rows as there are folds ({folds})"
        ))
        .hint("use fewer folds"));
    }
    let mut ordered = encoded.clone();
    ordered.sort_unstable();
    let mut allocation = vec![vec![0_usize; folds]; seen];
    for (i, class) in ordered.iter().enumerate() {
        if let Some(cell) = allocation
            .get_mut(*class)
            .and_then(|row| row.get_mut(i % folds))
        {
            *cell += 1;
        }
    }
    let mut next: Vec<_> = allocation
        .into_iter()
        .map(|row| {
            row.into_iter()
                .enumerate()
                .flat_map(|(fold, count)| std::iter::repeat_n(fold, count))
        })
        .collect();
    Ok(encoded
        .into_iter()
        .map(|class| next.get_mut(class).and_then(Iterator::next).unwrap_or(0))
        .collect())
}

fn check(rows: usize, folds: usize) -> Result<()> {
    if folds < 2 {
        return Err(Error::usage("there must be 2 folds or more"));
    }
    if folds > rows {
        return Err(Error::invalid(format!(
            "{rows} rows cannot be divided into {folds} folds"
        )));
    }
    Ok(())
}

/// The rows of `frame` at `rows`, in that order.
pub fn rows_of(frame: &DataFrame, rows: &[usize]) -> Result<DataFrame> {
    let rows: Vec<IdxSize> = rows
        .iter()
        .map(|row| IdxSize::try_from(*row).unwrap_or(IdxSize::MAX))
        .collect();
    frame
        .take(&IdxCa::from_vec("rows".into(), rows))
        .context(|| "cannot take rows of the table")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use polars::prelude::df;

    #[test]
    fn folds_are_those_of_scikit_learn() {
        // StratifiedKFold(3) and KFold(3) of scikit-learn 1.9.
        let folds = stratified_k_fold(&[1, 0, 0, 1, 1, 0, 2, 2, 2, 1], 3, 3).unwrap();
        assert_eq!(folds, [0, 0, 1, 0, 1, 2, 0, 1, 2, 2]);
        assert_eq!(k_fold(8, 3).unwrap(), [0, 0, 0, 1, 1, 1, 2, 2]);
        assert!(k_fold(2, 3).is_err());
    }

    #[test]
    fn every_row_is_in_one_part() {
        let frame = df!(
            "id" => (0..20).collect::<Vec<i64>>(),
            "c" => (0..20).map(|i| if i % 4 == 0 { "a" } else { "b" }).collect::<Vec<_>>(),
        )
        .unwrap();
        let (train, test) = train_test_split(&frame, 0.4, 7, Some("c")).unwrap();
        assert_eq!((train.height(), test.height()), (12, 8));
        let rare = |frame: &DataFrame| {
            let column = frame.column("c").unwrap().str().unwrap().clone();
            column.iter().filter(|c| *c == Some("a")).count()
        };
        assert_eq!((rare(&train), rare(&test)), (3, 2));
        let mut ids: Vec<i64> = [&train, &test]
            .iter()
            .flat_map(|f| {
                f.column("id")
                    .unwrap()
                    .i64()
                    .unwrap()
                    .iter()
                    .flatten()
                    .collect::<Vec<_>>()
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..20).collect::<Vec<i64>>());
        let again = train_test_split(&frame, 0.4, 7, Some("c")).unwrap();
        assert_eq!(again.1, test);
    }
}

//! Metrics of groups, with and without a truth to compare with. Rows of group -1 (noise)
//! are left out of those without.

use super::{Confusion, Metric, Score};
use crate::error::{Error, Result};
use ndarray::{Array1, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// The silhouette compares rows in pairs; of larger tables this many rows are taken.
const SILHOUETTE_ROWS: usize = 10_000;

pub const METRICS: &[Metric] = &[
    Metric {
        name: "silhouette",
        aliases: &["silhouette_score"],
        greater_is_better: true,
        summary: "how much nearer rows are to their own group than to the next, -1 to 1; of at most 10,000 evenly spaced rows; the default of clusterers",
        score: Score::Groups(silhouette),
    },
    Metric {
        name: "davies_bouldin",
        aliases: &["davies_bouldin_score"],
        greater_is_better: false,
        summary: "spread of groups relative to the distance of their centres",
        score: Score::Groups(davies_bouldin),
    },
    Metric {
        name: "calinski_harabasz",
        aliases: &["calinski_harabasz_score"],
        greater_is_better: true,
        summary: "variance between groups relative to the variance within",
        score: Score::Groups(calinski_harabasz),
    },
    Metric {
        name: "inertia",
        aliases: &[],
        greater_is_better: false,
        summary: "sum of squared distances of rows to the centre of their group",
        score: Score::Groups(inertia),
    },
    Metric {
        name: "adjusted_rand",
        aliases: &["adjusted_rand_score"],
        greater_is_better: true,
        summary: "agreement of groups with true classes beyond chance",
        score: Score::Partition(adjusted_rand),
    },
];

/// The rows of each group.
fn members(groups: &[i64]) -> BTreeMap<i64, Vec<usize>> {
    let mut members: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for (row, group) in groups.iter().enumerate().filter(|(_, group)| **group >= 0) {
        members.entry(*group).or_default().push(row);
    }
    members
}

/// Groups with their centres; at least two are needed.
fn centres(x: ArrayView2<'_, f64>, groups: &[i64]) -> Result<Vec<(Vec<usize>, Array1<f64>)>> {
    let members = members(groups);
    let rows: usize = members.values().map(Vec::len).sum();
    if members.len() < 2 || members.len() >= rows {
        return Err(Error::invalid(format!(
            "there are {} groups of {rows} rows; this metric needs two or more, and fewer than rows",
            members.len()
        )));
    }
    Ok(with_centres(x, members))
}

fn with_centres(
    x: ArrayView2<'_, f64>,
    members: BTreeMap<i64, Vec<usize>>,
) -> Vec<(Vec<usize>, Array1<f64>)> {
    let centre = |rows: &[usize]| {
        let mut sum = Array1::zeros(x.ncols());
        for row in rows {
            sum += &x.row(*row);
        }
        sum / rows.len().max(1) as f64
    };
    members
        .into_values()
        .map(|rows| {
            let centre = centre(&rows);
            (rows, centre)
        })
        .collect()
}

fn square_distance(a: ArrayView1<'_, f64>, b: ArrayView1<'_, f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

fn silhouette(x: ArrayView2<'_, f64>, groups: &[i64]) -> Result<f64> {
    let step = x.nrows().div_ceil(SILHOUETTE_ROWS).max(1);
    let taken: Vec<i64> = groups
        .iter()
        .enumerate()
        .map(|(row, group)| if row % step == 0 { *group } else { -1 })
        .collect();
    let groups: Vec<Vec<usize>> = centres(x, &taken)?.into_iter().map(|g| g.0).collect();
    let of_row = |own: usize, row: usize| {
        let mean = |rows: &[usize], count: usize| {
            let distances = rows
                .iter()
                .map(|other| square_distance(x.row(row), x.row(*other)).sqrt());
            distances.sum::<f64>() / count as f64
        };
        let inside = groups.get(own).map_or(&[][..], Vec::as_slice);
        if inside.len() < 2 {
            return 0.0;
        }
        let a = mean(inside, inside.len() - 1);
        let others = groups.iter().enumerate().filter(|(g, _)| *g != own);
        let b = others
            .map(|(_, rows)| mean(rows, rows.len()))
            .fold(f64::INFINITY, f64::min);
        let scale = a.max(b);
        if scale > 0.0 { (b - a) / scale } else { 0.0 }
    };
    let rows: Vec<(usize, usize)> = groups
        .iter()
        .enumerate()
        .flat_map(|(group, rows)| rows.iter().map(move |row| (group, *row)))
        .collect();
    let scores: Vec<f64> = rows
        .par_iter()
        .map(|(group, row)| of_row(*group, *row))
        .collect();
    Ok(scores.iter().sum::<f64>() / scores.len() as f64)
}

fn davies_bouldin(x: ArrayView2<'_, f64>, groups: &[i64]) -> Result<f64> {
    let groups = centres(x, groups)?;
    let spreads: Vec<f64> = groups
        .iter()
        .map(|(rows, centre)| {
            let distances = rows
                .iter()
                .map(|row| square_distance(x.row(*row), centre.view()).sqrt());
            distances.sum::<f64>() / rows.len() as f64
        })
        .collect();
    let worst = |i: usize, centre: &Array1<f64>, spread: f64| {
        let others = groups.iter().zip(&spreads).enumerate();
        others
            .filter(|(j, _)| *j != i)
            .map(|(_, ((_, other), other_spread))| {
                let distance = square_distance(centre.view(), other.view()).sqrt();
                if distance > 0.0 {
                    (spread + other_spread) / distance
                } else {
                    0.0
                }
            })
            .fold(0.0, f64::max)
    };
    let sum: f64 = groups
        .iter()
        .zip(&spreads)
        .enumerate()
        .map(|(i, ((_, centre), spread))| worst(i, centre, *spread))
        .sum();
    Ok(sum / groups.len() as f64)
}

fn calinski_harabasz(x: ArrayView2<'_, f64>, groups: &[i64]) -> Result<f64> {
    let grouped = centres(x, groups)?;
    let rows: usize = grouped.iter().map(|(rows, _)| rows.len()).sum();
    let mut middle = Array1::<f64>::zeros(x.ncols());
    for (rows, centre) in &grouped {
        middle.scaled_add(rows.len() as f64, centre);
    }
    middle /= rows as f64;
    let between: f64 = grouped
        .iter()
        .map(|(rows, centre)| rows.len() as f64 * square_distance(centre.view(), middle.view()))
        .sum();
    let within = within(x, &grouped);
    if within == 0.0 {
        return Ok(1.0);
    }
    let (groups, rows) = (grouped.len() as f64, rows as f64);
    Ok(between * (rows - groups) / (within * (groups - 1.0)))
}

fn inertia(x: ArrayView2<'_, f64>, groups: &[i64]) -> Result<f64> {
    Ok(within(x, &with_centres(x, members(groups))))
}

fn within(x: ArrayView2<'_, f64>, groups: &[(Vec<usize>, Array1<f64>)]) -> f64 {
    let squares = groups.iter().flat_map(|(rows, centre)| {
        rows.iter()
            .map(move |row| square_distance(x.row(*row), centre.view()))
    });
    squares.sum()
}

/// Hubert and Arabie (1985).
fn adjusted_rand(table: &Confusion) -> f64 {
    let pairs = |counts: &mut dyn Iterator<Item = f64>| -> f64 {
        counts.map(|n| n * (n - 1.0) / 2.0).sum()
    };
    let both = pairs(&mut table.0.iter().copied());
    let first = pairs(&mut table.0.sum_axis(Axis(1)).into_iter());
    let second = pairs(&mut table.0.sum_axis(Axis(0)).into_iter());
    let all = pairs(&mut std::iter::once(table.0.sum()));
    let chance = if all > 0.0 { first * second / all } else { 0.0 };
    let most = (first + second) / 2.0;
    if most == chance {
        1.0
    } else {
        (both - chance) / (most - chance)
    }
}

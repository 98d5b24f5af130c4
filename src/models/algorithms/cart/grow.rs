//! Growing a tree: depth first, without recursion, each node's rows sorted by each
//! column that it may split on.

use super::keys;
use super::score::{Entropy, Gini, Row, Score, Variance};
use super::{LEAF, Node, Tree};
use crate::models::algorithms::input;
use rand_xoshiro::Xoshiro256PlusPlus as Random;
use serde::{Deserialize, Serialize};

/// Values nearer than this count as equal, as in scikit-learn.
const NEAR: f32 = 1e-7;

/// What makes a split good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Criterion {
    Gini,
    Entropy,
    Variance,
}

/// When to stop and where to look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Growth {
    pub criterion: Criterion,
    pub max_depth: Option<usize>,
    pub min_samples_split: usize,
    pub min_samples_leaf: usize,
    pub min_impurity_decrease: f64,
    /// Columns tried in a node; more only while all of them were constant.
    pub max_features: usize,
    /// One random threshold a column instead of the best one.
    pub random_thresholds: bool,
}

/// The features by column.
pub(crate) struct Table {
    columns: Vec<Vec<f32>>,
    rows: usize,
}

impl Table {
    /// Columns of equal length; adding zero turns -0 into 0, which sort as equal.
    pub(crate) fn new(columns: Vec<Vec<f32>>) -> Self {
        let rows = columns.first().map_or(0, Vec::len);
        Table { columns, rows }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }
}

/// What is predicted, one value a row.
pub(crate) enum Outcome<'a> {
    Classes { index: &'a [u32], count: usize },
    Values(&'a [f64]),
}

/// A tree and what is known from growing it.
pub(crate) struct Grown {
    pub tree: Tree,
    /// Decrease of impurity by each column, weighted by rows.
    pub importances: Vec<f64>,
    /// The leaf of each row that had weight.
    pub leaves: Vec<u32>,
}

/// Grows a tree on the rows with positive weight, of which there must be one.
pub(crate) fn grow(
    table: &Table,
    outcome: &Outcome<'_>,
    weights: &[f64],
    growth: &Growth,
    random: &mut Random,
) -> Grown {
    match (outcome, growth.criterion) {
        (Outcome::Values(y), _) => {
            let label = |row: usize| y.get(row).copied().unwrap_or(0.0);
            Grower::new(table, weights, growth, random, label).run(Variance::default(), 1)
        }
        (Outcome::Classes { index, count }, Criterion::Entropy) => {
            let label = |row: usize| index.get(row).copied().unwrap_or(0);
            Grower::new(table, weights, growth, random, label).run(Entropy::new(*count), *count)
        }
        (Outcome::Classes { index, count }, _) => {
            let label = |row: usize| index.get(row).copied().unwrap_or(0);
            Grower::new(table, weights, growth, random, label).run(Gini::new(*count), *count)
        }
    }
}

struct Grower<'a, L, F> {
    table: &'a Table,
    weights: &'a [f64],
    growth: &'a Growth,
    random: &'a mut Random,
    label: F,
    /// Row numbers, those of a node next to each other and ascending.
    rows: Vec<u32>,
    /// Labels and weights of the node in hand, as `rows`.
    node: Vec<Row<L>>,
    /// Value and place of each row of the node, sorted.
    keys: Vec<u64>,
    scratch: Vec<u64>,
    aside: Vec<u32>,
    features: Vec<u32>,
}

struct Split {
    feature: usize,
    threshold: f64,
    proxy: f64,
}

/// Rows `start..end` still to be split or made a leaf.
struct Todo {
    start: usize,
    end: usize,
    depth: usize,
    /// The parent to tell where its right child is.
    parent: Option<usize>,
}

impl<'a, L: Copy, F: Fn(usize) -> L> Grower<'a, L, F> {
    fn new(
        table: &'a Table,
        weights: &'a [f64],
        growth: &'a Growth,
        random: &'a mut Random,
        label: F,
    ) -> Self {
        let rows: Vec<u32> = (0..table.rows())
            .filter(|row| weights.get(*row).is_some_and(|weight| *weight > 0.0))
            .map(|row| row as u32)
            .collect();
        Grower {
            node: Vec::with_capacity(rows.len()),
            keys: Vec::with_capacity(rows.len()),
            scratch: Vec::new(),
            aside: Vec::with_capacity(rows.len()),
            features: (0..table.width() as u32).collect(),
            table,
            weights,
            growth,
            random,
            label,
            rows,
        }
    }

    fn run<S: Score<Label = L>>(mut self, mut score: S, width: usize) -> Grown {
        let mut nodes: Vec<Node> = Vec::new();
        let mut values = Vec::new();
        let mut leaf_count = 0_u32;
        let mut leaves = vec![0_u32; self.table.rows()];
        let mut importances = vec![0.0; self.table.width()];
        let mut total = None;
        let mut todo = vec![Todo {
            start: 0,
            end: self.rows.len(),
            depth: 0,
            parent: None,
        }];
        while let Some(work) = todo.pop() {
            let at = nodes.len();
            if let Some(parent) = work.parent.and_then(|parent| nodes.get_mut(parent)) {
                parent.link = at as u32;
            }
            self.collect(work.start, work.end);
            score.start(&self.node);
            let total = *total.get_or_insert_with(|| score.weight());
            let before = score.proxy();
            let split = self
                .may_split(&work, &score)
                .then(|| self.best(&mut score, work.start, work.end))
                .flatten()
                .map(|split| {
                    let gain = split.proxy - before;
                    (split, gain)
                })
                .filter(|(_, gain)| {
                    gain / total + f64::EPSILON >= self.growth.min_impurity_decrease
                });
            if let Some((split, gain)) = split {
                let middle = self.divide(&work, &split);
                if let Some(importance) = importances.get_mut(split.feature) {
                    *importance += gain;
                }
                nodes.push(Node {
                    threshold: split.threshold,
                    feature: split.feature as u32,
                    link: 0,
                });
                todo.push(Todo {
                    start: middle,
                    end: work.end,
                    depth: work.depth + 1,
                    parent: Some(at),
                });
                todo.push(Todo {
                    start: work.start,
                    end: middle,
                    depth: work.depth + 1,
                    parent: None,
                });
            } else {
                nodes.push(Node {
                    threshold: 0.0,
                    feature: LEAF,
                    link: leaf_count,
                });
                score.say(&mut values);
                for row in self.rows.get(work.start..work.end).unwrap_or(&[]) {
                    if let Some(leaf) = leaves.get_mut(*row as usize) {
                        *leaf = leaf_count;
                    }
                }
                leaf_count += 1;
            }
        }
        Grown {
            tree: Tree {
                nodes,
                values,
                width,
            },
            importances,
            leaves,
        }
    }

    fn may_split<S: Score<Label = L>>(&self, work: &Todo, score: &S) -> bool {
        let rows = work.end - work.start;
        rows >= self.growth.min_samples_split
            && rows >= 2 * self.growth.min_samples_leaf
            && self.growth.max_depth.is_none_or(|max| work.depth < max)
            && !score.pure()
    }

    /// Labels and weights of the node's rows, so that scanning them stays in the cache.
    fn collect(&mut self, start: usize, end: usize) {
        self.node.clear();
        let rows = self.rows.get(start..end).unwrap_or(&[]);
        self.node.extend(rows.iter().map(|row| Row {
            label: (self.label)(*row as usize),
            weight: self.weights.get(*row as usize).copied().unwrap_or(0.0),
        }));
    }

    /// The best split over the columns that this node may look at.
    fn best<S: Score<Label = L>>(
        &mut self,
        score: &mut S,
        start: usize,
        end: usize,
    ) -> Option<Split> {
        let width = self.features.len();
        let all = self.growth.max_features >= width && !self.growth.random_thresholds;
        let mut best: Option<Split> = None;
        let mut varied = false;
        for tried in 0..width {
            if tried >= self.growth.max_features && varied {
                break;
            }
            // Draws without replacement; with all columns allowed the order is theirs.
            let feature = if all {
                tried
            } else {
                let drawn = tried + input::below(self.random, width - tried);
                self.features.swap(tried, drawn);
                self.features
                    .get(tried)
                    .map_or(0, |feature| *feature as usize)
            };
            let Some(column) = self.table.columns.get(feature) else {
                continue;
            };
            self.keys.clear();
            let rows = self.rows.get(start..end).unwrap_or(&[]);
            let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
            self.keys
                .extend(rows.iter().enumerate().map(|(place, row)| {
                    let value = column.get(*row as usize).copied().unwrap_or(0.0);
                    low = low.min(value);
                    high = high.max(value);
                    keys::key(value, place)
                }));
            if high <= low + NEAR {
                continue;
            }
            varied = true;
            score.again();
            let found = if self.growth.random_thresholds {
                let share = input::uniform(self.random) as f32;
                self.random_threshold(score, low, low + share * (high - low), high)
            } else {
                keys::sort(&mut self.keys, &mut self.scratch);
                self.best_threshold(score)
            };
            if let Some((threshold, proxy)) = found
                && best.as_ref().is_none_or(|best| proxy > best.proxy)
            {
                best = Some(Split {
                    feature,
                    threshold,
                    proxy,
                });
            }
        }
        best
    }

    /// The threshold with the largest proxy, half-way between two neighbouring values.
    fn best_threshold<S: Score<Label = L>>(&self, score: &mut S) -> Option<(f64, f64)> {
        let leaf = self.growth.min_samples_leaf.max(1);
        let last = self.keys.len().checked_sub(leaf)?;
        let mut best: Option<(f32, f32, f64)> = None;
        let mut pairs = self.keys.iter().zip(self.keys.iter().skip(1));
        for left in 1..=last {
            let Some((key, next)) = pairs.next() else {
                break;
            };
            let Some(row) = self.node.get(keys::place(*key)) else {
                break;
            };
            score.shift(*row);
            let (here, there) = (keys::value(*key), keys::value(*next));
            if left < leaf || there <= here + NEAR {
                continue;
            }
            let proxy = score.proxy();
            if best.is_none_or(|best| proxy > best.2) {
                best = Some((here, there, proxy));
            }
        }
        best.map(|(here, there, proxy)| {
            let middle = f64::from(here) / 2.0 + f64::from(there) / 2.0;
            let threshold = if middle == f64::from(there) {
                f64::from(here)
            } else {
                middle
            };
            (threshold, proxy)
        })
    }

    /// The proxy of one threshold; none if it leaves too few rows on a side.
    fn random_threshold<S: Score<Label = L>>(
        &self,
        score: &mut S,
        low: f32,
        threshold: f32,
        high: f32,
    ) -> Option<(f64, f64)> {
        let threshold = if threshold >= high || !threshold.is_finite() {
            low
        } else {
            threshold
        };
        let mut left = 0;
        for (key, row) in self.keys.iter().zip(&self.node) {
            if keys::value(*key) <= threshold {
                score.shift(*row);
                left += 1;
            }
        }
        let leaf = self.growth.min_samples_leaf.max(1);
        (left >= leaf && self.keys.len() - left >= leaf)
            .then(|| (f64::from(threshold), score.proxy()))
    }

    /// Moves the rows of the left child to the front, keeping their order; where the
    /// right child starts.
    fn divide(&mut self, work: &Todo, split: &Split) -> usize {
        let (Some(rows), Some(column)) = (
            self.rows.get_mut(work.start..work.end),
            self.table.columns.get(split.feature),
        ) else {
            return work.start;
        };
        self.aside.clear();
        let mut left = 0;
        for at in 0..rows.len() {
            let row = rows[at];
            let value = column.get(row as usize).copied().unwrap_or(0.0);
            if f64::from(value) <= split.threshold {
                rows[left] = row;
                left += 1;
            } else {
                self.aside.push(row);
            }
        }
        rows[left..].copy_from_slice(&self.aside);
        work.start + left
    }
}

//! Finding near points: a balanced k-d tree with a bounding box a node (Friedman,
//! Bentley, Finkel 1977). Neighbours come nearest first, equals by row number, so that
//! answers never depend on the tree's shape.
//!
//! Own code: linfa-nn's k-d tree is as deep as a sorted table is long and its ball tree
//! as deep as there are equal points (both overflow the stack), and neither can be kept
//! in a model, since they borrow the points.

use ndarray::Array2;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Points in a leaf.
const LEAF: usize = 24;

/// How far apart two points are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Metric {
    Euclidean,
    Manhattan,
    Chebyshev,
}

pub(super) const METRICS: &[&str] = &["euclidean", "manhattan", "chebyshev"];

impl Metric {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "manhattan" => Metric::Manhattan,
            "chebyshev" => Metric::Chebyshev,
            _ => Metric::Euclidean,
        }
    }

    /// Adds one coordinate's difference to a sum.
    #[inline]
    fn add(self, sum: f64, difference: f64) -> f64 {
        match self {
            Metric::Euclidean => sum + difference * difference,
            Metric::Manhattan => sum + difference.abs(),
            Metric::Chebyshev => sum.max(difference.abs()),
        }
    }

    /// The distance that a sum stands for.
    pub(super) fn distance(self, sum: f64) -> f64 {
        match self {
            Metric::Euclidean => sum.sqrt(),
            _ => sum,
        }
    }

    /// The sum that a distance stands for.
    fn sum(self, distance: f64) -> f64 {
        match self {
            Metric::Euclidean => distance * distance,
            _ => distance,
        }
    }

    /// The distance of two points.
    pub(super) fn between(self, a: &[f64], b: &[f64]) -> f64 {
        self.distance(self.sums(a, b))
    }

    #[inline]
    fn sums(self, a: &[f64], b: &[f64]) -> f64 {
        a.iter()
            .zip(b)
            .fold(0.0, |sum, (a, b)| self.add(sum, a - b))
    }
}

/// Points ready for searching.
#[derive(Debug)]
pub(super) struct Index {
    metric: Metric,
    width: usize,
    /// Rows in the order of the leaves.
    points: Vec<f64>,
    /// The row number of each of `points`.
    rows: Vec<u32>,
    nodes: Vec<Node>,
    /// Least and greatest coordinates of each node.
    boxes: Vec<f64>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    start: u32,
    end: u32,
    /// The right child; 0 for leaves. The left child follows its parent.
    right: u32,
}

/// A neighbour: how far, and which row.
#[derive(Debug, Clone, Copy)]
struct Near {
    sum: f64,
    row: u32,
}

impl Ord for Near {
    fn cmp(&self, other: &Self) -> Ordering {
        self.sum
            .total_cmp(&other.sum)
            .then(self.row.cmp(&other.row))
    }
}
impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Near {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Near {}

impl Index {
    /// Of all rows of `points`, fewer than 2³².
    pub(super) fn new(points: &Array2<f64>, metric: Metric) -> Self {
        let mut index = Index {
            metric,
            width: points.ncols(),
            points: Vec::with_capacity(points.len()),
            rows: (0..points.nrows() as u32).collect(),
            nodes: Vec::new(),
            boxes: Vec::new(),
        };
        let mut rows = std::mem::take(&mut index.rows);
        index.build(points, &mut rows, 0);
        for row in &rows {
            index.points.extend(points.row(*row as usize));
        }
        index.rows = rows;
        index
    }

    /// Halves the rows at the median of the widest column; depth is the logarithm of
    /// the number of rows whatever the data.
    fn build(&mut self, points: &Array2<f64>, rows: &mut [u32], start: u32) {
        let at = self.nodes.len();
        self.nodes.push(Node {
            start,
            end: start + rows.len() as u32,
            right: 0,
        });
        let mut widest = (0, -1.0);
        for (column, values) in points.columns().into_iter().enumerate() {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for row in rows.iter() {
                let value = values[*row as usize];
                low = low.min(value);
                high = high.max(value);
            }
            self.boxes.extend([low, high]);
            if high - low > widest.1 {
                widest = (column, high - low);
            }
        }
        if rows.len() <= LEAF || widest.1 <= 0.0 {
            return;
        }
        let values = points.column(widest.0);
        let middle = rows.len() / 2;
        rows.select_nth_unstable_by(middle, |a, b| {
            values[*a as usize]
                .total_cmp(&values[*b as usize])
                .then(a.cmp(b))
        });
        let (left, right) = rows.split_at_mut(middle);
        self.build(points, left, start);
        let place = self.nodes.len() as u32;
        if let Some(node) = self.nodes.get_mut(at) {
            node.right = place;
        }
        self.build(points, right, start + middle as u32);
    }

    /// The sum from `point` to the nearest place of a node's box.
    fn box_sum(&self, node: usize, point: &[f64]) -> f64 {
        let width = 2 * self.width;
        let bounds = self.boxes.get(node * width..(node + 1) * width);
        bounds
            .unwrap_or(&[])
            .chunks_exact(2)
            .zip(point)
            .fold(0.0, |sum, (bounds, value)| {
                let outside = (bounds[0] - value).max(value - bounds[1]).max(0.0);
                self.metric.add(sum, outside)
            })
    }

    /// Row numbers and sums of a leaf's points.
    fn leaf(&self, node: Node, point: &[f64]) -> impl Iterator<Item = Near> {
        let (start, end) = (node.start as usize, node.end as usize);
        let points = self.points.get(start * self.width..end * self.width);
        points
            .unwrap_or(&[])
            .chunks_exact(self.width.max(1))
            .zip(self.rows.get(start..end).unwrap_or(&[]))
            .map(|(there, row)| Near {
                sum: self.metric.sums(there, point),
                row: *row,
            })
    }

    /// The `k` nearest rows and their distances, nearest first.
    pub(super) fn nearest(&self, point: &[f64], k: usize) -> Vec<(usize, f64)> {
        let mut best = BinaryHeap::with_capacity(k + 1);
        let mut todo = vec![(0_usize, self.box_sum(0, point))];
        while let Some((at, bound)) = todo.pop() {
            let full = best.len() == k;
            if full && best.peek().is_none_or(|worst: &Near| bound > worst.sum) {
                continue;
            }
            let Some(node) = self.nodes.get(at) else {
                continue;
            };
            if node.right == 0 {
                for near in self.leaf(*node, point) {
                    if best.len() < k {
                        best.push(near);
                    } else if best.peek().is_some_and(|worst| near < *worst) {
                        best.pop();
                        best.push(near);
                    }
                }
                continue;
            }
            let left = (at + 1, self.box_sum(at + 1, point));
            let right = node.right as usize;
            let right = (right, self.box_sum(right, point));
            // The nearer half is looked at first.
            if left.1 <= right.1 {
                todo.extend([right, left]);
            } else {
                todo.extend([left, right]);
            }
        }
        best.into_sorted_vec()
            .into_iter()
            .map(|near| (near.row as usize, self.metric.distance(near.sum)))
            .collect()
    }

    /// The rows at most `radius` away, in no order.
    pub(super) fn within(&self, point: &[f64], radius: f64, found: &mut Vec<usize>) {
        found.clear();
        let most = self.metric.sum(radius);
        let mut todo = vec![0_usize];
        while let Some(at) = todo.pop() {
            let Some(node) = self.nodes.get(at) else {
                continue;
            };
            if self.box_sum(at, point) > most {
                continue;
            }
            if node.right == 0 {
                let near = self.leaf(*node, point).filter(|near| near.sum <= most);
                found.extend(near.map(|near| near.row as usize));
            } else {
                todo.extend([node.right as usize, at + 1]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn check(points: &Array2<f64>, metric: Metric, k: usize, radius: f64) {
        let index = Index::new(points, metric);
        for query in points.rows() {
            let query = query.to_vec();
            let mut all: Vec<(f64, usize)> = points
                .rows()
                .into_iter()
                .enumerate()
                .map(|(row, p)| (metric.sums(p.as_slice().unwrap(), &query), row))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let nearest: Vec<usize> = index.nearest(&query, k).iter().map(|n| n.0).collect();
            let expected: Vec<usize> = all.iter().take(k).map(|n| n.1).collect();
            assert_eq!(nearest, expected);
            let mut within = Vec::new();
            index.within(&query, radius, &mut within);
            let expected = all.iter().filter(|n| n.0 <= metric.sum(radius)).count();
            assert_eq!(within.len(), expected);
        }
    }

    proptest! {
        #[test]
        fn finds_what_looking_at_all_finds(
            values in prop::collection::vec(-5_i32..5, 3..600),
            k in 1_usize..9,
            radius in 0.0..4.0,
        ) {
            let rows = values.len() / 3;
            let values = values.iter().take(rows * 3).map(|v| f64::from(*v)).collect();
            let points = Array2::from_shape_vec((rows, 3), values).unwrap();
            for metric in [Metric::Euclidean, Metric::Manhattan, Metric::Chebyshev] {
                check(&points, metric, k, radius);
            }
        }
    }

    #[test]
    fn sorted_and_equal_points_make_no_deep_tree() {
        let sorted = Array2::from_shape_fn((20_000, 1), |(i, _)| i as f64);
        let equal = Array2::zeros((20_000, 2));
        let index = Index::new(&sorted, Metric::Euclidean);
        assert_eq!(index.nearest(&[17.2], 2)[1].0, 18);
        let index = Index::new(&equal, Metric::Euclidean);
        assert_eq!(index.nearest(&[0.0, 1.0], 2), [(0, 1.0), (1, 1.0)]);
    }
}

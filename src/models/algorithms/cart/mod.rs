//! Binary trees that split on one column at a time (CART; Breiman et al. 1984), for
//! classes and for numbers. The engine under single trees, forests and boosting.
//!
//! Own code: linfa-trees cannot do regression, keeps no leaf shares, breaks ties by hash
//! order and looks at every row of the table in every node.
//!
//! Features are compared as `f32` like scikit-learn does, so that a split is the same.

mod grow;
mod keys;
mod score;

pub(crate) use grow::{Criterion, Growth, Outcome, Table, grow};

use serde::{Deserialize, Serialize};

/// A fitted tree. Nodes stand depth first: the left child follows its parent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(into = "Packed", try_from = "Packed")]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    /// What the leaves say, `width` numbers each.
    values: Vec<f64>,
    width: usize,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    threshold: f64,
    /// Column, or [`LEAF`].
    feature: u32,
    /// The right child, or which leaf it is.
    link: u32,
}

const LEAF: u32 = u32::MAX;

impl Tree {
    /// The number of the leaf that `row` falls into.
    pub(crate) fn leaf(&self, row: &[f64]) -> usize {
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            if node.feature == LEAF {
                return node.link as usize;
            }
            let value = row.get(node.feature as usize).copied().unwrap_or(f64::NAN);
            at = if f64::from(value as f32) <= node.threshold {
                at + 1
            } else {
                node.link as usize
            };
        }
        0
    }

    /// What a leaf says.
    pub(crate) fn value(&self, leaf: usize) -> &[f64] {
        self.values
            .get(leaf * self.width..(leaf + 1) * self.width)
            .unwrap_or(&[])
    }

    /// Replaces what the leaves say by one number each.
    pub(crate) fn set_values(&mut self, values: Vec<f64>) {
        self.values = values;
        self.width = 1;
    }

    /// Number of leaves.
    pub(crate) fn leaves(&self) -> usize {
        self.nodes.len().div_ceil(2)
    }

    /// Number of splits on the longest way down.
    pub(crate) fn depth(&self) -> usize {
        let mut depths = vec![0_usize; self.nodes.len()];
        let mut deepest = 0;
        for (at, node) in self.nodes.iter().enumerate() {
            let depth = depths.get(at).copied().unwrap_or(0);
            deepest = deepest.max(depth);
            if node.feature != LEAF {
                for child in [at + 1, node.link as usize] {
                    if let Some(slot) = depths.get_mut(child) {
                        *slot = depth + 1;
                    }
                }
            }
        }
        deepest
    }

    /// Whether it reads no column beyond `features` and answers with `width` numbers.
    pub(crate) fn fits(&self, features: usize, width: usize) -> bool {
        self.width == width
            && !self.nodes.is_empty()
            && self
                .nodes
                .iter()
                .all(|node| node.feature == LEAF || (node.feature as usize) < features)
    }
}

/// The stored form: one list a field, thresholds only where there are splits.
#[derive(Serialize, Deserialize)]
struct Packed {
    features: Vec<u32>,
    thresholds: Vec<f64>,
    rights: Vec<u32>,
    values: Vec<f64>,
    width: usize,
}

impl From<Tree> for Packed {
    fn from(tree: Tree) -> Self {
        let splits = || tree.nodes.iter().filter(|node| node.feature != LEAF);
        // 0 is a leaf, so that leaves cost one byte.
        let features = tree.nodes.iter().map(|node| node.feature.wrapping_add(1));
        Packed {
            features: features.collect(),
            thresholds: splits().map(|node| node.threshold).collect(),
            rights: splits().map(|node| node.link).collect(),
            width: tree.width,
            values: tree.values,
        }
    }
}

impl TryFrom<Packed> for Tree {
    type Error = &'static str;

    /// Children come after their parents, so that walking down ends; leaves have values.
    fn try_from(packed: Packed) -> Result<Self, Self::Error> {
        const BROKEN: &str = "a tree's nodes do not fit together";
        let mut splits = packed.thresholds.iter().zip(&packed.rights);
        let mut leaves = 0_u32;
        let mut nodes = Vec::with_capacity(packed.features.len());
        let count = packed.features.len();
        for (at, feature) in packed.features.iter().enumerate() {
            nodes.push(if *feature == 0 {
                leaves += 1;
                Node {
                    threshold: 0.0,
                    feature: LEAF,
                    link: leaves - 1,
                }
            } else {
                let (threshold, right) = splits.next().ok_or(BROKEN)?;
                let link = *right as usize;
                if link <= at + 1 || link >= count {
                    return Err(BROKEN);
                }
                Node {
                    threshold: *threshold,
                    feature: feature - 1,
                    link: *right,
                }
            });
        }
        let needed = (leaves as usize).checked_mul(packed.width);
        if needed != Some(packed.values.len()) || splits.next().is_some() || nodes.is_empty() {
            return Err(BROKEN);
        }
        Ok(Tree {
            nodes,
            values: packed.values,
            width: packed.width,
        })
    }
}

#[cfg(test)]
mod tests;

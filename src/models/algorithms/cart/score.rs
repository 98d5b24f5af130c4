//! How good a split is: the three criteria, each kept up to date in constant time as
//! rows move from the right side to the left.
//!
//! `proxy` differs from the negative weighted impurity only by terms that are the same
//! for every split of a node, so the best split has the largest proxy, and the proxy's
//! gain over the unsplit node is the decrease of weighted impurity.

/// A row of a node: its class or its target, and its weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<L> {
    pub label: L,
    pub weight: f64,
}

pub(super) trait Score {
    type Label: Copy;

    /// Puts all rows on the right.
    fn start(&mut self, rows: &[Row<Self::Label>]);
    /// Puts the same rows back on the right.
    fn again(&mut self);
    /// Moves one row to the left.
    fn shift(&mut self, row: Row<Self::Label>);
    fn proxy(&self) -> f64;
    /// Whether all rows on the right have the same label.
    fn pure(&self) -> bool;
    /// What a leaf of the rows on the right says.
    fn say(&self, values: &mut Vec<f64>);
    /// Weight of the rows on the right.
    fn weight(&self) -> f64;
}

/// Gini impurity: Σ weight² over classes, per side, over the side's weight.
pub(super) struct Gini(Counts, f64, f64);

/// Shannon entropy in bits.
pub(super) struct Entropy(Counts, f64, f64);

struct Counts {
    all: Vec<f64>,
    left: Vec<f64>,
    right: Vec<f64>,
    total: f64,
    left_weight: f64,
    right_weight: f64,
}

impl Counts {
    fn new(classes: usize) -> Self {
        Counts {
            all: vec![0.0; classes],
            left: vec![0.0; classes],
            right: vec![0.0; classes],
            total: 0.0,
            left_weight: 0.0,
            right_weight: 0.0,
        }
    }

    fn start(&mut self, rows: &[Row<u32>]) {
        self.all.fill(0.0);
        for row in rows {
            if let Some(count) = self.all.get_mut(row.label as usize) {
                *count += row.weight;
            }
        }
        self.total = self.all.iter().sum();
        self.again();
    }

    fn again(&mut self) {
        self.left.fill(0.0);
        self.right.copy_from_slice(&self.all);
        self.left_weight = 0.0;
        self.right_weight = self.total;
    }

    /// The two counts of a class before a row of it moves.
    fn shift(&mut self, row: Row<u32>) -> (f64, f64) {
        let class = row.label as usize;
        let (Some(left), Some(right)) = (self.left.get_mut(class), self.right.get_mut(class))
        else {
            return (0.0, row.weight);
        };
        let before = (*left, *right);
        *left += row.weight;
        *right -= row.weight;
        self.left_weight += row.weight;
        self.right_weight -= row.weight;
        before
    }

    fn pure(&self) -> bool {
        self.all.iter().filter(|count| **count > 0.0).count() <= 1
    }

    fn say(&self, values: &mut Vec<f64>) {
        values.extend(self.all.iter().map(|count| count / self.total));
    }
}

impl Gini {
    pub(super) fn new(classes: usize) -> Self {
        Gini(Counts::new(classes), 0.0, 0.0)
    }
}

impl Score for Gini {
    type Label = u32;

    fn start(&mut self, rows: &[Row<u32>]) {
        self.0.start(rows);
        self.1 = 0.0;
        self.2 = self.0.all.iter().map(|count| count * count).sum();
    }

    fn again(&mut self) {
        self.0.again();
        self.1 = 0.0;
        self.2 = self.0.all.iter().map(|count| count * count).sum();
    }

    #[inline]
    fn shift(&mut self, row: Row<u32>) {
        let (left, right) = self.0.shift(row);
        self.1 += row.weight * (2.0 * left + row.weight);
        self.2 += row.weight * (row.weight - 2.0 * right);
    }

    #[inline]
    fn proxy(&self) -> f64 {
        share(self.1, self.0.left_weight) + share(self.2, self.0.right_weight)
    }

    fn pure(&self) -> bool {
        self.0.pure()
    }

    fn say(&self, values: &mut Vec<f64>) {
        self.0.say(values);
    }

    fn weight(&self) -> f64 {
        self.0.total
    }
}

impl Entropy {
    pub(super) fn new(classes: usize) -> Self {
        Entropy(Counts::new(classes), 0.0, 0.0)
    }
}

impl Score for Entropy {
    type Label = u32;

    fn start(&mut self, rows: &[Row<u32>]) {
        self.0.start(rows);
        self.1 = 0.0;
        self.2 = self.0.all.iter().copied().map(x_log_x).sum();
    }

    fn again(&mut self) {
        self.0.again();
        self.1 = 0.0;
        self.2 = self.0.all.iter().copied().map(x_log_x).sum();
    }

    #[inline]
    fn shift(&mut self, row: Row<u32>) {
        let (left, right) = self.0.shift(row);
        self.1 += x_log_x(left + row.weight) - x_log_x(left);
        self.2 += x_log_x(right - row.weight) - x_log_x(right);
    }

    fn proxy(&self) -> f64 {
        self.1 - x_log_x(self.0.left_weight) + self.2 - x_log_x(self.0.right_weight)
    }

    fn pure(&self) -> bool {
        self.0.pure()
    }

    fn say(&self, values: &mut Vec<f64>) {
        self.0.say(values);
    }

    fn weight(&self) -> f64 {
        self.0.total
    }
}

/// Squared error around each side's mean.
#[derive(Default)]
pub(super) struct Variance {
    sum: f64,
    weight: f64,
    left_sum: f64,
    left_weight: f64,
    constant: bool,
    first: f64,
}

impl Score for Variance {
    type Label = f64;

    fn start(&mut self, rows: &[Row<f64>]) {
        self.sum = rows.iter().map(|row| row.label * row.weight).sum();
        self.weight = rows.iter().map(|row| row.weight).sum();
        self.first = rows.first().map_or(0.0, |row| row.label);
        self.constant = rows.iter().all(|row| row.label == self.first);
        self.again();
    }

    fn again(&mut self) {
        self.left_sum = 0.0;
        self.left_weight = 0.0;
    }

    #[inline]
    fn shift(&mut self, row: Row<f64>) {
        self.left_sum += row.label * row.weight;
        self.left_weight += row.weight;
    }

    #[inline]
    fn proxy(&self) -> f64 {
        let right = self.sum - self.left_sum;
        share(self.left_sum * self.left_sum, self.left_weight)
            + share(right * right, self.weight - self.left_weight)
    }

    fn pure(&self) -> bool {
        self.constant
    }

    fn say(&self, values: &mut Vec<f64>) {
        // Exactly the value where all rows agree; a quotient may be off by a rounding.
        values.push(if self.constant {
            self.first
        } else {
            self.sum / self.weight
        });
    }

    fn weight(&self) -> f64 {
        self.weight
    }
}

#[inline]
fn share(amount: f64, weight: f64) -> f64 {
    if weight > 0.0 { amount / weight } else { 0.0 }
}

#[inline]
fn x_log_x(x: f64) -> f64 {
    if x > 0.0 { x * x.log2() } else { 0.0 }
}

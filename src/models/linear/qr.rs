//! Householder reductions of matrices held as columns.

/// `I - beta v vᵀ` on the rows from `start` on.
pub struct Reflection {
    start: usize,
    beta: f64,
    v: Vec<f64>,
}

impl Reflection {
    /// The reflection that maps `x[start..]` onto its first axis, and where it lands.
    fn of(x: &[f64], start: usize) -> (Self, f64) {
        let tail = x.get(start..).unwrap_or_default();
        let mut v = tail.to_vec();
        let norm = norm(&v);
        let first = v.first().copied().unwrap_or(0.0);
        let landing = if first > 0.0 { -norm } else { norm };
        if let Some(head) = v.first_mut() {
            *head -= landing;
        }
        let square = dot(&v, &v);
        let beta = if square > 0.0 { 2.0 / square } else { 0.0 };
        (Reflection { start, beta, v }, landing)
    }

    /// Reflects a column in place.
    pub fn apply(&self, x: &mut [f64]) {
        let tail = x.get_mut(self.start..).unwrap_or_default();
        let by = self.beta * dot(&self.v, tail);
        for (value, v) in tail.iter_mut().zip(&self.v) {
            *value -= by * v;
        }
    }
}

/// Reduces the first `count` columns to an upper triangle and turns the others along.
pub fn triangle(columns: &mut [Vec<f64>], count: usize) -> Vec<Reflection> {
    let rows = columns.first().map_or(0, Vec::len);
    let mut reflections = Vec::new();
    for j in 0..count.min(rows) {
        reduce(columns, j, &mut reflections);
    }
    reflections
}

/// The same with the longest remaining column first; the order of the columns and how
/// many are longer than `tolerance` times the first.
pub fn pivoted_triangle(
    columns: &mut [Vec<f64>],
    count: usize,
    tolerance: f64,
) -> (Vec<usize>, usize) {
    let rows = columns.first().map_or(0, Vec::len);
    let mut order: Vec<usize> = (0..count).collect();
    let mut reflections = Vec::new();
    let mut longest = 0.0;
    for j in 0..count.min(rows) {
        let rest = columns.iter().enumerate().take(count).skip(j);
        let lengths = rest.map(|(k, column)| (k, norm(column.get(j..).unwrap_or_default())));
        let best = lengths.max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((pivot, length)) = best else {
            return (order, j);
        };
        if j == 0 {
            longest = length;
        }
        if length <= tolerance * longest {
            return (order, j);
        }
        columns.swap(j, pivot);
        order.swap(j, pivot);
        reduce(columns, j, &mut reflections);
    }
    (order, count.min(rows))
}

fn reduce(columns: &mut [Vec<f64>], j: usize, reflections: &mut Vec<Reflection>) {
    let (done, rest) = columns.split_at_mut(j + 1);
    let Some(column) = done.last_mut() else {
        return;
    };
    let (reflection, landing) = Reflection::of(column, j);
    for other in rest {
        reflection.apply(other);
    }
    for (i, value) in column.iter_mut().enumerate().skip(j) {
        *value = if i == j { landing } else { 0.0 };
    }
    reflections.push(reflection);
}

/// Scalar product, in four running sums.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest = a4.remainder().iter().zip(b4.remainder());
    let rest: f64 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in a4.zip(b4) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + rest
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

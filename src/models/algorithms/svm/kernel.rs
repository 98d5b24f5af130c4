//! Kernels, and a machine's support vectors under one.

use crate::error::{Error, Result};
use crate::models::Params;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows whose kernel values are computed at once when predicting.
const BLOCK: usize = 256;

/// What the user asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::models::algorithms) struct Wanted {
    form: Form,
    gamma: Gamma,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Form {
    Linear,
    Poly { degree: i32, coef0: f64 },
    Rbf,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Gamma {
    Scale,
    Auto,
    Value(f64),
}

impl Gamma {
    fn read(params: &Params) -> Result<Self> {
        match params.get("gamma").map(|value| value.as_str()) {
            None | Some(Some("scale")) => Ok(Gamma::Scale),
            Some(Some("auto")) => Ok(Gamma::Auto),
            _ => Ok(Gamma::Value(params.positive("gamma", 1.0)?)),
        }
    }
}

impl Wanted {
    pub(in crate::models::algorithms) fn read(params: &Params) -> Result<Self> {
        let form = match params.one_of("kernel", "rbf", &["rbf", "linear", "poly"])? {
            "linear" => Form::Linear,
            "poly" => Form::Poly {
                degree: params.count("degree", 3)?.min(100) as i32,
                coef0: params.f64("coef0", 0.0)?,
            },
            _ => Form::Rbf,
        };
        let gamma = Gamma::read(params)?;
        Ok(Wanted { form, gamma })
    }

    /// The radial kernel, of which only gamma can be chosen.
    pub(in crate::models::algorithms) fn rbf(params: &Params) -> Result<Self> {
        Ok(Wanted {
            form: Form::Rbf,
            gamma: Gamma::read(params)?,
        })
    }

    /// The kernel for a table.
    pub(in crate::models::algorithms) fn for_table(&self, table: &Array2<f64>) -> Kernel {
        let width = table.ncols() as f64;
        let gamma = match self.gamma {
            Gamma::Value(gamma) => gamma,
            Gamma::Auto => 1.0 / width,
            Gamma::Scale => {
                let mean = table.mean().unwrap_or(0.0);
                let squares = table.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
                let variance = squares / table.len() as f64;
                if variance > 0.0 {
                    1.0 / (width * variance)
                } else {
                    1.0
                }
            }
        };
        Kernel {
            form: self.form,
            gamma,
        }
    }
}

/// A function of two rows that acts as their product in another space.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::models::algorithms) struct Kernel {
    form: Form,
    pub(in crate::models::algorithms) gamma: f64,
}

impl Kernel {
    /// From the rows' product and squared lengths.
    #[inline]
    fn value(&self, dot: f64, a: f64, b: f64) -> f64 {
        match self.form {
            Form::Linear => dot,
            Form::Poly { degree, coef0 } => (self.gamma * dot + coef0).powi(degree),
            Form::Rbf => (-self.gamma * (a + b - 2.0 * dot).max(0.0)).exp(),
        }
    }

    /// Of every row of one table with every row of the other.
    pub(in crate::models::algorithms) fn between(
        &self,
        a: &Array2<f64>,
        b: &Array2<f64>,
    ) -> Array2<f64> {
        let lengths = b.map_axis(Axis(1), |row| row.dot(&row));
        self.lift(a.view(), a.dot(&b.t()), &lengths)
    }

    /// Kernel values from products, given the squared lengths of the second rows.
    fn lift(
        &self,
        a: ArrayView2<'_, f64>,
        mut dots: Array2<f64>,
        lengths: &Array1<f64>,
    ) -> Array2<f64> {
        for (mut values, row) in dots.rows_mut().into_iter().zip(a.rows()) {
            let square = row.dot(&row);
            for (value, length) in values.iter_mut().zip(lengths) {
                *value = self.value(*value, square, *length);
            }
        }
        dots
    }

    pub(super) fn is_linear(&self) -> bool {
        self.form == Form::Linear
    }
}

/// Rows under a kernel.
pub(in crate::models::algorithms) struct Rows<'a> {
    pub table: ArrayView2<'a, f64>,
    kernel: &'a Kernel,
    squares: Array1<f64>,
}

impl<'a> Rows<'a> {
    /// Fails if the kernel of a row with itself is not a finite number.
    pub(in crate::models::algorithms) fn new(
        table: ArrayView2<'a, f64>,
        kernel: &'a Kernel,
    ) -> Result<Self> {
        let squares = table.map_axis(Axis(1), |row| row.dot(&row));
        let rows = Rows {
            table,
            kernel,
            squares,
        };
        if (0..rows.len()).any(|row| !rows.own(row).is_finite()) {
            return Err(
                Error::invalid("the kernel of the rows is beyond all bounds")
                    .hint("scale the columns, for instance put standard-scaler| in front"),
            );
        }
        Ok(rows)
    }

    pub(super) fn len(&self) -> usize {
        self.table.nrows()
    }

    /// The kernel of a row with itself.
    pub(super) fn own(&self, row: usize) -> f64 {
        let square = self.squares[row];
        self.kernel.value(square, square, square)
    }

    /// The kernel of a row with every row.
    pub(in crate::models::algorithms) fn with_all(&self, row: usize, values: &mut Vec<f64>) {
        let here: ArrayView1<'_, f64> = self.table.row(row);
        let square = self.squares[row];
        let one = |other: usize| {
            let dot = self.table.row(other).dot(&here);
            self.kernel.value(dot, square, self.squares[other])
        };
        values.clear();
        if self.len() > 4096 {
            (0..self.len())
                .into_par_iter()
                .map(one)
                .collect_into_vec(values);
        } else {
            values.extend((0..self.len()).map(one));
        }
    }
}

/// Support vectors and, for each of a few machines, their weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Support {
    kernel: Kernel,
    vectors: Array2<f64>,
    /// Machines × vectors.
    weights: Array2<f64>,
    rhos: Array1<f64>,
}

impl Support {
    /// Of machines given as weights of the rows of `table`, and their thresholds.
    pub(super) fn new(table: &Array2<f64>, kernel: Kernel, machines: Vec<(Vec<f64>, f64)>) -> Self {
        let used: Vec<usize> = (0..table.nrows())
            .filter(|row| machines.iter().any(|(weights, _)| weights[*row] != 0.0))
            .collect();
        let mut weights = Array2::zeros((machines.len(), used.len()));
        for (mut kept, (weights, _)) in weights.rows_mut().into_iter().zip(&machines) {
            for (kept, row) in kept.iter_mut().zip(&used) {
                *kept = weights[*row];
            }
        }
        Support {
            kernel,
            vectors: table.select(Axis(0), &used),
            weights,
            rhos: machines.iter().map(|(_, rho)| *rho).collect(),
        }
    }

    /// Columns of the tables it takes.
    pub(super) fn width(&self) -> usize {
        self.vectors.ncols()
    }

    pub(super) fn count(&self) -> usize {
        self.vectors.nrows()
    }

    pub(super) fn gamma(&self) -> f64 {
        self.kernel.gamma
    }

    /// Each machine's sum at each row: rows × machines.
    pub(super) fn decide(&self, table: &Array2<f64>) -> Array2<f64> {
        let lengths = self.vectors.map_axis(Axis(1), |row| row.dot(&row));
        let mut sums = Array2::zeros((table.nrows(), self.rhos.len()));
        sums.axis_chunks_iter_mut(Axis(0), BLOCK)
            .into_par_iter()
            .zip(table.axis_chunks_iter(Axis(0), BLOCK).into_par_iter())
            .for_each(|(mut sums, rows)| {
                let values = self
                    .kernel
                    .lift(rows, rows.dot(&self.vectors.t()), &lengths);
                sums.assign(&(values.dot(&self.weights.t()) - &self.rhos));
            });
        sums
    }

    /// Weights of the columns, machines × columns, if the kernel is linear.
    pub(super) fn column_weights(&self) -> Option<Array2<f64>> {
        self.kernel
            .is_linear()
            .then(|| self.weights.dot(&self.vectors))
    }

    pub(super) fn sound(&self, machines: usize) -> bool {
        self.weights.dim() == (machines, self.vectors.nrows())
            && self.rhos.len() == machines
            && self.vectors.ncols() > 0
    }
}

//! Columns of an affine form's matrix.

use super::affine::{Source, Term};

/// The data of a column.
#[derive(Clone)]
pub enum Column {
    /// Elements of a matrix and a weight.
    Of(Term, usize),
    /// 1 in every row.
    Ones,
}

impl Column {
    /// The element of a row.
    pub fn at(&self, row: usize) -> f64 {
        match self {
            Column::Of(term, column) => match &term.source {
                Source::Product(matrix, _) => matrix.at(row, *column) * term.weight(row),
                _ => term.weight(row),
            },
            Column::Ones => 1.0,
        }
    }

    /// The elements of some rows.
    pub fn fill(&self, rows: &[u32], out: &mut [f64]) {
        let Column::Of(term, column) = self else {
            return out.fill(1.0);
        };
        match &term.source {
            Source::Product(matrix, _) => matrix.column(rows, *column, out),
            _ => out.fill(1.0),
        }
        if term.weights.is_some() || term.factor != 1.0 {
            let weights = rows.iter().map(|&row| term.weight(row as usize));
            out.iter_mut()
                .zip(weights)
                .for_each(|(out, weight)| *out *= weight);
        }
    }

    /// Whether two columns of classes' own numbers hold the same data.
    pub fn is(&self, other: &Column) -> bool {
        match (self, other) {
            (Column::Of(x, _), Column::Of(y, _)) => x.factor == y.factor && x.weights == y.weights,
            _ => false,
        }
    }
}

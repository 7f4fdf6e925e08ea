//! Sums of affine forms with known weights: the data are added up once for each parameter.
//!
//! In an exponential family the sum of y eta is linear in the parameters of eta: X' y is all that is needed.

use super::affine::{Source, Term};
use crate::bound::{Builder, Id, Reduction};
use crate::kernels::sum;
use crate::tensor::{Table, Tensor};

/// A mean may be so many times the spread of its column before its sum is left to be taken of differences.
const MOST_CANCELLATION: f64 = 1e3;

/// The weighted sum of an affine form over n rows; none where digits that the data share would be lost.
pub fn sum(b: &mut Builder, terms: &[Term], weights: Option<&[f64]>, n: usize) -> Option<Id> {
    if terms.len() > 1 && terms.iter().any(|term| cancels(term, n)) {
        return None;
    }
    let weight = |term: &Term, row: usize| weights.map_or(1.0, |w| w[row]) * term.weight(row);
    let mut total = b.number(0.0);
    for term in terms {
        let column: Vec<f64> = (0..n).map(|row| weight(term, row)).collect();
        let part = match &term.source {
            Source::One => b.number(sum_of(&column)),
            Source::Scalar(id) => b.mul_number(sum_of(&column), *id),
            Source::Rows(id, table) => {
                let sums = by_position(&column, table, b.size(*id));
                dot(b, &sums, *id)
            }
            Source::Product(matrix, vector) => {
                let of_column = |k: usize| {
                    let products: Vec<f64> = column
                        .iter()
                        .enumerate()
                        .map(|(row, w)| w * matrix.at(row, k))
                        .collect();
                    sum_of(&products)
                };
                let sums: Vec<f64> = (0..matrix.columns).map(of_column).collect();
                dot(b, &sums, *vector)
            }
        };
        total = b.add(total, part);
    }
    Some(total)
}

/// Whether a term's data have a mean much larger than their spread.
fn cancels(term: &Term, n: usize) -> bool {
    let far = |values: &mut dyn Iterator<Item = f64>| {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (low, high) = (low.min(value), high.max(value));
        }
        high > low && low.abs().max(high.abs()) > MOST_CANCELLATION * (high - low)
    };
    match &term.source {
        Source::Product(matrix, _) => (0..matrix.columns)
            .any(|k| far(&mut (0..n).map(|row| term.weight(row) * matrix.at(row, k)))),
        _ => far(&mut (0..n).map(|row| term.weight(row))),
    }
}

fn sum_of(values: &[f64]) -> f64 {
    let mut total = [0.0];
    sum::rows(values, values.len(), &mut total);
    total[0]
}

fn by_position(values: &[f64], table: &Table, size: usize) -> Vec<f64> {
    let mut sums = vec![0.0; size];
    for (&position, value) in table.iter().zip(values) {
        sums[position as usize] += value;
    }
    sums
}

/// The sum of the products of constants with a node's elements.
fn dot(b: &mut Builder, values: &[f64], id: Id) -> Id {
    let vector = b.reshape(id, &[values.len()]);
    let constant = b.constant(Tensor::new(vec![values.len()], values));
    let products = b.mul(constant, vector);
    b.reduce(Reduction::Sum, products, &[0])
}

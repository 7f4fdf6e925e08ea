//! Affine forms: arrays that are a constant matrix times few parameter-dependent numbers, plus a constant.

use super::rows::{Matrix, lookup, product};
use crate::bound::{Builder, Id, Op};
use crate::scalar::ScalarFn::{Add, Div, Mul, Neg, Sub};
use crate::tensor::Table;
use std::sync::Arc;

/// What the rows of a term are multiples of.
#[derive(Clone)]
pub enum Source {
    /// 1.
    One,
    /// A single number.
    Scalar(Id),
    /// For each row one of a few numbers.
    Rows(Id, Arc<Table>),
    /// The product of a constant matrix with a vector.
    Product(Matrix, Id),
}

/// A source times a factor and, if there are any, a weight for each row.
#[derive(Clone)]
pub struct Term {
    pub source: Source,
    pub factor: f64,
    pub weights: Option<Arc<Vec<f64>>>,
}

impl Term {
    fn new(source: Source) -> Term {
        Term {
            source,
            factor: 1.0,
            weights: None,
        }
    }

    /// Factor times weight of a row.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights
            .as_ref()
            .map_or(self.factor, |weights| self.factor * weights[row])
    }
}

/// Terms and steps into an expression that are looked at.
const MOST: usize = 200;

/// Whether a node is an affine form, as far as [`terms`] sees.
pub fn is_affine(b: &Builder, id: Id, n: usize) -> bool {
    let mut steps = 0;
    fn look(b: &Builder, id: Id, n: usize, steps: &mut usize) -> bool {
        *steps += 1;
        let node = b.node(id);
        let constant = |id: Id| node.size() == n && b.constant_value(id).is_some();
        let inputs = &node.inputs;
        if *steps > MOST {
            return false;
        }
        match node.op {
            _ if node.size() == 1 => true,
            _ if node.size() != n => false,
            Op::Constant(_) => true,
            Op::Reshape | Op::Map(Neg) => look(b, inputs[0], n, steps),
            Op::Map(Add | Sub) => inputs.iter().all(|&input| look(b, input, n, steps)),
            Op::Map(Mul) => {
                let is_factor = |id: Id| b.size(id) == 1 || constant(id);
                is_factor(inputs[0]) && look(b, inputs[1], n, steps)
                    || is_factor(inputs[1]) && look(b, inputs[0], n, steps)
            }
            Op::Map(Div) => constant(inputs[1]) && look(b, inputs[0], n, steps),
            _ => rows_are_few(b, id, n) || rows_product(b, id),
        }
    }
    fn rows_product(b: &Builder, id: Id) -> bool {
        crate::plan::rows_product(b, id).is_some()
    }
    b.size(id) == n && look(b, id, n, &mut steps)
}

/// Whether a node repeats the elements of a smaller array.
fn rows_are_few(b: &Builder, id: Id, n: usize) -> bool {
    let node = b.node(id);
    match node.op {
        Op::Gather(_) | Op::View { .. } => b.size(node.inputs[0]) < n,
        _ => false,
    }
}

/// The terms of an affine form of n elements; those of equal sources are one.
pub fn terms(b: &mut Builder, id: Id, n: usize) -> Option<Vec<Term>> {
    if !is_affine(b, id, n) {
        return None;
    }
    let mut merged: Vec<Term> = vec![];
    for term in split(b, id, n)? {
        let term = pulled(b, term);
        let same = merged
            .iter_mut()
            .find(|other| match (&other.source, &term.source) {
                (Source::One, Source::One) => true,
                (Source::Scalar(x), Source::Scalar(y)) => x == y,
                _ => false,
            });
        match same {
            Some(other) => {
                let weights = (0..n)
                    .map(|row| other.weight(row) + term.weight(row))
                    .collect();
                (other.factor, other.weights) = (1.0, Some(Arc::new(weights)));
            }
            None => merged.push(term),
        }
    }
    Some(merged)
}

/// The constant factor of a scalar goes into the term's.
fn pulled(b: &Builder, mut term: Term) -> Term {
    while let Source::Scalar(id) = term.source
        && b.node(id).op == Op::Map(Mul)
    {
        let [x, y] = [b.node(id).inputs[0], b.node(id).inputs[1]];
        let (factor, rest) = match (b.uniform_value(x), b.uniform_value(y)) {
            (Some(factor), _) => (factor, y),
            (None, Some(factor)) => (factor, x),
            _ => break,
        };
        term.factor *= factor;
        term.source = Source::Scalar(rest);
    }
    term
}

/// The terms as they stand in the expression.
fn split(b: &mut Builder, id: Id, n: usize) -> Option<Vec<Term>> {
    let node = b.node(id).clone();
    if let Some(value) = node.constant() {
        let weights = (node.size() == n && n > 1).then(|| Arc::new(value.values().to_vec()));
        let factor = if weights.is_some() {
            1.0
        } else {
            value.values()[0]
        };
        let source = Source::One;
        return Some(vec![Term {
            source,
            factor,
            weights,
        }]);
    }
    if node.size() == 1 {
        return Some(vec![Term::new(Source::Scalar(b.reshape(id, &[])))]);
    }
    let inputs = &node.inputs;
    Some(match node.op {
        // Copies of a single element.
        Op::Gather(_) | Op::View { .. } if b.size(inputs[0]) == 1 => {
            vec![Term::new(Source::Scalar(b.reshape(inputs[0], &[])))]
        }
        Op::Reshape => split(b, inputs[0], n)?,
        Op::Map(Neg) => scaled(split(b, inputs[0], n)?, -1.0),
        Op::Map(Add | Sub) => {
            let mut terms = split(b, inputs[0], n)?;
            let others = split(b, inputs[1], n)?;
            let sign = if node.op == Op::Map(Sub) { -1.0 } else { 1.0 };
            terms.extend(scaled(others, sign));
            terms
        }
        Op::Map(Mul) => {
            let is_factor = |id: Id| b.size(id) == 1 || b.constant_value(id).is_some();
            // Of two factors that both may leave, a constant array is the weight.
            let (factor, rest) = match is_factor(inputs[0]) && b.size(inputs[1]) == n {
                true => (inputs[0], inputs[1]),
                false => (inputs[1], inputs[0]),
            };
            let terms = split(b, rest, n)?;
            times(b, terms, factor)
        }
        Op::Map(Div) => {
            let divisor = b.constant_value(inputs[1]).cloned();
            let terms = split(b, inputs[0], n)?;
            match divisor {
                Some(divisor) => weighted(terms, |row, weight| weight / divisor.values()[row], n),
                None => terms,
            }
        }
        _ => match (lookup(b, id), product(b, id)) {
            (Some((source, table)), _) => vec![Term::new(Source::Rows(source, table))],
            (None, Some((matrix, vector))) => vec![Term::new(Source::Product(matrix, vector))],
            (None, None) => return None,
        },
    })
}

fn scaled(mut terms: Vec<Term>, factor: f64) -> Vec<Term> {
    terms.iter_mut().for_each(|term| term.factor *= factor);
    terms
}

fn weighted(terms: Vec<Term>, weight: impl Fn(usize, f64) -> f64, n: usize) -> Vec<Term> {
    let weigh = |term: Term| Term {
        weights: Some(Arc::new(
            (0..n).map(|row| weight(row, term.weight(row))).collect(),
        )),
        factor: 1.0,
        source: term.source,
    };
    terms.into_iter().map(weigh).collect()
}

/// Terms times a scalar or a constant array.
fn times(b: &mut Builder, terms: Vec<Term>, factor: Id) -> Vec<Term> {
    if let Some(value) = b.constant_value(factor).cloned() {
        return match value.values() {
            &[factor] => scaled(terms, factor),
            values => weighted(terms, |row, weight| weight * values[row], values.len()),
        };
    }
    let factor = b.reshape(factor, &[]);
    let mut product = |term: Term| {
        let source = match term.source {
            Source::One => Source::Scalar(factor),
            Source::Scalar(id) => Source::Scalar(b.mul(factor, id)),
            Source::Rows(id, table) => Source::Rows(b.mul(factor, id), table),
            Source::Product(matrix, id) => Source::Product(matrix, b.mul(factor, id)),
        };
        Term { source, ..term }
    };
    terms.into_iter().map(&mut product).collect()
}

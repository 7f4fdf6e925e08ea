//! Sums of squares of affine forms: many rows become few by orthogonal transformations, once.
//!
//! The rows of r = A u are those of a class where they read the same elements of every table: then u is a short vector of
//! the class's own numbers and of numbers common to all. For an orthogonal Q the sums of squares of r and of Q' r are
//! equal; with Q from Householder reflections of the class's own columns, all but as many rows depend on common
//! numbers alone, and these rows of all classes are reduced together to a triangle R. What is left is
//!
//! - for each class one row for each of its own columns (of an intercept: sqrt(n_c) times the mean residual),
//! - a row of R for each common column, whatever the number of rows,
//! - a constant, the square of R's last element: what no parameter can explain.
//!
//! Never X' X, whose condition number is the square of X's. Columns with means much larger than their spread are
//! written as differences from a row of their class, r_i = r_0 + (a_i - a_0) u: those are nearly exact, and r_0 is
//! computed as if in twice the precision, so nothing that the data distinguish is lost.

use super::affine::{Source, Term};
use super::classes::Classes;
use super::columns::Column;
use super::precise;
use super::rows::{on_rows, take, times};
use super::terms::power;
use crate::bound::{Builder, Id, Reduction};
use crate::kernels::linalg::tall::fold;
use crate::kernels::simd::LANES;
use crate::scalar::ScalarFn::Sqr;
use crate::tensor::{Table, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// Means of columns may be so many times their spread before differences are taken.
const MOST_CANCELLATION: f64 = 1e3;

/// Squares of elements beyond these bounds, times those of weights beyond theirs, may leave the range of f64.
const RANGE: [f64; 2] = [1e-100, 1e100];
const WEIGHT_RANGE: [f64; 2] = [1e-50, 1e50];

/// Multiplications that the reduction may take, about a second.
const MOST_WORK: f64 = 2e9;

/// Elements of a block, which is to stay in the L1 cache.
const BLOCK_ELEMENTS: usize = 3072;

/// Rows that are looked at together.
const CHUNK: usize = 256;

/// A factor of the squares that is the same for all rows of a class: an expression and its exponent.
pub type Scale = (Id, i32);

/// The sum over n rows of w_i^2 s_i r_i^2 for the affine form r with these terms, or none if that would not shrink
/// the work. `roots` are the weights w; `scales` multiply to s, and read the given tables alone.
pub fn sum(
    b: &mut Builder,
    terms: &[Term],
    roots: Option<&[f64]>,
    scales: &[Scale],
    mut tables: Vec<Arc<Table>>,
    n: usize,
) -> Option<Id> {
    for term in terms {
        if let Source::Rows(_, table) = &term.source {
            tables.push(table.clone());
        }
    }
    let mut distinct: Vec<Arc<Table>> = vec![];
    for table in tables {
        if !distinct.contains(&table) {
            distinct.push(table);
        }
    }
    let classes = Classes::new(&distinct, n);
    let plan = Plan::new(terms, roots, &classes, !scales.is_empty(), n)?;
    Some(plan.build(b, scales))
}

/// What is to be reduced, and how.
struct Plan<'a> {
    terms: &'a [Term],
    roots: Option<&'a [f64]>,
    classes: &'a Classes,
    /// Columns of the classes' own numbers, and the terms that each is a column of.
    own: Vec<(Column, Vec<usize>)>,
    /// Columns of common numbers, with the term of each.
    common: Vec<(Column, usize)>,
    /// The constant column.
    constant: Option<Column>,
    /// A row of each class, from which differences are taken, where they are.
    references: Option<Vec<u32>>,
    /// Whether squares of classes have factors of their own, so that classes are not reduced together.
    apart: bool,
}

impl<'a> Plan<'a> {
    fn new(
        terms: &'a [Term],
        roots: Option<&'a [f64]>,
        classes: &'a Classes,
        apart: bool,
        n: usize,
    ) -> Option<Plan<'a>> {
        let mut plan = Plan {
            terms,
            roots,
            classes,
            own: vec![],
            common: vec![],
            constant: None,
            references: None,
            apart,
        };
        for (index, term) in terms.iter().enumerate() {
            let column = |k| Column::Of(term.clone(), k);
            match &term.source {
                Source::One => plan.constant = Some(column(0)),
                Source::Scalar(_) => plan.common.push((column(0), index)),
                Source::Product(matrix, _) => {
                    plan.common
                        .extend((0..matrix.columns).map(|k| (column(k), index)));
                }
                Source::Rows(..) => {
                    let column = column(0);
                    match plan.own.iter_mut().find(|(other, _)| other.is(&column)) {
                        Some((_, terms)) => terms.push(index),
                        None => plan.own.push((column, vec![index])),
                    }
                }
            }
        }
        let columns = plan.own.len() + plan.common.len() + 1;
        let largest = roots.map_or(1.0, |roots| {
            roots.iter().fold(0.0f64, |most, &root| most.max(root))
        });
        if !(WEIGHT_RANGE[0]..=WEIGHT_RANGE[1]).contains(&largest) {
            return None;
        }
        if n as f64 * (columns * columns) as f64 > MOST_WORK || 2 * plan.rows_left() > n {
            return None;
        }
        let cancels = plan.cancels()?;
        if cancels {
            plan.references = Some(plan.central_rows());
            if 2 * (plan.rows_left() + classes.count()) > n {
                return None;
            }
        }
        Some(plan)
    }

    /// Rows that will be left, at most.
    fn rows_left(&self) -> usize {
        // Differences are taken from a row of the class: its residual is one more of the class's own numbers.
        let reference = usize::from(self.references.is_some());
        let (own, common) = (self.own.len() + reference, self.common.len());
        let of_class = if self.apart { own + common } else { own };
        let own: usize = match self.own.is_empty() && !self.apart {
            true => 0,
            false => self
                .classes
                .rows()
                .map(|rows| rows.len().min(of_class))
                .sum(),
        };
        own + common
    }

    /// All columns: the classes' own, the common ones, the constant.
    fn columns(&self) -> impl Iterator<Item = &Column> {
        let own = self.own.iter().map(|(column, _)| column);
        let common = self.common.iter().map(|(column, _)| column);
        own.chain(common).chain(&self.constant)
    }

    /// Whether a column's mean is so large that its spread would lose digits; none if an element is out of range.
    fn cancels(&self) -> Option<bool> {
        let columns: Vec<&Column> = self.columns().collect();
        let (mut most, mut spread) = (vec![0.0f64; columns.len()], vec![0.0f64; columns.len()]);
        let mut values = [0.0; CHUNK];
        for rows in self.classes.rows() {
            let first: Vec<f64> = columns
                .iter()
                .map(|column| column.at(rows[0] as usize))
                .collect();
            for rows in rows.chunks(CHUNK) {
                let values = &mut values[..rows.len()];
                for (k, column) in columns.iter().enumerate() {
                    column.fill(rows, values);
                    if values.iter().any(|value| !value.is_finite()) {
                        return None;
                    }
                    most[k] = values
                        .iter()
                        .fold(most[k], |most, value| most.max(value.abs()));
                    let distance = |spread: f64, value: &f64| spread.max((value - first[k]).abs());
                    spread[k] = values.iter().fold(spread[k], distance);
                }
            }
        }
        let [low, high] = RANGE;
        if most
            .iter()
            .any(|&most| most > high || (most < low && most > 0.0))
        {
            return None;
        }
        let far =
            |(most, spread): (&f64, &f64)| *spread > 0.0 && *most > MOST_CANCELLATION * spread;
        Some(most.iter().zip(&spread).any(far))
    }

    /// The row of each class whose constant is the nearest to their mean.
    fn central_rows(&self) -> Vec<u32> {
        let central = |rows: &[u32]| {
            let at = |row: u32| {
                self.constant
                    .as_ref()
                    .map_or(0.0, |column| column.at(row as usize))
            };
            let first = at(rows[0]);
            let mean = rows.iter().map(|&row| at(row) - first).sum::<f64>() / rows.len() as f64;
            let distance = |row: u32| (at(row) - first - mean).abs();
            let nearest = rows.iter().copied();
            nearest
                .min_by(|&x, &y| distance(x).total_cmp(&distance(y)))
                .unwrap_or(rows[0])
        };
        self.classes.rows().map(central).collect()
    }

    /// Reduces the rows and builds the sum of squares of what is left.
    fn build(mut self, b: &mut Builder, scales: &[Scale]) -> Id {
        // The residuals of the reference rows are one more number of each class.
        let reference = self
            .references
            .clone()
            .map(|rows| precise::on_rows(b, self.terms, &rows));
        let alone = self.classes.count() == 1 && !self.apart;
        if reference.is_some() {
            let varies = |(column, _): &(Column, Vec<usize>)| self.varies(column);
            let own: Vec<_> = self.own.iter().filter(|c| varies(c)).cloned().collect();
            self.own = own;
            let common: Vec<_> = self
                .common
                .iter()
                .filter(|(c, _)| self.varies(c))
                .cloned()
                .collect();
            self.common = common;
            match alone {
                true => self.common.insert(0, (Column::Ones, usize::MAX)),
                false => self.own.insert(0, (Column::Ones, vec![usize::MAX])),
            }
        }
        let reduced = self.reduce();
        let representatives = self.classes.first_rows();
        let mut total = b.number(reduced.constant);
        for (part, is_own) in [(&reduced.own, true), (&reduced.common, false)] {
            if part.classes.is_empty() {
                continue;
            }
            let rows: Vec<u32> = part
                .classes
                .iter()
                .map(|&c| representatives[c as usize])
                .collect();
            let r = self.residuals(b, part, &rows, is_own, reference);
            let mut squares = b.map(Sqr, &[r]);
            if is_own {
                for &(id, exponent) in scales {
                    let scale = on_rows(b, id, &rows, &mut HashMap::new());
                    let scale = power(b, scale, exponent);
                    squares = b.mul(squares, scale);
                }
            }
            let squares = b.reshape(squares, &[rows.len()]);
            let sum = b.reduce(Reduction::Sum, squares, &[0]);
            total = b.add(total, sum);
        }
        total
    }

    fn varies(&self, column: &Column) -> bool {
        self.classes.rows().any(|rows| {
            let first = column.at(rows[0] as usize);
            rows.iter().any(|&row| column.at(row as usize) != first)
        })
    }

    /// The reduced rows' residuals, a vector.
    fn residuals(
        &self,
        b: &mut Builder,
        part: &Part,
        rows: &[u32],
        is_own: bool,
        reference: Option<Id>,
    ) -> Id {
        let m = rows.len();
        let own = if is_own { self.own.len() } else { 0 };
        let width = part.values.len() / m;
        let column =
            |k: usize| -> Vec<f64> { part.values.iter().skip(k).step_by(width).copied().collect() };
        let mut summands = vec![];
        // The factor of a term stands in its column.
        let mut k = own;
        while k < own + self.common.len() {
            let index = self.common[k - own].1;
            let source = self.terms.get(index).map(|term| &term.source);
            if let Some(Source::Product(_, vector)) = source {
                let group: Vec<usize> = (k..own + self.common.len())
                    .take_while(|&other| self.common[other - own].1 == index)
                    .collect();
                let used: Vec<usize> = group
                    .iter()
                    .map(|&other| self.matrix_column(other - own))
                    .collect();
                let matrix: Vec<f64> = (0..m)
                    .flat_map(|row| group.iter().map(move |&other| (row, other)))
                    .map(|(row, other)| part.values[row * width + other])
                    .collect();
                let positions = used.iter().map(|&column| column as u32).collect();
                let vector = take(b, *vector, positions);
                summands.push(times(b, &matrix, m, vector));
                k += group.len();
                continue;
            }
            let scalar = match source {
                Some(Source::Scalar(id)) => Some(*id),
                _ => reference,
            };
            summands.extend(scalar.and_then(|scalar| multiple(b, &column(k), scalar)));
            k += 1;
        }
        for (k, (_, indices)) in self.own.iter().enumerate().take(own) {
            let mut sum: Option<Id> = None;
            for &index in indices {
                let id = match self.terms.get(index).map(|term| &term.source) {
                    Some(Source::Rows(id, table)) => take(
                        b,
                        *id,
                        rows.iter().map(|&row| table[row as usize]).collect(),
                    ),
                    _ => match reference {
                        Some(reference) => take(b, reference, part.classes.clone()),
                        None => continue,
                    },
                };
                sum = Some(sum.map_or(id, |sum| b.add(sum, id)));
            }
            summands.extend(sum.and_then(|sum| multiple(b, &column(k), sum)));
        }
        if self.constant.is_some() {
            let values = column(width - 1);
            if values.iter().any(|&value| value != 0.0) {
                summands.push(b.constant(Tensor::new(vec![m], &values)));
            }
        }
        let sum = summands.into_iter().reduce(|x, y| b.add(x, y));
        sum.unwrap_or_else(|| b.number(0.0))
    }

    fn matrix_column(&self, common: usize) -> usize {
        match &self.common[common].0 {
            Column::Of(_, column) => *column,
            Column::Ones => 0,
        }
    }

    fn reduce(&self) -> Reduced {
        let columns: Vec<Column> = self.columns().cloned().collect();
        let width = columns.len();
        let own = if self.apart { width } else { self.own.len() };
        let rest = width - own;
        let most = (BLOCK_ELEMENTS / width.max(1))
            .next_multiple_of(LANES)
            .clamp(32, CHUNK);
        let mut block = vec![0.0; width * most];
        let mut triangle = vec![0.0; rest * rest];
        let mut reduced = Reduced::default();
        let mut top = vec![0.0; own * width];
        for (class, rows) in self.classes.rows().enumerate() {
            top.fill(0.0);
            for rows in rows.chunks(most) {
                let height = rows.len().next_multiple_of(LANES);
                let block = &mut block[..width * height];
                for (column, target) in columns.iter().zip(block.chunks_exact_mut(height)) {
                    let from = self
                        .references
                        .as_ref()
                        .filter(|_| !matches!(column, Column::Ones));
                    let from = from.map_or(0.0, |references| column.at(references[class] as usize));
                    let (values, padding) = target.split_at_mut(rows.len());
                    padding.fill(0.0);
                    column.fill(rows, values);
                    if from != 0.0 {
                        values.iter_mut().for_each(|value| *value -= from);
                    }
                    if let Some(roots) = self.roots {
                        let roots = rows.iter().map(|&row| roots[row as usize]);
                        values
                            .iter_mut()
                            .zip(roots)
                            .for_each(|(value, root)| *value *= root);
                    }
                }
                fold(own, width, &mut top, block, height);
                fold(
                    rest,
                    rest,
                    &mut triangle,
                    &mut block[own * height..],
                    height,
                );
            }
            for row in top.chunks_exact(width) {
                reduced.own.push(class as u32, row);
            }
        }
        for (i, row) in triangle.chunks_exact(rest.max(1)).enumerate() {
            match i + 1 == rest && self.constant.is_some() {
                true => reduced.constant = row[i] * row[i],
                false => reduced.common.push(0, row),
            }
        }
        reduced
    }
}

/// A constant vector times a scalar or a vector; none if it is zero.
fn multiple(b: &mut Builder, values: &[f64], id: Id) -> Option<Id> {
    if values.iter().all(|&value| value == 0.0) {
        return None;
    }
    let constant = b.constant(Tensor::new(vec![values.len()], values));
    Some(b.mul(constant, id))
}

/// Rows that are left, and the class of each.
#[derive(Default)]
struct Part {
    classes: Vec<u32>,
    values: Vec<f64>,
}

impl Part {
    fn push(&mut self, class: u32, row: &[f64]) {
        if row.iter().any(|&value| value != 0.0) {
            self.classes.push(class);
            self.values.extend(row);
        }
    }
}

/// Rows that depend on classes' own numbers, rows that do not, and the sum of squares of those without parameters.
#[derive(Default)]
struct Reduced {
    own: Part,
    common: Part,
    constant: f64,
}

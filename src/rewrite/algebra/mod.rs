//! Sums over data that a few numbers, worked out once, can replace: sufficient statistics and their relatives.
//!
//! The pass runs on the log density, before differentiation; the gradient follows by itself. A sum over n elements is
//! taken apart into terms, and each of them is
//!
//! - a constant, or linear in parameters: [`linear`],
//! - a square of an affine form, up to known weights: [`squares`],
//! - something else, of which rows that read equal data are equal: one for each kind, times their number ([`rows`]).
//!
//! Each rule has a switch in [`Rules`].

mod affine;
mod classes;
mod columns;
mod linear;
mod precise;
mod rows;
mod squares;
mod terms;

use crate::bound::{Builder, Id, Op, Reduction};
use crate::graph::DType;
use crate::scalar::ScalarFn::{Check, Where};
use crate::tensor::Tensor;
use rows::{Kinds, Reads};
use std::collections::HashMap;
use terms::{Product, Summand, power, summands};

/// Which rules are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Sums of squares of affine forms, by orthogonal transformations.
    pub sums_of_squares: bool,
    /// Sums of constants and of what is linear in parameters.
    pub linear_sums: bool,
    /// Equal rows are one row with a weight.
    pub equal_rows: bool,
}

impl Rules {
    /// All rules.
    pub const ALL: Rules = Rules {
        sums_of_squares: true,
        linear_sums: true,
        equal_rows: true,
    };

    /// No rule.
    pub const NONE: Rules = Rules {
        sums_of_squares: false,
        linear_sums: false,
        equal_rows: false,
    };

    /// Their names, in the order of the fields.
    pub const NAMES: [&str; 3] = ["sums_of_squares", "linear_sums", "equal_rows"];

    /// The same with a rule, by name, switched; false if there is none of that name.
    pub fn switch(&mut self, name: &str, on: bool) -> bool {
        let rule = match name {
            "sums_of_squares" => &mut self.sums_of_squares,
            "linear_sums" => &mut self.linear_sums,
            "equal_rows" => &mut self.equal_rows,
            _ => return false,
        };
        *rule = on;
        true
    }
}

impl Default for Rules {
    fn default() -> Rules {
        Rules::ALL
    }
}

/// Elements that a sum must have to be worth a look.
const LEAST: usize = 4;

/// The same density with the rules applied to each sum in it.
pub fn apply(b: &mut Builder, root: Id, rules: Rules) -> Id {
    if rules == Rules::NONE {
        return root;
    }
    let mut made: HashMap<Id, Id> = HashMap::new();
    for id in b.reachable(&[root]) {
        let node = b.node(id);
        let inputs: Vec<Id> = node.inputs.iter().map(|input| made[input]).collect();
        let same = if inputs == node.inputs {
            id
        } else {
            let node = node.clone();
            b.again(&node, inputs)
        };
        let new = match b.node(same).op {
            Op::Reduce(Reduction::Sum, [1, n, 1])
                if n >= LEAST && b.node(same).dtype == DType::Float64 =>
            {
                sum(b, b.node(same).inputs[0], n, rules)
            }
            Op::Reduce(reduction @ (Reduction::All | Reduction::Any), [1, n, 1])
                if rules.equal_rows =>
            {
                condition(b, reduction, b.node(same).inputs[0], n)
            }
            _ => None,
        };
        let shape = b.shape(same).to_vec();
        made.insert(id, new.map_or(same, |new| b.reshape(new, &shape)));
    }
    made[&root]
}

/// A simpler scalar of the same value as the sum of an expression's n elements, if a rule applies.
fn sum(b: &mut Builder, id: Id, n: usize, rules: Rules) -> Option<Id> {
    let mut values = vec![];
    let mut left = vec![];
    let mut fired = false;
    for summand in summands(b, id, n, |b, id| affine::is_affine(b, id, n)) {
        match reduced(b, summand.id, n, rules) {
            Some(value) => {
                fired = true;
                values.push(summand.times(b, value));
            }
            // A single element stands for all.
            None if b.size(summand.id) == 1 => {
                let value = b.mul_number(n as f64, summand.id);
                values.push(summand.times(b, value));
            }
            None => left.push(summand),
        }
    }
    let others = equal_rows(b, &left, n, rules);
    if !fired && others.is_none() {
        return None;
    }
    values.extend(others.unwrap_or_else(|| {
        let total = |summand: &Summand| {
            let sum = total(b, summand.id);
            summand.times(b, sum)
        };
        left.iter().map(total).collect()
    }));
    let values = values
        .into_iter()
        .map(|value| b.reshape(value, &[]))
        .collect::<Vec<_>>();
    let sum = values.into_iter().reduce(|x, y| b.add(x, y));
    Some(sum.unwrap_or_else(|| b.number(0.0)))
}

/// The sum of all elements.
fn total(b: &mut Builder, id: Id) -> Id {
    let axes: Vec<usize> = (0..b.shape(id).len()).collect();
    b.reduce(Reduction::Sum, id, &axes)
}

/// The sum of one term's elements from fewer ones.
fn reduced(b: &mut Builder, id: Id, n: usize, rules: Rules) -> Option<Id> {
    if b.size(id) != n {
        return None;
    }
    let node = b.node(id).clone();
    match node.op {
        // Branches of the whole.
        Op::Map(Where) if b.size(node.inputs[0]) == 1 => {
            let [x, y] = [node.inputs[1], node.inputs[2]];
            if [x, y].iter().any(|&branch| b.size(branch) != n) {
                return None;
            }
            let sums = [x, y].map(|branch| sum(b, branch, n, rules));
            if sums == [None, None] {
                return None;
            }
            let sums =
                [(x, sums[0]), (y, sums[1])].map(|(x, sum)| sum.unwrap_or_else(|| total(b, x)));
            return Some(b.select(node.inputs[0], sums[0], sums[1]));
        }
        Op::Map(Check) if b.size(node.inputs[1]) == 1 => {
            let sum = sum(b, node.inputs[0], n, rules)?;
            return Some(b.map(Check, &[sum, node.inputs[1]]));
        }
        _ => {}
    }
    let product = Product::of(b, id, n);
    if product
        .weights
        .iter()
        .flatten()
        .any(|weight| !weight.is_finite())
    {
        return None;
    }
    let (rule, value) = match product.factors.as_slice() {
        [] if rules.linear_sums => ("linear_sums", constant(b, &product, n)),
        &[(factor, 1)] if rules.linear_sums && affine::is_affine(b, factor, n) => {
            let terms = affine::terms(b, factor, n)?;
            (
                "linear_sums",
                linear::sum(b, &terms, product.weights.as_deref(), n)?,
            )
        }
        factors if rules.sums_of_squares => (
            "sums_of_squares",
            square(b, factors, product.weights.as_deref(), n)?,
        ),
        _ => return None,
    };
    b.count(rule);
    let mut value = value;
    for (scalar, exponent) in product.scalars {
        let scalar = b.reshape(scalar, &[]);
        let power = power(b, scalar, exponent);
        value = b.mul(power, value);
    }
    Some(if product.negative {
        b.neg(value)
    } else {
        value
    })
}

fn constant(b: &mut Builder, product: &Product, n: usize) -> Id {
    match &product.weights {
        Some(weights) => {
            let weights = b.constant(Tensor::new(vec![n], weights));
            b.reduce(Reduction::Sum, weights, &[0])
        }
        None => b.number(n as f64),
    }
}

/// The weighted sum of the square of an affine form, times what depends on the row's class alone.
fn square(b: &mut Builder, factors: &[(Id, i32)], weights: Option<&[f64]>, n: usize) -> Option<Id> {
    let is_form = |&&(id, exponent): &&(Id, i32)| exponent == 2 && affine::is_affine(b, id, n);
    let &(form, _) = factors.iter().rev().find(is_form)?;
    let scales: Vec<squares::Scale> = factors
        .iter()
        .copied()
        .filter(|&(id, _)| id != form)
        .collect();
    let read: Vec<Id> = scales.iter().map(|&(id, _)| id).collect();
    let tables = Reads::of(b, &read, n)?.only_tables()?;
    let roots = match weights {
        Some(weights) if weights.iter().any(|&weight| weight < 0.0) => return None,
        Some(weights) => Some(
            weights
                .iter()
                .map(|weight| weight.sqrt())
                .collect::<Vec<f64>>(),
        ),
        None => None,
    };
    let terms = affine::terms(b, form, n)?;
    squares::sum(b, &terms, roots.as_deref(), &scales, tables, n)
}

/// The sums of terms of which many rows are equal up to known weights: of all together, or else of some; none if of
/// none.
fn equal_rows(b: &mut Builder, terms: &[Summand], n: usize, rules: Rules) -> Option<Vec<Id>> {
    if !rules.equal_rows || terms.is_empty() {
        return None;
    }
    let products: Vec<Product> = terms
        .iter()
        .map(|term| Product::separated(b, term.id, n))
        .collect();
    let kinds = |b: &Builder, products: &[Product]| {
        let factors = products.iter().flat_map(|product| &product.factors);
        let ids: Vec<Id> = factors.map(|&(id, _)| id).collect();
        Reads::of(b, &ids, n)?.kinds(n)
    };
    if let Some(kinds) = kinds(b, &products) {
        let mut made = HashMap::new();
        let terms = terms.iter().zip(&products);
        let sums = terms.map(|(term, product)| weighted(b, term, product, &kinds, &mut made));
        return Some(sums.collect());
    }
    let mut fired = false;
    let mut sum = |(term, product): (&Summand, &Product)| {
        let kinds = (terms.len() > 1).then(|| kinds(b, std::slice::from_ref(product)));
        match kinds.flatten() {
            Some(kinds) => {
                fired = true;
                weighted(b, term, product, &kinds, &mut HashMap::new())
            }
            None => {
                let sum = total(b, term.id);
                term.times(b, sum)
            }
        }
    };
    let sums = terms.iter().zip(&products).map(&mut sum).collect();
    fired.then_some(sums)
}

/// The sum of a term from one row of each kind.
fn weighted(
    b: &mut Builder,
    term: &Summand,
    product: &Product,
    kinds: &Kinds,
    made: &mut HashMap<Id, Id>,
) -> Id {
    let weights = kinds.weights(product.weights.as_deref());
    let mut values = b.constant(Tensor::new(vec![weights.len()], &weights));
    for &(id, exponent) in &product.factors {
        let factor = rows::on_rows(b, id, &kinds.rows, made);
        let factor = power(b, factor, exponent);
        values = b.mul(values, factor);
    }
    let sum = total(b, values);
    let sum = product.times(b, sum);
    b.count("equal_rows");
    term.times(b, sum)
}

/// Whether all rows, or any, fulfil a condition, from one row of each kind.
fn condition(b: &mut Builder, reduction: Reduction, id: Id, n: usize) -> Option<Id> {
    let kinds = Reads::of(b, &[id], n)?.kinds(n)?;
    let values = rows::on_rows(b, id, &kinds.rows, &mut HashMap::new());
    b.count("equal_rows");
    Some(match b.size(values) {
        1 => values,
        _ => b.reduce(reduction, values, &[0]),
    })
}

#[cfg(test)]
mod tests;

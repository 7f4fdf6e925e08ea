//! A sum over data, taken apart: its terms, and each term as a product of powers.

use crate::bound::{Builder, Id, Op};
use crate::scalar::ScalarFn::{self, Add, Div, Exp, Log, Mul, Neg, Reciprocal, Sqr, Sub};
use crate::tensor::Tensor;

/// A term of a sum: a sign, a factor that all elements share, and the elements, or a single one for all.
#[derive(Clone, Copy)]
pub struct Summand {
    pub negative: bool,
    pub factor: Option<Id>,
    pub id: Id,
}

impl Summand {
    /// The factor and the sign times a number of the graph.
    pub fn times(&self, b: &mut Builder, value: Id) -> Id {
        let value = match self.factor {
            Some(factor) => b.mul(factor, value),
            None => value,
        };
        if self.negative { b.neg(value) } else { value }
    }
}

/// Terms that are looked at.
const MOST: usize = 200;

/// The terms of an expression of n elements; what `is_whole` says stays in one piece.
pub fn summands(
    b: &mut Builder,
    id: Id,
    n: usize,
    is_whole: impl Fn(&Builder, Id) -> bool,
) -> Vec<Summand> {
    let (negative, factor) = (false, None);
    let mut open = vec![Summand {
        negative,
        factor,
        id,
    }];
    let mut done = vec![];
    while let Some(summand) = open.pop() {
        let Summand {
            negative,
            factor,
            id,
        } = summand;
        let node = b.node(id).clone();
        let inputs = &node.inputs;
        let other = |id: Id, minus: bool| Summand {
            negative: negative != minus,
            factor,
            id,
        };
        let is_open = node.size() == n && open.len() + done.len() < MOST && !is_whole(b, id);
        match node.op {
            Op::Reshape if is_open => open.push(other(inputs[0], false)),
            Op::Map(Neg) if is_open => open.push(other(inputs[0], true)),
            Op::Map(Add | Sub) if is_open => {
                open.push(other(inputs[1], node.op == Op::Map(Sub)));
                open.push(other(inputs[0], false));
            }
            Op::Map(Mul) if is_open && inputs.iter().any(|&input| b.size(input) == 1) => {
                let (scalar, rest) = match b.size(inputs[0]) {
                    1 => (inputs[0], inputs[1]),
                    _ => (inputs[1], inputs[0]),
                };
                let factor = factor.map_or(scalar, |factor| b.mul(factor, scalar));
                open.push(Summand {
                    negative,
                    factor: Some(factor),
                    id: rest,
                });
            }
            Op::Map(Log) if is_open => match logarithms(b, inputs[0]) {
                Some(logs) => open.extend(logs.map(|id| other(id, false))),
                None => done.push(summand),
            },
            _ => done.push(summand),
        }
    }
    done
}

/// log(s c) = log(s) + log(c) for a scalar s and a positive constant array c.
fn logarithms(b: &mut Builder, id: Id) -> Option<[Id; 2]> {
    let node = b.node(id);
    let &[x, y] = node.inputs.as_slice() else {
        return None;
    };
    let (scalar, array) = match (&node.op, b.size(x)) {
        (Op::Map(Mul), 1) => (x, y),
        (Op::Map(Mul), _) if b.size(y) == 1 => (y, x),
        _ => return None,
    };
    let values = b.constant_value(array)?.values();
    if !values.iter().all(|&value| value > 0.0 && value.is_finite()) {
        return None;
    }
    Some([scalar, array].map(|id| b.map(Log, &[id])))
}

/// A product of powers: of scalars, of constant arrays (multiplied out), and of what else there is.
#[derive(Default)]
pub struct Product {
    pub negative: bool,
    pub scalars: Vec<(Id, i32)>,
    pub weights: Option<Vec<f64>>,
    pub factors: Vec<(Id, i32)>,
}

impl Product {
    /// An expression of n elements as a product.
    pub fn of(b: &Builder, id: Id, n: usize) -> Product {
        let mut product = Product::default();
        product.add(b, id, 1, n);
        product
    }

    /// As [`Product::of`]; of exp(c + x) for a constant array c, exp(c) is a weight.
    pub fn separated(b: &mut Builder, id: Id, n: usize) -> Product {
        let mut product = Product::of(b, id, n);
        for index in 0..product.factors.len() {
            let (factor, exponent) = product.factors[index];
            if b.node(factor).op != Op::Map(Exp) {
                continue;
            }
            let terms = summands(b, b.node(factor).inputs[0], n, |_, _| false);
            let is_constant = |term: &&Summand| term.factor.is_none() && b.size(term.id) == n;
            let is_constant =
                |term: &&Summand| is_constant(term) && b.constant_value(term.id).is_some();
            let (constants, others): (Vec<Summand>, Vec<Summand>) =
                terms.iter().partition(is_constant);
            let mut sum = vec![0.0; n];
            for term in &constants {
                let values = b
                    .constant_value(term.id)
                    .map(|values| values.values())
                    .unwrap_or_default();
                let sign = if term.negative { -1.0 } else { 1.0 };
                sum.iter_mut()
                    .zip(values)
                    .for_each(|(sum, value)| *sum += sign * value);
            }
            // Far from 1 the weights might leave the range of f64 where the sum does not.
            if constants.is_empty()
                || others.is_empty()
                || sum.iter().any(|c| c.is_nan() || c.abs() > 300.0)
            {
                continue;
            }
            let others: Vec<Id> = others.iter().map(|term| term.times(b, term.id)).collect();
            let rest = others
                .into_iter()
                .reduce(|x, y| b.add(x, y))
                .unwrap_or(factor);
            let rest = b.map(Exp, &[rest]);
            let sum = Tensor::new(vec![n], &sum);
            let sum = b.constant(sum);
            let weights = b.map(Exp, &[sum]);
            if let Some(weights) = b.constant_value(weights) {
                product.weigh(weights, exponent);
            }
            match b.size(rest) {
                1 => {
                    product.scalars.push((rest, exponent));
                    product.factors[index].1 = 0;
                }
                _ => product.factors[index] = (rest, exponent),
            }
        }
        product.factors.retain(|&(_, exponent)| exponent != 0);
        product
    }

    /// The sign and the powers of scalars times a number of the graph.
    pub fn times(&self, b: &mut Builder, value: Id) -> Id {
        let mut value = value;
        for &(scalar, exponent) in &self.scalars {
            let scalar = b.reshape(scalar, &[]);
            let power = power(b, scalar, exponent);
            value = b.mul(power, value);
        }
        if self.negative { b.neg(value) } else { value }
    }

    fn add(&mut self, b: &Builder, id: Id, exponent: i32, n: usize) {
        let node = b.node(id);
        let inputs = &node.inputs;
        match node.op {
            Op::Constant(ref values) if node.size() == n => self.weigh(values, exponent),
            _ if node.size() == 1 => add_power(&mut self.scalars, id, exponent),
            _ if exponent.abs() > 8 => add_power(&mut self.factors, id, exponent),
            Op::Reshape => self.add(b, inputs[0], exponent, n),
            Op::Map(Neg) => {
                self.negative ^= exponent % 2 != 0;
                self.add(b, inputs[0], exponent, n);
            }
            Op::Map(Mul) => inputs
                .iter()
                .for_each(|&input| self.add(b, input, exponent, n)),
            Op::Map(Div) => {
                self.add(b, inputs[0], exponent, n);
                self.add(b, inputs[1], -exponent, n);
            }
            Op::Map(Reciprocal) => self.add(b, inputs[0], -exponent, n),
            Op::Map(Sqr) => self.add(b, inputs[0], 2 * exponent, n),
            _ => add_power(&mut self.factors, id, exponent),
        }
    }

    fn weigh(&mut self, values: &Tensor, exponent: i32) {
        let powers = values.values().iter().map(|value| value.powi(exponent));
        match &mut self.weights {
            Some(weights) => weights
                .iter_mut()
                .zip(powers)
                .for_each(|(w, power)| *w *= power),
            None => self.weights = Some(powers.collect()),
        }
    }
}

fn add_power(powers: &mut Vec<(Id, i32)>, id: Id, exponent: i32) {
    match powers.iter_mut().find(|(other, _)| *other == id) {
        Some((_, sum)) => *sum += exponent,
        None => powers.push((id, exponent)),
    }
}

/// An integer power.
pub fn power(b: &mut Builder, id: Id, exponent: i32) -> Id {
    let base = match exponent {
        ..0 => b.map(ScalarFn::Reciprocal, &[id]),
        _ => id,
    };
    match exponent.abs() {
        1 => base,
        2 => b.map(ScalarFn::Sqr, &[base]),
        exponent => {
            let exponent = b.number(f64::from(exponent));
            b.map(ScalarFn::Pow, &[base, exponent])
        }
    }
}

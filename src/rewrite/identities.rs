//! Identities of elementwise functions with a constant or a repeated argument.

use crate::bound::{Builder, Id, Op};
use crate::graph::DType;
use crate::scalar::ScalarFn::{self, *};

/// A simpler node of the same value as `function(operands)`, if one of the identities applies.
pub fn map(b: &mut Builder, function: ScalarFn, operands: &[Id], shape: &[usize], dtype: DType) -> Option<Id> {
    let constants: Vec<Option<f64>> = operands.iter().map(|&id| b.uniform_value(id)).collect();
    let fits = |b: &Builder, id: Id| b.size(id) == crate::tensor::size_of(shape) && b.node(id).dtype == dtype;
    let same = |b: &mut Builder, id: Id| -> Option<Id> { fits(b, id).then(|| b.reshape(id, shape)) };
    let cast = |b: &mut Builder, id: Id| -> Option<Id> {
        (b.size(id) == crate::tensor::size_of(shape)).then(|| b.reshape(id, shape))
    };
    match (function, operands, constants.as_slice()) {
        (ToFloat64, &[x], _) if b.node(x).dtype == DType::Float64 => same(b, x),
        (ToInt64, &[x], _) if b.node(x).dtype == DType::Int64 => same(b, x),
        (ToBool, &[x], _) if b.node(x).dtype == DType::Bool => same(b, x),
        (Neg, &[x], _) => match b.node(x).op {
            Op::Map(Neg) => {
                let inner = b.node(x).inputs[0];
                same(b, inner)
            }
            _ => None,
        },
        (Add, &[x, _], &[_, Some(0.0)]) | (Add, &[_, x], &[Some(0.0), _]) => same(b, x),
        (Sub, &[x, _], &[_, Some(0.0)]) => same(b, x),
        (Sub, &[_, x], &[Some(0.0), _]) if dtype == DType::Float64 => Some(b.neg(x)).and_then(|id| same(b, id)),
        (Mul, &[x, _], &[_, Some(1.0)]) | (Mul, &[_, x], &[Some(1.0), _]) => same(b, x),
        (Div, &[x, _], &[_, Some(1.0)]) => same(b, x),
        (Mul, &[x, _], &[_, Some(-1.0)]) | (Mul, &[_, x], &[Some(-1.0), _]) => {
            let id = b.neg(x);
            same(b, id)
        }
        (Mul, &[x, _], &[_, Some(c)]) | (Mul, &[_, x], &[Some(c), _]) => scaled(b, c, x, shape),
        (Pow, &[x, _], &[_, Some(1.0)]) => same(b, x),
        (Pow, &[x, _], &[_, Some(2.0)]) => {
            let id = b.map(Sqr, &[x]);
            same(b, id)
        }
        (Pow, &[x, _], &[_, Some(0.5)]) => {
            let id = b.map(Sqrt, &[x]);
            same(b, id)
        }
        (Pow, &[x, _], &[_, Some(-1.0)]) => {
            let id = b.map(Reciprocal, &[x]);
            same(b, id)
        }
        (Where, &[_, x, y], &[Some(c), _, _]) => {
            let taken = if c != 0.0 { x } else { y };
            cast(b, taken)
        }
        (Where, &[_, x, y], _) if x == y => cast(b, x),
        (Check, &[x, _], &[_, Some(ok)]) if ok != 0.0 => same(b, x),
        (And, &[x, _], &[_, Some(c)]) | (And, &[_, x], &[Some(c), _]) if c != 0.0 => same(b, x),
        (Or, &[x, _], &[_, Some(0.0)]) | (Or, &[_, x], &[Some(0.0), _]) => same(b, x),
        _ => None,
    }
}

/// c (d x) = (c d) x and c (-x) = (-c) x.
fn scaled(b: &mut Builder, c: f64, x: Id, shape: &[usize]) -> Option<Id> {
    if b.size(x) != crate::tensor::size_of(shape) {
        return None;
    }
    let node = b.node(x).clone();
    let (factor, inner) = match (&node.op, node.inputs.as_slice()) {
        (Op::Map(Neg), &[inner]) => (-1.0, inner),
        (Op::Map(Mul), &[p, q]) => match (b.uniform_value(p), b.uniform_value(q)) {
            (Some(d), _) => (d, q),
            (_, Some(d)) => (d, p),
            _ => return None,
        },
        _ => return None,
    };
    let product = c * factor;
    // Folding must not turn a finite product into an overflow or an underflow.
    if product == 0.0 || !product.is_normal() {
        return None;
    }
    let id = b.mul_number(product, inner);
    Some(b.reshape(id, shape))
}

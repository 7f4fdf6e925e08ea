//! Identities of elementwise functions: constants, signs, scalar factors.
//!
//! Signs move outwards, where they meet sums, and a division by a scalar becomes a product with its reciprocal:
//! one division instead of one an element.

use crate::bound::{Builder, Id, Op};
use crate::graph::DType;
use crate::scalar::ScalarFn::{self, *};
use crate::tensor::Tensor;

/// A simpler node of the same value as `function(operands)` of that type, if an identity applies.
pub fn map(
    b: &mut Builder,
    function: ScalarFn,
    operands: &[Id],
    dtype: DType,
) -> Option<(&'static str, Id)> {
    constants(b, function, operands, dtype).or_else(|| {
        (dtype == DType::Float64)
            .then(|| signs_and_factors(b, function, operands))
            .flatten()
    })
}

/// Identities with a constant argument, or with arguments whose types or values make the function trivial.
fn constants(
    b: &mut Builder,
    function: ScalarFn,
    operands: &[Id],
    dtype: DType,
) -> Option<(&'static str, Id)> {
    let values: Vec<Option<f64>> = operands.iter().map(|&id| b.uniform_value(id)).collect();
    Some(match (function, operands, values.as_slice()) {
        (ToFloat64 | ToInt64 | ToBool, &[x], _) if b.node(x).dtype == dtype => {
            ("a cast to the same type", x)
        }
        (Add, &[x, _], &[_, Some(0.0)])
        | (Add, &[_, x], &[Some(0.0), _])
        | (Sub, &[x, _], &[_, Some(0.0)]) => ("x + 0 = x", x),
        (Sub, &[_, x], &[Some(0.0), _]) => ("0 - x = -x", b.neg(x)),
        (Mul, &[x, _], &[_, Some(1.0)])
        | (Mul, &[_, x], &[Some(1.0), _])
        | (Scale | Quotient | Div | Pow, &[x, _], &[_, Some(1.0)]) => ("1 x = x", x),
        (Mul, &[x, _], &[_, Some(-1.0)]) | (Mul, &[_, x], &[Some(-1.0), _]) => {
            ("-1 x = -x", b.neg(x))
        }
        (Div, &[_, y], &[Some(1.0), _]) => ("1 / x in one step", b.map(Reciprocal, &[y])),
        (Pow, &[x, _], &[_, Some(2.0)]) => ("a power that has a name", b.map(Sqr, &[x])),
        (Pow, &[x, _], &[_, Some(0.5)]) => ("a power that has a name", b.map(Sqrt, &[x])),
        (Pow, &[x, _], &[_, Some(-1.0)]) => ("a power that has a name", b.map(Reciprocal, &[x])),
        (Where, &[_, x, _], &[Some(c), _, _]) if c != 0.0 => ("a branch that is known", x),
        (Where, &[_, _, y], &[Some(_), _, _]) => ("a branch that is known", y),
        (Where, &[_, x, y], _) if x == y => ("a branch that is known", x),
        (Check, &[x, _], &[_, Some(ok)]) if ok != 0.0 => ("a check that holds", x),
        (And, &[x, _], &[_, Some(c)]) | (And, &[_, x], &[Some(c), _]) if c != 0.0 => {
            ("a condition that holds", x)
        }
        (And, _, &[_, Some(0.0)] | &[Some(0.0), _]) => {
            let no = b.typed_constant(Tensor::scalar(0.0), dtype);
            ("a condition that fails", no)
        }
        (Or, &[x, _], &[_, Some(0.0)]) | (Or, &[_, x], &[Some(0.0), _]) => {
            ("a condition that holds", x)
        }
        _ => return None,
    })
}

/// Identities of real functions of other functions.
fn signs_and_factors(
    b: &mut Builder,
    function: ScalarFn,
    operands: &[Id],
) -> Option<(&'static str, Id)> {
    let inner = |b: &Builder, id: Id| match b.node(id).op {
        Op::Map(f) => Some((f, b.node(id).inputs.clone())),
        _ => None,
    };
    let negated = |b: &Builder, id: Id| match inner(b, id) {
        Some((Neg, inputs)) if b.size(inputs[0]) == b.size(id) => Some(inputs[0]),
        _ => None,
    };
    Some(match (function, operands) {
        (Neg, &[x]) => match inner(b, x)? {
            (Neg, inputs) => ("-(-x) = x", inputs[0]),
            (Sub, inputs) => ("-(x - y) = y - x", b.sub(inputs[1], inputs[0])),
            (Mul, inputs) => {
                let (factor, rest) = scalar_factor(b, inputs[0], inputs[1])?;
                b.uniform_value(factor)?;
                let factor = b.neg(factor);
                ("-(c x) = (-c) x", b.mul(factor, rest))
            }
            _ => return None,
        },
        (Sqr, &[x]) => {
            if let Some(x) = negated(b, x) {
                return Some(("(-x)^2 = x^2", b.map(Sqr, &[x])));
            }
            let (factor, array) = factored(b, x).filter(|_| b.size(x) > 1)?;
            let (factor, array) = (b.map(Sqr, &[factor]), b.map(Sqr, &[array]));
            if !is_harmless(b, factor) {
                return None;
            }
            ("(s x)^2 = s^2 x^2", b.mul(factor, array))
        }
        (Log, &[x]) => match inner(b, x)? {
            (Exp, inputs) => ("log(exp(x)) = x", inputs[0]),
            (Mul, inputs) => {
                let [u, v] = [inputs[0], inputs[1]];
                let (u, v) = (logarithm(b, u)?, logarithm(b, v)?);
                ("log(c exp(x)) = log(c) + x", b.add(u, v))
            }
            _ => return None,
        },
        (Log1p, &[x]) => match inner(b, negated(b, x)?)? {
            (Sigmoid, inputs) => {
                let softplus = b.map(Softplus, &inputs);
                ("log(1 - sigmoid(x)) = -softplus(x)", b.neg(softplus))
            }
            _ => return None,
        },
        (Add, &[x, y]) => match (negated(b, x), negated(b, y)) {
            (_, Some(y)) => ("x + (-y) = x - y", b.sub(x, y)),
            (Some(x), None) => ("x + (-y) = x - y", b.sub(y, x)),
            _ => return multiples(b, function, x, y),
        },
        (Sub, &[x, y]) => match negated(b, y) {
            Some(y) => ("x - (-y) = x + y", b.add(x, y)),
            None => return multiples(b, function, x, y),
        },
        (Mul, &[x, y]) if x == y => ("x x = x^2", b.map(Sqr, &[x])),
        (Mul | Div | Scale | Quotient, &[x, y])
            if negated(b, x).is_some() || negated(b, y).is_some() =>
        {
            let (u, v) = (negated(b, x), negated(b, y));
            let product = b.map(function, &[u.unwrap_or(x), v.unwrap_or(y)]);
            let signed = match (u, v) {
                (Some(_), Some(_)) => product,
                _ => b.neg(product),
            };
            ("(-x) y = -(x y)", signed)
        }
        (Div, &[x, y]) if has_safe_reciprocal(b, x, y) => {
            let reciprocal = b.map(Reciprocal, &[y]);
            ("x / s = (1 / s) x", b.mul(x, reciprocal))
        }
        (Mul, &[x, y]) => match scalar_factor(b, x, y) {
            Some((factor, rest)) => {
                let (other, array) = factored(b, rest)?;
                let product = b.mul(factor, other);
                if !is_harmless(b, product) {
                    return None;
                }
                ("s (t x) = (s t) x", b.mul(product, array))
            }
            None => {
                let (factor, x, y) = match (factored(b, x), factored(b, y)) {
                    (Some((factor, x)), _) if b.size(factor) == 1 => (factor, x, y),
                    (_, Some((factor, y))) if b.size(factor) == 1 => (factor, x, y),
                    _ => return None,
                };
                let product = b.mul(x, y);
                ("(s x) y = s (x y)", b.mul(factor, product))
            }
        },
        _ => return None,
    })
}

/// The logarithm of a positive constant, or of an exponential function, also of one whose elements are repeated.
fn logarithm(b: &mut Builder, id: Id) -> Option<Id> {
    let node = b.node(id).clone();
    match node.op {
        Op::Constant(ref values) => {
            let positive = values.values().iter().all(|&x| x > 0.0 && x.is_finite());
            positive.then(|| b.map(Log, &[id]))
        }
        Op::Map(Exp) => Some(node.inputs[0]),
        Op::Gather(table) if b.node(node.inputs[0]).op == Op::Map(Exp) => {
            let exponent = b.node(node.inputs[0]).inputs[0];
            Some(b.gather(exponent, table, node.shape))
        }
        _ => None,
    }
}

/// The sum or difference of two constant arrays with the same scalar factor, such as the terms of a squared distance.
fn multiples(b: &mut Builder, function: ScalarFn, x: Id, y: Id) -> Option<(&'static str, Id)> {
    let (factor, a) = multiple(b, x)?;
    let (other, c) = multiple(b, y)?;
    if factor != other || b.size(a) != b.size(c) {
        return None;
    }
    let sum = b.map(function, &[a, c]);
    Some(("s a + s c = s (a + c) of constants", b.mul(factor, sum)))
}

/// A constant array's scalar factor, and the array; numbers count to the array.
fn multiple(b: &mut Builder, id: Id) -> Option<(Id, Id)> {
    let (factor, array) = factored(b, id)?;
    b.constant_value(array).filter(|_| b.size(array) > 1)?;
    match factored(b, factor) {
        Some((number, scalar)) if b.uniform_value(number).is_some() => {
            Some((scalar, b.mul(number, array)))
        }
        _ => Some((factor, array)),
    }
}

/// The scalar factor of a product and the rest.
pub fn factored(b: &Builder, id: Id) -> Option<(Id, Id)> {
    let node = b.node(id);
    match node.op {
        Op::Map(Mul) => scalar_factor(b, node.inputs[0], node.inputs[1]),
        _ => None,
    }
}

/// Whether a factor, if constant, neither overflowed nor vanished before it met the array.
fn is_harmless(b: &Builder, factor: Id) -> bool {
    b.uniform_value(factor).is_none_or(f64::is_normal)
}

/// Of a product, the scalar (a constant one, if both are) and the other factor.
pub fn scalar_factor(b: &Builder, x: Id, y: Id) -> Option<(Id, Id)> {
    let is_scalar = |id: Id| b.size(id) == 1;
    let is_constant = |id: Id| b.constant_value(id).is_some();
    match (is_scalar(x), is_scalar(y)) {
        (true, true) if is_constant(x) => Some((x, y)),
        (true, true) if is_constant(y) => Some((y, x)),
        (true, false) => Some((x, y)),
        (false, true) => Some((y, x)),
        _ => None,
    }
}

/// Whether x / y may be computed as x (1 / y), and gains by it.
fn has_safe_reciprocal(b: &Builder, x: Id, y: Id) -> bool {
    match b.constant_value(y) {
        Some(value) => value.values().iter().all(|v| (1.0 / v).is_normal()),
        None => b.size(y) == 1 && b.size(x) > 1,
    }
}

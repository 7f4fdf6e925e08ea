//! Scalar factors and signs leave linear ops, so that arrays are scaled where they are smallest, or merged with a
//! factor that waits there.

use super::identities::factored;
use crate::bound::{Builder, Id, Op};
use crate::scalar::ScalarFn;

/// A scalar factor of a real array, and the array without it.
fn split(b: &mut Builder, id: Id) -> Option<(Id, Id)> {
    if b.size(id) == 1 {
        return None;
    }
    let node = b.node(id);
    match node.op {
        Op::Map(ScalarFn::Neg) => {
            let x = node.inputs[0];
            Some((b.number(-1.0), x))
        }
        Op::Reshape => {
            let (shape, inner) = (node.shape.clone(), node.inputs[0]);
            let (factor, x) = split(b, inner)?;
            Some((factor, b.reshape(x, &shape)))
        }
        _ => factored(b, id),
    }
}

/// `op(x)` of a linear op, as its factor times the op of the rest.
pub fn apply(
    b: &mut Builder,
    x: Id,
    op: impl FnOnce(&mut Builder, Id) -> Id,
) -> Option<(&'static str, Id)> {
    let (factor, rest) = split(b, x)?;
    let value = op(b, rest);
    Some(("linear(s x) = s linear(x)", b.mul(factor, value)))
}

/// `op(x, y)` of an op that is linear in both, which are constant arrays, at least one of them times a scalar.
pub fn of_constants(
    b: &mut Builder,
    [x, y]: [Id; 2],
    op: impl FnOnce(&mut Builder, Id, Id) -> Id,
) -> Option<(&'static str, Id)> {
    let mut parts = |id: Id| match b.constant_value(id) {
        Some(_) => Some((None, id)),
        None => {
            let (factor, rest) = split(b, id)?;
            b.constant_value(rest)?;
            Some((Some(factor), rest))
        }
    };
    let ((s, x), (t, y)) = (parts(x)?, parts(y)?);
    let factor = match (s, t) {
        (Some(s), Some(t)) => {
            let (s, t) = (b.reshape(s, &[]), b.reshape(t, &[]));
            b.mul(s, t)
        }
        (s, t) => b.reshape(s.or(t)?, &[]),
    };
    let value = op(b, x, y);
    Some((
        "bilinear(s x, t y) = s t bilinear(x, y)",
        b.mul(factor, value),
    ))
}

/// As [`apply`], of a constant array times a scalar: the op is then done once.
pub fn of_constant(
    b: &mut Builder,
    x: Id,
    op: impl FnOnce(&mut Builder, Id) -> Id,
) -> Option<(&'static str, Id)> {
    let (factor, rest) = split(b, x)?;
    b.constant_value(rest)?;
    // Without axes of its own it leaves the value its shape.
    let factor = b.reshape(factor, &[]);
    let value = op(b, rest);
    Some(("linear(s x) = s linear(x)", b.mul(factor, value)))
}

//! Two branches that apply one costly function: it is applied once, to the branch that is taken.

use crate::bound::{Builder, Id, Op};
use crate::scalar::ScalarFn::{self, *};

/// where(c, -x, x) = s x for a constant c, with s = -1 where it holds and 1 elsewhere; or the other way round.
pub fn sign(b: &mut Builder, condition: Id, x: Id, y: Id) -> Option<(&'static str, Id)> {
    let negated = |x: Id, y: Id| b.node(x).op == Op::Map(Neg) && b.node(x).inputs[0] == y;
    let (signs, x) = match (negated(x, y), negated(y, x)) {
        (true, _) => ([1.0, -1.0], y),
        (_, true) => ([-1.0, 1.0], x),
        _ => return None,
    };
    let holds = b.constant_value(condition)?;
    let signs = b.constant(holds.map(|holds| signs[usize::from(holds != 0.0)]));
    Some(("where(c, -x, x) = s x", b.mul(signs, x)))
}

/// where(c, f(x), f(y)) = f(where(c, x, y)); not for two scalars selected by an array.
pub fn select(b: &mut Builder, condition: Id, x: Id, y: Id) -> Option<(&'static str, Id)> {
    let (Op::Map(f), Op::Map(g)) = (&b.node(x).op, &b.node(y).op) else {
        return None;
    };
    let function = *f;
    let is_worse = b.size(x) == 1 && b.size(y) == 1 && b.size(condition) > 1;
    if f != g || is_worse || !(function == Neg || is_costly(function)) {
        return None;
    }
    let (inner_x, inner_y) = (b.node(x).inputs[0], b.node(y).inputs[0]);
    let taken = b.select(condition, inner_x, inner_y);
    Some((
        "where(c, f(x), f(y)) = f(where(c, x, y))",
        b.map(function, &[taken]),
    ))
}

/// Whether a function of one argument costs more than a selection.
fn is_costly(function: ScalarFn) -> bool {
    matches!(
        function,
        Exp | Expm1
            | Log
            | Log1p
            | Log1mexp
            | Softplus
            | Sigmoid
            | Tanh
            | Sin
            | Cos
            | Erf
            | Erfc
            | Erfcx
            | Lgamma
            | Digamma
    )
}

//! Comparisons that hold whatever the parameters are, by the range of the function compared.
//!
//! Checks such as 0 <= sigmoid(x) <= 1 cost as much as the likelihood that they guard. Where x is NaN the check
//! would fail; the guarded value is NaN then, which rejects the point as well.

use crate::bound::{Builder, Id, Op};
use crate::scalar::ScalarFn::{self, *};
use crate::tensor::Tensor;

/// `true` for a comparison whose outcome is known.
pub fn comparison(
    b: &mut Builder,
    function: ScalarFn,
    operands: &[Id],
) -> Option<(&'static str, Id)> {
    let &[x, y] = operands else { return None };
    let holds = match function {
        Ge => lower(b, x)? >= upper(b, y)?,
        Le => upper(b, x)? <= lower(b, y)?,
        _ => return None,
    };
    holds.then(|| ("a comparison that the range decides", b.truth()))
}

fn lower(b: &Builder, id: Id) -> Option<f64> {
    match b.node(id).op {
        Op::Constant(ref value) => ordered(value)?.reduce(f64::min),
        Op::Map(Exp | Sqr | Softplus | Sigmoid | Abs | Sqrt | Exp2) => Some(0.0),
        _ => None,
    }
}

fn upper(b: &Builder, id: Id) -> Option<f64> {
    match b.node(id).op {
        Op::Constant(ref value) => ordered(value)?.reduce(f64::max),
        Op::Map(Sigmoid) => Some(1.0),
        _ => None,
    }
}

/// The values of a constant without NaN, for which no comparison holds.
fn ordered(value: &Tensor) -> Option<impl Iterator<Item = f64> + '_> {
    let values = value.values();
    (!values.iter().any(|x| x.is_nan())).then(|| values.iter().copied())
}

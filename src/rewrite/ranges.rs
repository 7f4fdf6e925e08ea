//! Comparisons that hold whatever the parameters are, by the range of the function compared.
//!
//! Checks such as 0 <= sigmoid(x) <= 1 cost as much as the likelihood that they guard. Where x is NaN the check
//! would fail; the guarded value is NaN then, which rejects the point as well.
//!
//! Ranges are those of real numbers: exp(x) is not 0 where it underflows, and no sum of products is infinite where it
//! overflows. Likelihoods ask for both, and have the same value either way, or one that rejects the point.

use super::identities::factored;
use crate::bound::{Builder, Id, Op, Reduction};
use crate::graph::DType;
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

/// `false` for an equality with 0 or -inf that cannot hold.
pub fn equality(b: &mut Builder, operands: &[Id]) -> Option<(&'static str, Id)> {
    let &[x, y] = operands else { return None };
    let (x, value) = match (b.uniform_value(x), b.uniform_value(y)) {
        (None, Some(value)) => (x, value),
        (Some(value), None) => (y, value),
        _ => return None,
    };
    let never = match b.node(x).op {
        _ if value == 0.0 => is_positive(b, x, &mut MOST_STEPS.clone()),
        Op::Parameter { .. } => false,
        _ => value == f64::NEG_INFINITY && is_finite(b, x, &mut MOST_STEPS.clone()),
    };
    let no = b.typed_constant(Tensor::scalar(0.0), DType::Bool);
    never.then_some(("an equality that the range decides", no))
}

/// Whether real arithmetic gives positive numbers in a node.
fn is_positive(b: &Builder, id: Id, steps: &mut usize) -> bool {
    let node = b.node(id);
    if *steps == 0 {
        return false;
    }
    *steps -= 1;
    match &node.op {
        Op::Constant(value) => value.values().iter().all(|&x| x > 0.0),
        Op::Map(Exp | Exp2 | Softplus | Sigmoid) => true,
        Op::Map(Mul | Div | Add | Reciprocal | Sqrt | Sqr)
        | Op::Reshape
        | Op::View { .. }
        | Op::Gather(_)
        | Op::Reduce(Reduction::Sum, _) => node
            .inputs
            .iter()
            .all(|&input| is_positive(b, input, steps)),
        _ => false,
    }
}

/// Nodes that [`is_finite`] and [`is_positive`] look at.
const MOST_STEPS: usize = 100;

/// Whether real arithmetic on finite numbers gives finite ones in a node.
fn is_finite(b: &Builder, id: Id, steps: &mut usize) -> bool {
    let node = b.node(id);
    if *steps == 0 {
        return false;
    }
    *steps -= 1;
    match &node.op {
        Op::Parameter { .. } => true,
        Op::Constant(value) => value.values().iter().all(|x| x.is_finite()),
        Op::Map(
            Neg | Abs | Sqr | Exp | Expm1 | Softplus | Sigmoid | Tanh | Sin | Cos | Add | Sub | Mul,
        )
        | Op::Reshape
        | Op::View { .. }
        | Op::Gather(_)
        | Op::ScatterAdd(_)
        | Op::Concat { .. }
        | Op::Reduce(Reduction::Sum, _)
        | Op::MatMul { .. } => node.inputs.iter().all(|&input| is_finite(b, input, steps)),
        _ => false,
    }
}

/// s c > 0 for a positive constant array c: s > 0.
pub fn positive(b: &mut Builder, operands: &[Id]) -> Option<(&'static str, Id)> {
    let &[x, y] = operands else { return None };
    if b.node(x).op != Op::Map(Mul) || b.uniform_value(y) != Some(0.0) {
        return None;
    }
    let (u, v) = (b.node(x).inputs[0], b.node(x).inputs[1]);
    let (scalar, array) = if b.size(u) == 1 { (u, v) } else { (v, u) };
    let values = b.constant_value(array)?.values();
    if b.size(scalar) != 1 || !values.iter().all(|&value| value > 0.0) {
        return None;
    }
    Some(("s c > 0 is s > 0", b.map(Gt, &[scalar, y])))
}

/// `false` for x > inf and x < -inf.
pub fn beyond(b: &mut Builder, function: ScalarFn, operands: &[Id]) -> Option<(&'static str, Id)> {
    let &[_, limit] = operands else { return None };
    let end = match function {
        Gt => f64::INFINITY,
        Lt => f64::NEG_INFINITY,
        _ => return None,
    };
    let no = b.typed_constant(Tensor::scalar(0.0), DType::Bool);
    (b.uniform_value(limit) == Some(end)).then_some(("a comparison that the range decides", no))
}

/// where(s c < 0, 0, s c) = s where(c < 0, 0, c) for a constant c and a scalar s that is not negative.
pub fn clip(b: &mut Builder, condition: Id, x: Id, y: Id) -> Option<(&'static str, Id)> {
    let is_zero = |b: &Builder, id: Id| b.uniform_value(id) == Some(0.0);
    let negative = b.node(condition);
    let &[compared, limit] = &*negative.inputs else {
        return None;
    };
    if negative.op != Op::Map(Lt) || compared != y || !is_zero(b, limit) || !is_zero(b, x) {
        return None;
    }
    let (scalar, array) = factored(b, y)?;
    if b.size(array) == 1 || lower(b, scalar)? < 0.0 {
        return None;
    }
    let values = b.constant_value(array)?;
    let clipped = values.map(|value| if value < 0.0 { 0.0 } else { value });
    let clipped = b.constant(clipped);
    Some(("clip(s c) = s clip(c)", b.mul(scalar, clipped)))
}

fn lower(b: &Builder, id: Id) -> Option<f64> {
    match b.node(id).op {
        Op::Constant(ref value) => ordered(value)?.reduce(f64::min),
        Op::Map(Exp | Sqr | Softplus | Sigmoid | Abs | Sqrt | Exp2) => Some(0.0),
        Op::Map(_) | Op::Gather(_) if is_positive(b, id, &mut MOST_STEPS.clone()) => Some(0.0),
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

//! Simplifications, one family a file. Each is exact up to rounding, and returns its name with what it found.
//!
//! Equal nodes are merged and constants folded by [`crate::bound::Builder`] itself.

pub mod algebra;
pub mod branches;
pub mod determinant;
pub mod fuse;
pub mod gathers;
pub mod identities;
pub mod linear;
pub mod ranges;
pub mod scaled;
pub mod sums;
pub mod triangle;
pub mod views;

use crate::bound::{Builder, Id};
use crate::graph::DType;
use crate::scalar::ScalarFn;
use crate::tensor::size_of;

/// A simpler node of the same value as `function(operands)` of that shape and type, and the name of the rule
/// that knows it, if one does.
pub fn map(
    b: &mut Builder,
    function: ScalarFn,
    operands: &[Id],
    shape: &[usize],
    dtype: DType,
) -> Option<(&'static str, Id)> {
    let simpler = match (function, operands) {
        (ScalarFn::Ge | ScalarFn::Le, _) => ranges::comparison(b, function, operands),
        (ScalarFn::Eq, _) => ranges::equality(b, operands),
        (ScalarFn::Gt | ScalarFn::Lt, _) => {
            ranges::beyond(b, function, operands).or_else(|| match function {
                ScalarFn::Gt => ranges::positive(b, operands),
                _ => None,
            })
        }
        (ScalarFn::Where, &[condition, x, y]) => identities::map(b, function, operands, dtype)
            .or_else(|| branches::sign(b, condition, x, y))
            .or_else(|| ranges::clip(b, condition, x, y))
            .or_else(|| branches::select(b, condition, x, y)),
        (ScalarFn::Log, &[x]) => {
            determinant::log(b, x).or_else(|| identities::map(b, function, operands, dtype))
        }
        _ => identities::map(b, function, operands, dtype),
    };
    let (rule, id) = simpler.or_else(|| gathers::commute(b, function, operands))?;
    if b.node(id).dtype != dtype {
        return None;
    }
    match b.size(id) == size_of(shape) {
        true => Some((rule, b.reshape(id, shape))),
        false => (b.size(id) == 1).then(|| (rule, b.broadcast(id, shape))),
    }
}

#[cfg(test)]
mod tests;

//! Sums of terms with a scalar part: the scalar is handled once, not an element at a time.

use super::identities::scalar_factor;
use crate::bound::{Builder, Id, Op, Reduction};
use crate::graph::DType;
use crate::scalar::ScalarFn::{self, *};

/// A simpler node of the same value as the sum of a real array over axes, if one is known.
pub fn sum(b: &mut Builder, x: Id, axes: &[usize]) -> Option<Id> {
    let node = b.node(x).clone();
    let Op::Map(function) = node.op else {
        return None;
    };
    if node.dtype != DType::Float64 || node.size() == 1 {
        return None;
    }
    let inputs = node.inputs;
    let total = |b: &mut Builder, part: Id| {
        let part = b.broadcast(part, &node.shape);
        b.reduce(Reduction::Sum, part, axes)
    };
    Some(match function {
        Neg => {
            let total = total(b, inputs[0]);
            b.neg(total)
        }
        Mul => {
            let (factor, rest) = scalar_factor(b, inputs[0], inputs[1])?;
            let total = total(b, rest);
            b.mul(factor, total)
        }
        Add | Sub
            if inputs
                .iter()
                .any(|&input| b.size(input) == 1 || b.constant_value(input).is_some()) =>
        {
            let [left, right] = [inputs[0], inputs[1]].map(|input| total(b, input));
            b.map(function, &[left, right])
        }
        // -inf in one term is -inf in the sum.
        ScalarFn::Check if b.size(inputs[1]) == 1 => {
            let total = total(b, inputs[0]);
            b.map(ScalarFn::Check, &[total, inputs[1]])
        }
        _ => return None,
    })
}

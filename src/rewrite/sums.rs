//! Sums of terms with a scalar part: the scalar is handled once, not an element at a time.

use super::identities::scalar_factor;
use crate::bound::{Builder, Id, Op, Reduction};
use crate::graph::DType;
use crate::scalar::ScalarFn::{self, *};

/// A simpler node of the same value as the sum of a real array over axes, if one is known.
pub fn sum(b: &mut Builder, x: Id, axes: &[usize]) -> Option<(&'static str, Id)> {
    let node = b.node(x).clone();
    let Op::Map(function) = node.op else {
        return None;
    };
    if node.dtype != DType::Float64 || node.size() == 1 {
        return None;
    }
    let inputs = node.inputs;
    if function == Mul
        && let Some(product) = rows_product(b, &inputs, axes)
    {
        return Some(("sum_j(X_ij v_j) = X v", product));
    }
    let total = |b: &mut Builder, part: Id| {
        let part = b.broadcast(part, &node.shape);
        b.reduce(Reduction::Sum, part, axes)
    };
    Some(match function {
        Neg => {
            let total = total(b, inputs[0]);
            ("sum(-x) = -sum(x)", b.neg(total))
        }
        Mul => {
            let (factor, rest) = scalar_factor(b, inputs[0], inputs[1])?;
            let total = total(b, rest);
            ("sum(s x) = s sum(x)", b.mul(factor, total))
        }
        Add | Sub if scalar_may_leave(b, &inputs, 0) => {
            let [left, right] = [inputs[0], inputs[1]].map(|input| total(b, input));
            (
                "sum(s + f(x)) = n s + sum(f(x))",
                b.map(function, &[left, right]),
            )
        }
        // -inf in one term is -inf in the sum.
        ScalarFn::Check if b.size(inputs[1]) == 1 => {
            let total = total(b, inputs[0]);
            let checked = b.map(ScalarFn::Check, &[total, inputs[1]]);
            ("sum(check(x)) = check(sum(x))", checked)
        }
        _ => return None,
    })
}

/// X v for the sum along the rows of the products of a constant matrix X with a vector v in every row.
fn rows_product(b: &mut Builder, inputs: &[Id], axes: &[usize]) -> Option<Id> {
    let [x, y] = [inputs[0], inputs[1]];
    let (matrix, repeated) = if b.constant_value(x).is_some() {
        (x, y)
    } else {
        (y, x)
    };
    let &[_, columns] = b.constant_value(matrix)?.shape() else {
        return None;
    };
    let node = b.node(repeated);
    let is_row = match &node.op {
        Op::View { offset: 0, strides } => strides[..] == [0, 1],
        _ => false,
    };
    let vector = *node.inputs.first()?;
    if axes != [1] || !is_row || b.size(vector) != columns {
        return None;
    }
    let column = b.reshape(vector, &[columns, 1]);
    Some(b.matmul(matrix, column, [false, false]))
}

/// Whether a scalar term of a sum may be summed on its own.
///
/// Not next to plain values or differences of them: data of mean 10^6 and spread 10^-3 keep all their digits in
/// sum(y - mu), and lose nine of them in sum(y) - n mu.
fn scalar_may_leave(b: &Builder, terms: &[Id], depth: usize) -> bool {
    match *terms {
        _ if depth == MAX_TERMS => false,
        [x, y] if b.size(x) == 1 => is_function_value(b, y, depth),
        [x, y] if b.size(y) == 1 => is_function_value(b, x, depth),
        _ => false,
    }
}

/// Terms of a sum that are looked at.
const MAX_TERMS: usize = 200;

/// Whether an array holds values of a function other than sums and differences, but for scalar terms.
fn is_function_value(b: &Builder, id: Id, depth: usize) -> bool {
    let node = b.node(id);
    match node.op {
        Op::Map(Neg) if depth < MAX_TERMS => is_function_value(b, node.inputs[0], depth + 1),
        Op::Map(Add | Sub) => scalar_may_leave(b, &node.inputs, depth + 1),
        Op::Map(_) => true,
        _ => false,
    }
}

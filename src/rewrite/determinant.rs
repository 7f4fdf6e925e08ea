//! log |det A| is summed up from the factors of A: the determinant itself leaves the range of f64 early.

use crate::bound::{Builder, Id, Linalg, Op, Routine};
use crate::scalar::ScalarFn;

/// log x, where x is |det A|.
pub fn log(b: &mut Builder, x: Id) -> Option<(&'static str, Id)> {
    let source = |id: Id| match b.node(id).op {
        Op::Reshape => b.node(id).inputs[0],
        _ => id,
    };
    let absolute = b.node(source(x));
    if absolute.op != Op::Map(ScalarFn::Abs) {
        return None;
    }
    let determinant = b.node(source(absolute.inputs[0]));
    let Op::Linalg(Linalg {
        routine: Routine::Det,
        ..
    }) = determinant.op
    else {
        return None;
    };
    let (factors, a) = (determinant.inputs[0], determinant.inputs[1]);
    Some((
        "log |det A| from the factors",
        b.determinant(true, factors, a),
    ))
}

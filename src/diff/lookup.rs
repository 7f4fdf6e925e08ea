//! Adjoints of lookups at computed positions, and of convolutions: each undoes another of its kind.

use super::whole;
use crate::bound::{Builder, Convolution, Id, Lookup, Node};

/// One contribution an input; positions, and what only decides about an order, take none.
pub fn lookup(b: &mut Builder, op: &Lookup, node: &Node, g: Id) -> Vec<Option<Id>> {
    let mut contributions = vec![None; node.inputs.len()];
    match (op, node.inputs.as_slice()) {
        (Lookup::Gather, &[x, positions]) => {
            let shape = b.shape(x).to_vec();
            let g = whole(b, g, &node.shape);
            contributions[0] = Some(b.scatter_add_at(g, positions, shape));
        }
        (Lookup::ScatterAdd, &[_, positions]) => {
            let g = whole(b, g, &node.shape);
            contributions[0] = Some(b.gather_at(g, positions));
        }
        _ => {}
    }
    contributions
}

/// Contributions to both vectors.
pub fn convolve(b: &mut Builder, convolution: Convolution, node: &Node, g: Id) -> Vec<Option<Id>> {
    let g = whole(b, g, &node.shape);
    let (x, w) = (node.inputs[0], node.inputs[1]);
    let (dx, dw) = match convolution {
        // y[i + j] = x[i] w[j]: dx[i] = g[i + j] w[j], dw[j] = g[i + j] x[i]
        Convolution::Full => (
            b.convolve(Convolution::Correlation, g, w),
            b.convolve(Convolution::Correlation, g, x),
        ),
        // y[i] = x[i + j] w[j]: dx[i + j] = g[i] w[j], dw[j] = x[i + j] g[i]
        Convolution::Correlation => (
            b.convolve(Convolution::Full, g, w),
            b.convolve(Convolution::Correlation, x, g),
        ),
    };
    vec![Some(dx), Some(dw)]
}

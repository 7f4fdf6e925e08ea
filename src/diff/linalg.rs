//! Adjoints of linear algebra.
//!
//! Giles (2008), An extended collection of matrix derivative results for forward and reverse mode algorithmic
//! differentiation; Murray (2016) for the Cholesky factor; Walter & Lehmann (2012), Algorithmic differentiation of
//! linear algebra functions with application in optimum experimental design, for QR.

use super::whole;
use crate::bound::{Builder, Id, Linalg, Node, Op, Routine};
use crate::graph::DType;
use crate::kernels::linalg::triangular::Triangular;
use crate::scalar::ScalarFn;
use crate::tensor::{contiguous_strides, size_of};

/// One contribution an input of a node `id` with adjoint `g`.
pub fn contributions(
    b: &mut Builder,
    id: Id,
    node: &Node,
    linalg: &Linalg,
    g: Id,
) -> Vec<Option<Id>> {
    let inputs = &node.inputs;
    let g = whole(b, g, &node.shape);
    match linalg.routine {
        Routine::Cholesky { packed } => vec![Some(b.cholesky_adjoint(id, packed, g))],
        Routine::SolveTriangular(system) => {
            let t = inputs[0];
            let back = Triangular {
                transposed: !system.transposed,
                ..system
            };
            let b_bar = b.solve_triangular(back, t, g);
            let t_bar = system_adjoint(b, system.transposed, b_bar, id);
            // The adjoint of a Cholesky factor is read in its triangle alone.
            let source = match b.node(t).op {
                Op::Reshape => b.node(t).inputs[0],
                _ => t,
            };
            let cholesky = |op: &Op| matches!(op, Op::Linalg(of) if matches!(of.routine, Routine::Cholesky { .. }));
            let t_bar = match system.lower && !system.unit && cholesky(&b.node(source).op) {
                true => t_bar,
                false => b.masked(t_bar, |i, j| match i == j {
                    true => !system.unit,
                    false => (j < i) == system.lower,
                }),
            };
            vec![Some(t_bar), Some(b_bar)]
        }
        Routine::LuSolve { transposed } => {
            let (factors, a) = (inputs[0], inputs[1]);
            let b_bar = b.lu_solve(!transposed, factors, a, g);
            let a_bar = system_adjoint(b, transposed, b_bar, id);
            vec![None, Some(a_bar), Some(b_bar)]
        }
        Routine::CholeskySolve => {
            let b_bar = b.cholesky_solve(inputs[0], inputs[1], g);
            let a_bar = system_adjoint(b, false, b_bar, id);
            vec![None, Some(a_bar), Some(b_bar)]
        }
        Routine::Det | Routine::LogAbsDet => {
            // d det A = det A tr(A^-1 dA)
            let (factors, a) = (inputs[0], inputs[1]);
            let inverse = b.inverse(true, factors, a);
            let scale = match linalg.routine {
                Routine::Det => b.scale(g, id),
                _ => g,
            };
            let shape = [b.shape(scale), &[1, 1]].concat();
            let scale = b.reshape(scale, &shape);
            vec![None, Some(b.scale(scale, inverse))]
        }
        Routine::Eigh => vec![Some(eigh(b, id, node, g))],
        Routine::Qr => vec![Some(qr(b, id, node, g))],
        // Adjoints are not differentiated again, and factors are read by nodes that name their matrix.
        Routine::CholeskyAdjoint(_) | Routine::Lu => vec![None; inputs.len()],
    }
}

/// Adjoint of A where X solves A X = B, or A' X = B: -(adjoint of B) X', or its transpose.
fn system_adjoint(b: &mut Builder, transposed: bool, b_bar: Id, x: Id) -> Id {
    let product = match transposed {
        false => b.matmul(b_bar, x, [false, true]),
        true => b.matmul(x, b_bar, [false, true]),
    };
    b.neg(product)
}

/// V (diag(g_w) + F * V' g_V) V' in the lower triangle, which stands for both; F_ij = 1 / (w_j - w_i), and 0 where the
/// two are equal: there the eigenvectors are arbitrary, and what depends on them smoothly does not change.
fn eigh(b: &mut Builder, id: Id, node: &Node, g: Id) -> Id {
    let shape = b.shape(node.inputs[0]).to_vec();
    let (lead, n) = (&shape[..shape.len() - 2], shape[shape.len() - 1]);
    let (row, column) = ([lead, &[1, n]].concat(), [lead, &[n, 1]].concat());
    let part = |b: &mut Builder, packed, offset, shape: &[usize]| {
        b.part(packed, offset, shape.to_vec(), DType::Float64)
    };
    let vectors = size_of(&row);
    let (v, g_v) = (part(b, id, vectors, &shape), part(b, g, vectors, &shape));
    let (w_i, w_j) = (part(b, id, 0, &column), part(b, id, 0, &row));
    let g_w = part(b, g, 0, &row);
    let difference = b.sub(w_j, w_i);
    let zero = b.number(0.0);
    let equal = b.map(ScalarFn::Eq, &[difference, zero]);
    let inner = b.matmul(v, g_v, [true, false]);
    let inner = b.quotient(inner, difference);
    let inner = b.select(equal, zero, inner);
    let off_diagonal = b.masked(inner, |i, j| i != j);
    let on_diagonal = b.broadcast(g_w, &shape);
    let on_diagonal = b.masked(on_diagonal, |i, j| i == j);
    let inner = b.add(off_diagonal, on_diagonal);
    let product = b.matmul(v, inner, [false, false]);
    let a_bar = b.matmul(product, v, [false, true]);
    // The upper triangle's adjoint is added to the lower one's.
    let mirrored = b.transpose_matrices(a_bar);
    let mirrored = b.masked(mirrored, |i, j| j < i);
    let lower = b.masked(a_bar, |i, j| j <= i);
    b.add(lower, mirrored)
}

/// (g_Q + Q copyltu(R g_R' - g_Q' Q)) R^-T, where copyltu mirrors the lower triangle; of a wide matrix (X Y), with
/// R = (U V), that is the adjoint of X for g_Q + Y g_V', and the adjoint of Y is Q g_V.
fn qr(b: &mut Builder, id: Id, node: &Node, g: Id) -> Id {
    let shape = b.shape(node.inputs[0]).to_vec();
    let (lead, rank) = (&shape[..shape.len() - 2], shape.len());
    let (m, n) = (shape[rank - 2], shape[rank - 1]);
    let k = m.min(n);
    let (q_shape, r_shape) = ([lead, &[m, k]].concat(), [lead, &[k, n]].concat());
    let split = size_of(&q_shape);
    let parts = |b: &mut Builder, packed: Id| {
        let q = b.part(packed, 0, q_shape.clone(), DType::Float64);
        (q, b.part(packed, split, r_shape.clone(), DType::Float64))
    };
    let ((q, r), (mut g_q, g_r)) = (parts(b, id), parts(b, g));
    let (u, g_u, g_v) = (
        columns(b, r, 0, k),
        columns(b, g_r, 0, k),
        columns(b, g_r, k, n),
    );
    if n > m {
        let y = columns(b, node.inputs[0], k, n);
        let more = b.matmul(y, g_v, [false, true]);
        g_q = b.add(g_q, more);
    }
    let (of_r, of_q) = (
        b.matmul(u, g_u, [false, true]),
        b.matmul(g_q, q, [true, false]),
    );
    let inner = b.sub(of_r, of_q);
    let mirrored = b.transpose_matrices(inner);
    let mirrored = b.masked(mirrored, |i, j| j > i);
    let inner = b.masked(inner, |i, j| j <= i);
    let inner = b.add(inner, mirrored);
    let more = b.matmul(q, inner, [false, false]);
    let right = b.add(g_q, more);
    let right = b.transpose_matrices(right);
    let upper = Triangular {
        lower: false,
        transposed: false,
        unit: false,
    };
    let x_bar = b.solve_triangular(upper, u, right);
    let x_bar = b.transpose_matrices(x_bar);
    if n <= m {
        return x_bar;
    }
    let y_bar = b.matmul(q, g_v, [false, false]);
    b.concat(&[x_bar, y_bar], rank - 1)
}

/// Columns `from..to` of the matrices of a stack.
fn columns(b: &mut Builder, a: Id, from: usize, to: usize) -> Id {
    let mut shape = b.shape(a).to_vec();
    let strides = contiguous_strides(&shape);
    *shape.last_mut().expect("a matrix has two axes") = to - from;
    b.view(a, from, strides, shape)
}

#[cfg(test)]
mod tests;

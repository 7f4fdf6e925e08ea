//! Dense linear algebra on stacks of small matrices: factorisations, solves, their adjoints.
//!
//! Matrices are row-major; each routine takes a batch of them, one after the other, and the scratch memory that its
//! `..._scratch` asks for: nothing here allocates. A matrix that cannot be factorised gives NaN. Every routine runs on
//! any instruction set with the same bits: a sum has one order, whatever the width of the registers.

// Plain loops over constants are what the compiler unrolls, so that tiles stay in registers.
#![allow(clippy::needless_range_loop)]

pub mod cholesky;
pub mod cholesky_adjoint;
pub mod directions;
pub mod eigh;
pub mod lower;
pub mod lu;
pub mod panels;
pub mod product;
pub mod qr;
pub mod tall;
mod tile;
pub mod triangular;

use super::simd::LANES;
use crate::bound::{Linalg, Routine};
use cholesky_adjoint::Parts;

/// Rows that are worked on together: a square of so many elements is one chunk wide.
const BLOCK: usize = LANES;

/// Elements of a scratch matrix of whole chunks a row.
const fn padded_matrix(rows: usize, columns: usize) -> usize {
    rows * columns.next_multiple_of(LANES)
}

/// Elements of scratch memory that an op needs.
pub fn scratch(op: &Linalg) -> usize {
    let sizes @ [_, n, columns] = op.sizes;
    match op.routine {
        Routine::Cholesky { .. } => cholesky::factor_scratch(n),
        Routine::CholeskyAdjoint(parts) => cholesky_adjoint::adjoint_scratch(n, parts.columns),
        Routine::SolveTriangular(_) => triangular::solve_scratch(n, columns),
        Routine::LuSolve { .. } => lu::solve_scratch(n, columns),
        Routine::CholeskySolve => cholesky::solve_scratch(sizes),
        Routine::Eigh => eigh::decompose_scratch(n),
        Routine::Qr => qr::factor_scratch(n, columns),
        Routine::Lu | Routine::Det | Routine::LogAbsDet => 0,
    }
}

/// Carries out an op; `input(k)` are the elements of its inputs.
pub fn run<'a>(
    op: &Linalg,
    input: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    let sizes @ [batch, n, columns] = op.sizes;
    let square = [batch, n];
    match op.routine {
        Routine::Cholesky { packed: false } => cholesky::factor(square, input(0), out, scratch),
        Routine::Cholesky { packed: true } => {
            cholesky::factor_packed(square, input(0), out, scratch);
        }
        Routine::CholeskyAdjoint(adjoint) => {
            let mut inputs = (1..).map(&input);
            let mut next = |is_there: bool| if is_there { inputs.next() } else { None };
            let parts = Parts {
                dense: next(adjoint.dense),
                outer: next(adjoint.columns > 0).zip(next(adjoint.columns > 0)),
                diagonal: next(adjoint.diagonal),
            };
            let l = input(0);
            cholesky_adjoint::adjoint(square, adjoint.packed, l, parts, out, scratch);
        }
        Routine::SolveTriangular(system) => {
            triangular::solve(system, sizes, input(0), input(1), out, scratch);
        }
        Routine::Lu => lu::factor(square, input(0), out),
        Routine::LuSolve { transposed } => {
            lu::solve(transposed, sizes, input(0), input(2), out, scratch);
        }
        Routine::CholeskySolve => cholesky::solve(sizes, input(0), input(2), out, scratch),
        Routine::Det => lu::determinant(n, input(0), out),
        Routine::LogAbsDet => lu::log_determinant(n, input(0), out),
        Routine::Eigh => {
            let (values, vectors) = out.split_at_mut(batch * n);
            eigh::decompose(square, input(0), values, vectors, scratch);
        }
        Routine::Qr => {
            let (q, r) = out.split_at_mut(batch * n * n.min(columns));
            qr::factor(sizes, input(0), q, r, scratch);
        }
    }
}

#[cfg(test)]
mod tests;

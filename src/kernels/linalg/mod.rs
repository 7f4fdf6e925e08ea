//! Dense linear algebra on stacks of small matrices: factorisations, solves, their adjoints.
//!
//! Matrices are row-major; each routine takes a batch of them, one after the other, and the scratch memory that its
//! `..._scratch` asks for: nothing here allocates. A matrix that cannot be factorised gives NaN. Every routine runs on
//! any instruction set with the same bits: a sum has one order, whatever the width of the registers.

pub mod cholesky;
pub mod eigh;
pub mod lu;
pub mod qr;
mod tile;
pub mod triangular;

use super::simd::LANES;

/// Rows that are worked on together: a square of so many elements is one chunk wide.
const BLOCK: usize = LANES;

/// Elements of a scratch matrix of whole chunks a row.
const fn padded_matrix(rows: usize, columns: usize) -> usize {
    rows * columns.next_multiple_of(LANES)
}

/// Copies the triangle at and below the diagonal; zeros above.
fn copy_lower(n: usize, from: &[f64], to: &mut [f64]) {
    for i in 0..n {
        let row = i * n..(i + 1) * n;
        let (from, to) = (&from[row.clone()], &mut to[row]);
        to[..=i].copy_from_slice(&from[..=i]);
        to[i + 1..].fill(0.0);
    }
}

#[cfg(test)]
mod tests;

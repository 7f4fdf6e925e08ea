//! Linear algebra in the bound graph: factorisations, solutions, determinants, on stacks of matrices.
//!
//! A factorisation is a node of its own, so that nothing is factorised twice. What is computed from one (a solution, a
//! determinant) reads the factors and names the matrix as well: its adjoint flows to the matrix.

use super::{Builder, Id, Node, Op};
use crate::graph::DType;
use crate::kernels::linalg::lu::packed_size;
use crate::kernels::linalg::triangular::Triangular;
use crate::rewrite::triangle;
use crate::tensor::{Tensor, contiguous_strides, size_of};

/// A routine with the sizes of its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Linalg {
    /// What is computed.
    pub routine: Routine,
    /// Number of matrices, their rows, and columns: of the right-hand side where there is one.
    pub sizes: [usize; 3],
}

/// A routine of [`crate::kernels::linalg`]; in brackets its inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Routine {
    /// L with L L' = A, from the lower triangle of A [A]; NaN where A is not positive definite.
    Cholesky {
        /// Whether the triangle is given alone, as [`crate::kernels::linalg::panels::packed_size`] says.
        packed: bool,
    },
    /// Adjoint of the lower triangle of A [L, then the parts of its adjoint].
    CholeskyAdjoint(LowerAdjoint),
    /// X with T X = B [T, B].
    SolveTriangular(Triangular),
    /// LU factors, a vector [A].
    Lu,
    /// X with A X = B, or A' X = B [factors, A, B].
    LuSolve {
        /// Whether A is transposed.
        transposed: bool,
    },
    /// X with A X = B from the Cholesky factor of A [L, A, B].
    CholeskySolve,
    /// Determinant [factors, A].
    Det,
    /// Logarithm of the absolute determinant [factors, A].
    LogAbsDet,
    /// Eigenvalues, then eigenvectors, in one vector, from the lower triangle of A [A].
    Eigh,
    /// Q, then R, in one vector [A].
    Qr,
}

/// What the adjoint of a lower triangular matrix is the sum of, in the order of a node's inputs, and how that of A is
/// wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LowerAdjoint {
    /// Whether the triangle of A is packed.
    pub packed: bool,
    /// Whether there is a matrix, of which the lower triangle counts.
    pub dense: bool,
    /// Columns of two matrices P and Q, for P Q'; none if there are none.
    pub columns: usize,
    /// Whether there is a diagonal.
    pub diagonal: bool,
}

impl Builder {
    /// (number of matrices, rows, columns) of a stack.
    fn matrices(&self, id: Id) -> [usize; 3] {
        let shape = self.shape(id);
        let [lead @ .., rows, columns] = shape else {
            unreachable!("a stack of matrices has two axes at least")
        };
        [size_of(lead), *rows, *columns]
    }

    fn linalg(
        &mut self,
        routine: Routine,
        sizes: [usize; 3],
        inputs: &[Id],
        shape: Vec<usize>,
    ) -> Id {
        let op = Op::Linalg(Linalg { routine, sizes });
        self.push(op, inputs.to_vec(), shape, DType::Float64)
    }

    /// The last two axes swapped.
    pub fn transpose_matrices(&mut self, id: Id) -> Id {
        let rank = self.shape(id).len();
        let mut order: Vec<usize> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        self.transpose(id, &order)
    }

    /// The stack of square matrices of which a node is the transposed one, if it is.
    pub fn transposed_source(&mut self, id: Id) -> Option<Id> {
        let Node {
            op, inputs, shape, ..
        } = self.node(id);
        let Op::View { offset: 0, strides } = op else {
            return None;
        };
        let (source, shape) = (inputs[0], shape.clone());
        let mut wanted = contiguous_strides(&shape);
        let rank = shape.len();
        wanted.swap(rank - 2, rank - 1);
        let same = strides
            .iter()
            .zip(&wanted)
            .zip(&shape)
            .all(|((a, b), &n)| n == 1 || a == b);
        (same && shape[rank - 1] == shape[rank - 2] && self.size(source) == size_of(&shape))
            .then(|| self.reshape(source, &shape))
    }

    /// The lower Cholesky factors of a stack, read from lower triangles.
    pub fn cholesky(&mut self, a: Id) -> Id {
        let (sizes, shape) = (self.matrices(a), self.shape(a).to_vec());
        self.linalg(Routine::Cholesky { packed: false }, sizes, &[a], shape)
    }

    /// As [`Builder::cholesky`], of matrices that nothing else needs: where they are elementwise functions of data and
    /// scalars, only their lower triangles are computed.
    pub fn cholesky_alone(&mut self, a: Id) -> Id {
        let (sizes, shape) = (self.matrices(a), self.shape(a).to_vec());
        let half = |b: &mut Builder| {
            let packed = triangle::pack(b, a)?;
            let routine = Routine::Cholesky { packed: true };
            let l = b.linalg(routine, sizes, &[packed], shape);
            Some(("half of a matrix for its Cholesky factor", l))
        };
        self.rewritten(half).unwrap_or_else(|| self.cholesky(a))
    }

    /// The adjoint of a stack, or of its packed triangles, in lower triangles, from its Cholesky factors and their
    /// adjoint.
    pub fn cholesky_adjoint(&mut self, l: Id, packed: bool, adjoint: Id) -> Id {
        let shape = self.shape(self.node(l).inputs[0]).to_vec();
        let sizes = self.matrices(l);
        let split = |b: &mut Builder| {
            let parts = triangle::parts(b, sizes, adjoint)?;
            let kinds = LowerAdjoint {
                packed,
                dense: parts.dense.is_some(),
                columns: parts.columns,
                diagonal: parts.diagonal.is_some(),
            };
            let outer = parts.outer.into_iter().flatten();
            let inputs = [l].into_iter().chain(parts.dense).chain(outer);
            let inputs: Vec<Id> = inputs.chain(parts.diagonal).collect();
            let routine = Routine::CholeskyAdjoint(kinds);
            let id = b.linalg(routine, sizes, &inputs, shape.clone());
            Some(("an adjoint by its outer product and diagonal", id))
        };
        if let Some(id) = self.rewritten(split) {
            return id;
        }
        let kinds = LowerAdjoint {
            packed,
            dense: true,
            columns: 0,
            diagonal: false,
        };
        let routine = Routine::CholeskyAdjoint(kinds);
        self.linalg(routine, sizes, &[l, adjoint], shape)
    }

    /// Solutions of triangular systems, two stacks with equal batch axes.
    pub fn solve_triangular(&mut self, system: Triangular, t: Id, b: Id) -> Id {
        let (sizes, shape) = (self.matrices(b), self.shape(b).to_vec());
        self.linalg(Routine::SolveTriangular(system), sizes, &[t, b], shape)
    }

    /// The LU factors of a stack of square matrices: (number of matrices, elements of one's factors).
    pub fn lu(&mut self, a: Id) -> Id {
        let sizes = self.matrices(a);
        let shape = vec![sizes[0], packed_size(sizes[1])];
        self.linalg(Routine::Lu, sizes, &[a], shape)
    }

    /// Solutions of systems with factorised matrices, two stacks with equal batch axes.
    pub fn lu_solve(&mut self, transposed: bool, factors: Id, a: Id, b: Id) -> Id {
        let (sizes, shape) = (self.matrices(b), self.shape(b).to_vec());
        self.linalg(
            Routine::LuSolve { transposed },
            sizes,
            &[factors, a, b],
            shape,
        )
    }

    /// Solutions of systems with positive definite matrices, given their Cholesky factors.
    pub fn cholesky_solve(&mut self, l: Id, a: Id, b: Id) -> Id {
        let (sizes, shape) = (self.matrices(b), self.shape(b).to_vec());
        self.linalg(Routine::CholeskySolve, sizes, &[l, a, b], shape)
    }

    /// Inverses of a stack of factorised matrices.
    pub fn inverse(&mut self, transposed: bool, factors: Id, a: Id) -> Id {
        let (shape, n) = (self.shape(a).to_vec(), self.matrices(a)[1]);
        let mut identity = vec![0.0; n * n];
        (0..n).for_each(|i| identity[i * n + i] = 1.0);
        let identity = self.constant(Tensor::new(vec![n, n], &identity));
        let identity = self.broadcast(identity, &shape);
        self.lu_solve(transposed, factors, a, identity)
    }

    /// Determinants of a stack of factorised matrices, or the logarithms of their absolute values.
    pub fn determinant(&mut self, log: bool, factors: Id, a: Id) -> Id {
        let sizes = self.matrices(a);
        let shape = self.shape(a)[..self.shape(a).len() - 2].to_vec();
        let routine = if log {
            Routine::LogAbsDet
        } else {
            Routine::Det
        };
        self.linalg(routine, sizes, &[factors, a], shape)
    }

    /// Eigenvalues and eigenvectors of a stack, read from lower triangles, as one vector.
    pub fn eigh(&mut self, a: Id) -> Id {
        let sizes @ [batch, n, _] = self.matrices(a);
        self.linalg(Routine::Eigh, sizes, &[a], vec![batch * (n + n * n)])
    }

    /// Q and R of a stack, as one vector.
    pub fn qr(&mut self, a: Id) -> Id {
        let sizes @ [batch, m, n] = self.matrices(a);
        let k = m.min(n);
        self.linalg(Routine::Qr, sizes, &[a], vec![batch * (m * k + k * n)])
    }

    /// Zero where `keeps(row, column)` is false in the matrices of a stack.
    pub fn masked(&mut self, a: Id, keeps: impl Fn(usize, usize) -> bool) -> Id {
        let [_, rows, columns] = self.matrices(a);
        let mask =
            (0..rows * columns).map(|p| f64::from(u8::from(keeps(p / columns, p % columns))));
        let mask: Vec<f64> = mask.collect();
        if mask.iter().all(|&keep| keep == 1.0) {
            return a;
        }
        let mask = self.typed_constant(Tensor::new(vec![rows, columns], &mask), DType::Bool);
        let zero = self.number(0.0);
        self.select(mask, a, zero)
    }
}

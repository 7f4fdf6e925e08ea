//! Lowers linear algebra: orients triangles, broadcasts stacks of matrices, names the results of factorisations.

use super::{Binder, fail};
use crate::bound::{BindError, Builder, Id};
use crate::graph::{Assumption, DType, NodeId, Op};
use crate::kernels::linalg::triangular::Triangular;
use crate::tensor::{Tensor, broadcast_shapes, size_of};

impl Binder<'_> {
    /// The bound node of a template node of linear algebra.
    pub(super) fn linalg(&mut self, id: NodeId, op: &Op, inputs: &[Id]) -> Result<Id, BindError> {
        let a = inputs[0];
        if !matches!(op, Op::Qr | Op::BlockDiagonal) {
            self.check_square(a)?;
        }
        Ok(match op {
            Op::Cholesky { lower } => {
                let a = self.lower_triangle(a, *lower);
                let l = self.b.cholesky_alone(a);
                self.lower_triangle(l, *lower)
            }
            Op::SolveTriangular {
                lower,
                unit,
                b_ndim,
            } => {
                let (t, transposed) = match self.b.transposed_source(a) {
                    Some(source) => (source, true),
                    None => (a, false),
                };
                let system = Triangular {
                    lower: *lower != transposed,
                    transposed,
                    unit: *unit,
                };
                self.solve(t, inputs[1], *b_ndim, |b, t, rhs| {
                    b.solve_triangular(system, t, rhs)
                })?
            }
            Op::Solve {
                assume,
                lower,
                b_ndim,
            } => {
                let lower = *lower;
                let read = move |b: &mut Builder, a: Id| match assume {
                    Assumption::General => a,
                    Assumption::Tridiagonal => b.masked(a, |i, j| i.abs_diff(j) <= 1),
                    Assumption::Symmetric | Assumption::PositiveDefinite => {
                        let mirrored = b.transpose_matrices(a);
                        let mirrored = b.masked(mirrored, |i, j| i != j && (j < i) != lower);
                        let read = b.masked(a, |i, j| i == j || (j < i) == lower);
                        b.add(read, mirrored)
                    }
                };
                // The adjoint flows to the matrix as it was given, as in PyTensor.
                let solver = move |b: &mut Builder, a: Id, rhs: Id| {
                    let read = read(b, a);
                    if *assume == Assumption::PositiveDefinite {
                        let l = b.cholesky(read);
                        return b.cholesky_solve(l, a, rhs);
                    }
                    let factors = b.lu(read);
                    b.lu_solve(false, factors, a, rhs)
                };
                self.solve(a, inputs[1], *b_ndim, solver)?
            }
            Op::Det | Op::LogAbsDet => {
                let factors = self.b.lu(a);
                self.b.determinant(*op == Op::LogAbsDet, factors, a)
            }
            Op::Inverse => {
                let factors = self.b.lu(a);
                self.b.inverse(false, factors, a)
            }
            Op::Eigh { lower } => {
                let a = self.lower_triangle(a, *lower);
                let packed = self.b.eigh(a);
                let shape = self.b.shape(a).to_vec();
                let values = shape[..shape.len() - 1].to_vec();
                let results = vec![(values, DType::Float64), (shape, DType::Float64)];
                self.unpack(id, packed, results)
            }
            Op::Qr => {
                let packed = self.b.qr(a);
                let shape = self.b.shape(a).to_vec();
                let [lead @ .., m, n] = shape.as_slice() else {
                    unreachable!("the graph checked the rank")
                };
                let k = *m.min(n);
                let (q, r) = ([lead, &[*m, k]].concat(), [lead, &[k, *n]].concat());
                self.unpack(id, packed, vec![(q, DType::Float64), (r, DType::Float64)])
            }
            Op::BlockDiagonal => self.block_diagonal(inputs)?,
            _ => unreachable!("ops of other families are lowered elsewhere"),
        })
    }

    fn check_square(&self, a: Id) -> Result<(), BindError> {
        match self.b.shape(a) {
            [.., rows, columns] if rows == columns => Ok(()),
            shape => fail(format!(
                "a square matrix is needed, but the shape is {shape:?}"
            )),
        }
    }

    /// The matrices whose lower triangles are the given triangles of `a`.
    fn lower_triangle(&mut self, a: Id, lower: bool) -> Id {
        match lower {
            true => a,
            false => self.b.transpose_matrices(a),
        }
    }

    /// Solutions of systems with the matrices `a` and the right-hand sides `rhs`, vectors or matrices as `ndim` says.
    ///
    /// All right-hand sides of one matrix are columns of one system.
    fn solve(
        &mut self,
        a: Id,
        rhs: Id,
        ndim: usize,
        solver: impl Fn(&mut Builder, Id, Id) -> Id,
    ) -> Result<Id, BindError> {
        let (sa, sb) = (self.b.shape(a).to_vec(), self.b.shape(rhs).to_vec());
        let ((lead_a, core_a), (lead_b, core_b)) =
            (sa.split_at(sa.len() - 2), sb.split_at(sb.len() - ndim));
        let Some(lead) = broadcast_shapes(lead_a, lead_b).filter(|_| core_a[0] == core_b[0]) else {
            return fail(format!(
                "a system with a matrix of shape {sa:?} and a right-hand side of shape {sb:?} cannot be solved"
            ));
        };
        let (n, columns) = (core_a[0], size_of(&core_b[1..]));
        let shape = [&lead, core_b].concat();
        if size_of(&shape) == 0 {
            return Ok(self.b.constant(Tensor::new(shape, &[])));
        }
        let stack = |lead: &[usize]| [lead, &[n, columns]].concat();
        let rhs = self.b.reshape(rhs, &stack(lead_b));
        let x = if size_of(lead_a) == 1 && size_of(lead_b) > 1 {
            let rank = lead_b.len();
            let forth: Vec<usize> = [rank]
                .into_iter()
                .chain(0..rank)
                .chain([rank + 1])
                .collect();
            let back: Vec<usize> = (1..=rank).chain([0, rank + 1]).collect();
            let a = self.b.reshape(a, &[n, n]);
            let rhs = self.b.transpose(rhs, &forth);
            let apart = self.b.shape(rhs).to_vec();
            let rhs = self.b.reshape(rhs, &[n, size_of(&apart[1..])]);
            let x = solver(&mut self.b, a, rhs);
            let x = self.b.reshape(x, &apart);
            self.b.transpose(x, &back)
        } else {
            let a = self.b.broadcast(a, &[&lead, core_a].concat());
            let rhs = self.b.broadcast(rhs, &stack(&lead));
            solver(&mut self.b, a, rhs)
        };
        Ok(self.b.reshape(x, &shape))
    }

    /// Matrices along the diagonal of one.
    fn block_diagonal(&mut self, blocks: &[Id]) -> Result<Id, BindError> {
        let mut lead = vec![];
        let (mut rows, mut columns) = (0, 0);
        for &block in blocks {
            let [batch @ .., m, n] = self.b.shape(block) else {
                unreachable!("the graph checked the rank")
            };
            (rows, columns) = (rows + m, columns + n);
            lead = broadcast_shapes(&lead, batch).ok_or_else(|| {
                BindError::Misfit(
                    "stacks of blocks do not broadcast in a block diagonal matrix".into(),
                )
            })?;
        }
        let shape = [lead.as_slice(), &[rows, columns]].concat();
        if size_of(&shape) == 0 {
            return Ok(self.b.constant(Tensor::new(shape, &[])));
        }
        let (axis, mut bands, mut left) = (lead.len(), vec![], 0);
        for &block in blocks {
            let [.., m, n] = *self.b.shape(block) else {
                unreachable!("the graph checked the rank")
            };
            let mut band = vec![];
            for (width, part) in [(left, None), (n, Some(block)), (columns - left - n, None)] {
                let shape = [lead.as_slice(), &[m, width]].concat();
                if size_of(&shape) > 0 {
                    let part = part.unwrap_or_else(|| self.b.number(0.0));
                    band.push(self.b.broadcast(part, &shape));
                }
            }
            if !band.is_empty() {
                bands.push(self.b.concat(&band, axis + 1));
            }
            left += n;
        }
        Ok(self.b.concat(&bands, axis))
    }

    /// Products of stacks of matrices; a stack times one matrix is a product of two matrices.
    pub(super) fn matmul(&mut self, x: Id, y: Id) -> Result<Id, BindError> {
        let (sx, sy) = (self.b.shape(x).to_vec(), self.b.shape(y).to_vec());
        let ((lead_x, core_x), (lead_y, core_y)) =
            (sx.split_at(sx.len() - 2), sy.split_at(sy.len() - 2));
        if core_x[1] != core_y[0] {
            return fail(format!(
                "matrices of shapes {sx:?} and {sy:?} cannot be multiplied"
            ));
        }
        let Some(lead) = broadcast_shapes(lead_x, lead_y) else {
            return fail(format!(
                "stacks of matrices of shapes {sx:?} and {sy:?} do not broadcast"
            ));
        };
        let [m, k, n] = [core_x[0], core_x[1], core_y[1]];
        let shape = [lead.as_slice(), &[m, n]].concat();
        let many = |lead: &[usize]| size_of(lead) > 1;
        let product = if many(lead_x) && !many(lead_y) {
            let x = self.b.reshape(x, &[size_of(lead_x) * m, k]);
            let y = self.b.reshape(y, &[k, n]);
            self.b.matmul(x, y, [false, false])
        } else if many(lead_y) && !many(lead_x) && n == 1 {
            // The vectors are rows of a matrix.
            let x = self.b.reshape(x, &[m, k]);
            let y = self.b.reshape(y, &[size_of(lead_y), k]);
            self.b.matmul(y, x, [false, true])
        } else {
            let x = self.b.broadcast(x, &[&lead, core_x].concat());
            let y = self.b.broadcast(y, &[&lead, core_y].concat());
            self.b.matmul(x, y, [false, false])
        };
        Ok(self.b.reshape(product, &shape))
    }
}

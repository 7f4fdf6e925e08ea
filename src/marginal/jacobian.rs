//! Derivatives of affine nodes by the variables: sparse matrices whose entries are nodes of the graph.

use super::Variable;
use super::degree::Degrees;
use crate::bind::index::offsets_of;
use crate::bound::{Builder, Id, Linalg, Op, Routine, Running};
use crate::kernels::linalg::triangular::Triangular;
use crate::scalar::ScalarFn::{self, Neg, Sub, Where};
use crate::tensor::{Table, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// Entries of a sparse matrix: element `rows[e]` of an affine node has the derivative `values[e]` by element
/// `columns[e]` of the variables; a single value stands for all.
#[derive(Clone)]
pub struct Entries {
    pub rows: Vec<u32>,
    pub columns: Vec<u32>,
    pub values: Id,
}

/// Entries that derivatives may have together.
const MOST_ENTRIES: usize = 1 << 21;

/// Derivatives of affine nodes, each worked out once.
pub struct Jacobians<'a> {
    variables: &'a [Variable],
    degrees: &'a Degrees,
    known: HashMap<Id, Arc<Vec<Entries>>>,
    room: usize,
}

/// The elements at some positions of a vector, or the single element that stands for all.
pub fn pick(b: &mut Builder, values: Id, positions: Vec<u32>) -> Id {
    if let Some(scalar) = b.scalar_of(values) {
        return scalar;
    }
    let n = b.size(values);
    let values = b.reshape(values, &[n]);
    if positions.len() == n && positions.iter().enumerate().all(|(i, &p)| i as u32 == p) {
        return values;
    }
    let shape = vec![positions.len()];
    b.gather(values, Arc::new(Table::new(positions)), shape)
}

impl<'a> Jacobians<'a> {
    /// None known yet; `variables` stand side by side in the columns.
    pub fn new(variables: &'a [Variable], degrees: &'a Degrees) -> Jacobians<'a> {
        Jacobians {
            variables,
            degrees,
            known: HashMap::new(),
            room: MOST_ENTRIES,
        }
    }

    /// The derivatives of an affine node; none if there are too many.
    pub fn of(&mut self, b: &mut Builder, root: Id) -> Option<Arc<Vec<Entries>>> {
        // Inputs before users, without recursion, which long chains would overflow.
        let mut open = vec![root];
        while let Some(&id) = open.last() {
            if self.known.contains_key(&id) {
                open.pop();
                continue;
            }
            let inputs = b.node(id).inputs.clone();
            let unknown = inputs
                .into_iter()
                .filter(|input| self.degrees.of(*input) > 0 && !self.known.contains_key(input));
            let unknown: Vec<Id> = unknown.collect();
            if !unknown.is_empty() {
                open.extend(unknown);
                continue;
            }
            let entries = self.node(b, id)?;
            let count: usize = entries.iter().map(|entries| entries.rows.len()).sum();
            self.room = self.room.checked_sub(count)?;
            self.known.insert(id, Arc::new(entries));
            open.pop();
        }
        self.known.get(&root).cloned()
    }

    fn depends(&self, id: Id) -> bool {
        self.degrees.of(id) > 0
    }

    /// The derivatives of a node whose inputs are done.
    fn node(&mut self, b: &mut Builder, id: Id) -> Option<Vec<Entries>> {
        let node = b.node(id).clone();
        let (inputs, n) = (&node.inputs, node.size());
        if let Some(variable) = self.variables.iter().find(|variable| variable.id == id) {
            return Some(vec![Entries {
                rows: (0..n as u32).collect(),
                columns: (variable.first as u32..(variable.first + n) as u32).collect(),
                values: b.number(1.0),
            }]);
        }
        let of = |id: Id| self.known.get(&id).cloned().unwrap_or_default();
        let mapped = |entries: &[Entries], row: &dyn Fn(u32) -> u32| -> Vec<Entries> {
            let map = |part: &Entries| Entries {
                rows: part.rows.iter().map(|&r| row(r)).collect(),
                ..part.clone()
            };
            entries.iter().map(map).collect()
        };
        Some(match &node.op {
            Op::Map(function) => self.map(b, *function, inputs, n)?,
            Op::Reshape => of(inputs[0]).to_vec(),
            Op::View { offset, strides } => {
                let from = offsets_of(&node.shape, strides);
                let from: Vec<u32> = from.iter().map(|o| (*offset as isize + o) as u32).collect();
                self.gathered(b, &of(inputs[0]), &from)?
            }
            Op::Gather(table) => self.gathered(b, &of(inputs[0]), table)?,
            Op::ScatterAdd(table) => {
                let entries = self.spread(b, inputs[0], table.len())?;
                mapped(&entries, &|row| table[row as usize])
            }
            Op::Reduce(_, [_, length, inner]) => {
                let (length, inner) = (*length as u32, *inner as u32);
                mapped(&of(inputs[0]), &|row| {
                    row / (length * inner) * inner + row % inner
                })
            }
            Op::Run(Running::Sum, [_, length, inner]) => {
                let (length, inner) = (*length as u32, *inner as u32);
                // An element is in all sums from its own on.
                let after = |row: u32| {
                    let step = row / inner % length;
                    (step..length).map(move |later| row + (later - step) * inner)
                };
                self.multiplied(b, &of(inputs[0]), None, &|row| {
                    after(row).map(|row| (row, 0)).collect()
                })?
            }
            Op::Concat { outer, parts } => {
                let width: usize = parts.iter().sum();
                let (mut start, mut all) = (0, vec![]);
                for (&input, &part) in inputs.iter().zip(parts) {
                    let entries = self.spread(b, input, outer * part)?;
                    let (part, start_here) = (part as u32, start as u32);
                    all.extend(mapped(&entries, &|row| {
                        row / part * width as u32 + start_here + row % part
                    }));
                    start += part as usize;
                }
                all
            }
            Op::Dot => {
                let (x, y) = self.affine_first(inputs[0], inputs[1]);
                let weighted = weighted(b, &of(x), y);
                mapped(&weighted, &|_| 0)
            }
            Op::MatMul { sizes, transposed } => self.matmul(b, inputs, *sizes, *transposed)?,
            Op::Linalg(op) => self.solution(b, op, inputs)?,
            _ => return None,
        })
    }

    /// The two, the one that depends on variables first.
    fn affine_first(&self, x: Id, y: Id) -> (Id, Id) {
        if self.depends(x) { (x, y) } else { (y, x) }
    }

    /// The derivatives of a node as of one of n elements, over which a single one is spread.
    pub fn spread(&mut self, b: &mut Builder, id: Id, n: usize) -> Option<Vec<Entries>> {
        if !self.depends(id) {
            return Some(vec![]);
        }
        let entries = self.of(b, id)?;
        match b.size(id) == n {
            true => Some(entries.to_vec()),
            false => self.gathered(b, &entries, &vec![0; n]),
        }
    }

    fn map(
        &mut self,
        b: &mut Builder,
        function: ScalarFn,
        inputs: &[Id],
        n: usize,
    ) -> Option<Vec<Entries>> {
        let mut all = vec![];
        match function {
            ScalarFn::Mul | ScalarFn::Scale => {
                let (x, y) = self.affine_first(inputs[0], inputs[1]);
                let entries = self.spread(b, x, n)?;
                all = weighted(b, &entries, y);
            }
            ScalarFn::Div | ScalarFn::Quotient => {
                let entries = self.spread(b, inputs[0], n)?;
                let inverse = b.map(ScalarFn::Reciprocal, &[inputs[1]]);
                all = weighted(b, &entries, inverse);
            }
            Where => {
                let (one, zero) = (b.number(1.0), b.number(0.0));
                for (k, [x, y]) in [(1, [one, zero]), (2, [zero, one])] {
                    let entries = self.spread(b, inputs[k], n)?;
                    let taken = b.select(inputs[0], x, y);
                    all.extend(weighted(b, &entries, taken));
                }
            }
            ScalarFn::Check => all = self.spread(b, inputs[0], n)?,
            _ => {
                for (k, &input) in inputs.iter().enumerate() {
                    let mut entries = self.spread(b, input, n)?;
                    if function == Neg || (function == Sub && k == 1) {
                        entries
                            .iter_mut()
                            .for_each(|part| part.values = b.neg(part.values));
                    }
                    all.extend(entries);
                }
            }
        }
        Some(all)
    }

    /// Derivatives of the elements at positions of a node.
    pub fn gathered(
        &self,
        b: &mut Builder,
        entries: &[Entries],
        from: &[u32],
    ) -> Option<Vec<Entries>> {
        let rows = from.iter().map(|&row| row as usize + 1).max().unwrap_or(0);
        let mut readers = vec![vec![]; rows];
        for (row, &source) in from.iter().enumerate() {
            readers[source as usize].push((row as u32, 0));
        }
        let none = vec![];
        self.multiplied(b, entries, None, &|row| {
            readers.get(row as usize).unwrap_or(&none).clone()
        })
    }

    /// For each entry several, in other rows, times elements of a factor: what `to` gives for its row.
    fn multiplied(
        &self,
        b: &mut Builder,
        entries: &[Entries],
        factor: Option<Id>,
        to: &dyn Fn(u32) -> Vec<(u32, u32)>,
    ) -> Option<Vec<Entries>> {
        let mut all = vec![];
        for part in entries {
            let (mut rows, mut columns, mut sources, mut factors) =
                (vec![], vec![], vec![], vec![]);
            for (source, &row) in part.rows.iter().enumerate() {
                for (row, factor) in to(row) {
                    rows.push(row);
                    columns.push(part.columns[source]);
                    sources.push(source as u32);
                    factors.push(factor);
                }
                if rows.len() > self.room {
                    return None;
                }
            }
            if rows.is_empty() {
                continue;
            }
            // In the order of rows, so that what stands in order needs no table.
            let mut order: Vec<usize> = (0..rows.len()).collect();
            order.sort_by_key(|&e| rows[e]);
            let sorted = |list: &[u32]| -> Vec<u32> { order.iter().map(|&e| list[e]).collect() };
            let mut values = pick(b, part.values, sorted(&sources));
            if let Some(factor) = factor {
                let factor = pick(b, factor, sorted(&factors));
                values = b.mul(values, factor);
            }
            let (rows, columns) = (sorted(&rows), sorted(&columns));
            all.push(Entries {
                rows,
                columns,
                values,
            });
        }
        Some(all)
    }

    fn matmul(
        &mut self,
        b: &mut Builder,
        inputs: &[Id],
        [_, m, k, n]: [usize; 4],
        transposed: [bool; 2],
    ) -> Option<Vec<Entries>> {
        let position = |matrix: usize, rows: usize, columns: usize, at: [usize; 2], flip: bool| {
            let [i, j] = at;
            let within = if flip { j * rows + i } else { i * columns + j };
            (matrix * rows * columns + within) as u32
        };
        let split = |p: usize, rows: usize, columns: usize, flip: bool| {
            let (matrix, within) = (p / (rows * columns), p % (rows * columns));
            match flip {
                true => (matrix, within % rows, within / rows),
                false => (matrix, within / columns, within % columns),
            }
        };
        let [x, y] = [inputs[0], inputs[1]];
        match self.depends(x) {
            true => {
                let entries = self.of(b, x)?;
                self.multiplied(b, &entries, Some(y), &|p| {
                    let (batch, i, l) = split(p as usize, m, k, transposed[0]);
                    let to = |j| {
                        (
                            position(batch, m, n, [i, j], false),
                            position(batch, k, n, [l, j], transposed[1]),
                        )
                    };
                    (0..n).map(to).collect()
                })
            }
            false => {
                let entries = self.of(b, y)?;
                self.multiplied(b, &entries, Some(x), &|p| {
                    let (batch, l, j) = split(p as usize, k, n, transposed[1]);
                    let to = |i| {
                        (
                            position(batch, m, n, [i, j], false),
                            position(batch, m, k, [i, l], transposed[0]),
                        )
                    };
                    (0..m).map(to).collect()
                })
            }
        }
    }

    /// Derivatives of the solution of a linear system by way of the inverse of its matrix.
    fn solution(&mut self, b: &mut Builder, op: &Linalg, inputs: &[Id]) -> Option<Vec<Entries>> {
        let [batch, m, n] = op.sizes;
        let matrix = *inputs.iter().rev().nth(1)?;
        let right = *inputs.last()?;
        let shape = b.shape(matrix).to_vec();
        let mut identity = vec![0.0; m * m];
        (0..m).for_each(|i| identity[i * m + i] = 1.0);
        let identity = b.constant(Tensor::new(vec![m, m], &identity));
        let identity = b.broadcast(identity, &shape);
        let inverse = match op.routine {
            Routine::SolveTriangular(system) => b.solve_triangular(system, matrix, identity),
            Routine::CholeskySolve => b.cholesky_solve(inputs[0], matrix, identity),
            Routine::LuSolve { transposed } => b.lu_solve(transposed, inputs[0], matrix, identity),
            _ => return None,
        };
        // Half of a triangular inverse is zero.
        let is_zero = |i: usize, j: usize| match op.routine {
            Routine::SolveTriangular(Triangular {
                lower, transposed, ..
            }) => i != j && (i < j) == (lower != transposed),
            _ => false,
        };
        let entries = self.of(b, right)?;
        debug_assert_eq!(b.size(inverse), batch * m * m);
        self.multiplied(b, &entries, Some(inverse), &|p| {
            let p = p as usize;
            let (matrix, l, j) = (p / (m * n), p / n % m, p % n);
            let to = |i: usize| {
                (
                    (matrix * m * n + i * n + j) as u32,
                    (matrix * m * m + i * m + l) as u32,
                )
            };
            (0..m).filter(|&i| !is_zero(i, l)).map(to).collect()
        })
    }
}

/// Entries times a scalar, or times an element of a factor for each row.
pub fn weighted(b: &mut Builder, entries: &[Entries], factor: Id) -> Vec<Entries> {
    let mut weigh = |part: &Entries| {
        let factor = pick(b, factor, part.rows.clone());
        let values = b.mul(part.values, factor);
        Entries {
            values: match b.size(values) {
                1 => b.reshape(values, &[]),
                _ => values,
            },
            ..part.clone()
        }
    };
    entries.iter().map(&mut weigh).collect()
}

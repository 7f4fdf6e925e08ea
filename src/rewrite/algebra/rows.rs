//! What an elementwise expression reads row by row, and the same expression on some rows alone.

use crate::bind::index::offsets_of;
use crate::bound::{Builder, Id, Op};
use crate::plan::rows_product;
use crate::tensor::{Table, Tensor};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The data behind each row of an expression: rows that agree in all of them have equal values.
#[derive(Default)]
pub struct Reads {
    constants: Vec<Arc<Tensor>>,
    tables: Vec<Arc<Table>>,
    matrices: Vec<Matrix>,
    seen: HashSet<Id>,
}

impl Reads {
    /// What expressions of n elements read; none if one reads a value that has an element of its own for each row.
    pub fn of(b: &Builder, expressions: &[Id], n: usize) -> Option<Reads> {
        let mut reads = Reads::default();
        let all = expressions.iter().all(|&id| reads.add(b, id, n));
        all.then_some(reads)
    }

    fn add(&mut self, b: &Builder, id: Id, n: usize) -> bool {
        let node = b.node(id);
        if node.size() == 1 || !self.seen.insert(id) {
            return true;
        }
        if node.size() != n {
            return false;
        }
        if let Op::Constant(values) = &node.op {
            self.constants.push(values.clone());
        } else if let Some((_, table)) = lookup(b, id) {
            self.tables.push(table);
        } else if let Some((matrix, _)) = product(b, id) {
            self.matrices.push(matrix);
        } else {
            return match node.op {
                Op::Map(_) | Op::Reshape => node.inputs.iter().all(|&input| self.add(b, input, n)),
                _ => false,
            };
        }
        true
    }

    /// The tables, if nothing else is read.
    pub fn only_tables(self) -> Option<Vec<Arc<Table>>> {
        (self.constants.is_empty() && self.matrices.is_empty()).then_some(self.tables)
    }

    /// The kinds of rows; none if there are more than half as many as the n rows.
    pub fn kinds(&self, n: usize) -> Option<Kinds> {
        if !self.may_repeat(n) {
            return None;
        }
        let (mut rows, mut of_row): (Vec<u32>, Vec<u32>) = (vec![], vec![]);
        let mut known: HashMap<u64, usize> = HashMap::new();
        for row in 0..n {
            let mut hash = self.hash(row);
            // A kind whose hash is taken by another one has the next hash that is free.
            let kind = loop {
                match known.get(&hash) {
                    Some(&kind) if self.equal(rows[kind] as usize, row) => break kind,
                    Some(_) => hash = hash.wrapping_add(1),
                    None if 2 * (rows.len() + 1) > n => return None,
                    None => {
                        known.insert(hash, rows.len());
                        rows.push(row as u32);
                        break rows.len() - 1;
                    }
                }
            };
            of_row.push(kind as u32);
        }
        Some(Kinds { rows, of_row })
    }

    /// Whether some rows of a sample are equal: of 4 sqrt(n) rows, 16 pairs are expected to be where there are n / 2
    /// kinds, and more where there are fewer.
    fn may_repeat(&self, n: usize) -> bool {
        if n < 1024 {
            return true;
        }
        // Rows in the order of a multiplicative hash, as neighbours may be equal by their making.
        let row = |i: u64| {
            let mixed = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20) as usize % n
        };
        let rows: HashSet<usize> = (0..4 * n.isqrt() as u64).map(row).collect();
        let kinds: HashSet<u64> = rows.iter().map(|&row| self.hash(row)).collect();
        kinds.len() < rows.len()
    }

    fn words(&self, row: usize) -> impl Iterator<Item = u64> + '_ {
        let constants = self
            .constants
            .iter()
            .map(move |c| c.values()[row].to_bits());
        let tables = self.tables.iter().map(move |t| u64::from(t[row]));
        let matrices = self.matrices.iter().flat_map(move |matrix| matrix.row(row));
        let matrices = matrices.map(f64::to_bits);
        constants.chain(tables).chain(matrices)
    }

    /// Mixes the words as FNV-1a does bytes, with the high bits brought down.
    fn hash(&self, row: usize) -> u64 {
        self.words(row)
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, word| {
                let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                mixed ^ mixed >> 32
            })
    }

    fn equal(&self, a: usize, b: usize) -> bool {
        self.words(a).eq(self.words(b))
    }
}

/// Rows that read equal data, put together.
pub struct Kinds {
    /// The first row of each kind.
    pub rows: Vec<u32>,
    /// The kind of each row.
    of_row: Vec<u32>,
}

impl Kinds {
    /// The sum of the weights of each kind's rows; their number where there are no weights.
    pub fn weights(&self, weights: Option<&[f64]>) -> Vec<f64> {
        let mut sums = vec![0.0; self.rows.len()];
        for (row, &kind) in self.of_row.iter().enumerate() {
            sums[kind as usize] += weights.map_or(1.0, |weights| weights[row]);
        }
        sums
    }
}

/// The array that a node reads at constant positions, and these, if it does.
pub fn lookup(b: &Builder, id: Id) -> Option<(Id, Arc<Table>)> {
    let node = b.node(id);
    match &node.op {
        Op::Gather(table) => Some((node.inputs[0], table.clone())),
        Op::View { offset, strides } if b.size(node.inputs[0]) > 1 => {
            let offsets = offsets_of(&node.shape, strides).into_iter();
            let positions = offsets.map(|o| (*offset as isize + o) as u32).collect();
            Some((node.inputs[0], Arc::new(Table::new(positions))))
        }
        _ => None,
    }
}

/// A constant matrix, a row for each row of an expression.
#[derive(Clone)]
pub struct Matrix {
    values: Arc<Tensor>,
    /// Number of columns.
    pub columns: usize,
    /// Elements from one row to the next, from one column to the next.
    steps: [usize; 2],
}

impl Matrix {
    /// An element.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.values.values()[row * self.steps[0] + column * self.steps[1]]
    }

    /// Some rows' elements of a column.
    pub fn column(&self, rows: &[u32], column: usize, out: &mut [f64]) {
        let values = &self.values.values()[column * self.steps[1]..];
        for (out, &row) in out.iter_mut().zip(rows) {
            *out = values[row as usize * self.steps[0]];
        }
    }

    /// The elements of a row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = f64> + '_ {
        (0..self.columns).map(move |column| self.at(row, column))
    }
}

/// The constant matrix and the vector that a node is the product of, if it is.
pub fn product(b: &Builder, id: Id) -> Option<(Matrix, Id)> {
    let (matrix, vector, transposed) = rows_product(b, id)?;
    let (n, columns) = (b.size(id), b.size(vector));
    let matrix = Matrix {
        values: b.constant_value(matrix)?.clone(),
        columns,
        steps: if transposed { [1, n] } else { [columns, 1] },
    };
    Some((matrix, vector))
}

/// The elements of an array at positions; the array itself where these are all of its positions in order.
pub fn take(b: &mut Builder, source: Id, positions: Vec<u32>) -> Id {
    let m = positions.len();
    let is_whole =
        b.size(source) == m && positions.iter().enumerate().all(|(i, &p)| p as usize == i);
    match is_whole {
        true => b.reshape(source, &[m]),
        false => b.gather(source, Arc::new(Table::new(positions)), vec![m]),
    }
}

/// An expression whose [`Reads`] are known, on some rows: a vector, or a single element where all rows share it.
pub fn on_rows(b: &mut Builder, id: Id, rows: &[u32], made: &mut HashMap<Id, Id>) -> Id {
    if b.size(id) == 1 {
        return b.reshape(id, &[]);
    }
    if let Some(&done) = made.get(&id) {
        return done;
    }
    let node = b.node(id).clone();
    let m = rows.len();
    let done = if let Op::Constant(values) = &node.op {
        let values: Vec<f64> = rows
            .iter()
            .map(|&row| values.values()[row as usize])
            .collect();
        b.typed_constant(Tensor::new(vec![m], &values), node.dtype)
    } else if let Some((source, table)) = lookup(b, id) {
        let positions = rows.iter().map(|&row| table[row as usize]).collect();
        take(b, source, positions)
    } else if let Some((matrix, vector)) = product(b, id) {
        let some = rows.iter().flat_map(|&row| matrix.row(row as usize));
        let some: Vec<f64> = some.collect();
        times(b, &some, m, vector)
    } else {
        let inputs = node
            .inputs
            .iter()
            .map(|&input| on_rows(b, input, rows, made));
        let inputs: Vec<Id> = inputs.collect();
        match node.op {
            Op::Map(function) => b.map(function, &inputs),
            _ => inputs[0],
        }
    };
    made.insert(id, done);
    done
}

/// A constant row-major matrix of m rows times a vector.
pub fn times(b: &mut Builder, matrix: &[f64], m: usize, vector: Id) -> Id {
    let p = b.size(vector);
    let matrix = b.constant(Tensor::new(vec![m, p], matrix));
    let column = b.reshape(vector, &[p, 1]);
    let product = b.matmul(matrix, column, [false, false]);
    b.reshape(product, &[m])
}

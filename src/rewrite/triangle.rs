//! The lower triangle of a matrix that is only factorised, and what the adjoint of its factor is made of.

use super::identities::factored;
use crate::bound::{Builder, Id, Op};
use crate::graph::DType;
use crate::kernels::linalg::panels::packed_size;
use crate::scalar::ScalarFn::{Add, Neg, Sub};
use crate::tensor::{Tensor, size_of};
use std::collections::HashMap;

/// Order of a matrix from which on half of it is worth a pass of its own.
const WORTH: usize = 8;

/// The lower triangles of a stack of matrices, packed, where they are elementwise functions of data and scalars.
pub fn pack(b: &mut Builder, a: Id) -> Option<Id> {
    let shape = b.shape(a).to_vec();
    let n = *shape.last()?;
    if n < WORTH || b.node(a).dtype != DType::Float64 {
        return None;
    }
    let mut packing = Packing {
        n,
        stack: size_of(&shape) / (n * n),
        done: HashMap::new(),
    };
    let packed = packing.node(b, a)?;
    let shape = [&shape[..shape.len() - 2], &[packed_size(n)]].concat();
    (b.size(packed) == size_of(&shape)).then(|| b.reshape(packed, &shape))
}

struct Packing {
    n: usize,
    stack: usize,
    done: HashMap<Id, Id>,
}

impl Packing {
    /// A node's elements in the lower triangles, as (matrices, elements of one); a single element as it is.
    fn node(&mut self, b: &mut Builder, id: Id) -> Option<Id> {
        if let Some(&packed) = self.done.get(&id) {
            return Some(packed);
        }
        let size = self.stack * self.n * self.n;
        let node = b.node(id).clone();
        let packed = match &node.op {
            _ if node.size() == 1 => b.reshape(id, &[]),
            _ if node.size() != size => return None,
            Op::Constant(value) => self.constant(b, &value.clone(), node.dtype),
            Op::Reshape => self.node(b, node.inputs[0])?,
            Op::Map(function) => {
                let inputs: Option<Vec<Id>> = node
                    .inputs
                    .iter()
                    .map(|&input| self.node(b, input))
                    .collect();
                b.map(*function, &inputs?)
            }
            _ => return None,
        };
        self.done.insert(id, packed);
        Some(packed)
    }

    fn constant(&self, b: &mut Builder, value: &Tensor, dtype: DType) -> Id {
        let n = self.n;
        let triangle = |matrix: &[f64]| -> Vec<f64> {
            let column = |j: usize| (j..n).map(move |i| i * n + j);
            (0..n).flat_map(column).map(|p| matrix[p]).collect()
        };
        let values: Vec<f64> = value.values().chunks(n * n).flat_map(triangle).collect();
        b.typed_constant(
            Tensor::new(vec![self.stack, packed_size(n)], &values),
            dtype,
        )
    }
}

/// What the adjoint of a stack of lower triangular matrices is the sum of.
#[derive(Default)]
pub struct Parts {
    /// A stack of matrices.
    pub dense: Option<Id>,
    /// Stacks of matrices P and Q with few columns: P Q'.
    pub outer: Option<[Id; 2]>,
    /// The columns of P and Q.
    pub columns: usize,
    /// A stack of diagonals.
    pub diagonal: Option<Id>,
}

/// Columns up to which an outer product is added up where it is needed.
const FEW: usize = 4;

/// The parts of an adjoint, unless it is one matrix.
pub fn parts(b: &mut Builder, [stack, n, _]: [usize; 3], adjoint: Id) -> Option<Parts> {
    let mut parts = Parts::default();
    collect(b, [stack, n], adjoint, None, &mut parts);
    (parts.outer.is_some() || parts.diagonal.is_some()).then_some(parts)
}

/// Adds a term, times a scalar factor, to the parts.
fn collect(
    b: &mut Builder,
    sizes @ [stack, n]: [usize; 2],
    term: Id,
    factor: Option<Id>,
    parts: &mut Parts,
) {
    let node = b.node(term).clone();
    let whole = |b: &Builder, id: Id| b.size(id) == stack * n * n;
    let times = |b: &mut Builder, factor: Option<Id>, x: Id| match factor {
        Some(factor) => b.mul(factor, x),
        None => x,
    };
    match node.op {
        Op::Reshape => return collect(b, sizes, node.inputs[0], factor, parts),
        Op::Map(Add | Sub) if node.inputs.iter().all(|&input| whole(b, input)) => {
            collect(b, sizes, node.inputs[0], factor, parts);
            let factor = match node.op {
                Op::Map(Sub) => {
                    let minus = b.number(-1.0);
                    Some(times(b, factor, minus))
                }
                _ => factor,
            };
            return collect(b, sizes, node.inputs[1], factor, parts);
        }
        Op::Map(Neg) => {
            let minus = b.number(-1.0);
            let factor = times(b, factor, minus);
            return collect(b, sizes, node.inputs[0], Some(factor), parts);
        }
        Op::Map(_) => {
            if let Some((scalar, rest)) = factored(b, term).filter(|&(_, rest)| whole(b, rest)) {
                let scalar = b.reshape(scalar, &[]);
                let factor = times(b, factor, scalar);
                return collect(b, sizes, rest, Some(factor), parts);
            }
        }
        Op::MatMul {
            sizes: [batch, m, k, columns],
            transposed,
        } if [batch, m, columns] == [stack, n, n]
            && parts.outer.is_none()
            && k <= FEW
            && (k == 1 || transposed == [false, true]) =>
        {
            let p = times(b, factor, node.inputs[0]);
            (parts.outer, parts.columns) = (Some([p, node.inputs[1]]), k);
            return;
        }
        Op::ScatterAdd(ref table) if table.len() == stack * n => {
            let on_diagonal = |(p, &position): (usize, &u32)| {
                position as usize == p / n * n * n + p % n * (n + 1)
            };
            if table.iter().enumerate().all(on_diagonal) {
                let flat = b.reshape(node.inputs[0], &[stack * n]);
                let diagonal = times(b, factor, flat);
                parts.diagonal = Some(match parts.diagonal {
                    Some(sum) => b.add(sum, diagonal),
                    None => diagonal,
                });
                return;
            }
        }
        _ => {}
    }
    let shape = [stack, n, n];
    let dense = times(b, factor, term);
    let dense = b.reshape(dense, &shape);
    parts.dense = Some(match parts.dense {
        Some(sum) => b.add(sum, dense),
        None => dense,
    });
}

//! Reverse mode, graph to graph: the gradient is more nodes of the same graph.
//!
//! The adjoint of a node may be a single element where all its elements are equal (behind a sum, say);
//! it is spread out only where a rule needs the whole array. Elementwise rules stand in [`crate::scalar`].

mod foreign;
mod linalg;
mod lookup;
mod loops;

use crate::bound::{BindError, Builder, Id, Node, Op, Reduction, Running};
use crate::graph::DType;
use crate::scalar::{Adjoint, ScalarFn};
use crate::tensor::{Table, Tensor, contiguous_strides, is_contiguous, size_of};
use std::sync::Arc;

/// What has flowed back to a node so far.
#[derive(Clone, Default)]
struct Flow {
    /// The sum of the contributions to the whole node.
    whole: Option<Id>,
    /// Contributions to stretches of its elements: first element, and a vector.
    stretches: Vec<(usize, Id)>,
}

impl Flow {
    fn add(&mut self, b: &mut Builder, contribution: Id) {
        self.whole = Some(match self.whole {
            Some(sum) => b.add(sum, contribution),
            None => contribution,
        });
    }

    /// The adjoint of a node of this shape; stretches that do not overlap are joined, not added.
    fn total(mut self, b: &mut Builder, shape: &[usize]) -> Option<Id> {
        self.stretches.sort();
        let mut rows: Vec<(usize, Vec<Id>)> = vec![];
        for (start, stretch) in std::mem::take(&mut self.stretches) {
            let row = match rows.iter().position(|(end, _)| *end <= start) {
                Some(row) => row,
                None => {
                    rows.push((0, vec![]));
                    rows.len() - 1
                }
            };
            let (end, parts) = &mut rows[row];
            parts.extend(zeros(b, start - *end));
            *end = start + b.size(stretch);
            parts.push(stretch);
        }
        for (end, mut parts) in rows {
            parts.extend(zeros(b, size_of(shape) - end));
            let row = b.concat(&parts, 0);
            let row = b.reshape(row, shape);
            self.add(b, row);
        }
        self.whole
    }
}

/// A vector of zeros, unless it would be empty.
fn zeros(b: &mut Builder, length: usize) -> Option<Id> {
    (length > 0).then(|| b.constant(Tensor::new(vec![length], &vec![0.0; length])))
}

/// Adds the gradient of the scalar `logp` to the graph: one node for each of `parameters`, of its shape.
pub fn gradient(b: &mut Builder, logp: Id, parameters: &[Id]) -> Result<Vec<Id>, BindError> {
    let one = b.number(1.0);
    pullback(b, &[(logp, one)], parameters)
}

/// Adds the adjoints of `targets`, each of its shape, given those of some `results`.
pub fn pullback(
    b: &mut Builder,
    results: &[(Id, Id)],
    targets: &[Id],
) -> Result<Vec<Id>, BindError> {
    let last = results.iter().map(|(id, _)| id.index()).max();
    let mut flows = vec![Flow::default(); last.map_or(0, |last| last + 1)];
    for &(id, adjoint) in results {
        if flows_to(b, id) {
            flows[id.index()].add(b, adjoint);
        }
    }
    let mut adjoints: Vec<Option<Id>> = vec![None; flows.len()];
    for index in (0..flows.len()).rev() {
        let id = Id(index as u32);
        let node = b.node(id).clone();
        let Some(adjoint) = std::mem::take(&mut flows[index]).total(b, &node.shape) else {
            continue;
        };
        adjoints[index] = Some(adjoint);
        if let Some(start) = stretch_start(b, &node) {
            if flows_to(b, node.inputs[0]) {
                let stretch = whole(b, adjoint, &node.shape);
                let stretch = b.reshape(stretch, &[node.size()]);
                let flow = &mut flows[node.inputs[0].index()];
                flow.stretches.push((start, stretch));
            }
            continue;
        }
        let contributions = contributions(b, id, &node, adjoint)?;
        for (&input, contribution) in node.inputs.iter().zip(contributions) {
            let Some(contribution) = contribution.filter(|_| flows_to(b, input)) else {
                continue;
            };
            // An elementwise function spreads a single element over all of its own.
            let spread = if matches!(node.op, Op::Map(_)) {
                node.size()
            } else {
                1
            };
            let contribution = fit(b, contribution, input, spread);
            flows[input.index()].add(b, contribution);
        }
    }
    Ok(targets
        .iter()
        .map(|&target| {
            let shape = b.shape(target).to_vec();
            let adjoint = adjoints.get(target.index()).copied().flatten();
            let adjoint = adjoint.unwrap_or_else(|| b.number(0.0));
            whole(b, adjoint, &shape)
        })
        .collect())
}

/// Whether a node can depend on a parameter smoothly.
fn flows_to(b: &Builder, id: Id) -> bool {
    let node = b.node(id);
    node.constant().is_none() && node.dtype == DType::Float64
}

/// Where the stretch of its input begins that a node is, if it is one.
fn stretch_start(b: &Builder, node: &Node) -> Option<usize> {
    match &node.op {
        Op::View { offset, strides } if b.size(node.inputs[0]) > 1 => {
            is_contiguous(strides, &node.shape).then_some(*offset)
        }
        _ => None,
    }
}

/// A contribution in the shape of its node: summed where the node was broadcast from a single element.
fn fit(b: &mut Builder, contribution: Id, target: Id, spread: usize) -> Id {
    let shape = b.shape(target).to_vec();
    if b.size(target) == 1 {
        let sum = match b.size(contribution) {
            1 => b.mul_number(spread as f64, contribution),
            _ => {
                let axes: Vec<usize> = (0..b.shape(contribution).len()).collect();
                b.reduce(Reduction::Sum, contribution, &axes)
            }
        };
        return b.reshape(sum, &shape);
    }
    match b.size(contribution) == b.size(target) {
        true => b.reshape(contribution, &shape),
        false => contribution,
    }
}

/// An adjoint with all its elements.
fn whole(b: &mut Builder, adjoint: Id, shape: &[usize]) -> Id {
    match b.size(adjoint) == size_of(shape) {
        true => b.reshape(adjoint, shape),
        false => b.broadcast(adjoint, shape),
    }
}

/// One contribution an input.
fn contributions(
    b: &mut Builder,
    id: Id,
    node: &Node,
    g: Id,
) -> Result<Vec<Option<Id>>, BindError> {
    let inputs = &node.inputs;
    Ok(match &node.op {
        Op::Parameter { .. } | Op::Constant(_) => vec![],
        Op::Map(function) => match function.adjoint() {
            Adjoint::Zero => vec![None; inputs.len()],
            Adjoint::Rule(rule) => rule(b, inputs, id, g),
            Adjoint::OfLast(rule) => {
                let others = &inputs[..inputs.len() - 1];
                if let Some(k) = others.iter().position(|&input| flows_to(b, input)) {
                    return Err(BindError::Misfit(format!(
                        "the derivative of `{function}` with respect to argument {} is not known",
                        k + 1
                    )));
                }
                rule(b, inputs, id, g)
            }
            Adjoint::Missing => {
                return Err(BindError::Misfit(format!(
                    "the derivative of `{function}` is not known"
                )));
            }
        },
        Op::Reshape => vec![Some(g)],
        Op::View { offset, strides } => vec![Some(view(b, node, g, *offset, strides))],
        Op::Gather(table) => {
            let g = whole(b, g, &node.shape);
            let shape = b.shape(inputs[0]).to_vec();
            vec![Some(b.scatter_add(g, table.clone(), shape))]
        }
        Op::ScatterAdd(table) => {
            let g = whole(b, g, &node.shape);
            vec![Some(b.gather(g, table.clone(), vec![table.len()]))]
        }
        Op::Reduce(reduction, sizes) => vec![reduce(b, id, node, g, *reduction, *sizes)],
        Op::Dot => {
            let (x, y) = (inputs[0], inputs[1]);
            vec![Some(b.scale(g, y)), Some(b.scale(g, x))]
        }
        Op::Run(running, sizes) => vec![Some(run(b, id, node, g, *running, *sizes))],
        Op::Foreign(call) => foreign::contributions(b, node, call, g)?,
        Op::Concat { outer, parts } => {
            let g = whole(b, g, &node.shape);
            let width: usize = parts.iter().sum();
            let mut start = 0;
            parts
                .iter()
                .zip(inputs)
                .map(|(&part, &input)| {
                    let slice = b.view(g, start, vec![width as isize, 1], vec![*outer, part]);
                    start += part;
                    let shape = b.shape(input).to_vec();
                    Some(b.reshape(slice, &shape))
                })
                .collect()
        }
        Op::Loop(l) => loops::contributions(b, id, node, l, g)?,
        Op::LoopGradient(_) => {
            return Err(BindError::Misfit(
                "second derivatives of a loop are not known".into(),
            ));
        }
        Op::MatMul {
            transposed: [ta, tb],
            ..
        } => {
            let g = whole(b, g, &node.shape);
            let (x, y) = (inputs[0], inputs[1]);
            let dx = match ta {
                false => b.matmul(g, y, [false, !tb]),
                true => b.matmul(y, g, [*tb, true]),
            };
            let dy = match tb {
                false => b.matmul(x, g, [!ta, false]),
                true => b.matmul(g, x, [true, *ta]),
            };
            vec![Some(dx), Some(dy)]
        }
        Op::Lookup(op) => lookup::lookup(b, op, node, g),
        Op::Convolve(convolution, _) => lookup::convolve(b, *convolution, node, g),
        Op::Linalg(op) => linalg::contributions(b, id, node, op, g),
    })
}

/// Adjoint of a strided view: sum over repeated axes, then put every element back where it came from.
fn view(b: &mut Builder, node: &Node, g: Id, offset: usize, strides: &[isize]) -> Id {
    let source = b.shape(node.inputs[0]).to_vec();
    let g = whole(b, g, &node.shape);
    let repeated: Vec<usize> = (0..strides.len())
        .filter(|&axis| strides[axis] == 0 && node.shape[axis] > 1)
        .collect();
    let g = if repeated.is_empty() {
        g
    } else {
        b.reduce(Reduction::Sum, g, &repeated)
    };
    let kept: Vec<usize> = (0..strides.len())
        .filter(|axis| !repeated.contains(axis))
        .collect();
    let shape: Vec<usize> = kept.iter().map(|&axis| node.shape[axis]).collect();
    let strides: Vec<isize> = kept.iter().map(|&axis| strides[axis]).collect();
    if size_of(&shape) == size_of(&source)
        && offset == 0
        && strides.iter().all(|&stride| stride >= 0)
    {
        // A permutation of axes: its inverse is one too.
        let mut order: Vec<usize> = (0..shape.len()).collect();
        order.sort_by_key(|&axis| (std::cmp::Reverse(strides[axis]), shape[axis]));
        let g = b.reshape(g, &shape);
        let back = b.transpose(g, &order);
        return b.reshape(back, &source);
    }
    let offsets = crate::bind::index::offsets_of(&shape, &strides);
    let positions = offsets
        .iter()
        .map(|o| (offset as isize + o) as u32)
        .collect();
    b.scatter_add(g, Arc::new(Table::new(positions)), source)
}

fn reduce(
    b: &mut Builder,
    id: Id,
    node: &Node,
    g: Id,
    reduction: Reduction,
    [outer, length, inner]: [usize; 3],
) -> Option<Id> {
    let x = node.inputs[0];
    let shape = b.shape(x).to_vec();
    let spread = |b: &mut Builder, y: Id| match outer * inner == 1 || b.size(y) == 1 {
        true => y,
        false => {
            let y = b.reshape(y, &[outer, 1, inner]);
            let y = b.broadcast(y, &[outer, length, inner]);
            b.reshape(y, &shape)
        }
    };
    match reduction {
        Reduction::Sum => Some(spread(b, g)),
        Reduction::Max | Reduction::Min => {
            let (g, y) = (spread(b, g), spread(b, id));
            let equal = b.map(ScalarFn::Eq, &[x, y]);
            let zero = b.number(0.0);
            Some(b.select_adjoint(equal, g, zero))
        }
        Reduction::Prod => {
            // The product of all others, from the left and from the right: no division by a factor of 0.
            let x3 = b.reshape(x, &[outer, length, inner]);
            let backwards = reversed(b, x3);
            let (left, right) = (products_before(b, x3), products_before(b, backwards));
            let right = reversed(b, right);
            let others = b.mul(left, right);
            let others = b.reshape(others, &shape);
            let g = spread(b, g);
            Some(b.scale(g, others))
        }
        Reduction::Any
        | Reduction::All
        | Reduction::BitAnd
        | Reduction::BitOr
        | Reduction::BitXor
        | Reduction::Argmax => None,
    }
}

/// The middle axis of a 3-d array backwards.
fn reversed(b: &mut Builder, x: Id) -> Id {
    let shape = b.shape(x).to_vec();
    let mut strides = contiguous_strides(&shape);
    let offset = (shape[1].saturating_sub(1)) as isize * strides[1];
    strides[1] = -strides[1];
    b.view(x, offset as usize, strides, shape)
}

/// Products of the elements before each one along the middle axis of a 3-d array.
fn products_before(b: &mut Builder, x: Id) -> Id {
    let shape = b.shape(x).to_vec();
    let [outer, length, inner] = [shape[0], shape[1], shape[2]];
    let products = b.run(Running::Prod, x, 1);
    let strides = contiguous_strides(&shape);
    let before = b.view(products, 0, strides, vec![outer, length - 1, inner]);
    let ones = b.constant(Tensor::new(
        vec![outer, 1, inner],
        &vec![1.0; outer * inner],
    ));
    match length {
        1 => ones,
        _ => b.concat(&[ones, before], 1),
    }
}

fn run(b: &mut Builder, id: Id, node: &Node, g: Id, running: Running, sizes: [usize; 3]) -> Id {
    let x = node.inputs[0];
    let g = whole(b, g, &node.shape);
    let sum_after = |b: &mut Builder, y: Id| {
        let y = b.reshape(y, &sizes);
        let y = reversed(b, y);
        let y = b.run(Running::Sum, y, 1);
        let y = reversed(b, y);
        b.reshape(y, &node.shape)
    };
    match running {
        Running::Sum => sum_after(b, g),
        Running::Prod => {
            let terms = b.scale(g, id);
            let total = sum_after(b, terms);
            b.quotient(total, x)
        }
    }
}

#[cfg(test)]
mod tests;

//! Writes a graph of few elements out in scalars, so that a step of a loop over small arrays is one pass.
//!
//! Views, reductions and products of matrices of two or three rows cost far more to look up and start than to do.

use super::{Builder, Id, Op, Reduction, Running};
use crate::bind::index::offsets_of;
use crate::scalar::ScalarFn;
use crate::tensor::Tensor;
use std::collections::HashMap;

/// Most elements of an array that is written out.
const MOST_ELEMENTS: usize = 9;

/// Most nodes that come of it.
const MOST_NODES: usize = 1000;

/// The graph in scalars, and the elements of each of `roots`; `None` if it is too large, empty or has other ops.
pub fn elements(source: &Builder, roots: &[Id]) -> Option<(Builder, Vec<Vec<Id>>)> {
    if !source.simplifies() {
        return None;
    }
    let mut b = source.sibling();
    let mut made: HashMap<Id, Vec<Id>> = HashMap::new();
    for id in source.reachable(roots) {
        let node = source.node(id);
        if node.size() == 0 || node.size() > MOST_ELEMENTS || b.nodes().len() > MOST_NODES {
            return None;
        }
        let all: Vec<&Vec<Id>> = node.inputs.iter().map(|input| &made[input]).collect();
        let elements = match &node.op {
            Op::Parameter { .. } => {
                let parameter = b.push(node.op.clone(), vec![], node.shape.clone(), node.dtype);
                let element = |i| b.view(parameter, i, vec![], vec![]);
                (0..node.size()).map(element).collect()
            }
            Op::Constant(value) => {
                let element = |&v: &f64| b.typed_constant(Tensor::new(vec![], &[v]), node.dtype);
                value.values().iter().map(element).collect()
            }
            Op::Map(function) => {
                let element = |i: usize| {
                    let inputs = all.iter().map(|x| if x.len() == 1 { x[0] } else { x[i] });
                    b.map(*function, &inputs.collect::<Vec<Id>>())
                };
                (0..node.size()).map(element).collect()
            }
            Op::Reshape => all[0].clone(),
            Op::View { offset, strides } => {
                let offsets = offsets_of(&node.shape, strides);
                let at = |o: &isize| all[0][(*offset as isize + o) as usize];
                offsets.iter().map(at).collect()
            }
            Op::Gather(table) => table.iter().map(|&p| all[0][p as usize]).collect(),
            Op::Reduce(reduction, [outer, length, inner]) => {
                let function = match reduction {
                    Reduction::Sum => ScalarFn::Add,
                    Reduction::Prod => ScalarFn::Mul,
                    Reduction::Max => ScalarFn::Maximum,
                    Reduction::Min => ScalarFn::Minimum,
                    _ => return None,
                };
                let mut reduce = |o: usize, i: usize| {
                    let element = |l: usize| all[0][(o * length + l) * inner + i];
                    (1..*length).fold(element(0), |x, l| b.map(function, &[x, element(l)]))
                };
                let places = (0..*outer).flat_map(|o| (0..*inner).map(move |i| (o, i)));
                places.map(|(o, i)| reduce(o, i)).collect()
            }
            Op::Run(running, [_, length, inner]) => {
                let function = match running {
                    Running::Sum => ScalarFn::Add,
                    Running::Prod => ScalarFn::Mul,
                };
                let mut values = all[0].clone();
                for at in 0..values.len() {
                    if at / inner % length > 0 {
                        values[at] = b.map(function, &[values[at - inner], values[at]]);
                    }
                }
                values
            }
            Op::Concat { outer, parts } => {
                let mut values = vec![];
                for o in 0..*outer {
                    for (x, &part) in all.iter().zip(parts) {
                        values.extend(&x[o * part..(o + 1) * part]);
                    }
                }
                values
            }
            Op::MatMul {
                sizes: [batch, m, k, n],
                transposed: [ta, tb],
            } => {
                let mut values = vec![];
                for s in 0..*batch {
                    for (i, j) in (0..*m).flat_map(|i| (0..*n).map(move |j| (i, j))) {
                        let factor = |x: &[Id], size: usize, at: usize| x[s * size + at];
                        let mut product = |l: usize| {
                            let x = if *ta { l * m + i } else { i * k + l };
                            let y = if *tb { j * k + l } else { l * n + j };
                            let x = factor(all[0], m * k, x);
                            let y = factor(all[1], k * n, y);
                            b.mul(x, y)
                        };
                        let products: Vec<Id> = (0..*k).map(&mut product).collect();
                        let sum = products[1..].iter().fold(products[0], |x, &y| b.add(x, y));
                        values.push(sum);
                    }
                }
                values
            }
            _ => return None,
        };
        made.insert(id, elements);
    }
    let roots = roots.iter().map(|root| made[root].clone()).collect();
    Some((b, roots))
}

//! The last pass, after differentiation: products join the sum that is their only reader.
//!
//! x y + z becomes one fused multiply-add, and a sum of products a dot product. The value of a function of others
//! is read from the call that gives it with its gradient, if there is one. Logarithms leave recurrences (`scaled.rs`).

use super::scaled::{self, Scaled};
use crate::bound::loops::{Loop, Shared};
use crate::bound::{Builder, Id, Node, Op, Reduction};
use crate::foreign::Function;
use crate::graph::DType;
use crate::scalar::ScalarFn::{Add, Log, Mul, MulAdd, MulSub, Sqr, Sub, SubMul};
use crate::tensor::Tensor;
use std::collections::HashMap;

/// The part of a graph that `roots` need, fused, and the roots in it.
pub fn fuse(source: &Builder, roots: &[Id]) -> (Builder, Vec<Id>) {
    let reachable = source.reachable(roots);
    let mut readers = vec![0; source.nodes().len()];
    for root in roots {
        readers[root.index()] += 2; // a result is needed in its own right
    }
    for id in &reachable {
        for input in &source.node(*id).inputs {
            readers[input.index()] += 1;
        }
    }
    let gradients = gradients(source, &reachable);
    let mut fused = Builder::plain();
    let mut map: Vec<Option<Id>> = vec![None; source.nodes().len()];
    for id in reachable {
        let node = source.node(id);
        let gradient = match &node.op {
            Op::Foreign(call) => gradients.get(&(&call.function, &*node.inputs)),
            _ => None,
        };
        let made = gradient.map_or(node, |&gradient| source.node(gradient));
        if let Op::Loop(l) = &node.op
            && let Some(made) = scaled::apply(l, node.inputs.len())
        {
            fused.count(scaled::RULE);
            let inputs = node.inputs.iter();
            let inputs = inputs.map(|input| map[input.index()].expect("inputs come first"));
            let all = without_logarithms(&mut fused, node, l, made, inputs.collect());
            map[id.index()] = Some(all);
            continue;
        }
        let (op, inputs) = match join(source, made, &readers) {
            Some((rule, op, inputs)) => {
                fused.count(rule);
                (op, inputs)
            }
            None => (made.op.clone(), made.inputs.clone()),
        };
        let inputs = inputs
            .into_iter()
            .map(|input| map[input.index()].expect("inputs come first"))
            .collect();
        let new = fused.push(op, inputs, made.shape.clone(), made.dtype);
        map[id.index()] = Some(match gradient {
            Some(_) => fused.part(new, 0, node.shape.clone(), node.dtype),
            None => new,
        });
    }
    let roots = roots
        .iter()
        .map(|root| map[root.index()].expect("roots are reachable"));
    let roots = roots.collect();
    (fused, roots)
}

/// The value of a loop from that of one that carries sums in place of logarithms.
fn without_logarithms(
    b: &mut Builder,
    node: &Node,
    l: &Loop,
    made: Scaled,
    mut inputs: Vec<Id>,
) -> Id {
    let Scaled { of, ones, places } = made;
    for n in ones {
        inputs.push(b.constant(Tensor::new(vec![1, n], &vec![1.0; n])));
    }
    let size = of.traces.iter().map(|trace| of.steps * trace.size).sum();
    let packed = b.push(
        Op::Loop(Shared::new(of)),
        inputs,
        vec![size],
        DType::Float64,
    );
    let mut parts = vec![];
    for (trace, (start, scale)) in l.traces.iter().zip(places) {
        let shape = [l.steps * trace.size];
        let mut part = |start| b.part(packed, start, shape.to_vec(), DType::Float64);
        let (value, scale) = (part(start), scale.map(&mut part));
        parts.push(match scale {
            Some(scale) => {
                let log = b.map(Log, &[scale]);
                b.map(Add, &[value, log])
            }
            None => value,
        });
    }
    let all = match parts[..] {
        [part] => part,
        _ => b.concat(&parts, 0),
    };
    b.reshape(all, &node.shape)
}

/// The calls that give a value with its gradient, by the function of the value and its inputs.
fn gradients<'a>(b: &'a Builder, ids: &[Id]) -> HashMap<(&'a Function, &'a [Id]), Id> {
    let found = ids.iter().filter_map(|&id| match &b.node(id).op {
        Op::Foreign(call) => Some(((call.value_of.as_ref()?, &*b.node(id).inputs), id)),
        _ => None,
    });
    found.collect()
}

/// A node and the product that only it reads, as one op; with the name of the rule.
fn join(b: &Builder, node: &Node, readers: &[u32]) -> Option<(&'static str, Op, Vec<Id>)> {
    let factors = |id: Id| {
        let product = b.node(id);
        let is_own = readers[id.index()] == 1 && product.dtype == DType::Float64;
        match product.op {
            Op::Map(Mul) if is_own => Some((product.inputs[0], product.inputs[1])),
            Op::Map(Sqr) if is_own => Some((product.inputs[0], product.inputs[0])),
            _ => None,
        }
    };
    let inputs = &node.inputs;
    match node.op {
        Op::Map(Add | Sub) if node.dtype == DType::Float64 => {
            let fits = |id: Id| b.size(id) == node.size();
            let left = factors(inputs[0]).filter(|_| fits(inputs[0]));
            let right = factors(inputs[1]).filter(|_| fits(inputs[1]));
            let (function, (x, y), z) = match (node.op == Op::Map(Add), left, right) {
                (true, _, Some(product)) => (MulAdd, product, inputs[0]),
                (true, Some(product), None) => (MulAdd, product, inputs[1]),
                (false, _, Some(product)) => (SubMul, product, inputs[0]),
                (false, Some(product), None) => (MulSub, product, inputs[1]),
                _ => return None,
            };
            let inputs = vec![x, y, z];
            Some(("x y + z in one step", Op::Map(function), inputs))
        }
        Op::Reduce(Reduction::Sum, [1, length, 1]) => {
            let (x, y) = factors(inputs[0])?;
            (b.size(x) == length && b.size(y) == length)
                .then(|| ("sum(x y) = dot(x, y)", Op::Dot, vec![x, y]))
        }
        _ => None,
    }
}

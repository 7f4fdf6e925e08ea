//! A bound graph as text, one node a line.

use super::{Builder, Id, Node, Op};
use std::fmt::Write;

/// `f64[3, 4]`
pub fn type_text(node: &Node) -> String {
    let lengths: Vec<String> = node.shape.iter().map(usize::to_string).collect();
    format!("{}[{}]", node.dtype, lengths.join(", "))
}

/// What a node computes, without its inputs.
pub fn op_text(op: &Op) -> String {
    match op {
        Op::Parameter { name, .. } => format!("parameter {name:?}"),
        Op::Constant(tensor) if tensor.values().len() == 1 => format!("{:?}", tensor.values()[0]),
        Op::Constant(_) => "constant".into(),
        Op::Map(function) => function.to_string(),
        Op::Reshape => "reshape".into(),
        Op::View { offset, strides } => format!("view offset={offset} strides={strides:?}"),
        Op::Gather(_) => "gather".into(),
        Op::ScatterAdd(_) => "scatter_add".into(),
        Op::Reduce(reduction, sizes) => format!("{reduction:?} {sizes:?}").to_lowercase(),
        Op::Dot => "dot".into(),
        Op::Run(running, sizes) => format!("cum{running:?} {sizes:?}").to_lowercase(),
        Op::Concat { .. } => "concat".into(),
        Op::Loop(l) => format!("loop steps={}", l.steps),
        Op::LoopGradient(l) => format!("loop_gradient steps={}", l.steps),
        Op::Foreign(call) => format!("foreign {:?}", call.function.name()),
        Op::MatMul { sizes, transposed } => format!("matmul {sizes:?} transposed={transposed:?}"),
        Op::Lookup(lookup) => lookup.to_string(),
        Op::Convolve(convolution, sizes) => format!("{convolution:?} {sizes:?}").to_lowercase(),
        Op::Linalg(linalg) => format!("{:?} {:?}", linalg.routine, linalg.sizes),
    }
}

impl Builder {
    /// The nodes that `roots` need, in order.
    pub fn reachable(&self, roots: &[Id]) -> Vec<Id> {
        let mut needed = vec![false; self.nodes().len()];
        for root in roots {
            needed[root.index()] = true;
        }
        for index in (0..needed.len()).rev() {
            if needed[index] {
                for input in &self.nodes()[index].inputs {
                    needed[input.index()] = true;
                }
            }
        }
        (0..needed.len() as u32)
            .map(Id)
            .filter(|id| needed[id.index()])
            .collect()
    }

    /// Text of the nodes that the named roots need.
    pub fn text(&self, roots: &[(String, Id)]) -> String {
        let ids: Vec<Id> = roots.iter().map(|(_, id)| *id).collect();
        let mut text = String::new();
        for id in self.reachable(&ids) {
            let node = self.node(id);
            let inputs: Vec<String> = node.inputs.iter().map(|i| format!("%{}", i.0)).collect();
            let call = match inputs.is_empty() {
                true => op_text(&node.op),
                false => format!("{}({})", op_text(&node.op), inputs.join(", ")),
            };
            let _ = writeln!(text, "%{}: {} = {call}", id.0, type_text(node));
        }
        for (name, id) in roots {
            let _ = writeln!(text, "{name} = %{}", id.0);
        }
        text
    }
}

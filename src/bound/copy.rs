//! Copies of parts of a graph, in which some nodes are replaced.

use super::{Builder, Id, Node, Op, Reduction};
use std::collections::HashMap;

impl Builder {
    /// The node of the same op on other inputs, which have the shapes of those of `node`.
    pub fn again(&mut self, node: &Node, inputs: Vec<Id>) -> Id {
        match node.op {
            Op::Map(function) => {
                let value = self.map(function, &inputs);
                match self.size(value) == node.size() {
                    true => self.reshape(value, &node.shape),
                    false => self.broadcast(value, &node.shape),
                }
            }
            Op::Reduce(Reduction::Sum, sizes) if self.scalar_of(inputs[0]).is_some() => {
                let value = self.reshape(inputs[0], &sizes);
                let sum = self.reduce(Reduction::Sum, value, &[1]);
                self.reshape(sum, &node.shape)
            }
            _ => self.push(node.op.clone(), inputs, node.shape.clone(), node.dtype),
        }
    }
}

/// What has been copied from one graph to another.
pub struct Copy<'a> {
    from: &'a Builder,
    made: HashMap<Id, Id>,
}

impl<'a> Copy<'a> {
    /// Nothing yet.
    pub fn new(from: &'a Builder) -> Copy<'a> {
        Copy {
            from,
            made: HashMap::new(),
        }
    }

    /// Puts a node of the other graph, of the same shape, in the place of one that has not been copied.
    pub fn replace(&mut self, id: Id, by: Id) {
        self.made.insert(id, by);
    }

    /// The copy of a node, made with all that it needs.
    pub fn of(&mut self, b: &mut Builder, root: Id) -> Id {
        let mut needed = vec![false; root.index() + 1];
        needed[root.index()] = true;
        for index in (0..needed.len()).rev() {
            let id = Id(index as u32);
            if needed[index] && !self.made.contains_key(&id) {
                let inputs = &self.from.node(id).inputs;
                inputs.iter().for_each(|input| needed[input.index()] = true);
            }
        }
        for index in (0..needed.len()).filter(|&index| needed[index]) {
            let id = Id(index as u32);
            if !self.made.contains_key(&id) {
                let node = self.from.node(id);
                let inputs = node.inputs.iter().map(|input| self.made[input]).collect();
                let copy = b.again(node, inputs);
                self.made.insert(id, copy);
            }
        }
        self.made[&root]
    }
}

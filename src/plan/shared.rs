//! One program for all graphs that differ in the values of constants alone, as those of data sets of one shape do.
//!
//! Binding, exact algebra and differentiation look at values, and may make other graphs of other data: so what is
//! compared is the graph that they end with. Its constants become inputs of the program, which keep their values from
//! evaluation to evaluation; everything else, the constants that inputs cannot replace too, has to be equal. Kernels
//! do the same with the same numbers wherever these lie, so results have the bits of a program of one's own.

use super::{plan, plan_keeping};
use crate::bound::{Builder, Id, Node, Op};
use crate::kernels::crew::Caller;
use crate::kernels::machine::{Program, Workspace};
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A program and the values of inputs that stay the same.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What is carried out.
    pub program: Arc<Program>,
    /// Those of the inputs behind the model's own, in the order of their positions.
    pub constants: Vec<Arc<Tensor>>,
}

impl From<Program> for Planned {
    fn from(program: Program) -> Planned {
        Planned {
            program: Arc::new(program),
            constants: vec![],
        }
    }
}

impl Planned {
    /// The same with machine code that does steps one at a time.
    pub fn in_steps(&self) -> Planned {
        Planned {
            program: Arc::new(self.program.in_steps()),
            constants: self.constants.clone(),
        }
    }

    /// Memory to evaluate it, with help if there is any.
    pub fn workspace(&self, caller: Option<Caller>) -> Workspace {
        let mut workspace = Workspace::helped(self.program.clone(), caller);
        workspace.hold(&self.constants);
        workspace
    }
}

/// Nodes, and those of them that are wanted.
type Graph = (Vec<Node>, Vec<Id>);

/// Programs by the graphs that they carry out.
#[derive(Default)]
pub struct Programs {
    known: Mutex<HashMap<Graph, Arc<Program>>>,
}

/// Programs that are kept; with more, they are forgotten.
const MOST_PROGRAMS: usize = 1024;

/// Elements of constants that are copied into the arena of every workspace; with more, a program is planned for its
/// own graph.
const MOST_ELEMENTS: usize = 1 << 16;

impl Programs {
    /// The program that computes `roots`, from a position vector of `dim` entries.
    pub fn plan(&self, builder: &Builder, roots: &[Id], dim: usize) -> Planned {
        let (opened, roots_of_it, constants) = builder.opened(roots, dim, is_pass);
        let elements: usize = constants.iter().map(|c| c.values().len()).sum();
        if elements > MOST_ELEMENTS || !opened.nodes().iter().all(|node| is_comparable(&node.op)) {
            return plan(builder, roots).into();
        }
        let key = (opened.nodes().to_vec(), roots_of_it);
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(program) = known().get(&key) {
            let program = program.clone();
            return Planned { program, constants };
        }
        let program = Arc::new(plan_keeping(&opened, &key.1, dim));
        let mut known = known();
        if known.len() >= MOST_PROGRAMS {
            known.clear();
        }
        known.insert(key, program.clone());
        Planned { program, constants }
    }
}

/// Whether an op is part of passes, where constants are arrays like any other.
fn is_pass(op: &Op) -> bool {
    matches!(op, Op::Map(_) | Op::Reduce(..) | Op::Dot)
}

/// Whether ops made for two data sets are known to be equal if they are.
fn is_comparable(op: &Op) -> bool {
    !matches!(op, Op::Loop(_) | Op::LoopGradient(_) | Op::Foreign(_))
}

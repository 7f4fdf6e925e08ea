//! Loops over steps, PyTensor's Scan: a body, planned like any graph, that runs once a step.
//!
//! The value of a loop is packed: what each trace received in all steps, trace after trace.

use super::elements::elements;
use super::{Builder, Id};
use crate::kernels::isa::Isa;
use crate::kernels::loops::Compiled;
use crate::kernels::machine::Program;
use crate::plan;
use crate::rewrite::fuse::fuse;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A shared value that equals itself alone.
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    /// Shares a value.
    pub fn new(value: T) -> Shared<T> {
        Shared(Arc::new(value))
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({:p})", self.0)
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Shared<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Eq for Shared<T> {}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

/// Where an input of the body comes from, at a step.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// The step's row of an input of the loop, which has as many rows as there are steps.
    Row(usize),
    /// An input of the loop, the same in all steps.
    Whole(usize),
    /// What a trace received some steps before.
    Earlier {
        /// Which trace.
        trace: usize,
        /// How many steps.
        lag: usize,
    },
}

/// An input of the body.
#[derive(Clone, Copy, Debug)]
pub struct Input {
    /// Its node in the body.
    pub id: Id,
    /// Where it comes from.
    pub source: Source,
    /// Number of elements.
    pub size: usize,
}

/// A result of the body, over all steps.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    /// Elements that a step adds.
    pub size: usize,
    /// Rows that stand before the first step.
    pub lead: usize,
    /// The input of the loop that holds those rows, if there are any and they are read.
    pub initial: Option<usize>,
    /// Where the trace begins in the loop's value.
    pub start: usize,
}

/// A loop with its body.
pub struct Loop {
    /// Number of steps.
    pub steps: usize,
    /// The body; the position of its parameter k is k.
    pub builder: Builder,
    /// The body's parameters.
    pub inputs: Vec<Input>,
    /// What the body computes, one a trace.
    pub results: Vec<Id>,
    /// In the order of `results`.
    pub traces: Vec<Trace>,
    /// The body, planned.
    pub program: Arc<Program>,
    /// The loop as machine code, if it can be, written at its first use.
    pub code: OnceLock<Option<Compiled>>,
}

impl Loop {
    /// The loop as machine code, if it can be.
    pub fn compiled(&self) -> Option<&Compiled> {
        let compile = || Compiled::forward(self, Isa::detect());
        self.code.get_or_init(compile).as_ref()
    }
}

/// A trace whose adjoint is carried from step to step, backwards.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// Elements of a row.
    pub size: usize,
    /// Rows that stand before the first step.
    pub lead: usize,
    /// Where the adjoint of what the steps added begins in the adjoint of the loop's value.
    pub given: usize,
    /// Where the adjoints of all rows begin in the result.
    pub start: usize,
}

/// The reverse of a loop, or of the part of it that has to be done step by step.
///
/// Inputs: the adjoint of the loop's value, then what the body reads. Packed result: for each carried trace the adjoints of
/// all its rows, then what the targets receive. `Source::Earlier` as an input is the adjoint of what the step added
/// to a carried trace (its lag counts nothing); as a target that of the row which the step read.
pub struct LoopGradient {
    /// Number of steps.
    pub steps: usize,
    /// The body's parameters; the position of parameter k is k.
    pub inputs: Vec<Input>,
    /// Whose adjoints are carried.
    pub carried: Vec<Carried>,
    /// Where the body's results are added to, in their order: whose adjoint, its elements, and where that begins in the
    /// result.
    pub targets: Vec<(Source, usize, usize)>,
    /// Elements of the result.
    pub size: usize,
    /// The body, planned.
    pub program: Arc<Program>,
    /// The loop as machine code, if it can be, written at its first use.
    pub code: OnceLock<Option<Compiled>>,
}

impl LoopGradient {
    /// The loop as machine code, if it can be.
    pub fn compiled(&self) -> Option<&Compiled> {
        let compile = || Compiled::backward(self, Isa::detect());
        self.code.get_or_init(compile).as_ref()
    }
}

/// A body's program: what is the same in all steps is loaded once, so no input may be overwritten. Its outputs are
/// the results, or the elements of each, one after the other.
pub fn body_program(builder: &Builder, results: &[Id]) -> Arc<Program> {
    let written_out = elements(builder, results);
    let (fused, results) = match &written_out {
        Some((scalars, results)) => fuse(scalars, &results.concat()),
        None => fuse(builder, results),
    };
    Arc::new(plan::plan_repeated(&fused, &results))
}

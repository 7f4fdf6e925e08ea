//! Loops over steps, PyTensor's Scan: a body, planned like any graph, that runs once a step.
//!
//! The value of a loop is packed: what each trace received in all steps, trace after trace.

use super::{Builder, Id};
use crate::kernels::machine::Program;
use crate::plan;
use crate::rewrite::fuse::fuse;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

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
    /// Nowhere: nobody reads it.
    Unused,
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
}

/// The reverse of a loop. Inputs: adjoint of its value, its value, then its inputs. Packed result: for each
/// carried trace the adjoints of all its rows (working memory, of which the leading rows are a result), then
/// the adjoints of the loop's inputs.
pub struct LoopGradient {
    /// The loop itself. The reverse body has its parameters, then the adjoint of each trace's row.
    pub forward: Shared<Loop>,
    /// Where the adjoints of the rows of a trace begin in the result; traces that later steps read have one.
    pub carried: Vec<Option<usize>>,
    /// Inputs whose adjoint the body computes, in the order of its results, and where that goes.
    pub targets: Vec<(Input, usize)>,
    /// Elements of the result.
    pub size: usize,
    /// The body with its reverse, planned.
    pub program: Arc<Program>,
}

/// A body's program: what is the same in all steps is loaded once, so no input may be overwritten.
pub fn body_program(builder: &Builder, results: &[Id]) -> Arc<Program> {
    let (fused, results) = fuse(builder, results);
    Arc::new(plan::plan_repeated(&fused, &results))
}

//! The bound graph: data in, every shape known. What differentiation and planning work on.
//!
//! Ops are few: elementwise functions, views and tables of positions (which serve all indexing),
//! reductions, running sums and products, concatenation, matrix products, lookups and convolutions.

mod builder;
mod convolution;
mod copy;
mod elements;
mod linalg;
mod lookup;
pub mod loops;
mod print;
pub mod steps;

pub use print::op_text;

pub use builder::Builder;
pub use convolution::Convolution;
pub use copy::Copy;
pub use linalg::{Linalg, LowerAdjoint, Routine};
pub use lookup::Lookup;

use crate::foreign::Call;
use crate::graph::DType;
use crate::kernels::whole::Failure;
use crate::scalar::ScalarFn;
use crate::tensor::{Table, Tensor, size_of};
use loops::{Loop, LoopGradient, Shared};
use std::sync::Arc;
use thiserror::Error;

/// Index of a node; inputs come before their users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(pub u32);

impl Id {
    /// Position in [`Builder::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A reduction over axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Reduction {
    Sum,
    Prod,
    Max,
    Min,
    Any,
    All,
    BitAnd,
    BitOr,
    BitXor,
    /// Flat position of the first maximum among the reduced elements.
    Argmax,
}

/// A running reduction along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Running {
    Sum,
    Prod,
}

/// Operation of a bound node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A stretch of the position vector.
    Parameter {
        /// Name of the value variable.
        name: Arc<str>,
        /// First entry in the position vector.
        offset: usize,
    },
    /// A value known at bind time.
    Constant(Arc<Tensor>),
    /// Elementwise function; an input has the node's size or a single element.
    Map(ScalarFn),
    /// The same elements under another shape.
    Reshape,
    /// Element `offset + sum_k strides[k] i_k` of the input at index i; strides may be zero or negative.
    View {
        /// Flat position of the first element.
        offset: usize,
        /// Step in the input an axis of the output.
        strides: Vec<isize>,
    },
    /// Element `table[i]` of the input at flat index i.
    Gather(Arc<Table>),
    /// Zeros with element i of the input added at `table[i]`.
    ScatterAdd(Arc<Table>),
    /// Reduction over the middle axis of the input seen as (outer, length, inner).
    Reduce(Reduction, [usize; 3]),
    /// Sum of the products of two arrays' elements.
    Dot,
    /// Running reduction along the middle axis of (outer, length, inner).
    Run(Running, [usize; 3]),
    /// Inputs side by side; each is (outer, `parts[k]`) when flattened.
    Concat {
        /// Product of the axes before the joined one.
        outer: usize,
        /// An input's elements for one outer index.
        parts: Vec<usize>,
    },
    /// Matrix product over a batch: (batch, m, k) x (batch, k, n), each optionally stored transposed.
    MatMul {
        /// batch, m, k, n
        sizes: [usize; 4],
        /// Whether the first, the second is stored transposed.
        transposed: [bool; 2],
    },
    /// Positions that are values of the graph; sorting and searching.
    Lookup(Lookup),
    /// (batch, n) with (batch, k) along the last axis.
    Convolve(Convolution, [usize; 3]),
    /// A body carried out step by step.
    Loop(Shared<Loop>),
    /// The reverse of a loop.
    LoopGradient(Shared<LoopGradient>),
    /// A function of others; a packed vector of its results.
    Foreign(Call),
    /// Linear algebra on stacks of matrices.
    Linalg(Linalg),
}

/// A node of the bound graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// From which nodes.
    pub inputs: Vec<Id>,
    /// Lengths of its axes.
    pub shape: Vec<usize>,
    /// Type of its elements.
    pub dtype: DType,
}

impl Node {
    /// Number of elements.
    pub fn size(&self) -> usize {
        size_of(&self.shape)
    }

    /// The value, if it is a constant.
    pub fn constant(&self) -> Option<&Arc<Tensor>> {
        match &self.op {
            Op::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }
}

/// Why a graph cannot be bound or differentiated, in words for the user.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BindError {
    /// Data or shapes do not fit, or something is not known how to be done.
    #[error("{0}")]
    Misfit(String),
    /// A shape, or a position that must be known at bind, depends on a parameter.
    #[error("{text}")]
    Varies {
        /// What depends on which parameter.
        text: String,
        /// The outputs that it is needed for.
        outputs: Vec<String>,
    },
}

impl From<Failure> for BindError {
    fn from(failure: Failure) -> BindError {
        BindError::Misfit(failure.0)
    }
}

#[cfg(test)]
mod tests;

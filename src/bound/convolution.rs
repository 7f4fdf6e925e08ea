//! Convolution and correlation: each is the adjoint of the other.

use super::{Builder, Id, Op};
use crate::graph::DType;
use crate::tensor::size_of;

/// A sum of products of the elements of two vectors at shifted places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Convolution {
    /// `y[i + j] += x[i] w[j]`.
    Full,
    /// `y[i] = sum_j x[i + j] w[j]` with w inside x.
    Correlation,
}

impl Convolution {
    /// Elements of the result, of n and k elements.
    pub fn length(self, n: usize, k: usize) -> usize {
        match self {
            Convolution::Full => n + k - 1,
            Convolution::Correlation => n - k + 1,
        }
    }
}

impl Builder {
    /// A convolution along the last axis of two arrays whose other axes are equal.
    pub fn convolve(&mut self, convolution: Convolution, x: Id, w: Id) -> Id {
        let mut shape = self.shape(x).to_vec();
        let n = shape.pop().expect("what is convolved has an axis");
        let k = *self.shape(w).last().expect("what is convolved has an axis");
        let batch = size_of(&shape);
        shape.push(convolution.length(n, k));
        let dtype = self.node(x).dtype.max(self.node(w).dtype).max(DType::Int64);
        let op = Op::Convolve(convolution, [batch, n, k]);
        self.push(op, vec![x, w], shape, dtype)
    }
}

//! Ops whose positions are values of the graph: lookups by parameters, sorting, searching.
//!
//! A position is a flat index held as a number. One that lies outside its array is NaN, or becomes NaN in what is
//! read or written: the density is NaN there, which rejects the point, where NumPy would raise.

use super::{Builder, Id, Op};
use crate::graph::DType;
use crate::scalar::ScalarFn;
use crate::tensor::{Tensor, broadcast_shapes, size_of};
use std::fmt;

/// An op on positions that are values of the graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// (indices of each indexed axis) to flat positions; negative indices count from the end.
    Positions {
        /// Length and stride of each indexed axis.
        axes: Vec<(usize, usize)>,
    },
    /// (x, positions): the elements of x at the positions.
    Gather,
    /// (y, positions): zeros with element i of y added at position i.
    ScatterAdd,
    /// (positions): for each element of the result the last i whose position names it, or -1.
    LastWriter,
    /// (x): for each row of this length the order that sorts it; ties keep their order, NaN is last.
    Argsort {
        /// Elements of a row.
        length: usize,
    },
    /// (sorted vector, x): how many elements of the vector are less than x, or not greater.
    Searchsorted {
        /// Whether equal elements count.
        right: bool,
    },
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lookup::Positions { axes } => write!(f, "positions axes={axes:?}"),
            Lookup::Gather => f.write_str("gather_at"),
            Lookup::ScatterAdd => f.write_str("scatter_add_at"),
            Lookup::LastWriter => f.write_str("last_writer"),
            Lookup::Argsort { length } => write!(f, "argsort length={length}"),
            Lookup::Searchsorted { right } => write!(f, "searchsorted right={right}"),
        }
    }
}

impl Builder {
    /// Flat positions `sum_k strides[k] indices[k]` of index arrays that broadcast to one shape; `axes` gives
    /// length and stride of the axis that each of them indexes.
    pub fn positions(&mut self, indices: &[Id], axes: Vec<(usize, usize)>) -> Option<Id> {
        let mut shape = vec![];
        for &index in indices {
            shape = broadcast_shapes(&shape, self.shape(index))?;
        }
        let indices = indices.iter().map(|&index| match self.scalar_of(index) {
            Some(scalar) => scalar,
            None => self.broadcast(index, &shape),
        });
        let indices = indices.collect();
        let op = Op::Lookup(Lookup::Positions { axes });
        Some(self.push(op, indices, shape, DType::Int64))
    }

    /// The elements of x at flat positions.
    pub fn gather_at(&mut self, x: Id, positions: Id) -> Id {
        let (shape, dtype) = (self.shape(positions).to_vec(), self.node(x).dtype);
        let op = Op::Lookup(Lookup::Gather);
        self.push(op, vec![x, positions], shape, dtype)
    }

    /// Zeros of `shape` with the elements of y added at flat positions; y has the shape of the positions, or a
    /// single element for all.
    pub fn scatter_add_at(&mut self, y: Id, positions: Id, shape: Vec<usize>) -> Id {
        let dtype = self.node(y).dtype.max(DType::Int64);
        let op = Op::Lookup(Lookup::ScatterAdd);
        self.push(op, vec![y, positions], shape, dtype)
    }

    /// x with the elements of y, of the positions' shape, at flat positions; of equal positions the last counts.
    pub fn set_at(&mut self, x: Id, y: Id, positions: Id) -> Id {
        let shape = self.shape(x).to_vec();
        let op = Op::Lookup(Lookup::LastWriter);
        let writer = self.push(op, vec![positions], shape, DType::Int64);
        let none = self.typed_constant(Tensor::scalar(-1.0), DType::Int64);
        let zero = self.typed_constant(Tensor::scalar(0.0), DType::Int64);
        let written = self.map(ScalarFn::Ne, &[writer, none]);
        let from = self.map(ScalarFn::Maximum, &[writer, zero]);
        let values = self.gather_at(y, from);
        self.select(written, values, x)
    }

    /// The order that sorts x along its last axis.
    pub fn argsort(&mut self, x: Id) -> Id {
        let shape = self.shape(x).to_vec();
        let length = *shape.last().expect("what is sorted has an axis");
        let op = Op::Lookup(Lookup::Argsort { length });
        self.push(op, vec![x], shape, DType::Int64)
    }

    /// The elements of x, its last axis picked by `order`, of its shape or with another length of that axis.
    pub fn take_along_last(&mut self, x: Id, order: Id) -> Id {
        let (from, to) = (self.shape(x).to_vec(), self.shape(order).to_vec());
        let length = *from.last().expect("what is picked from has an axis");
        let rows = size_of(&to[..to.len() - 1]);
        let starts: Vec<f64> = (0..rows).map(|row| (row * length) as f64).collect();
        let lead = [&to[..to.len() - 1], &[1]].concat();
        let starts = self.typed_constant(Tensor::new(lead, &starts), DType::Int64);
        let within = self
            .positions(&[order], vec![(length, 1)])
            .expect("one array broadcasts with itself");
        let positions = self.add(starts, within);
        self.gather_at(x, positions)
    }

    /// For each element of x, how many of a sorted vector's are less, or not greater if `right`.
    pub fn searchsorted(&mut self, sorted: Id, x: Id, right: bool) -> Id {
        let shape = self.shape(x).to_vec();
        if self.size(sorted) == 0 {
            let zeros = vec![0.0; size_of(&shape)];
            return self.typed_constant(Tensor::new(shape, &zeros), DType::Int64);
        }
        let op = Op::Lookup(Lookup::Searchsorted { right });
        self.push(op, vec![sorted, x], shape, DType::Int64)
    }

    /// `axis` moved to the end, by the order of axes that does it and the order that undoes it.
    pub fn axis_to_end(rank: usize, axis: usize) -> [Vec<usize>; 2] {
        let there: Vec<usize> = (0..rank).filter(|&k| k != axis).chain([axis]).collect();
        let mut back = vec![0; rank];
        for (new, &old) in there.iter().enumerate() {
            back[old] = new;
        }
        [there, back]
    }
}

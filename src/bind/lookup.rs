//! Lowers indices that depend on parameters, sorting, distinct elements, branches and convolutions.

use super::{Binder, fail, index, varies};
use crate::bound::{BindError, Builder, Convolution, Id};
use crate::graph::{DType, IndexEntry, UniquePart};
use crate::tensor::{Tensor, broadcast_shapes, contiguous_strides, size_of};
use index::Place;
use std::cmp::Ordering;
use std::sync::Arc;

impl Binder<'_> {
    /// Whether all leaves of an index are known, so that [`index::place`] resolves it.
    pub(super) fn is_known(&self, leaves: &[Id]) -> bool {
        let known = |&leaf: &Id| self.b.constant_value(leaf).is_some();
        leaves.iter().all(known)
    }

    /// Flat positions, a node of the shape of `x[index]`, where an index depends on a parameter.
    ///
    /// They are those of the index with zeros in place of what is not known, moved by what that turns out to be.
    pub(super) fn positions(
        &mut self,
        x: Id,
        spec: &[IndexEntry],
        leaves: &[Id],
    ) -> Result<Id, BindError> {
        let lengths = self.b.shape(x).to_vec();
        let strides = contiguous_strides(&lengths);
        let (mut known, mut computed, mut axes) = (vec![], vec![], vec![]);
        let (mut axis, mut number) = (0, 0);
        for entry in spec {
            for &leaf in &leaves[number..number + entry.leaves()] {
                let node = self.b.node(leaf);
                let (shape, dtype) = (node.shape.clone(), node.dtype);
                let is_mask = *entry == IndexEntry::Array && dtype == DType::Bool;
                match (self.b.constant_value(leaf), entry) {
                    (Some(value), _) => known.push((value.clone(), dtype)),
                    (None, IndexEntry::Slice { .. }) => {
                        return varies("the bound of a slice depends on a parameter");
                    }
                    (None, _) if is_mask => {
                        return varies("a mask depends on a parameter");
                    }
                    (None, _) => {
                        let zeros = vec![0.0; size_of(&shape)];
                        known.push((Arc::new(Tensor::new(shape, &zeros)), dtype));
                        computed.push(leaf);
                        axes.push((lengths[axis], strides[axis] as usize));
                    }
                }
                if is_mask {
                    axis += self.b.shape(leaf).len() - 1;
                }
            }
            number += entry.leaves();
            axis += 1;
        }
        let room = |size: usize| Ok(self.b.check_size(size)?);
        let place = index::place(&lengths, spec, &known, &room)?;
        let behind = match &place {
            Place::View { shape, .. } => shape.len(),
            Place::Table {
                shape, advanced, ..
            } => shape.len() - advanced.end,
        };
        let (positions, shape) = place.into_positions()?;
        let positions: Vec<f64> = positions.into_iter().map(f64::from).collect();
        let start = Tensor::new(shape, &positions);
        let start = self.b.typed_constant(start, DType::Int64);
        let moves = self.b.positions(&computed, axes);
        let moves = moves.expect("`place` has seen that index arrays broadcast");
        let spread = [self.b.shape(moves), &vec![1; behind]].concat();
        let moves = self.b.reshape(moves, &spread);
        Ok(self.b.add(start, moves))
    }

    /// x in ascending order along an axis, or the order that sorts it.
    pub(super) fn sorted(&mut self, x: Id, axis: usize, values: bool) -> Id {
        let rank = self.b.shape(x).len();
        let [there, back] = Builder::axis_to_end(rank, axis);
        let x = self.b.transpose(x, &there);
        let order = self.b.argsort(x);
        let result = match values {
            true => self.b.take_along_last(x, order),
            false => order,
        };
        self.b.transpose(result, &back)
    }

    /// NumPy's `unique` of data.
    pub(super) fn unique(
        &mut self,
        x: Id,
        axis: Option<usize>,
        part: UniquePart,
    ) -> Result<Id, BindError> {
        let shape = self.b.shape(x).to_vec();
        // Slices along the axis, or elements, as rows.
        let rows_first = match axis {
            Some(axis) => {
                let order: Vec<usize> = [axis]
                    .into_iter()
                    .chain((0..shape.len()).filter(|&k| k != axis))
                    .collect();
                self.b.transpose(x, &order)
            }
            None => self.b.reshape(x, &[size_of(&shape)]),
        };
        let from = self.b.shape(rows_first).to_vec();
        let (count, width) = (from[0], size_of(&from[1..]));
        let Some(value) = self.b.constant_value(rows_first).cloned() else {
            return varies("`unique` is of a value that depends on a parameter");
        };
        let row = |i: usize| &value.values()[i * width..(i + 1) * width];
        let compare = |&i: &usize, &j: &usize| {
            let pairs = row(i).iter().zip(row(j));
            let mut orders =
                pairs.map(|(a, b)| a.partial_cmp(b).unwrap_or(a.is_nan().cmp(&b.is_nan())));
            orders.find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        };
        let mut sorted: Vec<usize> = (0..count).collect();
        sorted.sort_by(compare);
        let groups: Vec<&[usize]> = sorted.chunk_by(|i, j| compare(i, j).is_eq()).collect();
        Ok(match part {
            UniquePart::Values => {
                let values: Vec<f64> = groups.iter().flat_map(|g| row(g[0])).copied().collect();
                let shape = [&[groups.len()], &from[1..]].concat();
                let dtype = self.b.node(x).dtype;
                let distinct = self.b.typed_constant(Tensor::new(shape, &values), dtype);
                let axis = axis.unwrap_or(0);
                let order: Vec<usize> = (1..=axis).chain([0]).chain(axis + 1..from.len()).collect();
                self.b.transpose(distinct, &order)
            }
            UniquePart::Index => {
                let first: Vec<i64> = groups.iter().map(|g| g[0] as i64).collect();
                self.vector(&first)
            }
            UniquePart::Inverse => {
                let mut inverse = vec![0; count];
                for (number, group) in groups.iter().enumerate() {
                    group.iter().for_each(|&i| inverse[i] = number as i64);
                }
                self.vector(&inverse)
            }
            UniquePart::Counts => {
                let counts: Vec<i64> = groups.iter().map(|g| g.len() as i64).collect();
                self.vector(&counts)
            }
        })
    }

    /// What data are at every place along their first axes.
    pub(super) fn common(&mut self, x: Id, axes: usize) -> Result<Id, BindError> {
        let node = self.b.node(x);
        let (shape, dtype) = (node.shape[axes..].to_vec(), node.dtype);
        let Some(value) = node.constant() else {
            return varies("a shape depends on a parameter");
        };
        let size = size_of(&shape);
        let mut slices = value.values().chunks(size.max(1));
        let first = match slices.next() {
            Some(first) => first,
            None if size == 0 => &[],
            None => return fail("a stack without arrays has no shape of them"),
        };
        if slices.any(|slice| slice != first) {
            return varies("the arrays of a stack are cut at places that differ");
        }
        let first = Tensor::new(shape, first);
        Ok(self.b.typed_constant(first, dtype))
    }

    /// One of two branches; both are computed where the condition depends on a parameter.
    pub(super) fn if_else(&mut self, condition: Id, x: Id, y: Id) -> Result<Id, BindError> {
        match self.b.uniform_value(condition) {
            Some(holds) => Ok(if holds != 0.0 { x } else { y }),
            None if self.b.shape(x) == self.b.shape(y) => Ok(self.b.select(condition, x, y)),
            None => varies(format!(
                "the branches of a condition on a parameter have the shapes {:?} and {:?}",
                self.b.shape(x),
                self.b.shape(y)
            )),
        }
    }

    /// NumPy's `convolve` along the last axis, "full" or "valid".
    pub(super) fn convolve(&mut self, x: Id, w: Id, full: Id) -> Result<Id, BindError> {
        let full = self.integer(full)? != 0;
        let (sx, sw) = (self.b.shape(x).to_vec(), self.b.shape(w).to_vec());
        let (n, k) = (sx[sx.len() - 1], sw[sw.len() - 1]);
        if n == 0 || k == 0 {
            return fail("an array to be convolved is empty");
        }
        let Some(batch) = broadcast_shapes(&sx[..sx.len() - 1], &sw[..sw.len() - 1]) else {
            return fail(format!(
                "stacks of vectors of shapes {sx:?} and {sw:?} do not broadcast"
            ));
        };
        let x = self.b.broadcast(x, &[&batch[..], &[n]].concat());
        let w = self.b.broadcast(w, &[&batch[..], &[k]].concat());
        if full {
            return Ok(self.b.convolve(Convolution::Full, x, w));
        }
        let (long, short) = if n >= k { (x, w) } else { (w, x) };
        let short = self.backwards(short);
        Ok(self.b.convolve(Convolution::Correlation, long, short))
    }

    /// The last axis in reverse.
    fn backwards(&mut self, x: Id) -> Id {
        let shape = self.b.shape(x).to_vec();
        let (last, mut strides) = (shape.len() - 1, contiguous_strides(&shape));
        strides[last] = -1;
        let start = shape[last] - 1;
        self.b.view(x, start, strides, shape)
    }
}

//! Every op of a template in terms of the bound graph's.

use super::index::Place;
use super::{Binder, fail, varies};
use crate::bound::{BindError, Id, Reduction, Running};
use crate::graph::{DType, NodeId, Op};
use crate::scalar::ScalarFn;
use crate::tensor::{Table, Tensor, broadcast_shapes, contiguous_strides, size_of};
use std::sync::Arc;

impl Binder<'_> {
    /// A reduction whose axes stay with length 1.
    fn reduce_keeping(&mut self, reduction: Reduction, id: Id, axes: &[usize]) -> Id {
        let mut shape = self.b.shape(id).to_vec();
        axes.iter().for_each(|&axis| shape[axis] = 1);
        let reduced = self.b.reduce(reduction, id, axes);
        self.b.reshape(reduced, &shape)
    }

    /// x less its maximum over the axes (kept with length 1), and that maximum; it carries no gradient,
    /// which would cancel. An infinite maximum counts as 0.
    fn shifted(&mut self, x: Id, axes: &[usize]) -> (Id, Id) {
        let top = self.reduce_keeping(Reduction::Max, x, axes);
        let top = self.b.map(ScalarFn::StopGradient, &[top]);
        let infinite = self.b.map(ScalarFn::IsInf, &[top]);
        let zero = self.b.number(0.0);
        let top = self.b.select(infinite, zero, top);
        (self.b.sub(x, top), top)
    }

    /// The bound node of a template node whose inputs are bound.
    pub(super) fn lower(&mut self, id: NodeId) -> Result<Id, BindError> {
        let graph = self.graph;
        let node = &graph.nodes()[id];
        let inputs: Vec<Id> = node.inputs.iter().map(|&input| self.bound(input)).collect();
        Ok(match &node.op {
            Op::Parameter { .. } | Op::Data { .. } => unreachable!("leaves are bound by name"),
            Op::Loop { body, arguments } => self.run_loop(id, body, arguments, &inputs)?,
            Op::Foreign { function, given } => self.foreign(id, function, *given, inputs)?,
            Op::Part { index } => self.parts[&node.inputs[0]][*index],
            Op::Constant { shape, values } => self
                .b
                .typed_constant(Tensor::shared(shape.clone(), values), node.dtype),
            Op::Map { function } => self.fold_map(*function, &inputs)?,
            Op::Clip => {
                let [x, lo, hi] = [inputs[0], inputs[1], inputs[2]];
                let low = self.b.try_map(ScalarFn::Lt, &[x, lo])?;
                let high = self.b.try_map(ScalarFn::Gt, &[x, hi])?;
                let capped = self.b.try_map(ScalarFn::Where, &[high, hi, x])?;
                self.b.try_map(ScalarFn::Where, &[low, lo, capped])?
            }
            Op::Cast { dtype } => {
                let function = match dtype {
                    DType::Bool => ScalarFn::ToBool,
                    DType::Int64 => ScalarFn::ToInt64,
                    DType::Float64 => ScalarFn::ToFloat64,
                };
                self.b.map(function, &inputs)
            }
            Op::Check { .. } => {
                let mut x = inputs[0];
                for &condition in &inputs[1..] {
                    x = self.b.map(ScalarFn::Check, &[x, condition]);
                }
                x
            }
            Op::Assert { message } => {
                let mut x = inputs[0];
                for &condition in &inputs[1..] {
                    match self.b.uniform_value(condition) {
                        Some(holds) if holds != 0.0 => {}
                        Some(_) => return fail(message.as_str()),
                        None if node.dtype == DType::Float64 => {
                            x = self.b.map(ScalarFn::Check, &[x, condition]);
                        }
                        None => {}
                    }
                }
                x
            }
            Op::Dimshuffle { order } => self.dimshuffle(inputs[0], order)?,
            Op::Reshape { ndim } => {
                let wanted = self.integers(inputs[1])?;
                if wanted.len() != *ndim {
                    return fail(format!(
                        "the shape {wanted:?} must have {ndim} entries, one an axis"
                    ));
                }
                let shape = complete_shape(&wanted, self.b.size(inputs[0]))?;
                self.b.reshape(inputs[0], &shape)
            }
            Op::BroadcastTo => {
                let shape = self.lengths(&inputs[1..])?;
                self.broadcast(inputs[0], &shape)?
            }
            Op::BroadcastLike => {
                let (x, like) = (self.b.shape(inputs[0]), self.b.shape(inputs[1]));
                match broadcast_shapes(x, like) {
                    Some(shape) => self.b.broadcast(inputs[0], &shape),
                    None => return fail(format!("shapes {x:?} and {like:?} do not broadcast")),
                }
            }
            Op::Shape => {
                let lengths: Vec<i64> = self.b.shape(inputs[0]).iter().map(|&n| n as i64).collect();
                self.vector(&lengths)
            }
            Op::ShapeI { axis } => {
                let length = self.b.shape(inputs[0])[*axis] as f64;
                self.b.typed_constant(Tensor::scalar(length), DType::Int64)
            }
            Op::SpecifyShape { given } => {
                let wanted = self.lengths(&inputs[1..])?;
                let axes = given
                    .iter()
                    .enumerate()
                    .filter(|(_, given)| **given)
                    .map(|(axis, _)| axis);
                let shape = self.b.shape(inputs[0]);
                for (axis, wanted) in axes.zip(wanted) {
                    if shape[axis] != wanted {
                        let found = shape[axis];
                        return fail(format!(
                            "axis {axis} must have the length {wanted}, but has {found}"
                        ));
                    }
                }
                inputs[0]
            }
            Op::Index { spec } if !self.is_known(&inputs[1..]) => {
                let positions = self.positions(inputs[0], spec, &inputs[1..])?;
                self.b.gather_at(inputs[0], positions)
            }
            Op::SetIndex { spec } | Op::IncIndex { spec } if !self.is_known(&inputs[2..]) => {
                let positions = self.positions(inputs[0], spec, &inputs[2..])?;
                let shape = self.b.shape(positions).to_vec();
                let y = self.fitted(inputs[1], &shape)?;
                match node.op {
                    Op::SetIndex { .. } => self.b.set_at(inputs[0], y, positions),
                    _ => {
                        let shape = self.b.shape(inputs[0]).to_vec();
                        let added = self.b.scatter_add_at(y, positions, shape);
                        self.b.add(inputs[0], added)
                    }
                }
            }
            Op::Index { spec } => {
                let place = self.place(inputs[0], spec, &inputs[1..])?;
                match place {
                    Place::View {
                        offset,
                        strides,
                        shape,
                    } => self.b.view(inputs[0], offset, strides, shape),
                    Place::Table {
                        positions, shape, ..
                    } => self
                        .b
                        .gather(inputs[0], Arc::new(Table::new(positions)), shape),
                }
            }
            Op::SetIndex { spec } => {
                let (positions, y) = self.target(&inputs, spec)?;
                self.set(inputs[0], y, &positions)?
            }
            Op::IncIndex { spec } => {
                let (positions, y) = self.target(&inputs, spec)?;
                let shape = self.b.shape(inputs[0]).to_vec();
                match positions.is_empty() {
                    true => inputs[0],
                    false => {
                        let added = self
                            .b
                            .scatter_add(y, Arc::new(Table::new(positions)), shape);
                        self.b.add(inputs[0], added)
                    }
                }
            }
            Op::Join { axis } => {
                let first = self.b.shape(inputs[0]).to_vec();
                for &input in &inputs {
                    let shape = self.b.shape(input);
                    if (0..first.len()).any(|k| k != *axis && shape[k] != first[k]) {
                        return fail(format!(
                            "shapes {first:?} and {shape:?} cannot be joined on axis {axis}"
                        ));
                    }
                }
                let parts: Vec<Id> = inputs
                    .iter()
                    .copied()
                    .filter(|&id| self.b.shape(id)[*axis] > 0)
                    .collect();
                match parts.is_empty() {
                    true => inputs[0],
                    false => self.b.concat(&parts, *axis),
                }
            }
            Op::MakeVector => match inputs.is_empty() {
                true => self.vector(&[]),
                false => {
                    let parts: Vec<Id> =
                        inputs.iter().map(|&id| self.b.reshape(id, &[1])).collect();
                    self.b.concat(&parts, 0)
                }
            },
            Op::Arange => {
                let mut bounds = [0.0; 3];
                for (bound, &id) in bounds.iter_mut().zip(&inputs) {
                    let Some(value) = self.b.constant_value(id) else {
                        return varies("the length of a range depends on a parameter");
                    };
                    *bound = value.values()[0];
                }
                let [start, stop, step] = bounds;
                let length = ((stop - start) / step).ceil().max(0.0);
                if !length.is_finite() || length.is_nan() {
                    return fail("a range has the step 0");
                }
                self.b.check_size(length as usize)?;
                let values: Vec<f64> = (0..length as usize)
                    .map(|i| start + i as f64 * step)
                    .collect();
                self.b
                    .typed_constant(Tensor::new(vec![values.len()], &values), node.dtype)
            }
            Op::Eye | Op::Tri => {
                let shape = self.lengths(&inputs[..2])?;
                self.b.check_size(size_of(&shape))?;
                let diagonal = self.integer(inputs[2])?;
                let keeps = |i: usize, j: usize| {
                    let column = diagonal.saturating_add(i as i64);
                    if node.op == Op::Eye {
                        j as i64 == column
                    } else {
                        j as i64 <= column
                    }
                };
                let values: Vec<f64> = (0..shape[0])
                    .flat_map(|i| (0..shape[1]).map(move |j| (i, j)))
                    .map(|(i, j)| f64::from(keeps(i, j)))
                    .collect();
                self.b.constant(Tensor::new(shape, &values))
            }
            Op::Nonzero { axis } => {
                let Some(x) = self.b.constant_value(inputs[0]) else {
                    return varies("`nonzero` is of a value that depends on a parameter");
                };
                let strides = contiguous_strides(x.shape());
                let along =
                    |flat: usize| (flat / strides[*axis] as usize % x.shape()[*axis]) as i64;
                let nonzero = x
                    .values()
                    .iter()
                    .enumerate()
                    .filter(|(_, value)| **value != 0.0);
                let positions: Vec<i64> = nonzero.map(|(flat, _)| along(flat)).collect();
                self.vector(&positions)
            }
            Op::ExtractDiag {
                offset,
                axis1,
                axis2,
            } => self.diagonal(inputs[0], *offset, *axis1, *axis2),
            Op::Sum { axes } => self.b.reduce(Reduction::Sum, inputs[0], axes),
            Op::Prod { axes } => self.b.reduce(Reduction::Prod, inputs[0], axes),
            Op::Max { axes } => self.b.reduce(Reduction::Max, inputs[0], axes),
            Op::Min { axes } => self.b.reduce(Reduction::Min, inputs[0], axes),
            Op::Any { axes } => self.b.reduce(Reduction::Any, inputs[0], axes),
            Op::All { axes } => self.b.reduce(Reduction::All, inputs[0], axes),
            Op::Argmax { axes } => self.b.reduce(Reduction::Argmax, inputs[0], axes),
            Op::Bitwise { function, axes } => {
                let reduction = match function {
                    ScalarFn::BitAnd => Reduction::BitAnd,
                    ScalarFn::BitOr => Reduction::BitOr,
                    _ => Reduction::BitXor,
                };
                self.b.reduce(reduction, inputs[0], axes)
            }
            Op::Sort { axis } => self.sorted(inputs[0], *axis, true),
            Op::Argsort { axis } => self.sorted(inputs[0], *axis, false),
            Op::Searchsorted { right } => self.b.searchsorted(inputs[0], inputs[1], *right),
            Op::Unique { axis, part } => self.unique(inputs[0], *axis, *part)?,
            Op::Common { axes } => self.common(inputs[0], *axes)?,
            Op::IfElse => self.if_else(inputs[0], inputs[1], inputs[2])?,
            Op::Convolve => self.convolve(inputs[0], inputs[1], inputs[2])?,
            Op::Cumsum { axis } => self.b.run(Running::Sum, inputs[0], *axis),
            Op::Cumprod { axis } => self.b.run(Running::Prod, inputs[0], *axis),
            Op::Matmul => self.matmul(inputs[0], inputs[1])?,
            op @ (Op::Cholesky { .. }
            | Op::SolveTriangular { .. }
            | Op::Solve { .. }
            | Op::Det
            | Op::LogAbsDet
            | Op::Inverse
            | Op::Eigh { .. }
            | Op::Qr
            | Op::BlockDiagonal) => self.linalg(id, op, &inputs)?,
            Op::Softmax { axes } => {
                let (x, _) = self.shifted(inputs[0], axes);
                let e = self.b.map(ScalarFn::Exp, &[x]);
                let total = self.reduce_keeping(Reduction::Sum, e, axes);
                self.b.map(ScalarFn::Div, &[e, total])
            }
            Op::LogSoftmax { axes } => {
                let (x, _) = self.shifted(inputs[0], axes);
                let e = self.b.map(ScalarFn::Exp, &[x]);
                let total = self.reduce_keeping(Reduction::Sum, e, axes);
                let log = self.b.map(ScalarFn::Log, &[total]);
                self.b.sub(x, log)
            }
            Op::Logsumexp { axes } => {
                let (x, top) = self.shifted(inputs[0], axes);
                let e = self.b.map(ScalarFn::Exp, &[x]);
                let total = self.b.reduce(Reduction::Sum, e, axes);
                let log = self.b.map(ScalarFn::Log, &[total]);
                let shape = self.b.shape(log).to_vec();
                let top = self.b.reshape(top, &shape);
                self.b.add(log, top)
            }
        })
    }

    fn fold_map(&mut self, function: ScalarFn, inputs: &[Id]) -> Result<Id, BindError> {
        if function.arity() != 2 || inputs.len() == 2 {
            return self.b.try_map(function, inputs);
        }
        let mut value = inputs[0];
        for &input in &inputs[1..] {
            value = self.b.try_map(function, &[value, input])?;
        }
        Ok(value)
    }

    fn dimshuffle(&mut self, x: Id, order: &[i64]) -> Result<Id, BindError> {
        let from = self.b.shape(x).to_vec();
        for (axis, &length) in from.iter().enumerate() {
            if length != 1 && !order.contains(&(axis as i64)) {
                return fail(format!(
                    "axis {axis} of length {length} cannot be dropped; only length 1 can"
                ));
            }
        }
        let contiguous = contiguous_strides(&from);
        let (mut shape, mut strides) = (vec![], vec![]);
        for &axis in order {
            let axis = usize::try_from(axis).ok();
            shape.push(axis.map_or(1, |axis| from[axis]));
            strides.push(axis.map_or(0, |axis| contiguous[axis]));
        }
        Ok(self.b.view(x, 0, strides, shape))
    }

    fn diagonal(&mut self, x: Id, offset: i64, axis1: usize, axis2: usize) -> Id {
        let from = self.b.shape(x).to_vec();
        let contiguous = contiguous_strides(&from);
        let (below, above) = (offset.min(0).unsigned_abs(), offset.max(0).unsigned_abs());
        let rows = from[axis1].saturating_sub(below as usize);
        let columns = from[axis2].saturating_sub(above as usize);
        // An empty diagonal may start anywhere.
        let start = match rows.min(columns) {
            0 => 0,
            _ => contiguous[axis1] * below as isize + contiguous[axis2] * above as isize,
        };
        let (mut shape, mut strides) = (vec![], vec![]);
        for axis in (0..from.len()).filter(|&axis| axis != axis1 && axis != axis2) {
            shape.push(from[axis]);
            strides.push(contiguous[axis]);
        }
        shape.push(rows.min(columns));
        strides.push(contiguous[axis1] + contiguous[axis2]);
        self.b.view(x, start as usize, strides, shape)
    }
}

/// The shape with its -1 worked out.
fn complete_shape(wanted: &[i64], size: usize) -> Result<Vec<usize>, BindError> {
    let lengths = wanted.iter().filter(|&&n| n != -1);
    let known: i64 = lengths.fold(1, |size: i64, &n| size.saturating_mul(n));
    let open = wanted.iter().filter(|&&n| n == -1).count();
    let fits = match open {
        0 => known == size as i64,
        1 => known > 0 && size as i64 % known == 0,
        _ => false,
    };
    if !fits || wanted.iter().any(|&n| n < -1) {
        return fail(format!("{size} elements cannot be reshaped to {wanted:?}"));
    }
    Ok(wanted
        .iter()
        .map(|&n| {
            if n == -1 {
                size / known as usize
            } else {
                n as usize
            }
        })
        .collect())
}

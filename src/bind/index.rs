//! NumPy's index expressions, resolved to strides or to flat positions.

use super::{Binder, fail, varies};
use crate::bound::{BindError, Id};
use crate::graph::{DType, IndexEntry};
use crate::tensor::{Table, Tensor, broadcast_shapes, contiguous_strides, size_of};
use std::ops::Range;
use std::sync::Arc;

/// Where the elements of `x[index]` lie in x.
pub enum Place {
    /// At regular steps.
    View {
        offset: usize,
        strides: Vec<isize>,
        shape: Vec<usize>,
    },
    /// At listed flat positions, row-major.
    Table {
        positions: Vec<u32>,
        shape: Vec<usize>,
        /// Axes of the result that stem from index arrays.
        advanced: Range<usize>,
    },
}

/// One axis of x that is indexed by integers, broadcast together with the others.
struct Advanced {
    stride: isize,
    values: Vec<isize>,
    shape: Vec<usize>,
}

/// Resolves an index expression on an array of the given shape; `leaves` are its inputs in order, `room` refuses
/// sizes that are too large.
pub fn place(
    shape: &[usize],
    spec: &[IndexEntry],
    leaves: &[(Arc<Tensor>, DType)],
    room: &dyn Fn(usize) -> Result<(), BindError>,
) -> Result<Place, BindError> {
    let contiguous = contiguous_strides(shape);
    let mut leaves = leaves.iter();
    let has_arrays = spec.contains(&IndexEntry::Array);
    let (mut offset, mut axis) = (0isize, 0);
    let (mut kept_shape, mut kept_strides) = (vec![], vec![]);
    let mut advanced: Vec<Advanced> = vec![];
    // Kept axes before the advanced ones, and whether those stand side by side.
    let (mut before, mut adjacent, mut last_was_advanced) = (0, true, false);
    for entry in spec {
        match entry {
            IndexEntry::Full => {
                kept_shape.push(shape[axis]);
                kept_strides.push(contiguous[axis]);
                axis += 1;
                last_was_advanced = false;
            }
            IndexEntry::Slice { given } => {
                let mut bounds = [None; 3];
                for (bound, _) in bounds.iter_mut().zip(given).filter(|(_, given)| **given) {
                    *bound = leaves.next().map(|(value, _)| value.values()[0] as i64);
                }
                let (start, step, length) = slice(shape[axis], bounds)?;
                offset += start as isize * contiguous[axis];
                kept_shape.push(length);
                // With one element or none, the step may be any number.
                let step = if length > 1 { step as isize } else { 1 };
                kept_strides.push(contiguous[axis] * step);
                axis += 1;
                last_was_advanced = false;
            }
            IndexEntry::Integer | IndexEntry::Array => {
                let (value, dtype) = leaves.next().expect("the graph has counted the inputs");
                if *entry == IndexEntry::Integer && !has_arrays {
                    offset += position(value.values()[0], shape[axis], axis)? * contiguous[axis];
                    axis += 1;
                    continue;
                }
                if advanced.is_empty() {
                    before = kept_shape.len();
                } else if !last_was_advanced {
                    adjacent = false;
                }
                last_was_advanced = true;
                if *dtype == DType::Bool && *entry == IndexEntry::Array {
                    axis = mask(shape, &contiguous, axis, value, &mut advanced)?;
                } else {
                    let positions = value
                        .values()
                        .iter()
                        .map(|&v| position(v, shape[axis], axis));
                    advanced.push(Advanced {
                        stride: contiguous[axis],
                        values: positions.collect::<Result<_, _>>()?,
                        shape: value.shape().to_vec(),
                    });
                    axis += 1;
                }
            }
        }
    }
    kept_shape.extend(&shape[axis..]);
    kept_strides.extend(&contiguous[axis..]);
    if advanced.is_empty() {
        // An empty view may start one past the end.
        let offset = if size_of(&kept_shape) == 0 {
            0
        } else {
            offset as usize
        };
        return Ok(Place::View {
            offset,
            strides: kept_strides,
            shape: kept_shape,
        });
    }
    let (offsets, advanced_shape) = combine(&advanced, room)?;
    room(size_of(&kept_shape).saturating_mul(offsets.len()))?;
    let before = if adjacent { before } else { 0 };
    let head = offsets_of(&kept_shape[..before], &kept_strides[..before]);
    let tail = offsets_of(&kept_shape[before..], &kept_strides[before..]);
    let mut positions = Vec::with_capacity(head.len() * offsets.len() * tail.len());
    for h in &head {
        for o in &offsets {
            positions.extend(tail.iter().map(|t| (offset + h + o + t) as u32));
        }
    }
    check_size(size_of(shape))?;
    let shape = [
        &kept_shape[..before],
        &advanced_shape,
        &kept_shape[before..],
    ]
    .concat();
    let advanced = before..before + advanced_shape.len();
    Ok(Place::Table {
        positions,
        shape,
        advanced,
    })
}

impl Place {
    /// The flat positions and their shape.
    pub fn into_positions(self) -> Result<(Vec<u32>, Vec<usize>), BindError> {
        match self {
            Place::Table {
                positions, shape, ..
            } => Ok((positions, shape)),
            Place::View {
                offset,
                strides,
                shape,
            } => {
                let offsets = offsets_of(&shape, &strides);
                check_size(
                    offsets
                        .iter()
                        .max()
                        .map_or(0, |&most| most as usize + offset),
                )?;
                Ok((
                    offsets
                        .iter()
                        .map(|o| (offset as isize + o) as u32)
                        .collect(),
                    shape,
                ))
            }
        }
    }
}

fn check_size(size: usize) -> Result<(), BindError> {
    match size > u32::MAX as usize {
        true => fail("an indexed array has more than 2**32 elements"),
        false => Ok(()),
    }
}

/// A position counted from the end if negative, within its axis.
fn position(value: f64, length: usize, axis: usize) -> Result<isize, BindError> {
    let wrapped = if value < 0.0 {
        value + length as f64
    } else {
        value
    };
    match wrapped >= 0.0 && wrapped < length as f64 {
        true => Ok(wrapped as isize),
        false => fail(format!(
            "index {value} is out of bounds for axis {axis} of length {length}"
        )),
    }
}

/// Start, step and length of a Python slice.
fn slice(
    length: usize,
    [start, stop, step]: [Option<i64>; 3],
) -> Result<(i64, i64, usize), BindError> {
    let n = length as i64;
    let step = step.unwrap_or(1);
    if step == 0 {
        return fail("the step of a slice is 0");
    }
    let (lowest, highest) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clamp = |bound: i64| {
        if bound < 0 {
            (bound + n).max(lowest)
        } else {
            bound.min(highest)
        }
    };
    let (first, last) = if step > 0 {
        (lowest, highest)
    } else {
        (highest, lowest)
    };
    let start = start.map_or(first, clamp);
    let stop = stop.map_or(last, clamp);
    let distance = if step > 0 { stop - start } else { start - stop };
    let count = if distance > 0 {
        (distance - 1) / step.saturating_abs() + 1
    } else {
        0
    };
    Ok((if count == 0 { 0 } else { start }, step, count as usize))
}

/// A mask over one or several axes is the list of its true positions; returns the next axis.
fn mask(
    shape: &[usize],
    contiguous: &[isize],
    axis: usize,
    mask: &Tensor,
    advanced: &mut Vec<Advanced>,
) -> Result<usize, BindError> {
    let end = axis + mask.shape().len();
    if shape[axis..end] != *mask.shape() {
        return fail(format!(
            "a mask of shape {:?} indexes axes of lengths {:?}",
            mask.shape(),
            &shape[axis..end]
        ));
    }
    let strides = contiguous_strides(mask.shape());
    let chosen: Vec<usize> = (0..mask.values().len())
        .filter(|&i| mask.values()[i] != 0.0)
        .collect();
    // A single truth value consumes no axis: it keeps all behind a new axis, or nothing.
    if mask.shape().is_empty() {
        advanced.push(Advanced {
            stride: 0,
            values: vec![0; chosen.len()],
            shape: vec![chosen.len()],
        });
    }
    for (k, &length) in mask.shape().iter().enumerate() {
        let values = chosen
            .iter()
            .map(|flat| (flat / strides[k] as usize % length) as isize)
            .collect();
        advanced.push(Advanced {
            stride: contiguous[axis + k],
            values,
            shape: vec![chosen.len()],
        });
    }
    Ok(end)
}

/// Offsets of the advanced axes together, and their broadcast shape.
fn combine(
    advanced: &[Advanced],
    room: &dyn Fn(usize) -> Result<(), BindError>,
) -> Result<(Vec<isize>, Vec<usize>), BindError> {
    let mut shape = vec![];
    for one in advanced {
        shape = match broadcast_shapes(&shape, &one.shape) {
            Some(shape) => shape,
            None => {
                return fail(format!(
                    "index arrays of shapes {shape:?} and {:?} do not broadcast",
                    one.shape
                ));
            }
        };
    }
    room(size_of(&shape))?;
    let mut offsets = vec![0; size_of(&shape)];
    for one in advanced {
        let own = contiguous_strides(&one.shape);
        let lead = shape.len() - one.shape.len();
        let strides: Vec<isize> = (0..shape.len())
            .map(|axis| match axis.checked_sub(lead) {
                Some(k) if one.shape[k] != 1 => own[k],
                _ => 0,
            })
            .collect();
        for (offset, from) in offsets.iter_mut().zip(offsets_of(&shape, &strides)) {
            *offset += one.values[from as usize] * one.stride;
        }
    }
    Ok((offsets, shape))
}

/// Offsets of all elements of a strided array, row-major.
pub fn offsets_of(shape: &[usize], strides: &[isize]) -> Vec<isize> {
    let mut offsets = vec![0];
    for (&length, &stride) in shape.iter().zip(strides) {
        offsets = offsets
            .iter()
            .flat_map(|&offset| (0..length as isize).map(move |i| offset + i * stride))
            .collect();
    }
    offsets
}

impl Binder<'_> {
    /// Where `x[index]` lies; every leaf of the index must be constant.
    pub(super) fn place(
        &mut self,
        x: Id,
        spec: &[IndexEntry],
        leaves: &[Id],
    ) -> Result<Place, BindError> {
        let mut arrays = Vec::with_capacity(leaves.len());
        for &leaf in leaves {
            match self.b.constant_value(leaf) {
                Some(value) => arrays.push((value.clone(), self.b.node(leaf).dtype)),
                None => return varies("an index depends on a parameter"),
            }
        }
        let room = |size: usize| Ok(self.b.check_size(size)?);
        place(self.b.shape(x), spec, &arrays, &room)
    }

    /// Flat positions that `x[index]` names, and what goes there, broadcast to their shape.
    pub(super) fn target(
        &mut self,
        inputs: &[Id],
        spec: &[IndexEntry],
    ) -> Result<(Vec<u32>, Id), BindError> {
        let place = self.place(inputs[0], spec, &inputs[2..])?;
        let (positions, shape) = place.into_positions()?;
        Ok((positions, self.fitted(inputs[1], &shape)?))
    }

    /// What is assigned, broadcast to the shape of its place.
    pub(super) fn fitted(&mut self, y: Id, shape: &[usize]) -> Result<Id, BindError> {
        // NumPy drops leading axes of length 1 from what is assigned.
        let given = self.b.shape(y).to_vec();
        let extra = given.len().saturating_sub(shape.len());
        let y = match given[..extra].iter().all(|&length| length == 1) {
            true => self.b.reshape(y, &given[extra..]),
            false => y,
        };
        self.broadcast(y, shape)
    }

    /// `x` with `y` at flat positions; of equal positions the last one counts.
    pub(super) fn set(&mut self, x: Id, y: Id, positions: &[u32]) -> Result<Id, BindError> {
        let shape = self.b.shape(x).to_vec();
        if positions.is_empty() {
            return Ok(x);
        }
        let mut writer = vec![u32::MAX; size_of(&shape)];
        for (i, &position) in positions.iter().enumerate() {
            writer[position as usize] = i as u32;
        }
        let written: Vec<f64> = writer.iter().map(|&w| f64::from(w != u32::MAX)).collect();
        let from = writer
            .iter()
            .map(|&w| if w == u32::MAX { 0 } else { w })
            .collect();
        let values = self.b.gather(y, Arc::new(Table::new(from)), shape.clone());
        let mask = self
            .b
            .typed_constant(Tensor::new(shape, &written), DType::Bool);
        Ok(self.b.select(mask, values, x))
    }
}

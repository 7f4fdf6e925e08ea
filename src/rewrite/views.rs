//! Views of what was put together from several arrays read the one that their elements come from.
//!
//! A Scan writes its first state into the array of all states, and its results are cut out of it again.

use crate::bind::index::offsets_of;
use crate::bound::{Builder, Id, Op};
use crate::scalar::ScalarFn;
use crate::tensor::{Table, contiguous_strides, size_of};
use std::sync::Arc;

/// A view of a concatenation, of a choice by a constant, or of fewer elements than a gather has.
pub fn view(
    b: &mut Builder,
    x: Id,
    offset: usize,
    strides: &[isize],
    shape: &[usize],
) -> Option<(&'static str, Id)> {
    if size_of(shape) == 0 {
        return None;
    }
    let node = b.node(x);
    let inputs = &node.inputs;
    match &node.op {
        Op::Concat { outer: 1, parts } => {
            let reach = shape.iter().zip(strides);
            let reach = reach.map(|(&length, &stride)| (length as isize - 1) * stride);
            let (down, up): (Vec<isize>, Vec<isize>) = reach.partition(|&reach| reach < 0);
            let first = offset.checked_add_signed(down.iter().sum())?;
            let last = offset.checked_add_signed(up.iter().sum())?;
            let mut start = 0;
            let (part, start) = inputs.iter().zip(parts).find_map(|(&part, &length)| {
                start += length;
                let begins = start - length;
                (begins <= first && last < start).then_some((part, begins))
            })?;
            let is_same_type = b.node(part).dtype == node.dtype;
            is_same_type.then(|| {
                let view = b.view(part, offset - start, strides.to_vec(), shape.to_vec());
                ("concat(x, y)[part of x] = x[part]", view)
            })
        }
        Op::Map(ScalarFn::Where) => {
            let chosen = b.constant_value(inputs[0])?.values();
            let mut chosen = places(offset, strides, shape).map(|place| chosen[place] != 0.0);
            let first = chosen.next()?;
            if chosen.any(|other| other != first) {
                return None;
            }
            let branch = inputs[if first { 1 } else { 2 }];
            let (is_scalar, is_same_type) =
                (b.size(branch) == 1, b.node(branch).dtype == node.dtype);
            is_same_type.then(|| {
                let value = match is_scalar {
                    true => b.broadcast(branch, shape),
                    false => b.view(branch, offset, strides.to_vec(), shape.to_vec()),
                };
                (
                    "where(c, x, y)[part] = x[part] where c holds in all of it",
                    value,
                )
            })
        }
        Op::Gather(table) if size_of(shape) < node.size() => {
            let source = inputs[0];
            let read: Vec<u32> = places(offset, strides, shape)
                .map(|place| table[place])
                .collect();
            let is_stretch = read.windows(2).all(|pair| pair[0] + 1 == pair[1]);
            let value = match is_stretch {
                true => b.view(
                    source,
                    read[0] as usize,
                    contiguous_strides(shape),
                    shape.to_vec(),
                ),
                false => b.gather(source, Arc::new(Table::new(read)), shape.to_vec()),
            };
            Some(("x[i][j] = x[i[j]]", value))
        }
        _ => None,
    }
}

/// The flat positions that a view reads.
fn places(offset: usize, strides: &[isize], shape: &[usize]) -> impl Iterator<Item = usize> {
    let offsets = offsets_of(shape, strides).into_iter();
    offsets.map(move |place| (offset as isize + place) as usize)
}

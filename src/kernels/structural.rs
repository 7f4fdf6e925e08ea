//! Kernels that move or combine whole arrays: views, gathers, scatters, reductions, running sums, products of matrices.
//!
//! Safe code over row-major slices, one fixed order of operations on every processor.

use super::simd::LANES;
use super::sum;
use crate::bound::{Reduction, Running};

/// Most axes that an array may have.
pub const MAX_RANK: usize = 32;

/// Elements up to which the last axes of a view are copied by a table of offsets: loops over them take longer to start
/// than to run.
const TILE: usize = 16;

/// Copies the elements of a strided view, row-major.
pub fn view(source: &[f64], offset: usize, strides: &[isize], shape: &[usize], out: &mut [f64]) {
    assert!(
        shape.len() <= MAX_RANK,
        "arrays have at most {MAX_RANK} axes"
    );
    if out.is_empty() {
        return;
    }
    let start = offset as isize;
    // Offsets of the elements of the last axes.
    let (mut tile, mut size) = ([0; TILE], 1);
    if out.len() <= TILE {
        for (&length, &stride) in shape.iter().zip(strides).rev() {
            size = extend(&mut tile, size, length, stride);
        }
        return copy_tiles(source, start, 0, &tile[..size], out);
    }
    // (length, stride) of each axis; two that follow on each other are one. On the stack: evaluations do not allocate.
    let (mut axes, mut rank) = ([(0, 0); MAX_RANK], 0);
    for (&length, &stride) in shape
        .iter()
        .zip(strides)
        .filter(|(length, _)| **length != 1)
    {
        match axes[..rank].last_mut() {
            Some((before, step)) if *step == stride * length as isize => {
                (*before, *step) = (*before * length, stride);
            }
            _ => {
                axes[rank] = (length, stride);
                rank += 1;
            }
        }
    }
    while let Some(&(length, stride)) = axes[..rank].last()
        && size * length <= TILE
    {
        size = extend(&mut tile, size, length, stride);
        rank -= 1;
    }
    let (length, stride) = axes[..rank]
        .last()
        .copied()
        .expect("there are more elements than a tile has");
    let lead = &axes[..rank - 1];
    match (size, stride) {
        (1, 0) => rows(lead, start, length, out, |start, row| {
            row.fill(source[start as usize]);
        }),
        (1, 1) => rows(lead, start, length, out, |start, row| {
            row.copy_from_slice(&source[start as usize..][..length]);
        }),
        // Of lengths that the compiler knows.
        (1, _) => rows(lead, start, length, out, |start, row| {
            copy_known::<1>(source, start, stride, &tile, row);
        }),
        (2, _) => rows(lead, start, 2 * length, out, |start, row| {
            copy_known::<2>(source, start, stride, &tile, row);
        }),
        (3, _) => rows(lead, start, 3 * length, out, |start, row| {
            copy_known::<3>(source, start, stride, &tile, row);
        }),
        (4, _) => rows(lead, start, 4 * length, out, |start, row| {
            copy_known::<4>(source, start, stride, &tile, row);
        }),
        _ => rows(lead, start, size * length, out, |start, row| {
            copy_tiles(source, start, stride, &tile[..size], row);
        }),
    }
}

/// Repeats the offsets of a tile along an axis; returns how many there are then.
#[inline(always)]
fn extend(tile: &mut [isize; TILE], size: usize, length: usize, stride: isize) -> usize {
    for i in 1..length {
        for k in 0..size {
            tile[i * size + k] = tile[k] + i as isize * stride;
        }
    }
    size * length
}

/// Calls `copy` with the start of each row of `size` elements and where it goes, in order.
#[inline(always)]
fn rows(
    lead: &[(usize, isize)],
    mut start: isize,
    size: usize,
    out: &mut [f64],
    copy: impl Fn(isize, &mut [f64]),
) {
    let mut index = [0; MAX_RANK];
    for row in out.chunks_exact_mut(size) {
        copy(start, row);
        for (index, &(length, stride)) in index.iter_mut().zip(lead).rev() {
            *index += 1;
            start += stride;
            if *index < length {
                break;
            }
            start -= stride * length as isize;
            *index = 0;
        }
    }
}

/// [`copy_tiles`] for tiles of `N` elements.
#[inline(always)]
fn copy_known<const N: usize>(
    source: &[f64],
    mut start: isize,
    stride: isize,
    tile: &[isize; TILE],
    out: &mut [f64],
) {
    let out = out.as_chunks_mut::<N>().0;
    let element = |start: isize, k: usize| source[(start + tile[k]) as usize];
    if stride == 0 {
        return out.fill(std::array::from_fn(|k| element(start, k)));
    }
    if tile[..N].iter().all(|&offset| offset == 0) {
        for row in out {
            *row = [source[start as usize]; N];
            start += stride;
        }
        return;
    }
    for row in out {
        *row = std::array::from_fn(|k| element(start, k));
        start += stride;
    }
}

/// Copies tiles, each `stride` behind the one before it.
#[inline(always)]
fn copy_tiles(source: &[f64], mut start: isize, stride: isize, tile: &[isize], out: &mut [f64]) {
    for row in out.chunks_exact_mut(tile.len()) {
        for (value, offset) in row.iter_mut().zip(tile) {
            *value = source[(start + offset) as usize];
        }
        start += stride;
    }
}

/// `out[i] = source[table[i]]`
pub fn gather(source: &[f64], table: &[u32], out: &mut [f64]) {
    for (value, &position) in out.iter_mut().zip(table) {
        *value = source[position as usize];
    }
}

/// `out[table[i]] += source[i]`; a source of one element is added at every position.
pub fn scatter_add(source: &[f64], table: &[u32], out: &mut [f64]) {
    match source {
        [value] => table
            .iter()
            .for_each(|&position| out[position as usize] += value),
        _ => {
            for (value, &position) in source.iter().zip(table) {
                out[position as usize] += value;
            }
        }
    }
}

/// Lengths of axes up to which a kernel for long ones takes longer to start than to run.
const FEW: usize = 8;

/// Reduces the middle axis of (outer, length, inner).
pub fn reduce(
    reduction: Reduction,
    sizes @ [outer, length, inner]: [usize; 3],
    source: &[f64],
    out: &mut [f64],
) {
    let truth = |x: bool| f64::from(x);
    match reduction {
        Reduction::Sum if inner == 1 => sum::rows(source, length, out),
        Reduction::Sum if length > FEW || inner > FEW => {
            for o in 0..outer {
                let block = &source[o * length * inner..(o + 1) * length * inner];
                sum::columns(block, length, &mut out[o * inner..(o + 1) * inner]);
            }
        }
        Reduction::Sum => fold(sizes, source, out, 0.0, |value, x| value + x),
        Reduction::Prod => fold(sizes, source, out, 1.0, |value, x| value * x),
        // A NaN wins, as in NumPy.
        Reduction::Max => extreme(sizes, source, out, f64::NEG_INFINITY, |value, x| {
            if x > value || x.is_nan() { x } else { value }
        }),
        Reduction::Min => extreme(sizes, source, out, f64::INFINITY, |value, x| {
            if x < value || x.is_nan() { x } else { value }
        }),
        Reduction::Any => fold(sizes, source, out, 0.0, |value, x| {
            truth(value != 0.0 || x != 0.0)
        }),
        Reduction::All => fold(sizes, source, out, 1.0, |value, x| {
            truth(value != 0.0 && x != 0.0)
        }),
        Reduction::BitAnd => fold(sizes, source, out, -1.0, |value, x| {
            (value as i64 & x as i64) as f64
        }),
        Reduction::BitOr => fold(sizes, source, out, 0.0, |value, x| {
            (value as i64 | x as i64) as f64
        }),
        Reduction::BitXor => fold(sizes, source, out, 0.0, |value, x| {
            (value as i64 ^ x as i64) as f64
        }),
        Reduction::Argmax => {
            for (p, value) in out.iter_mut().enumerate() {
                let (o, i) = (p / inner, p % inner);
                *value = argmax((0..length).map(|l| source[(o * length + l) * inner + i]));
            }
        }
    }
}

/// The largest or smallest elements, or another combination that is the same in any order, from `initial` on.
#[inline(always)]
fn extreme(
    sizes @ [_, length, inner]: [usize; 3],
    source: &[f64],
    out: &mut [f64],
    initial: f64,
    combine: impl Fn(f64, f64) -> f64 + Copy,
) {
    if inner != 1 || length <= FEW {
        return fold(sizes, source, out, initial, combine);
    }
    for (value, row) in out.iter_mut().zip(source.chunks_exact(length)) {
        let (chunks, rest) = row.as_chunks::<LANES>();
        let mut lanes = [initial; LANES];
        for chunk in chunks {
            for i in 0..LANES {
                lanes[i] = combine(lanes[i], chunk[i]);
            }
        }
        *value = initial;
        for &x in lanes.iter().chain(rest) {
            *value = combine(*value, x);
        }
    }
}

/// Combines the elements of the middle axis in their order, from `initial` on.
#[inline(always)]
fn fold(
    [outer, length, inner]: [usize; 3],
    source: &[f64],
    out: &mut [f64],
    initial: f64,
    combine: impl Fn(f64, f64) -> f64 + Copy,
) {
    out.fill(initial);
    if length == 0 {
        return;
    }
    match inner {
        0 => {}
        1 => fold_rows::<1>(length, source, out, combine),
        2 => fold_rows::<2>(length, source, out, combine),
        3 => fold_rows::<3>(length, source, out, combine),
        4 => fold_rows::<4>(length, source, out, combine),
        _ => {
            for o in 0..outer {
                let out = &mut out[o * inner..(o + 1) * inner];
                for row in source[o * length * inner..][..length * inner].chunks_exact(inner) {
                    for (value, &x) in out.iter_mut().zip(row) {
                        *value = combine(*value, x);
                    }
                }
            }
        }
    }
}

/// [`fold`] for an inner axis of few elements.
#[inline(always)]
fn fold_rows<const INNER: usize>(
    length: usize,
    source: &[f64],
    out: &mut [f64],
    combine: impl Fn(f64, f64) -> f64 + Copy,
) {
    let source = source.as_chunks::<INNER>().0;
    let out = out.as_chunks_mut::<INNER>().0;
    let combine = |values: &mut [f64; INNER], row: &[f64; INNER]| {
        for i in 0..INNER {
            values[i] = combine(values[i], row[i]);
        }
    };
    // Of lengths that the compiler knows.
    match length {
        2 => fold_known::<INNER, 2>(source, out, combine),
        3 => fold_known::<INNER, 3>(source, out, combine),
        4 => fold_known::<INNER, 4>(source, out, combine),
        _ => {
            for (rows, out) in source.chunks_exact(length).zip(out) {
                rows.iter().for_each(|row| combine(out, row));
            }
        }
    }
}

/// [`fold_rows`] of so many rows each.
#[inline(always)]
fn fold_known<const INNER: usize, const LENGTH: usize>(
    source: &[[f64; INNER]],
    out: &mut [[f64; INNER]],
    combine: impl Fn(&mut [f64; INNER], &[f64; INNER]),
) {
    for (rows, out) in source.as_chunks::<LENGTH>().0.iter().zip(out) {
        let mut values = *out;
        rows.iter().for_each(|row| combine(&mut values, row));
        *out = values;
    }
}

fn argmax(values: impl Iterator<Item = f64>) -> f64 {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, x) in values.enumerate() {
        if i == 0 || x > best.1 || (x.is_nan() && !best.1.is_nan()) {
            best = (i, x);
        }
    }
    best.0 as f64
}

/// Running sum or product along the middle axis of (outer, length, inner).
pub fn run(running: Running, [outer, length, inner]: [usize; 3], source: &[f64], out: &mut [f64]) {
    if length == 0 || inner == 0 {
        return;
    }
    for o in 0..outer {
        let block = o * length * inner..(o + 1) * length * inner;
        let (source, out) = (&source[block.clone()], &mut out[block]);
        out[..inner].copy_from_slice(&source[..inner]);
        for l in 1..length {
            let (done, rest) = out.split_at_mut(l * inner);
            let previous = &done[(l - 1) * inner..];
            let next = rest[..inner].iter_mut().zip(&source[l * inner..]);
            for ((value, &x), &p) in next.zip(previous) {
                *value = match running {
                    Running::Sum => p + x,
                    Running::Prod => p * x,
                };
            }
        }
    }
}

/// Inputs side by side: `parts[k]` elements of input k for each outer index.
pub fn concat<'a>(
    outer: usize,
    parts: &[usize],
    sources: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) {
    let width: usize = parts.iter().sum();
    let mut start = 0;
    for (k, &part) in parts.iter().enumerate() {
        let source = sources(k);
        for o in 0..outer {
            out[o * width + start..o * width + start + part]
                .copy_from_slice(&source[o * part..(o + 1) * part]);
        }
        start += part;
    }
}

#[cfg(test)]
mod tests;

//! Kernels that move or combine whole arrays: views, gathers, scatters, reductions, running sums, products of matrices.
//!
//! Safe code over row-major slices, one fixed order of operations on every processor.

use super::sum;
use crate::bound::{Reduction, Running};

/// Copies the elements of a strided view, row-major.
pub fn view(source: &[f64], offset: usize, strides: &[isize], shape: &[usize], out: &mut [f64]) {
    let Some((&last, lead)) = shape.split_last() else {
        out[0] = source[offset];
        return;
    };
    let step = strides[lead.len()];
    let mut index = vec_small(lead.len());
    let mut start = offset as isize;
    for row in out.chunks_exact_mut(last.max(1)) {
        match step {
            0 => row.fill(source[start as usize]),
            1 => row.copy_from_slice(&source[start as usize..start as usize + last]),
            _ => {
                for (i, value) in row.iter_mut().enumerate() {
                    *value = source[(start + i as isize * step) as usize];
                }
            }
        }
        for axis in (0..lead.len()).rev() {
            index[axis] += 1;
            start += strides[axis];
            if index[axis] < lead[axis] {
                break;
            }
            start -= strides[axis] * lead[axis] as isize;
            index[axis] = 0;
        }
    }
}

/// A counter for each leading axis, on the stack: the loop must not allocate.
fn vec_small(rank: usize) -> [usize; MAX_RANK] {
    assert!(rank < MAX_RANK, "arrays have at most {MAX_RANK} axes");
    [0; MAX_RANK]
}

/// Most axes that an array may have.
pub const MAX_RANK: usize = 32;

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

/// Lengths of axes below which a kernel takes longer to start than to run.
const FEW: usize = 8;

/// Reduces the middle axis of (outer, length, inner).
pub fn reduce(
    reduction: Reduction,
    [outer, length, inner]: [usize; 3],
    source: &[f64],
    out: &mut [f64],
) {
    if inner == 1 && reduction == Reduction::Sum {
        return sum::rows(source, length, out);
    }
    if inner == 1 {
        for (row, value) in out.iter_mut().enumerate().take(outer) {
            *value = reduce_row(reduction, &source[row * length..(row + 1) * length]);
        }
        return;
    }
    let is_few = |n: usize| (1..=FEW).contains(&n);
    if is_few(length) && is_few(inner) && reduction != Reduction::Argmax {
        for (block, out) in source
            .chunks_exact(length * inner)
            .zip(out.chunks_exact_mut(inner))
        {
            for (i, value) in out.iter_mut().enumerate() {
                let elements = block[i..].iter().step_by(inner);
                *value = elements.fold(initial(reduction), |x, &y| combine(reduction, x, y));
            }
        }
        return;
    }
    for o in 0..outer {
        let block = &source[o * length * inner..(o + 1) * length * inner];
        let out = &mut out[o * inner..(o + 1) * inner];
        match reduction {
            Reduction::Sum => sum::columns(block, length, out),
            Reduction::Argmax => {
                for (i, value) in out.iter_mut().enumerate() {
                    *value = argmax((0..length).map(|l| block[l * inner + i]));
                }
            }
            _ => {
                out.fill(initial(reduction));
                for row in block.chunks_exact(inner) {
                    for (value, &x) in out.iter_mut().zip(row) {
                        *value = combine(reduction, *value, x);
                    }
                }
            }
        }
    }
}

fn reduce_row(reduction: Reduction, row: &[f64]) -> f64 {
    match reduction {
        Reduction::Argmax => argmax(row.iter().copied()),
        _ => row
            .iter()
            .fold(initial(reduction), |value, &x| combine(reduction, value, x)),
    }
}

fn initial(reduction: Reduction) -> f64 {
    match reduction {
        Reduction::Sum | Reduction::Any | Reduction::Argmax => 0.0,
        Reduction::BitOr | Reduction::BitXor => 0.0,
        Reduction::Prod | Reduction::All => 1.0,
        Reduction::BitAnd => -1.0,
        Reduction::Max => f64::NEG_INFINITY,
        Reduction::Min => f64::INFINITY,
    }
}

fn combine(reduction: Reduction, value: f64, x: f64) -> f64 {
    match reduction {
        Reduction::Prod => value * x,
        // A NaN wins, as in NumPy.
        Reduction::Max if x > value || x.is_nan() => x,
        Reduction::Min if x < value || x.is_nan() => x,
        Reduction::Any => f64::from(value != 0.0 || x != 0.0),
        Reduction::All => f64::from(value != 0.0 && x != 0.0),
        Reduction::BitAnd => (value as i64 & x as i64) as f64,
        Reduction::BitOr => (value as i64 | x as i64) as f64,
        Reduction::BitXor => (value as i64 ^ x as i64) as f64,
        Reduction::Sum => value + x,
        Reduction::Max | Reduction::Min | Reduction::Argmax => value,
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

//! Storage of values: aligned to a cache line and padded, so that kernels work in whole chunks of eight lanes.

use super::simd::LANES;
use std::ops::{Deref, DerefMut};

/// Elements reserved for `n` values: whole chunks, and one more so that a chunk may start anywhere inside.
pub fn padded(n: usize) -> usize {
    (n.div_ceil(LANES) + 1) * LANES
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Chunk([f64; LANES]);

/// Aligned f64 storage of whole chunks.
#[derive(Clone, Debug)]
pub struct Buffer(Vec<Chunk>);

impl Buffer {
    /// Zeros, for `n` values and their padding.
    pub fn zeros(n: usize) -> Buffer {
        Buffer(vec![Chunk([0.0; LANES]); padded(n) / LANES])
    }

    /// A copy of `values`; a single one fills all lanes of its chunk.
    pub fn from_values(values: &[f64]) -> Buffer {
        let mut buffer = Buffer::zeros(values.len());
        buffer[..values.len()].copy_from_slice(values);
        if let [value] = values {
            buffer[..LANES].fill(*value);
        }
        buffer
    }
}

impl Deref for Buffer {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        // SAFETY: a Chunk is [f64; 8] without padding (its size 64 is its alignment).
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LANES) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f64] {
        // SAFETY: as above; the mutable borrow of self makes the slice unique.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LANES) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_may_start_at_any_value() {
        for n in [0, 1, 7, 8, 9, 256, 257] {
            let buffer = Buffer::zeros(n);
            assert!(buffer.len() >= n + LANES, "{n}");
            assert_eq!(buffer.len(), padded(n));
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
        }
    }
}

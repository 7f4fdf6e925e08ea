//! Storage of values: aligned to a cache line and padded, so that kernels work in whole chunks of eight lanes.

use super::simd::LANES;
use memmap2::MmapMut;
use std::ops::{Deref, DerefMut};

/// Elements reserved for `n` values: whole chunks, and one more so that a chunk may start anywhere inside.
pub fn padded(n: usize) -> usize {
    (n.div_ceil(LANES) + 1) * LANES
}

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Chunk([f64; LANES]);

/// Elements from which on a buffer has pages of its own. They go back to the system when it is dropped; what the
/// allocator gets back between others it keeps.
const OWN_PAGES: usize = 1 << 17;

/// Aligned f64 storage of whole chunks.
#[derive(Debug)]
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    Chunks(Vec<Chunk>),
    Pages(MmapMut),
}

impl Buffer {
    /// Zeros, for `n` values and their padding.
    pub fn zeros(n: usize) -> Buffer {
        let length = padded(n);
        if n >= OWN_PAGES
            && let Ok(pages) = MmapMut::map_anon(size_of::<f64>() * length)
        {
            return Buffer(Memory::Pages(pages));
        }
        Buffer(Memory::Chunks(vec![Chunk([0.0; LANES]); length / LANES]))
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

impl Clone for Buffer {
    fn clone(&self) -> Buffer {
        let mut copy = Buffer::zeros(self.len() - LANES);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Buffer {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        let (start, length) = match &self.0 {
            Memory::Chunks(chunks) => (chunks.as_ptr().cast(), chunks.len() * LANES),
            Memory::Pages(pages) => (pages.as_ptr().cast(), pages.len() / size_of::<f64>()),
        };
        // SAFETY: a Chunk is [f64; 8] without padding (its size 64 is its alignment); pages are aligned to more, and hold
        // so many numbers.
        unsafe { std::slice::from_raw_parts(start, length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f64] {
        let (start, length) = match &mut self.0 {
            Memory::Chunks(chunks) => (chunks.as_mut_ptr().cast(), chunks.len() * LANES),
            Memory::Pages(pages) => (pages.as_mut_ptr().cast(), pages.len() / size_of::<f64>()),
        };
        // SAFETY: as above; the mutable borrow of self makes the slice unique.
        unsafe { std::slice::from_raw_parts_mut(start, length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_may_start_at_any_value() {
        for n in [0, 1, 7, 8, 9, 256, 257, OWN_PAGES, OWN_PAGES + 9] {
            let mut buffer = Buffer::zeros(n);
            assert!(buffer.len() >= n + LANES, "{n}");
            assert_eq!(buffer.len(), padded(n));
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(buffer.iter().all(|&x| x == 0.0));
            *buffer.last_mut().unwrap() = 3.0;
            assert_eq!(buffer.clone()[..], buffer[..]);
        }
    }
}

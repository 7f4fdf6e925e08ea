//! A constant array: shape, row-major values, and a hash so that equal constants are one node.

use crate::kernels::borrowed::Borrowed;
use crate::kernels::buffer::Buffer;
use crate::kernels::simd::LANES;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// A hash of few operations, for values that nobody chooses to collide; equality is always checked.
#[derive(Default)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words
            .iter()
            .for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let mut word = [0; 8];
            word[..rest.len()].copy_from_slice(rest);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    /// The high bits, where multiplications have left most, brought down.
    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ mixed >> 29
    }
}

/// Number of elements of a shape; the largest number where there are more.
pub fn size_of(shape: &[usize]) -> usize {
    shape
        .iter()
        .fold(1, |size: usize, &n| size.saturating_mul(n))
}

/// Row-major strides of a shape, in elements; without meaning where they would not be representable.
pub fn contiguous_strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].wrapping_mul(shape[axis] as isize);
    }
    strides
}

/// Whether steps of `strides` visit the elements of a shape one after the other.
pub fn is_contiguous(strides: &[isize], shape: &[usize]) -> bool {
    let contiguous = contiguous_strides(shape);
    let mut axes = strides.iter().zip(&contiguous).zip(shape);
    axes.all(|((stride, wanted), &length)| length <= 1 || stride == wanted)
}

/// NumPy's broadcast of two shapes, or `None` where they do not fit.
pub fn broadcast_shapes(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], axis: usize| {
        (axis + shape.len())
            .checked_sub(rank)
            .map_or(1, |i| shape[i])
    };
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (m, n) if m == n => Some(m),
            (1, n) => Some(n),
            (m, 1) => Some(m),
            _ => None,
        })
        .collect()
}

/// Elements that are shared, not copied.
#[derive(Clone, Debug)]
pub enum Values {
    /// Our own.
    Own(Arc<Vec<f64>>),
    /// Those of an array that someone else holds.
    Borrowed(Arc<Borrowed>),
}

impl Deref for Values {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        match self {
            Values::Own(values) => values,
            Values::Borrowed(values) => values,
        }
    }
}

impl From<Vec<f64>> for Values {
    fn from(values: Vec<f64>) -> Values {
        Values::Own(Arc::new(values))
    }
}

impl PartialEq for Values {
    fn eq(&self, other: &Values) -> bool {
        **self == **other
    }
}

/// Where a tensor's elements are.
#[derive(Debug)]
enum Storage {
    /// In memory that kernels can read.
    Padded(Buffer),
    /// With others; kernels get a copy when the first one asks.
    Shared(Values, OnceLock<Buffer>),
}

/// Elements from which on sharing saves more than it costs.
pub const LARGE: usize = 4096;

/// A row-major array of f64; a single element is stored in all lanes, as kernels expect of scalars.
#[derive(Debug)]
pub struct Tensor {
    shape: Vec<usize>,
    values: Storage,
    hash: u64,
}

impl Tensor {
    /// An array of `shape` with the given row-major values.
    pub fn new(shape: Vec<usize>, values: &[f64]) -> Tensor {
        Tensor::stored(shape, values, Storage::Padded(Buffer::from_values(values)))
    }

    /// As [`Tensor::new`], of values at the beginning of a buffer, which is kept.
    pub fn padded(shape: Vec<usize>, mut buffer: Buffer) -> Tensor {
        let size = size_of(&shape);
        if size == 1 {
            let value = buffer[0];
            buffer[..LANES].fill(value);
        }
        let hash = hash(&shape, &buffer[..size]);
        Tensor {
            shape,
            values: Storage::Padded(buffer),
            hash,
        }
    }

    /// The array of a function of each element.
    pub fn map(&self, function: impl Fn(f64) -> f64) -> Tensor {
        let values = self.values();
        let mut buffer = Buffer::zeros(values.len());
        for (to, &from) in buffer.iter_mut().zip(values) {
            *to = function(from);
        }
        Tensor::padded(self.shape.clone(), buffer)
    }

    /// As [`Tensor::new`], of elements that large arrays share.
    pub fn shared(shape: Vec<usize>, values: &Values) -> Tensor {
        if values.len() < LARGE {
            return Tensor::new(shape, values);
        }
        let storage = Storage::Shared(values.clone(), OnceLock::new());
        Tensor::stored(shape, values, storage)
    }

    fn stored(shape: Vec<usize>, values: &[f64], storage: Storage) -> Tensor {
        assert_eq!(
            size_of(&shape),
            values.len(),
            "values do not fill the shape"
        );
        let hash = hash(&shape, values);
        Tensor {
            shape,
            values: storage,
            hash,
        }
    }

    /// A 0-d array.
    pub fn scalar(value: f64) -> Tensor {
        Tensor::new(vec![], &[value])
    }

    /// Lengths of the axes.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Row-major values.
    pub fn values(&self) -> &[f64] {
        match &self.values {
            Storage::Padded(values) => &values[..size_of(&self.shape)],
            Storage::Shared(values, _) => values,
        }
    }

    /// The padded storage that kernels read.
    pub fn buffer(&self) -> &Buffer {
        match &self.values {
            Storage::Padded(values) => values,
            Storage::Shared(values, copy) => copy.get_or_init(|| Buffer::from_values(values)),
        }
    }

    /// Bytes that are this tensor's own.
    pub fn bytes(&self) -> usize {
        match &self.values {
            Storage::Padded(values) => std::mem::size_of_val(&**values),
            Storage::Shared(_, copy) => copy.get().map_or(0, |copy| std::mem::size_of_val(&**copy)),
        }
    }

    /// The one value that all elements share, bit for bit, if there is one.
    pub fn uniform(&self) -> Option<f64> {
        let (first, rest) = self.values().split_first()?;
        rest.iter()
            .all(|value| value.to_bits() == first.to_bits())
            .then_some(*first)
    }
}

fn hash(shape: &[usize], values: &[f64]) -> u64 {
    let mut hasher = Mixer::default();
    shape.hash(&mut hasher);
    for value in values {
        hasher.write_u64(value.to_bits());
    }
    hasher.finish()
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Tensor) -> bool {
        self.hash == other.hash
            && self.shape == other.shape
            && self
                .values()
                .iter()
                .zip(other.values())
                .all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

impl Eq for Tensor {}

impl Hash for Tensor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Flat positions into another array: what a gather reads, or a scatter adds to.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    positions: Vec<u32>,
    hash: u64,
}

impl Table {
    /// A table of flat positions.
    pub fn new(positions: Vec<u32>) -> Table {
        let mut hasher = Mixer::default();
        positions.hash(&mut hasher);
        Table {
            positions,
            hash: hasher.finish(),
        }
    }
}

impl Deref for Table {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        &self.positions
    }
}

impl Hash for Table {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_as_numpys() {
        let both = |a: &[usize], b: &[usize]| broadcast_shapes(a, b);
        assert_eq!(both(&[2, 1], &[3]), Some(vec![2, 3]));
        assert_eq!(both(&[], &[4]), Some(vec![4]));
        assert_eq!(both(&[1], &[0]), Some(vec![0]));
        assert_eq!(both(&[5, 1, 2], &[3, 1]), Some(vec![5, 3, 2]));
        assert_eq!(both(&[2], &[3]), None);
        assert_eq!(both(&[2], &[0]), None);
    }

    #[test]
    fn strides_are_row_major() {
        assert_eq!(contiguous_strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(contiguous_strides(&[]), [0isize; 0]);
    }

    #[test]
    fn a_scalar_fills_its_lanes() {
        let tensor = Tensor::scalar(2.5);
        assert_eq!(tensor.values(), [2.5]);
        assert_eq!(tensor.buffer()[..8], [2.5; 8]);
        assert_eq!(Tensor::new(vec![2], &[1.0, 1.0]).uniform(), Some(1.0));
        assert_eq!(Tensor::new(vec![2], &[0.0, -0.0]).uniform(), None);
        assert_eq!(Tensor::new(vec![0], &[]).uniform(), None);
    }

    #[test]
    fn large_arrays_share_their_elements() {
        let values: Values = (0..LARGE + 3)
            .map(|k| k as f64)
            .collect::<Vec<f64>>()
            .into();
        let (shared, copied) = (
            Tensor::shared(vec![LARGE + 3], &values),
            Tensor::new(vec![LARGE + 3], &values),
        );
        assert_eq!(shared, copied);
        assert_eq!(shared.values().as_ptr(), values.as_ptr());
        assert_eq!(shared.bytes(), 0);
        assert_eq!(shared.buffer()[..], copied.buffer()[..]);
        assert_eq!(shared.bytes(), copied.bytes());
        let small = Tensor::shared(vec![2], &vec![1.0, 2.0].into());
        assert_eq!(small, Tensor::new(vec![2], &[1.0, 2.0]));
    }

    #[test]
    #[should_panic(expected = "values do not fill the shape")]
    fn values_fill_the_shape() {
        Tensor::new(vec![2, 2], &[1.0]);
    }
}

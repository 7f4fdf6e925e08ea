//! Elementwise kernels over chunks of eight lanes, compiled once for each instruction set.

use super::simd::{LANES, Lanes};

/// Most arguments of an elementwise function.
pub const MOST_ARGUMENTS: usize = 4;

/// Where a kernel reads an argument.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// First lane of the first chunk.
    pub pointer: *const f64,
    /// Elements from one chunk to the next: 8 for an array, 0 for a scalar stored in all lanes.
    pub step: usize,
}

impl Source {
    /// Chunk `i`.
    ///
    /// # Safety
    /// The source holds that chunk.
    #[inline(always)]
    pub unsafe fn load<V: Lanes>(&self, i: usize) -> V {
        // SAFETY: the caller vouches for the chunk; [f64; 8] needs the alignment of f64 alone.
        V::from_array(unsafe {
            self.pointer
                .add(i * self.step)
                .cast::<[f64; LANES]>()
                .read()
        })
    }
}

/// Writes chunk `i`.
///
/// # Safety
/// The target holds that chunk.
#[inline(always)]
pub unsafe fn store<V: Lanes>(out: *mut f64, i: usize, value: V) {
    // SAFETY: as in `Source::load`.
    unsafe {
        out.add(i * LANES)
            .cast::<[f64; LANES]>()
            .write(value.to_array())
    }
}

/// Writes `chunks` chunks of a function of up to four arguments; the output may be one of the inputs.
///
/// # Safety
/// The output and each stepping source hold `chunks` whole chunks, a scalar source one, and the
/// processor has the instruction set that the kernel was compiled for.
pub type BlockFn = unsafe fn(*mut f64, &[Source; MOST_ARGUMENTS], usize);

/// The kernels of a function of one to four lanes, indexed by [`super::isa::Isa`]. In the function's
/// expression the type `V` is the [`Lanes`] of the instruction set.
macro_rules! block_fns {
    (@call 1, $f:ident, $s:ident, $i:ident) => { $f($s[0].load::<V>($i)) };
    (@call 2, $f:ident, $s:ident, $i:ident) => { $f($s[0].load::<V>($i), $s[1].load::<V>($i)) };
    (@call 3, $f:ident, $s:ident, $i:ident) => {
        $f($s[0].load::<V>($i), $s[1].load::<V>($i), $s[2].load::<V>($i))
    };
    (@call 4, $f:ident, $s:ident, $i:ident) => {
        $f($s[0].load::<V>($i), $s[1].load::<V>($i), $s[2].load::<V>($i), $s[3].load::<V>($i))
    };
    ($arity:tt, $function:expr) => {
        $crate::kernels::isa::per_isa!(fn(out: *mut f64, sources: &[$crate::kernels::block::Source; $crate::kernels::block::MOST_ARGUMENTS], chunks: usize) {
            let function = $function;
            for i in 0..chunks {
                // SAFETY: the caller vouches for `chunks` chunks behind each pointer.
                unsafe {
                    let value = $crate::kernels::block::block_fns!(@call $arity, function, sources, i);
                    $crate::kernels::block::store::<V>(out, i, value);
                }
            }
        })
    };
}
pub(crate) use block_fns;

/// Writes `chunks` chunks of two functions of one argument; the outputs are apart, and one may be the input.
///
/// # Safety
/// As for [`BlockFn`].
pub type PairFn = unsafe fn([*mut f64; 2], Source, usize);

/// The kernels of two functions of one lane, as [`block_fns`]: the compiler computes once what both need.
macro_rules! pair_fns {
    ($first:expr, $second:expr) => {
        $crate::kernels::isa::per_isa!(fn(out: [*mut f64; 2], source: $crate::kernels::block::Source, chunks: usize) {
            for i in 0..chunks {
                // SAFETY: the caller vouches for `chunks` chunks behind each pointer.
                unsafe {
                    let x = source.load::<V>(i);
                    $crate::kernels::block::store::<V>(out[0], i, $first(x));
                    $crate::kernels::block::store::<V>(out[1], i, $second(x));
                }
            }
        })
    };
}
pub(crate) use pair_fns;

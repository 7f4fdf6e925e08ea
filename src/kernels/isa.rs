//! One kernel body, compiled for every instruction set, chosen at run time.
#![allow(dead_code, unused_imports, unused_macros)]

use std::sync::OnceLock;

use crate::kernels::simd::{LANES, Lanes};

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Any processor of the architecture (on 64-bit ARM: NEON).
    Baseline,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 (F, DQ, VL, BW).
    Avx512,
}

impl Isa {
    /// The fastest instruction set of this processor.
    pub fn detect() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| *Isa::available().last().expect("Baseline is always there"))
    }

    /// Every instruction set that this processor has, the slowest first.
    pub fn available() -> Vec<Isa> {
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma") && has!("bmi2");
            let avx512 =
                has!("avx512f") && has!("avx512dq") && has!("avx512vl") && has!("avx512bw");
            if avx2 && avx512 {
                return vec![Isa::Baseline, Isa::Avx2, Isa::Avx512];
            }
            if avx2 {
                return vec![Isa::Baseline, Isa::Avx2];
            }
        }
        vec![Isa::Baseline]
    }
}

/// Compiles a body for every instruction set; gives an array of function pointers, indexed by
/// `Isa as usize`, in place of an expression or constant.
///
/// In the body the type `V` is the [`Lanes`] of the instruction set. What the body calls must be
/// `#[inline(always)]`, else it is compiled for the baseline. The pointers are `unsafe fn`: the
/// caller answers for the processor having the instruction set (see [`Isa::available`]) and for
/// what the body itself requires.
///
/// ```ignore
/// let dot = per_isa!(fn(x: &[f64], y: &[f64]) -> f64 { dot_lanes::<V>(x, y) });
/// // SAFETY: `detect` names an instruction set of this processor.
/// let product = unsafe { dot[Isa::detect() as usize](&x, &y) };
/// ```
macro_rules! per_isa {
    (fn($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {{
        #[cfg(target_arch = "x86_64")]
        {
            unsafe fn baseline($($arg: $ty),*) $(-> $ret)? {
                type V = $crate::kernels::simd::Portable;
                $body
            }
            #[target_feature(enable = "avx2,fma,bmi2")]
            unsafe fn avx2($($arg: $ty),*) $(-> $ret)? {
                type V = $crate::kernels::simd::Avx2;
                $body
            }
            #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,fma,bmi2")]
            unsafe fn avx512($($arg: $ty),*) $(-> $ret)? {
                type V = $crate::kernels::simd::Avx512;
                $body
            }
            [baseline as unsafe fn($($ty),*) $(-> $ret)?, avx2, avx512]
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            unsafe fn baseline($($arg: $ty),*) $(-> $ret)? {
                #[cfg(target_arch = "aarch64")]
                type V = $crate::kernels::simd::Neon;
                #[cfg(not(target_arch = "aarch64"))]
                type V = $crate::kernels::simd::Portable;
                $body
            }
            [baseline as unsafe fn($($ty),*) $(-> $ret)?; 3]
        }
    }};
}

/// An elementwise kernel `out[i] = f(a[i], b[i], c[i])` over `8 * chunks` elements.
///
/// # Safety
///
/// The processor has the instruction set. `out` and as many of `a`, `b`, `c` as the operation has
/// arguments (the others are not read) are valid for `8 * chunks` elements. `out` may equal an
/// input, but not overlap one otherwise.
pub type BlockFn =
    unsafe fn(out: *mut f64, a: *const f64, b: *const f64, c: *const f64, chunks: usize);

/// `[BlockFn; 3]` of a function of one [`Lanes`] argument: `unary!(math::exp)`,
/// `unary!(|x| x * x)`.
///
/// Functions must be `#[inline(always)]`. They are called in place, here and in the next two: a
/// call through `impl Fn` would not always be inlined, and so not compiled for the instruction set.
macro_rules! unary {
    (|$x:ident| $y:expr) => {
        $crate::kernels::isa::per_isa!(
            fn(out: *mut f64, a: *const f64, _b: *const f64, _c: *const f64, chunks: usize) {
                $crate::kernels::isa::block!(out, chunks, $x = a; $y)
            }
        )
    };
    ($f:expr) => {
        $crate::kernels::isa::unary!(|x| $f(x))
    };
}

/// `[BlockFn; 3]` of a function of two [`Lanes`] arguments.
macro_rules! binary {
    (|$x1:ident, $x2:ident| $y:expr) => {
        $crate::kernels::isa::per_isa!(
            fn(out: *mut f64, a: *const f64, b: *const f64, _c: *const f64, chunks: usize) {
                $crate::kernels::isa::block!(out, chunks, $x1 = a, $x2 = b; $y)
            }
        )
    };
    ($f:expr) => {
        $crate::kernels::isa::binary!(|x1, x2| $f(x1, x2))
    };
}

/// `[BlockFn; 3]` of a function of three [`Lanes`] arguments.
macro_rules! ternary {
    (|$x1:ident, $x2:ident, $x3:ident| $y:expr) => {
        $crate::kernels::isa::per_isa!(
            fn(out: *mut f64, a: *const f64, b: *const f64, c: *const f64, chunks: usize) {
                $crate::kernels::isa::block!(out, chunks, $x1 = a, $x2 = b, $x3 = c; $y)
            }
        )
    };
    ($f:expr) => {
        $crate::kernels::isa::ternary!(|x1, x2, x3| $f(x1, x2, x3))
    };
}

/// The loop of a [`BlockFn`]: reads chunks of the inputs, evaluates, writes a chunk of `out`.
macro_rules! block {
    ($out:ident, $chunks:ident, $($x:ident = $input:ident),*; $y:expr) => {
        for at in (0..$chunks).map(|chunk| chunk * $crate::kernels::simd::LANES) {
            // SAFETY: the requirements are those of `BlockFn`; `at + 8 <= 8 * chunks`.
            $(let $x = unsafe { $crate::kernels::isa::read::<V>($input.add(at)) };)*
            let y: V = $y;
            // SAFETY: as above.
            unsafe { $crate::kernels::isa::write($out.add(at), y) };
        }
    };
}

pub(crate) use {binary, block, per_isa, ternary, unary};

/// # Safety
///
/// `x` is valid for reading eight f64.
#[inline(always)]
pub(crate) unsafe fn read<V: Lanes>(x: *const f64) -> V {
    // SAFETY: the caller's.
    V::from_array(unsafe { x.cast::<[f64; LANES]>().read() })
}

/// # Safety
///
/// `out` is valid for writing eight f64.
#[inline(always)]
pub(crate) unsafe fn write<V: Lanes>(out: *mut f64, x: V) {
    // SAFETY: the caller's.
    unsafe { out.cast::<[f64; LANES]>().write(x.to_array()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_take_three_arguments() {
        let kernels: [BlockFn; 3] = ternary!(|a, b, c| a.mul_add(b, c));
        let a: Vec<f64> = (0..24).map(f64::from).collect();
        for isa in Isa::available() {
            let mut out = vec![f64::NAN; 24];
            // SAFETY: the processor has `isa`; the slices have 24 elements.
            unsafe {
                kernels[isa as usize](out.as_mut_ptr(), a.as_ptr(), a.as_ptr(), a.as_ptr(), 3)
            };
            assert!(out.iter().zip(&a).all(|(&out, &a)| out == a * a + a));
        }
    }

    #[test]
    fn a_body_of_its_own_is_compiled_for_every_instruction_set() {
        #[inline(always)]
        fn largest<V: Lanes>(x: &[f64]) -> f64 {
            let start = V::splat(f64::NEG_INFINITY);
            let largest = x
                .chunks_exact(LANES)
                .fold(start, |most, x| most.max(V::load(x)));
            largest
                .to_array()
                .into_iter()
                .fold(f64::NEG_INFINITY, f64::max)
        }
        let kernels = per_isa!(fn(x: &[f64]) -> f64 { largest::<V>(x) });
        let x: Vec<f64> = (0..32).map(|i| f64::from(i * 7 % 32)).collect();
        for isa in Isa::available() {
            // SAFETY: the processor has `isa`.
            assert_eq!(unsafe { kernels[isa as usize](&x) }, 31.0);
        }
    }

    #[test]
    fn the_detected_instruction_set_is_the_last_available() {
        assert_eq!(Isa::available().first(), Some(&Isa::Baseline));
        assert_eq!(Isa::available().last(), Some(&Isa::detect()));
    }
}

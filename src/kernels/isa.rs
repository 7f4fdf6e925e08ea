//! One kernel body, compiled for every instruction set, chosen at run time.

use std::sync::OnceLock;

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
        let mut available = vec![Isa::Baseline];
        #[cfg(target_arch = "x86_64")]
        {
            use std::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") && has!("bmi2") {
                available.push(Isa::Avx2);
                if has!("avx512f") && has!("avx512dq") && has!("avx512vl") && has!("avx512bw") {
                    available.push(Isa::Avx512);
                }
            }
        }
        available
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

pub(crate) use per_isa;

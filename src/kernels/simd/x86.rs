//! Lanes of x86-64 processors with AVX2 and FMA, or with AVX-512.

use std::arch::x86_64::*;
use std::mem::transmute;
use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, Mul, MulAssign, Neg, Not, Sub, SubAssign};

use super::{LANES, LaneMask, Lanes, SIGN};

const TO_ZERO: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
const TO_EVEN: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;
const UP: i32 = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;

lanes! {
    /// Two AVX2 registers.
    Avx2, Avx2Mask, [__m256d; 2] (0 1), __m256d,
    splat: _mm256_set1_pd,
    arithmetic: [
        _mm256_add_pd, _mm256_sub_pd, _mm256_mul_pd, _mm256_div_pd, _mm256_fmadd_pd, _mm256_sqrt_pd
    ],
    rounding: [
        _mm256_floor_pd, _mm256_ceil_pd, _mm256_round_pd::<TO_ZERO>, _mm256_round_pd::<TO_EVEN>
    ],
    order: [
        _mm256_min_pd,
        _mm256_max_pd,
        _mm256_cmp_pd::<_CMP_LT_OQ>,
        _mm256_cmp_pd::<_CMP_LE_OQ>,
        _mm256_cmp_pd::<_CMP_EQ_OQ>
    ],
    bits: [
        _mm256_and_pd,
        _mm256_or_pd,
        _mm256_xor_pd,
        |a, b| _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a), _mm256_castpd_si256(b))),
        |a| _mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_castpd_si256(a))),
        |a| _mm256_castsi256_pd(_mm256_srli_epi64::<52>(_mm256_castpd_si256(a)))
    ],
    masks: [
        |mask, a, b| _mm256_blendv_pd(b, a, mask),
        |mask| _mm256_movemask_pd(mask) != 0,
        _mm256_and_pd,
        _mm256_or_pd,
        |a| _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi64x(-1)))
    ],
    transpose: transpose_avx2,
}

lanes! {
    /// One AVX-512 register.
    Avx512, Avx512Mask, [__m512d; 1] (0), __mmask8,
    splat: _mm512_set1_pd,
    arithmetic: [
        _mm512_add_pd, _mm512_sub_pd, _mm512_mul_pd, _mm512_div_pd, _mm512_fmadd_pd, _mm512_sqrt_pd
    ],
    rounding: [
        _mm512_roundscale_pd::<DOWN>,
        _mm512_roundscale_pd::<UP>,
        _mm512_roundscale_pd::<TO_ZERO>,
        _mm512_roundscale_pd::<TO_EVEN>
    ],
    order: [
        _mm512_min_pd,
        _mm512_max_pd,
        _mm512_cmp_pd_mask::<_CMP_LT_OQ>,
        _mm512_cmp_pd_mask::<_CMP_LE_OQ>,
        _mm512_cmp_pd_mask::<_CMP_EQ_OQ>
    ],
    bits: [
        _mm512_and_pd,
        _mm512_or_pd,
        _mm512_xor_pd,
        |a, b| _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(a), _mm512_castpd_si512(b))),
        |a| _mm512_castsi512_pd(_mm512_slli_epi64::<52>(_mm512_castpd_si512(a))),
        |a| _mm512_castsi512_pd(_mm512_srli_epi64::<52>(_mm512_castpd_si512(a)))
    ],
    masks: [
        |mask, a, b| _mm512_mask_blend_pd(mask, b, a),
        |mask: __mmask8| mask != 0,
        |a: __mmask8, b: __mmask8| a & b,
        |a: __mmask8, b: __mmask8| a | b,
        |a: __mmask8| !a
    ],
    scale_exp2: _mm512_scalef_pd,
    transpose: transpose_avx512,
}

/// Rows become columns, a quarter of the square at a time.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn transpose_avx2(square: &mut [Avx2; LANES]) {
    let rows = *square;
    for half in 0..2 {
        // SAFETY: the caller vouches for the processor.
        let (left, right) = unsafe { (quarter(&rows, 0, half), quarter(&rows, 4, half)) };
        for i in 0..4 {
            square[4 * half + i] = Avx2([left[i], right[i]]);
        }
    }
}

/// The columns of four rows, in one half.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn quarter(rows: &[Avx2; LANES], first: usize, half: usize) -> [__m256d; 4] {
    // SAFETY: the caller vouches for the processor.
    unsafe {
        let (a, b) = (rows[first].0[half], rows[first + 1].0[half]);
        let (c, d) = (rows[first + 2].0[half], rows[first + 3].0[half]);
        let (ab, cd) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d));
        let (ab_odd, cd_odd) = (_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
        [
            _mm256_permute2f128_pd::<0x20>(ab, cd),
            _mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd),
            _mm256_permute2f128_pd::<0x31>(ab, cd),
            _mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd),
        ]
    }
}

/// Rows become columns: pairs of elements, then quarters of registers.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn transpose_avx512(square: &mut [Avx512; LANES]) {
    let [a, b, c, d, e, f, g, h] = *square;
    // SAFETY: the caller vouches for the processor.
    unsafe {
        let even = [
            _mm512_unpacklo_pd(a.0[0], b.0[0]),
            _mm512_unpacklo_pd(c.0[0], d.0[0]),
            _mm512_unpacklo_pd(e.0[0], f.0[0]),
            _mm512_unpacklo_pd(g.0[0], h.0[0]),
        ];
        let odd = [
            _mm512_unpackhi_pd(a.0[0], b.0[0]),
            _mm512_unpackhi_pd(c.0[0], d.0[0]),
            _mm512_unpackhi_pd(e.0[0], f.0[0]),
            _mm512_unpackhi_pd(g.0[0], h.0[0]),
        ];
        let (even, odd) = (alternate_columns(even), alternate_columns(odd));
        for i in 0..4 {
            square[2 * i] = Avx512([even[i]]);
            square[2 * i + 1] = Avx512([odd[i]]);
        }
    }
}

/// Every second column, from the pairs of its elements.
///
/// # Safety
/// The processor has AVX-512.
#[inline(always)]
unsafe fn alternate_columns(pairs: [__m512d; 4]) -> [__m512d; 4] {
    /// Quarters 0 and 2 of both, and quarters 1 and 3.
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let [a, b, c, d] = pairs;
    // SAFETY: the caller vouches for the processor.
    unsafe {
        let (top, bottom) = (
            _mm512_shuffle_f64x2::<EVEN>(a, b),
            _mm512_shuffle_f64x2::<EVEN>(c, d),
        );
        let (upper, lower) = (
            _mm512_shuffle_f64x2::<ODD>(a, b),
            _mm512_shuffle_f64x2::<ODD>(c, d),
        );
        [
            _mm512_shuffle_f64x2::<EVEN>(top, bottom),
            _mm512_shuffle_f64x2::<EVEN>(upper, lower),
            _mm512_shuffle_f64x2::<ODD>(top, bottom),
            _mm512_shuffle_f64x2::<ODD>(upper, lower),
        ]
    }
}

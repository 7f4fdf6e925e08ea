//! The inner loop of everything: a tile of a product of matrices, held in registers.

use super::super::simd::{LANES, Lanes};

/// A matrix seen through strides: element (i, j) lies at `first + i row + j column`.
///
/// A transposed matrix swaps its strides; one read backwards has negative strides and starts at its end.
#[derive(Clone, Copy)]
pub struct Strided {
    pub first: *const f64,
    pub row: isize,
    pub column: isize,
}

impl Strided {
    /// Element (i, j).
    ///
    /// # Safety
    /// The matrix has that element.
    #[inline(always)]
    pub unsafe fn at(self, i: usize, j: usize) -> f64 {
        // SAFETY: the caller vouches for the element.
        unsafe {
            *self
                .first
                .offset(i as isize * self.row + j as isize * self.column)
        }
    }

    /// The matrix without its first `i` rows and `j` columns.
    #[inline(always)]
    pub fn from(self, i: usize, j: usize) -> Strided {
        let first = self
            .first
            .wrapping_offset(i as isize * self.row + j as isize * self.column);
        Strided { first, ..self }
    }
}

/// Eight elements from an address on.
///
/// # Safety
/// The address holds them.
#[inline(always)]
pub unsafe fn load<V: Lanes>(from: *const f64) -> V {
    // SAFETY: the caller vouches for the elements; reads need no alignment.
    V::from_array(unsafe { from.cast::<[f64; LANES]>().read_unaligned() })
}

/// Writes eight elements from an address on.
///
/// # Safety
/// The address holds them.
#[inline(always)]
pub unsafe fn store<V: Lanes>(to: *mut f64, value: V) {
    // SAFETY: the caller vouches for the elements; writes need no alignment.
    unsafe { to.cast::<[f64; LANES]>().write_unaligned(value.to_array()) }
}

/// A B for `R` rows of A and `C` chunks of columns of B, over `depth` columns of A; rows of B are contiguous, `stride`
/// elements apart.
///
/// # Safety
/// A has these rows and columns, B these rows and chunks.
#[inline(always)]
pub unsafe fn product<V: Lanes, const R: usize, const C: usize>(
    a: Strided,
    b: *const f64,
    stride: isize,
    depth: usize,
) -> [[V; C]; R] {
    let mut sums = [[V::splat(0.0); C]; R];
    // SAFETY: the caller vouches for both matrices.
    unsafe { add_product(a, b, stride, depth, &mut sums) };
    sums
}

/// Adds A B to the sums, as [`product`].
///
/// # Safety
/// As for [`product`].
#[inline(always)]
pub unsafe fn add_product<V: Lanes, const R: usize, const C: usize>(
    a: Strided,
    b: *const f64,
    stride: isize,
    depth: usize,
    sums: &mut [[V; C]; R],
) {
    /// Rows that few registers can hold the sums of.
    const FEW: usize = 4;
    // SAFETY: the caller vouches for both matrices.
    unsafe {
        if V::REGISTERS == 1 || R <= FEW {
            return accumulate(a, b, stride, depth, sums);
        }
        for (part, sums) in sums.as_chunks_mut::<FEW>().0.iter_mut().enumerate() {
            for c in 0..C {
                let mut column = [[V::splat(0.0); 1]; FEW];
                for r in 0..FEW {
                    column[r][0] = sums[r][c];
                }
                let (a, b) = (a.from(part * FEW, 0), b.add(c * LANES));
                accumulate(a, b, stride, depth, &mut column);
                for r in 0..FEW {
                    sums[r][c] = column[r][0];
                }
            }
        }
    }
}

/// As [`add_product`], with all sums in registers.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
unsafe fn accumulate<V: Lanes, const R: usize, const C: usize>(
    a: Strided,
    b: *const f64,
    stride: isize,
    depth: usize,
    sums: &mut [[V; C]; R],
) {
    for l in 0..depth {
        // SAFETY: the caller vouches for both matrices.
        unsafe {
            let row = b.offset(l as isize * stride);
            let mut chunks = [V::splat(0.0); C];
            for c in 0..C {
                chunks[c] = load(row.add(c * LANES));
            }
            for r in 0..R {
                let factor = V::splat(a.at(r, l));
                for c in 0..C {
                    sums[r][c] = factor.mul_add(chunks[c], sums[r][c]);
                }
            }
        }
    }
}

/// Adds A B to the sums, for B in panels: rows of one chunk, each behind the other.
///
/// # Safety
/// A has these rows and `depth` columns, each panel `depth` rows.
#[inline(always)]
pub unsafe fn add_panels<V: Lanes, const R: usize, const C: usize>(
    a: Strided,
    panels: [*const f64; C],
    depth: usize,
    sums: &mut [[V; C]; R],
) {
    for l in 0..depth {
        // SAFETY: the caller vouches for the matrices.
        unsafe {
            let mut chunks = [V::splat(0.0); C];
            for c in 0..C {
                chunks[c] = load(panels[c].add(l * LANES));
            }
            for r in 0..R {
                let factor = V::splat(a.at(r, l));
                for c in 0..C {
                    sums[r][c] = factor.mul_add(chunks[c], sums[r][c]);
                }
            }
        }
    }
}

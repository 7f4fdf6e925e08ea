//! Products of stacks of matrices.

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::BLOCK;
use super::tile::{Strided, add_product, product, store};
use super::triangular::dot;

/// What stands on the right of a product in tiles.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    /// Rows, contiguous.
    Rows,
    /// Columns, contiguous, to be packed into rows.
    Columns,
    /// Columns, contiguous, on the left of which is a single row: dot products.
    Dots,
}

/// How a product is carried out: whether as b' a', its rows and columns, and what is on the right.
fn form([_, m, k, n]: [usize; 4], transposed: [bool; 2]) -> (bool, usize, usize, Right) {
    let swapped = n == 1 && m > 1;
    let (m, n, by_columns) = match swapped {
        true => (1, m, !transposed[0]),
        // A vector is a row or a column, as it suits.
        false => (m, n, n == 1 || (transposed[1] && k > 1)),
    };
    let right = match (by_columns, m) {
        (true, 1) => Right::Dots,
        (true, _) => Right::Columns,
        (false, _) => Right::Rows,
    };
    (swapped, m, n, right)
}

/// Elements of scratch memory for [`multiply`].
pub fn multiply_scratch(sizes: [usize; 4], transposed: [bool; 2]) -> usize {
    let (_, _, n, right) = form(sizes, transposed);
    let columns = match right {
        Right::Dots => 0,
        Right::Columns => n.next_multiple_of(LANES),
        // The last rows of the columns behind the last whole chunk.
        Right::Rows => return LANES * LANES,
    };
    sizes[2] * columns
}

/// Of rows of contiguous elements, how many of the first have a whole chunk from column `whole` on, be it of elements of
/// the next row.
fn readable([rows, columns]: [usize; 2], whole: usize) -> usize {
    let room = (rows * columns).checked_sub(whole + LANES);
    room.map_or(0, |room| room / columns + 1).min(rows)
}

/// Products of stacks of matrices (batch, m, k) x (batch, k, n), each stored transposed if said.
pub fn multiply(
    sizes: [usize; 4],
    transposed: [bool; 2],
    a: &[f64],
    b: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    multiply_on(Isa::detect(), sizes, transposed, a, b, out, scratch);
}

pub(super) fn multiply_on(
    isa: Isa,
    sizes @ [batch, m, k, n]: [usize; 4],
    transposed: [bool; 2],
    a: &[f64],
    b: &[f64],
    out: &mut [f64],
    scratch: &mut [f64],
) {
    assert!(a.len() == batch * m * k && b.len() == batch * k * n && out.len() == batch * m * n);
    assert!(scratch.len() >= multiply_scratch(sizes, transposed));
    let dots = per_isa!(fn(x: &[f64], columns: &[f64], out: &mut [f64]) {
        for (value, column) in out.iter_mut().zip(columns.chunks_exact(x.len())) {
            *value = dot::<V>(x, column);
        }
    })[isa as usize];
    let tiles = per_isa!(fn(a: Strided, sizes: [usize; 3], b: Rows, last: [(Rows, usize); 2], out: *mut f64) {
        // SAFETY: the caller vouches for the matrices.
        unsafe { in_tiles::<V>(a, sizes, b, last, out) }
    })[isa as usize];
    if k == 0 || out.is_empty() {
        out.fill(0.0);
        return;
    }
    let (swapped, rows, columns, kind) = form(sizes, transposed);
    let (row, column) = match transposed[0] && !swapped {
        true => (1, m as isize),
        false => (k as isize, 1),
    };
    let whole = columns / LANES * LANES;
    for s in 0..batch {
        let a = &a[s * m * k..(s + 1) * m * k];
        let b = &b[s * k * n..(s + 1) * k * n];
        let out = &mut out[s * m * n..(s + 1) * m * n];
        let (left, right) = if swapped { (b, a) } else { (a, b) };
        let (first, tail) = match kind {
            Right::Dots => {
                // SAFETY: the processor has `isa`.
                unsafe { dots(left, right, out) };
                continue;
            }
            Right::Columns => {
                let width = columns.next_multiple_of(LANES);
                for (j, column) in right.chunks_exact(k).enumerate() {
                    (0..k).for_each(|l| scratch[l * width + j] = column[l]);
                }
                let packed = Rows(scratch.as_ptr(), width);
                let last = Rows(scratch.as_ptr().wrapping_add(whole), width);
                (packed, [(last, k), (last, 0)])
            }
            Right::Rows => {
                let direct = readable([k, columns], whole);
                let rows = right.chunks_exact(columns).skip(direct);
                for (row, packed) in rows.zip(scratch.chunks_exact_mut(LANES)) {
                    packed[..columns - whole].copy_from_slice(&row[whole..]);
                }
                let last = [
                    (Rows(right.as_ptr().wrapping_add(whole), columns), direct),
                    (Rows(scratch.as_ptr(), LANES), k - direct),
                ];
                (Rows(right.as_ptr(), columns), last)
            }
        };
        let left = Strided {
            first: left.as_ptr(),
            row,
            column,
        };
        // SAFETY: the processor has `isa`; the last columns are read where there are whole chunks, else from the scratch.
        unsafe { tiles(left, [rows, k, columns], first, tail, out.as_mut_ptr()) };
    }
}

/// Contiguous rows: the first one, and the elements from one to the next.
#[derive(Clone, Copy)]
struct Rows(*const f64, usize);

/// The product of (m, k) and (k, n) by panels of columns; those behind the last whole chunk are read from `last`, which
/// are k rows in two stretches. What their chunks hold behind the last column does not matter.
///
/// # Safety
/// The matrices have these sizes, rows of `last` a whole chunk.
#[inline(always)]
unsafe fn in_tiles<V: Lanes>(
    a: Strided,
    [m, k, n]: [usize; 3],
    b: Rows,
    last: [(Rows, usize); 2],
    out: *mut f64,
) {
    let (chunks, rest) = (n / LANES, n % LANES);
    let mut chunk = 0;
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let at = |chunk: usize| (Rows(b.0.add(chunk * LANES), b.1), out.add(chunk * LANES));
        while chunk + 2 <= chunks {
            let (b, out) = at(chunk);
            panel::<V, 2>(a, m, [(b, k), (b, 0)], out, n, 2 * LANES);
            chunk += 2;
        }
        if chunk < chunks {
            let (b, out) = at(chunk);
            panel::<V, 1>(a, m, [(b, k), (b, 0)], out, n, LANES);
        }
        if rest > 0 {
            panel::<V, 1>(a, m, last, out.add(chunks * LANES), n, rest);
        }
    }
}

/// `held` columns of the product, from those of the first `C` chunks of `b`'s rows, in two stretches.
///
/// # Safety
/// As for [`in_tiles`].
#[inline(always)]
unsafe fn panel<V: Lanes, const C: usize>(
    a: Strided,
    m: usize,
    b: [(Rows, usize); 2],
    out: *mut f64,
    n: usize,
    held: usize,
) {
    let mut i = 0;
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        while i + BLOCK <= m {
            tile::<V, BLOCK, C>(a.from(i, 0), b, out.add(i * n), n, held);
            i += BLOCK;
        }
        while i < m {
            tile::<V, 1, C>(a.from(i, 0), b, out.add(i * n), n, held);
            i += 1;
        }
    }
}

/// `R` rows of a [`panel`].
///
/// # Safety
/// As for [`in_tiles`].
#[inline(always)]
unsafe fn tile<V: Lanes, const R: usize, const C: usize>(
    a: Strided,
    [(first, before), (second, behind)]: [(Rows, usize); 2],
    out: *mut f64,
    n: usize,
    held: usize,
) {
    // SAFETY: the caller vouches for the matrices.
    unsafe {
        let mut sums: [[V; C]; R] = product(a, first.0, first.1 as isize, before);
        if behind > 0 {
            add_product(
                a.from(0, before),
                second.0,
                second.1 as isize,
                behind,
                &mut sums,
            );
        }
        for r in 0..R {
            for c in 0..C {
                let target = out.add(r * n + c * LANES);
                if held >= (c + 1) * LANES {
                    store(target, sums[r][c]);
                } else {
                    let values = sums[r][c].to_array();
                    for l in 0..held - c * LANES {
                        *target.add(l) = values[l];
                    }
                }
            }
        }
    }
}

//! Eigenvalues and eigenvectors of symmetric matrices.
//!
//! Householder reflections make the matrix tridiagonal, QR steps with Wilkinson's shift make that diagonal
//! (Golub & Van Loan, Matrix Computations, 4th edition, sections 8.3.1 and 8.3.4).

use super::super::isa::{Isa, per_isa};
use super::super::simd::{LANES, Lanes};
use super::triangular::{dot, subtract};

/// QR steps for one eigenvalue after which there is no hope; two or three are usual.
const MOST_STEPS: usize = 50;

/// Elements of scratch memory for [`decompose`].
pub fn decompose_scratch(n: usize) -> usize {
    2 * n * n + 3 * n // A in full, Z, and three vectors
}

/// Eigenvalues in ascending order, (batch, n), and eigenvectors as columns, (batch, n, n), of a batch of matrices of
/// which the lower triangle is read; NaN where it holds something that is not finite.
///
/// An eigenvector's sign is what it happens to be, as with any library.
pub fn decompose(
    [batch, n]: [usize; 2],
    a: &[f64],
    values: &mut [f64],
    vectors: &mut [f64],
    scratch: &mut [f64],
) {
    decompose_on(Isa::detect(), [batch, n], a, values, vectors, scratch);
}

pub(super) fn decompose_on(
    isa: Isa,
    [batch, n]: [usize; 2],
    a: &[f64],
    values: &mut [f64],
    vectors: &mut [f64],
    scratch: &mut [f64],
) {
    assert!(a.len() == batch * n * n && vectors.len() == a.len() && values.len() == batch * n);
    assert!(scratch.len() >= decompose_scratch(n));
    let kernel = per_isa!(fn(n: usize, a: &mut [f64], z: &mut [f64], d: &mut [f64], more: &mut [f64]) -> bool {
        let (e, more) = more.split_at_mut(n);
        let (betas, w) = more.split_at_mut(n);
        tridiagonalise::<V>(n, a, z, [&mut *d, &mut *e, betas, w]);
        diagonalise::<V>(z, d, e)
    })[isa as usize];
    let (full, rest) = scratch.split_at_mut(n * n);
    let (z, more) = rest.split_at_mut(n * n);
    for s in 0..batch {
        let d = &mut values[s * n..(s + 1) * n];
        let vectors = &mut vectors[s * n * n..(s + 1) * n * n];
        let lower = |i: usize| &a[(s * n + i) * n..(s * n + i) * n + i + 1];
        let elements = || (0..n).flat_map(lower);
        let scale = power_of_two(elements().fold(0.0, |largest, x| x.abs().max(largest)));
        for i in 0..n {
            for (j, x) in lower(i).iter().enumerate() {
                (full[i * n + j], full[j * n + i]) = (x / scale, x / scale);
            }
        }
        let done = elements().all(|x| x.is_finite())
            // SAFETY: the processor has `isa`.
            && unsafe { kernel(n, full, z, d, more) };
        if !done {
            d.fill(f64::NAN);
            vectors.fill(f64::NAN);
            continue;
        }
        for k in 0..n {
            let smallest = (k..n).fold(k, |best, i| if d[i] < d[best] { i } else { best });
            d.swap(k, smallest);
            for j in 0..n {
                vectors[j * n + k] = z[smallest * n + j];
                z.swap(k * n + j, smallest * n + j);
            }
            d[k] *= scale;
        }
    }
}

/// The power of 2 below a number: divided by it, squares stay in range, and nothing is rounded.
pub(super) fn power_of_two(x: f64) -> f64 {
    let exponent = f64::from_bits(x.to_bits() & f64::INFINITY.to_bits());
    exponent.clamp(2f64.powi(-1000), 2f64.powi(1000))
}

/// Z A Z' = T for orthogonal Z and tridiagonal T, with diagonal `d` and off-diagonal `e`, whose last element is 0.
///
/// A loses its values; `betas` and `w` are n elements of working memory.
#[inline(always)]
fn tridiagonalise<V: Lanes>(
    n: usize,
    a: &mut [f64],
    z: &mut [f64],
    [d, e, betas, w]: [&mut [f64]; 4],
) {
    for k in 0..n {
        d[k] = a[k * n + k];
        if k + 1 == n {
            (e[k], betas[k]) = (0.0, 0.0);
            break;
        }
        // x, the row behind the diagonal, becomes the v of the reflection that leaves its first element alone.
        let (above, below) = a.split_at_mut((k + 1) * n);
        let v = &mut above[k * n + k + 1..];
        (e[k], betas[k]) = reflect::<V>(v);
        let beta = betas[k];
        if beta == 0.0 {
            continue;
        }
        // A <- A - v w' - w v' with p = beta A v, w = p - (beta p'v / 2) v.
        let w = &mut w[..v.len()];
        for (w, row) in w.iter_mut().zip(below.chunks_exact(n)) {
            *w = beta * dot::<V>(&row[k + 1..], v);
        }
        let half = 0.5 * beta * dot::<V>(w, v);
        subtract::<V>(half, v, w);
        for (i, row) in below.chunks_exact_mut(n).enumerate() {
            subtract::<V>(v[i], w, &mut row[k + 1..]);
            subtract::<V>(w[i], v, &mut row[k + 1..]);
        }
    }
    // Z is the product of the reflections, from the last to the first: each works on the rows and columns behind it.
    z.fill(0.0);
    (0..n).for_each(|i| z[i * n + i] = 1.0);
    for k in (0..n).rev().filter(|&k| betas[k] != 0.0) {
        let v = &a[k * n + k + 1..(k + 1) * n];
        for row in z.chunks_exact_mut(n).skip(k + 1) {
            let row = &mut row[k + 1..];
            let factor = betas[k] * dot::<V>(row, v);
            subtract::<V>(factor, v, row);
        }
    }
}

/// The reflection I - beta v v' that turns x into (alpha, 0, ...): v takes the place of x; returns (alpha, beta).
///
/// Beta is 0 where x has that form already.
#[inline(always)]
pub(super) fn reflect<V: Lanes>(x: &mut [f64]) -> (f64, f64) {
    let first = x[0];
    let tail = dot::<V>(&x[1..], &x[1..]);
    // Smaller squares have lost their accuracy; what they come from is nothing beside a largest element near 1.
    if tail < 1e-280 {
        return (first, 0.0);
    }
    let alpha = -first.mul_add(first, tail).sqrt().copysign(first);
    x[0] = first - alpha;
    (alpha, 2.0 / x[0].mul_add(x[0], tail))
}

/// Diagonalises T, given by diagonal `d` and off-diagonal `e`: its eigenvalues in `d`, the rows of Z rotated along.
/// Whether the steps converged.
#[inline(always)]
fn diagonalise<V: Lanes>(z: &mut [f64], d: &mut [f64], e: &mut [f64]) -> bool {
    let n = d.len();
    let mut steps = 0;
    let mut last = n.saturating_sub(1);
    while last > 0 {
        let separate = |k: usize| {
            let small = f64::EPSILON * (d[k].abs() + d[k + 1].abs());
            e[k].abs() <= small.max(1e-140)
        };
        let first = (0..last).rev().find(|&k| separate(k)).map_or(0, |k| k + 1);
        if first == last {
            (last, steps) = (last - 1, 0);
            continue;
        }
        // Beside the largest of what belongs together the smallest are no more than rounding errors. They separate, too:
        // a block of nothing else, as of a matrix of low rank, has no order that steps could find.
        let (ends, within) = (&d[first..=last], &mut e[first..last]);
        let largest = ends
            .iter()
            .chain(within.iter())
            .fold(0.0f64, |most, x| most.max(x.abs()));
        let errors = within
            .iter_mut()
            .filter(|e| **e != 0.0 && e.abs() <= f64::EPSILON * largest);
        if errors.map(|e| *e = 0.0).count() > 0 {
            continue;
        }
        steps += 1;
        if steps > MOST_STEPS {
            return false;
        }
        step::<V>(z, d, e, first, last);
    }
    true
}

/// An implicit QR step on rows `first..=last`; the bulge (x, y) is chased from the first to the last.
#[inline(always)]
fn step<V: Lanes>(z: &mut [f64], d: &mut [f64], e: &mut [f64], first: usize, last: usize) {
    let n = d.len();
    let (half, off) = (0.5 * (d[last - 1] - d[last]), e[last - 1]);
    let shift = d[last] - off * off / (half + half.mul_add(half, off * off).sqrt().copysign(half));
    let (mut x, mut y) = (d[first] - shift, e[first]);
    for k in first..last {
        let r = x.mul_add(x, y * y).sqrt();
        if r == 0.0 {
            break;
        }
        let (c, s) = (x / r, y / r);
        if k > first {
            e[k - 1] = r;
        }
        let (p, q, off) = (d[k], d[k + 1], e[k]);
        let twice = 2.0 * c * s * off;
        d[k] = c * c * p + twice + s * s * q;
        d[k + 1] = s * s * p - twice + c * c * q;
        e[k] = c * s * (q - p) + (c * c - s * s) * off;
        if k + 1 < last {
            (x, y) = (e[k], s * e[k + 1]);
            e[k + 1] *= c;
        }
        let (above, below) = z.split_at_mut((k + 1) * n);
        rotate::<V>(c, s, &mut above[k * n..], &mut below[..n]);
    }
}

/// (x, y) <- (c x + s y, c y - s x)
#[inline(always)]
fn rotate<V: Lanes>(c: f64, s: f64, x: &mut [f64], y: &mut [f64]) {
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks_mut::<LANES>(), y.as_chunks_mut::<LANES>());
    for (x, y) in x.iter_mut().zip(y) {
        let (u, v) = (V::from_array(*x), V::from_array(*y));
        *x = (u * c + v * s).to_array();
        *y = (v * c - u * s).to_array();
    }
    for (x, y) in x_tail.iter_mut().zip(y_tail) {
        (*x, *y) = (*x * c + *y * s, *y * c - *x * s);
    }
}

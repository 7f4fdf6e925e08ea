//! The QR factorisation by Householder reflections (Golub & Van Loan, Matrix Computations, 4th edition, section 5.2).

use super::super::isa::{Isa, per_isa};
use super::super::simd::Lanes;
use super::eigh::{power_of_two, reflect};
use super::triangular::subtract;

/// Elements of scratch memory for [`factor`].
pub fn factor_scratch(m: usize, n: usize) -> usize {
    m * n + m + 2 * n
}

/// Q (batch, m, k) with orthonormal columns and upper triangular R (batch, k, n), k = min(m, n), of a batch of (m, n)
/// matrices. Elements on R's diagonal have the signs that LAPACK gives them.
pub fn factor(
    [batch, m, n]: [usize; 3],
    a: &[f64],
    q: &mut [f64],
    r: &mut [f64],
    scratch: &mut [f64],
) {
    factor_on(Isa::detect(), [batch, m, n], a, q, r, scratch);
}

pub(super) fn factor_on(
    isa: Isa,
    [batch, m, n]: [usize; 3],
    a: &[f64],
    q: &mut [f64],
    r: &mut [f64],
    scratch: &mut [f64],
) {
    let k = m.min(n);
    assert!(a.len() == batch * m * n && q.len() == batch * m * k && r.len() == batch * k * n);
    assert!(scratch.len() >= factor_scratch(m, n));
    let kernel = per_isa!(fn(shape: [usize; 2], work: &mut [f64], q: &mut [f64], more: &mut [f64]) {
        reduce::<V>(shape, work, q, more)
    })[isa as usize];
    let (work, more) = scratch.split_at_mut(m * n);
    for s in 0..batch {
        let a = &a[s * m * n..(s + 1) * m * n];
        let scale = power_of_two(a.iter().fold(0.0, |largest, x| x.abs().max(largest)));
        for (work, x) in work.iter_mut().zip(a) {
            *work = x / scale;
        }
        // SAFETY: the processor has `isa`.
        unsafe { kernel([m, n], work, &mut q[s * m * k..(s + 1) * m * k], more) };
        let r = &mut r[s * k * n..(s + 1) * k * n];
        for i in 0..k {
            r[i * n..i * n + i].fill(0.0);
            for j in i..n {
                r[i * n + j] = scale * work[i * n + j];
            }
        }
    }
}

/// Turns A into R, then the identity into Q, with the same reflections I - tau v v' in reverse; v has a leading 1 and
/// stands below R's diagonal.
#[inline(always)]
fn reduce<V: Lanes>([m, n]: [usize; 2], a: &mut [f64], q: &mut [f64], more: &mut [f64]) {
    let k = m.min(n);
    let (v, more) = more.split_at_mut(m);
    let (taus, sums) = more.split_at_mut(n);
    for j in 0..k {
        let v = &mut v[..m - j];
        for (v, row) in v.iter_mut().zip(a.chunks_exact(n).skip(j)) {
            *v = row[j];
        }
        let (alpha, beta) = reflect::<V>(v);
        let first = if beta == 0.0 { 1.0 } else { v[0] };
        taus[j] = beta * first * first;
        a[j * n + j] = alpha;
        v.iter_mut().for_each(|v| *v /= first);
        v[0] = 1.0;
        if beta == 0.0 {
            v[1..].fill(0.0);
        }
        apply::<V>(v, taus[j], &mut a[j * n..], n, j + 1, sums);
        for (&v, row) in v.iter().zip(a.chunks_exact_mut(n).skip(j)).skip(1) {
            row[j] = v;
        }
    }
    q.fill(0.0);
    for j in (0..k).rev() {
        let v = &mut v[..m - j];
        for (v, row) in v.iter_mut().zip(a.chunks_exact(n).skip(j)).skip(1) {
            *v = row[j];
        }
        v[0] = 1.0;
        q[j * k + j] = 1.0;
        apply::<V>(v, taus[j], &mut q[j * k..], k, j, sums);
    }
}

/// A <- A - tau v v' A on the columns from `start` on, of rows of `width` elements.
#[inline(always)]
fn apply<V: Lanes>(
    v: &[f64],
    tau: f64,
    a: &mut [f64],
    width: usize,
    start: usize,
    sums: &mut [f64],
) {
    let sums = &mut sums[..width - start];
    if tau == 0.0 || sums.is_empty() {
        return;
    }
    sums.fill(0.0);
    for (&v, row) in v.iter().zip(a.chunks_exact(width)) {
        subtract::<V>(-v, &row[start..], sums);
    }
    for (&v, row) in v.iter().zip(a.chunks_exact_mut(width)) {
        subtract::<V>(tau * v, sums, &mut row[start..]);
    }
}

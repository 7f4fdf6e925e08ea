//! Every routine against the definition of its result, with the same bits on all instruction sets.

use super::cholesky_adjoint::Parts;
use super::panels::packed_size;
use super::triangular::Triangular;
use super::*;
use crate::kernels::isa::Isa;
use crate::testing::{Random, close};

/// Orders around the sizes of chunks and blocks.
const SIZES: [usize; 14] = [0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 24, 41, 70];

/// An order of matrices that are factorised in bands.
const BANDED: usize = 203;

/// A random matrix, row-major.
fn random_matrix(random: &mut Random, rows: usize, columns: usize) -> Vec<f64> {
    random.vector(rows * columns, -1.0, 1.0)
}

/// Product of (m, k) and (k, n).
fn times([m, k, n]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    let at = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
    (0..m)
        .flat_map(|i| (0..n).map(move |j| (i, j)))
        .map(|(i, j)| at(i, j))
        .collect()
}

/// Columns become rows.
fn transpose([m, n]: [usize; 2], a: &[f64]) -> Vec<f64> {
    (0..n)
        .flat_map(|j| (0..m).map(move |i| a[i * n + j]))
        .collect()
}

/// Zero where `keeps(i, j)` is false.
fn masked(n: usize, a: &[f64], keeps: impl Fn(usize, usize) -> bool) -> Vec<f64> {
    let mask = |(p, &x): (usize, &f64)| if keeps(p / n, p % n) { x } else { 0.0 };
    a.iter().enumerate().map(mask).collect()
}

/// A well conditioned positive definite matrix.
fn positive_definite(random: &mut Random, n: usize) -> Vec<f64> {
    let a = random_matrix(random, n, n);
    let mut product = times([n, n, n], &a, &transpose([n, n], &a));
    (0..n).for_each(|i| product[i * n + i] += 1.0);
    product
}

#[track_caller]
fn assert_close(what: &str, found: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1.0f64, |scale, x| scale.max(x.abs()));
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!(
            close(found / scale, wanted / scale, tolerance),
            "{what}: element {i} is {found}, not {wanted}"
        );
    }
}

/// The result on this processor's instruction sets, which must all have the same bits.
#[track_caller]
fn on_every_isa(what: &str, run: impl Fn(Isa) -> Vec<f64>) -> Vec<f64> {
    let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|v| v.to_bits()).collect() };
    let first = run(Isa::Baseline);
    for isa in Isa::available() {
        assert_eq!(bits(&run(isa)), bits(&first), "{what} on {isa:?}");
    }
    first
}

#[test]
fn the_cholesky_factor_times_itself_is_the_matrix() {
    let mut random = Random::new(51);
    for n in SIZES.into_iter().chain([BANDED]) {
        let what = format!("order {n}");
        let (a, b) = (
            positive_definite(&mut random, n),
            positive_definite(&mut random, n),
        );
        let mut stack = [a.clone(), b.clone()].concat();
        // What stands above the diagonal is not read.
        (0..2 * n * n)
            .filter(|p| p % (n * n) % n > p % (n * n) / n)
            .for_each(|p| stack[p] = f64::NAN);
        let packed = [pack(n, &a), pack(n, &b)].concat();
        let factor = |packed: bool, stack: &[f64]| {
            on_every_isa(&what, |isa| {
                let mut scratch = vec![f64::NAN; cholesky::factor_scratch(n)];
                let mut out = vec![f64::NAN; 2 * n * n];
                cholesky::factor_on(isa, [2, n], packed, stack, &mut out, &mut scratch);
                out
            })
        };
        let l = factor(false, &stack);
        assert_close(&what, &factor(true, &packed), &l, 1e-14);
        for (l, a) in [(&l[..n * n], &a), (&l[n * n..], &b)] {
            assert_eq!(masked(n, l, |i, j| j <= i), l, "{what}");
            let product = times([n, n, n], l, &transpose([n, n], l));
            assert_close(&what, &product, a, 1e-14);
        }
    }
}

#[test]
fn what_is_not_positive_definite_has_no_cholesky_factor() {
    let mut random = Random::new(52);
    for n in [1, 3, 8, 20, 41] {
        for (position, value) in [
            (n - 1, -1e-3),
            (n / 2, f64::NAN),
            (n - 1, f64::INFINITY),
            (0, 0.0),
        ] {
            let mut stack = positive_definite(&mut random, n).repeat(3);
            stack[n * n + position * n + position] = value;
            let mut out = vec![0.0; stack.len()];
            let mut scratch = vec![0.0; cholesky::factor_scratch(n)];
            cholesky::factor([3, n], &stack, &mut out, &mut scratch);
            let is_nan = |k: usize| out[k * n * n..(k + 1) * n * n].iter().all(|x| x.is_nan());
            assert_eq!(
                [0, 1, 2].map(is_nan),
                [false, true, false],
                "order {n}, {value} at {position}"
            );
        }
    }
}

#[test]
fn the_adjoint_of_the_cholesky_factor_is_that_of_its_differences() {
    let mut random = Random::new(53);
    for n in SIZES.into_iter().chain([BANDED]) {
        let a = positive_definite(&mut random, n).repeat(2);
        let l_bar = random.vector(2 * n * n, -1.0, 1.0);
        let factor = |a: &[f64]| {
            let mut l = vec![0.0; a.len()];
            let mut scratch = vec![0.0; cholesky::factor_scratch(n)];
            cholesky::factor([2, n], a, &mut l, &mut scratch);
            l
        };
        let l = factor(&a);
        let what = format!("order {n}");
        let parts = Parts {
            dense: Some(&l_bar),
            ..Parts::default()
        };
        let a_bar = cholesky_adjoint(&what, n, false, &l, parts);
        let packed = cholesky_adjoint(&what, n, true, &l, parts);
        let wanted: Vec<f64> = a_bar
            .chunks((n * n).max(1))
            .flat_map(|a| pack(n, a))
            .collect();
        assert_eq!(packed, wanted, "{what}");
        // Along a random direction of each matrix's lower triangle.
        for s in 0..2 {
            let matrix = s * n * n..(s + 1) * n * n;
            assert_eq!(
                masked(n, &a_bar[matrix.clone()], |i, j| j <= i),
                a_bar[matrix.clone()],
                "{what}"
            );
            let mut direction = vec![0.0; a.len()];
            direction[matrix].copy_from_slice(&masked(
                n,
                &random_matrix(&mut random, n, n),
                |i, j| j <= i,
            ));
            let along = |t: f64| -> f64 {
                let moved: Vec<f64> = a.iter().zip(&direction).map(|(a, d)| a + t * d).collect();
                factor(&moved)
                    .iter()
                    .zip(&l_bar)
                    .map(|(l, bar)| l * bar)
                    .sum()
            };
            let wanted = crate::testing::differences(|t| along(1e-2 * t[0]), &[0.0])[0];
            let found: f64 = a_bar.iter().zip(&direction).map(|(bar, d)| bar * d).sum();
            assert!(
                close(1e-2 * found, wanted, 1e-9),
                "{what}: {} is not {wanted}",
                1e-2 * found
            );
        }
    }
}

/// The adjoints of two matrices.
fn cholesky_adjoint(what: &str, n: usize, packed: bool, l: &[f64], parts: Parts) -> Vec<f64> {
    let columns = parts.outer.map_or(0, |(p, _)| p.len() / (2 * n));
    on_every_isa(what, |isa| {
        let size = if packed { packed_size(n) } else { n * n };
        let mut scratch = vec![f64::NAN; cholesky_adjoint::adjoint_scratch(n, columns)];
        let mut out = vec![f64::NAN; 2 * size];
        cholesky_adjoint::adjoint_on(isa, [2, n], packed, l, parts, &mut out, &mut scratch);
        out
    })
}

/// A lower triangle, column by column.
fn pack(n: usize, a: &[f64]) -> Vec<f64> {
    let column = |j: usize| (j..n).map(move |i| a[i * n + j]);
    (0..n).flat_map(column).collect()
}

#[test]
fn an_adjoint_in_parts_is_that_of_their_sum() {
    let mut random = Random::new(57);
    for n in SIZES.into_iter().chain([BANDED]).filter(|&n| n > 0) {
        let what = format!("order {n}");
        let a = positive_definite(&mut random, n).repeat(2);
        let mut l = vec![0.0; a.len()];
        let mut scratch = vec![0.0; cholesky::factor_scratch(n)];
        cholesky::factor([2, n], &a, &mut l, &mut scratch);
        let dense = random.vector(2 * n * n, -1.0, 1.0);
        let diagonal = random.vector(2 * n, -1.0, 1.0);
        for k in [1, 3] {
            let (p, q) = (
                random.vector(2 * n * k, -1.0, 1.0),
                random.vector(2 * n * k, -1.0, 1.0),
            );
            for (with_dense, with_diagonal) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let mut sum = if with_dense {
                    dense.clone()
                } else {
                    vec![0.0; 2 * n * n]
                };
                for s in 0..2 {
                    for i in 0..n {
                        if with_diagonal {
                            sum[s * n * n + i * n + i] += diagonal[s * n + i];
                        }
                        for j in 0..n {
                            let outer = |c: usize| p[(s * n + i) * k + c] * q[(s * n + j) * k + c];
                            sum[s * n * n + i * n + j] += (0..k).map(outer).sum::<f64>();
                        }
                    }
                }
                let parts = Parts {
                    dense: with_dense.then_some(&dense),
                    outer: Some((&p, &q)),
                    diagonal: with_diagonal.then_some(&diagonal),
                };
                let together = Parts {
                    dense: Some(&sum),
                    ..Parts::default()
                };
                let found = cholesky_adjoint(&what, n, false, &l, parts);
                let wanted = cholesky_adjoint(&what, n, false, &l, together);
                assert_close(&what, &found, &wanted, 1e-12);
            }
        }
    }
}

#[test]
fn solutions_of_triangular_systems_give_back_the_right_hand_side() {
    let mut random = Random::new(54);
    for n in SIZES {
        for columns in [0, 1, 2, 8, 19] {
            for kind in 0..8 {
                let [lower, transposed, unit] = [1, 2, 4].map(|bit| kind & bit != 0);
                let system = Triangular {
                    lower,
                    transposed,
                    unit,
                };
                let what = format!("order {n}, {columns} columns, {system:?}");
                let mut t = random_matrix(&mut random, 2 * n, n);
                t.iter_mut().for_each(|x| *x /= n as f64);
                (0..2 * n).for_each(|i| t[i * n + i % n] += if unit { f64::NAN } else { 1.0 });
                let b = random_matrix(&mut random, 2 * n, columns);
                let x = on_every_isa(&what, |isa| {
                    let mut scratch = vec![f64::NAN; triangular::solve_scratch(n, columns)];
                    let mut out = vec![f64::NAN; b.len()];
                    triangular::solve_on(
                        isa,
                        system,
                        [2, n, columns],
                        &t,
                        &b,
                        &mut out,
                        &mut scratch,
                    );
                    out
                });
                for s in 0..2 {
                    let keeps =
                        |i: usize, j: usize| (i == j && !unit) || if lower { j < i } else { j > i };
                    let mut read = masked(n, &t[s * n * n..(s + 1) * n * n], keeps);
                    (0..n).filter(|_| unit).for_each(|i| read[i * n + i] = 1.0);
                    let read = if transposed {
                        transpose([n, n], &read)
                    } else {
                        read
                    };
                    let stretch = s * n * columns..(s + 1) * n * columns;
                    let product = times([n, n, columns], &read, &x[stretch.clone()]);
                    assert_close(&what, &product, &b[stretch], 1e-13);
                }
            }
        }
    }
}

#[test]
fn a_zero_on_the_diagonal_has_no_solution() {
    for n in [1, 3, 20] {
        for columns in [1, 4] {
            let mut t: Vec<f64> = (0..n * n).map(|p| 1.0 + p as f64).collect();
            t[n * n - 1] = 0.0;
            let b = vec![1.0; n * columns];
            let mut out = vec![0.0; b.len()];
            let system = Triangular {
                lower: true,
                transposed: false,
                unit: false,
            };
            let mut scratch = vec![0.0; triangular::solve_scratch(n, columns)];
            triangular::solve(system, [1, n, columns], &t, &b, &mut out, &mut scratch);
            assert!(
                out.iter().all(|x| x.is_nan()),
                "order {n}, {columns} columns"
            );
        }
    }
}

#[test]
fn lu_factors_solve_systems_and_give_determinants() {
    let mut random = Random::new(55);
    for n in SIZES {
        let what = format!("order {n}");
        let a = random_matrix(&mut random, 2 * n, n);
        let factors = on_every_isa(&what, |isa| {
            let mut out = vec![f64::NAN; 2 * lu::packed_size(n)];
            lu::factor_on(isa, [2, n], &a, &mut out);
            out
        });
        for columns in [1, 5] {
            let b = random_matrix(&mut random, 2 * n, columns);
            for transposed in [false, true] {
                let mut x = vec![f64::NAN; b.len()];
                let mut scratch = vec![f64::NAN; lu::solve_scratch(n, columns)];
                lu::solve(
                    transposed,
                    [2, n, columns],
                    &factors,
                    &b,
                    &mut x,
                    &mut scratch,
                );
                for s in 0..2 {
                    let a = &a[s * n * n..(s + 1) * n * n];
                    let a = if transposed {
                        transpose([n, n], a)
                    } else {
                        a.to_vec()
                    };
                    let stretch = s * n * columns..(s + 1) * n * columns;
                    let product = times([n, n, columns], &a, &x[stretch.clone()]);
                    assert_close(&what, &product, &b[stretch], 1e-10);
                }
            }
        }
        let (mut value, mut log) = ([f64::NAN; 2], [f64::NAN; 2]);
        lu::determinant(n, &factors, &mut value);
        lu::log_determinant(n, &factors, &mut log);
        if n > 0 {
            assert_close(&what, &log, &value.map(|x| x.abs().ln()), 1e-13);
        }
        // A column more of one than of the other: the determinant is linear in it.
        if n > 1 {
            let mut sum = a[..n * n].to_vec();
            (0..n).for_each(|i| sum[i * n] += a[n * n + i]);
            let mut other = a[..n * n].to_vec();
            (0..n).for_each(|i| other[i * n] = a[n * n + i]);
            let stack = [&a[..n * n], &other, &sum].concat();
            let mut factors = vec![0.0; 3 * lu::packed_size(n)];
            lu::factor([3, n], &stack, &mut factors);
            let mut values = [0.0; 3];
            lu::determinant(n, &factors, &mut values);
            let scale = values.iter().fold(0.0f64, |m, x| m.max(x.abs()));
            let difference = (values[0] + values[1] - values[2]) / scale;
            assert!(difference.abs() < 1e-11, "{what}: {values:?}");
        }
    }
}

#[test]
fn a_singular_matrix_has_the_determinant_zero_and_no_inverse() {
    let a = [1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 0.0, 1.0];
    let mut factors = [0.0; 12];
    lu::factor([1, 3], &a, &mut factors);
    let mut value = [f64::NAN];
    lu::determinant(3, &factors, &mut value);
    assert_eq!(value, [0.0]);
    lu::log_determinant(3, &factors, &mut value);
    assert_eq!(value, [f64::NEG_INFINITY]);
    let mut x = [0.0; 3];
    for transposed in [false, true] {
        let mut scratch = vec![0.0; lu::solve_scratch(3, 1)];
        lu::solve(
            transposed,
            [1, 3, 1],
            &factors,
            &[1.0, 2.0, 3.0],
            &mut x,
            &mut scratch,
        );
        assert!(x.iter().all(|x| x.is_nan()));
    }
}

/// Symmetric matrices, easy and hard ones.
fn symmetric(random: &mut Random, n: usize, kind: usize) -> Vec<f64> {
    let a = random_matrix(random, n, n);
    let element = |i: usize, j: usize| match kind {
        0 => a[i.max(j) * n + i.min(j)],
        // Eigenvalues from 1 down to 1e-16 and below.
        1 => (-0.5 * (i as f64 - j as f64).powi(2) / 16.0).exp(),
        // Many equal ones.
        2 => f64::from(u8::from(i == j)) + f64::from(u8::from(i < 2 && j < 2)),
        // Out of the range of squares.
        3 => 1e200 * a[i.max(j) * n + i.min(j)],
        // Rank 3.
        6 => (0..3.min(n)).map(|l| a[l * n + i] * a[l * n + j]).sum(),
        // Eigenvalues in clusters: near 0, near 1 and near 1000.
        7 => {
            let near = f64::from(u8::from(i == j)) * [0.0, 1.0, 1e3][i % 3];
            near + 1e-12 * a[i.max(j) * n + i.min(j)]
        }
        // Rows and columns of all magnitudes.
        8 => {
            let scale = |k: usize| 10f64.powi((k * 37 % 61) as i32 - 30);
            scale(i) * scale(j) * a[i.max(j) * n + i.min(j)]
        }
        // Pairs of eigenvalues that agree to the last digit (Wilkinson's W+).
        9 if i == j => (i as f64 - (n / 2) as f64).abs(),
        4 | 9 => f64::from(u8::from(i.abs_diff(j) == 1)),
        _ => 0.0,
    };
    (0..n * n).map(|p| element(p / n, p % n)).collect()
}

#[test]
fn eigenvectors_diagonalise_a_symmetric_matrix() {
    let mut random = Random::new(56);
    for n in SIZES.into_iter().chain([BANDED]) {
        for kind in 0..10 {
            let what = format!("order {n}, kind {kind}");
            let a = symmetric(&mut random, n, kind);
            let mut stack = [a.clone(), symmetric(&mut random, n, 0)].concat();
            (0..n * n)
                .filter(|p| p % n > p / n)
                .for_each(|p| stack[p] = f64::NAN);
            let found = on_every_isa(&what, |isa| {
                let (mut w, mut v) = (vec![f64::NAN; 2 * n], vec![f64::NAN; 2 * n * n]);
                let mut scratch = vec![f64::NAN; eigh::decompose_scratch(n)];
                eigh::decompose_on(isa, [2, n], &stack, &mut w, &mut v, &mut scratch);
                [w, v].concat()
            });
            let (w, v) = (&found[..n], &found[2 * n..][..n * n]);
            assert!(w.windows(2).all(|pair| pair[0] <= pair[1]), "{what}: {w:?}");
            let square = [n, n, n];
            let mut identity = vec![0.0; n * n];
            (0..n).for_each(|i| identity[i * n + i] = 1.0);
            assert_close(
                &what,
                &times(square, &transpose([n, n], v), v),
                &identity,
                1e-13,
            );
            let scaled: Vec<f64> = (0..n * n).map(|p| v[p] * w[p % n]).collect();
            assert_close(
                &what,
                &times(square, &scaled, &transpose([n, n], v)),
                &a,
                1e-13,
            );
        }
    }
}

#[test]
fn every_symmetric_matrix_has_eigenvalues() {
    let mut random = Random::new(60);
    for n in (1..300).step_by(13) {
        for kind in 0..10 {
            let a = symmetric(&mut random, n, kind);
            let (mut w, mut v) = (vec![f64::NAN; n], vec![f64::NAN; n * n]);
            let mut scratch = vec![f64::NAN; eigh::decompose_scratch(n)];
            eigh::decompose([1, n], &a, &mut w, &mut v, &mut scratch);
            // Trace and sum of squares tell whether they are A's.
            let size = |x: &[f64]| x.iter().map(|x| (x / 1e150).powi(2)).sum::<f64>().sqrt();
            let (trace, sum) = (
                (0..n).map(|i| a[i * n + i]).sum::<f64>(),
                w.iter().sum::<f64>(),
            );
            let what = format!("order {n}, kind {kind}");
            assert!(
                (trace - sum).abs() / 1e150 <= 1e-13 * n as f64 * size(&a),
                "{what}"
            );
            assert!((size(&a) - size(&w)).abs() <= 1e-13 * size(&a), "{what}");
        }
    }
}

#[test]
fn what_is_not_finite_has_no_eigenvalues() {
    for value in [f64::NAN, f64::INFINITY] {
        let (mut w, mut v) = ([0.0; 4], [0.0; 8]);
        let a = [1.0, 0.0, value, 2.0, 1.0, 0.0, 0.5, 2.0];
        eigh::decompose(
            [2, 2],
            &a,
            &mut w,
            &mut v,
            &mut vec![0.0; eigh::decompose_scratch(2)],
        );
        assert!(w[..2].iter().chain(&v[..4]).all(|x| x.is_nan()));
        assert!(w[2..].iter().chain(&v[4..]).all(|x| x.is_finite()));
    }
}

#[test]
fn q_is_orthogonal_and_q_times_r_is_the_matrix() {
    let mut random = Random::new(57);
    for [m, n] in [
        [1, 1],
        [2, 1],
        [3, 3],
        [1, 4],
        [5, 9],
        [20, 8],
        [17, 17],
        [41, 30],
    ] {
        let what = format!("{m} x {n}");
        let k = m.min(n);
        let mut a = random_matrix(&mut random, 2 * m, n);
        // A column of zeros needs no reflection.
        (0..m).for_each(|i| a[i * n] = 0.0);
        let found = on_every_isa(&what, |isa| {
            let (mut q, mut r) = (vec![f64::NAN; 2 * m * k], vec![f64::NAN; 2 * k * n]);
            let mut scratch = vec![f64::NAN; qr::factor_scratch(m, n)];
            qr::factor_on(isa, [2, m, n], &a, &mut q, &mut r, &mut scratch);
            [q, r].concat()
        });
        let mut identity = vec![0.0; k * k];
        (0..k).for_each(|i| identity[i * k + i] = 1.0);
        for s in 0..2 {
            let q = &found[s * m * k..(s + 1) * m * k];
            let r = &found[2 * m * k + s * k * n..][..k * n];
            assert!(
                (0..k).all(|i| r[i * n..i * n + i].iter().all(|&x| x == 0.0)),
                "{what}"
            );
            assert_close(
                &what,
                &times([k, m, k], &transpose([m, k], q), q),
                &identity,
                1e-14,
            );
            assert_close(
                &what,
                &times([m, k, n], q, r),
                &a[s * m * n..(s + 1) * m * n],
                1e-14,
            );
        }
    }
}

#[test]
fn q_does_not_depend_on_the_matrix_being_large_or_small() {
    let mut random = Random::new(63);
    for [m, n] in [[3, 3], [20, 8], [5, 9]] {
        let k = m.min(n);
        let a = random_matrix(&mut random, m, n);
        let factors = |scale: f64| {
            let a: Vec<f64> = a.iter().map(|x| scale * x).collect();
            let (mut q, mut r) = (vec![f64::NAN; m * k], vec![f64::NAN; k * n]);
            let mut scratch = vec![f64::NAN; qr::factor_scratch(m, n)];
            qr::factor([1, m, n], &a, &mut q, &mut r, &mut scratch);
            (q, r)
        };
        let (q, r) = factors(1.0);
        for scale in [2f64.powi(-530), 2f64.powi(660)] {
            let scaled: Vec<f64> = r.iter().map(|x| scale * x).collect();
            assert_eq!(factors(scale), (q.clone(), scaled), "{m} x {n}, {scale}");
        }
    }
}

#[test]
fn a_triangle_folds_blocks_of_rows() {
    let mut random = Random::new(59);
    for (columns, reflected) in [(1, 1), (3, 3), (4, 2), (9, 9), (5, 0), (17, 12)] {
        let what = format!("{columns} columns, {reflected} reflected");
        let heights = [5, 8, 24, 1, 70];
        let blocks = heights.map(|rows| random_matrix(&mut random, rows, columns));
        let (height, size) = (
            |rows: usize| rows.next_multiple_of(LANES),
            reflected * columns,
        );
        let found = on_every_isa(&what, |isa| {
            let (mut r, mut left) = (vec![0.0; size], vec![]);
            for (block, rows) in blocks.iter().zip(heights) {
                let height = height(rows);
                let mut work = vec![0.0; height * columns];
                for (p, value) in block.iter().enumerate() {
                    work[p % columns * height + p / columns] = *value;
                }
                tall::fold_on(isa, reflected, columns, &mut r, &mut work, height);
                work[..reflected * height].fill(0.0);
                left.extend(transpose([columns, height], &work));
            }
            [r, left].concat()
        });
        let upper = |i: usize, j: usize| j >= i || j >= reflected;
        let r: Vec<f64> = (0..size).map(|p| found[p]).collect();
        let is_upper = (0..size).all(|p| upper(p / columns, p % columns) || r[p] == 0.0);
        assert!(is_upper, "{what}");
        let gram = |a: &[f64]| {
            let rows = a.len() / columns;
            times([columns, rows, columns], &transpose([rows, columns], a), a)
        };
        assert_close(&what, &gram(&found), &gram(&blocks.concat()), 1e-14);
    }
}

#[test]
fn products_of_stacks_are_the_plain_ones() {
    let mut random = Random::new(58);
    let lengths = [0, 1, 2, 7, 8, 9, 16, 21];
    for [m, k, n] in (0..512).map(|p| [lengths[p % 8], lengths[p / 8 % 8], lengths[p / 64]]) {
        let (a, b) = (
            random_matrix(&mut random, 2 * m, k),
            random_matrix(&mut random, 2 * k, n),
        );
        for transposed in [[false, false], [true, false], [false, true], [true, true]] {
            let what = format!("{m} {k} {n} {transposed:?}");
            let found = on_every_isa(&what, |isa| {
                let sizes = [2, m, k, n];
                let mut scratch = vec![f64::NAN; product::multiply_scratch(sizes, transposed)];
                let mut out = vec![f64::NAN; 2 * m * n];
                product::multiply_on(isa, sizes, transposed, &a, &b, &mut out, &mut scratch);
                out
            });
            for s in 0..2 {
                let stored = [
                    &a[s * m * k..(s + 1) * m * k],
                    &b[s * k * n..(s + 1) * k * n],
                ];
                let left = if transposed[0] {
                    transpose([k, m], stored[0])
                } else {
                    stored[0].to_vec()
                };
                let right = if transposed[1] {
                    transpose([n, k], stored[1])
                } else {
                    stored[1].to_vec()
                };
                let wanted = times([m, k, n], &left, &right);
                assert_close(&what, &found[s * m * n..(s + 1) * m * n], &wanted, 1e-14);
            }
        }
    }
}

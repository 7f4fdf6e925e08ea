//! Factors of sparse curvatures against dense ones; densities as a whole are tested in `tests/marginal`.

use super::curvature::Part;
use super::elimination::Order;
use super::factor::Factor;
use crate::bound::{Builder, Copy, Id};
use crate::testing::{Random, close, interpret};
use std::collections::BTreeSet;

/// Row-major square matrix.
type Matrix = Vec<Vec<f64>>;

/// The lower Cholesky factor.
fn cholesky(a: &Matrix) -> Matrix {
    let n = a.len();
    let mut l = vec![vec![0.0; n]; n];
    for i in 0..n {
        for j in 0..=i {
            let rest = a[i][j] - (0..j).map(|k| l[i][k] * l[j][k]).sum::<f64>();
            l[i][j] = if i == j { rest.sqrt() } else { rest / l[j][j] };
        }
    }
    l
}

/// x with L x = v, or L' x = v.
fn solve(l: &Matrix, transposed: bool, v: &[f64]) -> Vec<f64> {
    let n = l.len();
    let mut x = v.to_vec();
    for step in 0..n {
        let i = if transposed { n - 1 - step } else { step };
        let done = if transposed { i + 1..n } else { 0..i };
        let at = |k: usize| if transposed { l[k][i] } else { l[i][k] };
        x[i] = (x[i] - done.map(|k| at(k) * x[k]).sum::<f64>()) / l[i][i];
    }
    x
}

fn log_determinant(l: &Matrix) -> f64 {
    2.0 * (0..l.len()).map(|i| l[i][i].ln()).sum::<f64>()
}

/// A random positive definite matrix with elements where `links` says, and on the diagonal.
fn random_matrix(random: &mut Random, n: usize, links: &[[u32; 2]]) -> Matrix {
    let mut a = vec![vec![0.0; n]; n];
    for &[i, j] in links {
        let (i, j) = (i as usize, j as usize);
        a[i][j] = random.between(-1.0, 1.0);
        a[j][i] = a[i][j];
    }
    for (i, row) in a.iter_mut().enumerate() {
        row[i] = row.iter().map(|x| x.abs()).sum::<f64>() + random.between(0.1, 2.0);
    }
    a
}

/// The factor of a matrix with these links has the determinant, the solutions and the noise of a dense factorisation.
#[track_caller]
fn check_factor(what: &str, n: usize, links: &[[u32; 2]], levels: usize, core: usize) {
    let mut random = Random::new(51);
    let a = random_matrix(&mut random, n, links);
    let links: BTreeSet<[u32; 2]> = links.iter().map(|&[i, j]| [i.max(j), i.min(j)]).collect();
    let order = Order::new(n, links.iter().copied());
    let found = order.segments.get(order.levels).map_or(0, Vec::len);
    assert_eq!((order.levels, found), (levels, core), "{what}");
    // Parameters, so that nothing is folded: the diagonal, then the rest in two parts that are added.
    let mut b = Builder::default();
    let diagonal = b.parameter("diagonal".into(), 0, vec![n]);
    let numbers: Vec<u32> = (0..n as u32).collect();
    let mut parts = vec![Part {
        i: numbers.clone(),
        j: numbers,
        values: diagonal,
    }];
    let mut position: Vec<f64> = (0..n).map(|i| a[i][i]).collect();
    for _ in 0..if links.is_empty() { 0 } else { 2 } {
        let values = b.parameter("rest".into(), position.len(), vec![links.len()]);
        parts.push(Part {
            i: links.iter().map(|link| link[0]).collect(),
            j: links.iter().map(|link| link[1]).collect(),
            values,
        });
        let halves = links
            .iter()
            .map(|link| 0.5 * a[link[0] as usize][link[1] as usize]);
        position.extend(halves);
    }
    let v = b.parameter("v".into(), position.len(), vec![n]);
    let right = random.vector(n, -1.0, 1.0);
    position.extend(&right);
    let noise = b.parameter("noise".into(), position.len(), vec![n]);
    position.extend(vec![0.0; n]);
    let from = b.clone();
    let factor = Factor::new(&mut b, &order, &parts, &mut identity(&from));
    let log = factor.log_determinant(&mut b);
    let x = factor.solve(&mut b, v, None);
    let draw = factor.solve(&mut b, v, Some(noise));
    let l = cholesky(&a);
    let found = interpret(&b, &[log, x, draw], &position);
    assert!(close(found[0][0], log_determinant(&l), 1e-12), "{what}");
    let mean = solve(&l, true, &solve(&l, false, &right));
    for (found, mean) in found[1].iter().zip(&mean) {
        assert!(close(*found, *mean, 1e-12), "{what}: {found}, not {mean}");
    }
    // With M the linear map of the noise, M M' = A^-1, and so A M M' = 1.
    let start = position.len() - n;
    let columns: Vec<Vec<f64>> = (0..n)
        .map(|k| {
            let mut position = position.clone();
            position[start + k] = 1.0;
            let moved = interpret(&b, &[draw], &position);
            moved[0].iter().zip(&mean).map(|(m, x)| m - x).collect()
        })
        .collect();
    for (i, of_a) in a.iter().enumerate() {
        for j in 0..n {
            let covariance = |row: usize| columns.iter().map(|c| c[row] * c[j]).sum::<f64>();
            let product = (0..n).map(|k| of_a[k] * covariance(k)).sum::<f64>();
            let wanted = f64::from(u8::from(i == j));
            assert!(
                close(product, wanted, 1e-10),
                "{what}: {product} at {i}, {j}"
            );
        }
    }
}

/// A copy of a graph to itself.
fn identity(from: &Builder) -> Copy<'_> {
    let mut copy = Copy::new(from);
    (0..from.nodes().len() as u32).for_each(|id| copy.replace(Id(id), Id(id)));
    copy
}

#[test]
fn factors_of_all_structures() {
    let star = |center: u32| move |i: u32| [i, center];
    check_factor("diagonal", 9, &[], 1, 0);
    check_factor(
        "groups with a mean",
        10,
        &(0..9).map(star(9)).collect::<Vec<_>>(),
        2,
        0,
    );
    let pairs: Vec<[u32; 2]> = (0..9).map(|i| [i, i + 9]).collect();
    check_factor("intercepts and slopes", 18, &pairs, 2, 0);
    let mut nested: Vec<[u32; 2]> = (0..24).map(|i| [i, 24 + i / 4]).collect();
    nested.extend((24..30).map(star(30)));
    check_factor("nested groups", 31, &nested, 3, 0);
    let chain: Vec<[u32; 2]> = (1..40).map(|i| [i - 1, i]).collect();
    check_factor("a chain", 40, &chain, 3, 5);
    let crossed: Vec<[u32; 2]> = (0..12)
        .flat_map(|i| (12..17).map(move |j| [i, j]))
        .collect();
    check_factor("crossed", 17, &crossed, 1, 5);
    let ends = |i: u32| [[i, 30 + i % 5], [i, 35 + i % 3]];
    let sparse: Vec<[u32; 2]> = (0..30).flat_map(ends).collect();
    check_factor("sparsely crossed", 38, &sparse, 5, 0);
    let all: Vec<[u32; 2]> = (0..6).flat_map(|i| (0..i).map(move |j| [i, j])).collect();
    check_factor("dense", 6, &all, 0, 6);
}

use super::*;
use crate::testing::Random;

#[test]
fn a_view_reads_at_its_strides() {
    let source: Vec<f64> = (0..24).map(f64::from).collect();
    // (offset, strides, shape, wanted)
    type Case = (usize, &'static [isize], &'static [usize], &'static [f64]);
    let cases: [Case; 7] = [
        (5, &[], &[], &[5.0]),
        (2, &[1], &[3], &[2.0, 3.0, 4.0]),
        (4, &[-2], &[3], &[4.0, 2.0, 0.0]),
        (7, &[0], &[2], &[7.0, 7.0]),
        (0, &[1, 4], &[2, 3], &[0.0, 4.0, 8.0, 1.0, 5.0, 9.0]),
        (
            23,
            &[-12, 0, -1],
            &[2, 2, 2],
            &[23.0, 22.0, 23.0, 22.0, 11.0, 10.0, 11.0, 10.0],
        ),
        (1, &[12, 1], &[2, 2], &[1.0, 2.0, 13.0, 14.0]),
    ];
    for (offset, strides, shape, wanted) in cases {
        let mut out = vec![f64::NAN; wanted.len()];
        view(&source, offset, strides, shape, &mut out);
        assert_eq!(out, wanted);
    }
}

#[test]
#[should_panic(expected = "at most 32 axes")]
fn too_many_axes_are_refused() {
    view(&[1.0], 0, &[0; 33], &[1; 33], &mut [0.0]);
}

#[test]
fn scatters_accumulate_and_spread() {
    let mut out = [0.0; 3];
    scatter_add(&[1.0, 2.0, 4.0], &[2, 0, 2], &mut out);
    assert_eq!(out, [2.0, 0.0, 5.0]);
    scatter_add(&[10.0], &[1, 1, 0], &mut out);
    assert_eq!(out, [12.0, 20.0, 5.0]);
}

#[test]
fn reductions_along_the_middle_axis() {
    // (2, 3, 2)
    let x = [3.0, 0.0, 1.0, 4.0, 4.0, 2.0, -1.0, 5.0, 0.0, 5.0, -1.0, 0.0];
    let cases = [
        (Reduction::Sum, [8.0, 6.0, -2.0, 10.0]),
        (Reduction::Prod, [12.0, 0.0, 0.0, 0.0]),
        (Reduction::Max, [4.0, 4.0, 0.0, 5.0]),
        (Reduction::Min, [1.0, 0.0, -1.0, 0.0]),
        (Reduction::Any, [1.0, 1.0, 1.0, 1.0]),
        (Reduction::All, [1.0, 0.0, 0.0, 0.0]),
        (Reduction::Argmax, [2.0, 1.0, 1.0, 0.0]),
    ];
    for (reduction, wanted) in cases {
        let mut out = [f64::NAN; 4];
        reduce(reduction, [2, 3, 2], &x, &mut out);
        assert_eq!(out, wanted, "{reduction:?}");
        // The same rows one after the other.
        let columns: Vec<f64> = [0, 1, 6, 7]
            .iter()
            .flat_map(|&start| (0..3).map(move |l| x[start + 2 * l]))
            .collect();
        reduce(reduction, [4, 3, 1], &columns, &mut out);
        assert_eq!(out, wanted, "{reduction:?} of rows");
    }
}

#[test]
fn the_first_maximum_counts_and_nan_wins() {
    let first = |values: &[f64]| argmax(values.iter().copied());
    assert_eq!(first(&[1.0, 3.0, 3.0]), 1.0);
    assert_eq!(first(&[1.0, f64::NAN, 5.0, f64::NAN]), 1.0);
    assert_eq!(first(&[f64::NAN, 5.0]), 0.0);
    assert_eq!(first(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), 0.0);
}

#[test]
fn running_sums_and_products_along_the_middle_axis() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let mut out = [f64::NAN; 8];
    run(Running::Sum, [2, 2, 2], &x, &mut out);
    assert_eq!(out, [1.0, 2.0, 4.0, 6.0, 5.0, 6.0, 12.0, 14.0]);
    run(Running::Prod, [1, 8, 1], &x, &mut out);
    assert_eq!(out, [1.0, 2.0, 6.0, 24.0, 120.0, 720.0, 5040.0, 40320.0]);
}

#[test]
fn arrays_side_by_side() {
    let sources = [&[1.0, 2.0, 3.0, 4.0][..], &[5.0, 6.0]];
    let mut out = [f64::NAN; 6];
    concat(2, &[2, 1], |k| sources[k], &mut out);
    assert_eq!(out, [1.0, 2.0, 5.0, 3.0, 4.0, 6.0]);
}

/// Strides and an offset with which a view of a shape stays inside a source of so many elements.
fn random_view(random: &mut Random, shape: &[usize], size: usize) -> (usize, Vec<isize>) {
    let (mut low, mut high) = (0, 0);
    let mut strides = vec![];
    for &length in shape {
        let most = (size as isize - 1 - (high - low)) / (length.max(2) as isize - 1);
        let stride = match random.below(4) {
            0 => 0,
            1 => most.min(1),
            _ => random.below(2 * most as usize + 1) as isize - most,
        };
        let reach = stride * (length.max(1) as isize - 1);
        (low, high) = (low + reach.min(0), high + reach.max(0));
        strides.push(stride);
    }
    let free = size as isize - 1 - (high - low);
    let offset = random.below(free as usize + 1) as isize - low;
    (offset as usize, strides)
}

#[test]
fn views_of_any_shape_are_read_element_by_element() {
    let mut random = Random::new(61);
    let source: Vec<f64> = (0..400).map(f64::from).collect();
    let lengths = [0, 1, 2, 2, 3, 3, 4, 5, 8, 13, 16, 17];
    for case in 0..3000 {
        let rank = case % 5;
        let shape: Vec<usize> = (0..rank).map(|_| lengths[random.below(12)]).collect();
        // As of transposed arrays, broadcast ones and slices, or any.
        let (offset, strides) = random_view(&mut random, &shape, source.len());
        let wanted: Vec<f64> = crate::bind::index::offsets_of(&shape, &strides)
            .into_iter()
            .map(|at| source[(offset as isize + at) as usize])
            .collect();
        let mut out = vec![f64::NAN; wanted.len()];
        view(&source, offset, &strides, &shape, &mut out);
        assert_eq!(out, wanted, "{shape:?} at {offset} by {strides:?}");
    }
}

#[test]
fn transposed_views_are_read_element_by_element() {
    let source: Vec<f64> = (0..5 * 3 * 4 * 2).map(f64::from).collect();
    let (lengths, strides) = ([5, 3, 4, 2], [24, 8, 2, 1]);
    for order in [
        [0, 1, 3, 2],
        [3, 2, 1, 0],
        [1, 0, 2, 3],
        [2, 3, 0, 1],
        [0, 2, 1, 3],
    ] {
        let (shape, strides) = (order.map(|a| lengths[a]), order.map(|a| strides[a]));
        let offsets = crate::bind::index::offsets_of(&shape, &strides);
        let wanted: Vec<f64> = offsets.into_iter().map(|at| source[at as usize]).collect();
        let mut out = vec![f64::NAN; wanted.len()];
        view(&source, 0, &strides, &shape, &mut out);
        assert_eq!(out, wanted, "{order:?}");
    }
}

#[test]
fn reductions_of_any_shape_combine_element_by_element() {
    let mut random = Random::new(62);
    let reductions = [
        (Reduction::Sum, 0.0),
        (Reduction::Prod, 1.0),
        (Reduction::Max, f64::NEG_INFINITY),
        (Reduction::Min, f64::INFINITY),
        (Reduction::Any, 0.0),
        (Reduction::All, 1.0),
        (Reduction::BitAnd, -1.0),
        (Reduction::BitOr, 0.0),
        (Reduction::BitXor, 0.0),
    ];
    let lengths = [0, 1, 2, 3, 4, 5, 8, 9, 20];
    for case in 0..729 {
        let [outer, length, inner] = [case % 9, case / 9 % 9, case / 81].map(|p| lengths[p]);
        // Small integers, so that sums are exact in any order, and now and then a NaN.
        let mut source: Vec<f64> = (0..outer * length * inner)
            .map(|_| random.below(7) as f64 - 3.0)
            .collect();
        let with_nan = case % 4 == 0 && !source.is_empty();
        if with_nan {
            let at = random.below(source.len());
            source[at] = f64::NAN;
        }
        for (reduction, initial) in reductions {
            let combine = |value: f64, x: f64| match reduction {
                Reduction::Sum => value + x,
                Reduction::Prod => value * x,
                _ if matches!(reduction, Reduction::Max | Reduction::Min)
                    && (value.is_nan() || x.is_nan()) =>
                {
                    f64::NAN
                }
                Reduction::Max => value.max(x),
                Reduction::Min => value.min(x),
                Reduction::Any => f64::from(value != 0.0 || x != 0.0),
                Reduction::All => f64::from(value != 0.0 && x != 0.0),
                Reduction::BitAnd => (value as i64 & x as i64) as f64,
                Reduction::BitOr => (value as i64 | x as i64) as f64,
                _ => (value as i64 ^ x as i64) as f64,
            };
            let mut wanted = vec![];
            for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                let element = |l: usize| source[(o * length + l) * inner + i];
                wanted.push((0..length).fold(initial, |value, l| combine(value, element(l))));
            }
            let mut out = vec![f64::NAN; wanted.len()];
            reduce(reduction, [outer, length, inner], &source, &mut out);
            let what = format!("{reduction:?} of {outer}, {length}, {inner}");
            for (found, wanted) in out.iter().zip(&wanted) {
                assert!(
                    found == wanted || found.is_nan() && wanted.is_nan(),
                    "{what}"
                );
            }
        }
    }
}

use super::*;

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

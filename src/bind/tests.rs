use super::*;
use crate::testing::{Differentiated, Template};
use serde_json::json;

type Leaf = (DType, &'static [usize], &'static [i64]);
type Case = (
    &'static [usize],
    &'static [&'static str],
    &'static [Leaf],
    &'static [usize],
    &'static [i64],
);

use DType::{Bool, Int64};

/// (shape of x, index, its leaves, shape and values of `x[index]` in NumPy for x = 0, 1, 2, ...)
#[rustfmt::skip]
const INDEXED: &[Case] = &[
    (&[5], &["i"], &[(Int64, &[], &[-2])], &[], &[3]),
    (&[5], &["s111"], &[(Int64, &[], &[4]), (Int64, &[], &[0]), (Int64, &[], &[-2])], &[2], &[4, 2]),
    (&[5], &["s001"], &[(Int64, &[], &[-1])], &[5], &[4, 3, 2, 1, 0]),
    (&[5], &["s110"], &[(Int64, &[], &[-100]), (Int64, &[], &[100])], &[5], &[0, 1, 2, 3, 4]),
    (&[5], &["s111"], &[(Int64, &[], &[100]), (Int64, &[], &[-100]), (Int64, &[], &[-3])], &[2], &[4, 1]),
    (&[5], &["s110"], &[(Int64, &[], &[3]), (Int64, &[], &[1])], &[0], &[]),
    (&[3, 4], &["i"], &[(Int64, &[], &[1])], &[4], &[4, 5, 6, 7]),
    (&[3, 4], &[":", "i"], &[(Int64, &[], &[-1])], &[3], &[3, 7, 11]),
    (&[3, 4], &["s001", "s101"], &[(Int64, &[], &[-2]), (Int64, &[], &[1]), (Int64, &[], &[2])], &[2, 2], &[9, 11, 1, 3]),
    (&[5], &["a"], &[(Int64, &[3], &[3, -1, 3])], &[3], &[3, 4, 3]),
    (&[5], &["a"], &[(Int64, &[2, 0], &[])], &[2, 0], &[]),
    (&[3, 4], &["a"], &[(Int64, &[2, 2], &[2, 0, 0, 1])], &[2, 2, 4], &[8, 9, 10, 11, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7]),
    (&[3, 4], &["a", "a"], &[(Int64, &[3], &[2, 0, 1]), (Int64, &[3], &[3, -4, 1])], &[3], &[11, 0, 5]),
    (&[3, 4], &["a", "a"], &[(Int64, &[2, 1], &[2, 0]), (Int64, &[3], &[3, 0, 1])], &[2, 3], &[11, 8, 9, 3, 0, 1]),
    (&[2, 3, 4], &[":", "a"], &[(Int64, &[2], &[2, 0])], &[2, 2, 4], &[8, 9, 10, 11, 0, 1, 2, 3, 20, 21, 22, 23, 12, 13, 14, 15]),
    (&[2, 3, 4], &["a", ":", "a"], &[(Int64, &[2], &[1, 0]), (Int64, &[2], &[3, 2])], &[2, 3], &[15, 19, 23, 2, 6, 10]),
    (&[2, 3, 4], &["i", ":", "a"], &[(Int64, &[], &[1]), (Int64, &[2], &[3, 2])], &[2, 3], &[15, 19, 23, 14, 18, 22]),
    (&[2, 3, 4], &["i", "a"], &[(Int64, &[], &[1]), (Int64, &[2], &[2, 0])], &[2, 4], &[20, 21, 22, 23, 12, 13, 14, 15]),
    (&[2, 3, 4], &[":", "i", "a"], &[(Int64, &[], &[1]), (Int64, &[2], &[2, 0])], &[2, 2], &[6, 4, 18, 16]),
    (&[2, 3, 4], &["a", "s010", "i"], &[(Int64, &[3], &[1, 0, 1]), (Int64, &[], &[2]), (Int64, &[], &[-1])], &[3, 2], &[15, 19, 3, 7, 15, 19]),
    (&[2, 3, 4], &["s110", "a", "s001"], &[(Int64, &[], &[0]), (Int64, &[], &[1]), (Int64, &[2], &[2, 1]), (Int64, &[], &[-2])], &[1, 2, 2], &[11, 9, 7, 5]),
    (&[5], &["a"], &[(Bool, &[5], &[1, 0, 0, 1, 1])], &[3], &[0, 3, 4]),
    (&[5], &["a"], &[(Bool, &[5], &[0, 0, 0, 0, 0])], &[0], &[]),
    (&[3, 4], &["a"], &[(Bool, &[3, 4], &[1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1])], &[4], &[0, 3, 6, 11]),
    (&[2, 3, 4], &["a"], &[(Bool, &[2, 3], &[1, 0, 1, 0, 1, 0])], &[3, 4], &[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]),
    (&[2, 3, 4], &["a", "a"], &[(Bool, &[2, 3], &[1, 0, 1, 0, 1, 0]), (Int64, &[3], &[3, 0, 1])], &[3], &[3, 8, 17]),
    (&[2, 3, 4], &["a", ":", "a"], &[(Bool, &[2], &[0, 1]), (Bool, &[4], &[1, 0, 0, 1])], &[2, 3], &[12, 16, 20, 15, 19, 23]),
    (&[2, 3, 4], &[":", ":", "a"], &[(Int64, &[], &[2])], &[2, 3], &[2, 6, 10, 14, 18, 22]),
    (&[5], &["a"], &[(Bool, &[], &[1])], &[1, 5], &[0, 1, 2, 3, 4]),
    (&[5], &["a"], &[(Bool, &[], &[0])], &[0, 5], &[]),
    (&[2, 2, 3, 2], &[":", "a", ":", "a"], &[(Int64, &[2], &[1, 0]), (Int64, &[2], &[0, 1])], &[2, 2, 3], &[6, 8, 10, 18, 20, 22, 1, 3, 5, 13, 15, 17]),
    (&[2, 2, 3, 2], &[":", "a", "a"], &[(Int64, &[2], &[1, 0]), (Int64, &[2], &[2, 1])], &[2, 2, 2], &[10, 11, 2, 3, 22, 23, 14, 15]),
];

/// x = 0, 1, 2, ... of a shape, and an index's leaves.
fn array_and_leaves(t: &mut Template, case: &Case) -> (NodeId, Vec<NodeId>) {
    let (shape, _, leaves, ..) = *case;
    let values: Vec<f64> = (0..size_of(shape)).map(|i| i as f64).collect();
    let x = t.real(shape, &values);
    let leaves = leaves
        .iter()
        .map(|&(dtype, shape, values)| match dtype {
            Bool => t.bools(shape, values),
            _ => t.ints(shape, values),
        })
        .collect();
    (x, leaves)
}

#[test]
fn indexing_is_numpys() {
    for case in INDEXED {
        let &(_, spec, _, wanted_shape, wanted) = case;
        let mut t = Template::default();
        let (x, leaves) = array_and_leaves(&mut t, case);
        let y = t.op_with(
            "index",
            &[&[x], &leaves[..]].concat(),
            json!({"spec": spec}),
        );
        let found = t.value(y);
        assert_eq!(found.shape(), wanted_shape, "{case:?}");
        let found: Vec<i64> = found.values().iter().map(|&v| v as i64).collect();
        assert_eq!(found, wanted, "{case:?}");
    }
}

#[test]
fn assignments_go_where_indexing_reads() {
    for case in INDEXED {
        let &(_, spec, _, shape, positions) = case;
        let given: Vec<f64> = (0..positions.len()).map(|i| 100.0 + i as f64).collect();
        for name in ["set_index", "inc_index"] {
            let mut t = Template::default();
            let (x, leaves) = array_and_leaves(&mut t, case);
            let y = t.real(shape, &given);
            let z = t.op_with(
                name,
                &[&[x, y], &leaves[..]].concat(),
                json!({"spec": spec}),
            );
            let found = t.value(z);
            let mut wanted: Vec<f64> = (0..size_of(case.0)).map(|i| i as f64).collect();
            for (&position, &value) in positions.iter().zip(&given) {
                match name {
                    "set_index" => wanted[position as usize] = value,
                    _ => wanted[position as usize] += value,
                }
            }
            assert_eq!(found.values(), wanted, "{name} {case:?}");
        }
    }
}

#[test]
fn what_is_assigned_broadcasts() {
    for (given, shape) in [
        (vec![7.0], &[][..]),
        (vec![7.0], &[1, 1, 1]),
        (vec![7.0, 8.0], &[1, 2]),
    ] {
        let mut t = Template::default();
        let x = t.real(&[2, 3], &[0.0; 6]);
        let y = t.real(shape, &given);
        let columns = t.ints(&[2], &[2, 0]);
        let z = t.op_with("set_index", &[x, y, columns], json!({"spec": [":", "a"]}));
        let (a, b) = (given[0], *given.last().unwrap());
        assert_eq!(t.value(z).values(), [b, 0.0, a, b, 0.0, a]);
    }
    let mut t = Template::default();
    let x = t.real(&[2, 3], &[0.0; 6]);
    let y = t.real(&[2, 1], &[7.0, 8.0]);
    let row = t.int(0);
    t.op_with("set_index", &[x, y, row], json!({"spec": ["i"]}));
    assert!(t.bind_error().contains("does not broadcast"));
}

#[test]
fn wrong_indices_are_refused() {
    let cases: &[(&[&str], Leaf, &str)] = &[
        (
            &["i"],
            (Int64, &[], &[3]),
            "index 3 is out of bounds for axis 0 of length 3",
        ),
        (
            &["i"],
            (Int64, &[], &[-4]),
            "index -4 is out of bounds for axis 0 of length 3",
        ),
        (
            &[":", "a"],
            (Int64, &[2], &[0, 4]),
            "index 4 is out of bounds for axis 1 of length 4",
        ),
        (
            &["a"],
            (Bool, &[4], &[1, 0, 0, 1]),
            "a mask of shape [4] indexes axes of lengths [3]",
        ),
        (&["s001"], (Int64, &[], &[0]), "the step of a slice is 0"),
    ];
    for &(spec, (dtype, shape, values), part) in cases {
        let mut t = Template::default();
        let x = t.real(&[3, 4], &[0.0; 12]);
        let leaf = match dtype {
            Bool => t.bools(shape, values),
            _ => t.ints(shape, values),
        };
        t.op_with("index", &[x, leaf], json!({"spec": spec}));
        assert!(t.bind_error().contains(part), "{}", t.bind_error());
    }
    let mut t = Template::default();
    let x = t.real(&[3, 4], &[0.0; 12]);
    let (rows, columns) = (t.ints(&[2], &[0, 1]), t.ints(&[3], &[0, 1, 2]));
    t.op_with("index", &[x, rows, columns], json!({"spec": ["a", "a"]}));
    assert!(
        t.bind_error()
            .contains("index arrays of shapes [2] and [3] do not broadcast")
    );
}

#[test]
fn a_sum_of_truth_values_indexes_as_an_integer() {
    let mut t = Template::default();
    let x = t.real(&[3], &[5.0, 6.0, 7.0]);
    let flags = t.bools(&[2, 1], &[1, 0]);
    let counts = t.op_with("sum", &[flags], json!({"axes": [1]}));
    let y = t.op_with("index", &[x, counts], json!({"spec": ["a"]}));
    assert_eq!(t.value(y).values(), [6.0, 5.0]);
}

#[test]
fn integers_stay_integers_under_increments() {
    let mut t = Template::default();
    let x = t.ints(&[3], &[1, 0, 2]);
    let (one, first) = (t.int(1), t.int(1));
    let y = t.op_with("inc_index", &[x, one, first], json!({"spec": ["i"]}));
    t.graph.output("y", y).unwrap();
    let bound = t.bind().unwrap();
    let node = bound.builder.node(bound.outputs[0].1);
    assert_eq!(node.dtype, t.graph.nodes()[y].dtype);
    assert_eq!(node.constant().unwrap().values(), [1.0, 1.0, 2.0]);
}

#[test]
fn shapes_are_worked_out_or_refused() {
    let reshape = |size: usize, wanted: &[i64], ndim: usize| {
        let mut t = Template::default();
        let x = t.real(&[size], &vec![0.0; size]);
        let shape = t.ints(&[wanted.len()], wanted);
        let y = t.op_with("reshape", &[x, shape], json!({"ndim": ndim}));
        t.graph.output("y", y).unwrap();
        let bound = t.bind().map_err(|error| error.to_string())?;
        Ok::<_, String>(bound.builder.shape(bound.outputs[0].1).to_vec())
    };
    assert_eq!(reshape(12, &[3, -1], 2), Ok(vec![3, 4]));
    assert_eq!(reshape(12, &[-1], 1), Ok(vec![12]));
    assert_eq!(reshape(1, &[], 0), Ok(vec![]));
    assert_eq!(reshape(0, &[3, 0], 2), Ok(vec![3, 0]));
    assert_eq!(reshape(0, &[3, -1], 2), Ok(vec![3, 0]));
    for (size, wanted) in [
        (12, &[5, -1][..]),
        (12, &[-1, -1]),
        (0, &[0, -1]),
        (4, &[-2, -2]),
        (5, &[4]),
    ] {
        let error = reshape(size, wanted, wanted.len()).unwrap_err();
        assert!(error.contains("cannot be reshaped"), "{error}");
    }
    let error = reshape(4, &[4], 2).unwrap_err();
    assert!(error.contains("must have 2 entries"), "{error}");
}

#[test]
fn made_arrays_are_numpys() {
    let mut t = Template::default();
    let ints: Vec<NodeId> = (-2..8).map(|i| t.int(i)).collect();
    let int = |i: i64| ints[(i + 2) as usize];
    let half = t.number(0.5);
    let cases = [
        (
            t.op("arange", &[int(5), int(-1), int(-2)]),
            vec![5.0, 3.0, 1.0],
        ),
        (t.op("arange", &[int(5), int(1), int(1)]), vec![]),
        (t.op("arange", &[int(0), half, half]), vec![0.0]),
        (
            t.op("arange", &[int(0), int(2), half]),
            vec![0.0, 0.5, 1.0, 1.5],
        ),
        (
            t.op("eye", &[int(2), int(3), int(1)]),
            vec![0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        ),
        (
            t.op("eye", &[int(3), int(2), int(-1)]),
            vec![0.0, 0.0, 1.0, 0.0, 0.0, 1.0],
        ),
        (
            t.op("tri", &[int(2), int(3), int(0)]),
            vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0],
        ),
        (
            t.op("tri", &[int(2), int(3), int(-1)]),
            vec![0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        ),
        (t.op("make_vector", &[int(3), half]), vec![3.0, 0.5]),
        (t.op("make_vector", &[]), vec![]),
    ];
    for (k, (node, wanted)) in cases.into_iter().enumerate() {
        t.graph.output(&format!("{k}"), node).unwrap();
        let bound = t.bind().unwrap();
        let value = bound.builder.constant_value(bound.outputs[k].1).unwrap();
        assert_eq!(value.values(), wanted, "case {k}");
    }
    let mut t = Template::default();
    let (zero, two) = (t.int(0), t.int(2));
    t.op("arange", &[zero, two, zero]);
    assert!(t.bind_error().contains("step 0"));
}

#[test]
fn positions_and_diagonals_are_numpys() {
    let mut t = Template::default();
    let x = t.real(&[2, 3], &[0.0, 5.0, 6.0, 7.0, 0.0, 9.0]);
    for (axis, wanted) in [(0, [0.0, 0.0, 1.0, 1.0]), (1, [1.0, 2.0, 0.0, 2.0])] {
        let positions = t.op_with("nonzero", &[x], json!({"axis": axis}));
        t.graph.output(&format!("axis {axis}"), positions).unwrap();
        let bound = t.bind().unwrap();
        let value = bound.builder.constant_value(bound.outputs[axis].1).unwrap();
        assert_eq!(value.values(), wanted);
    }
    // numpy.diagonal(arange(12).reshape(2, 3, 2), offset, axis1, axis2)
    type Diagonal = (i64, [usize; 2], &'static [usize], &'static [f64]);
    let cases: [Diagonal; 5] = [
        (0, [0, 1], &[2, 2], &[0.0, 8.0, 1.0, 9.0]),
        (1, [0, 1], &[2, 2], &[2.0, 10.0, 3.0, 11.0]),
        (-1, [0, 1], &[2, 1], &[6.0, 7.0]),
        (0, [2, 0], &[3, 2], &[0.0, 7.0, 2.0, 9.0, 4.0, 11.0]),
        (5, [1, 2], &[2, 0], &[]),
    ];
    for (offset, [axis1, axis2], shape, wanted) in cases {
        let mut t = Template::default();
        let values: Vec<f64> = (0..12).map(f64::from).collect();
        let x = t.real(&[2, 3, 2], &values);
        let attributes = json!({"offset": offset, "axis1": axis1, "axis2": axis2});
        let y = t.op_with("extract_diag", &[x], attributes);
        let found = t.value(y);
        assert_eq!(
            (found.shape(), found.values()),
            (shape, wanted),
            "offset {offset}"
        );
    }
}

#[test]
fn reductions_are_numpys() {
    // numpy.<name>(array([[[3, 0], [1, 4], [4, 2]]]), axis)
    let values = [3.0, 0.0, 1.0, 4.0, 4.0, 2.0];
    type Reduced = (&'static str, &'static [usize], &'static [f64]);
    let cases: [Reduced; 14] = [
        ("sum", &[1], &[8.0, 6.0]),
        ("sum", &[0, 2], &[3.0, 5.0, 6.0]),
        ("sum", &[], &[3.0, 0.0, 1.0, 4.0, 4.0, 2.0]),
        ("prod", &[2], &[0.0, 4.0, 8.0]),
        ("prod", &[0, 1, 2], &[0.0]),
        ("max", &[1], &[4.0, 4.0]),
        ("min", &[0, 1], &[1.0, 0.0]),
        ("any", &[0, 2], &[1.0, 1.0, 1.0]),
        ("all", &[0, 2], &[0.0, 1.0, 1.0]),
        ("argmax", &[1], &[2.0, 1.0]),
        ("argmax", &[0, 1, 2], &[3.0]),
        ("argmax", &[1, 2], &[3.0]),
        ("argmax", &[0, 2], &[0.0, 1.0, 0.0]),
        ("argmax", &[], &[0.0; 6]),
    ];
    for (name, axes, wanted) in cases {
        let mut t = Template::default();
        let x = t.real(&[1, 3, 2], &values);
        let y = t.op_with(name, &[x], json!({"axes": axes}));
        assert_eq!(t.value(y).values(), wanted, "{name} over {axes:?}");
    }
}

#[test]
fn nan_wins_a_maximum() {
    for name in ["max", "min"] {
        for values in [
            [f64::NAN, 1.0, 2.0],
            [1.0, f64::NAN, 2.0],
            [1.0, 2.0, f64::NAN],
        ] {
            for shape in [[3, 1], [1, 3]] {
                let mut t = Template::default();
                let x = t.real(&shape, &values);
                let y = t.op_with(name, &[x], json!({"axes": [0, 1]}));
                assert!(t.value(y).values()[0].is_nan(), "{name} of {values:?}");
            }
        }
    }
}

#[test]
fn empty_arrays_go_through() {
    for (name, wanted) in [("sum", 0.0), ("prod", 1.0), ("any", 0.0), ("all", 1.0)] {
        for (shape, axes, rest) in [
            ([3, 0], &[0][..], &[0][..]),
            ([0, 3], &[0], &[3]),
            ([3, 0], &[1], &[3]),
            ([0, 3], &[0, 1], &[]),
        ] {
            let mut t = Template::default();
            let x = t.parameter("x", &shape);
            let y = t.op_with(name, &[x], json!({"axes": axes}));
            let found = t.value(y);
            assert_eq!(found.shape(), rest, "{name} of {shape:?}");
            assert!(
                found.values().iter().all(|&v| v == wanted),
                "{name} of {shape:?}"
            );
        }
    }
    let mut t = Template::default();
    let x = t.parameter("x", &[2, 0]);
    let y = t.parameter("y", &[0, 3]);
    let z = t.op("matmul", &[x, y]);
    assert_eq!(t.value(z).values(), [0.0; 6]);
}

#[test]
fn an_empty_sum_of_checked_terms_is_zero() {
    let mut t = Template::default();
    let x = t.parameter("x", &[0]);
    let sigma = t.parameter("sigma", &[]);
    let zero = t.number(0.0);
    let positive = t.op("gt", &[sigma, zero]);
    let scaled = t.op("mul", &[x, sigma]);
    let checked = t.op_with(
        "check",
        &[scaled, positive],
        json!({"message": "sigma > 0"}),
    );
    let total = t.op_with("sum", &[checked], json!({"axes": [0]}));
    assert_eq!(t.value(total).values(), [0.0]);
}

#[test]
fn softmax_and_logsumexp_bear_large_arguments() {
    let mut t = Template::default();
    let x = t.real(
        &[2, 2],
        &[1000.0, 1000.0, f64::NEG_INFINITY, f64::NEG_INFINITY],
    );
    let y = t.op_with("logsumexp", &[x], json!({"axes": [1]}));
    let found = t.value(y);
    assert_eq!(found.values()[0], 1000.0 + 2f64.ln());
    assert_eq!(found.values()[1], f64::NEG_INFINITY);
    let mut t = Template::default();
    let x = t.real(&[3], &[-1000.0, 1000.0, 1000.0]);
    let y = t.op_with("softmax", &[x], json!({"axes": [0]}));
    assert_eq!(t.value(y).values(), [0.0, 0.5, 0.5]);
    let mut t = Template::default();
    let x = t.real(&[2], &[-1000.0, 1000.0]);
    let y = t.op_with("log_softmax", &[x], json!({"axes": [0]}));
    assert_eq!(t.value(y).values(), [-2000.0, 0.0]);
}

#[test]
fn errors_name_the_inputs() {
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let y = t.data("observed", &[4], &[0.0; 4], DType::Float64);
    let scaled = t.op("exp", &[x]);
    t.op("mul", &[scaled, y]);
    assert_eq!(
        t.bind_error(),
        "shapes [3] and [4] do not broadcast in `mul` (computed from data \"observed\", parameter \"x\")"
    );

    let mut t = Template::default();
    let y = t.data("observed", &[4], &[0.0; 4], DType::Float64);
    let n = t.data("n", &[], &[5.0], DType::Int64);
    t.op_with("specify_shape", &[y, n], json!({"given": [true]}));
    let error = t.bind_error();
    assert!(
        error.starts_with("axis 0 must have the length 5, but has 4"),
        "{error}"
    );
    assert!(error.contains("data \"n\", data \"observed\""), "{error}");

    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let cast = t.op_with("cast", &[x], json!({"dtype": "int64"}));
    let range = t.real(&[2], &[0.0; 2]);
    t.op_with("index", &[range, cast], json!({"spec": ["s010"]}));
    let error = t.bind_error();
    assert!(
        error.contains("the bound of a slice depends on a parameter"),
        "{error}"
    );
    assert!(error.contains("parameter \"x\""), "{error}");

    let mut t = Template::default();
    let n = t.data("n", &[], &[-1.0], DType::Int64);
    let x = t.number(0.0);
    t.op("broadcast_to", &[x, n]);
    assert!(
        t.bind_error().contains("the length -1"),
        "{}",
        t.bind_error()
    );

    let mut t = Template::default();
    let a = t.parameter("a", &[2, 3]);
    let b = t.parameter("b", &[2, 3]);
    t.op("matmul", &[a, b]);
    assert!(
        t.bind_error()
            .contains("shapes [2, 3] and [2, 3] cannot be multiplied")
    );

    let mut t = Template::default();
    let a = t.parameter("a", &[2, 3]);
    t.op_with("dimshuffle", &[a], json!({"order": [1]}));
    assert!(
        t.bind_error()
            .contains("axis 0 of length 2 cannot be dropped")
    );

    let mut t = Template::default();
    let a = t.parameter("a", &[2, 3]);
    let b = t.parameter("b", &[2, 4]);
    t.op_with("join", &[a, b], json!({"axis": 0}));
    assert!(t.bind_error().contains("cannot be joined on axis 0"));
}

#[test]
fn data_must_fit_what_the_model_declares() {
    let mut t = Template::default();
    t.data("counts", &[2], &[1.0, 2.0], Int64);
    let bound = |values: &[f64], shape: &[usize], dtype: DType| {
        let value = Tensor::new(shape.to_vec(), values);
        let data = HashMap::from([("counts".to_string(), Data { value, dtype })]);
        bind(&t.graph, data, &HashMap::new())
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(bound(&[1.0], &[1], Int64), Ok(()));
    assert_eq!(bound(&[1.0], &[1], Bool), Ok(()));
    assert_eq!(bound(&[9007199254740991.0], &[1], Int64), Ok(()));
    let cases: [(&[f64], &[usize], DType, &str); 4] = [
        (
            &[1.5],
            &[1],
            DType::Float64,
            "are int64, but the new value is float64",
        ),
        (
            &[1.0],
            &[],
            Int64,
            "must have 1 axes, but the new value has 0",
        ),
        (
            &[9007199254740992.0],
            &[1],
            Int64,
            "integers of 2**53 or more",
        ),
        (
            &[-9007199254740994.0],
            &[1],
            Int64,
            "integers of 2**53 or more",
        ),
    ];
    for (values, shape, dtype, part) in cases {
        let error = bound(values, shape, dtype).unwrap_err();
        assert!(
            error.contains(part) && error.contains("\"counts\""),
            "{error}"
        );
    }
}

#[test]
fn names_must_match() {
    let mut t = Template::default();
    t.data("y", &[], &[1.0], DType::Float64);
    t.parameter("x", &[2]);
    t.data[0].0 = "z".into();
    assert_eq!(t.bind_error(), "no data were given for \"y\"");
    t.data[0].0 = "y".into();
    t.data.push(("z".into(), vec![], vec![1.0], DType::Float64));
    assert!(
        t.bind_error()
            .contains("\"z\", which the model does not have")
    );
    t.data.pop();
    t.shapes.insert("x".into(), vec![2, 1]);
    assert!(t.bind_error().contains("parameter \"x\" has 1 axes"));
    t.shapes.clear();
    assert!(
        t.bind_error()
            .contains("no shape was given for parameter \"x\"")
    );
}

#[test]
fn parameters_fill_the_position_in_order() {
    let mut t = Template::default();
    t.parameter("b", &[2, 3]);
    t.parameter("empty", &[0]);
    t.parameter("a", &[]);
    let bound = t.bind().unwrap();
    let found: Vec<_> = bound
        .parameters
        .iter()
        .map(|p| (p.name.as_str(), p.offset))
        .collect();
    assert_eq!(found, [("b", 0), ("empty", 6), ("a", 6)]);
    assert_eq!(bound.dim, 7);
}

#[test]
fn an_axis_of_data_that_happens_to_have_length_1_does_not_broadcast() {
    let template = |order: &[i64], function: &str| {
        let mut t = Template::default();
        let x = t.data("x", &[1], &[2.0], DType::Float64);
        let x = t.op_with("dimshuffle", &[x], json!({"order": order}));
        let x = t.op("exp", &[x]);
        let y = t.real(&[3, 3], &[1.0; 9]);
        t.op(function, &[y, x]);
        t
    };
    for (order, function) in [(&[0][..], "mul"), (&[0, -1], "mul"), (&[-1, 0], "lt")] {
        let error = template(order, function).bind_error();
        assert!(
            error.contains("does not broadcast to length 3") && error.contains("data \"x\""),
            "{error}"
        );
    }
    // Dropped and inserted again, it broadcasts as any new axis.
    assert!(template(&[-1], "mul").bind().is_ok());
    let mut t = Template::default();
    let x = t.data("x", &[1], &[2.0], DType::Float64);
    let y = t.real(&[1], &[3.0]);
    t.op("mul", &[x, y]);
    assert!(t.bind().is_ok());
}

#[test]
fn assertions_on_data_are_checked_when_they_are_bound() {
    let asserted = |limit: f64, dtype: DType| {
        let mut t = Template::default();
        let x = t.data("x", &[2], &[1.0, 2.0], dtype);
        let limit = t.number(limit);
        let small = t.op("lt", &[x, limit]);
        let all = t.op_with("all", &[small], json!({"axes": [0]}));
        let checked = t.op_with("assert", &[x, all], json!({"message": "x must be small"}));
        (t, checked)
    };
    for dtype in [DType::Float64, Int64, Bool] {
        let (t, checked) = asserted(3.0, dtype);
        assert_eq!(t.graph.nodes()[checked].dtype, dtype);
        assert!(t.bind().is_ok());
        let (t, _) = asserted(2.0, dtype);
        assert_eq!(t.bind_error(), "x must be small (computed from data \"x\")");
    }
}

#[test]
fn assertions_on_parameters_are_checks() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let zero = t.number(0.0);
    let positive = t.op("gt", &[x, zero]);
    let checked = t.op_with(
        "assert",
        &[x, positive],
        json!({"message": "x must be positive"}),
    );
    t.graph.output("logp", checked).unwrap();
    let density = Differentiated::new(&t, Builder::default());
    assert_eq!(density.evaluate(&[2.0]), [2.0, 1.0]);
    assert_eq!(density.evaluate(&[-2.0]), [f64::NEG_INFINITY, 1.0]);
}

#[test]
fn distinct_elements_are_numpys() {
    // numpy.unique([[3, 1], [0, 1], [3, 1]], axis=..., return_index=True, return_inverse=True, return_counts=True)
    let parts = ["values", "index", "inverse", "counts"];
    let cases: [(Option<usize>, [&[f64]; 4]); 3] = [
        (
            None,
            [
                &[0.0, 1.0, 3.0],
                &[2.0, 1.0, 0.0],
                &[2.0, 1.0, 0.0, 1.0, 2.0, 1.0],
                &[1.0, 3.0, 2.0],
            ],
        ),
        (
            Some(0),
            [
                &[0.0, 1.0, 3.0, 1.0],
                &[1.0, 0.0],
                &[1.0, 0.0, 1.0],
                &[1.0, 2.0],
            ],
        ),
        (
            Some(1),
            [
                &[1.0, 3.0, 1.0, 0.0, 1.0, 3.0],
                &[1.0, 0.0],
                &[1.0, 0.0],
                &[1.0, 1.0],
            ],
        ),
    ];
    for (axis, wanted) in cases {
        for (part, wanted) in parts.iter().zip(wanted) {
            let mut t = Template::default();
            let x = t.real(&[3, 2], &[3.0, 1.0, 0.0, 1.0, 3.0, 1.0]);
            let y = t.op_with("unique", &[x], json!({"axis": axis, "part": part}));
            assert_eq!(t.value(y).values(), wanted, "{axis:?} {part}");
        }
    }
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    t.op_with("unique", &[x], json!({"axis": null, "part": "values"}));
    assert!(t.bind_error().contains("parameter \"x\""));
}

#[test]
fn shapes_that_depend_on_parameters_are_refused() {
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let zero = t.number(0.0);
    let mask = t.op("gt", &[x, zero]);
    t.op_with("index", &[x, mask], json!({"spec": ["a"]}));
    assert!(t.bind_error().contains("a mask depends on a parameter"));

    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let place = t.op_with("argmax", &[x], json!({"axes": [0]}));
    t.op_with("index", &[x, place], json!({"spec": ["s100"]}));
    assert!(t.bind_error().contains("bound of a slice depends"));

    let mut t = Template::default();
    let (x, y) = (t.parameter("x", &[]), t.parameter("y", &[2]));
    let z = t.parameter("z", &[3]);
    let zero = t.number(0.0);
    let condition = t.op("gt", &[x, zero]);
    t.op("if_else", &[condition, y, z]);
    assert!(
        t.bind_error()
            .contains("the branches of a condition on a parameter have the shapes")
    );
}

#[test]
fn data_decide_between_branches_of_any_shape() {
    for (flag, wanted) in [(1, vec![1.0, 2.0]), (0, vec![3.0])] {
        let mut t = Template::default();
        let condition = t.bools(&[], &[flag]);
        let (x, y) = (t.real(&[2], &[1.0, 2.0]), t.real(&[1], &[3.0]));
        let z = t.op("if_else", &[condition, x, y]);
        assert_eq!(t.value(z).values(), wanted);
    }
}

#[test]
fn bits_of_integers_are_combined() {
    for (function, wanted) in [
        ("bit_and", [-8.0, 4.0]),
        ("bit_or", [-1.0, 7.0]),
        ("bit_xor", [7.0, 3.0]),
    ] {
        let mut t = Template::default();
        let x = t.ints(&[2, 2], &[-1, 7, -8, 4]);
        let attributes = json!({"function": function, "axes": [0]});
        let y = t.op_with("bitwise", &[x], attributes);
        assert_eq!(t.value(y).values(), wanted, "{function}");
    }
}

#[test]
fn what_stacks_have_in_common_is_checked() {
    let common = |shape: &[usize], values: &[i64], axes: usize| {
        let mut t = Template::default();
        let x = t.ints(shape, values);
        let y = t.op_with("common", &[x], json!({"axes": axes}));
        t.graph.output("y", y).unwrap();
        let bound = t.bind().map_err(|error| error.to_string())?;
        let value = bound.builder.constant_value(bound.outputs[0].1).unwrap();
        Ok::<_, String>((value.shape().to_vec(), value.values().to_vec()))
    };
    assert_eq!(common(&[2, 1], &[5, 5], 2), Ok((vec![], vec![5.0])));
    assert_eq!(
        common(&[2, 3], &[1, 2, 3, 1, 2, 3], 1),
        Ok((vec![3], vec![1.0, 2.0, 3.0]))
    );
    assert_eq!(common(&[2, 0], &[], 1), Ok((vec![0], vec![])));
    assert!(common(&[2], &[5, 6], 1).unwrap_err().contains("differ"));
    assert!(common(&[0], &[], 1).unwrap_err().contains("without arrays"));
}

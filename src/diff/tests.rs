use super::gradient;
use crate::bound::{Builder, Reduction};
use crate::graph::{DType, NodeId};
use crate::tensor::Tensor;
use crate::testing::{
    Differentiated, Random, Template, check_gradient, close, differences, interpret,
};
use serde_json::{Value, json};

/// Checks the gradient of an op of one parameter at random points of (low, high).
#[track_caller]
fn check_op(name: &str, shape: &[usize], (low, high): (f64, f64), attributes: Value) {
    let mut t = Template::default();
    let x = t.parameter("x", shape);
    let y = t.op_with(name, &[x], attributes.clone());
    t.weigh(y);
    let position = Random::new(2).vector(shape.iter().product(), low, high);
    check_gradient(&format!("{name} {attributes} of {shape:?}"), &t, &position);
}

/// All subsets of the axes of a rank.
fn subsets(rank: usize) -> impl Iterator<Item = Vec<usize>> {
    (0..1usize << rank).map(move |bits| (0..rank).filter(|axis| bits >> axis & 1 == 1).collect())
}

#[test]
fn reductions_over_all_choices_of_axes() {
    for shape in [&[2, 3, 4][..], &[1, 3, 2], &[3, 1], &[1]] {
        for axes in subsets(shape.len()) {
            for name in ["sum", "prod", "max", "min", "logsumexp"] {
                check_op(name, shape, (-2.0, 2.0), json!({"axes": axes}));
            }
            for name in ["softmax", "log_softmax"] {
                check_op(name, shape, (-2.0, 2.0), json!({"axes": axes}));
            }
        }
    }
}

#[test]
fn running_sums_and_products_along_each_axis() {
    for shape in [&[3, 4, 2][..], &[1, 5], &[1]] {
        for axis in 0..shape.len() {
            check_op("cumsum", shape, (-2.0, 2.0), json!({"axis": axis}));
            check_op("cumprod", shape, (0.5, 2.0), json!({"axis": axis}));
        }
    }
}

#[test]
fn transpositions_and_new_axes() {
    for order in [
        json!([2, 0, 1]),
        json!([1, 0, 2]),
        json!([2, 1, 0]),
        json!([-1, 0, -1, 2, 1]),
    ] {
        check_op(
            "dimshuffle",
            &[2, 3, 4],
            (-2.0, 2.0),
            json!({"order": order}),
        );
    }
    check_op("dimshuffle", &[1, 3], (-2.0, 2.0), json!({"order": [1]}));
    check_op("dimshuffle", &[1, 1], (-2.0, 2.0), json!({"order": []}));
}

#[test]
fn diagonals() {
    for offset in [-2, -1, 0, 1, 3] {
        for (axis1, axis2) in [(0, 1), (1, 0), (0, 2), (2, 1)] {
            let attributes = json!({"offset": offset, "axis1": axis1, "axis2": axis2});
            let mut t = Template::default();
            let x = t.parameter("x", &[3, 3, 4]);
            let y = t.op_with("extract_diag", &[x], attributes);
            t.weigh(y);
            check_gradient("extract_diag", &t, &Random::new(3).vector(36, -1.0, 1.0));
        }
    }
}

/// Leaves of the index expressions below.
fn index_leaves(t: &mut Template, spec: &[&str]) -> Vec<NodeId> {
    spec.iter()
        .flat_map(|entry| match *entry {
            "i" => vec![t.int(-2)],
            "s001" => vec![t.int(-1)],
            "s111" => vec![t.int(-1), t.int(0), t.int(-2)],
            "s100" => vec![t.int(1)],
            "a" => vec![t.ints(&[4], &[1, 0, 1, -1])],
            "m" => vec![t.bools(&[3], &[1, 0, 1])],
            _ => vec![],
        })
        .collect()
}

#[test]
fn views_gathers_and_scatters() {
    let specs: &[&[&str]] = &[
        &["i"],
        &["s001"],
        &["s111", "s100"],
        &[":", "i"],
        &[":", "s001"],
        &["a"],
        &[":", "a"],
        &["a", "a"],
        &["i", "a"],
        &["m"],
        &["m", "s001"],
    ];
    let mut random = Random::new(4);
    for spec in specs {
        let entries: Vec<&str> = spec
            .iter()
            .map(|&e| if e == "m" { "a" } else { e })
            .collect();
        let attributes = json!({"spec": entries});

        let mut t = Template::default();
        let x = t.parameter("x", &[3, 4]);
        let leaves = index_leaves(&mut t, spec);
        let y = t.op_with("index", &[&[x], &leaves[..]].concat(), attributes.clone());
        t.weigh(y);
        check_gradient(&format!("x[{spec:?}]"), &t, &random.vector(12, -1.0, 1.0));

        for name in ["set_index", "inc_index"] {
            // What goes in: an array of the place's own shape, and a scalar.
            for scalar in [false, true] {
                let mut t = Template::default();
                let x = t.parameter("x", &[3, 4]);
                let leaves = index_leaves(&mut t, spec);
                let z = t.parameter("z", if scalar { &[] } else { &[3, 4] });
                let y = match scalar {
                    true => z,
                    false => t.op_with("index", &[&[z], &leaves[..]].concat(), attributes.clone()),
                };
                let inputs = [&[x, y], &leaves[..]].concat();
                let result = t.op_with(name, &inputs, attributes.clone());
                t.weigh(result);
                let position = random.vector(if scalar { 13 } else { 24 }, -1.0, 1.0);
                check_gradient(&format!("{name} {spec:?}"), &t, &position);
            }
        }
    }
}

#[test]
fn joined_arrays() {
    for axis in 0..2 {
        let mut t = Template::default();
        let x = t.parameter("x", &[2, 3]);
        let y = t.parameter("y", if axis == 0 { &[1, 3] } else { &[2, 1] });
        let constant = t.real(&[2, 3], &[0.5; 6]);
        let joined = t.op_with("join", &[x, y, constant, x], json!({"axis": axis}));
        t.weigh(joined);
        let size = if axis == 0 { 9 } else { 8 };
        check_gradient("join", &t, &Random::new(5).vector(size, -1.0, 1.0));
    }
    let mut t = Template::default();
    let (x, y) = (t.parameter("x", &[]), t.parameter("y", &[]));
    let two = t.number(2.0);
    let vector = t.op("make_vector", &[y, two, x, y]);
    t.weigh(vector);
    check_gradient("make_vector", &t, &[0.3, -0.4]);
}

#[test]
fn products_of_matrices_of_any_orientation_and_batch() {
    let mut random = Random::new(6);
    let batches: [(&[usize], &[usize]); 5] = [
        (&[], &[]),
        (&[2], &[2]),
        (&[2], &[]),
        (&[], &[3]),
        (&[2, 1], &[3]),
    ];
    for (batch_a, batch_b) in batches {
        for (m, k, n) in [(2, 3, 4), (1, 3, 1), (3, 2, 1), (1, 3, 2), (2, 1, 2)] {
            for swaps in 0..4 {
                // Which of the two factors is a parameter.
                for parameters in 1..4 {
                    let mut t = Template::default();
                    let mut position = vec![];
                    let mut factor = |name: &str,
                                      batch: &[usize],
                                      rows: usize,
                                      columns: usize,
                                      swap: bool,
                                      free: bool| {
                        let last = if swap {
                            [columns, rows]
                        } else {
                            [rows, columns]
                        };
                        let shape = [batch, &last].concat();
                        let values = random.vector(shape.iter().product(), -1.0, 1.0);
                        let x = match free {
                            false => t.real(&shape, &values),
                            true => t.parameter(name, &shape),
                        };
                        if free {
                            position.extend(&values);
                        }
                        let rank = shape.len();
                        let mut order: Vec<usize> = (0..rank).collect();
                        order.swap(rank - 2, rank - 1);
                        match swap {
                            true => t.op_with("dimshuffle", &[x], json!({"order": order})),
                            false => x,
                        }
                    };
                    let a = factor("a", batch_a, m, k, swaps & 1 == 1, parameters & 1 == 1);
                    let b = factor("b", batch_b, k, n, swaps & 2 == 2, parameters & 2 == 2);
                    let product = t.op("matmul", &[a, b]);
                    t.weigh(product);
                    check_gradient("matmul", &t, &position);
                }
            }
        }
    }
}

#[test]
fn products_of_factors_stored_transposed() {
    let mut random = Random::new(20);
    let (batch, m, k, n) = (2, 2, 3, 4);
    for transposed in [[false, false], [true, false], [false, true], [true, true]] {
        let mut b = Builder::default();
        let shape_a = if transposed[0] {
            [batch, k, m]
        } else {
            [batch, m, k]
        };
        let shape_b = if transposed[1] {
            [batch, n, k]
        } else {
            [batch, k, n]
        };
        let x = b.parameter("x".into(), 0, shape_a.to_vec());
        let y = b.parameter("y".into(), batch * m * k, shape_b.to_vec());
        let product = b.matmul(x, y, transposed);
        let weights = random.vector(batch * m * n, -1.0, 1.0);
        let weights = b.constant(Tensor::new(vec![batch, m, n], &weights));
        let weighted = b.mul(product, weights);
        let logp = b.reduce(Reduction::Sum, weighted, &[0, 1, 2]);
        let gradient = gradient(&mut b, logp, &[x, y]).unwrap();
        let position = random.vector(batch * k * (m + n), -1.0, 1.0);
        let found = interpret(&b, &gradient, &position).concat();
        let wanted = differences(|at| interpret(&b, &[logp], at)[0][0], &position);
        for (found, wanted) in found.iter().zip(&wanted) {
            assert!(
                close(*found, *wanted, 1e-9),
                "{transposed:?}: {found} {wanted}"
            );
        }
    }
}

#[test]
fn broadcasts() {
    let mut t = Template::default();
    let x = t.parameter("x", &[3, 1]);
    let y = t.parameter("y", &[1, 1]);
    let z = t.parameter("z", &[2]);
    let (four, three, two) = (t.int(4), t.int(3), t.int(2));
    let wide = t.op("broadcast_to", &[x, four, three, two]);
    let like = t.op("broadcast_like", &[y, wide]);
    let sum = t.op("add", &[wide, like, z]);
    let product = t.op("mul", &[sum, y, x]);
    t.weigh(product);
    check_gradient("broadcasts", &t, &Random::new(7).vector(6, -1.0, 1.0));
}

#[test]
fn a_node_used_in_many_ways_adds_its_adjoints() {
    // Contributions of one element and of all, of different ranks, to one node.
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let s = t.parameter("s", &[1, 1]);
    let total = t.op_with("sum", &[x], json!({"axes": [0]}));
    let e = t.op("exp", &[x]);
    let row = t.op_with("dimshuffle", &[x], json!({"order": [-1, 0]}));
    let outer = t.op("mul", &[row, s]);
    let sum = t.op("add", &[outer, e, total, s]);
    t.weigh(sum);
    check_gradient("many uses", &t, &[0.3, -0.2, 0.5, 0.7]);
}

/// Gradient of an op's weighted result at a point where differences say nothing.
fn gradient_at(name: &str, attributes: Value, shape: &[usize], position: &[f64]) -> Vec<f64> {
    let mut t = Template::default();
    let x = t.parameter("x", shape);
    let y = t.op_with(name, &[x], attributes);
    t.graph.output("logp", y).unwrap();
    Differentiated::new(&t, Builder::default()).evaluate(position)
}

#[test]
fn a_product_with_zeros_has_the_product_of_the_others_as_slope() {
    let axes = json!({"axes": [0]});
    let one = gradient_at("prod", axes.clone(), &[3], &[2.0, 0.0, 5.0]);
    assert_eq!(one, [0.0, 0.0, 10.0, 0.0]);
    let two = gradient_at("prod", axes, &[3], &[0.0, 0.0, 5.0]);
    assert_eq!(two, [0.0; 4]);
}

#[test]
fn each_maximum_has_the_slope_one() {
    // As in PyTensor, where a tie counts every time.
    let found = gradient_at("max", json!({"axes": [0]}), &[4], &[3.0, 1.0, 3.0, 2.0]);
    assert_eq!(found, [3.0, 1.0, 0.0, 1.0, 0.0]);
}

#[test]
fn what_the_log_density_does_not_see_has_no_gradient() {
    let mut t = Template::default();
    let x = t.parameter("x", &[2]);
    t.parameter("unused", &[2, 2]);
    t.parameter("empty", &[0]);
    let flags = t.op("gt", &[x, x]);
    let cast = t.op_with("cast", &[flags], json!({"dtype": "float64"}));
    let total = t.op_with("sum", &[cast], json!({"axes": [0]}));
    t.graph.output("logp", total).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[1.0; 6]);
    assert_eq!(found, [0.0; 7]);
}

#[test]
fn a_log_density_may_be_a_parameter_or_a_constant() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    t.graph.output("logp", x).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[3.0]);
    assert_eq!(found, [3.0, 1.0]);
    let mut t = Template::default();
    t.parameter("x", &[2]);
    let c = t.number(-1.5);
    t.graph.output("logp", c).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[3.0, 4.0]);
    assert_eq!(found, [-1.5, 0.0, 0.0]);
}

#[test]
fn a_failed_check_rejects_and_keeps_the_gradient() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let zero = t.number(0.0);
    let ok = t.op("gt", &[x, zero]);
    let square = t.op("sqr", &[x]);
    let checked = t.op_with("check", &[square, ok], json!({"message": "x > 0"}));
    t.graph.output("logp", checked).unwrap();
    let model = Differentiated::new(&t, Builder::default());
    assert_eq!(model.evaluate(&[3.0]), [9.0, 6.0]);
    assert_eq!(model.evaluate(&[-3.0]), [f64::NEG_INFINITY, -6.0]);
}

#[test]
fn integers_carry_no_gradient() {
    let mut t = Template::default();
    let x = t.parameter("x", &[3]);
    let counts = t.data("counts", &[3], &[1.0, 2.0, 3.0], DType::Int64);
    let rounded = t.op_with("cast", &[x], json!({"dtype": "int64"}));
    let product = t.op("mul", &[rounded, x, counts]);
    let total = t.op_with("sum", &[product], json!({"axes": [0]}));
    t.graph.output("logp", total).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[1.5, 2.5, -1.5]);
    assert_eq!(found, [1.5 + 10.0 + 4.5, 1.0, 4.0, -3.0]);
}

/// Integers in 0..count that depend on a parameter.
fn places(t: &mut Template, x: NodeId, count: f64) -> NodeId {
    let share = t.op("sigmoid", &[x]);
    let count = t.number(count);
    let scaled = t.op("mul", &[share, count]);
    t.op_with("cast", &[scaled], json!({"dtype": "int64"}))
}

#[test]
fn lookups_at_computed_places() {
    // x[spec] with the place along the last indexed axis computed from z
    let specs: &[(&[&str], &[usize], f64)] = &[
        (&["i"], &[], 3.0),
        (&[":", "i"], &[], 4.0),
        (&["a"], &[5], 3.0),
        (&["s001", "a"], &[2, 2], 4.0),
        (&["k", "a"], &[4], 4.0),
    ];
    for &(spec, shape, count) in specs {
        for name in ["index", "set_index", "inc_index"] {
            let mut t = Template::default();
            let x = t.parameter("x", &[3, 4]);
            let z = t.parameter("z", shape);
            let y = t.parameter("y", &[]);
            let mut leaves = match spec[0] {
                "s001" => vec![t.int(-1)],
                "k" => vec![t.ints(&[4], &[2, -1, 0, 1])],
                _ => vec![],
            };
            leaves.push(places(&mut t, z, count));
            let entries: Vec<&str> = spec
                .iter()
                .map(|&e| if e == "k" { "a" } else { e })
                .collect();
            let attributes = json!({"spec": entries});
            let inputs = match name {
                "index" => [&[x], &leaves[..]].concat(),
                _ => [&[x, y], &leaves[..]].concat(),
            };
            let result = t.op_with(name, &inputs, attributes);
            t.weigh(result);
            let size = 12 + shape.iter().product::<usize>() + 1;
            let position = Random::new(8).vector(size, -1.0, 1.0);
            check_gradient(&format!("{name} {spec:?}"), &t, &position);
        }
    }
}

#[test]
fn sorting_along_each_axis() {
    for axis in 0..3 {
        check_op("sort", &[3, 2, 4], (-2.0, 2.0), json!({"axis": axis}));
    }
    check_op("sort", &[1], (-2.0, 2.0), json!({"axis": 0}));
}

#[test]
fn branches_flow_where_they_were_taken() {
    for sign in [-1.0, 1.0] {
        let mut t = Template::default();
        let (x, y) = (t.parameter("x", &[3]), t.parameter("y", &[3]));
        let zero = t.number(0.0);
        let first = t.int(0);
        let x0 = t.op_with("index", &[x, first], json!({"spec": ["i"]}));
        let condition = t.op("gt", &[x0, zero]);
        // The root of what is negative is NaN, its derivative too.
        let root = t.op("sqrt", &[x]);
        let branch = t.op("if_else", &[condition, root, y]);
        t.weigh(branch);
        let position = [0.5, 0.7, 0.9, 0.2, 0.4, 0.6].map(|v| v * sign);
        check_gradient("if_else", &t, &position);
    }
}

#[test]
fn convolutions_in_both_vectors() {
    for (n, k) in [(7, 3), (3, 7), (4, 4), (1, 5), (12, 2)] {
        for full in [0, 1] {
            for batches in [[&[2][..], &[2]], [&[], &[3]], [&[2, 1], &[3]]] {
                let mut t = Template::default();
                let [sx, sw] = [[batches[0], &[n]].concat(), [batches[1], &[k]].concat()];
                let (x, w) = (t.parameter("x", &sx), t.parameter("w", &sw));
                let full = t.bools(&[], &[full]);
                let y = t.op("convolve", &[x, w, full]);
                t.weigh(y);
                let size = sx.iter().product::<usize>() + sw.iter().product::<usize>();
                let position = Random::new(9).vector(size, -1.0, 1.0);
                check_gradient(&format!("convolve {sx:?} {sw:?}"), &t, &position);
            }
        }
    }
}

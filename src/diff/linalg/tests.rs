//! Values and gradients of linear algebra, on stacks that broadcast, against NumPy-like definitions and differences.

use crate::bound::Builder;
use crate::graph::{DType, NodeId};
use crate::testing::{Differentiated, Random, Template, check_gradient, close};
use serde_json::json;

/// A parameter of so many matrices (n, n), and x x' + 1 of each: symmetric and positive definite.
fn positive_definite(template: &mut Template, lead: &[usize], n: usize) -> NodeId {
    let shape = [lead, &[n, n]].concat();
    let x = template.parameter("x", &shape);
    let transposed = transpose(template, x, shape.len());
    let product = template.op("matmul", &[x, transposed]);
    let identity = identity(template, n);
    template.op("add", &[product, identity])
}

fn identity(template: &mut Template, n: usize) -> NodeId {
    let (n, zero) = (template.int(n as i64), template.int(0));
    template.op("eye", &[n, n, zero])
}

fn transpose(template: &mut Template, x: NodeId, rank: usize) -> NodeId {
    let mut order: Vec<usize> = (0..rank).collect();
    order.swap(rank - 2, rank - 1);
    template.op_with("dimshuffle", &[x], json!({ "order": order }))
}

/// A parameter near the identity: invertible, with triangles that are.
fn invertible(template: &mut Template, lead: &[usize], n: usize) -> NodeId {
    let x = template.parameter("x", &[lead, &[n, n]].concat());
    let scale = template.number(0.3);
    let small = template.op("mul", &[x, scale]);
    let identity = identity(template, n);
    template.op("add", &[small, identity])
}

fn check(what: &str, mut template: Template, node: NodeId) {
    template.weigh(node);
    let size: usize = template
        .shapes
        .values()
        .map(|s| s.iter().product::<usize>())
        .sum();
    check_gradient(what, &template, &Random::new(61).vector(size, -1.0, 1.0));
}

#[test]
fn gradients_of_functions_of_one_stack() {
    for (name, attributes) in [
        ("cholesky", json!({"lower": true})),
        ("cholesky", json!({"lower": false})),
        ("inverse", json!({})),
        ("det", json!({})),
        ("log_abs_det", json!({})),
    ] {
        for (lead, n) in [(&[] as &[usize], 1), (&[], 4), (&[2], 3), (&[], 9)] {
            let mut t = Template::default();
            let a = positive_definite(&mut t, lead, n);
            let y = t.op_with(name, &[a], attributes.clone());
            check(&format!("{name} {attributes} {lead:?} {n}"), t, y);
        }
    }
}

#[test]
fn gradients_of_solutions() {
    let mut forms = vec![];
    for lower in [true, false] {
        for unit in [true, false] {
            forms.push(("solve_triangular", json!({"lower": lower, "unit": unit})));
        }
        for assume in ["symmetric", "positive_definite"] {
            forms.push(("solve", json!({"lower": lower, "assume": assume})));
        }
    }
    for assume in ["general", "tridiagonal"] {
        forms.push(("solve", json!({"lower": false, "assume": assume})));
    }
    for (name, attributes) in forms {
        // Stacks of matrices and of right-hand sides; without matrix, one serves them all.
        for (lead_a, lead_b, columns) in [
            (&[] as &[usize], &[] as &[usize], 1),
            (&[], &[], 3),
            (&[2], &[2], 1),
            (&[], &[2, 3], 1),
            (&[], &[3], 2),
            (&[2], &[], 2),
            (&[2, 1], &[3], 1),
        ] {
            for vectors in [true, false] {
                if vectors && columns > 1 {
                    continue;
                }
                let mut t = Template::default();
                let n = 3;
                let a = match (name, attributes["assume"].as_str()) {
                    (_, Some("symmetric" | "positive_definite")) => {
                        positive_definite(&mut t, lead_a, n)
                    }
                    (_, Some("tridiagonal")) => {
                        let (a, near) = (invertible(&mut t, lead_a, n), t.int(1));
                        let (rows, away) = (t.int(n as i64), t.int(-2));
                        let (below, above) = (
                            t.op("tri", &[rows, rows, near]),
                            t.op("tri", &[rows, rows, away]),
                        );
                        let band = t.op("sub", &[below, above]);
                        t.op("mul", &[a, band])
                    }
                    _ => invertible(&mut t, lead_a, n),
                };
                let core = if vectors { vec![n] } else { vec![n, columns] };
                let b = t.parameter("y", &[lead_b, &core].concat());
                let mut attributes = attributes.clone();
                attributes["b_ndim"] = json!(core.len());
                let x = t.op_with(name, &[a, b], attributes.clone());
                check(&format!("{name} {attributes} {lead_a:?} {lead_b:?}"), t, x);
            }
        }
    }
}

#[test]
fn gradients_of_eigenvalues_and_of_what_does_not_depend_on_signs() {
    for lower in [true, false] {
        for (lead, n) in [(&[] as &[usize], 1), (&[], 4), (&[2], 3)] {
            let mut t = Template::default();
            let a = positive_definite(&mut t, lead, n);
            let packed = t.op_with("eigh", &[a], json!({ "lower": lower }));
            let values = t.op_with("part", &[packed], json!({"index": 0}));
            check(&format!("eigenvalues {lead:?} {n}"), t, values);

            // exp(A) = V exp(w) V'
            let mut t = Template::default();
            let a = positive_definite(&mut t, lead, n);
            let packed = t.op_with("eigh", &[a], json!({ "lower": lower }));
            let values = t.op_with("part", &[packed], json!({"index": 0}));
            let vectors = t.op_with("part", &[packed], json!({"index": 1}));
            let rank = lead.len() + 2;
            let mut order: Vec<i64> = (0..rank as i64 - 2).collect();
            order.extend([-1, rank as i64 - 2]);
            let values = t.op("log", &[values]);
            let values = t.op_with("dimshuffle", &[values], json!({ "order": order }));
            let scaled = t.op("mul", &[vectors, values]);
            let transposed = transpose(&mut t, vectors, rank);
            let power = t.op("matmul", &[scaled, transposed]);
            check(&format!("logarithm of a matrix {lead:?} {n}"), t, power);
        }
    }
}

#[test]
fn equal_eigenvalues_leave_a_finite_gradient() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let identity = identity(&mut t, 3);
    let a = t.op("mul", &[x, identity]);
    let packed = t.op_with("eigh", &[a], json!({"lower": true}));
    let values = t.op_with("part", &[packed], json!({"index": 0}));
    let vectors = t.op_with("part", &[packed], json!({"index": 1}));
    let scaled = t.op("mul", &[vectors, values]);
    let transposed = transpose(&mut t, vectors, 2);
    let again = t.op("matmul", &[scaled, transposed]);
    let total = t.op_with("sum", &[again], json!({"axes": [0, 1]}));
    t.graph.output("logp", total).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[2.0]);
    assert!(
        close(found[0], 6.0, 1e-14) && close(found[1], 3.0, 1e-14),
        "{found:?}"
    );
}

#[test]
fn gradients_of_q_and_r() {
    for index in [0, 1] {
        for (lead, m, n) in [
            (&[] as &[usize], 1, 1),
            (&[], 4, 4),
            (&[], 5, 3),
            (&[2], 3, 2),
            (&[], 3, 5),
        ] {
            let mut t = Template::default();
            let a = t.parameter("x", &[lead, &[m, n]].concat());
            let packed = t.op("qr", &[a]);
            let part = t.op_with("part", &[packed], json!({ "index": index }));
            check(&format!("part {index} of QR, {lead:?} {m} {n}"), t, part);
        }
    }
}

#[test]
fn gradients_of_products_of_stacks_and_of_block_diagonal_matrices() {
    let shapes: [[&[usize]; 2]; 5] = [
        [&[2, 3], &[3, 4]],
        [&[2, 2, 3], &[3, 4]],
        [&[2, 3], &[5, 3, 1]],
        [&[2, 3], &[2, 3, 2]],
        [&[2, 1, 2, 3], &[4, 3, 1]],
    ];
    for [x, y] in shapes {
        for name in ["matmul", "block_diagonal"] {
            let mut t = Template::default();
            let (a, b) = (t.parameter("x", x), t.parameter("y", y));
            let product = t.op(name, &[a, b]);
            check(&format!("{name} {x:?} {y:?}"), t, product);
        }
    }
}

#[test]
fn empty_systems_have_empty_solutions() {
    let mut t = Template::default();
    let a = t.data("a", &[0, 0], &[], DType::Float64);
    let b = t.data("b", &[0, 2], &[], DType::Float64);
    let x = t.op_with(
        "solve",
        &[a, b],
        json!({"lower": false, "assume": "general", "b_ndim": 2}),
    );
    assert_eq!(t.value(x).shape(), [0, 2]);
    let mut t = Template::default();
    let a = t.data("a", &[0, 0], &[], DType::Float64);
    let det = t.op("det", &[a]);
    assert_eq!(t.value(det).values(), [1.0]);
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    for (name, attributes, inputs, message) in [
        (
            "det",
            json!({}),
            vec![vec![2, 3]],
            "a square matrix is needed, but the shape is [2, 3]",
        ),
        (
            "solve",
            json!({"lower": false, "assume": "general", "b_ndim": 1}),
            vec![vec![2, 2], vec![3]],
            "cannot be solved",
        ),
        (
            "matmul",
            json!({}),
            vec![vec![2, 2], vec![3, 2]],
            "cannot be multiplied",
        ),
    ] {
        let mut t = Template::default();
        let inputs = inputs.iter().enumerate();
        let inputs: Vec<NodeId> = inputs
            .map(|(k, shape)| t.parameter(&format!("x{k}"), shape))
            .collect();
        let node = t.op_with(name, &inputs, attributes);
        t.weigh(node);
        let error = t.bind_error();
        assert!(error.contains(message) && error.contains("x0"), "{error}");
    }
}

#[test]
fn the_logarithm_of_a_determinant_does_not_overflow() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let identity = identity(&mut t, 200);
    let a = t.op("mul", &[x, identity]);
    let det = t.op("det", &[a]);
    let det = t.op("abs", &[det]);
    let log = t.op("log", &[det]);
    t.graph.output("logp", log).unwrap();
    let found = Differentiated::new(&t, Builder::default()).evaluate(&[-1e3]);
    assert!(
        close(found[0], 200.0 * 1e3f64.ln(), 1e-12) && close(found[1], -0.2, 1e-12),
        "{found:?}"
    );
}

#[test]
fn a_density_without_cholesky_factor_is_no_number() {
    let mut t = Template::default();
    let x = t.parameter("x", &[2, 2]);
    let l = t.op_with("cholesky", &[x], json!({"lower": true}));
    let total = t.op_with("sum", &[l], json!({"axes": [0, 1]}));
    t.graph.output("logp", total).unwrap();
    let model = Differentiated::new(&t, Builder::default());
    assert!(model.evaluate(&[1.0, 0.0, 2.0, 1.0])[0].is_nan());
    assert!(close(model.evaluate(&[4.0, 9.0, 2.0, 2.0])[0], 4.0, 1e-15));
}

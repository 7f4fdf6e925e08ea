use super::*;
use crate::bound::builder::Builder;
use crate::graph::DType;
use crate::testing::interpret;

fn parameter(b: &mut Builder, shape: &[usize]) -> Id {
    b.parameter("x".into(), 0, shape.to_vec())
}

#[test]
fn equal_nodes_are_one_node() {
    let mut b = Builder::default();
    let x = parameter(&mut b, &[3]);
    let c = b.constant(Tensor::new(vec![3], &[1.0, 2.0, 3.0]));
    let again = b.constant(Tensor::new(vec![3], &[1.0, 2.0, 3.0]));
    assert_eq!(c, again);
    let (there, back) = (b.add(x, c), b.add(c, x));
    assert_eq!(there, back);
    assert_ne!(b.sub(x, c), b.sub(c, x));
    let tables = [0, 1].map(|_| Arc::new(Table::new(vec![2, 0])));
    let gathers = tables.map(|table| b.gather(x, table, vec![2]));
    assert_eq!(gathers[0], gathers[1]);
}

#[test]
fn constants_differ_by_bits_type_and_shape() {
    let mut b = Builder::default();
    let zero = b.number(0.0);
    assert_ne!(zero, b.number(-0.0));
    assert_ne!(zero, b.typed_constant(Tensor::scalar(0.0), DType::Int64));
    assert_ne!(zero, b.constant(Tensor::new(vec![1], &[0.0])));
    assert_eq!(b.number(f64::NAN), b.number(f64::NAN));
}

#[test]
fn what_no_parameter_reaches_is_folded() {
    for mut b in [Builder::default(), Builder::plain()] {
        let x = b.constant(Tensor::new(vec![2, 2], &[1.0, 2.0, 3.0, 4.0]));
        let square = b.map(ScalarFn::Sqr, &[x]);
        let turned = b.transpose(square, &[1, 0]);
        let sum = b.reduce(Reduction::Sum, turned, &[0]);
        let product = b.matmul(x, turned, [false, false]);
        assert_eq!(b.constant_value(sum).unwrap().values(), [5.0, 25.0]);
        assert_eq!(
            b.constant_value(product).unwrap().values(),
            [9.0, 41.0, 19.0, 91.0]
        );
    }
}

#[test]
fn a_scalar_spread_over_an_array_stays_a_scalar() {
    let mut b = Builder::default();
    let s = parameter(&mut b, &[]);
    let wide = b.broadcast(s, &[1000]);
    let e = b.map(ScalarFn::Exp, &[wide]);
    // One exponential, spread out again.
    assert_eq!(b.node(b.node(e).inputs[0]).op, Op::Map(ScalarFn::Exp));
    assert_eq!(b.size(b.node(e).inputs[0]), 1);
    let sum = b.reduce(Reduction::Sum, e, &[0]);
    assert_eq!(interpret(&b, &[sum], &[0.0]), [[1000.0]]);
    assert!(b.reachable(&[sum]).iter().all(|&id| b.size(id) == 1));
}

#[test]
fn whole_views_are_reshapes_and_reshapes_of_reshapes_are_one() {
    let mut b = Builder::default();
    let x = parameter(&mut b, &[2, 3]);
    assert_eq!(b.transpose(x, &[0, 1]), x);
    assert_eq!(b.view(x, 0, vec![3, 1], vec![2, 3]), x);
    let flat = b.reshape(x, &[6]);
    let tall = b.reshape(flat, &[3, 2]);
    assert_eq!(b.node(tall).inputs, [x]);
    assert_eq!(b.reshape(tall, &[2, 3]), x);
    // An axis of length 1 has no step.
    let (a, c) = (
        b.view(x, 1, vec![7, 3], vec![1, 2]),
        b.view(x, 1, vec![0, 3], vec![1, 2]),
    );
    assert_eq!(a, c);
}

#[test]
fn empty_results_are_constants() {
    let mut b = Builder::default();
    let x = parameter(&mut b, &[3]);
    let none = b.view(x, 3, vec![1], vec![0]);
    let e = b.map(ScalarFn::Exp, &[none]);
    let gathered = b.gather(x, Arc::new(Table::new(vec![])), vec![0, 2]);
    for id in [none, e, gathered] {
        assert!(b.constant_value(id).unwrap().values().is_empty());
    }
    assert_eq!(b.shape(gathered), [0, 2]);
    let sum = b.reduce(Reduction::Sum, gathered, &[0]);
    assert_eq!(b.constant_value(sum).unwrap().values(), [0.0, 0.0]);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let mut b = Builder::default();
    let x = parameter(&mut b, &[2, 3]);
    let y = b.constant(Tensor::new(vec![4, 1], &[0.0; 4]));
    let error = b.try_map(ScalarFn::Add, &[x, y]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "shapes [2, 3] and [4, 1] do not broadcast in `add`"
    );
}

#[test]
fn text_is_one_node_a_line() {
    let mut b = Builder::default();
    let x = parameter(&mut b, &[2, 3]);
    let e = b.map(ScalarFn::Exp, &[x]);
    let sum = b.reduce(Reduction::Sum, e, &[1]);
    b.map(ScalarFn::Sin, &[x]);
    let wanted = "%0: f64[2, 3] = parameter \"x\"\n%1: f64[2, 3] = exp(%0)\n\
                  %2: f64[2] = sum [2, 3, 1](%1)\nlogp = %2\n";
    assert_eq!(b.text(&[("logp".into(), sum)]), wanted);
}

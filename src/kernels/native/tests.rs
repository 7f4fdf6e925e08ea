use super::*;
use crate::bound::{Builder, Id, Reduction};
use crate::kernels::machine::Workspace;
use crate::plan::plan;
use crate::scalar::ScalarFn;
use crate::testing::{Random, results};
use std::sync::Arc;

/// Around the borders of chunks, of pairs of them and of blocks.
const SIZES: [usize; 12] = [1, 2, 5, 8, 9, 16, 23, 24, 256, 257, 520, 1000];

const SPECIAL: [f64; 10] = [
    0.0,
    -0.0,
    1.0,
    -2.5,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    5e-324,
    1e308,
    -0.1,
];

/// The results of a program with and without code for each instruction set; NaN are all the same.
fn agree(b: &Builder, roots: &[Id], position: &[f64]) -> Result<(), String> {
    let program = plan(b, roots);
    let run = |native: Option<Native>| -> Vec<Vec<u64>> {
        let native = native.map(Arc::new);
        let program = Program {
            native,
            ..program.clone()
        };
        let bits = |x: &f64| if x.is_nan() { 1 } else { x.to_bits() };
        let results = results(&mut Workspace::new(Arc::new(program)), position);
        results
            .iter()
            .map(|values| values.iter().map(bits).collect())
            .collect()
    };
    let wanted = run(None);
    for isa in Isa::available() {
        let native = Native::compile(&program, isa);
        if isa != Isa::Baseline && native.is_none() {
            return Err(format!("no code for {isa:?}"));
        }
        let found = run(native);
        if found != wanted {
            return Err(format!("{isa:?}: {found:x?}, not {wanted:x?}"));
        }
    }
    Ok(())
}

#[test]
fn every_function_has_the_bits_of_its_kernel() {
    let functions = ScalarFn::ALL.iter().copied().filter(|f| compiles(*f));
    for function in functions {
        for size in SIZES {
            // Arrays and scalars as arguments, the same one twice, and a value that comes from before.
            for variant in 0..8 {
                let mut b = Builder::plain();
                let mut dim = 0;
                let mut parameter = |b: &mut Builder, shape: Vec<usize>| {
                    let n: usize = shape.iter().product();
                    dim += n;
                    b.parameter(format!("p{dim}").as_str().into(), dim - n, shape)
                };
                let (x, y) = (parameter(&mut b, vec![size]), parameter(&mut b, vec![size]));
                let s = parameter(&mut b, vec![]);
                let before = b.map(ScalarFn::Neg, &[x]);
                let pool = [x, y, before, s, x, s, y];
                let arguments: Vec<Id> = (0..function.arity())
                    .map(|k| pool[(variant + k * 5) % 7])
                    .collect();
                let value = b.map(function, &arguments);
                let roots = match b.size(value) {
                    1 => vec![value, before],
                    _ => {
                        let total = b.reduce(Reduction::Sum, value, &[0]);
                        vec![value, total, before]
                    }
                };
                for shift in 0..SPECIAL.len() {
                    let position: Vec<f64> = (0..dim)
                        .map(|i| SPECIAL[(i * (shift + 1) + i / 7 + shift) % 10])
                        .collect();
                    agree(&b, &roots, &position)
                        .unwrap_or_else(|text| panic!("{function} {size} {variant}: {text}"));
                }
            }
        }
    }
}

#[test]
fn more_values_than_registers() {
    // All values live until they are multiplied in reverse.
    for size in [1, 9, 300] {
        let mut b = Builder::plain();
        let x = b.parameter("x".into(), 0, vec![size]);
        let c = b.parameter("c".into(), size, vec![]);
        let mut values = vec![x];
        for k in 0..60 {
            let next = b.add(values[k], c);
            values.push(next);
        }
        let mut product = values[60];
        for &value in values.iter().rev().skip(1) {
            product = b.map(ScalarFn::MulSub, &[value, product, value]);
        }
        let position = Random::new(3).vector(size + 1, -1.0, 1.0);
        agree(&b, &[product, values[30]], &position).unwrap();
    }
}

#[test]
fn many_sums_in_one_pass() {
    for size in SIZES {
        let mut b = Builder::default();
        let x = b.parameter("x".into(), 0, vec![size]);
        let y = b.parameter("y".into(), size, vec![size]);
        let mut roots = vec![];
        let mut value = x;
        for k in 0..10 {
            value = b.mul(value, y);
            let term = if k % 2 == 0 { value } else { b.mul(value, x) };
            roots.push(b.reduce(Reduction::Sum, term, &[0]));
        }
        let (b, roots) = crate::rewrite::fuse::fuse(&b, &roots);
        let position = Random::new(4).vector(2 * size, -1.0, 1.0);
        agree(&b, &roots, &position).unwrap();
    }
}

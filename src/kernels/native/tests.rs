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

/// The results of a program at positions, without code and with code for each instruction set; NaN are all the same.
/// What this processor lacks is emulated, which takes its time: at the first position alone.
fn agree(b: &Builder, roots: &[Id], positions: &[Vec<f64>]) -> Result<(), String> {
    let program = plan(b, roots);
    let workspace = |native: Option<Native>| {
        let native = native.map(Arc::new);
        let program = Program {
            native,
            ..program.clone()
        };
        Workspace::new(Arc::new(program))
    };
    let run = |workspace: &mut Workspace, position: &[f64]| -> Vec<Vec<u64>> {
        let bits = |x: &f64| if x.is_nan() { 1 } else { x.to_bits() };
        let mut found = results(workspace, position);
        // Once more, with the results copied.
        let mut copied = vec![f64::MAX; found[1..].iter().map(Vec::len).sum()];
        workspace.evaluate_into(position, &mut copied).unwrap();
        found.push(copied);
        let bits = |values: &Vec<f64>| values.iter().map(bits).collect();
        found.iter().map(bits).collect()
    };
    let mut slow = workspace(None);
    for isa in [Isa::Avx2, Isa::Avx512] {
        let native = Native::compile(&program, isa);
        if native.is_none() {
            return Err(format!("no code for {isa:?}"));
        }
        let mut fast = workspace(native);
        let count = match Isa::available().contains(&isa) {
            true => positions.len(),
            false => 1,
        };
        for position in &positions[..count] {
            let (wanted, found) = (run(&mut slow, position), run(&mut fast, position));
            if found != wanted {
                return Err(format!("{isa:?}: {found:x?}, not {wanted:x?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_function_has_the_bits_of_its_kernel() {
    let functions = ScalarFn::ALL.iter().copied().filter(|f| compiles(*f, 1));
    let mut random = Random::new(5);
    for function in functions {
        for size in SIZES {
            // Arrays and scalars as arguments, the same one twice, and a value that comes from before.
            for variant in 0..if size > 30 { 2 } else { 8 } {
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
                let special = |shift: usize| {
                    let value = |i| SPECIAL[(i * (shift + 1) + i / 7 + shift) % 10];
                    (0..dim).map(value).collect()
                };
                let mut positions = vec![random.vector(dim, -3.0, 3.0)];
                positions.extend((0..SPECIAL.len()).map(special));
                agree(&b, &roots, &positions)
                    .unwrap_or_else(|text| panic!("{function} {size} {variant}: {text}"));
            }
        }
    }
}

#[test]
fn functions_of_one_argument_share_what_they_have_in_common() {
    let count = |functions: &[ScalarFn]| {
        let mut record = trace::Record::new(false);
        let x = record.input(0);
        for &function in functions {
            record.apply(function, &[x]);
        }
        record.lines.len()
    };
    let shared = count(&[ScalarFn::Softplus, ScalarFn::Sigmoid]);
    let apart = count(&[ScalarFn::Softplus]) + count(&[ScalarFn::Sigmoid]);
    assert!(
        shared + count(&[ScalarFn::Exp]) <= apart + 1,
        "{shared} {apart}"
    );
}

#[test]
fn only_functions_that_do_not_branch_are_compiled() {
    for &function in ScalarFn::ALL {
        if compiles(function, 1) {
            let mut record = trace::Record::new(false);
            let arguments: Vec<usize> = (0..function.arity()).map(|k| record.input(k)).collect();
            record.apply(function, &arguments);
            assert!(!record.branched, "{function}");
        }
    }
}

#[test]
fn the_emulator_does_what_the_processor_does() {
    if !Isa::available().contains(&Isa::Avx2) {
        return;
    }
    for function in [
        ScalarFn::Exp,
        ScalarFn::Log,
        ScalarFn::Erf,
        ScalarFn::Maximum,
    ] {
        for size in [1, 5, 13] {
            let mut b = Builder::plain();
            let x = b.parameter("x".into(), 0, vec![size]);
            let y = b.parameter("y".into(), size, vec![size]);
            let value = b.map(function, &[x, y][..function.arity()]);
            let total = b.map(ScalarFn::Add, &[value, y]);
            let program = plan(&b, &[total, value]);
            let run = |emulated: bool| {
                let mut native = Native::compile(&program, Isa::Avx2).unwrap();
                native.emulate(emulated);
                let native = Some(Arc::new(native));
                let program = Program {
                    native,
                    ..program.clone()
                };
                let position = Random::new(6).vector(2 * size, 0.1, 3.0);
                results(&mut Workspace::new(Arc::new(program)), &position)
            };
            assert_eq!(run(true), run(false), "{function} {size}");
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
        agree(&b, &[product, values[30]], &[position]).unwrap();
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
        agree(&b, &roots, &[position]).unwrap();
    }
}

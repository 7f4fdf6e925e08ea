use super::*;
use crate::bound::{Id, Reduction, Running};
use crate::graph::DType;
use crate::kernels::crew::Crew;
use crate::kernels::isa::Isa;
use crate::kernels::machine::{Program, Workspace};
use crate::kernels::native::Native;
use crate::scalar::ScalarFn;
use crate::tensor::{Table, Tensor, size_of};
use crate::testing::{Random, close, interpret, results};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// Sizes around the borders of chunks (8) and blocks (256).
const SIZES: [usize; 10] = [1, 2, 7, 8, 9, 255, 256, 257, 1000, 16];

/// Elements of a matrix or an outer product at most.
const LARGEST: usize = 70_000;

/// A random program: what to do, and with which of the nodes so far.
fn recipes() -> impl Strategy<Value = Vec<(u8, u16, u16)>> {
    prop::collection::vec((0..18u8, any::<u16>(), any::<u16>()), 1..40)
}

/// The graph of a recipe, over parameters and constants of two sizes; all values stay near 1.
struct Made {
    b: Builder,
    pool: Vec<Id>,
    dim: usize,
    random: Random,
}

impl Made {
    fn new(builder: Builder, sizes: [usize; 2]) -> Made {
        let mut made = Made {
            b: builder,
            pool: vec![],
            dim: 0,
            random: Random::new(8),
        };
        for (name, size) in [("x", sizes[0]), ("y", sizes[1]), ("s", 1)] {
            let shape = if name == "s" { vec![] } else { vec![size] };
            let id = made.b.parameter(name.into(), made.dim, shape);
            made.dim += size;
            made.pool.push(id);
        }
        for size in sizes {
            let constant = made.constant(&[size]);
            made.pool.push(constant);
        }
        made
    }

    fn constant(&mut self, shape: &[usize]) -> Id {
        let values = self.random.vector(size_of(shape), -1.0, 1.0);
        self.b.constant(Tensor::new(shape.to_vec(), &values))
    }

    fn table(&mut self, length: usize, below: usize) -> Arc<Table> {
        let positions = (0..length).map(|_| self.random.below(below) as u32);
        let mut positions: Vec<u32> = positions.collect();
        if self.random.below(2) == 0 {
            positions.sort(); // groups side by side
        }
        Arc::new(Table::new(positions))
    }

    fn flat(&mut self, id: Id) -> Id {
        let size = self.b.size(id);
        self.b.reshape(id, &[size])
    }

    fn scaled(&mut self, id: Id, terms: usize) -> Id {
        self.b.mul_number(1.0 / terms as f64, id)
    }

    fn step(&mut self, kind: u8, first: u16, second: u16) {
        let pick = |k: u16| k as usize % self.pool.len();
        let a = self.pool[pick(first)];
        let n = self.b.size(a);
        // Another node of the same size, or a scalar.
        let fits = |id: &&Id| self.b.size(**id) == n || self.b.size(**id) == 1;
        let other = self.pool.iter().cycle().skip(pick(second)).find(fits);
        let other = *other.expect("the node itself fits");
        let m = SIZES[second as usize % SIZES.len()];
        let id = match kind {
            0 | 1 => {
                use ScalarFn::*;
                let functions = [Neg, Tanh, Sigmoid, Sin, Sqr, Abs, Softplus, Erf];
                self.b.map(functions[second as usize % 8], &[a])
            }
            2 | 3 => {
                use ScalarFn::*;
                let functions = [Mul, Maximum, Minimum, Scale, Atan2, Logaddexp, Lt, Ge];
                self.b.map(functions[first as usize % 8], &[a, other])
            }
            4 | 5 => {
                let sum = match first % 4 {
                    0 => self.b.add(a, other),
                    1 => self.b.sub(a, other),
                    2 => self.b.map(ScalarFn::MulAdd, &[other, a, other]),
                    _ => self.b.map(ScalarFn::SubMul, &[a, other, a]),
                };
                self.b.mul_number(0.5, sum)
            }
            6 => {
                let mask: Vec<f64> = (0..n).map(|i| f64::from(i % 3 == 1)).collect();
                let shape = self.b.shape(a).to_vec();
                let mask = self
                    .b
                    .typed_constant(Tensor::new(shape, &mask), DType::Bool);
                self.b.select(mask, a, other)
            }
            7 => {
                let table = self.table(m, n);
                self.b.gather(a, table, vec![m])
            }
            8 => {
                let table = self.table(n, m);
                let scattered = self.b.scatter_add(a, table, vec![m]);
                self.scaled(scattered, n.div_ceil(m))
            }
            9 => {
                let axes: Vec<usize> = (0..self.b.shape(a).len()).collect();
                let sum = self.b.reduce(Reduction::Sum, a, &axes);
                self.scaled(sum, n)
            }
            10 => {
                let columns = [1, 2, 3, 8]
                    .into_iter()
                    .rev()
                    .find(|c| n.is_multiple_of(*c));
                let columns = columns.expect("1 divides");
                let matrix = self.b.reshape(a, &[n / columns, columns]);
                let reductions = [
                    Reduction::Max,
                    Reduction::Min,
                    Reduction::Sum,
                    Reduction::Prod,
                ];
                let reduction = reductions[first as usize % 4];
                let axis = second as usize % 2;
                let length = [n / columns, columns][axis];
                let reduced = self.b.reduce(reduction, matrix, &[axis]);
                match reduction {
                    Reduction::Sum => self.scaled(reduced, length),
                    // A product of many factors beyond 1 leaves the range of f64.
                    _ => self.b.map(ScalarFn::Tanh, &[reduced]),
                }
            }
            11 | 12 if n * m <= LARGEST => {
                // A constant matrix times a vector, from either side, stored either way.
                let column = self.flat(a);
                let column = match first % 2 {
                    0 => self.b.reshape(column, &[n, 1]),
                    _ => self.b.reshape(column, &[1, n]),
                };
                let transposed = second / 16 % 2 == 1;
                let product = match (first % 2, transposed) {
                    (0, false) => (self.constant(&[m, n]), [false, false]),
                    (0, true) => (self.constant(&[n, m]), [true, false]),
                    (_, false) => (self.constant(&[n, m]), [false, false]),
                    (_, true) => (self.constant(&[m, n]), [false, true]),
                };
                let product = match first % 2 {
                    0 => self.b.matmul(product.0, column, product.1),
                    _ => self.b.matmul(column, product.0, product.1),
                };
                let product = self.flat(product);
                self.scaled(product, n)
            }
            13 => {
                // A stretch, every other element, or backwards.
                let a = self.flat(a);
                match first % 3 {
                    0 => {
                        let start = second as usize % n;
                        self.b.view(a, start, vec![1], vec![n - start])
                    }
                    1 => self.b.view(a, 0, vec![2], vec![n.div_ceil(2)]),
                    _ => self.b.view(a, n - 1, vec![-1], vec![n]),
                }
            }
            14 if n < 3000 => {
                let (a, other) = (self.flat(a), self.flat(other));
                self.b.concat(&[a, other, a], 0)
            }
            15 => {
                let a = self.flat(a);
                let sums = self.b.run(Running::Sum, a, 0);
                self.scaled(sums, n)
            }
            16 if n * m <= LARGEST => {
                // An outer product, and its rows summed up again.
                let a = self.b.reshape(a, &[n, 1]);
                let row = self.constant(&[1, m]);
                let s = self.pool[2];
                let row = self.b.mul(row, s);
                let outer = self.b.matmul(a, row, [false, false]);
                let sums = self.b.reduce(Reduction::Sum, outer, &[0]);
                self.scaled(sums, n)
            }
            _ => self.b.reshape(a, &[1, n]),
        };
        self.pool.push(id);
    }
}

/// Asserts that plan and machine compute what the nodes say, again and again, on any thread.
fn check(b: &Builder, roots: &[Id], position: &[f64]) -> Result<(), TestCaseError> {
    let wanted = interpret(b, roots, position);
    let program = Arc::new(plan(b, roots));
    let mut workspace = Workspace::new(program.clone());
    let found = results(&mut workspace, position);
    for (k, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        prop_assert_eq!(found.len(), wanted.len());
        for (i, (u, v)) in found.iter().zip(wanted).enumerate() {
            let text = || format!("result {k}[{i}]: {u}, not {v}\n{}", text(b, roots));
            prop_assert!(close(*u, *v, 1e-11), "{}", text());
        }
    }
    // Another position in between leaves nothing behind.
    let elsewhere: Vec<f64> = position.iter().map(|x| 0.3 - x).collect();
    workspace.evaluate(&elsewhere).unwrap();
    let bits =
        |values: &[Vec<f64>]| -> Vec<u64> { values.concat().iter().map(|v| v.to_bits()).collect() };
    let again = results(&mut workspace, position);
    prop_assert_eq!(bits(&again), bits(&found));
    let there = std::thread::scope(|scope| {
        let run = || bits(&results(&mut Workspace::new(program.clone()), position));
        let threads = [scope.spawn(run), scope.spawn(run)];
        threads.map(|thread| thread.join().unwrap())
    });
    prop_assert_eq!(&there, &[bits(&found), bits(&found)]);
    for helpers in 1..=3 {
        for found_with_help in with_help(&program, helpers, position) {
            prop_assert_eq!(bits(&found_with_help), bits(&found));
        }
    }
    // Compiled or not, for whatever instruction set, which is emulated where the processor lacks it: the same bits.
    for isa in [Isa::Baseline, Isa::Avx2, Isa::Avx512] {
        if cfg!(not(target_arch = "x86_64")) && isa != Isa::Baseline {
            continue;
        }
        let native = Native::compile(&program, isa).map(Arc::new);
        prop_assert!(native.is_none() || isa != Isa::Baseline);
        let program = Program {
            native,
            ..(*program).clone()
        };
        let found_so = results(&mut Workspace::new(Arc::new(program)), position);
        let text = || format!("{isa:?}: {found_so:?}, not {found:?}\n{}", text(b, roots));
        prop_assert!(bits(&found_so) == bits(&found), "{}", text());
    }
    Ok(())
}

/// Results of three evaluations with so many helpers.
fn with_help(program: &Arc<Program>, helpers: usize, position: &[f64]) -> Vec<Vec<Vec<f64>>> {
    let crew = Crew::new(1, helpers);
    let mut workspace = Workspace::helped(program.clone(), crew.caller());
    std::thread::scope(|scope| {
        if workspace.is_shared() {
            for _ in 0..helpers {
                scope.spawn(|| crew.help());
            }
            while crew.helpers() < helpers {
                std::thread::yield_now();
            }
        }
        let evaluate = || (0..3).map(|_| results(&mut workspace, position)).collect();
        let found = catch_unwind(AssertUnwindSafe(evaluate));
        crew.dismiss();
        found.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_machine_computes_what_the_nodes_say(
        recipe in recipes(),
        sizes in prop::array::uniform2(prop::sample::select(&SIZES[..])),
        plain in any::<bool>(),
    ) {
        let mut made = Made::new(if plain { Builder::plain() } else { Builder::default() }, sizes);
        for (kind, first, second) in recipe {
            made.step(kind, first, second);
        }
        let position = made.random.vector(made.dim, -1.0, 1.0);
        // The last node, some in the middle, and a leaf of each kind.
        let mut roots: Vec<Id> = made.pool.iter().rev().step_by(4).copied().collect();
        roots.extend([made.pool[0], made.pool[3]]);
        check(&made.b, &roots, &position)?;
    }

    #[test]
    fn a_shared_program_computes_what_one_of_its_own_does(
        recipe in recipes(),
        sizes in prop::array::uniform2(prop::sample::select(&SIZES[..])),
    ) {
        // The same steps on two data sets.
        let made = [8, 9].map(|seed| {
            let mut made = Made::new(Builder::plain(), sizes);
            made.random = Random::new(seed);
            for id in [3, 4] {
                made.pool[id] = made.constant(&[sizes[id - 3]]);
            }
            for &(kind, first, second) in &recipe {
                made.step(kind, first, second);
            }
            made
        });
        let programs = shared::Programs::default();
        for (number, made) in made.into_iter().enumerate() {
            let mut made = made;
            let roots: Vec<Id> = made.pool.iter().rev().step_by(4).copied().collect();
            let planned = programs.plan(&made.b, &roots, made.dim);
            let mut of_its_own = Workspace::new(Arc::new(plan(&made.b, &roots)));
            let mut shared = planned.workspace(None);
            for _ in 0..2 {
                let position = made.random.vector(made.dim, -1.0, 1.0);
                let bits = |workspace: &mut Workspace| -> Vec<u64> {
                    let found = results(workspace, &position).concat();
                    found.iter().map(|value| value.to_bits()).collect()
                };
                prop_assert_eq!(bits(&mut shared), bits(&mut of_its_own), "data set {}", number);
            }
        }
    }
}

#[test]
fn graphs_that_differ_in_constants_alone_share_a_program() {
    // sum((y - x)^2) with m times the vector v for a constant matrix m, which stays a constant.
    let graph = |y: &[f64], entry: f64| {
        let mut b = Builder::default();
        let x = b.parameter("x".into(), 0, vec![]);
        let v = b.parameter("v".into(), 1, vec![2, 1]);
        let n = y.len();
        let y = b.constant(Tensor::new(vec![n], y));
        let residual = b.sub(y, x);
        let square = b.mul(residual, residual);
        let sum = b.reduce(Reduction::Sum, square, &[0]);
        let matrix = b.constant(Tensor::new(vec![2, 2], &[1.0, 2.0, 3.0, entry]));
        let product = b.matmul(matrix, v, [false, false]);
        (b, [sum, product])
    };
    let programs = shared::Programs::default();
    let planned = |y: &[f64], entry: f64| {
        let (b, roots) = graph(y, entry);
        programs.plan(&b, &roots, 3)
    };
    let first = planned(&[1.0, 2.0, 4.0], 4.0);
    for (y, entry, is_shared) in [
        (&[5.0, 1.0, -2.0][..], 4.0, true),
        (&[5.0, 1.0, -2.0], 4.5, false), // another matrix
        (&[5.0, 1.0], 4.0, false),       // another length
    ] {
        let other = planned(y, entry);
        assert_eq!(Arc::ptr_eq(&first.program, &other.program), is_shared);
        let found = results(&mut other.workspace(None), &[0.5, 1.0, -1.0]);
        let wanted: f64 = y.iter().map(|y| (y - 0.5) * (y - 0.5)).sum();
        assert_eq!(found, [vec![wanted], vec![-1.0, 3.0 - entry]]);
    }
}

/// A builder with a parameter of `size` elements and a scalar one.
fn two_parameters(size: usize) -> (Builder, Id, Id) {
    let mut b = Builder::default();
    let x = b.parameter("x".into(), 0, vec![size]);
    let s = b.parameter("s".into(), size, vec![]);
    (b, x, s)
}

#[test]
fn a_dot_product_spreads_over_an_array() {
    // A product of one row is a scalar: all lanes of its readers see it.
    for transposed in [false, true] {
        let mut b = Builder::plain();
        let x = b.parameter("x".into(), 0, vec![20]);
        let row = Tensor::new(
            if transposed { vec![20, 1] } else { vec![1, 20] },
            &[0.5; 20],
        );
        let row = b.constant(row);
        let column = b.reshape(x, &[20, 1]);
        let dot = b.matmul(row, column, [transposed, false]);
        let spread = b.mul(dot, x);
        let position: Vec<f64> = (0..20).map(f64::from).collect();
        check(&b, &[spread, dot], &position).unwrap();
    }
}

#[test]
fn a_gathered_scalar_spreads_over_an_array() {
    let (mut b, x, s) = two_parameters(20);
    let third = b.gather(x, Arc::new(Table::new(vec![2])), vec![1]);
    let fifth = b.view(x, 4, vec![], vec![]);
    let scattered = b.scatter_add(x, Arc::new(Table::new(vec![0; 20])), vec![1]);
    let last = b.run(Running::Sum, x, 0);
    let last = b.view(last, 19, vec![], vec![]);
    let product = [fifth, scattered, last, s]
        .into_iter()
        .fold(third, |p, q| b.mul(p, q));
    let spread = b.mul(product, x);
    let position: Vec<f64> = (0..21).map(|i| 1.0 + 0.1 * f64::from(i)).collect();
    check(&b, &[spread, third, fifth, scattered], &position).unwrap();
}

#[test]
fn views_keep_their_source_alive() {
    // The source is read last through a slice of a reshape, long after other values were stored and dropped.
    let (mut b, x, s) = two_parameters(600);
    let early = b.map(ScalarFn::Sin, &[x]);
    let matrix = b.reshape(early, &[2, 300]);
    let slice = b.view(matrix, 300, vec![1], vec![300]);
    let mut total = s;
    for _ in 0..6 {
        let scaled = b.mul(x, total);
        let wave = b.map(ScalarFn::Cos, &[scaled]);
        let sum = b.reduce(Reduction::Sum, wave, &[0]);
        total = b.mul_number(1e-2, sum);
    }
    let late = b.mul(slice, total);
    let position: Vec<f64> = (0..601).map(|i| 0.01 * f64::from(i)).collect();
    check(&b, &[late, slice, matrix], &position).unwrap();
}

#[test]
fn results_may_be_leaves_and_their_views() {
    let (mut b, x, s) = two_parameters(9);
    let constant = b.constant(Tensor::new(vec![3], &[1.0, 2.0, 3.0]));
    let number = b.number(4.0);
    let matrix = b.reshape(x, &[3, 3]);
    let row = b.view(matrix, 3, vec![1], vec![3]);
    let spread = b.broadcast(s, &[12]);
    let element = b.view(x, 8, vec![], vec![]);
    let position: Vec<f64> = (0..10).map(f64::from).collect();
    let roots = [x, s, constant, number, matrix, row, spread, element, x];
    check(&b, &roots, &position).unwrap();
    let program = plan(&b, &[number]);
    assert_eq!((program.steps.len(), program.inputs.len()), (0, 0));
}

#[test]
fn large_regions_need_few_registers_and_one_pass() {
    let (mut b, x, s) = two_parameters(5000);
    let mut value = x;
    for _ in 0..50 {
        let product = b.mul(value, s);
        value = b.map(ScalarFn::Sin, &[product]);
    }
    let total = b.reduce(Reduction::Sum, value, &[0]);
    let program = plan(&b, &[total]);
    assert_eq!(program.steps.len(), 1, "{}", text(&b, &[total]));
    assert!(program.registers <= 2, "{} registers", program.registers);
    // The parameters and the result.
    assert!(program.arena < 5000 + 100, "{}", program.arena);
}

#[test]
fn a_likelihood_and_its_gradient_share_a_pass() {
    // r = y - X b: the residual, its square sum and X' r in one pass over X.
    let mut b = Builder::default();
    let beta = b.parameter("beta".into(), 0, vec![5]);
    let (x, y) = (vec![0.5; 5 * 700], vec![1.0; 700]);
    let x = b.constant(Tensor::new(vec![700, 5], &x));
    let y = b.constant(Tensor::new(vec![700], &y));
    let column = b.reshape(beta, &[5, 1]);
    let product = b.matmul(x, column, [false, false]);
    let product = b.reshape(product, &[700]);
    let r = b.sub(y, product);
    let squares = b.mul(r, r);
    let total = b.reduce(Reduction::Sum, squares, &[0]);
    let r = b.reshape(r, &[700, 1]);
    let slopes = b.matmul(x, r, [true, false]);
    let roots = [total, slopes];
    assert_eq!(plan(&b, &roots).steps.len(), 1, "{}", text(&b, &roots));
    check(&b, &roots, &[0.1, 0.2, 0.3, 0.4, 0.5]).unwrap();
    let text = text(&b, &roots);
    assert!(text.starts_with("pass over 700:"), "{text}");
    assert!(
        text.contains("rows") && text.contains("times rows"),
        "{text}"
    );
}

#[test]
fn a_long_pass_is_cut_whatever_its_ends_are() {
    // Sums, dot products, scatters to few and to many places, sorted and not, and both products with rows.
    const N: usize = 20 * 256 + 77;
    let mut random = Random::new(5);
    let mut b = Builder::default();
    let beta = b.parameter("beta".into(), 0, vec![3]);
    let effects = b.parameter("effects".into(), 3, vec![40]);
    let matrix = Tensor::new(vec![N, 3], &random.vector(3 * N, -1.0, 1.0));
    let matrix = b.constant(matrix);
    let column = b.reshape(beta, &[3, 1]);
    let product = b.matmul(matrix, column, [false, false]);
    let product = b.reshape(product, &[N]);
    let groups: Vec<u32> = (0..N).map(|_| random.below(40) as u32).collect();
    let sorted: Vec<u32> = (0..N).map(|i| (i / 3) as u32).collect();
    let sparse: Vec<u32> = (0..N).map(|_| random.below(N) as u32).collect();
    let effect = b.gather(effects, Arc::new(Table::new(groups.clone())), vec![N]);
    let mean = b.add(product, effect);
    let wave = b.map(ScalarFn::Sin, &[mean]);
    let square = b.mul(wave, wave);
    let mut roots = vec![b.reduce(Reduction::Sum, square, &[0]), wave];
    let tall = b.reshape(wave, &[N, 1]);
    roots.push(b.matmul(matrix, tall, [true, false]));
    roots.push(b.scatter_add(wave, Arc::new(Table::new(groups)), vec![40]));
    roots.push(b.scatter_add(wave, Arc::new(Table::new(sorted)), vec![N / 3 + 1]));
    let position = random.vector(43, -1.0, 1.0);
    let is_cut = |b: &Builder, roots: &[Id]| Workspace::new(Arc::new(plan(b, roots))).is_shared();
    assert!(is_cut(&b, &roots));
    check(&b, &roots, &position).unwrap();
    // As many places as elements, in no order: to add up an array for each stretch would take longer than the rest.
    roots.push(b.scatter_add(wave, Arc::new(Table::new(sparse)), vec![N]));
    assert!(!is_cut(&b, &roots));
    check(&b, &roots, &position).unwrap();
}

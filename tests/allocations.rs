//! A draw allocates nothing: a longer chain allocates no more often than a shorter one, nor does a model.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use pymc_rustmc::density::{Density, DensityError};
use pymc_rustmc::graph::{DType, Graph, NodeId, Op};
use pymc_rustmc::model::Model;
use pymc_rustmc::sampler::{Run, Settings};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are those of `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Normal;

impl Density for Normal {
    fn dim(&self) -> usize {
        20
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        for (g, x) in gradient.iter_mut().zip(x) {
            *g = -x;
        }
        Ok(-0.5 * x.iter().map(|x| x * x).sum::<f64>())
    }
}

fn allocations(draws: u64) -> usize {
    let before = ALLOCATIONS.load(Relaxed);
    let settings = Settings {
        draws,
        ..Settings::default()
    };
    let run = Run::start(
        settings,
        vec![Box::new(Normal)],
        vec![vec![0.5; 20]],
        vec![1],
        1,
    );
    let result = run.unwrap().into_result().unwrap();
    assert_eq!(result.chains[0].len() as u64, draws);
    ALLOCATIONS.load(Relaxed) - before
}

/// A model with every kind of step: fused passes, matrix products, views, reductions, running sums, linear algebra.
fn model() -> Model {
    let mut graph = Graph::default();
    let x = graph.parameter("x", 1).unwrap();
    let op = |graph: &mut Graph, name: &str, inputs: &[NodeId], attributes: &str| {
        let attributes = serde_json::from_str(attributes).unwrap();
        graph
            .add(Op::parse(name, attributes).unwrap(), inputs)
            .unwrap()
    };
    let matrix = graph.constant(vec![700, 20], vec![0.1; 700 * 20], DType::Float64);
    let groups = (0..700).map(|i| f64::from(i % 20)).collect();
    let groups = graph.constant(vec![700], groups, DType::Int64);
    let column = op(&mut graph, "dimshuffle", &[x], r#"{"order": [0, -1]}"#);
    let row = op(&mut graph, "dimshuffle", &[x], r#"{"order": [-1, 0]}"#);
    let product = op(&mut graph, "matmul", &[matrix, column], "{}");
    let outer = op(&mut graph, "matmul", &[column, row], "{}");
    let effects = op(&mut graph, "index", &[x, groups], r#"{"spec": ["a"]}"#);
    let sums = op(&mut graph, "cumsum", &[effects], r#"{"axis": 0}"#);
    let wave = op(&mut graph, "sin", &[sums], "{}");
    let top = op(&mut graph, "max", &[outer], r#"{"axes": [0]}"#);
    let joined = op(&mut graph, "join", &[wave, top], r#"{"axis": 0}"#);
    let squares = [product, outer].map(|y| op(&mut graph, "sqr", &[y], "{}"));
    let totals = squares.map(|y| op(&mut graph, "sum", &[y], r#"{"axes": [0, 1]}"#));
    let last = op(&mut graph, "sum", &[joined], r#"{"axes": [0]}"#);
    let identity: Vec<f64> = (0..400).map(|p| f64::from(p / 20 == p % 20)).collect();
    let identity = graph.constant(vec![20, 20], identity, DType::Float64);
    let matrix = op(&mut graph, "add", &[outer, identity], "{}");
    let factor = op(&mut graph, "cholesky", &[matrix], r#"{"lower": true}"#);
    let attributes = r#"{"lower": true, "unit": false, "b_ndim": 2}"#;
    let solution = op(&mut graph, "solve_triangular", &[factor, outer], attributes);
    let attributes = r#"{"lower": true, "assume": "general", "b_ndim": 2}"#;
    let solution = op(&mut graph, "solve", &[matrix, solution], attributes);
    let solution = op(&mut graph, "sum", &[solution], r#"{"axes": [0, 1]}"#);
    let determinant = op(&mut graph, "log_abs_det", &[matrix], "{}");
    let packed = op(&mut graph, "qr", &[matrix], "{}");
    let r = op(&mut graph, "part", &[packed], r#"{"index": 1}"#);
    let r = op(&mut graph, "sum", &[r], r#"{"axes": [0, 1]}"#);
    let packed = op(&mut graph, "eigh", &[matrix], r#"{"lower": true}"#);
    let values = op(&mut graph, "part", &[packed], r#"{"index": 0}"#);
    let values = op(&mut graph, "max", &[values], r#"{"axes": [0]}"#);
    let terms = [totals[0], totals[1], last, solution, determinant, r, values];
    let total = op(&mut graph, "add", &terms, "{}");
    let logp = op(&mut graph, "neg", &[total], "{}");
    graph.output("logp", logp).unwrap();
    let shapes = [("x".to_string(), vec![20])].into();
    Model::new(&graph, Default::default(), &shapes).unwrap()
}

#[test]
fn draws_and_evaluations_do_not_allocate() {
    // One test: a second one would allocate on another thread meanwhile.
    allocations(1); // the first run in a process asks what the processor can do
    let (short, long) = (allocations(500), allocations(5000));
    assert!(short > 20, "the counter does not count: {short}");
    assert_eq!(short, long);

    let mut density = model().density();
    let (mut position, mut gradient) = ([0.1; 20], [0.0; 20]);
    let before = ALLOCATIONS.load(Relaxed);
    for _ in 0..100 {
        let logp = density.logp_and_gradient(&position, &mut gradient).unwrap();
        assert!(logp.is_finite());
        for (x, g) in position.iter_mut().zip(&gradient) {
            *x += 1e-6 * g;
        }
    }
    assert_eq!(ALLOCATIONS.load(Relaxed) - before, 0);
}

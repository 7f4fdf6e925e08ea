use crate::bound::loops::Loop;
use crate::bound::{Builder, Op};
use crate::graph::{DType, NodeId};
use crate::testing::{Differentiated, Random, Template, close};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;

const STEPS: usize = 7;

/// Parameters: a sequence of pairs, the first two states, two numbers, a matrix.
const DIM: usize = 2 * STEPS + 4 + 2 + 4;

/// A loop whose body is a recipe: pairs of a function and the nodes it takes. The state is a pair that is read one and
/// two steps later; another node is collected.
fn looped(recipe: &[(u8, u16, u16)]) -> Template {
    let mut body = Template::default();
    let data = |body: &mut Template, name: &str, ndim| {
        body.graph.data(name, DType::Float64, ndim).unwrap()
    };
    let leaves = [
        ("y", 1),
        ("late", 1),
        ("later", 1),
        ("a", 0),
        ("b", 0),
        ("m", 2),
    ];
    let leaves = leaves.map(|(name, ndim)| data(&mut body, name, ndim));
    let mut pool: Vec<NodeId> = leaves[..5].to_vec();
    for &(kind, first, second) in recipe {
        let x = pool[first as usize % pool.len()];
        let y = pool[second as usize % pool.len()];
        let is_pair = |t: &Template, id: NodeId| t.graph.nodes()[id].ndim == 1;
        let node = match kind {
            0 => body.op("tanh", &[x]),
            1 => body.op("sigmoid", &[x]),
            2 | 3 => body.op("add", &[x, y]),
            4 | 5 => body.op("mul", &[x, y]),
            6 => body.op("maximum", &[x, y]),
            7 if is_pair(&body, x) => body.op_with("sum", &[x], json!({"axes": [0]})),
            8 if is_pair(&body, x) => body.op_with("max", &[x], json!({"axes": [0]})),
            9 if is_pair(&body, x) => {
                let column = body.op_with("dimshuffle", &[x], json!({"order": [0, -1]}));
                let product = body.op("matmul", &[leaves[5], column]);
                body.op_with("sum", &[product], json!({"axes": [1]}))
            }
            10 if is_pair(&body, x) => {
                let one = body.int(1);
                body.op_with("index", &[x, one], json!({"spec": ["i"]}))
            }
            _ => body.op("sub", &[x, y]),
        };
        let small = body.op("tanh", &[node]);
        pool.push(small);
    }
    // Of the last nodes, in the shape of the state.
    let collected = pool[pool.len() / 2];
    let state = body.op("add", &[pool[pool.len() - 1], leaves[0]]);
    let collected = body.op("add", &[collected, leaves[0]]);
    body.graph.output("state", state).unwrap();
    body.graph.output("collected", collected).unwrap();

    let mut t = Template::default();
    let y = t.parameter("y", &[STEPS, 2]);
    let first = t.parameter("first", &[2, 2]);
    let (a, b) = (t.parameter("a", &[]), t.parameter("b", &[]));
    let m = t.parameter("m", &[2, 2]);
    let rest = t.real(&[STEPS, 2], &[0.0; 2 * STEPS]);
    let buffer = t.op_with("join", &[first, rest], json!({"axis": 0}));
    let steps = t.int(STEPS as i64);
    let body = serde_json::to_value(body.graph).unwrap();
    let arguments = json!({"sequences": 1, "lags": [[1, 2]], "collected": 1, "lasts": 0});
    let inputs = [steps, y, buffer, a, b, m];
    let packed = t.op_with(
        "loop",
        &inputs,
        json!({"body": body, "arguments": arguments}),
    );
    let states = t.op_with("part", &[packed], json!({"index": 0}));
    let collected = t.op_with("part", &[packed], json!({"index": 1}));
    let both = t.op_with("join", &[states, collected], json!({"axis": 0}));
    t.weigh(both);
    t
}

fn loops(b: &Builder) -> Vec<&Loop> {
    let nodes = b.nodes().iter();
    let loops = nodes.filter_map(|node| match &node.op {
        Op::Loop(l) => Some(&**l),
        _ => None,
    });
    loops.collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        rng_seed: RngSeed::Fixed(5),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_leaves_a_loop_keeps_its_value(
        recipe in prop::collection::vec((0..11u8, any::<u16>(), any::<u16>()), 1..12),
    ) {
        let t = looped(&recipe);
        let twin = Differentiated::new(&t, Builder::plain());
        let split = Differentiated::new(&t, Builder::default());
        let position = Random::new(6).vector(DIM, -1.0, 1.0);
        let (wanted, found) = (twin.evaluate(&position), split.evaluate(&position));
        prop_assert_eq!(found.len(), wanted.len());
        for (k, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            prop_assert!(close(*found, *wanted, 1e-12), "{}: {} {}\n{}", k, found, wanted, t.graph);
        }
        #[cfg(target_arch = "x86_64")]
        crate::kernels::loops::tests::check_loops(&split.bound.builder, &split.roots, 7);
    }
}

#[test]
fn only_the_recurrence_stays() {
    // state <- tanh(late b) + tanh(y b), of which the latter is known beforehand; what is collected reads the state.
    let t = looped(&[(4, 1, 4), (4, 0, 4), (2, 5, 6), (2, 5, 6), (2, 5, 6)]);
    let bound = t.bind().unwrap();
    let [l] = loops(&bound.builder)[..] else {
        panic!("there is one loop");
    };
    let functions = l
        .builder
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::Map(_)));
    let functions: Vec<_> = functions.map(|node| &node.op).collect();
    assert_eq!(functions.len(), 5, "{functions:?}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn loops_are_compiled() {
    // A state that depends on the two before it.
    let t = looped(&[(4, 1, 4), (4, 0, 4), (2, 5, 6), (2, 5, 6), (3, 2, 7)]);
    let d = Differentiated::new(&t, Builder::default());
    // The loop and its reverse, each for two instruction sets.
    let compiled = crate::kernels::loops::tests::check_loops(&d.bound.builder, &d.roots, 8);
    assert_eq!(compiled, 4);
}

#[test]
fn without_a_recurrence_there_is_no_loop() {
    let t = looped(&[(4, 0, 3)]);
    assert!(loops(&t.bind().unwrap().builder).is_empty());
    let twin = t.bind_with(Builder::plain()).unwrap();
    assert_eq!(loops(&twin.builder).len(), 1);
}

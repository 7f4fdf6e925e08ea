//! Every loop of a graph, forwards and in reverse, by the workspace of its body and compiled: for tests that have graphs.

use super::*;
use crate::bound::{Builder, Id, Op};
use crate::testing::Random;

/// Compares the bits; returns how many loops were compiled, for how many instruction sets.
pub fn check_loops(builder: &Builder, roots: &[Id], seed: u64) -> usize {
    let mut random = Random::new(seed);
    let mut found = 0;
    for id in builder.reachable(roots) {
        let node = builder.node(id);
        let mut values =
            |&input: &Id| Buffer::from_values(&random.vector(builder.size(input), -1.0, 1.0));
        let inputs: Vec<Buffer> = node.inputs.iter().map(&mut values).collect();
        let input = |k: usize| &inputs[k][..builder.size(node.inputs[k])];
        let run = |compiled: Option<&Compiled>| -> Option<Vec<u64>> {
            let mut out = Buffer::zeros(node.size());
            let out = &mut out[..node.size()];
            match &node.op {
                Op::Loop(l) => {
                    let mut state = LoopState::new(Workspace::new(l.program.clone()), compiled);
                    forward(l, compiled, &mut state, input, out).unwrap();
                }
                Op::LoopGradient(l) => {
                    let mut state = LoopState::new(Workspace::new(l.program.clone()), compiled);
                    backward(l, compiled, &mut state, input, out).unwrap();
                }
                _ => return None,
            }
            let bits = |x: &f64| if x.is_nan() { 1 } else { x.to_bits() };
            Some(out.iter().map(bits).collect())
        };
        let Some(wanted) = run(None) else { continue };
        // What this processor lacks is emulated.
        for isa in [Isa::Avx2, Isa::Avx512] {
            let compiled = match &node.op {
                Op::Loop(l) => Compiled::forward(l, isa),
                Op::LoopGradient(l) => Compiled::backward(l, isa),
                _ => None,
            };
            if let Some(compiled) = compiled {
                assert_eq!(
                    run(Some(&compiled)).unwrap(),
                    wanted,
                    "{isa:?}: {compiled:?}"
                );
                found += 1;
            }
        }
    }
    found
}

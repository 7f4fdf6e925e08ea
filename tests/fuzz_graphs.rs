//! Thousands of damaged graphs: each is refused or evaluated, none panics. The fuzz target in tests/fuzz goes on
//! from here; `FUZZ_CASES=100000 cargo test --release --no-default-features --test fuzz_graphs` does so without it.

#[path = "fuzz/case.rs"]
mod case;

use case::{Numbers, Reached};
use serde_json::Value;
use std::panic::catch_unwind;
use std::path::Path;

/// Cases that came far are kept, in place of an older one of these, and mutated again.
const KEPT: usize = 400;
/// JSON values that a kept case may have: mutations copy parts into each other, so cases grow without bound.
const VALUES: usize = 4000;

fn seeds() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    paths.iter().map(read).collect()
}

#[test]
fn seeds_are_evaluated() {
    for seed in seeds() {
        assert_eq!(case::run(&seed), Reached::Value);
    }
}

#[test]
fn damaged_graphs_never_panic() {
    let asked = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|number| number.parse().unwrap())
    };
    let (cases, seed) = (
        asked("FUZZ_CASES").unwrap_or(2000),
        asked("FUZZ_SEED").unwrap_or(1),
    );
    let mut numbers = Numbers(seed as u64);
    let mut pool = seeds();
    let seeds = pool.len();
    let mut reached = [0; 3];
    for _ in 0..cases {
        let mut value = pool[numbers.below(pool.len())].clone();
        case::mutate(&mut value, &mut numbers);
        let Ok(found) = catch_unwind(|| case::run(&value)) else {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("case {seed}.json"));
            std::fs::write(&file, value.to_string()).unwrap();
            panic!("the case is in {}", file.display());
        };
        reached[found as usize] += 1;
        if found == Reached::Value && case::size(&value) < 40 && case::count(&value) < VALUES {
            match pool.len() < KEPT {
                true => pool.push(value),
                false => pool[seeds + numbers.below(KEPT - seeds)] = value,
            }
        }
    }
    println!("no graph, no model, evaluated: {reached:?}");
    assert!(
        reached.iter().all(|&count| count > cases / 100),
        "{reached:?}"
    );
}

//! Tests of batches: NumPy's generators, data that do not fit, and fits that do not depend on threads.

use super::engine::Engine;
use super::fit::{Fit, Plan, Variable, chain_seeds};
use super::numpy::Generator;
use super::starts::{Base, Jitter, StartRule, StartSource};
use super::summary::Interval;
use super::template::{Array, DataSet, Input, Template};
use crate::bind::Data;
use crate::density::Density;
use crate::graph::{DType, Graph, Op};
use crate::model::Model;
use crate::recorder::{Kind, Wanted};
use crate::rewrite::algebra::Rules;
use crate::sampler::Settings;
use crate::tensor::Tensor;
use crate::testing::Random;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn generators_are_numpys() {
    // numpy.random.default_rng(7).uniform(-1, 1, 2), and of SeedSequence(2**40).spawn(3)[2]
    let two = |mut generator: Generator| [generator.jitter(), generator.jitter()];
    assert_eq!(
        two(Generator::new(7, None)),
        [0.25019093320933394, 0.794427601939151]
    );
    assert_eq!(
        two(Generator::new(1 << 40, Some(2))),
        [-0.7611876153916275, 0.4143755267576723]
    );
    // numpy.random.default_rng(7).integers(2**30, size=3)
    let mut generator = Generator::new(7, None);
    assert_eq!(
        [generator.seed(), generator.seed(), generator.seed()],
        [1_014_583_970, 671_191_146, 734_632_613]
    );
}

#[test]
fn seeds_depend_on_seed_and_position() {
    assert_eq!(chain_seeds(1, 0, 3)[..2], chain_seeds(1, 0, 2));
    assert_ne!(chain_seeds(1, 0, 1), chain_seeds(1, 1, 1));
    assert_ne!(chain_seeds(1, 0, 1), chain_seeds(2, 0, 1));
    assert!(chain_seeds(3, 7, 1000).iter().all(|&seed| seed < 1 << 63));
}

/// All parameters start at 0.
struct Origin;

impl StartSource for Origin {
    fn base(&self, _: &[Arc<Array>]) -> Result<Base, String> {
        Ok(Base {
            shapes: vec![vec![]],
            position: vec![0.0],
        })
    }

    fn point(&self, _: &[Arc<Array>], _: u64) -> Result<Vec<f64>, String> {
        Ok(vec![0.0])
    }
}

fn real(shape: &[usize], values: &[f64]) -> Array {
    Array {
        shape: shape.to_vec(),
        values: values.to_vec(),
        dtype: DType::Float64,
    }
}

/// x with a standard normal prior, of which all of y are measurements with the error 1.
fn template(jitter: Jitter) -> Template {
    let mut graph = Graph::default();
    let x = graph.parameter("x", 0).unwrap();
    let y = graph.data("y", DType::Float64, 1).unwrap();
    let mut add = |name: &str, inputs: &[usize], attributes: serde_json::Value| {
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        let op = Op::parse(name, attributes).unwrap();
        graph.add(op, inputs).unwrap()
    };
    let spread = add("dimshuffle", &[x], json!({"order": [-1]}));
    let residual = add("sub", &[y, spread], json!({}));
    let squares = add("mul", &[residual, residual], json!({}));
    let sum = add("sum", &[squares], json!({"axes": [0]}));
    let square = add("mul", &[x, x], json!({}));
    let both = add("add", &[sum, square], json!({}));
    let half = graph.constant(vec![], vec![-0.5], DType::Float64);
    let logp = graph
        .add(Op::parse("mul", Default::default()).unwrap(), &[both, half])
        .unwrap();
    graph.output("logp", logp).unwrap();
    Template {
        graph,
        parameters: vec!["x".into()],
        inputs: vec![
            Input {
                name: "y".into(),
                dtype: DType::Float64,
                ndim: 1,
                observed: true,
                dims: vec![Some("obs".into())],
                length_of: None,
                is_read: true,
                value: Arc::new(real(&[2], &[1.0, 2.0])),
            },
            Input {
                name: "n".into(),
                dtype: DType::Int64,
                ndim: 0,
                observed: false,
                dims: vec![],
                length_of: Some("obs".into()),
                is_read: false,
                value: Arc::new(real(&[], &[2.0])),
            },
        ],
        dims: vec!["obs".into()],
        starts: StartRule::new(Box::new(Origin), jitter, 10, vec![]),
        room: usize::MAX,
        rules: Rules::ALL,
        programs: Arc::default(),
        marginalised: vec![],
    }
}

fn plan(chains: usize) -> Plan {
    Plan {
        template: template(Jitter::Spawned(vec![Some(0)])),
        settings: Settings::from_json(r#"{"tune": 100, "draws": 50}"#).unwrap(),
        warm_start: None,
        chains,
        seed: 4,
        variables: vec![Variable {
            wanted: Wanted {
                name: "x".into(),
                output: None,
                kind: Kind::F64,
            },
            is_kept: true,
        }],
        interval: Interval::Hdi(0.9),
        thin: 1,
    }
}

fn set(position: u64, data: &[(&str, Array)]) -> DataSet {
    let data = data
        .iter()
        .map(|(name, array)| (name.to_string(), array.clone()));
    DataSet {
        position,
        data: data.collect(),
        ..DataSet::default()
    }
}

/// The outcomes of data sets of growing length from a position on; every fourth holds a NaN.
fn outcomes(threads: usize, chains: usize, first: u64) -> Vec<(u64, Result<Fit, String>)> {
    let engine = Engine::start(plan(chains), threads).unwrap();
    for position in first..first + 20 {
        let mut y: Vec<f64> = (0..=position).map(|k| k as f64 / 7.0).collect();
        if position % 4 == 3 {
            y[0] = f64::NAN;
        }
        engine.submit(set(position, &[("y", real(&[y.len()], &y))]));
    }
    engine.close();
    let mut taken = vec![];
    while !engine.is_finished() {
        taken.extend(engine.take(Duration::from_secs(60)));
    }
    taken
}

#[test]
fn fits_do_not_depend_on_threads() {
    for chains in [1, 3] {
        let (one, four) = (outcomes(1, chains, 5), outcomes(4, chains, 5));
        assert_eq!(one.len(), 20);
        for ((position, outcome), (other, reference)) in one.iter().zip(&four) {
            assert_eq!(position, other);
            match (outcome, reference) {
                (Ok(fit), Ok(reference)) => {
                    assert_eq!(fit.seeds, reference.seeds);
                    let bits = |fit: &Fit| -> Vec<u64> {
                        let values = fit.summary.iter().flatten();
                        values.map(|value| value.to_bits()).collect()
                    };
                    assert_eq!(bits(fit), bits(reference));
                    let values = |fit: &Fit| fit.kept.as_ref().unwrap().values.clone();
                    assert_eq!(values(fit), values(reference));
                    assert_eq!(values(fit)[0].len(), chains * 50);
                }
                (outcome, reference) => {
                    assert_eq!(position % 4, 3);
                    assert_eq!(outcome.as_ref().err(), reference.as_ref().err());
                }
            }
        }
        let positions: Vec<u64> = one.iter().map(|(position, _)| *position).collect();
        assert_eq!(positions, (5..25).collect::<Vec<_>>());
    }
}

/// The values of y of a data set, some of which make another graph: equal values, zeros, one element alone.
fn data_set(kind: u8, random: &mut Random) -> Vec<f64> {
    let mut y = random.vector(5, -2.0, 2.0);
    match kind {
        0 => y.fill(1.5),
        1 => y.fill(0.0),
        2 => y[3] = y[1],
        3 => y.truncate(1),
        4 => y[0] *= 1e6,
        _ => {}
    }
    y
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20,
        rng_seed: RngSeed::Fixed(2),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn models_that_share_programs_have_the_bits_of_those_that_do_not(
        kinds in prop::collection::vec(0..10u8, 2..12),
    ) {
        let mut random = Random::new(3);
        let template = template(Jitter::None);
        let shapes = [("x".to_string(), vec![])].into();
        for kind in kinds {
            let y = data_set(kind, &mut random);
            let arrays = template.complete(set(0, &[("y", real(&[y.len()], &y))])).unwrap();
            let base = template.starts.base(&arrays).unwrap();
            let mut shared = template.bind(&arrays, &base).unwrap().density();
            let value = Tensor::new(vec![y.len()], &y);
            let data = [("y".to_string(), Data { value, dtype: DType::Float64 })].into();
            let mut alone = Model::new(&template.graph, data, &shapes).unwrap().density();
            prop_assert_eq!(shared.work(), alone.work());
            for x in random.vector(3, -3.0, 3.0) {
                let evaluate = |density: &mut dyn Density| {
                    let mut gradient = [0.0];
                    let logp = density.logp_and_gradient(&[x], &mut gradient).unwrap();
                    [logp, gradient[0]].map(f64::to_bits)
                };
                prop_assert_eq!(evaluate(&mut shared), evaluate(&mut alone));
            }
        }
    }
}

#[test]
fn data_that_do_not_fit_are_named() {
    let template = template(Jitter::None);
    let problem = |given: DataSet| template.complete(given).unwrap_err();
    let with = |data: &[(&str, Array)]| problem(set(0, data));
    assert!(with(&[("z", real(&[1], &[0.0]))]).contains("no data named 'z'; it has 'y', 'n'"));
    assert!(with(&[("y", real(&[], &[0.0]))]).contains("have 0 axes, but the model needs 1"));
    assert!(with(&[("y", real(&[1], &[f64::NAN]))]).contains("hold 1 NaN"));
    assert!(with(&[("y", real(&[1], &[f64::INFINITY]))]).contains("infinite"));
    assert!(with(&[("n", real(&[], &[1.5]))]).contains("must be int64"));
    assert!(with(&[("n", real(&[], &[3.0]))]).contains("has length 2 along axis 0"));
    let lengths = |lengths: &[(&str, usize)]| DataSet {
        lengths: lengths
            .iter()
            .map(|(dim, n)| (dim.to_string(), *n))
            .collect(),
        ..set(0, &[("y", real(&[1], &[1.0]))])
    };
    assert!(problem(lengths(&[("town", 1)])).contains("no dim 'town'; it has 'obs'"));
    assert!(problem(lengths(&[("obs", 3)])).contains("but 3 coords were given"));
    let complete = template.complete(lengths(&[("obs", 1)])).unwrap();
    assert_eq!(complete[1].values, [1.0]);
}

#[test]
fn stopping_keeps_what_has_ended() {
    let mut endless = plan(1);
    endless.settings = Settings::from_json(r#"{"tune": 1000000000}"#).unwrap();
    endless.thin = 0;
    let mut engine = Engine::start(endless, 2).unwrap();
    engine.submit(set(0, &[("y", real(&[1], &[f64::NAN]))]));
    while engine.take(Duration::from_millis(10)).is_empty() {}
    engine.submit(set(1, &[]));
    engine.submit(set(2, &[("z", real(&[], &[1.0]))]));
    std::thread::sleep(Duration::from_millis(50));
    let rest = engine.stop();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].0, 2);
}

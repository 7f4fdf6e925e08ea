use super::*;
use crate::bound::{BindError, Builder};
use crate::density::Density;
use crate::graph::{NodeId, Op};
use crate::model::Model;
use crate::testing::{Differentiated, Template, check_gradient, close, interpret, results};
use std::collections::HashMap;

fn array(shape: &[usize], values: Vec<f64>) -> Array {
    let shape = shape.to_vec();
    Array { shape, values }
}

/// (x, s) to s sin(x), the number of elements of x, and s^2.
struct Waves;

/// The adjoints of its inputs.
struct WavesPullback {
    wanted: Vec<usize>,
    connected: Vec<usize>,
}

impl Foreign for Waves {
    fn name(&self) -> &str {
        "Waves"
    }

    fn results(&self) -> &[(DType, usize)] {
        &[(DType::Float64, 1), (DType::Int64, 0), (DType::Float64, 0)]
    }

    fn evaluate(&self, inputs: &[ArrayRef<'_>]) -> Result<Vec<Array>, Failure> {
        let (x, s) = (inputs[0].values, inputs[1].values[0]);
        Ok(vec![
            array(inputs[0].shape, x.iter().map(|x| s * x.sin()).collect()),
            array(&[], vec![x.len() as f64]),
            array(&[], vec![s * s]),
        ])
    }

    fn pullback(&self, wanted: &[usize], connected: &[usize]) -> Result<Function, Failure> {
        Ok(Function(Arc::new(WavesPullback {
            wanted: wanted.to_vec(),
            connected: connected.to_vec(),
        })))
    }

    fn with_gradient(&self, _: &[usize]) -> Result<Function, Failure> {
        unreachable!("it has several results")
    }
}

impl Foreign for WavesPullback {
    fn name(&self) -> &str {
        "Waves"
    }

    fn results(&self) -> &[(DType, usize)] {
        &[(DType::Float64, 1), (DType::Float64, 0)][..self.wanted.len()]
    }

    fn evaluate(&self, inputs: &[ArrayRef<'_>]) -> Result<Vec<Array>, Failure> {
        let (x, s) = (inputs[0].values, inputs[1].values[0]);
        let given = |result: usize| {
            let at = self.connected.iter().position(|&k| k == result);
            at.map(|at| inputs[2 + at].values)
        };
        let (mut dx, mut ds) = (vec![0.0; x.len()], 0.0);
        for (i, g) in given(0).into_iter().flatten().enumerate() {
            dx[i] = g * s * x[i].cos();
            ds += g * x[i].sin();
        }
        ds += given(2).map_or(0.0, |g| g[0] * 2.0 * s);
        let adjoint = |&k: &usize| match k {
            0 => array(inputs[0].shape, dx.clone()),
            _ => array(&[], vec![ds]),
        };
        Ok(self.wanted.iter().map(adjoint).collect())
    }

    fn pullback(&self, _: &[usize], _: &[usize]) -> Result<Function, Failure> {
        Err(Failure("Waves has no second derivatives".into()))
    }

    fn with_gradient(&self, wanted: &[usize]) -> Result<Function, Failure> {
        self.pullback(wanted, &[])
    }
}

/// The value and, if asked for, the gradient of -x'x/2; a stone falls out beyond 100.
struct Bowl {
    gradient: bool,
}

impl Foreign for Bowl {
    fn name(&self) -> &str {
        "Bowl"
    }

    fn results(&self) -> &[(DType, usize)] {
        &[(DType::Float64, 0), (DType::Float64, 1)][..1 + usize::from(self.gradient)]
    }

    fn evaluate(&self, inputs: &[ArrayRef<'_>]) -> Result<Vec<Array>, Failure> {
        let x = inputs[0].values;
        if x[0] > 100.0 {
            return Err(Failure("Bowl failed: the stone fell out".into()));
        }
        let value = -0.5 * x.iter().map(|x| x * x).sum::<f64>();
        let mut results = vec![array(&[], vec![value])];
        if self.gradient {
            results.push(array(inputs[0].shape, x.iter().map(|x| -x).collect()));
        }
        Ok(results)
    }

    fn pullback(&self, _: &[usize], _: &[usize]) -> Result<Function, Failure> {
        unreachable!("its gradient comes with its value")
    }

    fn with_gradient(&self, _: &[usize]) -> Result<Function, Failure> {
        Ok(Function(Arc::new(Bowl { gradient: true })))
    }
}

/// A real result that is said to have one axis, of a length or rank that only an evaluation shows; no derivative.
struct Shifty(fn(f64) -> Vec<usize>);

impl Foreign for Shifty {
    fn name(&self) -> &str {
        "Shifty"
    }

    fn results(&self) -> &[(DType, usize)] {
        &[(DType::Float64, 1)]
    }

    fn evaluate(&self, inputs: &[ArrayRef<'_>]) -> Result<Vec<Array>, Failure> {
        let shape = (self.0)(inputs[0].values[0]);
        let values = vec![1.0; size_of(&shape)];
        Ok(vec![Array { shape, values }])
    }

    fn pullback(&self, _: &[usize], _: &[usize]) -> Result<Function, Failure> {
        Err(Failure("Shifty has no gradient".into()))
    }

    fn with_gradient(&self, _: &[usize]) -> Result<Function, Failure> {
        unreachable!("its result has an axis")
    }
}

fn call(t: &mut Template, function: impl Foreign + 'static, inputs: &[NodeId]) -> Vec<NodeId> {
    call_with(t, function, inputs, &[])
}

/// The results of a function, with the lengths of their axes.
fn call_with(
    t: &mut Template,
    function: impl Foreign + 'static,
    inputs: &[NodeId],
    lengths: &[NodeId],
) -> Vec<NodeId> {
    let count = function.results().len();
    let op = Op::Foreign {
        function: Function(Arc::new(function)),
        given: !lengths.is_empty(),
    };
    let node = t.graph.add(op, &[inputs, lengths].concat()).unwrap();
    let parts = (0..count).map(|k| t.op_with("part", &[node], serde_json::json!({"index": k})));
    parts.collect()
}

fn model(t: &Template) -> Model {
    Model::new(&t.graph, HashMap::new(), &t.shapes).unwrap()
}

#[test]
fn several_results_are_differentiated_and_planned() {
    let mut t = Template::default();
    let (x, s) = (t.parameter("x", &[3]), t.parameter("s", &[]));
    let twice = t.op("add", &[x, x]);
    let scale = t.op("exp", &[s]);
    let length = t.op_with("shape_i", &[x], serde_json::json!({"axis": 0}));
    let [y, n, square] = call_with(&mut t, Waves, &[twice, scale], &[length])[..] else {
        unreachable!()
    };
    let term = t.op("mul", &[y, x, square]);
    let term = t.op("div", &[term, n]);
    t.weigh(term);
    let position = [0.3, -0.7, 1.1, 0.2];
    check_gradient("Waves", &t, &position);
    let whole = Differentiated::new(&t, Builder::default());
    let planned = results(&mut whole.workspace(), &position);
    let plain = interpret(&whole.bound.builder, &whole.roots, &position);
    assert_eq!(planned, plain);
}

#[test]
fn only_adjoints_that_are_needed_are_asked_for() {
    let mut t = Template::default();
    let x = t.parameter("x", &[2]);
    let two = t.number(2.0);
    let parts = call(&mut t, Waves, &[x, two]);
    t.weigh(parts[0]);
    check_gradient("Waves of x", &t, &[0.4, 2.0]);

    // The scale is a whole number: its derivative is zero throughout.
    let mut t = Template::default();
    let (x, s) = (t.parameter("x", &[2]), t.parameter("s", &[]));
    let rounded = t.op("floor", &[s]);
    let parts = call(&mut t, Waves, &[x, rounded]);
    t.weigh(parts[0]);
    check_gradient("Waves of a whole number", &t, &[0.4, 2.0, 1.5]);
    let text = model(&t).graph_text();
    let pullbacks = text.lines().filter(|line| line.contains("foreign"));
    let sizes: Vec<&str> = pullbacks
        .map(|line| line.split_once(" = ").unwrap().0)
        .collect();
    // Two elements of y, the number and the square; then the adjoint of x alone.
    assert!(
        sizes[0].ends_with("f64[4]") && sizes[1].ends_with("f64[2]"),
        "{text}"
    );
}

#[test]
fn a_scalar_comes_with_its_gradient() {
    let mut t = Template::default();
    let x = t.parameter("x", &[2]);
    let [value] = call(&mut t, Bowl { gradient: false }, &[x])[..] else {
        unreachable!()
    };
    let half = t.number(0.5);
    let scaled = t.op("mul", &[half, value]);
    let logp = t.op("exp", &[scaled]);
    t.graph.output("logp", logp).unwrap();
    t.graph.output("value", value).unwrap();
    check_gradient("Bowl", &t, &[0.6, -0.3]);
    let model = model(&t);
    let mut gradient = [0.0; 2];
    model
        .density()
        .logp_and_gradient(&[0.6, -0.3], &mut gradient)
        .unwrap();
    let [(name, meter)] = &model.foreign()[..] else {
        panic!("one call");
    };
    assert_eq!((name.as_str(), meter.read().0), ("Bowl", 1));
    let values = model
        .evaluate(&["value".into()], &[0.6, -0.3, 1.0, 1.0], 2)
        .unwrap();
    assert!(close(values[0][0], -0.225, 1e-15) && close(values[0][1], -1.0, 1e-15));
    assert_eq!(meter.read().0, 3);
}

#[test]
fn what_depends_on_no_parameter_is_folded() {
    let mut t = Template::default();
    let (x, data, two) = (
        t.parameter("x", &[3]),
        t.real(&[3], &[0.1, 0.2, 0.3]),
        t.number(2.0),
    );
    let parts = call(&mut t, Waves, &[data, two]);
    let term = t.op("mul", &[parts[0], x]);
    t.weigh(term);
    assert!(model(&t).foreign().is_empty());
    let values = t.value(parts[0]);
    assert_eq!(values.values(), [0.1f64, 0.2, 0.3].map(|x| 2.0 * x.sin()));
}

#[test]
fn a_failure_is_an_error_with_its_text() {
    let mut t = Template::default();
    let x = t.parameter("x", &[1]);
    let parts = call(&mut t, Bowl { gradient: false }, &[x]);
    t.graph.output("logp", parts[0]).unwrap();
    let model = model(&t);
    let error = model.density().logp_and_gradient(&[101.0], &mut [0.0]);
    assert_eq!(
        error.unwrap_err().to_string(),
        "Bowl failed: the stone fell out"
    );

    let mut t = Template::default();
    let far = t.real(&[1], &[101.0]);
    call(&mut t, Bowl { gradient: false }, &[far]);
    assert!(t.bind_error().contains("the stone fell out"));
}

#[test]
fn shapes_that_are_not_given_are_found_by_a_trial() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let parts = call(&mut t, Shifty(|_| vec![4]), &[x]);
    let length = t.op_with("shape_i", &[parts[0]], serde_json::json!({"axis": 0}));
    assert_eq!(t.value(length).values(), [4.0]);

    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let parts = call(&mut t, Shifty(|x| vec![if x > 0.0 { 2 } else { 3 }]), &[x]);
    let total = t.op_with("sum", &[parts[0]], serde_json::json!({"axes": [0]}));
    t.graph.output("x", x).unwrap();
    t.graph.output("total", total).unwrap();
    let Err(BindError::Varies { text, outputs }) = t.bind() else {
        panic!("it was bound");
    };
    assert!(
        text.contains(
            "Shifty depends on a parameter: [[3]] or [[2]] (computed from parameter \"x\")"
        ),
        "{text}"
    );
    assert_eq!(outputs, ["total"]);
}

#[test]
fn a_result_of_another_shape_is_an_error() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let stopped = t.op("stop_gradient", &[x]);
    let parts = call(
        &mut t,
        Shifty(|x| vec![if x < 1.0 { 2 } else { 3 }]),
        &[stopped],
    );
    t.weigh(parts[0]);
    let model = model(&t);
    let evaluate = |x: f64| model.density().logp_and_gradient(&[x], &mut [0.0]);
    assert!(evaluate(0.9).is_ok());
    let error = evaluate(1.1).unwrap_err().to_string();
    assert!(
        error.starts_with("result 0 of Shifty has the shape [3] instead of [2]"),
        "{error}"
    );
}

#[test]
fn a_missing_gradient_is_an_error_only_where_it_is_needed() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let parts = call(&mut t, Shifty(|_| vec![1]), &[x]);
    t.weigh(parts[0]);
    let error = Model::new(&t.graph, HashMap::new(), &t.shapes)
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "Shifty has no gradient");

    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    let parts = call(&mut t, Shifty(|_| vec![1]), &[x]);
    t.graph.output("logp", x).unwrap();
    t.graph.output("deterministic", parts[0]).unwrap();
    let values = model(&t)
        .evaluate(&["deterministic".into()], &[0.5], 1)
        .unwrap();
    assert_eq!(values, [[1.0]]);
}

#[test]
fn a_graph_with_a_function_of_others_cannot_be_stored() {
    let mut t = Template::default();
    let x = t.parameter("x", &[2]);
    call(&mut t, Bowl { gradient: false }, &[x]);
    let error = t.graph.to_stored().err().unwrap().to_string();
    assert!(
        error.contains("Bowl is evaluated by code outside of the graph"),
        "{error}"
    );
    assert!(t.graph.to_string().contains("foreign \"Bowl\"(%0)"));
}

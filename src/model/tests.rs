use super::*;
use crate::testing::{Template, close, differences};
use serde_json::json;

/// logp = -(x0 - 1)^2 - (x1 - 2)^2 - s^2, and other outputs.
fn template() -> Template {
    let mut t = Template::default();
    let x = t.parameter("x", &[2]);
    let empty = t.parameter("empty", &[0, 3]);
    let s = t.parameter("s", &[]);
    let center = t.real(&[2], &[1.0, 2.0]);
    let difference = t.op("sub", &[x, center]);
    let square = t.op("sqr", &[difference]);
    let total = t.op_with("sum", &[square], json!({"axes": [0]}));
    let square = t.op("sqr", &[s]);
    let sum = t.op("add", &[total, square]);
    let logp = t.op("neg", &[sum]);
    let e = t.op("exp", &[x]);
    t.graph.output("e", e).unwrap();
    t.graph.output(LOGP, logp).unwrap();
    t.graph.output("empty", empty).unwrap();
    t.graph.output("s", s).unwrap();
    t
}

fn model(t: &Template) -> Model {
    Model::new(&t.graph, HashMap::new(), &t.shapes).unwrap()
}

#[test]
fn a_model_evaluates_its_density_and_gradient() {
    let model = model(&template());
    assert_eq!(model.dim(), 3);
    let mut density = model.density();
    assert_eq!(density.dim(), 3);
    let position = [0.5, 3.0, 1.5];
    let mut gradient = [f64::NAN; 3];
    let logp = density.logp_and_gradient(&position, &mut gradient);
    assert_eq!(logp, Ok(-0.25 - 1.0 - 2.25));
    let wanted = differences(
        |x| model.density().logp_and_gradient(x, &mut [0.0; 3]).unwrap(),
        &position,
    );
    assert!(
        gradient
            .iter()
            .zip(&wanted)
            .all(|(g, w)| close(*g, *w, 1e-9)),
        "{gradient:?}"
    );
}

#[test]
fn outputs_have_names_and_shapes_and_values() {
    let model = model(&template());
    let outputs: Vec<(&str, &[usize])> = model.outputs().collect();
    assert_eq!(outputs, [("e", &[2][..]), ("empty", &[0, 3]), ("s", &[])]);
    let names = ["s", "empty", "e"].map(String::from);
    let mut workspace = model.output_program(&names).unwrap().workspace(None);
    workspace.evaluate(&[0.0, 1.0, 4.0]).unwrap();
    assert_eq!(workspace.output(0), [4.0]);
    assert_eq!(workspace.output(1), [0.0; 0]);
    assert!(close(workspace.output(2)[1], 1f64.exp(), 1e-15));
    let error = model.output_program(&["f".into()]).unwrap_err();
    assert_eq!(error.0, "the model has no output \"f\"");
}

#[test]
fn a_first_metric_has_the_dimensions_of_the_model() {
    let model = model(&template());
    let sample = |metric: &str| {
        let settings = format!(r#"{{"tune": 5, "draws": 5, "initial_metric": {metric}}}"#);
        let settings = Settings::from_json(&settings).unwrap();
        let run = model.sample(settings, vec![vec![0.5; 3]], vec![1], 1, None);
        run.err().map(|error| error.to_string())
    };
    assert_eq!(sample("[1, 2, 3]"), None);
    assert_eq!(sample("[2, 1, 0, 1, 2, 0, 0, 0, 1]"), None);
    for wrong in [
        "[1, 2]",
        "[1, 2, -3]",
        "[1, 2, 0, 2, 1, 0, 0, 0, 1]",
        "[1, 0, 0, 1]",
    ] {
        let error = sample(wrong).unwrap();
        assert!(error.contains("the 3 variances"), "{wrong}: {error}");
    }
}

#[test]
fn a_model_without_a_log_density_is_refused() {
    let mut t = Template::default();
    let x = t.parameter("x", &[]);
    t.graph.output("x", x).unwrap();
    let error = Model::new(&t.graph, HashMap::new(), &t.shapes)
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "the graph has no output `logp`");
}

#[test]
fn texts_name_the_parameters() {
    let model = model(&template());
    let text = model.graph_text();
    assert!(
        text.contains("gradient of \"x\" = %") && text.contains("logp = %"),
        "{text}"
    );
    assert!(!text.contains("empty"), "{text}");
    assert!(
        model.plan_text().contains("pass over 2:"),
        "{}",
        model.plan_text()
    );
}

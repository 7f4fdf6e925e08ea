//! What became of a model: sizes of its graphs, the rules that were applied, the steps of its plan and their cost.

use crate::bind::{self, Data};
use crate::bound::{BindError, Builder, Op};
use crate::graph::Graph;
use crate::kernels::machine::{Instruction, Kernel, Operand, Place, Program, Step};
use crate::marginal::Marginal;
use crate::model::{Model, differentiate};
use crate::plan;
use crate::rewrite::algebra::Rules;
use crate::tensor::{Table, Tensor};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// An account of a bound model.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// Nodes of the template, the outputs included.
    pub template_nodes: usize,
    /// Nodes of log density and gradient without any rule applied.
    pub bound_nodes: usize,
    /// Nodes of log density and gradient as they are evaluated.
    pub planned_nodes: usize,
    /// How often each rule was applied.
    pub rewrites: BTreeMap<&'static str, usize>,
    /// What an evaluation does, in order.
    pub steps: Vec<StepAccount>,
    /// Bytes of values that an evaluation needs, for each thread.
    pub arena_bytes: usize,
    /// Bytes of blocks that are to stay in the cache, for each thread.
    pub register_bytes: usize,
    /// Bytes of constants, position tables and packed matrices, shared by all threads.
    pub constant_bytes: usize,
}

/// A step of an evaluation.
#[derive(Debug, Serialize)]
pub struct StepAccount {
    /// Elements of the arrays that a pass goes over; none if the step works on whole arrays.
    pub pass: Option<usize>,
    /// Its instructions.
    pub lines: Vec<String>,
    /// Time of the step, measured.
    pub seconds: f64,
    /// The function of others that it calls, by name.
    pub foreign: Option<String>,
}

/// Explains a template under data; the time of the steps is measured at a position.
///
/// # Errors
/// If the data do not fit, or the model fails at the position.
pub fn explain(
    room: usize,
    rules: Rules,
    marginalised: &[String],
    graph: &Graph,
    data: HashMap<String, Data>,
    shapes: &HashMap<String, Vec<usize>>,
    position: &[f64],
) -> Result<Explanation, BindError> {
    let copy = |(name, given): (&String, &Data)| {
        let value = Tensor::new(given.value.shape().to_vec(), given.value.values());
        let dtype = given.dtype;
        (name.clone(), Data { value, dtype })
    };
    let plain = Builder::plain().limited_to(room);
    let plain = bind::bind_with(plain, graph, data.iter().map(copy).collect(), shapes)?;
    let (plain, plain_roots) = differentiate(&plain, Rules::NONE)?;
    let model = Model::within(room, rules, marginalised, None, graph, data, shapes)?;
    let (fused, roots) = (&model.fused, &model.roots);
    let program = &model.planned.program;
    let sampled =
        |marginal: &Marginal| marginal.kept.iter().map(|&index| position[index]).collect();
    let position: Vec<f64> = model.marginal().map_or(position.to_vec(), sampled);
    let times = model
        .planned
        .in_steps()
        .workspace(None)
        .time_steps(&position)?;
    let foreign = |id| match &fused.node(id).op {
        Op::Foreign(call) => Some(call.function.name().to_string()),
        _ => None,
    };
    let steps = plan::steps(fused, roots).into_iter().zip(times);
    let steps = steps.map(|(step, time)| StepAccount {
        pass: step.pass,
        seconds: time.as_secs_f64(),
        foreign: step.ids.iter().find_map(|&id| foreign(id)),
        lines: step.lines,
    });
    Ok(Explanation {
        template_nodes: graph.nodes().len(),
        bound_nodes: plain.reachable(&plain_roots).len(),
        planned_nodes: fused.reachable(roots).len(),
        rewrites: model.rewrites.clone(),
        steps: steps.collect(),
        arena_bytes: program.arena * size_of::<f64>(),
        register_bytes: program.registers * crate::kernels::sum::BLOCK * size_of::<f64>(),
        constant_bytes: constant_bytes(program),
    })
}

/// Bytes of everything that a program holds and does not change.
fn constant_bytes(program: &Program) -> usize {
    let mut held: HashMap<*const (), usize> = HashMap::new();
    let mut place = |place: &Place| {
        if let Place::Constant(tensor, _) = place {
            held.insert(Arc::as_ptr(tensor).cast(), tensor.bytes());
        }
    };
    let mut tables: Vec<&Arc<Table>> = vec![];
    let (mut packed, mut sorted) = (vec![], vec![]);
    for step in &program.steps {
        match step {
            Step::Whole { node, inputs, .. } => {
                inputs.iter().for_each(|(input, _)| place(input));
                if let Op::Gather(table) | Op::ScatterAdd(table) = &node.op {
                    tables.push(table);
                }
            }
            Step::Region { instructions, .. } => {
                for Instruction { kernel, inputs, .. } in instructions {
                    for input in inputs {
                        if let Operand::Array(input) | Operand::Scalar(input) = input {
                            place(input);
                        }
                    }
                    match kernel {
                        Kernel::Gather(table, runs) | Kernel::ScatterAdd(table, runs) => {
                            tables.push(table);
                            sorted.extend(runs);
                        }
                        Kernel::RowsTimes(blocks) | Kernel::TimesRows(blocks, _) => {
                            packed.push(blocks);
                        }
                        Kernel::Map(..) | Kernel::Sum | Kernel::Dot => {}
                    }
                }
            }
        }
    }
    program.outputs.iter().for_each(|(output, _)| place(output));
    for table in tables {
        held.insert(Arc::as_ptr(table).cast(), std::mem::size_of_val(&***table));
    }
    for blocks in packed {
        held.insert(Arc::as_ptr(blocks).cast(), blocks.bytes());
    }
    for runs in sorted {
        held.insert(Arc::as_ptr(runs).cast(), runs.bytes());
    }
    held.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Template;
    use serde_json::json;

    #[test]
    fn an_account_of_a_small_model() {
        let mut t = Template::default();
        let (x, y) = (t.parameter("x", &[300]), t.parameter("y", &[]));
        let c = t.real(&[300], &(0..300).map(f64::from).collect::<Vec<_>>());
        let (zero, one) = (t.number(0.0), t.number(1.0));
        let scaled = t.op("mul", &[x, c]);
        let same = t.op("add", &[scaled, zero]);
        let same = t.op("mul", &[one, same]);
        let total = t.op_with("sum", &[same], json!({"axes": [0]}));
        let logp = t.op("sub", &[total, y]);
        t.graph.output("logp", logp).unwrap();
        let found = explain(
            usize::MAX,
            Rules::ALL,
            &[],
            &t.graph,
            HashMap::new(),
            &t.shapes,
            &[1.0; 301],
        )
        .unwrap();
        assert_eq!(found.template_nodes, t.graph.nodes().len());
        assert!(found.planned_nodes < found.bound_nodes);
        assert_eq!(found.rewrites["x + 0 = x"], 1);
        assert!(found.rewrites["1 x = x"] > 1); // also in the gradient
        assert_eq!(found.rewrites["sum(x y) = dot(x, y)"], 1);
        assert_eq!(found.steps[0].pass, Some(300));
        assert!(
            found.steps[0].lines[0].contains("dot"),
            "{:?}",
            found.steps[0].lines
        );
        assert!(
            found
                .steps
                .iter()
                .all(|step| step.seconds > 0.0 && step.seconds < 0.01)
        );
        assert!(found.constant_bytes >= 300 * 8 && found.arena_bytes >= 301 * 8);
        let error = explain(
            100,
            Rules::ALL,
            &[],
            &t.graph,
            HashMap::new(),
            &t.shapes,
            &[1.0; 301],
        );
        assert!(error.unwrap_err().to_string().contains("room for 100"));
    }
}

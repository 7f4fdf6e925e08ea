//! A plan as text: what runs in one pass, and what stays in cache.

use super::schedule::{Group, rows_product, schedule};
use crate::bound::{Builder, Id, Op};

/// A step of a plan: elements that it passes over (none if it works on whole arrays), and a line an instruction.
pub struct StepText {
    /// Elements of the arrays of a pass.
    pub pass: Option<usize>,
    /// Values in `[brackets]` never leave the cache.
    pub lines: Vec<String>,
    /// The nodes computed.
    pub ids: Vec<Id>,
}

/// All steps as text.
pub fn text(builder: &Builder, roots: &[Id]) -> String {
    let mut text = String::new();
    for StepText { pass, lines, .. } in steps(builder, roots) {
        match pass {
            Some(size) => text += &format!("pass over {size}:\n    {}\n", lines.join("\n    ")),
            None => text += &format!("whole: {}\n", lines.join("\n")),
        }
    }
    text
}

/// The steps, in the order of the program.
pub fn steps(builder: &Builder, roots: &[Id]) -> Vec<StepText> {
    let schedule = schedule(builder, roots);
    let name = |id: Id| match schedule.stored.contains(&super::storage(builder, id).0) {
        true => format!("%{}", id.0),
        false => match builder.constant_value(id).and_then(|c| c.uniform()) {
            Some(value) => format!("{value:?}"),
            None => format!("[%{}]", id.0),
        },
    };
    let line = |id: Id| {
        let node = builder.node(id);
        let call = match rows_product(builder, id) {
            Some((x, v, false)) => format!("rows {} times {}", name(x), name(v)),
            Some((x, v, true)) => format!("{} times rows {}", name(v), name(x)),
            None => {
                let inputs: Vec<String> = node.inputs.iter().map(|&input| name(input)).collect();
                format!("{}({})", crate::bound::op_text(&node.op), inputs.join(", "))
            }
        };
        let size = match node.op {
            Op::Map(_) => String::new(),
            _ => format!(": {}", node.size()),
        };
        format!("{}{size} = {call}", name(id))
    };
    let step = |group: &Group| {
        let (pass, ids) = match group {
            Group::Region(size, ids) => (Some(*size), ids.clone()),
            Group::Whole(id) => (None, vec![*id]),
        };
        let lines = ids.iter().map(|&id| line(id)).collect();
        StepText { pass, lines, ids }
    };
    schedule.groups.iter().map(step).collect()
}

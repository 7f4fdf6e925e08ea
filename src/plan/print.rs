//! A plan as text: what runs in one pass, and what stays in cache.

use super::schedule::{Group, rows_product, schedule};
use crate::bound::{Builder, Id, Op};
use std::fmt::Write;

/// One line an instruction; values in `[brackets]` never leave the cache.
pub fn text(builder: &Builder, roots: &[Id]) -> String {
    let schedule = schedule(builder, roots);
    let mut text = String::new();
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
    for group in &schedule.groups {
        match group {
            Group::Region(size, ids) => {
                let _ = writeln!(text, "pass over {size}:");
                for &id in ids {
                    let _ = writeln!(text, "    {}", line(id));
                }
            }
            Group::Whole(id) => {
                let _ = writeln!(text, "whole: {}", line(*id));
            }
        }
    }
    text
}

//! Elementwise functions of repeated elements: computed before they are repeated.

use crate::bound::{Builder, Id, Op};
use crate::scalar::ScalarFn;
use crate::tensor::Table;
use std::sync::Arc;

/// f(x[i], y[i], s) = f(x, y, s)[i] for scalars s, where every element of x is read, twice on average or more.
///
/// Elements that are never read stay out: a function that has no derivative there would spoil the gradient.
pub fn commute(b: &mut Builder, function: ScalarFn, operands: &[Id]) -> Option<(&'static str, Id)> {
    let gathered = |id: Id| match &b.node(id).op {
        Op::Gather(table) => Some((b.node(id).inputs[0], table)),
        _ => None,
    };
    let (source, table) = operands.iter().find_map(|&id| gathered(id))?;
    let size = b.size(source);
    let same = |&id: &Id| match gathered(id) {
        Some((other, positions)) => b.size(other) == size && positions == table,
        None => b.size(id) == 1,
    };
    if table.len() < 2 * size || !operands.iter().all(same) || !reads_all(table, size) {
        return None;
    }
    let table: Arc<Table> = table.clone();
    let sources: Vec<Id> = operands
        .iter()
        .map(|&id| gathered(id).map_or(id, |(source, _)| source))
        .collect();
    let sources = sources.into_iter().map(|id| match b.size(id) {
        1 => id,
        _ => b.reshape(id, &[size]),
    });
    let sources: Vec<Id> = sources.collect();
    let value = b.map(function, &sources);
    let length = table.len();
    Some(("f(x[i]) = f(x)[i]", b.gather(value, table, vec![length])))
}

fn reads_all(table: &Table, size: usize) -> bool {
    let mut read = vec![false; size];
    table
        .iter()
        .for_each(|&position| read[position as usize] = true);
    read.into_iter().all(|read| read)
}

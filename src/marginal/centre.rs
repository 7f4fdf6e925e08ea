//! Variables written from their prior means: u = m + v where the log density holds u - m.
//!
//! The change has no Jacobian and keeps digits: the prior of v does not see m, which may be far from zero, or as near
//! to u as a small scale brings the two.

use super::Variable;
use super::degree::{Degrees, support};
use crate::bound::{Builder, Copy, Id, Op};
use crate::scalar::ScalarFn::Sub;
use std::collections::BTreeSet;

/// A mean, and the nodes that are the variable less its mean, or the reverse.
struct Centre {
    mean: Id,
    differences: Vec<(Id, bool)>,
}

/// A log density in other coordinates.
pub struct Centred {
    /// Its graph.
    pub builder: Builder,
    /// The log density.
    pub logp: Id,
    /// The variables, which now stand for v.
    pub variables: Vec<Variable>,
    /// What u exceeds v by, of the shape of u or a scalar.
    pub means: Vec<Option<Id>>,
}

/// Writes the variables from their means, where those depend on parameters.
pub fn centre(b: &Builder, logp: Id, degrees: &Degrees, variables: &[Variable]) -> Centred {
    let centres: Vec<Option<Centre>> = variables
        .iter()
        .map(|variable| of_variable(b, logp, variable))
        .collect();
    let mut builder = b.sibling();
    let mut copy = Copy::new(b);
    let mut means = vec![None; variables.len()];
    let mut centred = variables.to_vec();
    let mut waiting: BTreeSet<usize> = (0..variables.len()).collect();
    while let Some(&first) = waiting.first() {
        let needs = |k: usize| match &centres[k] {
            Some(centre) => support(b, degrees, &[centre.mean], variables),
            None => BTreeSet::new(),
        };
        // Where means depend on one another in a circle, one of them stays.
        let ready = waiting
            .iter()
            .copied()
            .find(|&k| needs(k).is_disjoint(&waiting));
        let k = ready.unwrap_or(first);
        let variable = &variables[k];
        let shape = b.shape(variable.id).to_vec();
        let v = builder.parameter(
            variable.name.as_str().into(),
            variable.offset,
            shape.clone(),
        );
        centred[k].id = v;
        match centres[k].as_ref().filter(|_| ready.is_some()) {
            None => copy.replace(variable.id, v),
            Some(centre) => {
                let mean = copy.of(&mut builder, centre.mean);
                let u = builder.add(mean, v);
                let u = builder.reshape(u, &shape);
                copy.replace(variable.id, u);
                for &(id, reversed) in &centre.differences {
                    let v = builder.reshape(v, b.shape(id));
                    let v = if reversed { builder.neg(v) } else { v };
                    copy.replace(id, v);
                }
                means[k] = Some(mean);
            }
        }
        waiting.remove(&k);
    }
    let logp = copy.of(&mut builder, logp);
    Centred {
        builder,
        logp,
        variables: centred,
        means,
    }
}

fn of_variable(b: &Builder, logp: Id, variable: &Variable) -> Option<Centre> {
    let is_variable = |id: Id| {
        id == variable.id || b.node(id).op == Op::Reshape && b.node(id).inputs[0] == variable.id
    };
    let mut found: Option<Centre> = None;
    for id in b.reachable(&[logp]) {
        let node = b.node(id);
        if node.op != Op::Map(Sub) || node.size() != variable.size {
            continue;
        }
        let reversed = is_variable(node.inputs[1]);
        let mean = node.inputs[usize::from(!reversed)];
        if !reversed && !is_variable(node.inputs[0]) || is_variable(mean) {
            continue;
        }
        match &mut found {
            Some(centre) if centre.mean == mean => centre.differences.push((id, reversed)),
            None if b.constant_value(mean).is_none()
                && !b.reachable(&[mean]).contains(&variable.id) =>
            {
                found = Some(Centre {
                    mean,
                    differences: vec![(id, reversed)],
                });
            }
            _ => {}
        }
    }
    found
}

//! Variables in which the log density is quadratic, integrated out, and drawn back from what they are given the others.
//!
//! For effects u under a normal prior and a normal likelihood, log p(θ, u) = c(θ) + b(θ)' u - u' A(θ) u / 2. Then
//! u given θ is normal with mean û = A⁻¹ b and covariance A⁻¹, and with d elements in u
//!
//!   log ∫ p(θ, u) du = log p(θ, û) - log |A| / 2 + d log(2π) / 2.
//!
//! The first term is the log density as it stands, evaluated at û: no difference of large numbers such as c + b' û / 2. Its
//! derivative by u is zero there, so û counts as a constant when it is differentiated, and an error in û is
//! squared (the argument of Laplace's method, which is exact here).
//!
//! What u is, is read from the graph ([`degree`]), whatever the model is made of: intercepts, slopes, common coefficients,
//! crossed and nested groups, in any form. A comes from the derivatives of affine nodes ([`jacobian`], [`curvature`]), and is
//! factorised in an order that its zeros suggest ([`elimination`], [`factor`]). Means of priors are subtracted first
//! ([`centre`]).

mod centre;
mod completion;
mod curvature;
mod degree;
mod elimination;
mod factor;
mod jacobian;

use crate::bind::{Bound, Parameter};
use crate::bound::{BindError, Builder, Copy, Id, Op};
use crate::diff;
use crate::scalar::ScalarFn::{Sqr, StopGradient};
use crate::tensor::{Tensor, size_of};
use centre::Centred;
pub use completion::{AsWritten, Completion};
use curvature::Part;
use elimination::Order;
use factor::Factor;
use std::f64::consts::TAU;

/// Name of the output that is the log density of the variables given the others, at their draw.
pub const LOG_CONDITIONAL: &str = "log density of what was integrated out";

/// A parameter that may be integrated out.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Name of the value variable.
    pub name: String,
    /// Its node.
    pub id: Id,
    /// First entry in the position vector.
    pub offset: usize,
    /// Number of elements.
    pub size: usize,
    /// Its first element among those of all variables.
    pub first: usize,
}

/// Elimination may take so many nanoseconds, or so many times what an evaluation of the density takes without it.
const WORK: [f64; 2] = [5e3, 4.0];

/// A log density from which variables are integrated out.
pub struct Marginal {
    /// The log density in terms of v = u - m, its variables and their means.
    centred: Centred,
    /// Derivatives by v, one vector.
    gradient: Id,
    /// The parts of the curvature.
    parts: Vec<Part>,
    order: Order,
    /// The other parameters: their nodes, and their place among the positions that are sampled.
    others: Vec<(Id, Parameter, usize)>,
    /// Entries of the position vector that are sampled.
    pub kept: Vec<usize>,
}

/// What may be integrated out, and why the rest may not.
pub struct Choice {
    /// The log density without the variables; none if there are none.
    pub marginal: Option<Marginal>,
    /// Names of candidates that stay, with the reason.
    pub reasons: Vec<(String, String)>,
}

/// Chooses the variables to integrate out among the candidates, which are named.
pub fn choose(
    b: &mut Builder,
    logp: Id,
    parameters: &[Parameter],
    candidates: &[String],
) -> Result<Choice, BindError> {
    let is_candidate = |parameter: &&Parameter| {
        candidates.contains(&parameter.name) && size_of(&parameter.shape) > 0
    };
    let candidates: Vec<Variable> = parameters
        .iter()
        .filter(is_candidate)
        .map(|parameter| Variable {
            name: parameter.name.clone(),
            id: node(b, parameter),
            offset: parameter.offset,
            size: size_of(&parameter.shape),
            first: 0,
        })
        .collect();
    let mut excluded: Vec<Option<String>> = vec![None; candidates.len()];
    let limit = WORK[0].max(WORK[1] * work(b, logp));
    let found = loop {
        let degrees = degree::exclude(b, logp, &candidates, &mut excluded);
        let mut chosen: Vec<(usize, Variable)> = candidates.iter().cloned().enumerate().collect();
        chosen.retain(|(k, _)| excluded[*k].is_none());
        let mut first = 0;
        for (_, variable) in &mut chosen {
            variable.first = first;
            first += variable.size;
        }
        if chosen.is_empty() {
            break None;
        }
        let (numbers, variables): (Vec<usize>, Vec<Variable>) = chosen.into_iter().unzip();
        if first == parameters.iter().map(|p| size_of(&p.shape)).sum::<usize>() {
            let smallest = (0..variables.len()).min_by_key(|&k| variables[k].size);
            excluded[numbers[smallest.unwrap_or(0)]] =
                Some("nothing else would be left to sample".into());
            continue;
        }
        let mut centred = centre::centre(b, logp, &degrees, &variables);
        let mut none = vec![None; variables.len()];
        let (b, logp) = (&mut centred.builder, centred.logp);
        let degrees = degree::exclude(b, logp, &centred.variables, &mut none);
        let Some(parts) = curvature::curvature(b, logp, &degrees, &centred.variables)? else {
            let largest = (0..variables.len())
                .max_by_key(|&k| variables[k].size)
                .unwrap_or(0);
            excluded[numbers[largest]] = Some("it is linked to too many others".into());
            continue;
        };
        let mut curved = vec![false; first];
        let pairs = || parts.iter().flat_map(|part| part.i.iter().zip(&part.j));
        pairs()
            .filter(|(i, j)| i == j)
            .for_each(|(i, _)| curved[*i as usize] = true);
        let flat = (0..variables.len())
            .filter(|&k| (0..variables[k].size).any(|i| !curved[variables[k].first + i]));
        let flat: Vec<usize> = flat.collect();
        if !flat.is_empty() {
            for k in flat {
                excluded[numbers[k]] = Some("the log density is not quadratic in it".into());
            }
            continue;
        }
        let order = Order::new(first, pairs().map(|(&i, &j)| [i, j]));
        if order.work > limit {
            let k = costliest(&order, &variables);
            excluded[numbers[k]] = Some(format!(
                "it is linked to so many others that eliminating it would take {:.0} us an evaluation",
                order.work / 1e3
            ));
            continue;
        }
        break Some((centred, parts, order));
    };
    let reasons = candidates
        .iter()
        .zip(excluded)
        .filter_map(|(variable, reason)| Some((variable.name.clone(), reason?)));
    let reasons = reasons.collect();
    let Some((mut centred, parts, order)) = found else {
        let marginal = None;
        return Ok(Choice { marginal, reasons });
    };
    let b = &mut centred.builder;
    let ids: Vec<Id> = centred
        .variables
        .iter()
        .map(|variable| variable.id)
        .collect();
    let gradients = diff::gradient(b, centred.logp, &ids)?;
    let gradients: Vec<Id> = gradients
        .into_iter()
        .map(|id| b.reshape(id, &[b.size(id)]))
        .collect();
    let gradient = b.concat(&gradients, 0);
    let (mut others, mut kept) = (vec![], vec![]);
    for parameter in parameters {
        let size = size_of(&parameter.shape);
        if size == 0 || centred.variables.iter().any(|v| v.name == parameter.name) {
            continue;
        }
        others.push((node(b, parameter), parameter.clone(), kept.len()));
        kept.extend(parameter.offset..parameter.offset + size);
    }
    let marginal = Some(Marginal {
        centred,
        gradient,
        parts,
        order,
        others,
        kept,
    });
    Ok(Choice { marginal, reasons })
}

/// Nanoseconds that an evaluation of log density and gradient takes, roughly.
fn work(b: &Builder, logp: Id) -> f64 {
    let of_node = |id: Id| {
        let node = b.node(id);
        let multiplications = match &node.op {
            Op::Constant(_) | Op::Parameter { .. } => return 0.0,
            Op::MatMul { sizes, .. } => sizes.iter().product(),
            Op::Linalg(op) => op.sizes[0] * op.sizes[1] * op.sizes[1] * op.sizes[2].max(1),
            _ => 0,
        };
        let inputs = node.inputs.iter().map(|&input| b.size(input));
        let elements = inputs.chain([node.size()]).max().unwrap_or(1);
        10.0 + 0.5 * elements as f64 + 0.3 * multiplications as f64
    };
    3.0 * b.reachable(&[logp]).into_iter().map(of_node).sum::<f64>()
}

/// The variable that elimination takes the most work for.
fn costliest(order: &Order, variables: &[Variable]) -> usize {
    let mut weights = vec![0; variables.len()];
    let variable = |element: u32| {
        let after = variables.partition_point(|variable| variable.first <= element as usize);
        after - 1
    };
    match 2.0 * order.core_work >= order.work {
        true => {
            let core = order.segments.last().into_iter().flatten();
            core.for_each(|&element| weights[variable(element)] += 1);
        }
        false => {
            for (&(_, segment), links) in &order.links {
                for link in links {
                    weights[variable(order.segments[segment][link[1] as usize])] += 1;
                }
            }
        }
    }
    (0..weights.len()).max_by_key(|&k| weights[k]).unwrap_or(0)
}

fn node(b: &mut Builder, parameter: &Parameter) -> Id {
    b.parameter(
        parameter.name.as_str().into(),
        parameter.offset,
        parameter.shape.clone(),
    )
}

impl Marginal {
    /// Names of the variables that are integrated out.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.centred
            .variables
            .iter()
            .map(|variable| variable.name.as_str())
    }

    /// The variables.
    pub fn variables(&self) -> &[Variable] {
        &self.centred.variables
    }

    /// The parameters that are left, as they stand in the positions that are sampled.
    pub fn parameters(&self) -> Vec<Parameter> {
        let moved = |(_, parameter, offset): &(Id, Parameter, usize)| Parameter {
            offset: *offset,
            ..parameter.clone()
        };
        self.others.iter().map(moved).collect()
    }

    fn dim(&self) -> usize {
        self.order.places.len()
    }

    /// A graph of the log density of the parameters that are left.
    pub fn density(&self) -> (Builder, Id) {
        let mut b = self.centred.builder.sibling();
        let parameters: Vec<Id> = self.parameters().iter().map(|p| node(&mut b, p)).collect();
        let (factor, right) = self.factor(&mut b, &parameters);
        let mode = factor.solve(&mut b, right, None);
        let mode = b.map(StopGradient, &[mode]);
        let mut at_mode = self.copy(&parameters);
        for (variable, value) in self.centred.variables.iter().zip(self.split(&mut b, mode)) {
            at_mode.replace(variable.id, value);
        }
        let logp = at_mode.of(&mut b, self.centred.logp);
        let determinant = factor.log_determinant(&mut b);
        let half = b.mul_number(0.5, determinant);
        let half = b.add_number(-0.5 * self.dim() as f64 * TAU.ln(), half);
        let logp = b.reshape(logp, &[]);
        let logp = b.sub(logp, half);
        (b, logp)
    }

    /// A graph of outputs of the model, of variables that were integrated out, and of [`LOG_CONDITIONAL`], by name. Its
    /// positions are those of the model as it is written, with standard normal numbers for the variables.
    pub fn outputs(&self, bound: &Bound, names: &[String]) -> (Builder, Vec<Option<Id>>) {
        let mut b = self.centred.builder.sibling();
        let others = self.others.iter();
        let parameters: Vec<Id> = others.map(|(_, p, _)| node(&mut b, p)).collect();
        let noise: Vec<Id> = self
            .centred
            .variables
            .iter()
            .map(|variable| {
                let shape = self.centred.builder.shape(variable.id).to_vec();
                let id = b.parameter(variable.name.as_str().into(), variable.offset, shape);
                b.reshape(id, &[variable.size])
            })
            .collect();
        let noise = b.concat(&noise, 0);
        let (factor, right) = self.factor(&mut b, &parameters);
        let draw = factor.solve(&mut b, right, Some(noise));
        let differences = self.split(&mut b, draw);
        let mut centred = self.copy(&parameters);
        for (variable, &v) in self.centred.variables.iter().zip(&differences) {
            centred.replace(variable.id, v);
        }
        let mut written = Copy::new(&bound.builder);
        let mut drawn = vec![];
        for (k, variable) in self.centred.variables.iter().enumerate() {
            let mut u = differences[k];
            if let Some(mean) = self.centred.means[k] {
                let mean = centred.of(&mut b, mean);
                u = b.add(mean, u);
            }
            let shape = self.centred.builder.shape(variable.id);
            u = b.reshape(u, shape);
            drawn.push((variable.name.clone(), u));
        }
        for (index, found) in bound.builder.nodes().iter().enumerate() {
            let Op::Parameter { name, .. } = &found.op else {
                continue;
            };
            if let Some((_, u)) = drawn.iter().find(|(other, _)| **other == **name) {
                written.replace(Id(index as u32), *u);
            }
        }
        let mut conditional = None;
        let roots = names
            .iter()
            .map(|name| {
                if name == LOG_CONDITIONAL {
                    let value = *conditional
                        .get_or_insert_with(|| self.log_conditional(&mut b, &factor, noise));
                    return Some(value);
                }
                if let Some((_, u)) = drawn.iter().find(|(other, _)| other == name) {
                    return Some(*u);
                }
                let output = bound.outputs.iter().find(|(other, _)| other == name)?;
                Some(written.of(&mut b, output.1))
            })
            .collect();
        (b, roots)
    }

    fn log_conditional(&self, b: &mut Builder, factor: &Factor, noise: Id) -> Id {
        let determinant = factor.log_determinant(b);
        let squares = b.map(Sqr, &[noise]);
        let squares = b.reduce(crate::bound::Reduction::Sum, squares, &[0]);
        let twice = b.sub(determinant, squares);
        let half = b.mul_number(0.5, twice);
        b.add_number(-0.5 * self.dim() as f64 * TAU.ln(), half)
    }

    /// The factorised curvature, and the derivatives by the variables where they are zero.
    fn factor(&self, b: &mut Builder, parameters: &[Id]) -> (Factor<'_>, Id) {
        let mut copy = self.copy(parameters);
        for variable in &self.centred.variables {
            let shape = self.centred.builder.shape(variable.id).to_vec();
            let zeros = b.constant(Tensor::new(shape, &vec![0.0; variable.size]));
            copy.replace(variable.id, zeros);
        }
        let right = copy.of(b, self.gradient);
        (Factor::new(b, &self.order, &self.parts, &mut copy), right)
    }

    fn copy(&self, parameters: &[Id]) -> Copy<'_> {
        let mut copy = Copy::new(&self.centred.builder);
        for ((id, ..), &parameter) in self.others.iter().zip(parameters) {
            copy.replace(*id, parameter);
        }
        copy
    }

    /// The variables of which a vector holds the elements, in their shapes.
    fn split(&self, b: &mut Builder, vector: Id) -> Vec<Id> {
        let parts = self.centred.variables.iter().map(|variable| {
            let shape = self.centred.builder.shape(variable.id).to_vec();
            b.part(vector, variable.first, shape, crate::graph::DType::Float64)
        });
        parts.collect()
    }

    /// Shape of what [`Marginal::outputs`] gives beyond the model's own outputs, by name.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        if name == LOG_CONDITIONAL {
            return Some(vec![]);
        }
        let variable = self
            .variables()
            .iter()
            .find(|variable| variable.name == name)?;
        Some(self.centred.builder.shape(variable.id).to_vec())
    }
}

#[cfg(test)]
mod tests;

//! Degrees: which of a log density's variables it is a polynomial of degree 2 in, all taken together.
//!
//! A node is constant in the variables, affine or quadratic; whatever else an op would make of them excludes those that
//! it would make it of. Of two variables that are multiplied in an affine form, as the scale and the effects of
//! `tau * z`, the one with more elements stays.

use super::Variable;
use crate::bound::{Builder, Id, Op, Reduction, Routine, Running};
use crate::scalar::ScalarFn::{self, Add, Check, Div, Mul, Neg, Sqr, Sub, ToFloat64, Where};
use std::collections::BTreeSet;

/// Degree of every node in the variables that are left; 0 beyond the root and for what it does not need.
pub struct Degrees(Vec<u8>);

impl Degrees {
    /// The degree of a node.
    pub fn of(&self, id: Id) -> u8 {
        self.0.get(id.index()).copied().unwrap_or(0)
    }
}

/// What keeps a node from having a degree of at most 2.
enum Obstacle {
    /// These inputs may not depend on the variables, for this reason.
    Depends(Vec<Id>, String),
    /// A product with this input, which is quadratic already.
    Product(Id),
}

/// Excludes variables, which are numbered, until the log density is quadratic in the others together; each that is
/// excluded gets the reason.
pub fn exclude(
    b: &Builder,
    logp: Id,
    variables: &[Variable],
    excluded: &mut [Option<String>],
) -> Degrees {
    let nodes = exact(b, logp);
    loop {
        let mut degrees = Degrees(vec![0; logp.index() + 1]);
        let mut obstacles = vec![];
        for &id in &nodes {
            let parameter = variables.iter().position(|variable| variable.id == id);
            let degree = match parameter {
                Some(k) => Ok(u8::from(excluded[k].is_none())),
                None => degree(b, id, &degrees),
            };
            degrees.0[id.index()] = degree.unwrap_or_else(|obstacle| {
                obstacles.push(obstacle);
                0
            });
        }
        if obstacles.is_empty() {
            return degrees;
        }
        // A factor of what is excluded anyway may stay.
        let is_product = |obstacle: &Obstacle| matches!(obstacle, Obstacle::Product(_));
        let (products, others): (Vec<_>, Vec<_>) = obstacles.into_iter().partition(is_product);
        for obstacle in if others.is_empty() { products } else { others } {
            give_up(b, &degrees, obstacle, variables, excluded);
        }
    }
}

/// The nodes that a root needs in real numbers: errors of rounding, which are functions of the variables too, are none.
fn exact(b: &Builder, root: Id) -> Vec<Id> {
    let (mut open, mut found) = (vec![root], BTreeSet::new());
    while let Some(id) = open.pop() {
        if found.insert(id) && b.node(id).op != Op::Map(ScalarFn::Rounding) {
            open.extend(&b.node(id).inputs);
        }
    }
    found.into_iter().collect()
}

fn degree(b: &Builder, id: Id, degrees: &Degrees) -> Result<u8, Obstacle> {
    let node = b.node(id);
    let inputs = &node.inputs;
    let of = |k: usize| degrees.of(inputs[k]);
    let most = inputs.iter().map(|&id| degrees.of(id)).max().unwrap_or(0);
    if most == 0 || node.op == Op::Map(ScalarFn::Rounding) {
        return Ok(0);
    }
    let product = |x: usize, y: usize| match of(x) + of(y) {
        sum @ ..=2 => Ok(sum),
        _ => Err(Obstacle::Product(inputs[if of(x) == 2 { x } else { y }])),
    };
    // Linear in some inputs for fixed others.
    let linear = |fixed: &[usize], what: &str| {
        let depend = fixed.iter().copied().filter(|&k| of(k) > 0);
        let depend: Vec<Id> = depend.map(|k| inputs[k]).collect();
        match depend.is_empty() {
            true => Ok(most),
            false => Err(Obstacle::Depends(depend, what.into())),
        }
    };
    let nonlinear = |what: String| {
        let depend = inputs.iter().copied().filter(|&id| degrees.of(id) > 0);
        Err(Obstacle::Depends(depend.collect(), what))
    };
    match &node.op {
        Op::Map(Add | Sub | Neg | ToFloat64) => Ok(most),
        Op::Map(Mul | ScalarFn::Scale) | Op::Dot | Op::MatMul { .. } => product(0, 1),
        Op::Map(Sqr) => product(0, 0),
        Op::Map(Div | ScalarFn::Quotient) => linear(&[1], "it is divided by"),
        Op::Map(Where) => linear(&[0], "a condition depends on it"),
        Op::Map(Check) => linear(&[1], "a condition depends on it"),
        Op::Reshape
        | Op::View { .. }
        | Op::Gather(_)
        | Op::ScatterAdd(_)
        | Op::Concat { .. }
        | Op::Reduce(Reduction::Sum, _)
        | Op::Run(Running::Sum, _) => Ok(most),
        Op::Linalg(op) => match op.routine {
            Routine::SolveTriangular(_) => linear(&[0], "it is in a matrix that is inverted"),
            Routine::CholeskySolve | Routine::LuSolve { .. } => {
                linear(&[0, 1], "it is in a matrix that is inverted")
            }
            routine => nonlinear(format!("the log density holds {routine:?} of it")),
        },
        Op::Map(function) => nonlinear(format!("the log density holds `{function}` of it")),
        Op::Reduce(..) | Op::Run(..) => nonlinear("the log density is not quadratic in it".into()),
        Op::Loop(_) | Op::LoopGradient(_) => nonlinear("it is used in a loop (Scan)".into()),
        Op::Foreign(call) => nonlinear(format!("`{}` takes it", call.function.name())),
        Op::Lookup(_) | Op::Convolve(..) => {
            nonlinear("it is looked up, sorted or convolved".into())
        }
        Op::Parameter { .. } | Op::Constant(_) => Ok(0),
    }
}

/// Excludes the variables that an obstacle is made of.
fn give_up(
    b: &Builder,
    degrees: &Degrees,
    obstacle: Obstacle,
    variables: &[Variable],
    excluded: &mut [Option<String>],
) {
    match obstacle {
        Obstacle::Depends(inputs, reason) => {
            for k in support(b, degrees, &inputs, variables) {
                excluded[k].get_or_insert_with(|| reason.clone());
            }
        }
        Obstacle::Product(factor) => {
            let [x, y] =
                factors(b, degrees, factor).map(|factor| support(b, degrees, &[factor], variables));
            // What was excluded just now may have resolved this, or else the next look at the graph finds it.
            if x.iter().chain(&y).any(|&k| excluded[k].is_some()) {
                return;
            }
            let elements =
                |set: &BTreeSet<usize>| -> usize { set.iter().map(|&k| variables[k].size).sum() };
            let (less, more) = if elements(&x) < elements(&y) {
                (x, y)
            } else {
                (y, x)
            };
            let by: Vec<String> = more
                .iter()
                .map(|&k| format!("{:?}", variables[k].name))
                .collect();
            for k in less {
                let reason = match more.contains(&k) {
                    true => "powers of it above the second are in the log density".into(),
                    false => format!("it is a factor of {}", by.join(", ")),
                };
                excluded[k].get_or_insert(reason);
            }
        }
    }
}

/// Two affine factors whose product a quadratic node is made of.
fn factors(b: &Builder, degrees: &Degrees, mut id: Id) -> [Id; 2] {
    loop {
        let inputs = &b.node(id).inputs;
        match inputs.iter().find(|&&input| degrees.of(input) == 2) {
            Some(&input) => id = input,
            None => {
                let mut affine = inputs.iter().filter(|&&input| degrees.of(input) == 1);
                let first = affine.next().copied().unwrap_or(id);
                return [first, affine.next().copied().unwrap_or(first)];
            }
        }
    }
}

/// The variables that some nodes depend on.
pub fn support(
    b: &Builder,
    degrees: &Degrees,
    roots: &[Id],
    variables: &[Variable],
) -> BTreeSet<usize> {
    let (mut open, mut seen, mut found) = (roots.to_vec(), BTreeSet::new(), BTreeSet::new());
    while let Some(id) = open.pop() {
        if degrees.of(id) > 0 && seen.insert(id) {
            found.extend(variables.iter().position(|variable| variable.id == id));
            open.extend(&b.node(id).inputs);
        }
    }
    found
}

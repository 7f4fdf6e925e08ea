//! Loops that carry the logarithm of a sum of exponentials, as the forward algorithm of hidden Markov models does: the
//! logarithm leaves the way from step to step.
//!
//! A step makes of a state f, with c, d that do not depend on it,
//!
//! f'_j = d_j + m_j + log S_j, where S_j = sum_i exp(f_i + c_ij - m_j) and m_j = max_i (f_i + c_ij),
//!
//! so each one waits for a logarithm and an exponential. Of any m the value is the same. With f = g + log s,
//!
//! S_j = sum_i s_i exp(g_i + c_ij - m_j) and m_j = max_i (g_i + c_ij):
//!
//! g' = d + m and s' = S are carried, and f = g + log s is left to a pass over all steps. All s are at least 1, since a
//! term is where its m is: as in the original, no sum loses all its terms, and those that vanish beside it are below
//! 2^-1000 of it. An s above 2^64 hands on a factor 2^64 to its g; that is rare, and foreseen by the processor, so that a
//! step's g is known long before its s.

use crate::bind::index::offsets_of;
use crate::bound::loops::{Input, Loop, Source, Trace, body_program};
use crate::bound::{Builder, Id, Node, Op, Reduction};
use crate::kernels::machine::Step;
use crate::scalar::ScalarFn;
use crate::tensor::Table;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// The name of the rule.
pub const RULE: &str = "a loop carries a sum in place of its logarithm";

/// What s hands on to g when it is larger.
const LARGE: f64 = 18_446_744_073_709_551_616.0; // 2^64

/// The logarithm of [`LARGE`].
const LOG_LARGE: f64 = 64.0 * std::f64::consts::LN_2;

/// A loop with such states carried as pairs.
pub struct Scaled {
    /// The loop.
    pub of: Loop,
    /// Its inputs behind those of the original: rows of so many ones.
    pub ones: Vec<usize>,
    /// For each trace of the original, where it begins in the loop's value, or where g and s begin.
    pub places: Vec<(usize, Option<usize>)>,
}

/// A loop of so many inputs with such states carried as pairs, if it has any, its steps are a few scalars and nothing
/// else in it reads them.
pub fn apply(l: &Loop, inputs: usize) -> Option<Scaled> {
    let is_scalar = matches!(l.program.steps[..], [Step::Region { size: 1, .. }]);
    if !l.builder.simplifies() || !is_scalar {
        return None;
    }
    let states: Vec<Option<State>> = (0..l.traces.len()).map(|t| State::find(l, t)).collect();
    if states.iter().all(Option::is_none) {
        return None;
    }
    let mut copy = Copy::new(l);
    let (mut traces, mut results, mut ones, mut places) = (vec![], vec![], vec![], vec![]);
    let mut start = 0;
    let mut moved = vec![]; // the number of each trace
    for (state, &trace) in states.iter().zip(&l.traces) {
        let mut add = |initial: Option<usize>| {
            traces.push(Trace {
                initial,
                start,
                ..trace
            });
            start += l.steps * trace.size;
            start - l.steps * trace.size
        };
        let place = add(trace.initial);
        let scale = state.as_ref().map(|_| {
            ones.push(trace.size);
            add(Some(inputs + ones.len() - 1))
        });
        places.push((place, scale));
        moved.push(traces.len() - 1 - usize::from(scale.is_some()));
    }
    for input in &mut copy.inputs {
        if let Source::Earlier { trace, .. } = &mut input.source {
            *trace = moved[*trace];
        }
    }
    for state in states.iter().flatten() {
        copy.read_scale(state, moved[state.trace] + 1);
    }
    for (state, &result) in states.iter().zip(&l.results) {
        match state {
            Some(state) => results.extend(copy.step(state)),
            None => results.push(copy.of(result)),
        }
    }
    let Copy { b, inputs, .. } = copy;
    let program = body_program(&b, &results);
    let of = Loop {
        steps: l.steps,
        builder: b,
        inputs,
        results,
        traces,
        program,
        code: OnceLock::new(),
    };
    Some(Scaled { of, ones, places })
}

/// A state of that form; nodes are those of the body.
struct State {
    trace: usize,
    /// f.
    parameter: Id,
    /// Which element of f each exponential has.
    elements: Vec<u32>,
    /// The exponentials.
    exp: Id,
    /// S.
    sum: Id,
    /// What f' is a sum of, apart from log S.
    rest: Vec<Id>,
}

impl State {
    fn find(l: &Loop, trace: usize) -> Option<State> {
        let body = &l.builder;
        let reads =
            |input: &&Input| matches!(input.source, Source::Earlier { trace: t, .. } if t == trace);
        let mut readers = l.inputs.iter().filter(reads);
        let (input, None) = (readers.next()?, readers.next()) else {
            return None;
        };
        let is_last = matches!(input.source, Source::Earlier { lag: 1, .. });
        let found = l.traces[trace];
        if !is_last || found.lead != 1 || found.initial.is_none() {
            return None;
        }
        let (f, result) = (input.id, l.results[trace]);
        let mut others = l
            .results
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != trace);
        if others.any(|(_, &other)| body.reachable(&[other]).contains(&f)) {
            return None;
        }
        let mut behind = HashSet::from([f]);
        for id in body.reachable(&[result]) {
            if body.node(id).inputs.iter().any(|i| behind.contains(i)) {
                behind.insert(id);
            }
        }
        // f' = m + log S + what does not depend on f.
        let mut terms = vec![];
        add_terms(body, result, &mut terms);
        let is_log = |id: &Id| behind.contains(id) && body.node(*id).op == Op::Map(ScalarFn::Log);
        let log = terms.iter().position(is_log)?;
        let log = terms.remove(log);
        let mut others = terms.iter().filter(|id| behind.contains(id));
        let (&shift, None) = (others.next()?, others.next()) else {
            return None;
        };
        // S = sum of exp(x - m).
        let sum = same(body, body.node(log).inputs[0])?;
        let Op::Reduce(Reduction::Sum, sizes @ [outer, length, inner]) = body.node(sum).op else {
            return None;
        };
        let exp = same(body, body.node(sum).inputs[0])?;
        let difference = same(body, argument(body.node(exp), ScalarFn::Exp)?)?;
        let Op::Map(ScalarFn::Sub) = body.node(difference).op else {
            return None;
        };
        let inputs = &body.node(difference).inputs;
        let size = outer * length * inner;
        let x = same(body, inputs[0])?;
        let (m, places) = traced(body, inputs[1], size);
        let place = |p: usize| p / (length * inner) * inner + p % inner;
        let is_own = body.size(m) == outer * inner && (0..size).all(|p| places[p] == place(p));
        if !is_own || body.size(x) != size || same(body, shift)? != m {
            return None;
        }
        // m = max x, or 0 where that is infinite.
        let mut largest = m;
        if let Op::Map(ScalarFn::Where) = body.node(m).op {
            let inputs = &body.node(m).inputs;
            largest = same(body, inputs[2])?;
            let tested = argument(body.node(same(body, inputs[0])?), ScalarFn::IsInf)?;
            if same(body, tested)? != largest || body.uniform_value(inputs[1]) != Some(0.0) {
                return None;
            }
        }
        if let Some(stopped) = argument(body.node(largest), ScalarFn::StopGradient) {
            largest = same(body, stopped)?;
        }
        let is_max = body.node(largest).op == Op::Reduce(Reduction::Max, sizes);
        if !is_max || same(body, body.node(largest).inputs[0])? != x {
            return None;
        }
        let elements = elements(body, f, &behind, x)?;
        Some(State {
            trace,
            parameter: f,
            elements: elements.into_iter().map(|p| p as u32).collect(),
            exp,
            sum,
            rest: terms,
        })
    }
}

/// What a node is a sum of.
fn add_terms(body: &Builder, id: Id, terms: &mut Vec<Id>) {
    let node = body.node(id);
    let is_whole = |input: &Id| body.size(*input) == node.size();
    match node.op {
        Op::Map(ScalarFn::Add) if node.inputs.iter().all(is_whole) => {
            node.inputs
                .iter()
                .for_each(|&id| add_terms(body, id, terms));
        }
        _ => terms.push(id),
    }
}

/// The input of a function of one.
fn argument(node: &Node, function: ScalarFn) -> Option<Id> {
    (node.op == Op::Map(function)).then(|| node.inputs[0])
}

/// The node that a node of `size` elements, or one for all of them, takes its elements from, and which they are.
fn traced(body: &Builder, mut id: Id, size: usize) -> (Id, Vec<usize>) {
    let is_spread = body.size(id) == 1;
    let mut places: Vec<usize> = (0..size).map(|p| if is_spread { 0 } else { p }).collect();
    loop {
        let node = body.node(id);
        match &node.op {
            Op::Reshape => {}
            Op::View { offset, strides } => {
                let offsets = offsets_of(&node.shape, strides);
                places = places
                    .iter()
                    .map(|&p| (*offset as isize + offsets[p]) as usize)
                    .collect();
            }
            Op::Gather(table) => places = places.iter().map(|&p| table[p] as usize).collect(),
            _ => return (id, places),
        }
        id = node.inputs[0];
    }
}

/// The node whose elements these are, all of them in their order.
fn same(body: &Builder, id: Id) -> Option<Id> {
    let (source, places) = traced(body, id, body.size(id));
    let in_order = places.iter().enumerate().all(|(p, &place)| p == place);
    (in_order && body.size(source) == places.len()).then_some(source)
}

/// Of x = f + c, element by element, which elements of f these are.
fn elements(body: &Builder, f: Id, behind: &HashSet<Id>, x: Id) -> Option<Vec<usize>> {
    let mut at: Vec<usize> = (0..body.size(x)).collect();
    let mut id = x;
    loop {
        let (source, places) = traced(body, id, body.size(id));
        at = at.iter().map(|&p| places[p]).collect();
        if source == f {
            return Some(at);
        }
        let node = body.node(source);
        let depends: Vec<Id> = node
            .inputs
            .iter()
            .copied()
            .filter(|i| behind.contains(i))
            .collect();
        let next = match (&node.op, &depends[..]) {
            (Op::Map(ScalarFn::Add), &[next]) => next,
            (Op::Map(ScalarFn::Sub), &[next]) if node.inputs[0] == next => next,
            _ => return None,
        };
        if body.size(next) == 1 {
            at.fill(0);
        }
        id = next;
    }
}

/// A body that is written anew, with g in the place of f.
struct Copy<'a> {
    body: &'a Builder,
    b: Builder,
    inputs: Vec<Input>,
    made: HashMap<Id, Id>,
    /// By exponentials: the factor of each.
    factors: HashMap<Id, Id>,
}

impl Copy<'_> {
    /// The parameters alone.
    fn new(l: &Loop) -> Copy<'_> {
        let mut b = l.builder.sibling();
        let mut made = HashMap::new();
        let mut inputs = l.inputs.clone();
        for input in &mut inputs {
            let node = l.builder.node(input.id);
            let id = b.push(node.op.clone(), vec![], node.shape.clone(), node.dtype);
            made.insert(input.id, id);
            input.id = id;
        }
        Copy {
            body: &l.builder,
            b,
            inputs,
            made,
            factors: HashMap::new(),
        }
    }

    /// Adds the s of a state, which a trace holds, as an input.
    fn read_scale(&mut self, state: &State, trace: usize) {
        let offset = self.inputs.len();
        let name = format!("input {offset}").as_str().into();
        let node = self.body.node(state.parameter);
        let op = Op::Parameter { name, offset };
        let id = self.b.push(op, vec![], node.shape.clone(), node.dtype);
        self.inputs.push(Input {
            id,
            source: Source::Earlier { trace, lag: 1 },
            size: node.size(),
        });
        let table = Arc::new(Table::new(state.elements.clone()));
        let shape = self.body.shape(state.exp).to_vec();
        let factor = self.b.gather(id, table, shape);
        self.factors.insert(state.exp, factor);
    }

    /// A node, with all that it needs.
    fn of(&mut self, id: Id) -> Id {
        for id in self.body.reachable(&[id]) {
            if self.made.contains_key(&id) {
                continue;
            }
            let node = self.body.node(id);
            let inputs = node.inputs.iter().map(|input| self.made[input]).collect();
            let (op, shape) = (node.op.clone(), node.shape.clone());
            let mut made = self.b.push(op, inputs, shape, node.dtype);
            if let Some(&factor) = self.factors.get(&id) {
                made = self.b.mul(factor, made);
            }
            self.made.insert(id, made);
        }
        self.made[&id]
    }

    /// g' and s'.
    fn step(&mut self, state: &State) -> [Id; 2] {
        let shape = self.body.shape(state.parameter).to_vec();
        let sum = self.of(state.sum);
        let sum = self.b.reshape(sum, &shape);
        let terms: Vec<Id> = state.rest.iter().map(|&id| self.of(id)).collect();
        let b = &mut self.b;
        let terms: Vec<Id> = terms.iter().map(|&id| b.reshape(id, &shape)).collect();
        let rest = terms[1..].iter().fold(terms[0], |x, &y| b.add(x, y));

        let [zero, one, large, log_large] = [0.0, 1.0, LARGE, LOG_LARGE].map(|x| b.number(x));
        let [infinity, least] = [f64::INFINITY, f64::NEG_INFINITY].map(|x| b.number(x));
        let positive = b.map(ScalarFn::Gt, &[sum, zero]);
        let small = b.map(ScalarFn::Le, &[sum, large]);
        let usual = b.map(ScalarFn::And, &[positive, small]);
        // The logarithms of 0, infinity and NaN are handed on whole.
        let finite = b.map(ScalarFn::Lt, &[sum, infinity]);
        let is_large = b.map(ScalarFn::And, &[positive, finite]);
        let is_zero = b.map(ScalarFn::Eq, &[sum, zero]);
        let whole = b.select(is_zero, least, sum);
        let handed_on = b.select(is_large, log_large, whole);
        let smaller = b.mul_number(1.0 / LARGE, sum);
        let smaller = b.select(is_large, smaller, one);
        let more = b.add(rest, handed_on);
        // The next step's exponentials wait for g alone, and that for no sum but where one is handed on.
        let g = b.map(ScalarFn::Usually, &[usual, rest, more]);
        let s = b.map(ScalarFn::Usually, &[usual, sum, smaller]);
        [g, s].map(|id| b.reshape(id, &shape))
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;

//! Groups nodes into regions and orders them.
//!
//! A region is a pass over arrays of one size. Its members are computed block by block: elementwise functions,
//! gathers, a constant matrix times a vector. Its ends consume blocks: sums, scatters, a vector times that
//! matrix. A node's stage is one more than the stage of what it needs whole, and that of what it can take block
//! by block; nodes of one size and stage form a region, which makes cycles impossible.

use super::storage;
use crate::bound::{Builder, Id, Node, Op, Reduction};
use crate::kernels::native;
use std::collections::{BTreeMap, HashMap, HashSet};

/// How a node is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// A parameter or a constant.
    Leaf,
    /// The same storage as another node.
    Alias,
    /// Produces blocks of arrays of this size.
    Member(usize),
    /// Consumes blocks of arrays of this size.
    End(usize),
    /// Works on whole arrays.
    Whole,
}

/// One step of the schedule.
#[derive(Debug)]
pub enum Group {
    /// Members and ends over arrays of one size.
    Region(usize, Vec<Id>),
    /// A node on whole arrays.
    Whole(Id),
}

/// Order of the groups of one stage.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Whole(Id),
    Region(usize),
}

/// What the schedule decides.
pub struct Schedule {
    /// In order of execution.
    pub groups: Vec<Group>,
    /// Nodes whose value is read outside its region, or is a result.
    pub stored: HashSet<Id>,
}

/// The product that a region can do by blocks of rows: (matrix, vector, whether the matrix is transposed).
pub fn rows_product(builder: &Builder, id: Id) -> Option<(Id, Id, bool)> {
    let node = builder.node(id);
    let Op::MatMul {
        sizes: [1, m, k, n],
        transposed,
    } = node.op
    else {
        return None;
    };
    let constant = |id: Id| builder.constant_value(id).is_some();
    let [a, b] = [node.inputs[0], node.inputs[1]];
    match (n, m) {
        _ if n == 1 && constant(a) && m * k > 1 => Some((a, b, transposed[0])),
        // v' X is X' v.
        _ if m == 1 && constant(b) && n * k > 1 => Some((b, a, !transposed[1])),
        _ => None,
    }
}

/// How a node is computed.
fn role(builder: &Builder, id: Id) -> Role {
    let node = builder.node(id);
    match &node.op {
        Op::Parameter { .. } | Op::Constant(_) => Role::Leaf,
        _ if storage(builder, id).0 != id => Role::Alias,
        Op::Map(_) | Op::Gather(_) => Role::Member(node.size()),
        Op::View { .. } if node.size() == 1 => Role::Member(1),
        Op::Reduce(Reduction::Sum, [1, length, 1]) if *length > 1 => Role::End(*length),
        Op::Dot => Role::End(builder.size(node.inputs[0])),
        Op::ScatterAdd(table) if table.len() > 1 && builder.size(node.inputs[0]) == table.len() => {
            Role::End(table.len())
        }
        Op::MatMul { .. } => match rows_product(builder, id) {
            Some((_, _, false)) => Role::Member(node.size()),
            Some((_, vector, true)) => Role::End(builder.size(vector)),
            None => Role::Whole,
        },
        _ => Role::Whole,
    }
}

/// The inputs that a node's step reads as they are; a matrix in blocks of rows is packed into the step.
pub fn operands(builder: &Builder, id: Id) -> Vec<Id> {
    match rows_product(builder, id) {
        Some((_, vector, _)) => vec![vector],
        None => builder.node(id).inputs.clone(),
    }
}

/// What a node reads: (node that stores it, whether block by block).
fn reads(builder: &Builder, id: Id) -> Vec<(Id, bool)> {
    // The size of the arrays that the node takes block by block; gathers and products need theirs whole.
    let streamed = match (role(builder, id), &builder.node(id).op) {
        (Role::Member(size), Op::Map(_)) | (Role::End(size), _) => Some(size),
        _ => None,
    };
    let read = |input: Id| {
        let source = storage(builder, input).0;
        // Of equal sizes the alias is the whole.
        let streams =
            streamed == Some(builder.size(source)) && streamed == Some(builder.size(input));
        (source, streams)
    };
    operands(builder, id).into_iter().map(read).collect()
}

/// Orders the nodes that `roots` need.
pub fn schedule(builder: &Builder, roots: &[Id]) -> Schedule {
    let ids: Vec<Id> = builder
        .reachable(roots)
        .into_iter()
        .filter(|&id| !matches!(role(builder, id), Role::Alias))
        .collect();
    let roles: HashMap<Id, Role> = ids.iter().map(|&id| (id, role(builder, id))).collect();
    let reads: HashMap<Id, Vec<(Id, bool)>> =
        ids.iter().map(|&id| (id, reads(builder, id))).collect();
    // Whether `reader` takes blocks of `source` as they are made.
    let fuses = |source: Id, reader: Id, streams: bool| match (roles[&source], roles[&reader]) {
        (Role::Member(m), Role::Member(n) | Role::End(n)) => streams && m == n,
        _ => false,
    };
    let mut stages: HashMap<Id, usize> = HashMap::new();
    for &id in &ids {
        let needs = reads[&id]
            .iter()
            .map(|&(source, streams)| stages[&source] + usize::from(!fuses(source, id, streams)));
        stages.insert(id, needs.max().unwrap_or(0));
    }
    // A member that nobody needs yet waits for its first reader, so that both share a pass.
    let mut latest: HashMap<Id, usize> = HashMap::new();
    for &id in ids.iter().rev() {
        if matches!(roles[&id], Role::Member(_))
            && let Some(&stage) = latest.get(&id)
        {
            stages.insert(id, stage);
        }
        for &(source, streams) in &reads[&id] {
            let bound = stages[&id] - usize::from(!fuses(source, id, streams));
            let entry = latest.entry(source).or_insert(bound);
            *entry = bound.min(*entry);
        }
    }
    let mut groups: BTreeMap<(usize, Key), Group> = BTreeMap::new();
    for &id in &ids {
        let stage = stages[&id];
        match roles[&id] {
            Role::Member(size) | Role::End(size) => {
                let group = groups
                    .entry((stage, Key::Region(size)))
                    .or_insert_with(|| Group::Region(size, vec![]));
                if let Group::Region(_, members) = group {
                    members.push(id);
                }
            }
            Role::Whole => {
                groups.insert((stage, Key::Whole(id)), Group::Whole(id));
            }
            Role::Leaf | Role::Alias => {}
        }
    }
    let mut stored: HashSet<Id> = roots.iter().map(|&root| storage(builder, root).0).collect();
    for &id in &ids {
        if !matches!(roles[&id], Role::Member(_)) {
            stored.insert(id);
        }
        for &(source, streams) in &reads[&id] {
            if !(fuses(source, id, streams) && stages[&source] == stages[&id]) {
                stored.insert(source);
            }
        }
    }
    let mut groups: Vec<Group> = groups.into_values().collect();
    for group in &mut groups {
        if let Group::Region(_, ids) = group {
            let in_turns = clustered(ids, |id| compiles(builder, id), |id| &reads[&id]);
            *ids = paired(&in_turns, |a, b| is_pair(builder, a, b));
        }
    }
    Schedule { groups, stored }
}

/// Whether the node's instruction can be part of compiled code.
fn compiles(builder: &Builder, id: Id) -> bool {
    match &builder.node(id).op {
        Op::Map(function) => native::compiles(*function, builder.size(id)),
        Op::Reduce(..) | Op::Dot => true,
        Op::Gather(_) | Op::View { .. } => builder.size(id) == 1,
        _ => false,
    }
}

/// Whether one kernel computes both nodes.
fn is_pair(builder: &Builder, a: Id, b: Id) -> bool {
    match [a, b].map(|id| builder.node(id)) {
        [
            Node {
                op: Op::Map(f),
                inputs: x,
                ..
            },
            Node {
                op: Op::Map(g),
                inputs: y,
                ..
            },
        ] => x == y && f.paired_with(*g).is_some() && !compiles(builder, a),
        _ => false,
    }
}

/// The nodes of a region with those that one kernel computes next to each other.
fn paired(ids: &[Id], is_pair: impl Fn(Id, Id) -> bool) -> Vec<Id> {
    let mut ordered = Vec::with_capacity(ids.len());
    let mut done = HashSet::new();
    for (k, &id) in ids.iter().enumerate() {
        if done.insert(id) {
            ordered.push(id);
            let mut others = ids[k + 1..].iter();
            if let Some(&other) = others.find(|&&other| is_pair(id, other)) {
                // It reads nothing else, and may come earlier.
                done.insert(other);
                ordered.push(other);
            }
        }
    }
    ordered
}

/// The nodes of a region in an order in which those that can be compiled stand together: as many as can be, then as many
/// of the others, and so on.
fn clustered<'a>(
    ids: &[Id],
    compiles: impl Fn(Id) -> bool,
    reads: impl Fn(Id) -> &'a Vec<(Id, bool)>,
) -> Vec<Id> {
    let members: HashSet<Id> = ids.iter().copied().collect();
    // The turn in which a node is done: turns of kernels are even, those of compiled code odd.
    let mut turns: HashMap<Id, usize> = HashMap::new();
    for &id in ids {
        let before = reads(id)
            .iter()
            .filter(|(source, _)| members.contains(source));
        let before = before.map(|(source, _)| turns[source]).max().unwrap_or(0);
        turns.insert(id, before + usize::from((before % 2 == 1) != compiles(id)));
    }
    let mut ordered = ids.to_vec();
    ordered.sort_by_key(|id| turns[id]); // stable: inputs stay before their users
    ordered
}

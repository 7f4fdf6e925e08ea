//! Groups nodes into regions and orders them.
//!
//! A region is a pass over arrays of one size. Its members are computed block by block: elementwise functions,
//! gathers, a constant matrix times a vector. Its ends consume blocks: sums, scatters, a vector times that
//! matrix. A node's stage is one more than the stage of what it needs whole, and that of what it can take block
//! by block; nodes of one size and stage form a region, which makes cycles impossible.

use super::storage;
use crate::bound::{Builder, Id, Op, Reduction};
use std::collections::{BTreeMap, HashMap, HashSet};

/// How a node is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
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
pub fn role(builder: &Builder, id: Id) -> Role {
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

/// What a node reads: (node that stores it, whether block by block in regions of this size).
pub fn reads(builder: &Builder, id: Id) -> Vec<(Id, bool)> {
    let node = builder.node(id);
    let source = |input: Id| storage(builder, input);
    let streams = |input: Id, size: usize| {
        // Of equal sizes the alias is the whole.
        builder.size(source(input).0) == size && builder.size(input) == size
    };
    match role(builder, id) {
        Role::Leaf => vec![],
        Role::Member(size) if matches!(node.op, Op::Map(_)) => node
            .inputs
            .iter()
            .map(|&input| (source(input).0, streams(input, size)))
            .collect(),
        Role::Member(_) if matches!(node.op, Op::MatMul { .. }) => {
            let (_, vector, _) =
                rows_product(builder, id).expect("a member product is one by rows");
            vec![(source(vector).0, false)]
        }
        Role::End(size) => {
            let inputs = match rows_product(builder, id) {
                Some((_, vector, _)) => vec![vector],
                None => node.inputs.clone(),
            };
            let streamed = inputs
                .iter()
                .map(|&input| (source(input).0, streams(input, size)));
            streamed.collect()
        }
        _ => node
            .inputs
            .iter()
            .map(|&input| (source(input).0, false))
            .collect(),
    }
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
    let mut regions: BTreeMap<(usize, usize), Vec<Id>> = BTreeMap::new();
    let mut whole: BTreeMap<usize, Vec<Id>> = BTreeMap::new();
    for &id in &ids {
        match roles[&id] {
            Role::Member(size) | Role::End(size) => {
                regions.entry((stages[&id], size)).or_default().push(id)
            }
            Role::Whole => whole.entry(stages[&id]).or_default().push(id),
            Role::Leaf | Role::Alias => {}
        }
    }
    let last = stages.values().copied().max().unwrap_or(0);
    let mut groups = vec![];
    for stage in 0..=last {
        groups.extend(
            whole
                .remove(&stage)
                .unwrap_or_default()
                .into_iter()
                .map(Group::Whole),
        );
        let of_stage: Vec<_> = regions
            .range((stage, 0)..(stage + 1, 0))
            .map(|(key, _)| *key)
            .collect();
        for key in of_stage {
            groups.push(Group::Region(
                key.1,
                regions.remove(&key).expect("the key was listed"),
            ));
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
    Schedule { groups, stored }
}

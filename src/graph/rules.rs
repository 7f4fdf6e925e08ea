//! Type and rank of every op's results, and what its inputs must be.

use super::{DType, Graph, GraphError, IndexEntry, LoopArguments, Node, Op, UniquePart, ensure};
use crate::scalar::ScalarFn;

/// Type and rank of each result of an op that has several; empty for all others.
pub(super) fn results(op: &Op, inputs: &[&Node]) -> Result<Vec<(DType, usize)>, GraphError> {
    ensure!(
        matches!(op, Op::Part { .. }) || inputs.iter().all(|node| node.parts.is_empty()),
        "takes one result of an op that has several, not all of them"
    );
    let real = |ndim: usize| (DType::Float64, ndim);
    match op {
        Op::Loop { body, arguments } => loop_results(body, arguments, inputs),
        Op::Foreign { function, given } => {
            let results = function.results().to_vec();
            let lengths = results.iter().map(|(_, ndim)| ndim).sum();
            let lengths = if *given { lengths } else { 0 };
            ensure!(
                inputs.len() >= lengths
                    && inputs[inputs.len() - lengths..]
                        .iter()
                        .all(|node| node.ndim == 0 && node.dtype != DType::Float64),
                "takes the lengths of its results, integers, after its inputs"
            );
            ensure!(!results.is_empty(), "has no results");
            Ok(results)
        }
        Op::Eigh { .. } => {
            let ndim = matrices(inputs, 1)?;
            Ok(vec![real(ndim - 1), real(ndim)])
        }
        Op::Qr => {
            let ndim = matrices(inputs, 1)?;
            Ok(vec![real(ndim), real(ndim)])
        }
        _ => Ok(vec![]),
    }
}

/// As [`results`], of a loop.
fn loop_results(
    body: &Graph,
    arguments: &LoopArguments,
    inputs: &[&Node],
) -> Result<Vec<(DType, usize)>, GraphError> {
    let LoopArguments {
        sequences,
        lags,
        collected,
        lasts,
    } = arguments;
    ensure!(
        inputs.len() > sequences + lags.len() + lasts
            && inputs[0].dtype == DType::Int64
            && inputs[0].ndim == 0,
        "takes a number of steps, sequences and states"
    );
    let (sequences, rest) = inputs[1..].split_at(*sequences);
    let (states, rest) = rest.split_at(lags.len());
    ensure!(
        sequences.iter().chain(states).all(|node| node.ndim > 0),
        "sequences and states have an axis of steps"
    );
    ensure!(
        lags.iter()
            .all(|lags| !lags.is_empty() && !lags.contains(&0)),
        "a state is read at least one step later"
    );
    let step = |node: &&Node| (node.dtype, node.ndim - 1);
    let whole = |node: &&Node| (node.dtype, node.ndim);
    let at_lags = |(node, lags): (&&Node, &Vec<usize>)| vec![step(node); lags.len()];
    let mut leaves: Vec<(DType, usize)> = sequences.iter().map(step).collect();
    leaves.extend(states.iter().zip(lags).flat_map(at_lags));
    leaves.extend(rest.iter().map(whole));
    let data = |node: &&Node| matches!(node.op, Op::Data { .. });
    let found: Vec<_> = body
        .nodes
        .iter()
        .filter(data)
        .map(|node| whole(&node))
        .collect();
    ensure!(
        found == leaves
            && !body
                .nodes
                .iter()
                .any(|node| matches!(node.op, Op::Parameter { .. })),
        "the body's inputs are not a step of the loop's"
    );
    let results: Vec<_> = body
        .outputs
        .iter()
        .map(|&(_, id)| whole(&&body.nodes[id]))
        .collect();
    let mut wanted: Vec<_> = states.iter().map(step).collect();
    ensure!(
        results.len() == states.len() + collected + lasts,
        "the body has another number of results than the loop"
    );
    wanted.extend(&results[states.len()..states.len() + collected]);
    wanted.extend(rest[..*lasts].iter().map(whole));
    ensure!(results == wanted, "the body's results are not its states");
    let traced = states.len() + collected;
    let rows = |(index, (dtype, ndim)): (usize, (DType, usize))| {
        (dtype, ndim + usize::from(index < traced))
    };
    Ok(results.into_iter().enumerate().map(rows).collect())
}

/// The highest rank of so many stacks of matrices.
fn matrices(inputs: &[&Node], count: usize) -> Result<usize, GraphError> {
    ensure!(
        inputs.len() == count && count > 0,
        "takes {count} inputs, not {}",
        inputs.len()
    );
    ensure!(
        inputs.iter().all(|node| node.ndim >= 2),
        "takes matrices; vectors need an axis more"
    );
    Ok(inputs.iter().map(|node| node.ndim).max().unwrap_or(2))
}

/// Type and rank of an op's result; errors where the inputs do not fit it.
pub(super) fn infer(op: &Op, inputs: &[&Node]) -> Result<(DType, usize), GraphError> {
    let count = |expected: usize| {
        let found = inputs.len();
        if found == expected {
            Ok(())
        } else {
            Err(GraphError(format!("takes {expected} inputs, not {found}")))
        }
    };
    let integers = |nodes: &[&Node]| -> Result<(), GraphError> {
        for node in nodes {
            ensure!(
                node.dtype != DType::Float64,
                "lengths and positions must be integers"
            );
        }
        Ok(())
    };
    let scalars = |nodes: &[&Node]| -> Result<(), GraphError> {
        integers(nodes)?;
        for node in nodes {
            ensure!(node.ndim == 0, "lengths and positions must be scalars");
        }
        Ok(())
    };
    let widest = |nodes: &[&Node]| {
        nodes
            .iter()
            .map(|node| node.dtype)
            .max()
            .unwrap_or(DType::Bool)
    };
    let rank = |nodes: &[&Node]| nodes.iter().map(|node| node.ndim).max().unwrap_or(0);
    let reduced = |axes: &[usize]| -> Result<usize, GraphError> {
        count(1)?;
        let mut seen = axes.to_vec();
        seen.sort_unstable();
        seen.dedup();
        ensure!(seen.len() == axes.len(), "an axis is named twice");
        ensure!(
            axes.iter().all(|&axis| axis < inputs[0].ndim),
            "an axis is out of range"
        );
        Ok(inputs[0].ndim - axes.len())
    };
    let number = |node: &Node| node.dtype.max(DType::Int64);
    Ok(match op {
        Op::Parameter { .. } | Op::Data { .. } | Op::Constant { .. } => {
            return Err(GraphError("leaves are added by their own methods".into()));
        }
        Op::Loop { .. } => return Err(GraphError("computes nothing".into())),
        Op::Foreign { .. } => unreachable!("its results are its parts"),
        Op::Part { index } => {
            count(1)?;
            let parts = &inputs[0].parts;
            *parts.get(*index).ok_or_else(|| {
                GraphError(format!("result {index} of {} is out of range", parts.len()))
            })?
        }
        Op::Map { function } => {
            let arity = function.arity();
            ensure!(
                inputs.len() == arity || (function.folds() && !inputs.is_empty()),
                "takes {arity} inputs, not {}",
                inputs.len()
            );
            let types: Vec<DType> = inputs.iter().map(|node| node.dtype).collect();
            let dtype = match types[..] {
                [dtype] if function.folds() => dtype,
                _ => function.dtype(&types),
            };
            (dtype, rank(inputs))
        }
        Op::Clip => {
            count(3)?;
            (widest(inputs), rank(inputs))
        }
        Op::Cast { dtype } => {
            count(1)?;
            (*dtype, inputs[0].ndim)
        }
        Op::Check { .. } | Op::Assert { .. } => {
            ensure!(!inputs.is_empty(), "takes a value and conditions");
            ensure!(
                inputs[1..].iter().all(|node| node.ndim == 0),
                "conditions must be scalars"
            );
            let dtype = match op {
                Op::Assert { .. } => inputs[0].dtype,
                _ => DType::Float64,
            };
            (dtype, inputs[0].ndim)
        }
        Op::Dimshuffle { order } => {
            count(1)?;
            let mut kept: Vec<i64> = order.iter().copied().filter(|&axis| axis != -1).collect();
            kept.sort_unstable();
            let rank = inputs[0].ndim as i64;
            ensure!(
                kept.iter().all(|axis| (0..rank).contains(axis)),
                "an axis is out of range"
            );
            ensure!(
                kept.windows(2).all(|pair| pair[0] < pair[1]),
                "an axis is named twice"
            );
            (inputs[0].dtype, order.len())
        }
        Op::Reshape { ndim } => {
            count(2)?;
            integers(&inputs[1..])?;
            ensure!(inputs[1].ndim == 1, "the shape must be a vector");
            (inputs[0].dtype, *ndim)
        }
        Op::BroadcastTo => {
            ensure!(!inputs.is_empty(), "takes a value and lengths");
            scalars(&inputs[1..])?;
            ensure!(
                inputs[0].ndim < inputs.len(),
                "the value has more axes than lengths are given"
            );
            (inputs[0].dtype, inputs.len() - 1)
        }
        Op::BroadcastLike => {
            count(2)?;
            (inputs[0].dtype, rank(inputs))
        }
        Op::Shape => {
            count(1)?;
            (DType::Int64, 1)
        }
        Op::ShapeI { axis } => {
            count(1)?;
            ensure!(*axis < inputs[0].ndim, "the axis is out of range");
            (DType::Int64, 0)
        }
        Op::SpecifyShape { given } => {
            count(1 + given.iter().filter(|&&g| g).count())?;
            scalars(&inputs[1..])?;
            ensure!(
                given.len() == inputs[0].ndim,
                "the shape has another rank than the value"
            );
            (inputs[0].dtype, inputs[0].ndim)
        }
        Op::Index { spec } => {
            ensure!(!inputs.is_empty(), "takes a value and the index");
            (
                inputs[0].dtype,
                indexed_rank(inputs[0], spec, &inputs[1..])?,
            )
        }
        Op::SetIndex { spec } | Op::IncIndex { spec } => {
            ensure!(
                inputs.len() >= 2,
                "takes a value, what goes into it, and the index"
            );
            indexed_rank(inputs[0], spec, &inputs[2..])?;
            (widest(&inputs[..2]), inputs[0].ndim)
        }
        Op::Join { axis } => {
            ensure!(!inputs.is_empty(), "joins at least one array");
            ensure!(
                inputs.iter().all(|node| node.ndim == inputs[0].ndim),
                "joined arrays must have one rank"
            );
            ensure!(*axis < inputs[0].ndim, "the axis is out of range");
            (widest(inputs), inputs[0].ndim)
        }
        Op::MakeVector => {
            ensure!(inputs.iter().all(|node| node.ndim == 0), "takes scalars");
            (
                if inputs.is_empty() {
                    DType::Int64
                } else {
                    widest(inputs)
                },
                1,
            )
        }
        Op::Arange => {
            count(3)?;
            ensure!(inputs.iter().all(|node| node.ndim == 0), "takes scalars");
            (widest(inputs).max(DType::Int64), 1)
        }
        Op::Eye | Op::Tri => {
            count(3)?;
            scalars(inputs)?;
            (DType::Float64, 2)
        }
        Op::Nonzero { axis } => {
            count(1)?;
            ensure!(*axis < inputs[0].ndim, "the axis is out of range");
            (DType::Int64, 1)
        }
        Op::ExtractDiag { axis1, axis2, .. } => {
            count(1)?;
            let rank = inputs[0].ndim;
            ensure!(
                axis1 != axis2 && *axis1 < rank && *axis2 < rank,
                "the two axes must differ and exist"
            );
            (inputs[0].dtype, rank - 1)
        }
        Op::Sum { axes } | Op::Prod { axes } => (
            number(
                inputs
                    .first()
                    .ok_or(GraphError("takes 1 input, not 0".into()))?,
            ),
            reduced(axes)?,
        ),
        Op::Max { axes } | Op::Min { axes } => {
            let ndim = reduced(axes)?;
            (inputs[0].dtype, ndim)
        }
        Op::Any { axes } | Op::All { axes } => (DType::Bool, reduced(axes)?),
        Op::Argmax { axes } => (DType::Int64, reduced(axes)?),
        Op::Bitwise { function, axes } => {
            ensure!(
                matches!(
                    function,
                    ScalarFn::BitAnd | ScalarFn::BitOr | ScalarFn::BitXor
                ),
                "`{function}` does not combine bits"
            );
            let ndim = reduced(axes)?;
            integers(inputs)?;
            (DType::Int64, ndim)
        }
        Op::Sort { axis } | Op::Argsort { axis } => {
            count(1)?;
            ensure!(*axis < inputs[0].ndim, "the axis is out of range");
            let dtype = match op {
                Op::Sort { .. } => inputs[0].dtype,
                _ => DType::Int64,
            };
            (dtype, inputs[0].ndim)
        }
        Op::Searchsorted { .. } => {
            count(2)?;
            ensure!(inputs[0].ndim == 1, "searches in a vector");
            (DType::Int64, inputs[1].ndim)
        }
        Op::Unique { axis, part } => {
            count(1)?;
            ensure!(
                axis.is_none_or(|axis| axis < inputs[0].ndim),
                "the axis is out of range"
            );
            match part {
                UniquePart::Values => (inputs[0].dtype, axis.map_or(1, |_| inputs[0].ndim)),
                _ => (DType::Int64, 1),
            }
        }
        Op::Common { axes } => {
            count(1)?;
            ensure!(*axes <= inputs[0].ndim, "an axis is out of range");
            (inputs[0].dtype, inputs[0].ndim - axes)
        }
        Op::IfElse => {
            count(3)?;
            ensure!(inputs[0].ndim == 0, "the condition must be a scalar");
            ensure!(
                (inputs[1].dtype, inputs[1].ndim) == (inputs[2].dtype, inputs[2].ndim),
                "both branches must have one type and rank"
            );
            (inputs[1].dtype, inputs[1].ndim)
        }
        Op::Convolve => {
            count(3)?;
            ensure!(
                inputs[..2].iter().all(|node| node.ndim >= 1),
                "takes vectors"
            );
            ensure!(inputs[2].ndim == 0, "the mode must be a scalar");
            (widest(&inputs[..2]).max(DType::Int64), rank(&inputs[..2]))
        }
        Op::Cumsum { axis } | Op::Cumprod { axis } => {
            count(1)?;
            ensure!(*axis < inputs[0].ndim, "the axis is out of range");
            (number(inputs[0]), inputs[0].ndim)
        }
        Op::Matmul => {
            count(2)?;
            ensure!(
                inputs.iter().all(|node| node.ndim >= 2),
                "takes matrices; vectors need an axis more"
            );
            (widest(inputs).max(DType::Int64), rank(inputs))
        }
        Op::Cholesky { .. } | Op::Inverse => (DType::Float64, matrices(inputs, 1)?),
        Op::Det | Op::LogAbsDet => (DType::Float64, matrices(inputs, 1)? - 2),
        Op::BlockDiagonal => (DType::Float64, matrices(inputs, inputs.len())?),
        Op::SolveTriangular { b_ndim, .. } | Op::Solve { b_ndim, .. } => {
            count(2)?;
            ensure!(
                matches!(b_ndim, 1 | 2) && inputs[0].ndim >= 2 && inputs[1].ndim >= *b_ndim,
                "takes matrices, and vectors or matrices on the right-hand side"
            );
            let lead = (inputs[0].ndim - 2).max(inputs[1].ndim - b_ndim);
            (DType::Float64, lead + b_ndim)
        }
        Op::Eigh { .. } | Op::Qr => unreachable!("ops with several results were typed before"),
        Op::Softmax { axes } | Op::LogSoftmax { axes } => {
            reduced(axes)?;
            (DType::Float64, inputs[0].ndim)
        }
        Op::Logsumexp { axes } => (DType::Float64, reduced(axes)?),
    })
}

/// Rank of `x[index]`.
fn indexed_rank(x: &Node, spec: &[IndexEntry], leaves: &[&Node]) -> Result<usize, GraphError> {
    let expected: usize = spec.iter().map(|entry| entry.leaves()).sum();
    ensure!(
        leaves.len() == expected,
        "the index takes {expected} inputs, not {}",
        leaves.len()
    );
    let mut leaves = leaves.iter();
    let (mut consumed, mut kept, mut advanced) = (0, 0, None);
    for entry in spec {
        let inputs: Vec<&&Node> = leaves.by_ref().take(entry.leaves()).collect();
        for node in &inputs {
            ensure!(node.dtype != DType::Float64, "positions must be integers");
            ensure!(
                *entry == IndexEntry::Array || node.ndim == 0,
                "positions must be scalars"
            );
        }
        match entry {
            IndexEntry::Array if inputs[0].dtype == DType::Bool => {
                consumed += inputs[0].ndim;
                advanced = advanced.max(Some(1));
            }
            IndexEntry::Array => {
                consumed += 1;
                advanced = advanced.max(Some(inputs[0].ndim));
            }
            IndexEntry::Integer => consumed += 1,
            IndexEntry::Full | IndexEntry::Slice { .. } => {
                consumed += 1;
                kept += 1;
            }
        }
    }
    ensure!(
        consumed <= x.ndim,
        "the index has more entries than the value has axes"
    );
    Ok(kept + advanced.unwrap_or(0) + x.ndim - consumed)
}

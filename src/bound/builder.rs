//! Builds a bound graph: shapes are worked out, equal nodes are one node, constants are folded.

use super::{BindError, Id, Node, Op, Reduction, Running};
use crate::foreign::Call;
use crate::graph::DType;
use crate::kernels::evaluate;
use crate::kernels::whole::Failure;
use crate::rewrite;
use crate::scalar::ScalarFn;
use crate::tensor::{
    Mixer, Table, Tensor, broadcast_shapes, contiguous_strides, is_contiguous, size_of,
};
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

/// A growing bound graph.
#[derive(Clone)]
pub struct Builder {
    nodes: Vec<Node>,
    /// Nodes by their hash; one whose hash another node has takes the next that is free.
    known: HashMap<u64, Id, BuildHasherDefault<Mixer>>,
    /// Nodes that are zero where a branch was not selected, and all that is computed from them.
    selected: Vec<bool>,
    simplifies: bool,
    /// Rules within rules that are being applied.
    depth: usize,
    /// How often each rule was applied. Names are told apart by their address, which takes no comparison of
    /// texts; one that has two addresses stands twice.
    fired: Vec<(&'static str, usize)>,
    /// How many elements an array may have at most, and how many all constants may still have.
    most: usize,
    left: usize,
    /// Why a parameter-free node could not be evaluated, the first one.
    failure: Option<Failure>,
}

/// Rules that may wait for one another: recursion ends there, and the rest of an expression stays as it is.
const MAX_DEPTH: usize = 50;

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            nodes: vec![],
            known: HashMap::default(),
            selected: vec![],
            simplifies: true,
            depth: 0,
            fired: vec![],
            most: MAX_ELEMENTS,
            left: usize::MAX,
            failure: None,
        }
    }
}

/// Positions in an array are held in 32 bits.
const MAX_ELEMENTS: usize = u32::MAX as usize;

impl Builder {
    /// A builder that applies no rule of [`crate::rewrite`]: the slow twin in tests.
    pub fn plain() -> Builder {
        Builder {
            simplifies: false,
            ..Builder::default()
        }
    }

    /// An empty builder that simplifies if this one does.
    pub fn sibling(&self) -> Builder {
        Builder {
            simplifies: self.simplifies,
            most: self.most,
            left: self.left,
            ..Builder::default()
        }
    }

    /// The same builder, in which no array and not all constants together have more elements.
    pub fn limited_to(self, elements: usize) -> Builder {
        Builder {
            most: elements.min(MAX_ELEMENTS),
            left: elements,
            ..self
        }
    }

    /// An error if an array would have more elements than there is room for.
    pub fn check_size(&self, size: usize) -> Result<(), Failure> {
        match size <= self.most.min(self.left) {
            true => Ok(()),
            false => Err(self.too_large(size)),
        }
    }

    fn too_large(&self, size: usize) -> Failure {
        let size = match size {
            usize::MAX => "too many to count".to_string(),
            _ => size.to_string(),
        };
        let most = self.most.min(self.left);
        Failure(format!(
            "an array would have {size} elements, where there is room for {most}: \
             check the data and the lengths that decide about its shape"
        ))
    }

    /// Whether rules are applied.
    pub fn simplifies(&self) -> bool {
        self.simplifies
    }

    /// How often each rule of [`crate::rewrite`], merging and folding were applied, by name.
    pub fn fired(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for (rule, count) in &self.fired {
            *counts.entry(*rule).or_default() += count;
        }
        counts
    }

    /// Counts an application of a rule.
    pub(crate) fn count(&mut self, rule: &'static str) {
        match self
            .fired
            .iter_mut()
            .find(|(name, _)| std::ptr::eq(*name, rule))
        {
            Some((_, count)) => *count += 1,
            None => self.fired.push((rule, 1)),
        }
    }

    /// What a rule makes of something, under the rule's name, if it applies.
    pub(super) fn rewritten(
        &mut self,
        rule: impl FnOnce(&mut Builder) -> Option<(&'static str, Id)>,
    ) -> Option<Id> {
        if !self.simplifies || self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let found = rule(self);
        self.depth -= 1;
        let (name, id) = found?;
        self.count(name);
        Some(id)
    }

    /// All nodes, inputs before users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node.
    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[id.index()]
    }

    /// A builder with only the nodes that `roots` need, and the roots in it.
    pub fn extract(&self, roots: &[Id]) -> (Builder, Vec<Id>) {
        let mut part = Builder {
            simplifies: self.simplifies,
            most: self.most,
            left: self.left,
            ..Builder::default()
        };
        let mut ids = vec![Id(0); self.nodes.len()];
        for id in self.reachable(roots) {
            let mut node = self.node(id).clone();
            node.inputs
                .iter_mut()
                .for_each(|input| *input = ids[input.index()]);
            ids[id.index()] = part.append(node, self.selected[id.index()]);
        }
        let roots = roots.iter().map(|root| ids[root.index()]).collect();
        (part, roots)
    }

    /// Forgets the nodes that `roots` do not need, with the arrays of constants that were folded into others; returns
    /// the roots' new nodes.
    pub fn forget_others(&mut self, roots: &[Id]) -> Vec<Id> {
        let (kept, roots) = self.extract(roots);
        let fired = std::mem::take(&mut self.fired);
        *self = Builder { fired, ..kept };
        roots
    }

    /// Elements of all constants together.
    pub fn constant_elements(&self) -> usize {
        let constants = self
            .nodes
            .iter()
            .filter(|node| matches!(node.op, Op::Constant(_)));
        constants.map(Node::size).sum()
    }

    /// What `roots` need, in which constants that only ops of a kind read are parameters, from entry `dim` of the
    /// position on; the roots in it, and the constants in the order of their places.
    pub fn opened(
        &self,
        roots: &[Id],
        dim: usize,
        may_read: impl Fn(&Op) -> bool,
    ) -> (Builder, Vec<Id>, Vec<Arc<Tensor>>) {
        let reachable = self.reachable(roots);
        let mut stays = vec![false; self.nodes.len()];
        roots.iter().for_each(|root| stays[root.index()] = true);
        for &id in &reachable {
            let node = self.node(id);
            if !may_read(&node.op) {
                node.inputs.iter().for_each(|x| stays[x.index()] = true);
            }
        }
        let mut opened = self.sibling();
        let (mut constants, mut offset) = (vec![], dim);
        let mut ids = vec![Id(0); self.nodes.len()];
        for id in reachable {
            let mut node = self.node(id).clone();
            for input in &mut node.inputs {
                *input = ids[input.index()];
            }
            if let Op::Constant(value) = &node.op
                && !stays[id.index()]
            {
                constants.push(value.clone());
                let name = "constant".into();
                node.op = Op::Parameter { name, offset };
                offset += node.size();
            }
            ids[id.index()] = opened.append(node, self.selected[id.index()]);
        }
        let roots = roots.iter().map(|root| ids[root.index()]).collect();
        (opened, roots, constants)
    }

    /// A node's shape.
    pub fn shape(&self, id: Id) -> &[usize] {
        &self.node(id).shape
    }

    /// A node's number of elements.
    pub fn size(&self, id: Id) -> usize {
        self.node(id).size()
    }

    /// A node's value, if it is a constant.
    pub fn constant_value(&self, id: Id) -> Option<&Arc<Tensor>> {
        self.node(id).constant()
    }

    /// The value of a constant whose elements are all the same.
    pub fn uniform_value(&self, id: Id) -> Option<f64> {
        self.constant_value(id)?.uniform()
    }

    /// The node for an op: an equal one that exists, its folded value, or a new one.
    pub(crate) fn push(&mut self, op: Op, inputs: Vec<Id>, shape: Vec<usize>, dtype: DType) -> Id {
        let node = Node {
            op,
            inputs,
            shape,
            dtype,
        };
        let place = match self.find(&node) {
            Ok(id) => {
                self.count("equal nodes are one");
                return id;
            }
            Err(place) => place,
        };
        let size = size_of(&node.shape);
        // Nothing is computed of what is too large; who asked for it learns so from `take_failure`.
        let fits = match node.op {
            Op::Constant(_) => size <= self.left,
            Op::Gather(ref table) | Op::ScatterAdd(ref table) => {
                size.max(table.len()) <= self.most.min(self.left)
            }
            _ => size <= self.most,
        };
        if !fits {
            let failure = self.too_large(size);
            self.failure.get_or_insert(failure);
        } else if let Op::Constant(_) | Op::Gather(_) | Op::ScatterAdd(_) = node.op {
            self.left -= size;
        }
        let leaf = matches!(node.op, Op::Constant(_) | Op::Parameter { .. });
        if !leaf {
            // No elements, nothing to compute: ops and kernels behind this never meet an empty result.
            if size == 0 {
                return self.typed_constant(Tensor::new(node.shape, &[]), dtype);
            }
            let values: Option<Vec<&Tensor>> = node
                .inputs
                .iter()
                .map(|&id| self.constant_value(id).map(Arc::as_ref).filter(|_| fits))
                .collect();
            match values.map(|values| evaluate::node(&node, &values)) {
                Some(Ok(value)) => {
                    self.count("constants are folded");
                    return self.typed_constant(value, dtype);
                }
                Some(Err(failure)) => _ = self.failure.get_or_insert(failure),
                None => {}
            }
        }
        let selected = node.inputs.iter().any(|input| self.selected[input.index()]);
        self.append_at(place, node, selected)
    }

    /// The node that equals this one, or the hash that it would have.
    fn find(&self, node: &Node) -> Result<Id, u64> {
        let mut hasher = Mixer::default();
        node.hash(&mut hasher);
        let mut place = hasher.finish();
        loop {
            match self.known.get(&place) {
                Some(&id) if self.nodes[id.index()] == *node => return Ok(id),
                Some(_) => place = place.wrapping_add(1),
                None => return Err(place),
            }
        }
    }

    /// Adds a node that no other equals.
    fn append(&mut self, node: Node, selected: bool) -> Id {
        match self.find(&node) {
            Ok(id) => id,
            Err(place) => self.append_at(place, node, selected),
        }
    }

    fn append_at(&mut self, place: u64, node: Node, selected: bool) -> Id {
        let id = Id(self.nodes.len() as u32);
        self.selected.push(selected);
        self.nodes.push(node);
        self.known.insert(place, id);
        id
    }

    /// Why a parameter-free node could not be evaluated, if one could not since the last call.
    pub fn take_failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Result of a packed op: the elements of its vector from `offset` on, under a shape and type of their own.
    pub fn part(&mut self, packed: Id, offset: usize, shape: Vec<usize>, dtype: DType) -> Id {
        let op = match size_of(&shape) == self.size(packed) {
            true => Op::Reshape,
            false => Op::View {
                offset,
                strides: contiguous_strides(&shape),
            },
        };
        self.push(op, vec![packed], shape, dtype)
    }

    /// The packed results of a function of others.
    pub fn foreign(&mut self, call: Call, inputs: Vec<Id>) -> Id {
        let shape = vec![call.size()];
        self.push(Op::Foreign(call), inputs, shape, DType::Float64)
    }

    /// A constant.
    pub fn constant(&mut self, value: Tensor) -> Id {
        self.typed_constant(value, DType::Float64)
    }

    /// A constant of a given type.
    pub fn typed_constant(&mut self, value: Tensor, dtype: DType) -> Id {
        let shape = value.shape().to_vec();
        self.push(Op::Constant(Arc::new(value)), vec![], shape, dtype)
    }

    /// A 0-d real constant.
    pub fn number(&mut self, value: f64) -> Id {
        self.constant(Tensor::scalar(value))
    }

    /// The truth value true.
    pub fn truth(&mut self) -> Id {
        self.typed_constant(Tensor::scalar(1.0), DType::Bool)
    }

    /// The stretch of the position vector that holds a parameter.
    pub fn parameter(&mut self, name: Arc<str>, offset: usize, shape: Vec<usize>) -> Id {
        self.push(
            Op::Parameter { name, offset },
            vec![],
            shape,
            DType::Float64,
        )
    }

    /// An adjoint that is given from outside, as entry `offset` of the position; it may be zero because a branch
    /// was not selected.
    pub fn adjoint_parameter(&mut self, offset: usize, shape: Vec<usize>) -> Id {
        let id = self.parameter(format!("adjoint {offset}").as_str().into(), offset, shape);
        self.selected[id.index()] = true;
        id
    }

    /// An elementwise function under NumPy's broadcasting.
    pub fn try_map(&mut self, function: ScalarFn, inputs: &[Id]) -> Result<Id, BindError> {
        let mut shape: Vec<usize> = vec![];
        for &input in inputs {
            shape = broadcast_shapes(&shape, self.shape(input)).ok_or_else(|| {
                let shapes: Vec<_> = inputs
                    .iter()
                    .map(|&i| format!("{:?}", self.shape(i)))
                    .collect();
                BindError::Misfit(format!(
                    "shapes {} do not broadcast in `{function}`",
                    shapes.join(" and ")
                ))
            })?;
        }
        let dtypes: Vec<DType> = inputs.iter().map(|&id| self.node(id).dtype).collect();
        let dtype = function.dtype(&dtypes);
        // A scalar stays a scalar: kernels read it in place of an array of equal elements.
        let mut operands: Vec<Id> = inputs
            .iter()
            .map(|&id| self.scalar_of(id).unwrap_or(id))
            .collect();
        if operands.iter().all(|&id| self.size(id) == 1) {
            let value = self.map_node(function, operands, vec![], dtype);
            return Ok(self.broadcast(value, &shape));
        }
        for operand in &mut operands {
            if self.size(*operand) != 1 {
                *operand = self.broadcast(*operand, &shape);
            }
        }
        Ok(self.map_node(function, operands, shape, dtype))
    }

    /// As [`Builder::try_map`], for inputs known to broadcast.
    pub fn map(&mut self, function: ScalarFn, inputs: &[Id]) -> Id {
        self.try_map(function, inputs)
            .expect("shapes were checked at bind")
    }

    fn map_node(
        &mut self,
        function: ScalarFn,
        operands: Vec<Id>,
        shape: Vec<usize>,
        dtype: DType,
    ) -> Id {
        if let Some(simpler) =
            self.rewritten(|b| rewrite::map(b, function, &operands, &shape, dtype))
        {
            return simpler;
        }
        let mut operands = operands;
        if function.commutes() {
            operands.sort();
        }
        self.push(Op::Map(function), operands, shape, dtype)
    }

    /// The single element, as a 0-d node, that all elements of a node equal, where the graph shows that.
    pub fn scalar_of(&mut self, id: Id) -> Option<Id> {
        if self.size(id) == 1 {
            return Some(self.reshape(id, &[]));
        }
        let node = self.node(id);
        if node.size() == 0 {
            return None;
        }
        match &node.op {
            Op::View { strides, .. }
                if strides.iter().all(|&s| s == 0) && self.size(node.inputs[0]) == 1 =>
            {
                let source = node.inputs[0];
                Some(self.reshape(source, &[]))
            }
            Op::Constant(tensor) => {
                let value = tensor.uniform()?;
                let dtype = node.dtype;
                Some(self.typed_constant(Tensor::scalar(value), dtype))
            }
            _ => None,
        }
    }

    /// The node whose elements a reshape passes on; else the node itself.
    fn unshaped(&self, id: Id) -> Id {
        match self.node(id).op {
            Op::Reshape => self.node(id).inputs[0],
            _ => id,
        }
    }

    /// A node under another shape of the same size.
    pub fn reshape(&mut self, id: Id, shape: &[usize]) -> Id {
        let node = self.node(id);
        debug_assert_eq!(node.size(), size_of(shape));
        if node.shape == shape {
            return id;
        }
        let dtype = node.dtype;
        let source = self.unshaped(id);
        if self.shape(source) == shape {
            return source;
        }
        let of = |b: &mut Builder, x| b.reshape(x, shape);
        if let Some(simpler) = self.rewritten(|b| rewrite::linear::of_constant(b, source, of)) {
            return simpler;
        }
        self.push(Op::Reshape, vec![source], shape.to_vec(), dtype)
    }

    /// A node seen through an offset and strides.
    pub fn view(&mut self, id: Id, offset: usize, strides: Vec<isize>, shape: Vec<usize>) -> Id {
        let node = self.node(id);
        let size = size_of(&shape);
        // Steps along axes of length 1 mean nothing; a canonical form makes equal views equal.
        let strides: Vec<isize> = strides
            .iter()
            .zip(&shape)
            .map(|(&stride, &length)| if length == 1 { 0 } else { stride })
            .collect();
        if size == node.size() && offset == 0 && is_contiguous(&strides, &shape) {
            return self.reshape(id, &shape);
        }
        let dtype = node.dtype;
        let of = |b: &mut Builder, x| b.view(x, offset, strides.clone(), shape.clone());
        if let Some(simpler) = self.rewritten(|b| rewrite::linear::of_constant(b, id, of)) {
            return self.reshape(simpler, &shape);
        }
        let source = self.unshaped(id);
        if let Some(simpler) =
            self.rewritten(|b| rewrite::views::view(b, source, offset, &strides, &shape))
        {
            return simpler;
        }
        self.push(Op::View { offset, strides }, vec![source], shape, dtype)
    }

    /// NumPy's broadcast to a shape that fits; a single element fits every shape, whatever its rank.
    pub fn broadcast(&mut self, id: Id, shape: &[usize]) -> Id {
        let from = self.shape(id).to_vec();
        if from == shape {
            return id;
        }
        if size_of(&from) == 1 {
            return self.view(id, 0, vec![0; shape.len()], shape.to_vec());
        }
        let contiguous = contiguous_strides(&from);
        let lead = shape.len() - from.len();
        let strides = (0..shape.len())
            .map(|axis| match axis.checked_sub(lead) {
                Some(k) if from[k] != 1 => contiguous[k],
                _ => 0,
            })
            .collect();
        self.view(id, 0, strides, shape.to_vec())
    }

    /// Axes in another order: axis k of the result is axis `order[k]`.
    pub fn transpose(&mut self, id: Id, order: &[usize]) -> Id {
        let from = self.shape(id).to_vec();
        let contiguous = contiguous_strides(&from);
        let strides = order.iter().map(|&axis| contiguous[axis]).collect();
        let shape = order.iter().map(|&axis| from[axis]).collect();
        self.view(id, 0, strides, shape)
    }

    /// The elements at flat positions.
    pub fn gather(&mut self, id: Id, table: Arc<Table>, shape: Vec<usize>) -> Id {
        if let Some(scalar) = self.scalar_of(id) {
            return self.broadcast(scalar, &shape);
        }
        let node = self.node(id);
        let dtype = node.dtype;
        let source = self.unshaped(id);
        self.push(Op::Gather(table), vec![source], shape, dtype)
    }

    /// Zeros of `shape` with a node's elements added at flat positions.
    pub fn scatter_add(&mut self, id: Id, table: Arc<Table>, shape: Vec<usize>) -> Id {
        let id = self.scalar_of(id).unwrap_or(id);
        if self.size(id) >= size_of(&shape) {
            let scatter = |b: &mut Builder, x| b.scatter_add(x, table.clone(), shape.clone());
            if let Some(simpler) = self.rewritten(|b| rewrite::linear::apply(b, id, scatter)) {
                return self.reshape(simpler, &shape);
            }
        }
        let dtype = self.node(id).dtype.max(DType::Int64);
        self.push(Op::ScatterAdd(table), vec![id], shape, dtype)
    }

    /// A reduction over axes, which disappear.
    pub fn reduce(&mut self, reduction: Reduction, id: Id, axes: &[usize]) -> Id {
        let shape = self.shape(id).to_vec();
        let rest: Vec<usize> = (0..shape.len())
            .filter(|axis| !axes.contains(axis))
            .collect();
        let result: Vec<usize> = rest.iter().map(|&axis| shape[axis]).collect();
        let length: usize = axes.iter().map(|&axis| shape[axis]).product();
        let dtype = match reduction {
            Reduction::Any | Reduction::All => DType::Bool,
            Reduction::Argmax | Reduction::BitAnd | Reduction::BitOr | Reduction::BitXor => {
                DType::Int64
            }
            Reduction::Sum | Reduction::Prod => self.node(id).dtype.max(DType::Int64),
            Reduction::Max | Reduction::Min => self.node(id).dtype,
        };
        if length == 1 && reduction != Reduction::Argmax {
            let id = match reduction {
                Reduction::Any | Reduction::All => self.map(ScalarFn::ToBool, &[id]),
                _ if self.node(id).dtype != dtype => self.map(ScalarFn::ToInt64, &[id]),
                _ => id,
            };
            return self.reshape(id, &result);
        }
        if let Some(scalar) = self.scalar_of(id)
            && length > 0
        {
            let reduced = match (reduction, dtype) {
                (Reduction::Sum, DType::Float64) => Some(self.mul_number(length as f64, scalar)),
                (Reduction::Max | Reduction::Min, _) => Some(scalar),
                (Reduction::Any | Reduction::All, _) => Some(self.map(ScalarFn::ToBool, &[scalar])),
                _ => None,
            };
            if let Some(reduced) = reduced {
                return self.broadcast(reduced, &result);
            }
        }
        if reduction == Reduction::Sum
            && let Some(simpler) = self.rewritten(|b| rewrite::sums::sum(b, id, axes))
        {
            return self.reshape(simpler, &result);
        }
        // Reduced axes side by side: in place if they are, behind the others if not. Their order stays.
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        let adjacent = sorted.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let (id, outer, inner) = if adjacent {
            let first = sorted.first().copied().unwrap_or(0);
            let outer = size_of(&shape[..first]);
            let inner = size_of(&shape[first + sorted.len()..]);
            (id, outer, inner)
        } else {
            let order: Vec<usize> = rest.iter().copied().chain(sorted).collect();
            (self.transpose(id, &order), size_of(&result), 1)
        };
        self.push(
            Op::Reduce(reduction, [outer, length, inner]),
            vec![id],
            result,
            dtype,
        )
    }

    /// A running sum or product along an axis.
    pub fn run(&mut self, running: Running, id: Id, axis: usize) -> Id {
        let shape = self.shape(id).to_vec();
        let sizes = [
            size_of(&shape[..axis]),
            shape[axis],
            size_of(&shape[axis + 1..]),
        ];
        let dtype = self.node(id).dtype.max(DType::Int64);
        self.push(Op::Run(running, sizes), vec![id], shape, dtype)
    }

    /// Arrays side by side along an axis; all other lengths are equal.
    pub fn concat(&mut self, ids: &[Id], axis: usize) -> Id {
        if let [id] = ids {
            return *id;
        }
        let mut shape = self.shape(ids[0]).to_vec();
        shape[axis] = ids.iter().map(|&id| self.shape(id)[axis]).sum();
        let parts = ids
            .iter()
            .map(|&id| size_of(&self.shape(id)[axis..]))
            .collect();
        let dtype = ids
            .iter()
            .map(|&id| self.node(id).dtype)
            .max()
            .unwrap_or(DType::Float64);
        let outer = size_of(&shape[..axis]);
        self.push(Op::Concat { outer, parts }, ids.to_vec(), shape, dtype)
    }

    /// Product of stacks of matrices with equal batch axes; `transposed` swaps the last two axes of an input first.
    pub fn matmul(&mut self, a: Id, b: Id, transposed: [bool; 2]) -> Id {
        let (sa, sb) = (self.shape(a).to_vec(), self.shape(b).to_vec());
        let rank = sa.len();
        let matrix = |shape: &[usize], swapped: bool| match swapped {
            false => (shape[rank - 2], shape[rank - 1]),
            true => (shape[rank - 1], shape[rank - 2]),
        };
        let ((m, k), (_, n)) = (matrix(&sa, transposed[0]), matrix(&sb, transposed[1]));
        let mut shape = sa[..rank - 2].to_vec();
        let sizes = [size_of(&shape), m, k, n];
        shape.extend([m, n]);
        // A row times a column is a sum of products, which fuses with what is around it.
        if self.simplifies && size_of(&shape) == 1 {
            let [a, b] = [a, b].map(|id| self.reshape(id, &[k]));
            let products = self.mul(a, b);
            let sum = self.reduce(Reduction::Sum, products, &[0]);
            return self.reshape(sum, &shape);
        }
        let dtype = self.node(a).dtype.max(self.node(b).dtype).max(DType::Int64);
        if self.simplifies && dtype == DType::Float64 {
            let size = size_of(&shape);
            let of_constants = self.rewritten(|builder| {
                rewrite::linear::of_constants(builder, [a, b], |builder, a, b| {
                    builder.matmul(a, b, transposed)
                })
            });
            let simpler = if of_constants.is_some() {
                of_constants
            } else if self.size(a) > size && self.constant_value(a).is_none() {
                let product = |builder: &mut Builder, a| builder.matmul(a, b, transposed);
                self.rewritten(|builder| rewrite::linear::apply(builder, a, product))
            } else if self.size(b) > size && self.constant_value(b).is_none() {
                let product = |builder: &mut Builder, b| builder.matmul(a, b, transposed);
                self.rewritten(|builder| rewrite::linear::apply(builder, b, product))
            } else {
                None
            };
            if let Some(simpler) = simpler {
                return self.reshape(simpler, &shape);
            }
        }
        self.push(Op::MatMul { sizes, transposed }, vec![a, b], shape, dtype)
    }

    /// x + y.
    pub fn add(&mut self, x: Id, y: Id) -> Id {
        self.map(ScalarFn::Add, &[x, y])
    }

    /// x - y.
    pub fn sub(&mut self, x: Id, y: Id) -> Id {
        self.map(ScalarFn::Sub, &[x, y])
    }

    /// x y.
    pub fn mul(&mut self, x: Id, y: Id) -> Id {
        self.map(ScalarFn::Mul, &[x, y])
    }

    /// -x.
    pub fn neg(&mut self, x: Id) -> Id {
        self.map(ScalarFn::Neg, &[x])
    }

    /// c x.
    pub fn mul_number(&mut self, c: f64, x: Id) -> Id {
        let c = self.number(c);
        self.mul(c, x)
    }

    /// c + x.
    pub fn add_number(&mut self, c: f64, x: Id) -> Id {
        let c = self.number(c);
        self.add(c, x)
    }

    /// c - x.
    pub fn number_minus(&mut self, c: f64, x: Id) -> Id {
        let c = self.number(c);
        self.sub(c, x)
    }

    /// `x` where the condition holds, else `y`.
    pub fn select(&mut self, condition: Id, x: Id, y: Id) -> Id {
        self.map(ScalarFn::Where, &[condition, x, y])
    }

    /// As [`Builder::select`], of adjoints: what is zero here stays zero downstream, see [`Builder::scale`].
    pub fn select_adjoint(&mut self, condition: Id, x: Id, y: Id) -> Id {
        let id = self.select(condition, x, y);
        self.selected[id.index()] |= self.constant_value(id).is_none();
        id
    }

    /// g d for an adjoint g; 0 where a branch was not selected, even if d is infinite or NaN.
    pub fn scale(&mut self, g: Id, d: Id) -> Id {
        match self.selected[g.index()] {
            true => self.map(ScalarFn::Scale, &[g, d]),
            false => self.mul(g, d),
        }
    }

    /// g / d for an adjoint g, as [`Builder::scale`].
    pub fn quotient(&mut self, g: Id, d: Id) -> Id {
        match self.selected[g.index()] {
            true => self.map(ScalarFn::Quotient, &[g, d]),
            false => self.map(ScalarFn::Div, &[g, d]),
        }
    }
}

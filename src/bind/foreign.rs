//! Functions of others: the shapes of their results.

use super::{Binder, fail, varies};
use crate::bound::{BindError, Id};
use crate::foreign::{ArrayRef, Call, Function};
use crate::graph::NodeId;
use crate::kernels::machine::Workspace;
use crate::kernels::whole::Failure;
use crate::plan;
use std::sync::Arc;

/// Values of all entries of the position vector at which a function is tried that does not say the shapes of its
/// results: the origin of unconstrained space, where scales are 1 and probabilities equal, and another point.
const TRIED: [f64; 2] = [0.0, 0.3];

impl Binder<'_> {
    /// The packed results of a function; the lengths of their axes, if they are given, are the last inputs.
    pub(super) fn foreign(
        &mut self,
        id: NodeId,
        function: &Function,
        given: bool,
        mut inputs: Vec<Id>,
    ) -> Result<Id, BindError> {
        let results = function.results();
        let shapes = if given {
            let count: usize = results.iter().map(|(_, ndim)| ndim).sum();
            let lengths = inputs.split_off(inputs.len() - count);
            let lengths = self.lengths(&lengths)?;
            let mut rest = lengths.as_slice();
            let shapes = results.iter().map(|&(_, ndim)| {
                let (shape, others) = rest.split_at(ndim);
                rest = others;
                shape.to_vec()
            });
            shapes.collect()
        } else {
            self.tried_shapes(function, &inputs)?
        };
        let call = Call {
            function: function.clone(),
            inputs: inputs
                .iter()
                .map(|&input| self.b.shape(input).to_vec())
                .collect(),
            results: shapes.clone(),
            value_of: None,
            meter: Arc::default(),
        };
        let types = results.iter().map(|&(dtype, _)| dtype);
        let results = shapes.into_iter().zip(types).collect();
        let packed = self.b.foreign(call, inputs);
        Ok(self.unpack(id, packed, results))
    }

    /// The shapes that the results have at the points [`TRIED`].
    fn tried_shapes(
        &mut self,
        function: &Function,
        inputs: &[Id],
    ) -> Result<Vec<Vec<usize>>, BindError> {
        let program = plan::plan(&self.b, inputs);
        let ends = program
            .inputs
            .iter()
            .map(|input| input.position + input.size);
        let dim = ends.max().unwrap_or(0);
        let mut workspace = Workspace::new(Arc::new(program));
        let mut shapes_at = |value: f64| -> Result<Vec<Vec<usize>>, Failure> {
            workspace.evaluate(&vec![value; dim])?;
            let arrays = inputs.iter().enumerate().map(|(k, &input)| ArrayRef {
                shape: self.b.shape(input),
                values: workspace.output(k),
            });
            let results = function.evaluate(&arrays.collect::<Vec<_>>())?;
            Ok(results.into_iter().map(|result| result.shape).collect())
        };
        let first = shapes_at(TRIED[0]);
        if dim == 0 {
            return Ok(first?);
        }
        match (first, shapes_at(TRIED[1])) {
            (Ok(shapes), Ok(others)) if shapes != others => varies(format!(
                "the shape of a result of {} depends on a parameter: {shapes:?} or {others:?}",
                function.name()
            )),
            (Ok(shapes), _) | (Err(_), Ok(shapes)) => Ok(shapes),
            (Err(Failure(message)), Err(_)) => fail(format!(
                "{message}. {} does not say the shapes of its results, so it was tried with made-up values of the \
                 parameters; give its output a type with a static shape, or the Op an `infer_shape`",
                function.name()
            )),
        }
    }
}

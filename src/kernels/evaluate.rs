//! One node evaluated on constants: how the parameter-free part of a graph is folded, with the kernels of the plan.

use super::block::Source;
use super::buffer::Buffer;
use super::isa::Isa;
use super::simd::LANES;
use super::{matrix, structural, sum};
use crate::bound::{Node, Op};
use crate::tensor::{Tensor, size_of};

/// The value of a node whose inputs have these values.
pub fn node(node: &Node, inputs: &[&Tensor]) -> Tensor {
    let size = node.size();
    let mut out = Buffer::zeros(size);
    let first = inputs[0].values();
    let result = &mut out[..size];
    match &node.op {
        Op::Map(function) => {
            let mut sources = [Source {
                pointer: std::ptr::null(),
                step: 0,
            }; 3];
            for (source, input) in sources.iter_mut().zip(inputs) {
                let step = if size_of(input.shape()) == 1 {
                    0
                } else {
                    LANES
                };
                *source = Source {
                    pointer: input.buffer().as_ptr(),
                    step,
                };
            }
            let kernel = function.kernels()[Isa::detect() as usize];
            // SAFETY: inputs have the node's size or one element in all lanes, and buffers are padded to whole chunks.
            unsafe { kernel(out.as_mut_ptr(), &sources, size.div_ceil(LANES)) };
        }
        Op::Reshape => result.copy_from_slice(first),
        Op::View { offset, strides } => {
            structural::view(first, *offset, strides, &node.shape, result)
        }
        Op::Gather(table) => structural::gather(first, table, result),
        Op::ScatterAdd(table) => structural::scatter_add(first, table, result),
        Op::Reduce(reduction, sizes) => structural::reduce(*reduction, *sizes, first, result),
        Op::Dot => result[0] = sum::dot(inputs[0].buffer(), inputs[1].buffer(), first.len()),
        Op::Run(running, sizes) => structural::run(*running, *sizes, first, result),
        Op::Concat { outer, parts } => {
            structural::concat(*outer, parts, |k| inputs[k].values(), result);
        }
        Op::MatMul { sizes, transposed } => {
            matrix::matmul(*sizes, *transposed, first, inputs[1].values(), result);
        }
        Op::Parameter { .. } | Op::Constant(_) => unreachable!("leaves are not folded"),
    }
    Tensor::new(node.shape.clone(), &out[..size])
}

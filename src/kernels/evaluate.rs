//! One node evaluated on constants: how the parameter-free part of a graph is folded, with the kernels of the plan.

use super::block::{MOST_ARGUMENTS, Source};
use super::buffer::Buffer;
use super::isa::Isa;
use super::simd::LANES;
use super::sum;
use super::whole::{self, Failure, State};
use crate::bound::{Node, Op};
use crate::tensor::{Tensor, size_of};

/// The value of a node whose inputs have these values.
pub fn node(node: &Node, inputs: &[&Tensor]) -> Result<Tensor, Failure> {
    let size = node.size();
    let mut out = Buffer::zeros(size);
    match &node.op {
        Op::Map(function) => {
            let mut sources = [Source {
                pointer: std::ptr::null(),
                step: 0,
            }; MOST_ARGUMENTS];
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
        Op::Dot => {
            out[0] = sum::dot(
                inputs[0].buffer(),
                inputs[1].buffer(),
                size_of(inputs[0].shape()),
            )
        }
        _ => {
            let mut state = State::new(node);
            whole::run(node, &mut state, |k| inputs[k].values(), &mut out[..size])?;
        }
    }
    Ok(Tensor::padded(node.shape.clone(), out))
}

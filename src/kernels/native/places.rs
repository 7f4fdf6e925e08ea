//! Which values native code takes from the position vector itself, and which results it copies out.

use super::code::{Base, Places};
use crate::kernels::buffer::padded;
use crate::kernels::machine::{Input, Instruction, Kernel, Operand, Place, Program, Step};
use crate::kernels::simd::LANES;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// What native code does without the machine.
#[derive(Debug, Default)]
pub struct Reach {
    /// Of each of the program's inputs, whether nobody reads its copy in the arena.
    pub inputs: Vec<bool>,
    /// Of each of the program's outputs, whether it is copied to the results.
    pub outputs: Vec<bool>,
}

/// The elements of the arena that an operand may touch, in a pass over so many.
fn touched(instruction: &Instruction, operand: &Operand, size: usize) -> Range<usize> {
    let (place, length) = match operand {
        Operand::Register(_) => return 0..0,
        Operand::Scalar(place) => (place, 1),
        Operand::Array(place) => (place, size),
    };
    let Place::Arena(start) = *place else {
        return 0..0;
    };
    match &instruction.kernel {
        Kernel::Gather(table, _) => {
            let most = table.iter().max().map_or(0, |&most| most as usize + 1);
            start..start + most
        }
        Kernel::RowsTimes(blocks) => start..start + blocks.columns(),
        _ => start..start + length,
    }
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// What the code reaches, and what it has to know of places in each step; `whole` steps are all native code.
pub fn survey(program: &Program, whole: &[bool]) -> (Reach, Vec<Places>) {
    let mut reach = Reach {
        inputs: vec![true; program.inputs.len()],
        outputs: vec![false; program.outputs.len()],
    };
    let spread = spread(program, whole);
    let place_of = |input: &Input| input.arena..input.arena + input.size;
    // Inputs that come with the position and whose copies are still there.
    let is_given = |k: &usize| program.inputs[*k].position < program.kept_from;
    let mut present: Vec<usize> = (0..program.inputs.len()).filter(is_given).collect();
    let mut last_writer: HashMap<usize, (usize, usize)> = HashMap::new();
    let mut places: Vec<Places> = vec![];
    for (step, &is_whole) in program.steps.iter().zip(whole) {
        let mut here = Places::default();
        let mut reads: Vec<Range<usize>> = vec![];
        // Stretches of the arena, and how many elements of each are a value.
        let mut writes: Vec<(Range<usize>, usize)> = vec![];
        match step {
            Step::Region { size, instructions } => {
                for i in instructions {
                    reads.extend(i.inputs.iter().map(|input| touched(i, input, *size)));
                    if let Operand::Array(Place::Arena(at)) = i.output {
                        writes.push((at..at + padded(i.output_size), i.output_size));
                    }
                    if let Kernel::TimesRows(blocks, at) = &i.kernel {
                        writes.push((*at..at + blocks.columns() * LANES, 0));
                    }
                }
            }
            Step::Whole {
                node,
                inputs,
                output,
            } => {
                for (place, size) in inputs {
                    if let Place::Arena(start) = place {
                        reads.push(*start..start + size);
                    }
                }
                writes.push((*output..output + padded(node.size()), node.size()));
            }
        }
        // A place is given away again behind the step that reads it last: what is written over here is not read here.
        for (stretch, size) in writes {
            present.retain(|&k| !overlap(&stretch, &place_of(&program.inputs[k])));
            last_writer.retain(|other, _| !stretch.contains(other));
            last_writer.insert(stretch.start, (places.len(), size));
        }
        for &k in &present {
            let range = place_of(&program.inputs[k]);
            if !is_whole && reads.iter().any(|read| overlap(read, &range)) {
                reach.inputs[k] = false;
            }
        }
        if is_whole {
            let parameters = present.iter().map(|&k| &program.inputs[k]);
            here.parameters = parameters
                .map(|i| (place_of(i), Base::Position, i.position))
                .collect();
        }
        places.push(here);
    }
    // Results that are parameters are read from their copies.
    for (place, size) in &program.outputs {
        if let Place::Arena(start) = place {
            let read = *start..start + size;
            for (k, input) in program.inputs.iter().enumerate() {
                if overlap(&read, &place_of(input)) {
                    reach.inputs[k] = false;
                }
            }
        }
    }
    let mut start = 0;
    for (k, (place, size)) in program.outputs.iter().enumerate().skip(1) {
        if let Place::Arena(at) = place
            && let Some(&(step, written)) = last_writer.get(at)
            && written == *size
            && whole[step]
            && program.kept_from > 0
        {
            reach.outputs[k] = true;
            places[step].results.entry(*at).or_default().push(start);
        }
        start += size;
    }
    for here in &mut places {
        here.spread.clone_from(&spread);
    }
    (reach, places)
}

/// Places of single values that kernels or passes over arrays read, in all lanes.
fn spread(program: &Program, whole: &[bool]) -> HashSet<usize> {
    let mut spread = HashSet::new();
    for (step, &is_whole) in program.steps.iter().zip(whole) {
        let Step::Region { size, instructions } = step else {
            continue;
        };
        if is_whole && *size == 1 {
            continue;
        }
        for input in instructions.iter().flat_map(|i| &i.inputs) {
            if let Operand::Scalar(Place::Arena(at)) | Operand::Array(Place::Arena(at)) = input {
                spread.insert(*at);
            }
        }
    }
    spread
}

//! Gives every value its place: an offset in the arena while it lives, or a register within its region.

use super::schedule::{Group, Schedule, operands, rows_product};
use super::storage;
use crate::bound::{Builder, Id, Op};
use crate::kernels::buffer::padded;
use crate::kernels::isa::Isa;
use crate::kernels::machine::{Input, Instruction, Kernel, Operand, Place, Program, Step};
use crate::kernels::matrix::RowBlocks;
use crate::kernels::native::Native;
use crate::kernels::runs::Runs;
use crate::kernels::simd::LANES;
use crate::tensor::Table;
use std::collections::HashMap;
use std::sync::Arc;

/// The program of a schedule; parameters from entry `kept_from` of the position vector on keep their places throughout.
pub fn layout(builder: &Builder, roots: &[Id], schedule: &Schedule, kept_from: usize) -> Program {
    let mut last_reads = last_reads(builder, roots, schedule);
    last_reads.retain(|&id, _| match builder.node(id).op {
        Op::Parameter { offset, .. } => offset < kept_from,
        _ => true,
    });
    let mut layout = Layout {
        builder,
        schedule,
        arena: Arena::default(),
        offsets: HashMap::new(),
        packed: HashMap::new(),
        runs: HashMap::new(),
        program: Program {
            kept_from,
            ..Program::default()
        },
    };
    layout.place_parameters(roots);
    let mut dying: HashMap<usize, Vec<Id>> = HashMap::new();
    for (&id, &step) in &last_reads {
        dying.entry(step).or_default().push(id);
    }
    for (index, group) in schedule.groups.iter().enumerate() {
        let step = match group {
            Group::Region(size, ids) => layout.region(*size, ids),
            Group::Whole(id) => layout.whole(*id),
        };
        layout.program.steps.push(step);
        let mut dead = dying.remove(&index).unwrap_or_default();
        dead.sort();
        for id in dead {
            if let Some(&offset) = layout.offsets.get(&id) {
                layout.arena.free(offset, padded(builder.size(id)));
            }
        }
    }
    layout.program.outputs = roots
        .iter()
        .map(|&root| (layout.place(root), builder.size(root)))
        .collect();
    layout.program.arena = layout.arena.size;
    let native = Native::compile(&layout.program, Isa::detect());
    layout.program.native = native.map(Arc::new);
    layout.program
}

/// The last step that reads each stored value; results are read after all of them.
fn last_reads(builder: &Builder, roots: &[Id], schedule: &Schedule) -> HashMap<Id, usize> {
    let mut last = HashMap::new();
    for (index, group) in schedule.groups.iter().enumerate() {
        let ids = match group {
            Group::Region(_, ids) => ids.as_slice(),
            Group::Whole(id) => std::slice::from_ref(id),
        };
        for &id in ids {
            last.insert(id, index);
            for &input in &builder.node(id).inputs {
                last.insert(storage(builder, input).0, index);
            }
        }
    }
    for &root in roots {
        last.insert(storage(builder, root).0, usize::MAX);
    }
    last
}

struct Layout<'a> {
    builder: &'a Builder,
    schedule: &'a Schedule,
    arena: Arena,
    offsets: HashMap<Id, usize>,
    /// Constant matrices in blocks of rows, for products with vectors.
    packed: HashMap<Id, Arc<RowBlocks>>,
    /// Runs of tables of positions, if they are long.
    runs: HashMap<*const Table, Option<Arc<Runs>>>,
    program: Program,
}

impl Layout<'_> {
    fn place_parameters(&mut self, roots: &[Id]) {
        for id in self.builder.reachable(roots) {
            let node = self.builder.node(id);
            if let Op::Parameter {
                offset: position, ..
            } = node.op
            {
                let arena = self.allocate(id);
                self.program.inputs.push(Input {
                    position,
                    arena,
                    size: node.size(),
                });
            }
        }
    }

    fn allocate(&mut self, id: Id) -> usize {
        let offset = self.arena.allocate(padded(self.builder.size(id)));
        self.offsets.insert(id, offset);
        offset
    }

    fn place(&self, id: Id) -> Place {
        let (root, start) = storage(self.builder, id);
        match self.builder.constant_value(root) {
            Some(tensor) => Place::Constant(tensor.clone(), start),
            None => Place::Arena(self.offsets[&root] + start),
        }
    }

    fn pack(&mut self, matrix: Id) -> Arc<RowBlocks> {
        let builder = self.builder;
        let pack = || {
            let tensor = builder
                .constant_value(matrix)
                .expect("only constant matrices are packed");
            let [.., rows, columns] = *tensor.shape() else {
                unreachable!("a matrix has two axes")
            };
            Arc::new(RowBlocks::pack(tensor.values(), rows, columns))
        };
        self.packed.entry(matrix).or_insert_with(pack).clone()
    }

    fn runs(&mut self, table: &Arc<Table>) -> Option<Arc<Runs>> {
        let find = || Runs::find(table).map(Arc::new);
        self.runs
            .entry(Arc::as_ptr(table))
            .or_insert_with(find)
            .clone()
    }

    fn whole(&mut self, id: Id) -> Step {
        let node = self.builder.node(id);
        let inputs = node
            .inputs
            .iter()
            .map(|&input| (self.place(input), self.builder.size(input)))
            .collect();
        let output = self.allocate(id);
        Step::Whole {
            node: node.clone(),
            inputs,
            output,
        }
    }

    fn region(&mut self, size: usize, ids: &[Id]) -> Step {
        let builder = self.builder;
        let mut last_use: HashMap<Id, Id> = HashMap::new();
        for &id in ids {
            for &input in &builder.node(id).inputs {
                last_use.insert(storage(builder, input).0, id);
            }
        }
        let mut registers: HashMap<Id, usize> = HashMap::new();
        let mut free: Vec<usize> = vec![];
        let mut used = 0;
        let mut scratch = vec![];
        let mut instructions = vec![];
        for &id in ids {
            let node = builder.node(id);
            let product = rows_product(builder, id);
            let read = operands(builder, id);
            let inputs: Vec<Operand> = read
                .iter()
                .map(|&input| self.operand(&registers, input))
                .collect();
            let kernel = match (&node.op, product) {
                (Op::Map(function), _) => {
                    Kernel::Map(*function, function.kernels()[Isa::detect() as usize])
                }
                (Op::Gather(table), _) => Kernel::Gather(table.clone(), self.runs(table)),
                (Op::View { offset, .. }, _) => {
                    Kernel::Gather(Arc::new(Table::new(vec![*offset as u32])), None)
                }
                (Op::ScatterAdd(table), _) => Kernel::ScatterAdd(table.clone(), self.runs(table)),
                (Op::Reduce(..), _) => Kernel::Sum,
                (Op::Dot, _) => Kernel::Dot,
                (_, Some((matrix, _, false))) => Kernel::RowsTimes(self.pack(matrix)),
                (_, Some((matrix, _, true))) => {
                    let blocks = self.pack(matrix);
                    let length = blocks.columns() * LANES;
                    let offset = self.arena.allocate(length);
                    scratch.push((offset, length));
                    Kernel::TimesRows(blocks, offset)
                }
                _ => unreachable!("the schedule puts other ops elsewhere"),
            };
            // A register read for the last time here may take the result: kernels read a chunk before they write it.
            let mut dead: Vec<Id> = read
                .iter()
                .map(|&input| storage(builder, input).0)
                .collect();
            dead.sort();
            dead.dedup();
            for input in dead {
                if last_use.get(&input) == Some(&id)
                    && let Some(register) = registers.remove(&input)
                {
                    free.push(register);
                }
            }
            let output = if self.schedule.stored.contains(&id) {
                Operand::Array(Place::Arena(self.allocate(id)))
            } else {
                let register = free.pop().unwrap_or_else(|| {
                    used += 1;
                    used - 1
                });
                registers.insert(id, register);
                Operand::Register(register)
            };
            instructions.push(Instruction {
                kernel,
                inputs,
                output,
                output_size: node.size(),
            });
        }
        for (offset, length) in scratch {
            self.arena.free(offset, length);
        }
        self.program.registers = self.program.registers.max(used);
        Step::Region { size, instructions }
    }

    fn operand(&self, registers: &HashMap<Id, usize>, input: Id) -> Operand {
        if let Some(&register) = registers.get(&storage(self.builder, input).0) {
            return Operand::Register(register);
        }
        match self.builder.size(input) {
            1 => Operand::Scalar(self.place(input)),
            _ => Operand::Array(self.place(input)),
        }
    }
}

/// Free stretches of a growing arena, by offset; first fit.
#[derive(Default)]
struct Arena {
    size: usize,
    free: Vec<(usize, usize)>,
}

impl Arena {
    fn allocate(&mut self, length: usize) -> usize {
        if let Some(index) = self.free.iter().position(|&(_, free)| free >= length) {
            let (offset, free) = self.free[index];
            match free == length {
                true => drop(self.free.remove(index)),
                false => self.free[index] = (offset + length, free - length),
            }
            return offset;
        }
        self.size += length;
        self.size - length
    }

    fn free(&mut self, offset: usize, length: usize) {
        let index = self.free.partition_point(|&(other, _)| other < offset);
        self.free.insert(index, (offset, length));
        for left in [index, index.wrapping_sub(1)] {
            if let (Some(&(a, n)), Some(&(b, m))) =
                (self.free.get(left), self.free.get(left.wrapping_add(1)))
                && a + n == b
            {
                self.free[left] = (a, n + m);
                self.free.remove(left + 1);
            }
        }
    }
}

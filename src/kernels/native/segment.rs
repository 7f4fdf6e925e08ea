//! Compiles consecutive instructions of a pass: one loop over chunks, with values in registers.
//!
//! A value is loaded once, stays in its register to its last use, and is stored only if something behind the segment
//! reads it, or if registers run out. Sums have two accumulators, for even and odd chunks, and so the order of
//! `sum::block_lanes`.

use super::assembler::*;
use crate::kernels::machine::{Instruction, Kernel, Operand as Place, Place as Array};
use crate::kernels::simd::LANES;
use crate::kernels::sum::BLOCK;
use crate::scalar::ScalarFn;
use std::collections::HashMap;

/// Bytes of a chunk.
const CHUNK: i32 = 8 * LANES as i32;

/// Registers that scalars must leave to other values.
const WORKING: usize = 9;

/// Whether segments can hold the function.
pub fn compiles(function: ScalarFn) -> bool {
    use ScalarFn::*;
    matches!(
        function,
        Neg | Abs
            | Sqr
            | Sqrt
            | Reciprocal
            | StopGradient
            | IsNan
            | IsInf
            | Not
            | ToFloat64
            | Add
            | Sub
            | Mul
            | Div
            | Maximum
            | Minimum
            | Eq
            | Ne
            | Lt
            | Le
            | Gt
            | Ge
            | And
            | Check
            | Scale
            | Quotient
            | MulAdd
            | MulSub
            | SubMul
            | Where
    )
}

/// Whether segments of a pass over arrays of `size` elements can hold the instruction.
pub fn fits(size: usize, instruction: &Instruction) -> bool {
    match &instruction.kernel {
        Kernel::Map(function, _) => compiles(*function),
        Kernel::Gather(table, _) => size == 1 && table.len() == 1,
        Kernel::Sum | Kernel::Dot => size > 1,
        _ => false,
    }
}

/// Where a value lies in memory.
#[derive(Clone)]
enum Home {
    /// The chunk of an array at the place of the pass.
    Array(Array),
    /// A chunk with the scalar in all lanes.
    Scalar(Array),
    /// One element.
    Element(Array),
    /// A block in cache.
    Block(usize),
}

impl Home {
    /// In passes over one element all values are scalars.
    fn of(operand: &Place, size: usize) -> Home {
        match operand {
            Place::Array(place) if size > 1 => Home::Array(place.clone()),
            Place::Array(place) | Place::Scalar(place) => Home::Scalar(place.clone()),
            Place::Register(block) => Home::Block(*block),
        }
    }

    /// The same for the same place: (kind, address of a constant, offset).
    fn key(&self) -> (u8, *const f64, usize) {
        let (kind, place) = match self {
            Home::Array(place) => (0, place),
            Home::Scalar(place) => (1, place),
            Home::Element(place) => (2, place),
            Home::Block(block) => return (3, std::ptr::null(), *block),
        };
        match place {
            Array::Arena(offset) => (kind, std::ptr::null(), *offset),
            Array::Constant(tensor, offset) => (kind, tensor.buffer().as_ptr(), *offset),
        }
    }
}

/// A value of the segment.
struct Value {
    home: Home,
    /// Lines that read it, in order.
    uses: Vec<usize>,
    /// Whether a line makes it.
    made: bool,
    /// Whether it has to be in memory after that line.
    stored: bool,
}

/// What a line makes of its inputs.
enum Action {
    Map(ScalarFn),
    /// The input as it is.
    Copy,
    /// Adds the first, masked input, or the product of two, to a sum.
    Accumulate(usize),
}

struct Line {
    action: Action,
    inputs: Vec<usize>,
    output: Option<usize>,
}

/// What is to be compiled.
pub struct Segment<'a> {
    /// Elements of the arrays of the pass.
    pub size: usize,
    /// All instructions of the pass.
    pub instructions: &'a [Instruction],
    /// Those of the segment.
    pub range: std::ops::Range<usize>,
    /// Where blocks in cache end and room for partial sums begins: the number of blocks.
    pub blocks: usize,
}

/// Sums that fit the registers of an instruction set.
pub fn most_sums(width: Width) -> usize {
    match width {
        Width::Zmm => 6,
        _ => 2,
    }
}

impl Segment<'_> {
    /// Writes the segment's function; `None` if a place is too far away for an address.
    ///
    /// Its arguments are in `rdi` the arena, in `rsi` the blocks, in `rdx` and `rcx` the bytes from the start of arrays
    /// to the first whole chunk of the block and to the end of the last, in `r8` whether a partial chunk follows.
    pub fn compile(&self, a: &mut Assembler, width: Width) -> Option<()> {
        let (values, lines) = self.lines();
        let sums: Vec<&Instruction> = self.sums().collect();
        let totals = sums.iter().map(|sum| Home::of(&sum.output, 1));
        let homes: Vec<Home> = totals
            .chain(values.iter().map(|value| value.home.clone()))
            .collect();
        if !homes.iter().all(is_near) {
            return None;
        }
        let registers = if width == Width::Zmm { 32 } else { 16 };
        let halves = if width == Width::Zmm { 1 } else { 2 };
        let mut body = Body {
            a,
            width,
            values: &values,
            lines: &lines,
            size: self.size,
            pinned: HashMap::new(),
            free: (0..registers).collect(),
            held: vec![],
            registers: vec![None; values.len()],
            in_memory: vec![false; values.len()],
            accumulators: vec![],
            displacement: 0,
            constants: vec![],
        };
        for _ in &sums {
            let mut accumulators = vec![];
            for _ in 0..2 * halves {
                let register = body.free.pop()?;
                let same = Source::Register(register);
                body.emit(XOR, register, register, same);
                accumulators.push(register);
            }
            body.accumulators.push(accumulators);
        }
        if self.size == 1 {
            body.chunk(0, 0, None);
            body.a.end();
            return Some(());
        }
        // Blocks are addressed from the start of arrays too.
        body.a.address(Gpr::R11, Gpr::Rsi, 0);
        body.a.subtract(Gpr::R11, Gpr::Rdx);
        body.hold_constants();
        body.pin_scalars();

        let both = |body: &mut Body, parity: usize, first: Option<u8>| {
            (0..halves).for_each(|half| body.chunk(parity, half, first));
        };
        let start = body.a.label();
        body.a.address(Gpr::Rax, Gpr::Rdx, 2 * CHUNK);
        body.a.compare(Gpr::Rax, Gpr::Rcx);
        let last = body.a.jump(Condition::Above);
        both(&mut body, 0, None);
        both(&mut body, 1, None);
        body.a.address(Gpr::Rdx, Gpr::Rdx, 2 * CHUNK);
        body.a.jump_to(Condition::Always, start);
        body.a.land(last);
        body.a.compare(Gpr::Rdx, Gpr::Rcx);
        let done = body.a.jump(Condition::NotBelow);
        both(&mut body, 0, None);
        body.a.address(Gpr::Rdx, Gpr::Rdx, CHUNK);
        body.a.land(done);
        let rest = self.size % LANES;
        if rest > 0 && !sums.is_empty() {
            body.a.test(Gpr::R8);
            let done = body.a.jump(Condition::Zero);
            // `chunk` counts the displacement of odd chunks from the even one before.
            body.a.address(Gpr::Rdx, Gpr::Rdx, -CHUNK);
            both(&mut body, 1, Some(rest as u8));
            body.a.land(done);
        }
        for (k, instruction) in sums.iter().enumerate() {
            let accumulators = body.accumulators[k].clone();
            let (even, odd) = accumulators.split_at(halves);
            for (&even, &odd) in even.iter().zip(odd) {
                body.emit(ADD, even, even, Source::Register(odd));
            }
            if self.size <= BLOCK {
                let Place::Array(Array::Arena(offset)) = instruction.output else {
                    return None;
                };
                let high = (halves == 2).then(|| even[1]);
                body.a.add_across(even[0], high);
                body.a.broadcast(width, 0, Operand::Register(0));
                let target = |half| Memory::At(Gpr::Rdi, None, 8 * offset as i32 + 32 * half);
                (0..halves as i32).for_each(|half| body.store(0, target(half)));
            } else {
                for (half, &register) in even.iter().enumerate() {
                    let offset = 8 * self.blocks * BLOCK + CHUNK as usize * k + 32 * half;
                    body.store(register, Memory::At(Gpr::Rsi, None, offset as i32));
                }
            }
        }
        body.a.end();
        Some(())
    }

    /// The segment's sums, in the order of their partial results.
    pub fn sums(&self) -> impl Iterator<Item = &Instruction> {
        let instructions = self.instructions[self.range.clone()].iter();
        instructions.filter(|i| matches!(i.kernel, Kernel::Sum | Kernel::Dot))
    }

    fn lines(&self) -> (Vec<Value>, Vec<Line>) {
        let mut values: Vec<Value> = vec![];
        let mut lines = vec![];
        // The value that is in a place now.
        let mut present = HashMap::new();
        let mut sums = 0;
        for instruction in &self.instructions[self.range.clone()] {
            let line = lines.len();
            let inputs = instruction.inputs.iter().map(|input| {
                let home = self.home(&instruction.kernel, input);
                let id = *present.entry(home.key()).or_insert_with(|| {
                    values.push(Value {
                        home,
                        uses: vec![],
                        made: false,
                        stored: false,
                    });
                    values.len() - 1
                });
                values[id].uses.push(line);
                id
            });
            let inputs: Vec<usize> = inputs.collect();
            let action = match instruction.kernel {
                Kernel::Map(function, _) => Action::Map(function),
                Kernel::Gather(..) => Action::Copy,
                _ => {
                    sums += 1;
                    Action::Accumulate(sums - 1)
                }
            };
            let output = (!matches!(action, Action::Accumulate(_))).then(|| {
                let home = Home::of(&instruction.output, self.size);
                present.insert(home.key(), values.len());
                let stored = match home {
                    Home::Block(block) => self.is_read_behind(block),
                    _ => true,
                };
                values.push(Value {
                    home,
                    uses: vec![],
                    made: true,
                    stored,
                });
                values.len() - 1
            });
            lines.push(Line {
                action,
                inputs,
                output,
            });
        }
        // Of the values that one block held in turn, only the last is there for others to read.
        for (id, value) in values.iter_mut().enumerate() {
            value.stored &= present[&value.home.key()] == id;
        }
        (values, lines)
    }

    /// Where an instruction reads an input; of a gather, the element that it wants.
    fn home(&self, kernel: &Kernel, input: &Place) -> Home {
        match (kernel, input) {
            (Kernel::Gather(table, _), Place::Array(place) | Place::Scalar(place)) => {
                let position = table[0] as usize;
                Home::Element(match place {
                    Array::Arena(start) => Array::Arena(start + position),
                    Array::Constant(tensor, start) => {
                        Array::Constant(tensor.clone(), start + position)
                    }
                })
            }
            _ => Home::of(input, self.size),
        }
    }

    /// Whether an instruction behind the segment reads a block before it is written again.
    fn is_read_behind(&self, block: usize) -> bool {
        let is_block =
            |operand: &Place| matches!(operand, Place::Register(other) if *other == block);
        for instruction in &self.instructions[self.range.end..] {
            if instruction.inputs.iter().any(is_block) {
                return true;
            }
            if is_block(&instruction.output) {
                return false;
            }
        }
        false
    }
}

/// Whether an address can hold the displacement.
fn is_near(home: &Home) -> bool {
    const FAR: usize = 1 << 27;
    match home {
        Home::Array(Array::Arena(at))
        | Home::Scalar(Array::Arena(at))
        | Home::Element(Array::Arena(at)) => *at < FAR,
        Home::Block(block) => block * BLOCK < FAR,
        _ => true,
    }
}

/// The last operand of an instruction, before its address is worked out.
#[derive(Clone, Copy)]
enum Source {
    Register(Reg),
    /// A value in memory.
    Value(usize),
    Constant(Constant),
    Memory(Memory),
}

/// The code for a chunk, or half of one with AVX2; and what the registers hold while it is written.
struct Body<'a> {
    a: &'a mut Assembler,
    width: Width,
    values: &'a [Value],
    lines: &'a [Line],
    size: usize,
    /// Scalars that are loaded before the loop.
    pinned: HashMap<usize, Reg>,
    free: Vec<Reg>,
    /// Values in registers, other than pinned ones.
    held: Vec<(Reg, usize)>,
    registers: Vec<Option<Reg>>,
    /// Whether a value that the segment makes is in its place in memory.
    in_memory: Vec<bool>,
    /// Of each sum: even and odd chunks, each with its halves.
    accumulators: Vec<Vec<Reg>>,
    /// Bytes from the current chunk to the one that is written, or half.
    displacement: i32,
    /// Constant arrays whose addresses are in registers.
    constants: Vec<(*const f64, Gpr)>,
}

impl Body<'_> {
    fn emit(&mut self, opcode: Opcode, to: Reg, second: Reg, third: Source) {
        let third = self.resolved(third);
        self.a
            .vector(opcode, self.width, to, second, third, None, None);
    }

    fn emit_masked(&mut self, opcode: Opcode, to: Reg, second: Reg, third: Source, mask: Masked) {
        let third = self.resolved(third);
        self.a
            .vector(opcode, self.width, to, second, third, Some(mask), None);
    }

    /// The operand; its address may be in `rax` until the next is resolved.
    fn resolved(&mut self, source: Source) -> Operand {
        match source {
            Source::Register(register) => Operand::Register(register),
            Source::Value(id) => Operand::Memory(self.address(id)),
            Source::Constant(constant) => Operand::Memory(Memory::Pool(constant)),
            Source::Memory(memory) => Operand::Memory(memory),
        }
    }

    fn load(&mut self, to: Reg, from: Source) {
        self.emit(LOAD, to, 0, from);
    }

    fn store(&mut self, register: Reg, to: Memory) {
        self.emit(STORE, register, 0, Source::Memory(to));
    }

    /// Puts addresses of constant arrays into registers, as many as there are.
    fn hold_constants(&mut self) {
        let mut free = vec![Gpr::R10, Gpr::R9];
        for value in self.values {
            if let Home::Array(Array::Constant(tensor, start)) = &value.home {
                let address = tensor.buffer()[*start..].as_ptr();
                let is_held = self.constants.iter().any(|(other, _)| *other == address);
                if let (false, Some(register)) = (is_held, free.pop()) {
                    self.a.set(register, address as u64);
                    self.constants.push((address, register));
                }
            }
        }
    }

    /// Loads the scalars that are read most often, as long as enough registers are left.
    fn pin_scalars(&mut self) {
        let is_scalar = |id: &usize| matches!(self.values[*id].home, Home::Scalar(_));
        let mut scalars: Vec<usize> = (0..self.values.len()).filter(is_scalar).collect();
        scalars.sort_by_key(|&id| std::cmp::Reverse(self.values[id].uses.len()));
        for id in scalars {
            if self.free.len() <= WORKING {
                break;
            }
            let register = self.free.remove(0);
            self.load(register, Source::Value(id));
            self.pinned.insert(id, register);
        }
    }

    /// Where a value lies; what the address needs is put into `rax`.
    fn address(&mut self, id: usize) -> Memory {
        let values = self.values;
        let (place, index, displacement) = match &values[id].home {
            Home::Array(place) if self.size > 1 => (place, Some(Gpr::Rdx), self.displacement),
            Home::Array(place) => (place, None, self.displacement),
            Home::Scalar(place) | Home::Element(place) => (place, None, 0),
            Home::Block(block) => {
                let displacement = (8 * block * BLOCK) as i32 + self.displacement;
                return match self.size {
                    1 => Memory::At(Gpr::Rsi, None, displacement),
                    _ => Memory::At(Gpr::R11, Some(Gpr::Rdx), displacement),
                };
            }
        };
        match place {
            Array::Arena(offset) => Memory::At(Gpr::Rdi, index, 8 * *offset as i32 + displacement),
            Array::Constant(tensor, start) => {
                let address = tensor.buffer()[*start..].as_ptr();
                let held = self.constants.iter().find(|(other, _)| *other == address);
                let base = held.map_or(Gpr::Rax, |(_, register)| *register);
                if base == Gpr::Rax {
                    self.a.set(base, address as u64);
                }
                Memory::At(base, index, displacement)
            }
        }
    }

    /// The code for half `half` of an even or odd chunk, of which `first` lanes count, if given.
    fn chunk(&mut self, parity: usize, half: usize, first: Option<u8>) {
        self.displacement = parity as i32 * CHUNK + half as i32 * 32;
        self.in_memory.fill(false);
        let lines = self.lines;
        for (at, line) in lines.iter().enumerate() {
            match line.action {
                Action::Accumulate(k) => {
                    let halves = self.accumulators[k].len() / 2;
                    let sum = self.accumulators[k][parity * halves + half];
                    let lanes = first.map(|lanes| lanes.saturating_sub(4 * half as u8));
                    self.accumulate(at, &line.inputs, sum, lanes);
                }
                Action::Copy => {
                    let to = self.copy_of(at, line.inputs[0]);
                    self.define(at, line, to);
                }
                Action::Map(function) => {
                    let to = self.map(at, function, &line.inputs);
                    self.define(at, line, to);
                }
            }
        }
        debug_assert!(self.held.is_empty());
    }

    fn accumulate(&mut self, at: usize, inputs: &[usize], sum: Reg, first: Option<u8>) {
        if let Some(lanes) = first {
            let mask = Source::Constant(Constant::First(lanes));
            let masked: Vec<Reg> = inputs
                .iter()
                .map(|&input| {
                    let source = self.register(at, input);
                    let to = self.allocate(at);
                    self.emit(AND, to, source, mask);
                    to
                })
                .collect();
            match masked[..] {
                [x] => self.emit(ADD, sum, sum, Source::Register(x)),
                [x, y] => self.emit(ADD_PRODUCT, sum, x, Source::Register(y)),
                _ => unreachable!("a sum has one input, a dot product two"),
            }
            self.free.extend(masked);
        } else {
            match *inputs {
                [x] => {
                    let x = self.operand(at, x);
                    self.emit(ADD, sum, sum, x);
                }
                [x, y] => {
                    // One of the factors may be read from memory.
                    let (x, y) = if self.is_held(x) { (x, y) } else { (y, x) };
                    let x = self.register(at, x);
                    let y = self.operand(at, y);
                    self.emit(ADD_PRODUCT, sum, x, y);
                }
                _ => unreachable!("a sum has one input, a dot product two"),
            }
        }
        self.release(at, inputs);
    }

    /// The line's value is in the register now.
    fn define(&mut self, at: usize, line: &Line, register: Reg) {
        let Some(id) = line.output else { return };
        if self.values[id].stored {
            let target = self.address(id);
            self.store(register, target);
            if self.size == 1
                && self.width == Width::Ymm
                && let Memory::At(base, index, displacement) = target
            {
                self.store(register, Memory::At(base, index, displacement + 32));
            }
            self.in_memory[id] = true;
        }
        if self.next_use(id, at).is_some() {
            self.hold(register, id);
        } else {
            self.free.push(register);
        }
    }

    fn hold(&mut self, register: Reg, id: usize) {
        self.registers[id] = Some(register);
        self.held.push((register, id));
    }

    fn next_use(&self, id: usize, at: usize) -> Option<usize> {
        let uses = &self.values[id].uses;
        uses.get(uses.partition_point(|&line| line <= at)).copied()
    }

    /// Frees the registers of values that no line behind `at` reads.
    fn release(&mut self, at: usize, inputs: &[usize]) {
        for &id in inputs {
            if self.next_use(id, at).is_none()
                && let Some(register) = self.registers[id].take()
            {
                self.held.retain(|(other, _)| *other != register);
                self.free.push(register);
            }
        }
    }

    /// A register without a value; if there is none, that of the value which is read last. Inputs of the line stay.
    fn allocate(&mut self, at: usize) -> Reg {
        if let Some(register) = self.free.pop() {
            return register;
        }
        let inputs = &self.lines[at].inputs;
        let others = self.held.iter().filter(|(_, id)| !inputs.contains(id));
        let (register, id) = *others
            .max_by_key(|(_, id)| self.next_use(*id, at))
            .expect("a line has fewer inputs than there are registers");
        if self.values[id].made && !self.in_memory[id] {
            let target = self.address(id);
            self.store(register, target);
            self.in_memory[id] = true;
        }
        self.registers[id] = None;
        self.held.retain(|(other, _)| *other != register);
        register
    }

    fn is_held(&self, id: usize) -> bool {
        self.registers[id].is_some() || self.pinned.contains_key(&id)
    }

    /// The register of a value, which is loaded if need be.
    fn register(&mut self, at: usize, id: usize) -> Reg {
        if let Some(register) = self.registers[id].or(self.pinned.get(&id).copied()) {
            return register;
        }
        let register = self.allocate(at);
        match self.values[id].home {
            Home::Element(_) => {
                let element = Operand::Memory(self.address(id));
                self.a.broadcast(self.width, register, element);
            }
            _ => self.load(register, Source::Value(id)),
        }
        self.hold(register, id);
        register
    }

    /// The register of a value, or its address if no later line reads it.
    fn operand(&mut self, at: usize, id: usize) -> Source {
        let is_read_again =
            self.next_use(id, at).is_some() || matches!(self.values[id].home, Home::Element(_));
        match self.is_held(id) || is_read_again {
            true => Source::Register(self.register(at, id)),
            false => Source::Value(id),
        }
    }

    /// A copy of a value that may be overwritten: its own register if this is its last use.
    fn copy_of(&mut self, at: usize, id: usize) -> Reg {
        let is_last = self.next_use(id, at).is_none();
        if is_last && !self.pinned.contains_key(&id) {
            let register = self.register(at, id);
            self.registers[id] = None;
            self.held.retain(|(other, _)| *other != register);
            return register;
        }
        let from = self.operand(at, id);
        let to = self.allocate(at);
        self.emit(LOAD, to, 0, from);
        to
    }

    /// Computes a function; returns the register of the result.
    fn map(&mut self, at: usize, function: ScalarFn, inputs: &[usize]) -> Reg {
        use ScalarFn::*;
        match function {
            StopGradient | ToFloat64 => self.copy_of(at, inputs[0]),
            Neg => self.with_constant(at, XOR, inputs[0], Constant::SignBit),
            Abs => self.with_constant(at, AND, inputs[0], Constant::AllButSign),
            Sqr => {
                let x = self.register(at, inputs[0]);
                self.result(at, inputs, |body, to| {
                    body.emit(MUL, to, x, Source::Register(x));
                })
            }
            Sqrt => {
                let x = self.operand(at, inputs[0]);
                self.result(at, inputs, |body, to| body.emit(SQRT, to, 0, x))
            }
            Reciprocal => {
                let one = self.allocate(at);
                self.load(one, Source::Constant(Constant::One));
                let x = self.operand(at, inputs[0]);
                self.emit(DIV, one, one, x);
                self.release(at, inputs);
                one
            }
            Add => self.binary(at, ADD, true, inputs),
            Mul => self.binary(at, MUL, true, inputs),
            Sub => self.binary(at, SUB, false, inputs),
            Div => self.binary(at, DIV, false, inputs),
            MulAdd => self.fused(at, ADD_PRODUCT, inputs),
            MulSub => self.fused(at, PRODUCT_LESS, inputs),
            SubMul => self.fused(at, LESS_PRODUCT, inputs),
            Maximum => self.extreme(at, MAX, inputs),
            Minimum => self.extreme(at, MIN, inputs),
            Eq => self.truth(at, predicate::EQ, inputs),
            Ne => self.truth(at, predicate::NE, inputs),
            Lt => self.truth(at, predicate::LT, inputs),
            Le => self.truth(at, predicate::LE, inputs),
            Gt => self.truth(at, predicate::GT, inputs),
            Ge => self.truth(at, predicate::GE, inputs),
            IsNan => self.truth(at, predicate::UNORDERED, &[inputs[0], inputs[0]]),
            IsInf => {
                let x = self.register(at, inputs[0]);
                self.result(at, inputs, |body, to| {
                    let infinity = Source::Constant(Constant::Infinity);
                    body.emit(AND, to, x, Source::Constant(Constant::AllButSign));
                    body.compare(predicate::EQ, to, to, infinity, None);
                    body.ones(to);
                })
            }
            Not => {
                let x = self.register(at, inputs[0]);
                self.result(at, inputs, |body, to| {
                    body.compare(predicate::EQ, to, x, ZERO, None);
                    body.ones(to);
                })
            }
            And => {
                let (x, y) = (self.register(at, inputs[0]), self.register(at, inputs[1]));
                let other = self.allocate(at);
                self.compare(predicate::NE, other, x, ZERO, None);
                let to = self.result(at, inputs, |body, to| {
                    body.compare(predicate::NE, to, y, ZERO, Some(other));
                    body.ones(to);
                });
                self.free.push(other);
                to
            }
            Scale => self.guarded(at, MUL, inputs),
            Quotient => self.guarded(at, DIV, inputs),
            Check => {
                let mask = self.allocate(at);
                let condition = self.register(at, inputs[1]);
                self.compare(predicate::NE, mask, condition, ZERO, None);
                let to = self.allocate(at);
                self.load(to, Source::Constant(Constant::NegativeInfinity));
                let x = self.operand(at, inputs[0]);
                self.select(to, mask, x, to);
                self.free.push(mask);
                self.release(at, inputs);
                to
            }
            Where => {
                let mask = self.allocate(at);
                let condition = self.register(at, inputs[0]);
                self.compare(predicate::NE, mask, condition, ZERO, None);
                let otherwise = self.register(at, inputs[2]);
                let then = self.operand(at, inputs[1]);
                let to = self.result(at, inputs, |body, to| {
                    body.select(to, mask, then, otherwise);
                });
                self.free.push(mask);
                to
            }
            _ => unreachable!("segments do not hold this function"),
        }
    }

    /// Writes what makes the result, in a register that may be one of an input.
    fn result(&mut self, at: usize, inputs: &[usize], write: impl FnOnce(&mut Self, Reg)) -> Reg {
        self.release(at, inputs);
        let to = self.allocate(at);
        write(self, to);
        to
    }

    fn with_constant(&mut self, at: usize, opcode: Opcode, input: usize, other: Constant) -> Reg {
        let x = self.register(at, input);
        self.result(at, &[input], |body, to| {
            body.emit(opcode, to, x, Source::Constant(other));
        })
    }

    fn binary(&mut self, at: usize, opcode: Opcode, commutes: bool, inputs: &[usize]) -> Reg {
        let (x, y) = match commutes && !self.is_held(inputs[0]) {
            true => (inputs[1], inputs[0]),
            false => (inputs[0], inputs[1]),
        };
        let x = self.register(at, x);
        let y = self.operand(at, y);
        self.result(at, inputs, |body, to| body.emit(opcode, to, x, y))
    }

    /// x y + z and its like: the instruction overwrites z.
    fn fused(&mut self, at: usize, opcode: Opcode, inputs: &[usize]) -> Reg {
        let (x, y) = match self.is_held(inputs[0]) {
            true => (inputs[0], inputs[1]),
            false => (inputs[1], inputs[0]),
        };
        let x = self.register(at, x);
        let y = match y == inputs[2] {
            true => Source::Register(self.register(at, y)),
            false => self.operand(at, y),
        };
        let to = self.copy_of(at, inputs[2]);
        self.emit(opcode, to, x, y);
        self.release(at, inputs);
        to
    }

    /// The larger or the smaller, the first where it is NaN.
    fn extreme(&mut self, at: usize, opcode: Opcode, inputs: &[usize]) -> Reg {
        let x = self.register(at, inputs[0]);
        let y = self.operand(at, inputs[1]);
        let to = self.allocate(at);
        self.emit(opcode, to, x, y);
        let mask = self.allocate(at);
        self.compare(predicate::UNORDERED, mask, x, Source::Register(x), None);
        self.select(to, mask, Source::Register(x), to);
        self.free.push(mask);
        self.release(at, inputs);
        to
    }

    /// 1 where a comparison holds, else 0.
    fn truth(&mut self, at: usize, predicate: u8, inputs: &[usize]) -> Reg {
        let x = self.register(at, inputs[0]);
        let y = self.operand(at, inputs[1]);
        self.result(at, inputs, |body, to| {
            body.compare(predicate, to, x, y, None);
            body.ones(to);
        })
    }

    /// A product or quotient, 0 where the first is.
    fn guarded(&mut self, at: usize, opcode: Opcode, inputs: &[usize]) -> Reg {
        let g = self.register(at, inputs[0]);
        let mask = self.allocate(at);
        self.compare(predicate::NE, mask, g, ZERO, None);
        let d = self.operand(at, inputs[1]);
        let to = self.result(at, inputs, |body, to| match body.width {
            Width::Zmm => body.emit_masked(opcode, to, g, d, Masked::Zero(1)),
            _ => {
                body.emit(opcode, to, g, d);
                body.emit(AND, to, to, Source::Register(mask));
            }
        });
        self.free.push(mask);
        to
    }

    /// Where a comparison holds, and the mask `and`, if there is one: in register `to`, or with AVX-512 in mask
    /// register 1, where `and` is too.
    fn compare(&mut self, predicate: u8, to: Reg, x: Reg, y: Source, and: Option<Reg>) {
        let (width, y) = (self.width, self.resolved(y));
        match width {
            Width::Zmm => {
                let masked = and.map(|_| Masked::Keep(1));
                self.a
                    .vector(COMPARE, width, 1, x, y, masked, Some(predicate));
            }
            _ => {
                self.a
                    .vector(COMPARE, width, to, x, y, None, Some(predicate));
                if let Some(and) = and {
                    self.emit(AND, to, to, Source::Register(and));
                }
            }
        }
    }

    /// Makes a mask 1 where it holds, else 0.
    fn ones(&mut self, mask: Reg) {
        let ones = Source::Constant(Constant::One);
        match self.width {
            Width::Zmm => self.emit_masked(LOAD, mask, 0, ones, Masked::Zero(1)),
            _ => self.emit(AND, mask, mask, ones),
        }
    }

    /// `then` where the mask holds, else `otherwise`.
    fn select(&mut self, to: Reg, mask: Reg, then: Source, otherwise: Reg) {
        match self.width {
            Width::Zmm => {
                self.emit_masked(BLEND_MASKED, to, otherwise, then, Masked::Keep(1));
            }
            _ => {
                let then = self.resolved(then);
                self.a.blend(to, otherwise, then, mask);
            }
        }
    }
}

const ZERO: Source = Source::Constant(Constant::Zero);

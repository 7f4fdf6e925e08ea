//! Writes straight-line code for a list of operations, with values in registers.
//!
//! A value is loaded at its first use or read in place at its only one, stays in its register to its last use, and goes
//! to memory if registers run out: the one that is read last goes first.

use super::assembler::*;
use super::code::{Base, Code, Extent, Item, Location};
use super::trace::{Id, Line, Verb};
use crate::kernels::simd::LANES;

/// Bytes of a chunk.
pub const CHUNK: i32 = 8 * LANES as i32;

/// Registers that values which are the same in all chunks must leave to others.
const WORKING: usize = 9;

/// Bytes for a value that has no register.
const SLOT: i32 = 64;

/// How the code finds its memory.
#[derive(Clone)]
pub struct Addressing {
    /// What is added to addresses of chunks; nothing where they are fixed.
    pub index: Option<Gpr>,
    /// Where blocks in cache begin, seen from that index.
    pub blocks: Gpr,
    /// Bytes from the first block to the room for values without a register.
    pub slots: i32,
    /// May hold addresses of constants.
    pub free: Vec<Gpr>,
    /// Where the cursors of a recurrence are.
    pub cursors: Vec<Gpr>,
}

/// The part of a chunk that one register holds.
#[derive(Clone, Copy)]
pub struct Part {
    /// Bytes from the index.
    pub displacement: i32,
    /// Which accumulators sums go to.
    pub accumulator: usize,
    /// Lanes that lie in arrays, if not all do.
    pub first: Option<u8>,
}

/// The code for one register's part of a chunk; and what registers hold while it is written.
pub struct Body<'a> {
    pub a: &'a mut Assembler,
    width: Width,
    /// Of the program: what a value fills that goes to all lanes.
    widest: Width,
    code: &'a Code,
    /// Items that read each value, in order.
    uses: Vec<Vec<usize>>,
    addressing: Addressing,
    part: Part,
    free: Vec<Reg>,
    /// Values in registers, other than pinned ones.
    held: Vec<Id>,
    registers: Vec<Option<Reg>>,
    /// Registers of values that are loaded once.
    pinned: Vec<Option<Reg>>,
    /// Where values are that had to leave their registers.
    slots: Vec<Option<i32>>,
    used_slots: i32,
    most_slots: i32,
    /// Slots of accumulators, which keep them.
    kept_slots: i32,
    /// Of each sum.
    accumulators: Vec<Vec<Accumulator>>,
    /// Addresses of constant arrays that are in registers.
    constants: Vec<(usize, Gpr)>,
    /// With AVX-512, comparisons that are in mask register 1 alone.
    masks: Vec<bool>,
}

/// Where a sum is added up.
#[derive(Clone, Copy)]
enum Accumulator {
    Register(Reg),
    Slot(i32),
}

/// Sums that are added up in registers.
fn sums_in_registers(width: Width) -> usize {
    match width {
        Width::Zmm => 6,
        _ => 2,
    }
}

/// The last operand of an instruction, before its address is worked out.
#[derive(Clone, Copy)]
enum Source {
    Register(Reg),
    Location(Location),
    Memory(Memory),
    Constant(Constant),
}

impl<'a> Body<'a> {
    /// A body with so many accumulators for each sum.
    pub fn new(
        a: &'a mut Assembler,
        width: Width,
        widest: Width,
        code: &'a Code,
        addressing: Addressing,
        accumulators: usize,
    ) -> Body<'a> {
        let count = code.lines.len();
        let mut uses = vec![vec![]; count];
        for (at, item) in code.items.iter().enumerate() {
            for &id in item.reads(&code.lines) {
                if uses[id].last() != Some(&at) {
                    uses[id].push(at);
                }
            }
        }
        let mut body = Body {
            a,
            width,
            widest,
            code,
            uses,
            addressing,
            part: Part {
                displacement: 0,
                accumulator: 0,
                first: None,
            },
            free: (0..width.registers()).collect(),
            held: vec![],
            registers: vec![None; count],
            pinned: vec![None; count],
            slots: vec![None; count],
            used_slots: 0,
            most_slots: 0,
            kept_slots: 0,
            accumulators: vec![],
            constants: vec![],
            masks: vec![false; count],
        };
        if width == Width::Zmm {
            body.find_masks();
        }
        for sum in 0..code.sums.len() {
            let in_registers = sum < sums_in_registers(width);
            let taken = (0..accumulators).map(|_| body.accumulator(in_registers));
            let taken = taken.collect();
            body.accumulators.push(taken);
        }
        body
    }

    /// Zero, in a register if so wanted.
    fn accumulator(&mut self, in_register: bool) -> Accumulator {
        if in_register {
            let register = self.free.pop().expect("there are more than all sums take");
            self.emit(XOR, register, register, Source::Register(register));
            return Accumulator::Register(register);
        }
        let slot = self.kept_slots;
        self.kept_slots += 1;
        self.most_slots = self.kept_slots;
        self.emit(XOR, 0, 0, Source::Register(0));
        let target = Source::Memory(self.slot(slot));
        self.emit(STORE, 0, 0, target);
        Accumulator::Slot(slot)
    }

    /// The accumulators of a sum, all in registers, when nothing else is any more.
    pub fn settled(&mut self, sum: usize) -> Vec<Reg> {
        // The first two have other uses then.
        let accumulators = self.accumulators[sum].clone().into_iter().zip(2..);
        let settled = accumulators.map(|(accumulator, free)| match accumulator {
            Accumulator::Register(register) => register,
            Accumulator::Slot(slot) => {
                let source = Source::Memory(self.slot(slot));
                self.emit(LOAD, free, 0, source);
                free
            }
        });
        settled.collect()
    }

    /// Room that the code needs behind the blocks in cache, in bytes.
    pub fn room(&self) -> i32 {
        self.most_slots * SLOT
    }

    /// Comparisons whose every use stands before the next one and can read a mask register.
    fn find_masks(&mut self) {
        let mut next = usize::MAX;
        for (at, item) in self.code.items.iter().enumerate().rev() {
            let Item::Make(id) = *item else { continue };
            if !matches!(self.code.lines[id].verb, Verb::Compare(_)) {
                continue;
            }
            let reads_masks = |&at: &usize| match self.code.items[at] {
                Item::Make(user) => {
                    let Line { verb, arguments } = self.code.lines[user];
                    let [x, y, z] = arguments;
                    match verb {
                        Verb::Select | Verb::Usually => x == id && y != id && z != id,
                        Verb::And => x != y,
                        _ => false,
                    }
                }
                _ => false,
            };
            self.masks[id] = self.uses[id]
                .iter()
                .all(|use_at| *use_at < next && reads_masks(use_at));
            next = at;
        }
    }

    /// Puts what is the same in all chunks into registers, as far as it pays.
    pub fn prepare_loop(&mut self) {
        let mut free = self.addressing.free.clone();
        for location in &self.code.inputs {
            if let (Base::Constant(address), Extent::Stream) = (location.base, location.extent) {
                let is_held = self.constants.iter().any(|(other, _)| *other == address);
                if let (false, Some(register)) = (is_held, free.pop()) {
                    self.a.set(register, address as u64);
                    self.constants.push((address, register));
                }
            }
        }
        let carried = self.code.items.iter().filter_map(|item| match item {
            Item::Carry(_, input) => Some(*input),
            _ => None,
        });
        let carried: Vec<Id> = carried.collect();
        for &input in &carried {
            self.pin(input);
        }
        let is_same = |id: &Id| match self.code.lines[*id].verb {
            Verb::Input(number) => {
                let Location { base, extent, .. } = self.code.inputs[number];
                extent != Extent::Stream && !matches!(base, Base::Cursor(_))
            }
            _ => false,
        };
        let mut same: Vec<Id> = (0..self.code.lines.len())
            .filter(|id| is_same(id) && !self.uses[*id].is_empty())
            .collect();
        same.sort_by_key(|&id| std::cmp::Reverse(self.uses[id].len()));
        for id in same {
            if self.free.len() <= WORKING {
                break;
            }
            self.pin(id);
        }
    }

    /// Loads a value that keeps its register.
    fn pin(&mut self, id: Id) {
        let register = self.free.remove(0);
        self.load(register, id);
        self.pinned[id] = Some(register);
    }

    /// The code for a part of a chunk.
    pub fn write(&mut self, part: Part) {
        self.part = part;
        self.used_slots = self.kept_slots;
        self.slots.fill(None);
        let code = self.code;
        for (at, item) in code.items.iter().enumerate() {
            match *item {
                Item::Make(id) => self.make(at, id),
                Item::Store([id], location) => self.keep(at, id, location),
                Item::Sum(sum, x) => self.accumulate(at, sum, &x),
                Item::Dot(sum, x) => self.accumulate(at, sum, &x),
                Item::Carry([x], input) => {
                    let from = self.register(at, x);
                    let to = self.pinned[input].expect("carried inputs have registers");
                    self.emit(COPY, to, 0, Source::Register(from));
                    self.release(at, &[x]);
                }
            }
        }
        debug_assert!(self.held.is_empty());
    }

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
            Source::Location(location) => Operand::Memory(self.address(location)),
            Source::Memory(memory) => Operand::Memory(memory),
            Source::Constant(constant) => Operand::Memory(Memory::Pool(self.width, constant)),
        }
    }

    fn address(&mut self, location: Location) -> Memory {
        let (index, displacement) = match location.extent {
            Extent::Stream => (self.addressing.index, self.part.displacement),
            _ => (None, 0),
        };
        let displacement = displacement + 8 * location.at as i32;
        let base = match location.base {
            Base::Arena => Gpr::Rdi,
            Base::Position => Gpr::Rdx,
            Base::Results => Gpr::Rcx,
            Base::Block if location.extent == Extent::Stream => self.addressing.blocks,
            Base::Block => Gpr::Rsi,
            Base::Cursor(number) => self.addressing.cursors[number],
            Base::Constant(address) => {
                let held = self.constants.iter().find(|(other, _)| *other == address);
                match held {
                    Some((_, register)) => *register,
                    None => {
                        self.a.set(Gpr::Rax, address as u64);
                        Gpr::Rax
                    }
                }
            }
        };
        Memory::At(base, index, displacement)
    }

    fn slot(&self, number: i32) -> Memory {
        Memory::At(Gpr::Rsi, None, self.addressing.slots + SLOT * number)
    }

    /// Where a value can be read as an operand, if it is in memory.
    fn in_memory(&self, id: Id) -> Option<Source> {
        if let Some(slot) = self.slots[id] {
            return Some(Source::Memory(self.slot(slot)));
        }
        match self.code.lines[id].verb {
            Verb::Constant(bits) => Some(Source::Constant(Constant::Splat(bits))),
            Verb::Input(number) => {
                let location = self.code.inputs[number];
                let is_whole = match (location.extent, location.base) {
                    // Two lanes would be too many.
                    (Extent::One, Base::Position | Base::Cursor(_)) => false,
                    (Extent::One, _) => self.width == Width::Xmm,
                    (Extent::Stream, Base::Position) => self.part.first.is_none(),
                    _ => true,
                };
                is_whole.then_some(Source::Location(location))
            }
            _ => None,
        }
    }

    /// Loads a value that is in memory.
    fn load(&mut self, to: Reg, id: Id) {
        if let Some(source) = self.in_memory(id) {
            return match source {
                Source::Constant(Constant::Splat(0)) => {
                    self.emit(XOR, to, to, Source::Register(to));
                }
                _ => self.emit(LOAD, to, 0, source),
            };
        }
        let Verb::Input(number) = self.code.lines[id].verb else {
            unreachable!("a value is in a register or in memory")
        };
        let location = self.code.inputs[number];
        let memory = Operand::Memory(self.address(location));
        match (location.extent, self.width) {
            (Extent::One, Width::Xmm) => self.a.vector(LOAD, Width::Xmm, to, 0, memory, None, None),
            (Extent::One, width) => self.a.broadcast(width, to, memory),
            (_, width) => {
                // The last, partial chunk of an array that has nothing behind it.
                let lanes = self.part.first.unwrap_or(0).min(width.bytes() as u8 / 8);
                self.load_first(to, memory, lanes);
            }
        }
    }

    fn load_first(&mut self, to: Reg, memory: Operand, lanes: u8) {
        let same = Source::Register(to);
        let mask = Source::Constant(Constant::First(lanes));
        match (self.width, lanes) {
            (_, 0) => self.emit(XOR, to, to, same),
            (Width::Ymm, 4) => self.a.vector(LOAD, Width::Ymm, to, 0, memory, None, None),
            (Width::Ymm, _) => {
                self.emit(LOAD, to, 0, mask);
                self.a
                    .vector(LOAD_MASKED, Width::Ymm, to, to, memory, None, None);
            }
            _ => {
                self.emit(LOAD, to, 0, mask);
                self.emit(VECTOR_TO_MASK, 2, 0, same);
                let masked = Some(Masked::Zero(2));
                self.a.vector(LOAD, Width::Zmm, to, 0, memory, masked, None);
            }
        }
    }

    /// Writes a value to memory.
    fn keep(&mut self, at: usize, id: Id, location: Location) {
        let register = self.register(at, id);
        let lanes = self.width.bytes() as u8 / 8;
        match (location.extent, self.part.first) {
            (Extent::Stream, Some(first)) if location.base == Base::Results && first < lanes => {
                self.store_first(at, register, location, first);
            }
            (Extent::Stream, _) => self.emit(STORE, register, 0, Source::Location(location)),
            _ => self.keep_single(register, location),
        }
        self.release(at, &[id]);
    }

    /// Writes the first lane to memory, there perhaps to all.
    pub fn keep_single(&mut self, register: Reg, location: Location) {
        let Memory::At(base, index, displacement) = self.address(location) else {
            unreachable!("constants are not written")
        };
        let (width, parts) = match (location.extent, self.widest) {
            (Extent::All, Width::Zmm) => (Width::Zmm, 1),
            (Extent::All, _) => (Width::Ymm, 2),
            _ => (Width::Xmm, 1),
        };
        if location.extent == Extent::All {
            self.a
                .broadcast(width, register, Operand::Register(register));
        }
        for part in 0..parts {
            let target = Operand::Memory(Memory::At(base, index, displacement + 32 * part));
            self.a.vector(STORE, width, register, 0, target, None, None);
        }
    }

    /// Writes the first lanes to memory.
    fn store_first(&mut self, at: usize, register: Reg, location: Location, lanes: u8) {
        if lanes == 0 {
            return;
        }
        let Memory::At(base, index, displacement) = self.address(location) else {
            unreachable!("constants are not written")
        };
        let behind = |bytes: i32| Operand::Memory(Memory::At(base, index, displacement + bytes));
        let other = self.allocate(at);
        if self.width == Width::Zmm {
            self.emit(LOAD, other, 0, Source::Constant(Constant::First(lanes)));
            self.emit(VECTOR_TO_MASK, 2, 0, Source::Register(other));
            let masked = Some(Masked::Keep(2));
            self.a
                .vector(STORE, Width::Zmm, register, 0, behind(0), masked, None);
        } else {
            let low = if lanes == 1 { STORE } else { STORE_PAIR };
            self.a
                .vector(low, Width::Xmm, register, 0, behind(0), None, None);
            if lanes == 3 {
                self.a.upper_half(other, register);
                self.a
                    .vector(STORE, Width::Xmm, other, 0, behind(16), None, None);
            }
        }
        self.free.push(other);
    }

    /// Adds the first, masked value, or the product of two, to a sum.
    fn accumulate(&mut self, at: usize, sum: usize, inputs: &[Id]) {
        let accumulator = self.accumulators[sum][self.part.accumulator];
        let sum = match accumulator {
            Accumulator::Register(register) => register,
            Accumulator::Slot(slot) => {
                let register = self.allocate(at);
                let source = Source::Memory(self.slot(slot));
                self.emit(LOAD, register, 0, source);
                register
            }
        };
        if let Some(lanes) = self.part.first {
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
                [x, y] => self.emit(MUL_ADD.sum_of_first, sum, x, Source::Register(y)),
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
                    let (x, y) = self.memory_last(x, y);
                    let x = self.register(at, x);
                    let y = self.operand(at, y);
                    self.emit(MUL_ADD.sum_of_first, sum, x, y);
                }
                _ => unreachable!("a sum has one input, a dot product two"),
            }
        }
        if let Accumulator::Slot(slot) = accumulator {
            let target = Source::Memory(self.slot(slot));
            self.emit(STORE, sum, 0, target);
            self.free.push(sum);
        }
        self.release(at, inputs);
    }

    /// The two, so that the second may be read from memory.
    fn memory_last(&self, x: Id, y: Id) -> (Id, Id) {
        match self.is_held(x) {
            true => (x, y),
            false => (y, x),
        }
    }

    /// Carries out a line.
    fn make(&mut self, at: usize, id: Id) {
        let line = self.code.lines[id];
        let arguments = line.arguments();
        let [x, y, z] = line.arguments;
        let to = match line.verb {
            Verb::Input(_) | Verb::Constant(_) => unreachable!("leaves are not made"),
            Verb::Add => self.binary(at, ADD, line),
            Verb::Sub => self.binary(at, SUB, line),
            Verb::Mul => self.binary(at, MUL, line),
            Verb::Div => self.binary(at, DIV, line),
            Verb::Min => self.binary(at, MIN, line),
            Verb::Max => self.binary(at, MAX, line),
            Verb::And if self.masks[x] => self.masked(at, y, arguments),
            Verb::And if self.masks[y] => self.masked(at, x, arguments),
            Verb::And => self.binary(at, AND, line),
            Verb::Or => self.binary(at, OR, line),
            Verb::Xor => self.binary(at, XOR, line),
            Verb::AddBits => self.binary(at, ADD_BITS, line),
            Verb::ScaleExp2 => self.binary(at, SCALE_EXP2, line),
            Verb::Sqrt => self.unary(at, SQRT, x, None),
            Verb::Round(way) => self.unary(at, ROUND, x, Some(way)),
            Verb::Shl52 => self.shifted(at, LEFT, x),
            Verb::Shr52 => self.shifted(at, RIGHT, x),
            Verb::MulAdd => self.fused(at, MUL_ADD, line.arguments),
            Verb::MulSub => self.fused(at, MUL_SUB, line.arguments),
            Verb::SubMul => self.fused(at, SUB_MUL, line.arguments),
            Verb::Compare(predicate) => {
                let first = self.register(at, x);
                let second = self.operand(at, y);
                let second = self.resolved(second);
                match self.width {
                    Width::Zmm => {
                        let immediate = Some(predicate);
                        self.a
                            .vector(COMPARE, self.width, 1, first, second, None, immediate);
                        self.release(at, arguments);
                        if self.masks[id] {
                            return;
                        }
                        let to = self.allocate(at);
                        self.emit(MASK_TO_VECTOR, to, 0, Source::Register(1));
                        to
                    }
                    width => self.result(at, arguments, |body, to| {
                        body.a
                            .vector(COMPARE, width, to, first, second, None, Some(predicate));
                    }),
                }
            }
            Verb::Usually if self.width == Width::Xmm => self.predicted(at, line.arguments),
            Verb::Select | Verb::Usually => {
                let mask = match self.masks[x] {
                    true => None,
                    false => Some(self.register(at, x)),
                };
                let otherwise = self.register(at, z);
                let then = self.operand(at, y);
                let then = self.resolved(then);
                self.result(at, arguments, |body, to| match (body.width, mask) {
                    (Width::Zmm, mask) => {
                        let number = match mask {
                            None => 1,
                            Some(mask) => {
                                body.emit(VECTOR_TO_MASK, 2, 0, Source::Register(mask));
                                2
                            }
                        };
                        let keep = Some(Masked::Keep(number));
                        body.a
                            .vector(BLEND_MASKED, body.width, to, otherwise, then, keep, None);
                    }
                    (width, mask) => {
                        let mask = mask.expect("only AVX-512 has mask registers");
                        body.a.blend(width, to, otherwise, then, mask);
                    }
                })
            }
        };
        debug_assert!(self.next_use(id, at).is_some());
        self.hold(to, id);
    }

    /// `then` where the mask is true, else `otherwise`, by a jump: where the processor foresees it, what follows does not
    /// wait for the mask.
    fn predicted(&mut self, at: usize, arguments @ [mask, then, otherwise]: [Id; 3]) -> Reg {
        let mask = self.register(at, mask);
        let otherwise = self.register(at, otherwise);
        let then = self.register(at, then);
        self.a.test_lane(mask);
        // Moves leave alone what was tested.
        self.result(at, &arguments, |body, to| {
            let (first, second, condition) = match to == otherwise {
                true => (otherwise, then, Condition::Zero),
                false => (then, otherwise, Condition::NotZero),
            };
            if to != first {
                body.emit(COPY, to, 0, Source::Register(first));
            }
            let jump = body.a.jump(condition);
            body.emit(COPY, to, 0, Source::Register(second));
            body.a.land(jump);
        })
    }

    /// `x` where the mask register is true, else 0.
    fn masked(&mut self, at: usize, x: Id, arguments: &[Id]) -> Reg {
        let x = self.operand(at, x);
        self.result(at, arguments, |body, to| {
            let opcode = match x {
                Source::Register(_) => COPY,
                _ => LOAD,
            };
            body.emit_masked(opcode, to, 0, x, Masked::Zero(1));
        })
    }

    fn unary(&mut self, at: usize, opcode: Opcode, x: Id, immediate: Option<u8>) -> Reg {
        let x_source = self.operand(at, x);
        let x_operand = self.resolved(x_source);
        self.result(at, &[x], |body, to| {
            // An instruction on one lane takes the others from its second operand.
            let second = match (body.width, x_source) {
                (Width::Xmm, Source::Register(x)) => x,
                (Width::Xmm, _) => to,
                _ => 0,
            };
            body.a
                .vector(opcode, body.width, to, second, x_operand, None, immediate);
        })
    }

    fn shifted(&mut self, at: usize, direction: Reg, x: Id) -> Reg {
        let from = Operand::Register(self.register(at, x));
        self.result(at, &[x], |body, to| {
            body.a
                .vector(SHIFT, body.width, direction, to, from, None, Some(52));
        })
    }

    fn binary(&mut self, at: usize, opcode: Opcode, line: Line) -> Reg {
        let [x, y, _] = line.arguments;
        let (x, y) = match line.verb.commutes() {
            true => self.memory_last(x, y),
            false => (x, y),
        };
        let x = self.register(at, x);
        let y = self.operand(at, y);
        let y = self.resolved(y);
        self.result(at, line.arguments(), |body, to| {
            body.a.vector(opcode, body.width, to, x, y, None, None);
        })
    }

    /// A product and a sum: the instruction overwrites one of the three.
    fn fused(&mut self, at: usize, forms: Fused, [x, y, z]: [Id; 3]) -> Reg {
        let is_free =
            |body: &Self, id: Id| body.registers[id].is_some() && body.next_use(id, at).is_none();
        let to = if x != z && y != z && !is_free(self, z) && x != y && is_free(self, x) {
            let y = self.register(at, y);
            let z = self.operand(at, z);
            let to = self.taken(x);
            self.emit(forms.product_of_first, to, y, z);
            to
        } else if x != z && y != z && !is_free(self, z) && x != y && is_free(self, y) {
            let x = self.register(at, x);
            let z = self.operand(at, z);
            let to = self.taken(y);
            self.emit(forms.product_of_first, to, x, z);
            to
        } else {
            let (x, y) = self.memory_last(x, y);
            let first = self.register(at, x);
            // What is about to be overwritten must not be read from memory that is its own.
            let second = match y == z {
                true => Source::Register(self.register(at, y)),
                false => self.operand(at, y),
            };
            let to = match x == z || y == z || !is_free(self, z) {
                true => {
                    let to = self.allocate(at);
                    match self.registers[z].or(self.pinned[z]) {
                        Some(from) => self.emit(COPY, to, 0, Source::Register(from)),
                        None => self.load(to, z),
                    }
                    to
                }
                false => self.taken(z),
            };
            self.emit(forms.sum_of_first, to, first, second);
            to
        };
        self.release(at, &[x, y, z]);
        to
    }

    /// Writes what makes the result, in a register that may be one of an input.
    fn result(&mut self, at: usize, inputs: &[Id], write: impl FnOnce(&mut Self, Reg)) -> Reg {
        self.release(at, inputs);
        let to = self.allocate(at);
        write(self, to);
        to
    }

    fn hold(&mut self, register: Reg, id: Id) {
        self.registers[id] = Some(register);
        self.held.push(id);
    }

    /// The register of a value that nothing reads any more.
    fn taken(&mut self, id: Id) -> Reg {
        self.held.retain(|&other| other != id);
        self.registers[id]
            .take()
            .expect("the value is in a register")
    }

    fn is_held(&self, id: Id) -> bool {
        self.registers[id].is_some() || self.pinned[id].is_some()
    }

    fn next_use(&self, id: Id, at: usize) -> Option<usize> {
        let uses = &self.uses[id];
        uses.get(uses.partition_point(|&item| item <= at)).copied()
    }

    /// Frees the registers of values that no item behind `at` reads.
    fn release(&mut self, at: usize, ids: &[Id]) {
        for &id in ids {
            if self.registers[id].is_some() && self.next_use(id, at).is_none() {
                let register = self.taken(id);
                self.free.push(register);
            }
        }
    }

    /// A register without a value; if there is none, that of the value which is read last. What the item reads stays.
    fn allocate(&mut self, at: usize) -> Reg {
        if let Some(register) = self.free.pop() {
            return register;
        }
        let code = self.code;
        let reads = code.items[at].reads(&code.lines);
        let others = self.held.iter().filter(|id| !reads.contains(id));
        let id = *others
            .max_by_key(|id| self.next_use(**id, at))
            .expect("an item reads fewer values than there are registers");
        let register = self.taken(id);
        if self.in_memory(id).is_none() && !self.is_leaf(id) {
            let slot = self.used_slots;
            self.used_slots += 1;
            self.most_slots = self.most_slots.max(self.used_slots);
            let target = Operand::Memory(self.slot(slot));
            self.a.vector(
                self.whole_store(),
                self.width,
                register,
                0,
                target,
                None,
                None,
            );
            self.slots[id] = Some(slot);
        }
        register
    }

    /// A mask of one lane has to be found in two.
    fn whole_store(&self) -> Opcode {
        match self.width {
            Width::Xmm => STORE_PAIR,
            _ => STORE,
        }
    }

    fn is_leaf(&self, id: Id) -> bool {
        matches!(self.code.lines[id].verb, Verb::Input(_))
    }

    /// The register of a value, which is loaded if need be.
    fn register(&mut self, at: usize, id: Id) -> Reg {
        if let Some(register) = self.registers[id].or(self.pinned[id]) {
            return register;
        }
        let register = self.allocate(at);
        self.load(register, id);
        self.hold(register, id);
        register
    }

    /// The register of a value, or its address if no later item reads it.
    fn operand(&mut self, at: usize, id: Id) -> Source {
        let is_constant = matches!(self.code.lines[id].verb, Verb::Constant(_));
        match self.in_memory(id) {
            Some(source)
                if !self.is_held(id) && (is_constant || self.next_use(id, at).is_none()) =>
            {
                source
            }
            _ => Source::Register(self.register(at, id)),
        }
    }
}

//! Writes the few x86-64 instructions that native code consists of: AVX2 or AVX-512 on registers of f64.
//!
//! Encodings after Intel's Software Developer's Manual, volume 2 (VEX: 2.3, EVEX: 2.7). An instruction of AVX2 has the
//! VEX prefix and 4 lanes, or one where a pass has a single element; one of AVX-512 has the EVEX prefix and 8 lanes.

use std::collections::HashMap;

/// A general register.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Gpr {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbx = 3,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
    R12 = 12,
    R13 = 13,
    R14 = 14,
    R15 = 15,
}

/// A vector register.
pub type Reg = u8;

/// An address.
#[derive(Clone, Copy)]
pub enum Memory {
    /// base + index + displacement
    At(Gpr, Option<Gpr>, i32),
    /// A constant behind the code, for registers of a width.
    Pool(Width, Constant),
}

/// A register or an address.
#[derive(Clone, Copy)]
pub enum Operand {
    Register(Reg),
    Memory(Memory),
}

/// Bits behind the code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Constant {
    /// The same in all lanes.
    Splat(u64),
    /// All ones in the first lanes.
    First(u8),
}

impl Constant {
    fn lane(self, lane: usize) -> u64 {
        match self {
            Constant::Splat(bits) => bits,
            Constant::First(lanes) if lane < lanes.into() => u64::MAX,
            Constant::First(_) => 0,
        }
    }
}

/// Lanes that an instruction works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub enum Width {
    /// One lane (two, where bits are combined), in the VEX encoding.
    Xmm,
    /// Four, in the VEX encoding.
    Ymm,
    /// Eight, in the EVEX encoding.
    Zmm,
}

impl Width {
    /// Bytes of a register.
    pub fn bytes(self) -> usize {
        match self {
            Width::Xmm => 16,
            Width::Ymm => 32,
            Width::Zmm => 64,
        }
    }

    /// Number of registers.
    pub fn registers(self) -> u8 {
        match self {
            Width::Zmm => 32,
            _ => 16,
        }
    }
}

/// Opcode map, mandatory prefix, W and opcode of an instruction.
#[derive(Clone, Copy)]
pub struct Opcode {
    map: u8,
    prefix: u8,
    w: bool,
    code: u8,
    /// Prefix and opcode of the instruction on one lane, if it is another one.
    single: Option<(u8, u8)>,
    /// Whether it reads one element from memory, whatever its lanes.
    reads_element: bool,
}

const fn opcode(map: u8, prefix: u8, w: bool, code: u8) -> Opcode {
    Opcode {
        map,
        prefix,
        w,
        code,
        single: None,
        reads_element: false,
    }
}

/// Of map 1, where the prefix tells how many lanes there are.
const fn arithmetic(code: u8) -> Opcode {
    Opcode {
        single: Some((3, code)),
        ..opcode(1, 1, true, code)
    }
}

/// A fused product and sum.
const fn fused(code: u8) -> Opcode {
    Opcode {
        single: Some((1, code + 1)),
        ..opcode(2, 1, true, code)
    }
}

pub const ADD: Opcode = arithmetic(0x58);
pub const MUL: Opcode = arithmetic(0x59);
pub const SUB: Opcode = arithmetic(0x5c);
pub const MIN: Opcode = arithmetic(0x5d);
pub const DIV: Opcode = arithmetic(0x5e);
pub const MAX: Opcode = arithmetic(0x5f);
pub const SQRT: Opcode = arithmetic(0x51);
pub const LOAD: Opcode = arithmetic(0x10);
pub const STORE: Opcode = arithmetic(0x11);
pub const COMPARE: Opcode = arithmetic(0xc2);
pub const ROUND: Opcode = Opcode {
    single: Some((1, 0x0b)),
    ..opcode(3, 1, true, 0x09)
};
/// From register to register.
pub const COPY: Opcode = opcode(1, 1, true, 0x28);
/// Two lanes to memory.
pub const STORE_PAIR: Opcode = opcode(1, 1, true, 0x11);
pub const AND: Opcode = opcode(1, 1, true, 0x54);
pub const OR: Opcode = opcode(1, 1, true, 0x56);
pub const XOR: Opcode = opcode(1, 1, true, 0x57);
pub const ADD_BITS: Opcode = opcode(1, 1, true, 0xd4);
/// By an immediate number of bits; the first operand tells the direction: [`LEFT`] or [`RIGHT`].
pub const SHIFT: Opcode = opcode(1, 1, true, 0x73);
pub const LEFT: Reg = 6;
pub const RIGHT: Reg = 2;
/// Second x 2^third; AVX-512.
pub const SCALE_EXP2: Opcode = opcode(2, 1, true, 0x2c);
/// Products and sums of three operands.
#[derive(Clone, Copy)]
pub struct Fused {
    /// First and second multiplied, with third.
    pub product_of_first: Opcode,
    /// First, with the product of second and third.
    pub sum_of_first: Opcode,
}
/// Product + other.
pub const MUL_ADD: Fused = Fused {
    product_of_first: fused(0xa8),
    sum_of_first: fused(0xb8),
};
/// Product - other.
pub const MUL_SUB: Fused = Fused {
    product_of_first: fused(0xaa),
    sum_of_first: fused(0xba),
};
/// Other - product.
pub const SUB_MUL: Fused = Fused {
    product_of_first: fused(0xac),
    sum_of_first: fused(0xbc),
};
/// Third where the mask register is true, else second; AVX-512.
pub const BLEND_MASKED: Opcode = opcode(2, 1, true, 0x65);
/// All ones where the mask register is true; AVX-512.
pub const MASK_TO_VECTOR: Opcode = opcode(2, 2, true, 0x38);
/// The mask register = the sign bits; AVX-512.
pub const VECTOR_TO_MASK: Opcode = opcode(2, 2, true, 0x39);
/// Lanes where the second operand is negative, zero elsewhere, without reading those; AVX2.
pub const LOAD_MASKED: Opcode = opcode(2, 1, false, 0x2d);
const BLEND: Opcode = opcode(3, 1, false, 0x4b);
const BROADCAST: Opcode = opcode(2, 1, false, 0x19);
const BROADCAST_WIDE: Opcode = Opcode {
    reads_element: true,
    ..opcode(2, 1, true, 0x19)
};
const UPPER_HALF: Opcode = opcode(3, 1, false, 0x19);
const UPPER_HALF_WIDE: Opcode = opcode(3, 1, true, 0x1b);
const LANE_TO_GENERAL: Opcode = opcode(1, 1, true, 0x7e);
const UPPER_OF_PAIR: Opcode = opcode(1, 1, false, 0x15);

/// Predicates of comparisons; ordered ones are false for NaN. Bit 2 negates.
pub mod predicate {
    pub const EQ: u8 = 0;
    pub const NE: u8 = 4;
    pub const LT: u8 = 17;
    pub const LE: u8 = 18;
    pub const NEGATED: u8 = 4;
}

/// What a mask register does to the result.
#[derive(Clone, Copy)]
pub enum Masked {
    /// Lanes that are false keep what they were.
    Keep(u8),
    /// Lanes that are false become zero.
    Zero(u8),
}

/// Code as it is written.
#[derive(Default)]
pub struct Assembler {
    code: Vec<u8>,
    /// Constants, by the registers that they fill, and where in the code their distance is to be filled in.
    pool: HashMap<(Width, Constant), Vec<usize>>,
}

/// A place in the code.
#[derive(Clone, Copy)]
pub struct Label(usize);

/// A jump whose target is not known yet.
pub struct Jump(usize);

/// Condition of a jump, for unsigned numbers.
#[derive(Clone, Copy)]
pub enum Condition {
    Always,
    Above,
    NotBelow,
    Below,
    Zero,
    NotZero,
}

impl Assembler {
    /// Length of the code so far.
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// The code, followed by the constants.
    pub fn finish(mut self) -> Vec<u8> {
        self.code.resize(self.code.len().next_multiple_of(64), 0xcc);
        let mut pool: Vec<_> = std::mem::take(&mut self.pool).into_iter().collect();
        // The widest first, so that each is aligned; then as they were asked for.
        pool.sort_by_key(|((width, _), uses)| (std::cmp::Reverse(*width), uses[0]));
        for ((width, constant), uses) in pool {
            let target = self.code.len();
            for at in uses {
                self.fill(at, target);
            }
            for lane in 0..width.bytes() / 8 {
                self.code.extend(constant.lane(lane).to_le_bytes());
            }
        }
        self.code
    }

    /// An instruction on `reg` (first operand), `second` and `third`; some have an immediate byte.
    #[allow(clippy::too_many_arguments)] // the fields of an encoding
    pub fn vector(
        &mut self,
        opcode: Opcode,
        width: Width,
        reg: Reg,
        second: Reg,
        third: Operand,
        masked: Option<Masked>,
        immediate: Option<u8>,
    ) {
        let (x, b) = match third {
            Operand::Register(register) => (register >> 4 & 1, register >> 3 & 1),
            Operand::Memory(Memory::At(base, index, _)) => {
                (index.map_or(0, |index| index as u8 >> 3), base as u8 >> 3)
            }
            Operand::Memory(Memory::Pool(..)) => (0, 0),
        };
        let (prefix, code) = match opcode.single {
            Some(single) if width == Width::Xmm => single,
            _ => (opcode.prefix, opcode.code),
        };
        let r = reg >> 3 & 1;
        let second_low = (!second & 15) << 3;
        if width == Width::Zmm {
            let (zeroing, mask) = match masked {
                None => (0, 0),
                Some(Masked::Keep(mask)) => (0, mask),
                Some(Masked::Zero(mask)) => (1, mask),
            };
            let high = |bit: u8, at: u8| (bit ^ 1) << at;
            self.code.extend([
                0x62,
                high(r, 7) | high(x, 6) | high(b, 5) | high(reg >> 4 & 1, 4) | opcode.map,
                u8::from(opcode.w) << 7 | second_low | 1 << 2 | prefix,
                zeroing << 7 | 2 << 5 | high(second >> 4 & 1, 3) | mask,
            ]);
        } else {
            let long = u8::from(width == Width::Ymm);
            self.code.extend([
                0xc4,
                (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | opcode.map,
                u8::from(opcode.w) << 7 | second_low | long << 2 | prefix,
            ]);
        }
        self.code.push(code);
        // What EVEX counts short displacements in.
        let unit = match width {
            Width::Zmm if opcode.reads_element => 8,
            Width::Zmm => 64,
            _ => 1,
        };
        self.last_operand(unit, reg & 7, third, immediate.map_or(0, |_| 1));
        self.code.extend(immediate);
    }

    /// The bytes that name the register field and the last operand; a short displacement counts in `unit` bytes, and
    /// `behind` bytes of the instruction follow.
    fn last_operand(&mut self, unit: i32, reg: u8, operand: Operand, behind: usize) {
        match operand {
            Operand::Register(register) => self.code.push(3 << 6 | reg << 3 | register & 7),
            Operand::Memory(Memory::At(base, index, displacement)) => {
                let index = index.map_or(4, |index| index as u8 & 7);
                // One byte of displacement, or four.
                let low = displacement / unit;
                let is_short = displacement % unit == 0 && i8::try_from(low).is_ok();
                let mode = if is_short { 1 } else { 2 };
                self.code
                    .extend([mode << 6 | reg << 3 | 4, index << 3 | base as u8 & 7]);
                match is_short {
                    true => self.code.push(low as u8),
                    false => self.code.extend(displacement.to_le_bytes()),
                }
            }
            Operand::Memory(Memory::Pool(width, constant)) => {
                self.code.push(reg << 3 | 5);
                let at = self.code.len();
                // Distances count from the end of the instruction.
                self.code.extend((behind as i32).to_le_bytes());
                self.pool.entry((width, constant)).or_default().push(at);
            }
        }
    }

    /// Fills in the distance from the end of the instruction to `target`; it holds what follows behind it.
    fn fill(&mut self, at: usize, target: usize) {
        let field: &mut [u8; 4] = self.code[at..].first_chunk_mut().expect("four bytes");
        let behind = i32::from_le_bytes(*field);
        let end = at as i32 + 4 + behind;
        *field = (target as i32 - end).to_le_bytes();
    }

    /// `to` = `third` where the sign bit of `mask` is set, else `second`; AVX2.
    pub fn blend(&mut self, width: Width, to: Reg, second: Reg, third: Operand, mask: Reg) {
        let immediate = Some(mask << 4);
        self.vector(BLEND, width, to, second, third, None, immediate);
    }

    /// All lanes = one element in memory, or the first lane of a register.
    pub fn broadcast(&mut self, width: Width, to: Reg, from: Operand) {
        let opcode = match width {
            Width::Zmm => BROADCAST_WIDE,
            _ => BROADCAST,
        };
        self.vector(opcode, width, to, 0, from, None, None);
    }

    /// Lanes 2 and 3 of `from` to the lower ones of `to`.
    pub fn upper_half(&mut self, to: Reg, from: Reg) {
        let to = Operand::Register(to);
        // The operand that is written is the last one.
        self.vector(UPPER_HALF, Width::Ymm, from, 0, to, None, Some(1));
    }

    /// The first lane of register 0 = the sum of all lanes of `low`, or of `low` and `high` lanes, in the order of
    /// `sum::across`; registers 0 and 1 are overwritten.
    pub fn add_across(&mut self, low: Reg, high: Option<Reg>) {
        let upper = |a: &mut Assembler, opcode, width, from| {
            // The operand that is written is the last one.
            a.vector(opcode, width, from, 0, Operand::Register(1), None, Some(1));
        };
        let pair = opcode(1, 1, true, 0x58);
        match high {
            Some(high) => {
                let high = Operand::Register(high);
                self.vector(ADD, Width::Ymm, 0, low, high, None, None);
            }
            None => {
                upper(self, UPPER_HALF_WIDE, Width::Zmm, low);
                // Register 1 comes second, where the prefix of AVX2 has a bit for the lower 16 registers alone.
                let low = Operand::Register(low);
                self.vector(ADD, Width::Zmm, 0, 1, low, None, None);
            }
        }
        upper(self, UPPER_HALF, Width::Ymm, 0);
        let one = Operand::Register(1);
        self.vector(pair, Width::Xmm, 0, 0, one, None, None);
        let zero = Operand::Register(0);
        self.vector(UPPER_OF_PAIR, Width::Xmm, 1, 0, zero, None, None);
        self.vector(ADD, Width::Xmm, 0, 0, one, None, None);
    }

    /// `to` = a number.
    pub fn set(&mut self, to: Gpr, value: u64) {
        self.code
            .extend([0x48 | to as u8 >> 3, 0xb8 | to as u8 & 7]);
        self.code.extend(value.to_le_bytes());
    }

    /// `to` = the number at `base` + `displacement`
    pub fn read(&mut self, to: Gpr, base: Gpr, displacement: i32) {
        self.address_or_number(0x8b, to, base, displacement);
    }

    /// `to` = `base` + `displacement`
    pub fn address(&mut self, to: Gpr, base: Gpr, displacement: i32) {
        self.address_or_number(0x8d, to, base, displacement);
    }

    fn address_or_number(&mut self, code: u8, to: Gpr, base: Gpr, displacement: i32) {
        let (to, base) = (to as u8, base as u8);
        self.code.extend([0x48 | to >> 3 << 2 | base >> 3, code]);
        self.code
            .extend([2 << 6 | (to & 7) << 3 | 4, 4 << 3 | base & 7]);
        self.code.extend(displacement.to_le_bytes());
    }

    fn on_registers(&mut self, code: u8, target: Gpr, other: Gpr) {
        let (target, other) = (target as u8, other as u8);
        self.code.extend([
            0x48 | other >> 3 << 2 | target >> 3,
            code,
            3 << 6 | (other & 7) << 3 | target & 7,
        ]);
    }

    /// `target` -= `other`
    pub fn subtract(&mut self, target: Gpr, other: Gpr) {
        self.on_registers(0x29, target, other);
    }

    /// `target` compared with `other` for the next jump.
    pub fn compare(&mut self, target: Gpr, other: Gpr) {
        self.on_registers(0x39, target, other);
    }

    /// `target` compared with a number for the next jump.
    pub fn compare_number(&mut self, target: Gpr, number: i32) {
        let target = target as u8;
        self.code
            .extend([0x48 | target >> 3, 0x81, 7 << 3 | 3 << 6 | target & 7]);
        self.code.extend(number.to_le_bytes());
    }

    /// Puts the register's number on the stack.
    pub fn save(&mut self, register: Gpr) {
        let number = register as u8;
        self.code.extend([0x40 | number >> 3, 0x50 | number & 7]);
    }

    /// Takes the register's number back from the stack.
    pub fn restore(&mut self, register: Gpr) {
        let number = register as u8;
        self.code.extend([0x40 | number >> 3, 0x58 | number & 7]);
    }

    /// `target` compared with zero for the next jump.
    pub fn test(&mut self, target: Gpr) {
        self.on_registers(0x85, target, target);
    }

    /// The first lane of a register compared with zero for the next jump; `rax` is overwritten.
    pub fn test_lane(&mut self, register: Reg) {
        // The operand that is written is the last one.
        let to = Operand::Register(Gpr::Rax as Reg);
        self.vector(LANE_TO_GENERAL, Width::Xmm, register, 0, to, None, None);
        self.test(Gpr::Rax);
    }

    /// This place in the code.
    pub fn label(&self) -> Label {
        Label(self.code.len())
    }

    /// A jump to a place that `land` tells.
    pub fn jump(&mut self, condition: Condition) -> Jump {
        match condition {
            Condition::Always => self.code.push(0xe9),
            Condition::Above => self.code.extend([0x0f, 0x87]),
            Condition::NotBelow => self.code.extend([0x0f, 0x83]),
            Condition::Below => self.code.extend([0x0f, 0x82]),
            Condition::Zero => self.code.extend([0x0f, 0x84]),
            Condition::NotZero => self.code.extend([0x0f, 0x85]),
        }
        self.code.extend([0; 4]);
        Jump(self.code.len() - 4)
    }

    /// A jump back.
    pub fn jump_to(&mut self, condition: Condition, label: Label) {
        let jump = self.jump(condition);
        self.fill(jump.0, label.0);
    }

    /// The jump ends here.
    pub fn land(&mut self, jump: Jump) {
        let here = self.code.len();
        self.fill(jump.0, here);
    }

    /// Returns to the caller, whose code may be of SSE.
    pub fn end(&mut self) {
        self.code.extend([0xc5, 0xf8, 0x77, 0xc3]);
    }
}

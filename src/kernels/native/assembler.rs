//! Writes the few x86-64 instructions that compiled passes consist of: AVX2 or AVX-512 on registers of f64.
//!
//! Encodings after Intel's Software Developer's Manual, volume 2 (VEX: 2.3, EVEX: 2.7). An instruction of AVX2 has the
//! VEX prefix and 4 lanes, one of AVX-512 the EVEX prefix and 8.

/// A general register.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Gpr {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rsi = 6,
    Rdi = 7,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
}

/// A vector register.
pub type Reg = u8;

/// An address.
#[derive(Clone, Copy)]
pub enum Memory {
    /// base + index + displacement
    At(Gpr, Option<Gpr>, i32),
    /// A constant behind the code.
    Pool(Constant),
}

/// A register or an address.
#[derive(Clone, Copy)]
pub enum Operand {
    Register(Reg),
    Memory(Memory),
}

/// Eight lanes of bits behind the code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Constant {
    Zero,
    One,
    Infinity,
    NegativeInfinity,
    SignBit,
    AllButSign,
    /// All ones in the first lanes.
    First(u8),
}

impl Constant {
    fn bits(self) -> [u64; 8] {
        match self {
            Constant::Zero => [0; 8],
            Constant::One => [1f64.to_bits(); 8],
            Constant::Infinity => [f64::INFINITY.to_bits(); 8],
            Constant::NegativeInfinity => [f64::NEG_INFINITY.to_bits(); 8],
            Constant::SignBit => [1 << 63; 8],
            Constant::AllButSign => [!(1 << 63); 8],
            Constant::First(lanes) => {
                std::array::from_fn(|lane| if lane < lanes.into() { u64::MAX } else { 0 })
            }
        }
    }
}

/// Lanes that an instruction works on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Width {
    /// One or two lanes, in the VEX encoding.
    Xmm,
    /// Four, in the VEX encoding.
    Ymm,
    /// Eight, in the EVEX encoding.
    Zmm,
}

/// Opcode map, mandatory prefix, W and opcode of an instruction.
#[derive(Clone, Copy)]
pub struct Opcode {
    map: u8,
    prefix: u8,
    w: bool,
    code: u8,
}

const fn opcode(map: u8, prefix: u8, w: bool, code: u8) -> Opcode {
    Opcode {
        map,
        prefix,
        w,
        code,
    }
}

pub const ADD: Opcode = opcode(1, 1, true, 0x58);
pub const MUL: Opcode = opcode(1, 1, true, 0x59);
pub const SUB: Opcode = opcode(1, 1, true, 0x5c);
pub const MIN: Opcode = opcode(1, 1, true, 0x5d);
pub const DIV: Opcode = opcode(1, 1, true, 0x5e);
pub const MAX: Opcode = opcode(1, 1, true, 0x5f);
pub const SQRT: Opcode = opcode(1, 1, true, 0x51);
pub const AND: Opcode = opcode(1, 1, true, 0x54);
pub const XOR: Opcode = opcode(1, 1, true, 0x57);
pub const LOAD: Opcode = opcode(1, 1, true, 0x10);
pub const STORE: Opcode = opcode(1, 1, true, 0x11);
pub const COMPARE: Opcode = opcode(1, 1, true, 0xc2);
/// First + second x third.
pub const ADD_PRODUCT: Opcode = opcode(2, 1, true, 0xb8);
/// Second x third - first.
pub const PRODUCT_LESS: Opcode = opcode(2, 1, true, 0xba);
/// First - second x third.
pub const LESS_PRODUCT: Opcode = opcode(2, 1, true, 0xbc);
/// Third where the mask register is true, else second.
pub const BLEND_MASKED: Opcode = opcode(2, 1, true, 0x65);
const BLEND: Opcode = opcode(3, 1, false, 0x4b);
const BROADCAST: Opcode = opcode(2, 1, false, 0x19);
const BROADCAST_WIDE: Opcode = opcode(2, 1, true, 0x19);
const UPPER_HALF: Opcode = opcode(3, 1, false, 0x19);
const UPPER_HALF_WIDE: Opcode = opcode(3, 1, true, 0x1b);
const UPPER_OF_PAIR: Opcode = opcode(1, 1, false, 0x15);
const ADD_SCALAR: Opcode = opcode(1, 3, false, 0x58);

/// Predicates of comparisons; ordered ones are false for NaN.
pub mod predicate {
    pub const EQ: u8 = 0;
    pub const UNORDERED: u8 = 3;
    pub const NE: u8 = 4;
    pub const LT: u8 = 17;
    pub const LE: u8 = 18;
    pub const GE: u8 = 29;
    pub const GT: u8 = 30;
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
    /// Constants, and where in the code their distance is to be filled in.
    pool: Vec<(Constant, Vec<usize>)>,
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
    Zero,
}

impl Assembler {
    /// Length of the code so far.
    pub fn len(&self) -> usize {
        self.code.len()
    }

    /// The code, followed by the constants.
    pub fn finish(mut self) -> Vec<u8> {
        self.code.resize(self.code.len().next_multiple_of(64), 0xcc);
        for (constant, uses) in std::mem::take(&mut self.pool) {
            let target = self.code.len();
            for at in uses {
                self.fill(at, target);
            }
            for bits in constant.bits() {
                self.code.extend(bits.to_le_bytes());
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
            Operand::Memory(Memory::Pool(_)) => (0, 0),
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
                u8::from(opcode.w) << 7 | second_low | 1 << 2 | opcode.prefix,
                zeroing << 7 | 2 << 5 | high(second >> 4 & 1, 3) | mask,
            ]);
        } else {
            let long = u8::from(width == Width::Ymm);
            self.code.extend([
                0xc4,
                (r ^ 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | opcode.map,
                u8::from(opcode.w) << 7 | second_low | long << 2 | opcode.prefix,
            ]);
        }
        self.code.push(opcode.code);
        self.last_operand(reg & 7, third, immediate.map_or(0, |_| 1));
        self.code.extend(immediate);
    }

    /// The bytes that name the register field and the last operand; `behind` bytes of the instruction follow.
    fn last_operand(&mut self, reg: u8, operand: Operand, behind: usize) {
        match operand {
            Operand::Register(register) => self.code.push(3 << 6 | reg << 3 | register & 7),
            Operand::Memory(Memory::At(base, index, displacement)) => {
                let index = index.map_or(4, |index| index as u8 & 7);
                self.code
                    .extend([2 << 6 | reg << 3 | 4, index << 3 | base as u8 & 7]);
                self.code.extend(displacement.to_le_bytes());
            }
            Operand::Memory(Memory::Pool(constant)) => {
                self.code.push(reg << 3 | 5);
                let at = self.code.len();
                // Distances count from the end of the instruction.
                self.code.extend((behind as i32).to_le_bytes());
                match self.pool.iter_mut().find(|(other, _)| *other == constant) {
                    Some((_, uses)) => uses.push(at),
                    None => self.pool.push((constant, vec![at])),
                }
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
    pub fn blend(&mut self, to: Reg, second: Reg, third: Operand, mask: Reg) {
        let immediate = Some(mask << 4);
        self.vector(BLEND, Width::Ymm, to, second, third, None, immediate);
    }

    /// All lanes = one element in memory, or the first lane of a register.
    pub fn broadcast(&mut self, width: Width, to: Reg, from: Operand) {
        let opcode = match width {
            Width::Zmm => BROADCAST_WIDE,
            _ => BROADCAST,
        };
        self.vector(opcode, width, to, 0, from, None, None);
    }

    /// The first lane of register 0 = the sum of all lanes of `low`, or of `low` and `high` lanes, in the order of
    /// `sum::across`; registers 0 and 1 are overwritten.
    pub fn add_across(&mut self, low: Reg, high: Option<Reg>) {
        let upper = |a: &mut Assembler, opcode, width, from| {
            // The operand that is written is the last one.
            a.vector(opcode, width, from, 0, Operand::Register(1), None, Some(1));
        };
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
        self.vector(ADD, Width::Xmm, 0, 0, one, None, None);
        let zero = Operand::Register(0);
        self.vector(UPPER_OF_PAIR, Width::Xmm, 1, 0, zero, None, None);
        self.vector(ADD_SCALAR, Width::Xmm, 0, 0, one, None, None);
    }

    /// `to` = a number.
    pub fn set(&mut self, to: Gpr, value: u64) {
        self.code
            .extend([0x48 | to as u8 >> 3, 0xb8 | to as u8 & 7]);
        self.code.extend(value.to_le_bytes());
    }

    /// `to` = `base` + `displacement`
    pub fn address(&mut self, to: Gpr, base: Gpr, displacement: i32) {
        let (to, base) = (to as u8, base as u8);
        self.code.extend([0x48 | to >> 3 << 2 | base >> 3, 0x8d]);
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

    /// `target` compared with zero for the next jump.
    pub fn test(&mut self, target: Gpr) {
        self.on_registers(0x85, target, target);
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
            Condition::Zero => self.code.extend([0x0f, 0x84]),
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

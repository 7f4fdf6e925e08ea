//! Lanes that record what is done with them: the body of a kernel, run once on these, leaves a list of operations.
//!
//! Machine code is written from the list, so it does what the kernel does, in the same order and with the same bits.
//! Equal operations on equal values are recorded once, whichever functions they are part of: a sigmoid and a softplus of
//! one argument share their exponential.

use super::assembler::predicate;
use crate::kernels::simd::{LANES, LaneMask, Lanes, SIGN, scale_in_halves};
use crate::scalar::ScalarFn;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, Mul, MulAssign, Neg, Not, Sub, SubAssign};

/// The line that makes a value.
pub type Id = usize;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// A value from elsewhere, by number.
    Input(usize),
    /// The same bits in all lanes.
    Constant(u64),
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    And,
    Or,
    Xor,
    AddBits,
    Sqrt,
    /// To an integer, in the way that the immediate of the instruction tells.
    Round(u8),
    Shl52,
    Shr52,
    /// x y + z
    MulAdd,
    /// x y - z
    MulSub,
    /// z - x y
    SubMul,
    /// x 2^y, where one instruction does that.
    ScaleExp2,
    /// All ones where it holds, else zeros.
    Compare(u8),
    /// The second where the first is all ones, else the third.
    Select,
    /// As [`Verb::Select`], where the first rarely is not all ones.
    Usually,
}

/// An operation; arguments that it does not have are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Line {
    pub verb: Verb,
    pub arguments: [Id; 3],
}

impl Line {
    /// What it reads.
    pub fn arguments(&self) -> &[Id] {
        &self.arguments[..self.verb.arity()]
    }
}

impl Verb {
    /// Number of arguments.
    pub fn arity(self) -> usize {
        use Verb::*;
        match self {
            Input(_) | Constant(_) => 0,
            Sqrt | Round(_) | Shl52 | Shr52 => 1,
            MulAdd | MulSub | SubMul | Select | Usually => 3,
            _ => 2,
        }
    }

    /// Whether the first two arguments may change places.
    pub fn commutes(self) -> bool {
        use Verb::*;
        matches!(self, Add | Mul | And | Or | Xor | AddBits)
    }
}

/// What has been recorded.
#[derive(Default)]
pub struct Record {
    pub lines: Vec<Line>,
    known: HashMap<Line, Id>,
    /// Whether [`Verb::ScaleExp2`] may be used.
    scales: bool,
    /// Whether something depended on the values of lanes.
    pub branched: bool,
}

impl Record {
    /// Nothing yet; `scales` tells whether the processor has an instruction for [`Verb::ScaleExp2`].
    pub fn new(scales: bool) -> Record {
        Record {
            scales,
            ..Record::default()
        }
    }

    /// A value from elsewhere.
    pub fn input(&mut self, number: usize) -> Id {
        self.push(Verb::Input(number), [0; 3])
    }

    /// The same value in all lanes.
    pub fn constant(&mut self, value: f64) -> Id {
        self.push(Verb::Constant(value.to_bits()), [0; 3])
    }

    /// What a function does; returns its value.
    pub fn apply(&mut self, function: ScalarFn, arguments: &[Id]) -> Id {
        let traced: Vec<Traced> = arguments.iter().map(|&id| Traced(id)).collect();
        let outer = RECORD.replace(std::mem::take(self));
        let Traced(value) = function.trace(&traced);
        *self = RECORD.replace(outer);
        value
    }

    fn push(&mut self, verb: Verb, arguments: [Id; 3]) -> Id {
        let line = self.simplified(Line { verb, arguments });
        let line = match line {
            Ok(line) => line,
            Err(known) => return known,
        };
        *self.known.entry(line).or_insert_with(|| {
            self.lines.push(line);
            self.lines.len() - 1
        })
    }

    fn bits(&self, id: Id) -> Option<u64> {
        match self.lines[id].verb {
            Verb::Constant(bits) => Some(bits),
            _ => None,
        }
    }

    /// Whether a value is all ones or zeros.
    fn is_mask(&self, id: Id) -> bool {
        let Line { verb, arguments } = self.lines[id];
        match verb {
            Verb::Compare(_) => true,
            Verb::And | Verb::Or | Verb::Xor => {
                let is_mask = |id| self.is_mask(id) || self.bits(id) == Some(u64::MAX);
                arguments[..2].iter().all(|&id| is_mask(id))
            }
            _ => false,
        }
    }

    /// What `id` is the negative of.
    fn negated(&self, id: Id) -> Option<Id> {
        let Line {
            verb,
            arguments: [x, y, _],
        } = self.lines[id];
        (verb == Verb::Xor && self.bits(y) == Some(SIGN)).then_some(x)
    }

    /// A line of the same value that takes less, or the value itself.
    fn simplified(&mut self, line: Line) -> Result<Line, Id> {
        let Line {
            verb,
            arguments: [x, y, z],
        } = line;
        let constants: Vec<u64> = line
            .arguments()
            .iter()
            .map_while(|&id| self.bits(id))
            .collect();
        if constants.len() == verb.arity() && !constants.is_empty() {
            let value = evaluate(verb, &constants);
            return Err(self.push(Verb::Constant(value), [0; 3]));
        }
        let constant = |id: Id| self.bits(id);
        match verb {
            Verb::Xor if constant(y) == Some(SIGN) => match self.negated(x) {
                Some(x) => Err(x),
                None => Ok(line),
            },
            // NOT of a comparison.
            Verb::Xor if constant(y) == Some(u64::MAX) => match self.lines[x] {
                Line {
                    verb: Verb::Compare(p),
                    arguments,
                } => Err(self.push(Verb::Compare(p ^ predicate::NEGATED), arguments)),
                _ => Ok(line),
            },
            Verb::MulAdd => match (self.negated(x), self.negated(y), self.negated(z)) {
                (Some(x), None, None) => Ok(Line {
                    verb: Verb::SubMul,
                    arguments: [x, y, z],
                }),
                (None, Some(y), None) => Ok(Line {
                    verb: Verb::SubMul,
                    arguments: [x, y, z],
                }),
                (None, None, Some(z)) => Ok(Line {
                    verb: Verb::MulSub,
                    arguments: [x, y, z],
                }),
                _ => Ok(line),
            },
            Verb::Select if constant(z) == Some(0) => Err(self.push(Verb::And, [x, y, 0])),
            // Whether a truth value is not 0.
            Verb::Compare(predicate::NE) if constant(y) == Some(0) => match self.lines[x] {
                Line {
                    verb: Verb::And,
                    arguments: [mask, one, _],
                } if self.is_mask(mask) && constant(one) == Some(1f64.to_bits()) => Err(mask),
                _ => Ok(line),
            },
            _ => Ok(line),
        }
    }
}

/// The value of an operation on one lane.
pub fn evaluate(verb: Verb, arguments: &[u64]) -> u64 {
    let bits = |k: usize| arguments[k];
    let lane = |k: usize| f64::from_bits(arguments[k]);
    let of_lanes = |value: f64| value.to_bits();
    let truth = |holds: bool| if holds { u64::MAX } else { 0 };
    match verb {
        Verb::Input(_) => unreachable!("an input has no value of its own"),
        Verb::Constant(bits) => bits,
        Verb::Add => of_lanes(lane(0) + lane(1)),
        Verb::Sub => of_lanes(lane(0) - lane(1)),
        Verb::Mul => of_lanes(lane(0) * lane(1)),
        Verb::Div => of_lanes(lane(0) / lane(1)),
        Verb::Min => of_lanes(Lanes::min(lane(0), lane(1))),
        Verb::Max => of_lanes(Lanes::max(lane(0), lane(1))),
        Verb::And => bits(0) & bits(1),
        Verb::Or => bits(0) | bits(1),
        Verb::Xor => bits(0) ^ bits(1),
        Verb::AddBits => bits(0).wrapping_add(bits(1)),
        Verb::Sqrt => of_lanes(lane(0).sqrt()),
        Verb::Round(TO_EVEN) => of_lanes(lane(0).round_ties_even()),
        Verb::Round(DOWN) => of_lanes(lane(0).floor()),
        Verb::Round(UP) => of_lanes(lane(0).ceil()),
        Verb::Round(_) => of_lanes(lane(0).trunc()),
        Verb::Shl52 => bits(0) << 52,
        Verb::Shr52 => bits(0) >> 52,
        Verb::MulAdd => of_lanes(lane(0).mul_add(lane(1), lane(2))),
        Verb::MulSub => of_lanes(lane(0).mul_add(lane(1), -lane(2))),
        Verb::SubMul => of_lanes((-lane(0)).mul_add(lane(1), lane(2))),
        Verb::ScaleExp2 => of_lanes(lane(0).scale_exp2(lane(1))),
        Verb::Compare(predicate) => {
            let holds = match predicate & !predicate::NEGATED {
                predicate::EQ => lane(0) == lane(1),
                predicate::LT => lane(0) < lane(1),
                _ => lane(0) <= lane(1),
            };
            truth(holds != (predicate & predicate::NEGATED != 0))
        }
        Verb::Select | Verb::Usually => match bits(0) {
            0 => bits(2),
            _ => bits(1),
        },
    }
}

thread_local! {
    static RECORD: RefCell<Record> = RefCell::default();
}

fn push(verb: Verb, arguments: [Id; 3]) -> Id {
    RECORD.with_borrow_mut(|record| record.push(verb, arguments))
}

fn branched() {
    RECORD.with_borrow_mut(|record| record.branched = true);
}

/// Lanes that are recorded.
#[derive(Clone, Copy, Debug)]
pub struct Traced(Id);

/// Truth values that are recorded.
#[derive(Clone, Copy, Debug)]
pub struct TracedMask(Id);

impl Traced {
    fn with(self, verb: Verb, other: Traced) -> Traced {
        Traced(push(verb, [self.0, other.0, 0]))
    }

    fn alone(self, verb: Verb) -> Traced {
        Traced(push(verb, [self.0, 0, 0]))
    }

    fn compared(self, predicate: u8, other: Traced) -> TracedMask {
        TracedMask(self.with(Verb::Compare(predicate), other).0)
    }
}

// Immediates of the instruction that rounds, without a signal of inexactness.
const TO_EVEN: u8 = 8;
const DOWN: u8 = 9;
const UP: u8 = 10;
const TO_ZERO: u8 = 11;

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Traced {
            type Output = Traced;
            fn $method(self, other: Traced) -> Traced {
                self.with(Verb::$trait, other)
            }
        }

        impl $trait<f64> for Traced {
            type Output = Traced;
            fn $method(self, other: f64) -> Traced {
                self.with(Verb::$trait, Traced::splat(other))
            }
        }
    )*};
}

operators!(Add add, Sub sub, Mul mul, Div div);

impl AddAssign for Traced {
    fn add_assign(&mut self, other: Traced) {
        *self = *self + other;
    }
}

impl SubAssign for Traced {
    fn sub_assign(&mut self, other: Traced) {
        *self = *self - other;
    }
}

impl MulAssign for Traced {
    fn mul_assign(&mut self, other: Traced) {
        *self = *self * other;
    }
}

impl Neg for Traced {
    type Output = Traced;
    fn neg(self) -> Traced {
        self.xor(Traced::splat_bits(SIGN))
    }
}

impl Lanes for Traced {
    type Mask = TracedMask;
    const REGISTERS: usize = 1;

    fn splat(x: f64) -> Traced {
        Traced(push(Verb::Constant(x.to_bits()), [0; 3]))
    }

    fn from_array(x: [f64; LANES]) -> Traced {
        branched();
        Traced::splat(x[0])
    }

    fn to_array(self) -> [f64; LANES] {
        branched();
        [0.0; LANES]
    }

    fn mul_add(self, a: Traced, b: Traced) -> Traced {
        Traced(push(Verb::MulAdd, [self.0, a.0, b.0]))
    }

    fn sqrt(self) -> Traced {
        self.alone(Verb::Sqrt)
    }

    fn floor(self) -> Traced {
        self.alone(Verb::Round(DOWN))
    }

    fn ceil(self) -> Traced {
        self.alone(Verb::Round(UP))
    }

    fn trunc(self) -> Traced {
        self.alone(Verb::Round(TO_ZERO))
    }

    fn round_half_even(self) -> Traced {
        self.alone(Verb::Round(TO_EVEN))
    }

    fn min(self, other: Traced) -> Traced {
        self.with(Verb::Min, other)
    }

    fn max(self, other: Traced) -> Traced {
        self.with(Verb::Max, other)
    }

    fn scale_exp2(self, n: Traced) -> Traced {
        if RECORD.with_borrow(|record| record.scales) {
            return self.with(Verb::ScaleExp2, n);
        }
        scale_in_halves(self, n)
    }

    fn lt(self, other: Traced) -> TracedMask {
        self.compared(predicate::LT, other)
    }

    fn le(self, other: Traced) -> TracedMask {
        self.compared(predicate::LE, other)
    }

    fn eq(self, other: Traced) -> TracedMask {
        self.compared(predicate::EQ, other)
    }

    fn and(self, other: Traced) -> Traced {
        self.with(Verb::And, other)
    }

    fn or(self, other: Traced) -> Traced {
        self.with(Verb::Or, other)
    }

    fn xor(self, other: Traced) -> Traced {
        self.with(Verb::Xor, other)
    }

    fn add_bits(self, other: Traced) -> Traced {
        self.with(Verb::AddBits, other)
    }

    fn shl52(self) -> Traced {
        self.alone(Verb::Shl52)
    }

    fn shr52(self) -> Traced {
        self.alone(Verb::Shr52)
    }
}

impl LaneMask for TracedMask {
    type V = Traced;

    fn select(self, a: Traced, b: Traced) -> Traced {
        Traced(push(Verb::Select, [self.0, a.0, b.0]))
    }

    fn usually(self, a: Traced, b: Traced) -> Traced {
        Traced(push(Verb::Usually, [self.0, a.0, b.0]))
    }

    fn any(self) -> bool {
        branched();
        true
    }
}

impl BitAnd for TracedMask {
    type Output = TracedMask;
    fn bitand(self, other: TracedMask) -> TracedMask {
        TracedMask(push(Verb::And, [self.0, other.0, 0]))
    }
}

impl BitOr for TracedMask {
    type Output = TracedMask;
    fn bitor(self, other: TracedMask) -> TracedMask {
        TracedMask(push(Verb::Or, [self.0, other.0, 0]))
    }
}

impl Not for TracedMask {
    type Output = TracedMask;
    fn not(self) -> TracedMask {
        let ones = Traced::splat_bits(u64::MAX);
        TracedMask(push(Verb::Xor, [self.0, ones.0, 0]))
    }
}

//! A loop over steps as one function: what a step hands to the next stays in registers.
//!
//! Rows of arrays are read and written at cursors, which move on by a row each step.

use super::assembler::*;
use super::body::{Addressing, Body, Part};
use super::code::{Base, Coder, Extent, Location, Places};
use super::{Function, fits};
use crate::kernels::isa::Isa;
use crate::kernels::machine::{Program, Step};
use crate::scalar::ScalarFn;
use memmap2::Mmap;

/// Most inputs that are handed on in registers.
const MOST_CARRIED: usize = 6;

/// Registers for cursors; from `SAVED` on they are the caller's.
const CURSORS: [Gpr; 12] = [
    Gpr::R8,
    Gpr::R9,
    Gpr::R10,
    Gpr::R11,
    Gpr::Rax,
    Gpr::Rdx,
    Gpr::Rbx,
    Gpr::Rbp,
    Gpr::R12,
    Gpr::R13,
    Gpr::R14,
    Gpr::R15,
];
const SAVED: usize = 6;

/// Elements from a cursor on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which cursor.
    pub cursor: usize,
    /// How many elements behind it.
    pub at: usize,
}

/// What a step of a loop does with its body.
#[derive(Debug, Default)]
pub struct Steps {
    /// Elements by which each cursor moves on.
    pub strides: Vec<isize>,
    /// Of each of the body's inputs, where it is read; nothing where the arena holds it for all steps.
    pub reads: Vec<Option<Row>>,
    /// Of each of the body's outputs, where it goes, and whether it is added to what is there.
    pub writes: Vec<(Row, bool)>,
}

/// A compiled loop.
#[derive(Debug)]
pub struct Recurrence {
    function: Function,
    /// Elements of working memory that it needs.
    pub room: usize,
    _code: Mmap,
}

impl Recurrence {
    /// Compiles a loop whose body is one pass over single values; `None` for all others.
    pub fn compile(body: &Program, steps: &Steps, isa: Isa) -> Option<Recurrence> {
        let width = super::width(isa)?;
        let [
            Step::Region {
                size: 1,
                instructions,
            },
        ] = &body.steps[..]
        else {
            return None;
        };
        let is_single = body.outputs.iter().all(|(_, size)| *size == 1);
        let is_native = instructions.iter().all(|instruction| fits(1, instruction));
        if !is_single || !is_native || steps.strides.len() > CURSORS.len() {
            return None;
        }
        let mut places = Places::default();
        for (input, row) in body.inputs.iter().zip(&steps.reads) {
            if let Some(Row { cursor, at }) = *row {
                let range = input.arena..input.arena + input.size;
                places.parameters.push((range, Base::Cursor(cursor), at));
            }
        }
        let mut coder = Coder::new(1, false, &places);
        for instruction in instructions {
            coder.carry_out(instruction, |_| false);
        }
        for ((place, _), &(Row { cursor, at }, adds)) in body.outputs.iter().zip(&steps.writes) {
            let location = Location {
                base: Base::Cursor(cursor),
                at,
                extent: Extent::One,
            };
            let mut value = coder.read_place(place);
            if adds {
                let before = coder.load(location);
                value = coder.apply(ScalarFn::Add, &[before, value]);
            }
            coder.store(value, location);
        }
        for (input, value) in in_order(coder.carried(&steps.strides)) {
            coder.carry(input, value);
        }
        let code = coder.finish();
        if !code.is_near() {
            return None;
        }
        let mut a = Assembler::default();
        let room = write(&mut a, width, &code, &steps.strides)?;
        let memory = super::executable(&a.finish())?;
        Some(Recurrence {
            function: Function::at(memory.as_ptr(), isa),
            room: room as usize / 8,
            _code: memory,
        })
    }

    /// Carries out so many steps.
    ///
    /// # Safety
    /// The arena is that of a workspace of the body with its other inputs loaded; the scratch has the room; in each step
    /// there are at the cursors what it reads and writes; the processor has the instruction set.
    pub unsafe fn run(
        &self,
        arena: *mut f64,
        scratch: *mut f64,
        cursors: &[*mut f64],
        steps: usize,
    ) {
        if steps > 0 {
            let cursors = cursors.as_ptr() as usize;
            // SAFETY: the caller vouches for the arguments.
            unsafe { self.function.call(arena, scratch, cursors, steps, 0) };
        }
    }
}

/// As many as have registers, so that none is overwritten before it is handed on; the others are read from memory.
fn in_order(mut carried: Vec<(usize, usize)>) -> Vec<(usize, usize)> {
    carried.truncate(MOST_CARRIED);
    let mut ordered = vec![];
    let is_free =
        |left: &[(usize, usize)], input: usize| left.iter().all(|(_, value)| *value != input);
    while let Some(k) = (0..carried.len()).find(|&k| is_free(&carried, carried[k].0)) {
        ordered.push(carried.remove(k));
    }
    ordered
}

/// Writes the function: in `rdi` is the arena, in `rsi` the scratch, in `rdx` the cursors' addresses, in `rcx` the
/// number of steps. Returns the room that it needs, in bytes.
fn write(
    a: &mut Assembler,
    width: Width,
    code: &super::code::Code,
    strides: &[isize],
) -> Option<i32> {
    let cursors = &CURSORS[..strides.len()];
    let saved = &cursors[SAVED.min(cursors.len())..];
    for &register in saved {
        a.save(register);
    }
    // `rdx` is the last to be overwritten.
    for (number, &register) in cursors.iter().enumerate() {
        if register != Gpr::Rdx {
            a.read(register, Gpr::Rdx, 8 * number as i32);
        }
    }
    if let Some(number) = cursors.iter().position(|&register| register == Gpr::Rdx) {
        a.read(Gpr::Rdx, Gpr::Rdx, 8 * number as i32);
    }
    let addressing = Addressing {
        index: None,
        blocks: Gpr::Rsi,
        slots: 0,
        free: vec![],
        cursors: cursors.to_vec(),
    };
    let mut body = Body::new(a, Width::Xmm, width, code, addressing, 0);
    body.prepare_loop();
    let start = body.a.label();
    body.write(Part {
        displacement: 0,
        accumulator: 0,
        first: None,
    });
    for (&register, &stride) in cursors.iter().zip(strides) {
        if stride != 0 {
            let bytes = i32::try_from(8 * stride).ok()?;
            body.a.address(register, register, bytes);
        }
    }
    body.a.address(Gpr::Rcx, Gpr::Rcx, -1);
    body.a.test(Gpr::Rcx);
    body.a.jump_to(Condition::NotZero, start);
    let room = body.room();
    for &register in saved.iter().rev() {
        a.restore(register);
    }
    a.end();
    Some(room)
}

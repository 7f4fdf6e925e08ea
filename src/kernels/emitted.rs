//! Guards the SIMD of hot kernels: reads the code that the compiler emitted for them.
//!
//! Losing SIMD is silent and costs a factor of eight: a body that is not inlined is compiled for the baseline, and one
//! with arithmetic on single lanes works them off one by one. So a kernel for AVX2 or AVX-512 must compute on whole
//! registers, must not compute on single lanes and must not call anything for an element. Kernels for instruction
//! sets that this processor lacks are read too: nothing is run.

use super::isa::Isa;
use super::{matrix, sum};
use crate::scalar::ScalarFn;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

/// What a function consists of.
#[derive(Debug, Default)]
struct Code {
    instructions: usize,
    /// Arithmetic on ymm or zmm registers.
    wide: usize,
    /// Arithmetic on single f64.
    single: usize,
    /// Functions that are called before the last return. What stands behind it is cold: calls that panic.
    calls: usize,
    returns: usize,
}

/// Reads a function from its first byte to the last that its jumps reach.
///
/// # Safety
/// The address is that of a function.
unsafe fn read(function: *const u8) -> Code {
    const LONGEST: usize = 15;
    let (start, mut at) = (function as u64, function as u64);
    let (mut last, mut code) = (start, Code::default());
    let mut calls = 0;
    loop {
        // SAFETY: the caller vouches for the first instruction, the flow of control for the others; other functions or
        // data of the same section lie behind the last.
        let bytes = unsafe { std::slice::from_raw_parts(at as *const u8, LONGEST) };
        let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
        assert!(!instruction.is_invalid(), "no instruction at {at:#x}");
        code.count(&instruction);
        at = instruction.next_ip();
        let target = instruction.near_branch_target();
        let is_inside = target >= start && target < start + (1 << 20);
        let ends = match instruction.flow_control() {
            FlowControl::ConditionalBranch => {
                last = last.max(target);
                false
            }
            FlowControl::UnconditionalBranch if is_inside => {
                last = last.max(target);
                true
            }
            FlowControl::UnconditionalBranch => {
                calls += 1; // of a function in place of a return
                true
            }
            FlowControl::Call | FlowControl::IndirectCall => {
                calls += 1;
                code.returns > 0 // nothing comes back from what stands behind the last return
            }
            FlowControl::Return => {
                (code.calls, code.returns) = (calls, code.returns + 1);
                true
            }
            FlowControl::Exception | FlowControl::Interrupt => true,
            _ => false,
        };
        if ends && at > last {
            return code;
        }
    }
}

impl Code {
    fn count(&mut self, instruction: &Instruction) {
        self.instructions += 1;
        let name = format!("{:?}", instruction.mnemonic()).to_lowercase();
        let is_arithmetic = ["add", "sub", "mul", "div", "sqrt", "min", "max"]
            .iter()
            .any(|operation| name.contains(operation));
        let registers = (0..instruction.op_count())
            .filter(|&k| instruction.op_kind(k) == OpKind::Register)
            .map(|k| instruction.op_register(k));
        let is_wide = |register: Register| register.is_ymm() || register.is_zmm();
        if is_arithmetic && name.ends_with("pd") && registers.into_iter().any(is_wide) {
            self.wide += 1;
        }
        if is_arithmetic && name.ends_with("sd") {
            self.single += 1;
        }
    }
}

/// Fails unless the kernels for AVX2 and AVX-512 compute on whole registers alone.
#[track_caller]
fn check(name: &str, kernels: [*const u8; 3], calls: usize) {
    for isa in [Isa::Avx2, Isa::Avx512] {
        // SAFETY: kernels are functions.
        let code = unsafe { read(kernels[isa as usize]) };
        assert!(
            code.wide > 0 && code.single == 0 && code.calls <= calls,
            "{name} lost its SIMD on {isa:?}: {code:?}"
        );
    }
}

#[test]
fn elementwise_kernels() {
    use ScalarFn::*;
    let hot = [
        Add, Sub, Mul, Div, Sqr, Sqrt, MulAdd, MulSub, SubMul, Scale, Exp, Expm1, Log, Log1p,
        Sigmoid, Softplus, Tanh, Erf, Erfc, Logaddexp, Lgamma, Digamma,
    ];
    for function in hot {
        let kernels = function.kernels().map(|kernel| kernel as *const u8);
        check(function.name(), kernels, 0);
    }
}

#[test]
fn kernels_of_two_functions() {
    use ScalarFn::*;
    for (f, g) in [(Softplus, Sigmoid), (Sigmoid, Softplus)] {
        let kernels = f.paired_with(g).unwrap();
        check("pair", kernels.map(|kernel| kernel as *const u8), 0);
    }
}

#[test]
fn sums_and_products() {
    check("sum", sum::sums().map(|kernel| kernel as *const u8), 0);
    check("dot", sum::products().map(|kernel| kernel as *const u8), 0);
    // With little optimisation the compiler copies arrays of registers by calls.
    check(
        "X v",
        matrix::rows_times().map(|kernel| kernel as *const u8),
        8,
    );
    check(
        "X' w",
        matrix::times_rows().map(|kernel| kernel as *const u8),
        8,
    );
}

#[test]
fn a_loss_is_noticed() {
    // The kernels for any processor have no wide registers.
    let kernel = ScalarFn::Exp.kernels()[Isa::Baseline as usize];
    // SAFETY: a kernel is a function.
    let code = unsafe { read(kernel as *const u8) };
    assert_eq!(code.wide, 0, "{code:?}");
    assert!(
        code.single + code.calls > 0 || code.instructions > 100,
        "{code:?}"
    );
}

//! Carries out native code instruction by instruction, so that code for processors that are not at hand is tested too.
//!
//! Registers are emulated, memory is that of the process. It knows the instructions that the assembler writes.

use super::trace::{Verb, evaluate};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

type Lanes = [u64; 8];

#[derive(Default)]
struct Processor {
    vectors: [Lanes; 32],
    masks: [u8; 8],
    general: [u64; 16],
    stack: Vec<u64>,
    /// What was compared last.
    compared: (u64, u64),
}

/// Calls the function at an address with these arguments.
///
/// # Safety
/// As for the function itself.
pub unsafe fn call(function: *const u8, arguments: [u64; 5]) {
    let mut processor = Processor::default();
    for (register, value) in [7, 6, 2, 1, 8].into_iter().zip(arguments) {
        processor.general[register] = value;
    }
    // Nothing is to be found in registers that the code has not written.
    processor.vectors = [[f64::NAN.to_bits() | 0xdead; 8]; 32];
    let mut at = function as u64;
    loop {
        // SAFETY: the caller vouches for the function, behind which its constants stand.
        let bytes = unsafe { std::slice::from_raw_parts(at as *const u8, 16) };
        let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
        assert!(
            !instruction.is_invalid(),
            "no instruction at {at:#x}: {bytes:x?}"
        );
        // SAFETY: as for the code that the processor would run.
        match unsafe { processor.step(&instruction) } {
            Some(next) => at = next,
            None => return,
        }
    }
}

/// Lanes that a register has.
fn lanes(register: Register) -> usize {
    register.size() / 8
}

impl Processor {
    fn address(&self, i: &Instruction) -> *mut u64 {
        if i.is_ip_rel_memory_operand() {
            return i.ip_rel_memory_address() as *mut u64;
        }
        let value = |register: Register| match register {
            Register::None => 0,
            _ => self.general[register.number()],
        };
        let index = value(i.memory_index()).wrapping_mul(i.memory_index_scale().into());
        let address = value(i.memory_base()).wrapping_add(index);
        address.wrapping_add(i.memory_displacement64()) as *mut u64
    }

    /// The lanes that the instruction works on.
    fn mask(&self, i: &Instruction) -> u8 {
        match i.op_mask() {
            Register::None => u8::MAX,
            register => self.masks[register.number()],
        }
    }

    /// An operand's first lanes.
    unsafe fn read(&self, i: &Instruction, operand: u32, count: usize) -> Lanes {
        let mut values = [0; 8];
        match i.op_kind(operand) {
            OpKind::Register if i.op_register(operand).is_k() => {
                values[0] = self.masks[i.op_register(operand).number()].into();
            }
            OpKind::Register if i.op_register(operand).is_gpr() => {
                values[0] = self.general[i.op_register(operand).number()];
            }
            OpKind::Register => values = self.vectors[i.op_register(operand).number()],
            OpKind::Memory => {
                let address = self.address(i);
                let mask = self.mask(i);
                for (lane, value) in values[..count].iter_mut().enumerate() {
                    if mask >> lane & 1 == 1 {
                        // SAFETY: the code reads there.
                        *value = unsafe { address.add(lane).read_unaligned() };
                    }
                }
            }
            _ => values[0] = i.immediate(operand),
        }
        values
    }

    /// Writes the first lanes of operand 0, under the mask of the instruction; the others become 0 in a register.
    unsafe fn write(&mut self, i: &Instruction, values: Lanes, count: usize) {
        let mask = self.mask(i);
        let is_kept = |lane: usize| mask >> lane & 1 == 0;
        if i.op_kind(0) == OpKind::Memory {
            let address = self.address(i);
            for lane in (0..count).filter(|&lane| !is_kept(lane)) {
                // SAFETY: the code writes there.
                unsafe { address.add(lane).write_unaligned(values[lane]) };
            }
            return;
        }
        let register = &mut self.vectors[i.op_register(0).number()];
        for lane in 0..8 {
            register[lane] = match lane < count {
                true if is_kept(lane) && i.zeroing_masking() => 0,
                true if is_kept(lane) => register[lane],
                true => values[lane],
                false => 0,
            };
        }
    }

    /// Carries out an instruction; returns where the next one is, nothing at the end.
    unsafe fn step(&mut self, i: &Instruction) -> Option<u64> {
        use Mnemonic::*;
        let name = format!("{:?}", i.mnemonic());
        let is_single = name.ends_with("sd") && i.mnemonic() != Vbroadcastsd;
        // Lanes that the operands have.
        let widest = (0..i.op_count())
            .filter(|&k| i.op_kind(k) == OpKind::Register && i.op_register(k).is_vector_register())
            .map(|k| lanes(i.op_register(k)));
        let count = if is_single {
            1
        } else {
            widest.max().unwrap_or(1)
        };
        // SAFETY: the caller vouches for what the code reads and writes.
        let operand = |p: &Processor, k: u32, count: usize| unsafe { p.read(i, k, count) };
        let [a, b, c] = [0, 1, 2].map(|k| {
            let is_there =
                k < i.op_count() && !matches!(i.mnemonic(), Lea | Vzeroupper | Vmaskmovpd);
            let is_written = k == 0 && i.op_kind(0) == OpKind::Memory;
            match is_there && !is_written && i.near_branch_target() == 0 {
                // One element is broadcast.
                true if i.mnemonic() == Vbroadcastsd => operand(self, k, 1),
                true => operand(self, k, count),
                false => [0; 8],
            }
        });
        let immediate = i
            .op_count()
            .checked_sub(1)
            .map_or(0, |k| match i.op_kind(k) {
                OpKind::Immediate8 => i.immediate8(),
                _ => 0,
            });
        // What an operation on one lane leaves of the second operand.
        let rest = |values: [u64; 8], second: Lanes| -> Lanes {
            std::array::from_fn(|lane| match is_single && lane == 1 {
                true => second[1],
                false => values[lane],
            })
        };
        let each = |verb: Verb, x: Lanes, y: Lanes, z: Lanes| -> Lanes {
            let arity = verb.arity();
            std::array::from_fn(|k| evaluate(verb, &[x[k], y[k], z[k]][..arity]))
        };
        let shown = if is_single { 2 } else { count };
        // SAFETY: as above.
        let write = |p: &mut Processor, values: Lanes| unsafe { p.write(i, values, shown) };
        let binary = |verb| rest(each(verb, b, c, c), b);
        match i.mnemonic() {
            Vaddpd | Vaddsd => write(self, binary(Verb::Add)),
            Vsubpd | Vsubsd => write(self, binary(Verb::Sub)),
            Vmulpd | Vmulsd => write(self, binary(Verb::Mul)),
            Vdivpd | Vdivsd => write(self, binary(Verb::Div)),
            Vminpd | Vminsd => write(self, binary(Verb::Min)),
            Vmaxpd | Vmaxsd => write(self, binary(Verb::Max)),
            Vandpd => write(self, binary(Verb::And)),
            Vorpd => write(self, binary(Verb::Or)),
            Vxorpd => write(self, binary(Verb::Xor)),
            Vpaddq => write(self, binary(Verb::AddBits)),
            Vscalefpd => write(self, binary(Verb::ScaleExp2)),
            Vsqrtpd => write(self, each(Verb::Sqrt, b, b, b)),
            Vsqrtsd => write(self, rest(each(Verb::Sqrt, c, c, c), b)),
            Vroundpd | Vrndscalepd => write(self, each(Verb::Round(immediate), b, b, b)),
            Vroundsd => write(self, rest(each(Verb::Round(immediate), c, c, c), b)),
            Vpsllq if immediate == 52 => write(self, each(Verb::Shl52, b, b, b)),
            Vpsrlq if immediate == 52 => write(self, each(Verb::Shr52, b, b, b)),
            Vfmadd213pd | Vfmadd213sd => write(self, rest(each(Verb::MulAdd, b, a, c), a)),
            Vfmadd231pd | Vfmadd231sd => write(self, rest(each(Verb::MulAdd, b, c, a), a)),
            Vfmsub213pd | Vfmsub213sd => write(self, rest(each(Verb::MulSub, b, a, c), a)),
            Vfmsub231pd | Vfmsub231sd => write(self, rest(each(Verb::MulSub, b, c, a), a)),
            Vfnmadd213pd | Vfnmadd213sd => write(self, rest(each(Verb::SubMul, b, a, c), a)),
            Vfnmadd231pd | Vfnmadd231sd => write(self, rest(each(Verb::SubMul, b, c, a), a)),
            Vcmppd | Vcmpsd => {
                let holds = each(Verb::Compare(immediate), b, c, c);
                match i.op_register(0).is_k() {
                    true => self.masks[i.op_register(0).number()] = signs(holds),
                    false => write(self, rest(holds, b)),
                }
            }
            Vblendvpd => {
                let mask = operand(self, 3, count);
                let chosen = |k: usize| if mask[k] >> 63 == 1 { c[k] } else { b[k] };
                write(self, std::array::from_fn(chosen));
            }
            Vblendmpd => {
                let mask = self.mask(i);
                let chosen = |k: usize| if mask >> k & 1 == 1 { c[k] } else { b[k] };
                self.vectors[i.op_register(0).number()] = std::array::from_fn(chosen);
            }
            Vpmovm2q => {
                let ones = |k: usize| if b[0] >> k & 1 == 1 { u64::MAX } else { 0 };
                write(self, std::array::from_fn(ones));
            }
            Vpmovq2m => self.masks[i.op_register(0).number()] = signs(b),
            Vmovupd | Vmovapd => write(self, b),
            Vmovsd if i.op_count() == 2 => match i.op_kind(0) {
                // SAFETY: as above.
                OpKind::Memory => unsafe { self.write(i, b, 1) },
                _ => write(self, [b[0], 0, 0, 0, 0, 0, 0, 0]),
            },
            Vbroadcastsd => {
                let all = lanes(i.op_register(0));
                // SAFETY: as above.
                unsafe { self.write(i, [b[0]; 8], all) };
            }
            Vmaskmovpd => {
                let mask = self.vectors[i.op_register(1).number()];
                let address = self.address(i);
                let element = |k: usize| match k < 4 && mask[k] >> 63 == 1 {
                    // SAFETY: the code reads there.
                    true => unsafe { address.add(k).read_unaligned() },
                    false => 0,
                };
                write(self, std::array::from_fn(element));
            }
            Vextractf128 | Vextractf64x4 => {
                let half = lanes(i.op_register(0));
                let upper = |k: usize| if k < half { b[half + k] } else { 0 };
                self.vectors[i.op_register(0).number()] = std::array::from_fn(upper);
            }
            Vunpckhpd => write(self, [b[1], c[1], 0, 0, 0, 0, 0, 0]),
            Vmovq => self.general[i.op_register(0).number()] = b[0],
            Vzeroupper => {}
            Lea => self.general[i.op_register(0).number()] = self.address(i) as u64,
            Mov => self.general[i.op_register(0).number()] = b[0],
            Sub => {
                let register = &mut self.general[i.op_register(0).number()];
                *register = register.wrapping_sub(b[0]);
            }
            Cmp => self.compared = (a[0], b[0]),
            Test => self.compared = (a[0], 0),
            Jmp => return Some(i.near_branch_target()),
            Ja if self.compared.0 > self.compared.1 => return Some(i.near_branch_target()),
            Jae if self.compared.0 >= self.compared.1 => return Some(i.near_branch_target()),
            Jb if self.compared.0 < self.compared.1 => return Some(i.near_branch_target()),
            Je if self.compared.0 == self.compared.1 => return Some(i.near_branch_target()),
            Jne if self.compared.0 != self.compared.1 => return Some(i.near_branch_target()),
            Ja | Jae | Jb | Je | Jne => {}
            Push => self.stack.push(a[0]),
            Pop => {
                let value = self.stack.pop().expect("something was pushed");
                self.general[i.op_register(0).number()] = value;
            }
            Ret => return None,
            other => panic!("the emulator does not know {other:?}"),
        }
        Some(i.next_ip())
    }
}

fn signs(values: Lanes) -> u8 {
    (0..8).fold(0, |mask, k| mask | ((values[k] >> 63) as u8) << k)
}

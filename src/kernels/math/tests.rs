use super::*;
use crate::kernels::isa::{BlockFn, Isa, binary, unary};

#[test]
fn first() {
    let f: [BlockFn; 3] = unary!(exp);
    let x = [0.0, 1.0, -1.0, 700.0, -745.0, f64::NAN, f64::INFINITY, -0.5];
    for isa in Isa::available() {
        let mut y = [0.0; 8];
        unsafe { f[isa as usize](y.as_mut_ptr(), x.as_ptr(), x.as_ptr(), x.as_ptr(), 1) };
        println!("{isa:?} {y:?}");
    }
    let _: [BlockFn; 3] = binary!(pow);
}

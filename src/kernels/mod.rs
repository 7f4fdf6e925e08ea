//! SIMD kernels: the only module with unsafe code.

pub mod isa;
pub mod math;
pub mod simd;

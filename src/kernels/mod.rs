//! SIMD kernels: the only module with unsafe code.

#[macro_use]
pub mod isa;
pub mod math;
pub mod simd;

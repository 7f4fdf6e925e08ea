//! SIMD kernels: the only module with unsafe code.

pub mod block;
pub mod borrowed;
pub mod buffer;
pub mod composite;
pub mod convolution;
pub mod crew;
pub mod evaluate;
pub mod isa;
pub mod leapfrog;
pub mod linalg;
pub mod lookup;
pub mod loops;
pub mod machine;
pub mod math;
pub mod matrix;
pub mod native;
pub mod parts;
pub mod runs;
pub mod simd;
pub mod split;
pub mod structural;
pub mod sum;
pub mod whole;
pub mod work;

#[cfg(all(test, target_arch = "x86_64"))]
mod emitted;

use super::*;
use crate::kernels::isa::{Isa, per_isa};
use crate::testing::Random;

/// Lengths around the borders of chunks and blocks.
const LENGTHS: [usize; 14] = [0, 1, 7, 8, 9, 15, 16, 17, 255, 256, 257, 1000, 4096, 10_001];

/// Numbers of mixed sign whose sizes span 60 powers of two.
fn ill_conditioned(n: usize) -> Vec<f64> {
    let mut random = Random::new(16);
    (0..n)
        .map(|_| random.between(-1.0, 1.0) * random.between(-30.0, 30.0).exp2())
        .collect()
}

/// The exact sum, rounded: all numbers are whole multiples of 2^-100 below 2^31, and fit an i128 with the sum.
fn exact(values: &[f64]) -> f64 {
    let unit = 100f64.exp2();
    // Bits below 2^-90 are cut off, which is far below the rounding of the sums.
    let total: i128 = values.iter().map(|v| (v * unit / 1024.0) as i128).sum();
    total as f64 / (unit / 1024.0)
}

/// Sum by blocks as regions do it, on an instruction set.
fn by_blocks(values: &[f64], isa: Isa) -> f64 {
    let kernels = per_isa!(fn(source: &Source, length: usize) -> Partial {
        unsafe { block_lanes::<V>(source, length) }.to_array()
    });
    let mut padded = crate::kernels::buffer::Buffer::from_values(values);
    // What lies behind the last element must not count.
    for value in &mut padded[values.len()..] {
        *value = f64::NAN;
    }
    let mut cascade = Cascade::default();
    for start in (0..values.len()).step_by(BLOCK) {
        let source = Source {
            pointer: padded[start..].as_ptr(),
            step: LANES,
        };
        // SAFETY: the processor has `isa`; the block lies in the padded buffer.
        cascade.push(unsafe { kernels[isa as usize](&source, BLOCK.min(values.len() - start)) });
    }
    cascade.total()
}

#[test]
fn sums_are_near_the_exact_sum() {
    for n in LENGTHS {
        let values = ill_conditioned(n);
        let wanted = exact(&values);
        let scale: f64 = values.iter().map(|v| v.abs()).sum();
        // Chains of at most 32 additions in a lane, then the pairs.
        let bound = 50.0 * f64::EPSILON * scale;
        for (what, found) in [
            ("slice", total(&values)),
            ("blocks", by_blocks(&values, Isa::Baseline)),
        ] {
            assert!(
                (found - wanted).abs() <= bound,
                "{what} of {n}: {found} {wanted}"
            );
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for n in LENGTHS {
        let values = ill_conditioned(n);
        let wanted = by_blocks(&values, Isa::Baseline);
        for isa in Isa::available() {
            let found = by_blocks(&values, isa);
            assert_eq!(found.to_bits(), wanted.to_bits(), "{n} elements on {isa:?}");
        }
    }
}

#[test]
fn the_error_of_a_long_sum_stays_small() {
    // One addition after the other is off by 1.3e-11.
    let values = vec![0.1; 1_000_000];
    let error = (total(&values) - 1e5) / 1e5;
    assert!(error.abs() < 2e-15, "{error}");
}

#[test]
fn a_cleared_cascade_starts_anew() {
    let mut cascade = Cascade::default();
    for k in 0..5 {
        cascade.push([f64::from(k); LANES]);
    }
    assert_eq!(cascade.total(), 80.0);
    cascade.clear();
    assert_eq!(cascade.total(), 0.0);
    cascade.push([1.0; LANES]);
    assert_eq!(cascade.total(), 8.0);
}

#[test]
fn columns_are_summed_each() {
    for (rows, width) in [(1, 1), (5, 3), (16, 2), (17, 2), (100, 7), (0, 3)] {
        let matrix = Random::new(17).vector(rows * width, -1.0, 1.0);
        let mut found = vec![f64::NAN; width];
        columns(&matrix, rows, &mut found);
        for (column, found) in found.iter().enumerate() {
            let wanted: f64 = (0..rows).map(|row| matrix[row * width + column]).sum();
            assert!((found - wanted).abs() < 1e-13, "{rows} x {width}");
        }
    }
}

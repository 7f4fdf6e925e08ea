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

/// Sum of one row.
fn total(values: &[f64], isa: Isa) -> f64 {
    let mut sum = [f64::NAN];
    rows_on(isa, values, values.len(), &mut sum);
    sum[0]
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
            ("slice", total(&values, Isa::Baseline)),
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
            let (found, wanted) = (total(&values, isa), total(&values, Isa::Baseline));
            assert_eq!(found.to_bits(), wanted.to_bits(), "{n} in a row on {isa:?}");
        }
    }
}

#[test]
fn the_error_of_a_long_sum_stays_small() {
    // One addition after the other is off by 1.3e-11.
    let values = vec![0.1; 1_000_000];
    let error = (total(&values, Isa::detect()) - 1e5) / 1e5;
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
fn rows_and_columns_are_summed_each() {
    for (rows, width) in [
        (1, 1),
        (5, 3),
        (16, 2),
        (17, 8),
        (100, 27),
        (3, 300),
        (0, 3),
        (3, 0),
    ] {
        let matrix = Random::new(17).vector(rows * width, -1.0, 1.0);
        let at = |row: usize, column: usize| matrix[row * width + column];
        let close = |found: &[f64], wanted: Vec<f64>| {
            let mut pairs = found.iter().zip(&wanted);
            assert_eq!(found.len(), wanted.len());
            assert!(
                pairs.all(|(u, v)| (u - v).abs() < 1e-12),
                "{rows} x {width}"
            );
        };
        let both = |isa: Isa| {
            let (mut of_rows, mut of_columns) = (vec![f64::NAN; rows], vec![f64::NAN; width]);
            rows_on(isa, &matrix, width, &mut of_rows);
            columns_on(isa, &matrix, rows, &mut of_columns);
            (of_rows, of_columns)
        };
        let first = both(Isa::Baseline);
        close(
            &first.0,
            (0..rows)
                .map(|i| (0..width).map(|j| at(i, j)).sum())
                .collect(),
        );
        close(
            &first.1,
            (0..width)
                .map(|j| (0..rows).map(|i| at(i, j)).sum())
                .collect(),
        );
        for isa in Isa::available() {
            assert_eq!(both(isa), first, "{rows} x {width} on {isa:?}");
        }
    }
}

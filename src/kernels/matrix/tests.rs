use super::*;
use crate::kernels::isa::Isa;
use crate::kernels::sum::across;
use crate::testing::{Random, close};

/// (rows, columns), with ragged last blocks and chunks.
const SIZES: [(usize, usize); 12] = [
    (1, 1),
    (1, 20),
    (7, 3),
    (8, 1),
    (9, 4),
    (31, 2),
    (255, 3),
    (256, 5),
    (257, 5),
    (263, 1),
    (600, 17),
    (1000, 2),
];

/// X v by blocks, on an instruction set.
fn times_vector(x: &RowBlocks, total: usize, v: &[f64], isa: Isa) -> Vec<f64> {
    let mut out = Buffer::zeros(total);
    for start in (0..total).step_by(BLOCK) {
        let rows = BLOCK.min(total - start);
        // SAFETY: the processor has `isa`; block, vector and result have these sizes.
        unsafe {
            let out = out.as_mut_ptr().add(start);
            rows_times()[isa as usize](x.block(start), x.columns(), rows, v.as_ptr(), out);
        }
    }
    out[..total].to_vec()
}

/// X' w by blocks, on an instruction set; NaN stands behind the end of w.
fn vector_times(x: &RowBlocks, w: &[f64], isa: Isa) -> Vec<f64> {
    let mut padded = Buffer::from_values(w);
    padded[w.len()..].fill(f64::NAN);
    let mut sums = Buffer::zeros(x.columns() * LANES);
    for start in (0..w.len()).step_by(BLOCK) {
        let rows = BLOCK.min(w.len() - start);
        // SAFETY: as above.
        unsafe {
            let w = padded.as_ptr().add(start);
            times_rows()[isa as usize](x.block(start), x.columns(), rows, w, sums.as_mut_ptr());
        }
    }
    let (chunks, _) = sums.as_chunks::<LANES>();
    chunks[..x.columns()]
        .iter()
        .map(|&lanes| across(lanes))
        .collect()
}

#[test]
fn products_with_row_blocks_are_the_plain_ones_on_every_instruction_set() {
    let mut random = Random::new(18);
    for (rows, columns) in SIZES {
        let matrix = random.vector(rows * columns, -1.0, 1.0);
        let (v, w) = (
            random.vector(columns, -1.0, 1.0),
            random.vector(rows, -1.0, 1.0),
        );
        let x = RowBlocks::pack(&matrix, rows, columns);
        let at = |i: usize, j: usize| matrix[i * columns + j];
        let xv: Vec<f64> = (0..rows)
            .map(|i| (0..columns).map(|j| at(i, j) * v[j]).sum())
            .collect();
        let xw: Vec<f64> = (0..columns)
            .map(|j| (0..rows).map(|i| at(i, j) * w[i]).sum())
            .collect();
        let bits = |values: &[f64]| -> Vec<u64> { values.iter().map(|v| v.to_bits()).collect() };
        let first = (
            times_vector(&x, rows, &v, Isa::Baseline),
            vector_times(&x, &w, Isa::Baseline),
        );
        for isa in Isa::available() {
            let (found_v, found_w) = (times_vector(&x, rows, &v, isa), vector_times(&x, &w, isa));
            for (found, wanted) in found_v.iter().chain(&found_w).zip(xv.iter().chain(&xw)) {
                assert!(
                    close(*found, *wanted, 1e-13),
                    "{rows} x {columns} on {isa:?}"
                );
            }
            assert_eq!(
                bits(&found_v),
                bits(&first.0),
                "{rows} x {columns} on {isa:?}"
            );
            assert_eq!(
                bits(&found_w),
                bits(&first.1),
                "{rows} x {columns} on {isa:?}"
            );
        }
    }
}

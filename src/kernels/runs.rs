//! Gathers and scatters at positions of which equal ones stand side by side, as groups of sorted data: one read or one
//! sum a run.

use super::isa::{Isa, per_isa};
use super::simd::{LANES, Lanes};
use super::sum::{BLOCK, Partial, across, first_lanes};

/// Elements of a run, on average, from which on runs are worth while.
const WORTH: usize = 4;

/// Equal positions side by side within a block.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    position: u32,
    first: u16,
    length: u16,
}

/// The runs of a table of positions, block by block.
#[derive(Debug)]
pub struct Runs {
    runs: Vec<Run>,
    /// Where the runs of each block end.
    ends: Vec<usize>,
}

impl Runs {
    /// The runs of a table, if they are long enough.
    pub fn find(table: &[u32]) -> Option<Runs> {
        let (mut runs, mut ends) = (vec![], vec![]);
        for block in table.chunks(BLOCK) {
            let mut first = 0;
            for run in block.chunk_by(|a, b| a == b) {
                runs.push(Run {
                    position: run[0],
                    first: first as u16,
                    length: run.len() as u16,
                });
                first += run.len();
            }
            ends.push(runs.len());
        }
        (runs.len() * WORTH <= table.len()).then_some(Runs { runs, ends })
    }

    fn block(&self, block: usize) -> &[Run] {
        let start = if block == 0 { 0 } else { self.ends[block - 1] };
        &self.runs[start..self.ends[block]]
    }

    /// Bytes that they take.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(&*self.runs) + std::mem::size_of_val(&*self.ends)
    }

    /// The elements of `source` at a block's positions; `length` is the block's.
    ///
    /// # Safety
    /// The source holds all positions, `out` the block in whole chunks.
    pub unsafe fn gather(&self, block: usize, length: usize, source: *const f64, out: *mut f64) {
        // SAFETY: the processor has what `detect` names; the caller vouches for the addresses.
        unsafe { gathers()[Isa::detect() as usize](self.block(block), length, source, out) }
    }

    /// Adds a block's elements to `out` at its positions.
    ///
    /// # Safety
    /// The source holds the block in whole chunks and one more, `out` all positions.
    pub unsafe fn scatter_add(&self, block: usize, source: *const f64, out: *mut f64) {
        // SAFETY: as for `gather`.
        unsafe { scatters()[Isa::detect() as usize](self.block(block), source, out) }
    }
}

/// Writes the elements at a block's runs.
type GatherFn = unsafe fn(&[Run], usize, *const f64, *mut f64);

fn gathers() -> [GatherFn; 3] {
    per_isa!(fn(runs: &[Run], length: usize, source: *const f64, out: *mut f64) {
        let limit = length.next_multiple_of(LANES);
        for run in runs {
            // SAFETY: the caller vouches for positions and block; a chunk that reaches behind the run, but not behind
            // the block, is written over by the next run.
            unsafe {
                let value = *source.add(run.position as usize);
                let (mut at, end) = (run.first as usize, (run.first + run.length) as usize);
                let chunk = V::splat(value).to_array();
                while at < end && at + LANES <= limit {
                    out.add(at).cast::<Partial>().write_unaligned(chunk);
                    at += LANES;
                }
                while at < end {
                    *out.add(at) = value;
                    at += 1;
                }
            }
        }
    })
}

fn scatters() -> [unsafe fn(&[Run], *const f64, *mut f64); 3] {
    per_isa!(fn(runs: &[Run], source: *const f64, out: *mut f64) {
        for run in runs {
            let (first, length) = (run.first as usize, run.length as usize);
            // SAFETY: the caller vouches for the block and the chunk behind it, and for the positions.
            unsafe {
                let source = source.add(first);
                let load = |at: usize| V::from_array(source.add(at).cast::<Partial>().read_unaligned());
                let total = if length < LANES {
                    let mut total = *source;
                    for at in 1..length {
                        total += *source.add(at);
                    }
                    total
                } else {
                    let mut lanes = load(0);
                    let mut at = LANES;
                    while at + LANES <= length {
                        lanes += load(at);
                        at += LANES;
                    }
                    if at < length {
                        lanes += first_lanes(load(at), length - at);
                    }
                    across(lanes.to_array())
                };
                *out.add(run.position as usize) += total;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::buffer::Buffer;
    use crate::testing::{Random, close};

    #[test]
    fn short_runs_are_not_worth_while() {
        assert!(Runs::find(&[0, 1, 2, 3, 4, 5, 6, 7]).is_none());
        assert!(Runs::find(&[0, 1, 0, 1, 0, 1, 0, 1]).is_none());
        assert!(Runs::find(&[3, 3, 3, 3, 1, 1, 1, 1]).is_some());
    }

    #[test]
    fn runs_do_what_loops_do_on_every_instruction_set() {
        let mut random = Random::new(17);
        for size in [8, 30, 256, 257, 1000] {
            let mut table: Vec<u32> = (0..size).map(|_| random.below(size / 5) as u32).collect();
            table.sort();
            let Some(runs) = Runs::find(&table) else {
                panic!("five elements a run on average")
            };
            let values = random.vector(size, -1.0, 1.0);
            let source = Buffer::from_values(&values);
            let wanted_gather: Vec<f64> = table.iter().map(|&p| values[p as usize]).collect();
            let mut wanted_sums = vec![0.0; size];
            for (&p, v) in table.iter().zip(&values) {
                wanted_sums[p as usize] += v;
            }
            let mut all_sums = vec![];
            for isa in Isa::available() {
                let (mut gathered, mut sums) = (Buffer::zeros(size), Buffer::zeros(size));
                gathered[size.next_multiple_of(LANES)] = 7.0;
                for block in 0..size.div_ceil(BLOCK) {
                    let (start, length) = (block * BLOCK, BLOCK.min(size - block * BLOCK));
                    let runs = runs.block(block);
                    // SAFETY: the processor has `isa`; buffers are padded to whole chunks and one more.
                    unsafe {
                        let to = gathered.as_mut_ptr().add(start);
                        gathers()[isa as usize](runs, length, source.as_ptr(), to);
                        let from = source.as_ptr().add(start);
                        scatters()[isa as usize](runs, from, sums.as_mut_ptr());
                    }
                }
                assert_eq!(gathered[..size], wanted_gather[..]);
                assert_eq!(
                    gathered[size.next_multiple_of(LANES)],
                    7.0,
                    "written too far"
                );
                for (found, wanted) in sums.iter().zip(&wanted_sums) {
                    assert!(close(*found, *wanted, 1e-14), "{found} {wanted}");
                }
                all_sums.push(sums.iter().map(|x| x.to_bits()).collect::<Vec<_>>());
            }
            assert!(all_sums.iter().all(|sums| *sums == all_sums[0]));
        }
    }
}

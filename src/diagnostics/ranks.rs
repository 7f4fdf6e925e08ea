//! Draws in order: quantiles, ranks, and the normal scores of ranks.

use super::Draws;
use crate::kernels::math::erfcinv;
use std::f64::consts::SQRT_2;

/// A value with its place among the half chains; [`NOWHERE`] for the middle draw of an odd number.
pub type Ranked = (f64, usize);

const NOWHERE: usize = usize::MAX;

/// Normal scores by rank: z_r = Phi^-1((r - 3/8) / (S + 1/4)) for r = 1, 3/2, 2, ..., S (Blom 1958; Vehtari et
/// al. 2021, equation 14). Halves of integers are the mean ranks of ties.
#[derive(Default)]
pub struct Scores {
    count: usize,
    by_twice_the_rank: Vec<f64>,
}

impl Scores {
    fn of(&mut self, count: usize) -> &[f64] {
        if self.count != count {
            self.count = count;
            self.by_twice_the_rank.clear();
            let score = |twice: usize| {
                let p = (0.5 * twice as f64 - 0.375) / (count as f64 + 0.25);
                -SQRT_2 * erfcinv::<f64>(2.0 * p)
            };
            // Twice the ranks are 2..=2 S; their scores are antisymmetric about 0, that of the middle one.
            self.by_twice_the_rank.extend((2..=count).map(score));
            self.by_twice_the_rank.push(0.0);
            let upper: Vec<f64> = self.by_twice_the_rank[..count - 1]
                .iter()
                .rev()
                .map(|z| -z)
                .collect();
            self.by_twice_the_rank.extend(upper);
        }
        &self.by_twice_the_rank
    }
}

/// Linear interpolation between order statistics `sorted` at (S - 1) p, NumPy's default (type 7 of Hyndman and
/// Fan 1996).
///
/// Rounds as NumPy does: an indicator `x <= quantile` must not depend on the last bit.
fn interpolated(sorted: &[Ranked], p: f64) -> f64 {
    let last = sorted.len() - 1;
    let position = last as f64 * p;
    let below = (position.floor() as usize).min(last);
    let (a, b) = (sorted[below].0, sorted[(below + 1).min(last)].0);
    let (weight, difference) = (position - below as f64, b - a);
    if weight >= 0.5 {
        b - difference * (1.0 - weight)
    } else {
        a + difference * weight
    }
}

impl Draws<'_> {
    /// All draws in ascending order. There must be no NaN among them.
    pub(super) fn sorted(&mut self) -> &[Ranked] {
        if !self.is_sorted {
            let (half, length) = (self.half(), self.length);
            let sorted = &mut self.work.sorted;
            sorted.clear();
            for (c, chain) in self.chains.iter().enumerate() {
                let place = |t: usize| match t {
                    _ if t < half => 2 * half * c + t,
                    _ if t >= length - half => 2 * half * c + t - (length - 2 * half),
                    _ => NOWHERE,
                };
                sorted.extend(
                    chain[..length]
                        .iter()
                        .enumerate()
                        .map(|(t, &x)| (x, place(t))),
                );
            }
            sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            self.is_sorted = true;
        }
        &self.work.sorted
    }

    /// The quantile at probability p, by linear interpolation between order statistics.
    pub fn quantile(&mut self, p: f64) -> f64 {
        if self.is_empty() || self.has_nan || !(0.0..=1.0).contains(&p) {
            return f64::NAN;
        }
        interpolated(self.sorted(), p)
    }

    /// Puts the normal scores of the ranks on the half chains. There must be no NaN among the draws.
    pub(super) fn split_scores(&mut self) {
        self.select_ranked();
        self.score_ranked();
    }

    /// Puts the normal scores of the ranks of |x - median| on the half chains.
    ///
    /// Returns false where there are none, as the median is infinite or NaN.
    pub(super) fn split_folded_scores(&mut self) -> bool {
        self.select_ranked();
        let sorted = &self.work.ranked;
        let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
        let median = (sorted[low].0 + sorted[high].0) / 2.0;
        if !median.is_finite() {
            return false;
        }
        // Distances rise to both sides of the median, so that merging the sides sorts them.
        let distance = |&(x, place): &Ranked| ((x - median).abs(), place);
        let split = sorted.partition_point(|draw| draw.0 <= median);
        let mut below = sorted[..split].iter().rev().map(distance).peekable();
        let mut above = sorted[split..].iter().map(distance).peekable();
        let folded = &mut self.work.folded;
        folded.clear();
        loop {
            let nearest = match (below.peek(), above.peek()) {
                (Some(a), Some(b)) if a.0 <= b.0 => below.next(),
                (Some(_), None) => below.next(),
                _ => above.next(),
            };
            let Some(nearest) = nearest else { break };
            folded.push(nearest);
        }
        std::mem::swap(&mut self.work.ranked, &mut self.work.folded);
        self.score_ranked();
        true
    }

    /// Copies the sorted draws that belong to a half chain.
    fn select_ranked(&mut self) {
        self.sorted();
        self.work.ranked.clear();
        let kept = self.work.sorted.iter().filter(|draw| draw.1 != NOWHERE);
        self.work.ranked.extend(kept);
    }

    /// Puts the scores of the ranks of `ranked`, which ascends, on the half chains; ties share their mean rank.
    fn score_ranked(&mut self) {
        let work = &mut *self.work;
        let count = work.ranked.len();
        let scores = work.scores.of(count);
        work.halves.clear();
        work.halves.resize(count, 0.0);
        let mut before = 0;
        for tied in work.ranked.chunk_by(|a, b| a.0 == b.0) {
            // Ranks before + 1 to before + n have the mean before + (n + 1) / 2.
            let score = scores[2 * before + tied.len() - 1];
            for &(_, place) in tied {
                work.halves[place] = score;
            }
            before += tied.len();
        }
    }
}

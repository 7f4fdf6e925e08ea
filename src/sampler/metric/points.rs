//! The points that a metric is estimated from: draws of the latest windows, with gradient and log density.

use std::borrow::Cow;
use std::ops::Range;

/// Numbers kept of draws, and as many of gradients: 64 MiB each; older points go.
const BUDGET: usize = 1 << 23;
/// A point this many times further below the median log density than the tenth percentile is still on its way.
const TYPICAL: f64 = 4.0;

/// Positions with gradients and log densities, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct Points {
    dim: usize,
    /// Positions, one after the other.
    pub draws: Vec<f64>,
    /// Gradients, one after the other.
    pub gradients: Vec<f64>,
    logps: Vec<f64>,
}

impl Points {
    /// No points in `dim` dimensions.
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            ..Self::default()
        }
    }

    /// The points of several, the newest last: those of equal age, counted back from the end, stand together.
    pub fn by_turns(parts: &[&Self]) -> Self {
        let mut all = Self::new(parts[0].dim);
        let longest = parts.iter().map(|part| part.len()).max().unwrap_or(0);
        for age in (1..=longest).rev() {
            for part in parts {
                if let Some(i) = part.len().checked_sub(age) {
                    all.push(part, i);
                }
            }
        }
        all
    }

    /// Adds point number `i` of another.
    fn push(&mut self, other: &Self, i: usize) {
        let row = i * self.dim..(i + 1) * self.dim;
        self.draws.extend_from_slice(&other.draws[row.clone()]);
        self.gradients.extend_from_slice(&other.gradients[row]);
        self.logps.push(other.logps[i]);
    }

    /// Dimensions of a point.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.logps.len()
    }

    /// Adds a point, unless something of it is not finite; says whether it did.
    pub fn add(&mut self, draw: &[f64], gradient: &[f64], logp: f64) -> bool {
        let finite = |values: &[f64]| values.iter().all(|x| x.is_finite());
        if !(logp.is_finite() && finite(draw) && finite(gradient)) {
            return false;
        }
        if (self.len() + 1) * self.dim > BUDGET && self.len() > 2 {
            self.keep_last(self.len() / 2);
        }
        self.draws.extend_from_slice(draw);
        self.gradients.extend_from_slice(gradient);
        self.logps.push(logp);
        true
    }

    /// Forgets all but the last `count` points.
    pub fn keep_last(&mut self, count: usize) {
        let old = self.len().saturating_sub(count);
        self.draws.drain(..old * self.dim);
        self.gradients.drain(..old * self.dim);
        self.logps.drain(..old);
    }

    /// The points of a stretch.
    pub fn range(&self, range: Range<usize>) -> Self {
        let rows = range.start * self.dim..range.end * self.dim;
        Self {
            dim: self.dim,
            draws: self.draws[rows.clone()].to_vec(),
            gradients: self.gradients[rows].to_vec(),
            logps: self.logps[range].to_vec(),
        }
    }

    /// The points with these numbers.
    pub fn select(&self, numbers: impl Iterator<Item = usize>) -> Self {
        let mut selected = Self::new(self.dim);
        numbers.for_each(|i| selected.push(self, i));
        selected
    }

    /// The points without those on the way to the typical set.
    ///
    /// Their gradients are so large that a few of them ruin a covariance. They are told by their log
    /// density: far below where that of the newer half of the points lies. For a normal in d dimensions
    /// its standard deviation is sqrt(d / 2), which is taken for the least spread that is plausible.
    pub fn typical(&self) -> Cow<'_, Self> {
        let mut recent = self.logps[self.len() / 2..].to_vec();
        let Some(last) = recent.len().checked_sub(1) else {
            return Cow::Borrowed(self);
        };
        let (lower, &mut median, _) = recent.select_nth_unstable_by(last / 2, f64::total_cmp);
        let low = match last / 10 {
            tenth if tenth < lower.len() => *lower.select_nth_unstable_by(tenth, f64::total_cmp).1,
            _ => median,
        };
        let spread = (median - low).max((self.dim as f64 / 2.0).sqrt());
        let floor = median - TYPICAL * spread;
        if self.logps.iter().all(|&logp| logp >= floor) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(self.select((0..self.len()).filter(|&i| self.logps[i] >= floor)))
    }

    /// Stretches of equal length, from the oldest points to the newest; what is left over falls to none.
    pub fn blocks<const N: usize>(&self) -> [Self; N] {
        let length = self.len() / N;
        std::array::from_fn(|k| self.range(k * length..(k + 1) * length))
    }

    /// Draws and gradients in coordinates of these scales, added up.
    pub fn whitened_sums(&self, scale: &[f64]) -> Vec<f64> {
        let scales = repeated(scale);
        let mut sums = self.draws.clone();
        let blocks = sums.chunks_mut(scales.len());
        for (x, g) in blocks.zip(self.gradients.chunks(scales.len())) {
            for (x, (g, scale)) in x.iter_mut().zip(g.iter().zip(&scales)) {
                *x = *x / scale + *g * scale;
            }
        }
        sums
    }

    /// At most `most` points, evenly from the oldest to the newest.
    pub fn thinned(&self, most: usize) -> Cow<'_, Self> {
        let n = self.len();
        if n <= most {
            return Cow::Borrowed(self);
        }
        Cow::Owned(self.select((0..most).map(|k| (k + 1) * n / most - 1)))
    }
}

/// Numbers that sums over rows go through at a time: several short rows, side by side in SIMD lanes.
const WIDTH: usize = 24;

/// The sum over rows of `dim` numbers of `term(x)`, by column; `term` is also given the place of x in [`side_by_side`] rows.
fn column_sums(rows: &[f64], dim: usize, term: impl Fn(f64, usize) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; side_by_side(dim)];
    for block in rows.chunks(sums.len()) {
        for (place, (sum, x)) in sums.iter_mut().zip(block).enumerate() {
            *sum += term(*x, place);
        }
    }
    let (columns, others) = sums.split_at_mut(dim);
    for other in others.chunks_exact(dim) {
        columns.iter_mut().zip(other).for_each(|(sum, x)| *sum += x);
    }
    sums.truncate(dim);
    sums
}

/// Numbers of as many whole rows as go side by side.
fn side_by_side(dim: usize) -> usize {
    dim * (WIDTH / dim).max(1)
}

/// A row as often as rows go side by side.
fn repeated(row: &[f64]) -> Vec<f64> {
    let width = side_by_side(row.len());
    row.iter().copied().cycle().take(width).collect()
}

/// Rows of `factors.len()` numbers less their mean, times the factor of each column.
pub fn scaled_offsets(rows: &[f64], factors: &[f64]) -> Vec<f64> {
    let means = repeated(&mean(rows, factors.len()));
    let factors = repeated(factors);
    let mut offsets = rows.to_vec();
    for block in offsets.chunks_mut(means.len()) {
        for (x, (mean, factor)) in block.iter_mut().zip(means.iter().zip(&factors)) {
            *x = (*x - mean) * factor;
        }
    }
    offsets
}

/// The mean of rows of `dim` numbers.
pub fn mean(rows: &[f64], dim: usize) -> Vec<f64> {
    let share = dim as f64 / rows.len() as f64;
    column_sums(rows, dim, |x, _| share * x)
}

/// The variance of each column of rows of `dim` numbers.
pub fn variances(rows: &[f64], dim: usize) -> Vec<f64> {
    let share = dim as f64 / rows.len() as f64;
    let means = repeated(&mean(rows, dim));
    column_sums(rows, dim, |x, place| {
        let offset = x - means[place];
        share * offset * offset
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_on_the_way_are_left_out() {
        let mut points = Points::new(1);
        for i in 0..40 {
            let logp = if i < 5 { -1e4 } else { -f64::from(i % 7) };
            assert!(points.add(&[f64::from(i)], &[0.0], logp));
        }
        let typical = points.typical();
        assert_eq!((typical.len(), typical.draws[0]), (35, 5.0));
    }

    #[test]
    fn what_is_not_finite_never_enters() {
        let mut points = Points::new(2);
        assert!(!points.add(&[1.0, f64::NAN], &[0.0, 0.0], 0.0));
        assert!(!points.add(&[1.0, 2.0], &[f64::INFINITY, 0.0], 0.0));
        assert!(!points.add(&[1.0, 2.0], &[0.0, 0.0], f64::NEG_INFINITY));
        assert_eq!(points.len(), 0);
        assert_eq!(points.typical().len(), 0);
    }

    #[test]
    fn thinning_keeps_the_newest() {
        let mut points = Points::new(1);
        (0..10).for_each(|i| assert!(points.add(&[f64::from(i)], &[0.0], 0.0)));
        assert_eq!(points.thinned(4).draws, [1.0, 4.0, 6.0, 9.0]);
        points.keep_last(3);
        assert_eq!(points.draws, [7.0, 8.0, 9.0]);
        assert_eq!(points.blocks::<2>().map(|b| b.draws), [[7.0], [8.0]]);
    }

    #[test]
    fn variances_around_the_mean() {
        assert_eq!(variances(&[1.0, 5.0, 3.0, 5.0], 2), [1.0, 0.0]);
    }

    #[test]
    fn columns_are_those_of_a_plain_loop_whatever_goes_side_by_side() {
        for (n, dim) in [
            (1, 1),
            (7, 1),
            (100, 1),
            (25, 3),
            (9, 5),
            (40, 23),
            (6, 24),
            (5, 60),
        ] {
            let rows: Vec<f64> = (0..n * dim).map(|k| ((k * k) % 17) as f64 - 4.0).collect();
            let scale: Vec<f64> = (0..dim).map(|j| 1.0 + j as f64).collect();
            let (means, spreads) = (mean(&rows, dim), variances(&rows, dim));
            let offsets = scaled_offsets(&rows, &scale);
            let mut points = Points::new(dim);
            for row in rows.chunks_exact(dim) {
                points.add(row, row, 0.0);
            }
            let sums = points.whitened_sums(&scale);
            for j in 0..dim {
                let column: Vec<f64> = rows[j..].iter().step_by(dim).copied().collect();
                let mean = column.iter().sum::<f64>() / n as f64;
                let squares = column.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>();
                assert!((means[j] - mean).abs() < 1e-12);
                assert!((spreads[j] - squares / n as f64).abs() < 1e-12);
                for (i, x) in column.iter().enumerate() {
                    let place = i * dim + j;
                    assert!((offsets[place] - scale[j] * (x - mean)).abs() < 1e-10);
                    assert!((sums[place] - (x / scale[j] + x * scale[j])).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn typical_points_are_told_by_order_statistics() {
        for n in [1, 2, 3, 9, 10, 50, 51] {
            let mut points = Points::new(1);
            // On the way for a tenth; what is left lies at 0 to -10.
            let logp = |i: usize| {
                if i < n / 10 {
                    -1e3
                } else {
                    -((i * 7 % 11) as f64)
                }
            };
            (0..n).for_each(|i| assert!(points.add(&[i as f64], &[0.0], logp(i))));
            assert_eq!(points.typical().len(), n - n / 10, "{n}");
        }
    }

    #[test]
    fn points_of_several_take_turns_the_newest_last() {
        let points = |values: &[f64]| {
            let mut points = Points::new(1);
            values
                .iter()
                .for_each(|&x| assert!(points.add(&[x], &[-x], x)));
            points
        };
        let parts = [
            &points(&[1.0, 2.0, 3.0]),
            &points(&[]),
            &points(&[20.0, 30.0]),
        ];
        let all = Points::by_turns(&parts);
        assert_eq!(all.draws, [1.0, 2.0, 20.0, 3.0, 30.0]);
        assert_eq!(all.gradients, [-1.0, -2.0, -20.0, -3.0, -30.0]);
        assert_eq!(all.logps, all.draws);
    }
}

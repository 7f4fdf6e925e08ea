//! The points that a metric is estimated from: draws of the latest windows, with gradient and log density.

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
    pub fn typical(&self) -> Self {
        let mut recent = self.logps[self.len() / 2..].to_vec();
        recent.sort_by(f64::total_cmp);
        let Some(last) = recent.len().checked_sub(1) else {
            return self.clone();
        };
        let (median, low) = (recent[last / 2], recent[last / 10]);
        let spread = (median - low).max((self.dim as f64 / 2.0).sqrt());
        let floor = median - TYPICAL * spread;
        if self.logps.iter().all(|&logp| logp >= floor) {
            return self.clone();
        }
        self.select((0..self.len()).filter(|&i| self.logps[i] >= floor))
    }

    /// Stretches of equal length, from the oldest points to the newest; what is left over falls to none.
    pub fn blocks<const N: usize>(&self) -> [Self; N] {
        let length = self.len() / N;
        std::array::from_fn(|k| self.select(k * length..(k + 1) * length))
    }

    /// At most `most` points, evenly from the oldest to the newest.
    pub fn thinned(&self, most: usize) -> Self {
        let n = self.len();
        if n <= most {
            return self.clone();
        }
        self.select((0..most).map(|k| (k + 1) * n / most - 1))
    }
}

/// The mean of rows of `dim` numbers.
pub fn mean(rows: &[f64], dim: usize) -> Vec<f64> {
    let share = dim as f64 / rows.len() as f64;
    let mut mean = vec![0.0; dim];
    for row in rows.chunks_exact(dim) {
        for (mean, x) in mean.iter_mut().zip(row) {
            *mean += share * x;
        }
    }
    mean
}

/// The variance of each column of rows of `dim` numbers.
pub fn variances(rows: &[f64], dim: usize) -> Vec<f64> {
    let (mean, share) = (mean(rows, dim), dim as f64 / rows.len() as f64);
    let mut variances = vec![0.0; dim];
    for row in rows.chunks_exact(dim) {
        for ((variance, mean), x) in variances.iter_mut().zip(&mean).zip(row) {
            *variance += share * (x - mean) * (x - mean);
        }
    }
    variances
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

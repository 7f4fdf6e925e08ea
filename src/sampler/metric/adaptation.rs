//! Fits the metric to the points of warm-up: in windows, and of the kind that promises most.

use super::points::{Points, variances};
use super::{Diagonal, Metric, choice, covariance};
use crate::sampler::settings::MetricKind;

/// With fewer points the variances say too little.
const MIN_POINTS: usize = 3;
/// With fewer points there is no telling which metric is best.
const MIN_POINTS_TO_CHOOSE: usize = 40;
/// With fewer points than dimensions and these, a metric from elsewhere is kept: some ten draws with their states.
const MIN_POINTS_TO_REPLACE: usize = 40;
/// More dimensions than this take the low-rank metric where fewer take the dense one.
const MOST_DENSE: usize = 128;
/// A metric that costs less to fit and to apply is kept unless another promises this share of its steps.
const ADVANTAGE: f64 = 0.97;
/// Below this residual the diagonal metric is kept untried: no direction's variance is off by more than a tenth.
const SMALL_RESIDUAL: f64 = 0.01;
/// The dense metric of all points is expected to cost less than that of half of them by dimension / points, or this.
const MOST_HANDICAP: f64 = 0.2;
/// Bound of the first scales, from a single gradient: jitter of starting points reaches as far as 1.
const FIRST_SCALE: f64 = 10.0;

/// The two estimators of warm-up: the metric comes from the foreground, the background is the
/// foreground to come.
#[derive(Debug, Clone)]
pub struct MetricAdaptation {
    kind: MetricKind,
    /// What `kind` stands for now.
    chosen: MetricKind,
    /// Points of the foreground; those of the background are the last of them.
    points: Points,
    background: usize,
    /// Points of the foreground when the metric was fitted last.
    fitted: usize,
    /// Points of the foreground when the kind was chosen last.
    judged: usize,
    diagonal: Diagonal,
    /// Nanoseconds that a gradient takes.
    work: f64,
    /// Points before the first fit.
    patience: usize,
}

impl MetricAdaptation {
    /// Two empty estimators, for a density whose gradient takes `work` nanoseconds.
    pub fn new(kind: MetricKind, dim: usize, work: f64) -> Self {
        let chosen = match kind {
            MetricKind::Auto if dim > MOST_DENSE => MetricKind::LowRank,
            MetricKind::Auto => MetricKind::Dense,
            kind => kind,
        };
        Self {
            kind,
            chosen,
            points: Points::new(dim),
            background: 0,
            fitted: 0,
            judged: 0,
            diagonal: Diagonal::unit(dim),
            work: work.max(1.0),
            patience: MIN_POINTS,
        }
    }

    /// The same where the first metric is a good one: a fit to few points would be worse.
    pub fn with_good_start(self) -> Self {
        let patience = MIN_POINTS_TO_REPLACE + self.points.dim();
        Self { patience, ..self }
    }

    /// The metric from the first gradient alone: sigma_i^2 = 1 / |g_i|, as a normal at one standard
    /// deviation has it (nuts-rs). A tiny gradient says that the start is near a mode, no more.
    pub fn first(&mut self, gradient: &[f64]) -> Metric {
        let least = FIRST_SCALE.powi(-2);
        self.diagonal
            .set_variances(gradient.iter().map(|g| 1.0 / g.abs().max(least)));
        Metric::Diagonal(self.diagonal.clone())
    }

    /// Adds a point to both estimators.
    pub fn add(&mut self, draw: &[f64], gradient: &[f64], logp: f64) {
        self.background += usize::from(self.points.add(draw, gradient, logp));
    }

    /// Puts the background in front and starts a new, empty one.
    pub fn switch(&mut self) {
        self.points.keep_last(self.background);
        (self.background, self.fitted, self.judged) = (0, 0, 0);
    }

    /// Takes the foregrounds of several chains in place of its own.
    pub fn pool(&mut self, chains: &[&Self]) {
        let points: Vec<&Points> = chains.iter().map(|chain| &chain.points).collect();
        self.points = Points::by_turns(&points);
        if self.points.len() < self.fitted {
            (self.fitted, self.judged) = (0, 0); // they have switched
        }
    }

    /// The metric, of the kind that is chosen now, of another's foreground alone.
    pub fn metric_of(&self, other: &Self) -> Metric {
        let points = other.points.typical();
        fitted(self.chosen, &points, &mut self.diagonal.clone())
    }

    /// The metrics of the older and of the newer half of the foreground.
    pub fn metrics_of_halves(&self) -> [Metric; 2] {
        let halves = self.points.typical().halves();
        halves.map(|points| fitted(self.chosen, &points, &mut self.diagonal.clone()))
    }

    /// Fits `metric` to the foreground if that has grown enough since the last time, by a fifth, but at
    /// least ten points and as many as dimensions; says whether it did. Once warm-up has settled, the kind is
    /// chosen anew whenever the foreground has doubled.
    pub fn update(&mut self, metric: &mut Metric, settled: bool) -> bool {
        let (n, dim) = (self.points.len(), self.points.dim());
        let grown = n.saturating_sub(self.fitted);
        if n < self.patience || self.fitted > 0 && grown < (n / 5).max(10).max(dim) {
            return false;
        }
        self.fit(metric, settled && n >= 2 * self.judged)
    }

    /// Fits `metric` to the foreground if that holds enough points; says whether it did. Its kind is
    /// chosen anew if `choosing`.
    pub fn fit(&mut self, metric: &mut Metric, choosing: bool) -> bool {
        let points = self.points.typical();
        if points.len() < MIN_POINTS || self.points.len() < self.patience {
            return false;
        }
        self.fitted = self.points.len();
        let auto = self.kind == MetricKind::Auto;
        if auto {
            *metric = fitted(MetricKind::Diag, &points, &mut self.diagonal);
        }
        let needless = auto && choice::residual(metric, &points) < SMALL_RESIDUAL;
        if choosing && auto && points.len() >= MIN_POINTS_TO_CHOOSE {
            self.judged = self.points.len();
            self.chosen = if needless {
                MetricKind::Diag
            } else {
                self.choose(&points)
            };
        }
        let known = needless || auto && self.chosen == MetricKind::Diag;
        if !known {
            *metric = fitted(self.chosen, &points, &mut self.diagonal);
        }
        true
    }

    /// The kind that costs least on the half of the points that it was not fitted to. A step's cost is that of its
    /// gradient and of the metric's own algebra.
    fn choose(&self, points: &Points) -> MetricKind {
        let halves = points.halves();
        let cost = |kind: MetricKind| {
            let cross = |fit: &Points, judge: &Points| {
                let metric = fitted(kind, fit, &mut self.diagonal.clone());
                (1.0 + metric.work(points.dim()) / self.work) * choice::cost(&metric, judge)
            };
            cross(&halves[0], &halves[1]) * cross(&halves[1], &halves[0])
        };
        let full = if points.dim() > MOST_DENSE {
            MetricKind::LowRank
        } else {
            MetricKind::Dense
        };
        let mut best = (MetricKind::Diag, cost(MetricKind::Diag));
        for kind in [MetricKind::DrawDiag, full] {
            // Half of the points is a handicap to what has many parameters.
            let handicap = match kind {
                MetricKind::Dense => (points.dim() as f64 / points.len() as f64).min(MOST_HANDICAP),
                _ => 0.0,
            };
            let cost = cost(kind);
            if cost < (ADVANTAGE + handicap).powi(2) * best.1 {
                best = (kind, cost);
            }
        }
        best.0
    }
}

/// The metric of one kind that is fitted to the points; the diagonal one where there is none. `diagonal` is the last one.
fn fitted(kind: MetricKind, points: &Points, diagonal: &mut Diagonal) -> Metric {
    let dim = points.dim();
    let draws = variances(&points.draws, dim);
    if kind == MetricKind::DrawDiag {
        diagonal.set_variances(draws.into_iter());
    } else {
        let gradients = variances(&points.gradients, dim);
        diagonal.set_variances(draws.iter().zip(gradients).map(|(x, g)| (x / g).sqrt()));
    }
    let scale = diagonal.scale();
    let full = match kind {
        MetricKind::Dense | MetricKind::Auto => covariance::dense(points, scale).map(Metric::Dense),
        MetricKind::LowRank => covariance::low_rank(points, scale).map(Metric::LowRank),
        MetricKind::Diag | MetricKind::DrawDiag => None,
    };
    full.unwrap_or_else(|| Metric::Diagonal(diagonal.clone()))
}

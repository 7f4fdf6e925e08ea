//! Fits the metric to the points of warm-up: in windows, and of the kind that promises most.

use super::economy::Economy;
use super::fit::{self, fitted};
use super::points::Points;
use super::{Diagonal, Metric, choice};
use crate::sampler::settings::MetricKind;

/// With fewer points the variances say too little.
const MIN_POINTS: usize = 3;
/// With fewer points than dimensions and these, a metric from elsewhere is kept: some ten draws with their states.
const MIN_POINTS_TO_REPLACE: usize = 40;
/// Below this residual the diagonal metric is kept untried: no direction's variance is off by more than a tenth.
const SMALL_RESIDUAL: f64 = 0.01;
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
    economy: Economy,
    /// Points before the first fit.
    patience: usize,
}

impl MetricAdaptation {
    /// Two empty estimators, for a chain of so many draws from a density whose gradient takes `work` nanoseconds.
    pub fn new(kind: MetricKind, dim: usize, work: f64, draws: u64) -> Self {
        let chosen = match kind {
            MetricKind::Auto => MetricKind::Diag,
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
            economy: Economy::new(work, dim, draws),
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
        let accounts = chains.iter().map(|chain| &chain.economy);
        self.economy.pool(accounts);
        if self.points.len() < self.fitted {
            (self.fitted, self.judged) = (0, 0); // they have switched
        }
    }

    /// The metric, of the kind that is chosen now, of another's foreground alone.
    pub fn metric_of(&self, other: &Self) -> Metric {
        self.fitted_to(&other.points.typical())
    }

    /// The metrics of the older and of the newer half of the foreground.
    pub fn metrics_of_halves(&self) -> [Metric; 2] {
        let halves = self.points.typical().blocks::<2>();
        halves.map(|points| self.fitted_to(&points))
    }

    /// The metric, of the kind that is chosen now, of these points.
    fn fitted_to(&self, points: &Points) -> Metric {
        let diagonal = &mut self.diagonal.clone();
        fitted(self.chosen, points, diagonal, &self.economy)
    }

    /// Steps of a trajectory were made under `metric`, which pay for fits to come.
    pub fn earn(&mut self, steps: u64, metric: &Metric) {
        self.economy.earn(steps, metric);
    }

    /// Whether fits take next to nothing.
    fn is_simple(&self) -> bool {
        matches!(self.chosen, MetricKind::Diag | MetricKind::DrawDiag)
    }

    /// Fits `metric` to the foreground if that has grown enough since the last time, by a fifth, but at
    /// least ten points and, unless fits are simple, as many as dimensions; says whether it did. The kind is chosen anew whenever the foreground
    /// has doubled.
    pub fn update(&mut self, metric: &mut Metric) -> bool {
        let n = self.points.len();
        let grown = n.saturating_sub(self.fitted);
        let least = if self.is_simple() {
            10
        } else {
            self.points.dim().max(10)
        };
        if n < self.patience || self.fitted > 0 && grown < least.max(n / 5) {
            return false;
        }
        self.fit(metric, n >= 2 * self.judged)
    }

    /// Fits `metric` to the foreground if that holds enough points; says whether it did. Its kind is
    /// chosen anew if `choosing`.
    pub fn fit(&mut self, metric: &mut Metric, choosing: bool) -> bool {
        let points = self.points.typical();
        if points.len() < MIN_POINTS || self.points.len() < self.patience {
            return false;
        }
        self.fitted = self.points.len();
        if self.kind != MetricKind::Auto {
            *metric = fitted(self.kind, &points, &mut self.diagonal, &self.economy);
            return true;
        }
        let diagonal = fitted(MetricKind::Diag, &points, &mut self.diagonal, &self.economy);
        if choice::residual(self.diagonal.scale(), &points) < SMALL_RESIDUAL {
            *metric = diagonal;
            return true;
        }
        let chosen = choosing
            .then(|| choice::choose(&points, &self.diagonal, &mut self.economy, self.chosen))
            .flatten();
        if let Some(chosen) = chosen {
            self.judged = self.points.len();
            self.chosen = chosen;
        }
        let price = fit::price(self.chosen, points.dim(), points.len());
        if !(self.is_simple() || chosen.is_some() || self.economy.pay(price)) {
            return false;
        }
        *metric = match self.chosen {
            MetricKind::Diag => diagonal,
            chosen => fitted(chosen, &points, &mut self.diagonal, &self.economy),
        };
        true
    }
}

//! What a chain learns in warm-up: the metric and the step size.
//!
//! A trajectory shows more than its draw: each of its states has a gradient, and on a posterior near
//! a normal one any d + 1 points with gradients tell the metric. Some states of each
//! trajectory are learned from: the first, second, fourth, eighth, ... that it visits.

use super::hamiltonian::Hamiltonian;
use super::metric::{Metric, MetricAdaptation};
use super::schedule::Schedule;
use super::settings::Settings;
use super::state::State;
use super::step_size::DualAveraging;
use super::trajectory::Outcome;

/// A draw of a divergent trajectory teaches the metric only if it lies further from the start than
/// this: nearer ones pile up where the posterior is too narrow to leave.
const MIN_DIVERGENT_STEPS: u64 = 4;
/// With more dimensions the draws alone teach the metric: states would take too much memory.
const MOST_DIMENSIONS_OF_STATES: usize = 1000;

/// The adaptation of one chain.
#[derive(Debug, Clone)]
pub struct Warmup {
    schedule: Schedule,
    target_accept: f64,
    metric: MetricAdaptation,
    /// The caller's first metric.
    initial: Option<Metric>,
    metric_known: bool,
    /// Whether the chain meets others.
    meets: bool,
    /// Whether the metric comes from these meetings, from the first on.
    pools: bool,
    /// Draws in the background.
    background: u64,
    /// States of the current trajectory so far.
    seen: u64,
    visited: Vec<State>,
}

impl Warmup {
    /// Nothing learned yet by one of so many chains, for a density of `dim` dimensions and so many nanoseconds' work.
    pub fn new(settings: &Settings, dim: usize, work: f64, chains: usize) -> Self {
        let pools = settings.pool && chains > 1;
        let initial = settings.initial_metric.as_deref();
        let initial = initial.and_then(|values| Metric::of_covariance(dim, values));
        let metric = MetricAdaptation::new(settings.metric, dim, work, settings.total_draws());
        Self {
            schedule: Schedule::new(settings.tune, &settings.schedule),
            target_accept: settings.target_accept,
            metric: match initial {
                Some(_) => metric.with_good_start(),
                None => metric,
            },
            metric_known: initial.is_some(),
            initial,
            meets: pools || settings.early_stop,
            pools,
            background: 0,
            seen: 0,
            visited: Vec::new(),
        }
    }

    /// Draws of warm-up.
    pub fn tune(&self) -> u64 {
        self.schedule.tune()
    }

    /// Draws after which the chain, having made so many, meets the others.
    pub fn next_meeting(&self, made: u64) -> Option<u64> {
        self.meets.then(|| self.schedule.next_meeting(made))?
    }

    /// Its windows.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The points that it has learned from.
    pub fn metric(&self) -> &MetricAdaptation {
        &self.metric
    }

    /// Fits the metric for the last time, after `made` draws, earlier than planned.
    pub fn settle(&mut self, made: u64, metric: &mut Metric) {
        self.schedule.settle(made);
        if !self.pools {
            self.metric.fit(metric, true);
        }
    }

    /// The metric to start with.
    pub fn first_metric(&mut self, start: &State) -> Metric {
        match &self.initial {
            Some(metric) => metric.clone(),
            None => self.metric.first(&start.gradient),
        }
    }

    /// Doublings after which a trajectory of this draw ends, as far as warm-up is concerned.
    pub fn max_treedepth(&self, draw: u64) -> Option<u32> {
        self.schedule.max_treedepth(draw)
    }

    /// Sees a state of the trajectory of `draw`.
    pub fn visit(&mut self, draw: u64, position: &[f64], gradient: &[f64], logp: f64) {
        self.seen += 1;
        if self.seen.is_power_of_two()
            && position.len() <= MOST_DIMENSIONS_OF_STATES
            && self.schedule.adapts_metric(draw)
        {
            let mut state = State::new(0);
            state.position = position.to_vec();
            state.gradient = gradient.to_vec();
            state.logp = logp;
            self.visited.push(state);
        }
    }

    /// Learns from warm-up draw number `draw`, counted from 0; says whether the step size must be
    /// searched anew because the metric is another.
    pub fn learn(
        &mut self,
        draw: u64,
        state: &State,
        outcome: &Outcome,
        step_size: &mut DualAveraging,
        hamiltonian: &mut Hamiltonian,
    ) -> bool {
        if self.schedule.settles(draw) {
            step_size.average_anew();
        }
        let target = self.schedule.target(draw, self.target_accept);
        step_size.update(outcome.acceptance_rate, target);
        let seen = std::mem::take(&mut self.seen);
        self.metric.earn(seen, &hamiltonian.metric);
        if !self.schedule.adapts_metric(draw) {
            return false;
        }
        if outcome.diverging && seen.is_power_of_two() {
            self.visited.pop(); // where it diverged
        }
        for state in self.visited.drain(..) {
            self.metric
                .add(&state.position, &state.gradient, state.logp);
        }
        if informative(state, outcome) {
            self.background += 1;
            self.metric
                .add(&state.position, &state.gradient, state.logp);
        }
        if self.schedule.switches(draw, self.background) {
            self.background = 0;
            self.metric.switch();
        }
        let metric = &mut hamiltonian.metric;
        let kind = std::mem::discriminant(metric);
        let updated = if self.pools && self.schedule.has_met(draw + 1) {
            false
        } else if self.schedule.adapts_metric(draw + 1) {
            self.metric.update(metric)
        } else {
            self.metric.fit(metric, true)
        };
        let first = updated && !std::mem::replace(&mut self.metric_known, true);
        let changed = kind != std::mem::discriminant(metric);
        first || changed && self.schedule.is_early(draw) || self.schedule.searches(draw)
    }
}

/// Whether a draw says something new about the posterior's scale.
fn informative(state: &State, outcome: &Outcome) -> bool {
    let steps = state.index.unsigned_abs();
    if outcome.diverging {
        steps > MIN_DIVERGENT_STEPS
    } else {
        steps > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_metric_is_kept_until_many_points_have_been_seen() {
        let json =
            r#"{"tune": 100, "initial_metric": [4, 9], "schedule": {"early_fraction": 0.0}}"#;
        let settings = Settings::from_json(json).unwrap();
        let mut warmup = Warmup::new(&settings, 2, 1.0, 1);
        let mut state = State::new(2);
        state.gradient = vec![1.0, 100.0];
        let mut hamiltonian = Hamiltonian {
            metric: warmup.first_metric(&state),
            step_size: 0.5,
            max_energy_error: 1000.0,
        };
        let given =
            |metric: &Metric| matches!(metric, Metric::Diagonal(d) if d.scale() == [2.0, 3.0]);
        let mut step_size = DualAveraging::near(0.5);
        let outcome = Outcome::default();
        for draw in 0..60 {
            assert_eq!(given(&hamiltonian.metric), draw < 42, "{draw}");
            // A normal with the standard deviations 1 and 5.
            let angle = draw as f64;
            state.position = vec![angle.sin(), 5.0 * angle.cos()];
            state.gradient = vec![-angle.sin(), -angle.cos() / 5.0];
            (state.index, state.logp) = (1, -0.5);
            let searches = warmup.learn(draw, &state, &outcome, &mut step_size, &mut hamiltonian);
            assert!(!searches);
        }
    }
}

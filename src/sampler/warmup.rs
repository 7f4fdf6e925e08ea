//! What a chain learns in warm-up: the metric and the step size.

use super::hamiltonian::Hamiltonian;
use super::metric::MetricAdaptation;
use super::schedule::Schedule;
use super::settings::Settings;
use super::state::State;
use super::step_size::DualAveraging;
use super::trajectory::Outcome;

/// A draw of a divergent trajectory teaches the metric only if it lies further from the start than
/// this: nearer ones pile up where the posterior is too narrow to leave.
const MIN_DIVERGENT_STEPS: u64 = 4;

/// The adaptation of one chain.
#[derive(Debug, Clone)]
pub struct Warmup {
    schedule: Schedule,
    metric: MetricAdaptation,
    metric_known: bool,
}

impl Warmup {
    /// Nothing learned yet but the starting point.
    pub fn new(settings: &Settings, start: &State) -> Self {
        let mut metric = MetricAdaptation::new(settings.metric, start.position.len());
        metric.add(&start.position, &start.gradient);
        Self {
            schedule: Schedule::new(settings.tune, &settings.schedule),
            metric,
            metric_known: false,
        }
    }

    /// Learns from warm-up draw number `draw`, counted from 0; says whether the step size must be
    /// searched anew because the metric was estimated for the first time.
    pub fn learn(
        &mut self,
        draw: u64,
        state: &State,
        outcome: &Outcome,
        step_size: &mut DualAveraging,
        hamiltonian: &mut Hamiltonian,
    ) -> bool {
        step_size.update(outcome.acceptance_rate);
        if !self.schedule.adapts_metric(draw) {
            return false;
        }
        if informative(state, outcome) {
            self.metric.add(&state.position, &state.gradient);
        }
        if self.schedule.switches(draw, self.metric.background_count()) {
            self.metric.switch();
        }
        let updated = self.metric.update(&mut hamiltonian.metric);
        updated && !std::mem::replace(&mut self.metric_known, updated)
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

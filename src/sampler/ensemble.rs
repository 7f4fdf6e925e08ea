//! Chains that meet in warm-up: they learn one metric together, or end warm-up together.
//!
//! They meet after fixed numbers of draws, and what they settle follows from their draws alone. So it does not
//! matter which thread runs a chain, nor when. Who waits for others is a chain, never a thread.

use std::sync::{Mutex, PoisonError};

use super::chain::Chain;
use super::metric::{Metric, MetricAdaptation, distance};
use super::settings::Settings;

/// Most by which the logarithms of two chains' variances differ where they agree, in any direction (walnutpie's).
const METRIC_TOLERANCE: f64 = 1.0;
/// Most by which those of step sizes do, over all chains: as different as sixty draws leave four chains of one mind.
const STEP_SIZE_TOLERANCE: f64 = 0.2;

/// A chain and its number.
pub type Member = (usize, Box<Chain>);

/// The chains of a run.
pub struct Ensemble(Mutex<State>);

struct State {
    chains: usize,
    /// Chains that have not ended.
    going: usize,
    /// Those that have come to the meeting.
    waiting: Vec<Member>,
    settings: Settings,
    /// The metric that is common to all, and where it comes from.
    common: Option<(MetricAdaptation, Metric)>,
}

impl Ensemble {
    /// So many chains, none of which has begun.
    pub fn new(settings: &Settings, chains: usize) -> Self {
        Self(Mutex::new(State {
            chains,
            going: chains,
            waiting: Vec::with_capacity(chains),
            settings: settings.clone(),
            common: None,
        }))
    }

    /// A chain has come to a meeting; the chains that can go on now.
    pub fn arrive(&self, member: Member) -> Vec<Member> {
        self.change(|state| state.waiting.push(member))
    }

    /// A chain has ended, be it before the others; the chains that can go on now.
    pub fn leave(&self) -> Vec<Member> {
        self.change(|state| state.going -= 1)
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Vec<Member> {
        // After a panic the meeting is over, and its chains are gone.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.waiting.len() < state.going {
            return Vec::new();
        }
        let mut members = std::mem::take(&mut state.waiting);
        members.sort_by_key(|(number, _)| *number);
        // One that failed or was stopped is not waited for; nor is anything settled without it.
        if members.len() == state.chains {
            let chains = members.iter_mut().map(|(_, chain)| &mut **chain);
            let mut chains: Vec<&mut Chain> = chains.collect();
            state.meet(&mut chains);
        }
        members
    }
}

impl State {
    /// Settles what all chains settle together.
    fn meet(&mut self, chains: &mut [&mut Chain]) {
        let (schedule, made) = (chains[0].warmup().schedule(), chains[0].made());
        let is_last = !schedule.adapts_metric(made);
        let may_stop = self.settings.early_stop && !is_last && !schedule.is_early(made - 1);
        let pools = self.settings.pool && chains.len() > 1;
        let is_news = !pools || self.share_metric(chains, is_last);
        if may_stop && is_news && self.agree(chains) {
            chains.iter_mut().for_each(|chain| chain.settle());
            if pools {
                self.share_metric(chains, true);
            }
        }
    }

    /// Fits one metric to the points of all chains, for the last time or if there are enough new ones; says whether it did.
    fn share_metric(&mut self, chains: &mut [&mut Chain], is_last: bool) -> bool {
        let first = chains[0].warmup();
        let new = || (first.metric().clone(), chains[0].metric().clone());
        let (adaptation, metric) = self.common.get_or_insert_with(new);
        let each: Vec<&MetricAdaptation> = chains.iter().map(|c| c.warmup().metric()).collect();
        adaptation.pool(&each);
        let is_news = if is_last {
            adaptation.fit(metric, true)
        } else {
            adaptation.update(metric)
        };
        if is_news {
            chains
                .iter_mut()
                .for_each(|chain| chain.take_metric(metric));
        }
        is_news
    }

    /// Whether all chains have learned the same, each by itself; one alone, whether its older and newer points teach the
    /// same.
    fn agree(&self, chains: &[&mut Chain]) -> bool {
        let steps = chains.iter().map(|chain| libm::log(chain.step_size()));
        let bounds = (f64::INFINITY, f64::NEG_INFINITY);
        let (least, most) = steps.fold(bounds, |(a, b), step| (a.min(step), b.max(step)));
        if most - least > STEP_SIZE_TOLERANCE {
            return false;
        }
        let metrics: Vec<Metric> = match (&self.common, chains) {
            (_, [chain]) => chain.warmup().metric().metrics_of_halves().into(),
            (None, _) => chains.iter().map(|chain| chain.metric().clone()).collect(),
            (Some((adaptation, _)), _) => {
                let each = chains.iter().map(|chain| chain.warmup().metric());
                each.map(|own| adaptation.metric_of(own)).collect()
            }
        };
        let dim = chains[0].dim();
        let agrees = |metric| distance(&metrics[0], metric, dim) <= METRIC_TOLERANCE;
        metrics[1..].iter().all(agrees)
    }
}

#[cfg(test)]
mod tests;

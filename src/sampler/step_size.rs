//! The leapfrog step size: a first guess by search, then dual averaging.

use super::hamiltonian::Hamiltonian;
use super::rng::ChainRng;
use super::state::State;
use super::trajectory::acceptance;

/// Shrinkage towards mu. With the usual 0.05 a single rejection moves the step size by a factor,
/// and the average ends at an acceptance of 0.85 to 0.9 where 0.8 is asked for.
const GAMMA: f64 = 0.2;
/// Damping of the first updates.
const T0: f64 = 10.0;
/// Decay of the average's weights while the metric adapts.
const KAPPA: f64 = 0.75;

/// Nesterov's dual averaging as Hoffman and Gelman (2014), section 3.2, use it: after t steps with
/// acceptance statistics a_1 .. a_t and targets d,
///
/// ```text
/// h_t       = (1 - 1/(t + t0)) h_(t-1) + (d - a_t)/(t + t0)
/// log e_t   = mu - sqrt(t)/gamma h_t                             tried next
/// log bar_t = t^-kappa log e_t + (1 - t^-kappa) log bar_(t-1)     kept in the end
/// ```
///
/// Once the metric is settled the average starts anew, as the plain mean of what is tried from then on.
#[derive(Debug, Clone)]
pub struct DualAveraging {
    mu: f64,
    count: u64,
    /// Steps that the average is of, and the decay of their weights.
    averaged: u64,
    kappa: f64,
    h: f64,
    log_step: f64,
    log_bar: f64,
}

impl DualAveraging {
    /// Starts at `initial`, with mu = log(10 initial) so that larger steps are tried first.
    pub fn new(initial: f64) -> Self {
        let log_initial = libm::log(initial);
        Self {
            mu: libm::log(10.0 * initial),
            count: 0,
            averaged: 0,
            kappa: KAPPA,
            h: 0.0,
            log_step: log_initial,
            log_bar: log_initial,
        }
    }

    /// Starts at `initial`, a good step size, with mu = log(initial).
    pub fn near(initial: f64) -> Self {
        Self {
            mu: libm::log(initial),
            ..Self::new(initial)
        }
    }

    /// Starts the average anew, with equal weights.
    pub fn average_anew(&mut self) {
        (self.averaged, self.kappa) = (0, 1.0);
    }

    /// Learns from one trajectory's acceptance statistic, given the one that is asked for.
    pub fn update(&mut self, acceptance: f64, target: f64) {
        self.count += 1;
        let t = self.count as f64;
        let weight = 1.0 / (t + T0);
        self.h = (1.0 - weight) * self.h + weight * (target - acceptance);
        self.log_step = self.mu - t.sqrt() / GAMMA * self.h;
        self.averaged += 1;
        let weight = libm::pow(self.averaged as f64, -self.kappa);
        self.log_bar = weight * self.log_step + (1.0 - weight) * self.log_bar;
    }

    /// The step size to try next.
    pub fn current(&self) -> f64 {
        libm::exp(self.log_step)
    }

    /// The averaged step size, to be kept after warm-up.
    pub fn averaged(&self) -> f64 {
        libm::exp(self.log_bar)
    }
}

/// Acceptance of one leapfrog step at which the search stops.
const SEARCH_ACCEPTANCE: f64 = 0.8;
/// Where the search starts.
const SEARCH_START: f64 = 0.1;
/// Doublings or halvings after which the search stops in any case, as on a flat density.
const MAX_SEARCH_STEPS: usize = 50;

/// Sets the Hamiltonian's step size to where the acceptance of a single leapfrog step from
/// `current` crosses 0.8, found by doubling or halving.
///
/// # Errors
/// Whatever `evaluate`, which writes a gradient and returns the log density, fails with.
pub fn search<E>(
    hamiltonian: &mut Hamiltonian,
    current: &State,
    rng: &mut ChainRng,
    mut evaluate: impl FnMut(&[f64], &mut [f64]) -> Result<f64, E>,
) -> Result<(), E> {
    let mut from = current.clone();
    hamiltonian.begin(&mut from, rng);
    let mut to = from.clone();
    hamiltonian.step_size = SEARCH_START;
    let mut grows = None;
    for _ in 0..MAX_SEARCH_STEPS {
        hamiltonian.drift(&from, &mut to, 1.0);
        let logp = evaluate(&to.position, &mut to.gradient)?;
        hamiltonian.kick(&from, &mut to, 1.0, logp);
        let energy_error = to.energy - from.energy;
        let good = energy_error.is_finite() && acceptance(energy_error) > SEARCH_ACCEPTANCE;
        if *grows.get_or_insert(good) != good {
            break;
        }
        hamiltonian.step_size *= if good { 2.0 } else { 0.5 };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::metric::Metric;
    use std::convert::Infallible;

    #[test]
    fn dual_averaging_follows_the_formula() {
        // By hand: h_1 = -0.1/11; h_2 = 11/12 h_1 + 0.3/12; 2^-0.75 = 0.5946035575.
        let mut adaptation = DualAveraging::new(0.1);
        assert!((adaptation.averaged() - 0.1).abs() < 1e-15);
        adaptation.update(0.9, 0.8);
        assert!((adaptation.current().ln() - 0.0454545455).abs() < 1e-9);
        assert!((adaptation.averaged().ln() - 0.0454545455).abs() < 1e-9);
        adaptation.update(0.5, 0.8);
        assert!((adaptation.current().ln() + 0.1178511302).abs() < 1e-9);
        assert!((adaptation.averaged().ln() + 0.0516475903).abs() < 1e-9);
    }

    #[test]
    fn a_good_step_size_is_kept_where_it_does_what_is_asked() {
        let mut near = DualAveraging::near(0.3);
        (0..20).for_each(|_| near.update(0.8, 0.8));
        assert!((near.current() - 0.3).abs() < 1e-12 && (near.averaged() - 0.3).abs() < 1e-12);
    }

    #[test]
    fn the_average_starts_anew_with_equal_weights() {
        let mut adaptation = DualAveraging::new(0.1);
        (0..20).for_each(|_| adaptation.update(0.0, 0.8));
        adaptation.average_anew();
        let tried = [0.9, 0.5, 0.7, 1.0].map(|acceptance| {
            adaptation.update(acceptance, 0.8);
            adaptation.current().ln()
        });
        let mean = tried.iter().sum::<f64>() / 4.0;
        assert!((adaptation.averaged().ln() - mean).abs() < 1e-12);
    }

    #[test]
    fn dual_averaging_finds_the_target() {
        let mut adaptation = DualAveraging::new(10.0);
        // From mu a shift of gamma / sqrt(t) times the distance remains, here 0.2 / 100 * 6.1.
        for _ in 0..10_000 {
            let acceptance = (-adaptation.current()).exp();
            adaptation.update(acceptance, 0.8);
        }
        assert!(((-adaptation.averaged()).exp() - 0.8).abs() < 0.02);
    }

    /// The step size found on a normal of one dimension with this standard deviation.
    fn found(scale: f64) -> f64 {
        let mut hamiltonian = Hamiltonian {
            metric: Metric::unit(1),
            step_size: f64::NAN,
            max_energy_error: 1000.0,
        };
        let mut state = State::new(1);
        state.position[0] = scale;
        state.gradient[0] = -1.0 / scale;
        state.logp = -0.5;
        search(&mut hamiltonian, &state, &mut ChainRng::new(3), |x, g| {
            g[0] = -x[0] / (scale * scale);
            Ok::<_, Infallible>(-0.5 * (x[0] / scale).powi(2))
        })
        .unwrap();
        hamiltonian.step_size
    }

    #[test]
    fn the_search_goes_up_and_down_to_the_scale() {
        for scale in [1e-3, 1.0, 1e3] {
            let ratio = found(scale) / scale;
            assert!((0.2..5.0).contains(&ratio), "{scale}: {ratio}");
        }
    }

    #[test]
    fn the_search_ends_on_a_flat_density() {
        assert!(found(f64::INFINITY).is_finite());
    }
}

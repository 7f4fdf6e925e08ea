//! Energy and leapfrog integrator in whitened coordinates.
//!
//! With x = T y the Hamiltonian is H(y, v) = |v|^2 / 2 - logp(T y). One leapfrog step of size h is
//!
//! ```text
//! v <- v + h/2 grad_y logp(x)        drift(): first half, ends where a gradient is needed
//! x <- x + h T v
//! v <- v + h/2 grad_y logp(x)        kick(): second half
//! ```
//!
//! A log density or gradient that is not finite makes the energy not finite, which the trajectory
//! treats as a divergence.

use super::metric::Metric;
use super::rng::ChainRng;
use super::state::State;
use super::vector::{add_scaled, dot};
use crate::kernels::leapfrog::{self, Goal, Origin};

/// The dynamics of one trajectory.
#[derive(Debug, Clone)]
pub struct Hamiltonian {
    /// Transformation from whitened coordinates.
    pub metric: Metric,
    /// Leapfrog step size h.
    pub step_size: f64,
    /// Energy error above which a step is divergent.
    pub max_energy_error: f64,
}

impl Hamiltonian {
    /// Makes `state`, of which position, gradient and logp are known, the start of a trajectory
    /// with a fresh random velocity.
    pub fn begin(&self, state: &mut State, rng: &mut ChainRng) {
        if !matches!(self.metric, Metric::Diagonal(_)) {
            self.metric
                .pull(&state.gradient, &mut state.whitened_gradient);
        }
        rng.fill_normal(&mut state.velocity);
        state.velocity_sum.copy_from_slice(&state.velocity);
        state.energy = energy(state);
        state.index = 0;
    }

    /// First half of a leapfrog step, forwards (`direction` 1.0) or backwards (-1.0) in time:
    /// fills `to` up to the position at which the gradient is needed.
    #[inline]
    pub fn drift(&self, from: &State, to: &mut State, direction: f64) {
        let step = direction * self.step_size;
        to.index = from.index + direction as i64;
        if let Metric::Diagonal(metric) = &self.metric {
            let origin = Origin {
                position: &from.position,
                velocity: &from.velocity,
                gradient: &from.gradient,
            };
            leapfrog::drift(
                metric.scale(),
                step,
                origin,
                &mut to.velocity,
                &mut to.position,
            );
            return;
        }
        add_scaled(
            &from.velocity,
            0.5 * step,
            &from.whitened_gradient,
            &mut to.velocity,
        );
        self.metric
            .drift(&from.position, &to.velocity, step, &mut to.position);
    }

    /// Second half: completes `to`, whose gradient is now known, with log density `logp`.
    #[inline]
    pub fn kick(&self, from: &State, to: &mut State, direction: f64, logp: f64) {
        let half = 0.5 * direction * self.step_size;
        let (scale, gradient) = match &self.metric {
            Metric::Diagonal(metric) => (Some(metric.scale()), &to.gradient),
            metric => {
                metric.pull(&to.gradient, &mut to.whitened_gradient);
                (None, &to.whitened_gradient)
            }
        };
        let goal = Goal {
            velocity: &mut to.velocity,
            sum: &mut to.velocity_sum,
        };
        let from = [&from.velocity[..], &from.velocity_sum];
        let squares = leapfrog::kick(scale, gradient, [half, direction], from, goal);
        to.logp = logp;
        to.energy = 0.5 * squares - logp;
    }

    /// Whether a step with this energy error counts as divergent.
    #[inline]
    pub fn diverges(&self, energy_error: f64) -> bool {
        !energy_error.is_finite() || energy_error > self.max_energy_error
    }
}

/// Continues the running sum of velocities from a state to its neighbour in that direction of time.
#[inline]
pub fn sum_velocities(from: &State, to: &mut State, direction: f64) {
    // A span's sum leaves out its first state in time: forwards it gains `to`, backwards `from`.
    let gained = if direction > 0.0 {
        &to.velocity
    } else {
        &from.velocity
    };
    add_scaled(&from.velocity_sum, direction, gained, &mut to.velocity_sum);
}

#[inline]
fn energy(state: &State) -> f64 {
    0.5 * dot(&state.velocity, &state.velocity) - state.logp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::Density;
    use crate::sampler::testing::Funnel;

    /// A state of the funnel, complete, and the Hamiltonian with this step size.
    fn start(step_size: f64) -> (Funnel, Hamiltonian, State) {
        let mut density = Funnel { dim: 4, scale: 3.0 };
        let hamiltonian = Hamiltonian {
            metric: Metric::diagonal(&[0.5, 2.0, 1.0, 3.0]),
            step_size,
            max_energy_error: 1000.0,
        };
        let mut state = State::new(4);
        state.position.copy_from_slice(&[0.3, -0.5, 1.0, 0.2]);
        state.logp = density
            .logp_and_gradient(&state.position, &mut state.gradient)
            .unwrap();
        hamiltonian.begin(&mut state, &mut ChainRng::new(5));
        (density, hamiltonian, state)
    }

    fn leapfrogs(
        density: &mut Funnel,
        hamiltonian: &Hamiltonian,
        start: &State,
        direction: f64,
        steps: usize,
    ) -> State {
        let mut from = start.clone();
        for _ in 0..steps {
            let mut to = from.clone();
            hamiltonian.drift(&from, &mut to, direction);
            let logp = density
                .logp_and_gradient(&to.position, &mut to.gradient)
                .unwrap();
            hamiltonian.kick(&from, &mut to, direction, logp);
            from = to;
        }
        from
    }

    #[test]
    fn steps_back_undo_steps_forth() {
        let (mut density, hamiltonian, start) = start(0.1);
        let there = leapfrogs(&mut density, &hamiltonian, &start, 1.0, 20);
        let back = leapfrogs(&mut density, &hamiltonian, &there, -1.0, 20);
        assert_eq!((there.index, back.index), (20, 0));
        for (a, b) in [
            (&start.position, &back.position),
            (&start.velocity, &back.velocity),
            (&start.velocity_sum, &back.velocity_sum),
        ] {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-11));
        }
        assert!((there.energy - start.energy).abs() > 1e-6);
        assert!((back.energy - start.energy).abs() < 1e-11);
    }

    #[test]
    fn the_energy_error_is_of_second_order_in_the_step_size() {
        let error = |step_size: f64, steps| {
            let (mut density, hamiltonian, start) = start(step_size);
            let end = leapfrogs(&mut density, &hamiltonian, &start, 1.0, steps);
            (end.energy - start.energy).abs()
        };
        let ratio = error(0.02, 50) / error(0.01, 100);
        assert!((ratio - 4.0).abs() < 0.1, "{ratio}");
    }

    #[test]
    fn velocity_sums_add_both_ends_of_a_span() {
        let (mut density, hamiltonian, start) = start(0.1);
        let early = leapfrogs(&mut density, &hamiltonian, &start, -1.0, 1);
        let late = leapfrogs(&mut density, &hamiltonian, &start, 1.0, 1);
        for i in 0..4 {
            let sum = early.velocity[i] + start.velocity[i] + late.velocity[i];
            let span = late.velocity_sum[i] - early.velocity_sum[i] + early.velocity[i];
            assert!((sum - span).abs() < 1e-14);
        }
    }
}

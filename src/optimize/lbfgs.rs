//! L-BFGS: climbs to a mode of a log density, a step at a time, so that a caller sees the path.
//!
//! The direction of a step is H g, the gradient times an estimate of the inverse of minus the Hessian, from the last
//! few displacements s and changes of the gradient y (Nocedal & Wright 2006, Numerical Optimization, 2nd edition,
//! algorithms 7.4 and 7.5); it starts from a diagonal that is updated by every pair, so that it knows the scales of the
//! coordinates (Gilbert & Lemarechal 1989, Mathematical Programming 45). A step's length meets the weak Wolfe conditions, which make s'y > 0, found by bracketing (Lewis &
//! Overton 2013, Mathematical Programming 141, algorithm 2.6): a point without a finite density is simply too far, so
//! walls and cliffs of a density do no harm. Near the mode, where the gain of a step drowns in the rounding of the log
//! density, slopes decide instead (Hager & Zhang 2005, SIAM Journal on Optimization 16, the approximate Wolfe conditions).
//!
//! Why not a crate. argmin's L-BFGS evaluates value and gradient apart, which here are one computation, takes pairs with
//! s'y <= 0 into its history, and ends where its line search meets a value that is not finite; lbfgsb and liblbfgs bind C
//! code, with unsafe blocks of their own, and give no access to the path.

use super::inverse_hessian::update_diagonal;
use super::{Evaluator, OptimizeError};
use crate::sampler::vector::{accumulate, add_scaled, dot};
use std::collections::VecDeque;

/// Share of the gain that the slope promises which a step must have (Nocedal & Wright, section 3.1).
const ENOUGH_GAIN: f64 = 1e-4;
/// Share of the slope that may be left after a step (same place, for quasi-Newton directions).
const SLOPE_LEFT: f64 = 0.9;
/// Loss, relative to the log density, that may be rounding.
const ROUNDING: f64 = 1e-10;
/// Evaluations of a line search; bisection from 1 down to the spacing of floats takes 53.
const MOST_TRIALS: u32 = 60;
/// Steps in a row without a gain beyond rounding, or half of g'H g gone, after which floats have no more to give.
const MOST_STALLED: u32 = 20;

/// g'H g at a mode, found as well as floats allow.
pub const AT_MODE: f64 = 1e-18;
/// The same where rounding ended the climb.
const AS_GOOD_AS_REACHED: f64 = 1e-10;

/// A displacement, and the change of minus the gradient along it.
#[derive(Debug, Clone)]
pub struct Pair {
    /// Displacement.
    pub s: Vec<f64>,
    /// Change of minus the gradient.
    pub y: Vec<f64>,
    /// s'y, which is positive.
    pub sy: f64,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// To a better point.
    Moved,
    /// None: this is a mode, or a stationary point.
    Converged,
    /// None: no better point was found, though the slope says that there is one.
    Stuck,
}

/// A climb: the point that it has come to.
#[derive(Debug, Clone)]
pub struct Lbfgs {
    /// Where it is.
    pub position: Vec<f64>,
    /// Gradient there.
    pub gradient: Vec<f64>,
    /// Log density there.
    pub logp: f64,
    /// Steps made.
    pub iterations: u64,
    /// The last pairs, oldest first.
    pub pairs: VecDeque<Pair>,
    /// The diagonal that H starts from.
    pub diagonal: Vec<f64>,
    history: usize,
    reached: f64,
    least_slope: f64,
    stalled: u32,
    direction: Vec<f64>,
    trial: Vec<f64>,
    trial_gradient: Vec<f64>,
}

/// The end of a climb.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    /// Where it is.
    pub position: Vec<f64>,
    /// Gradient there.
    pub gradient: Vec<f64>,
    /// Log density there.
    pub logp: f64,
    /// Steps made.
    pub iterations: u64,
    /// Whether it is a stationary point as far as floats can tell.
    pub converged: bool,
}

impl Lbfgs {
    /// Begins a climb that keeps `history` pairs, and ends where g'H g, the square of the distance to the mode in
    /// standard deviations as H has them, is `reached`.
    pub fn new(
        density: &mut Evaluator<'_>,
        start: &[f64],
        history: usize,
        reached: f64,
    ) -> Result<Lbfgs, OptimizeError> {
        let mut gradient = vec![0.0; start.len()];
        let logp = density.evaluate(start, &mut gradient)?;
        if logp.is_nan() {
            return Err(OptimizeError::Start(logp));
        }
        Ok(Lbfgs {
            position: start.to_vec(),
            logp,
            iterations: 0,
            pairs: VecDeque::with_capacity(history),
            diagonal: vec![1.0; start.len()],
            history,
            reached,
            least_slope: f64::INFINITY,
            stalled: 0,
            direction: vec![0.0; start.len()],
            trial: vec![0.0; start.len()],
            trial_gradient: vec![0.0; start.len()],
            gradient,
        })
    }

    /// Goes on until the climb ends, or for `max_iterations` steps.
    pub fn run(
        mut self,
        density: &mut Evaluator<'_>,
        max_iterations: u64,
    ) -> Result<Optimum, OptimizeError> {
        let mut converged = false;
        while self.iterations < max_iterations {
            match self.step(density)? {
                Step::Moved => {}
                step => {
                    converged = step == Step::Converged;
                    break;
                }
            }
        }
        Ok(Optimum {
            position: self.position,
            gradient: self.gradient,
            logp: self.logp,
            iterations: self.iterations,
            converged,
        })
    }

    /// Makes one step.
    pub fn step(&mut self, density: &mut Evaluator<'_>) -> Result<Step, OptimizeError> {
        let slope = self.point_uphill();
        if slope <= self.reached {
            return Ok(Step::Converged);
        }
        if slope < 0.5 * self.least_slope {
            (self.least_slope, self.stalled) = (slope, 0);
        }
        if self.stalled < MOST_STALLED {
            if self.line_search(density, slope)? {
                return Ok(Step::Moved);
            }
            // The pairs may be at fault.
            if !self.pairs.is_empty() {
                self.forget();
                let steepest = self.point_uphill();
                if self.line_search(density, steepest)? {
                    return Ok(Step::Moved);
                }
            }
        }
        Ok(match slope <= AS_GOOD_AS_REACHED {
            true => Step::Converged,
            false => Step::Stuck,
        })
    }

    /// Sets the direction to H g by the two-loop recursion, and returns the slope g'H g.
    ///
    /// Half of that is the gain that a quadratic promises, and it is the square of the distance to that quadratic's
    /// maximum in the metric of its curvature: no unit of a parameter enters it.
    fn point_uphill(&mut self) -> f64 {
        let d = &mut self.direction;
        d.copy_from_slice(&self.gradient);
        let mut weights = Vec::with_capacity(self.pairs.len());
        for pair in self.pairs.iter().rev() {
            let weight = dot(&pair.s, d) / pair.sy;
            accumulate(d, -weight, &pair.y);
            weights.push(weight);
        }
        d.iter_mut()
            .zip(&self.diagonal)
            .for_each(|(d, alpha)| *d *= alpha);
        for (pair, weight) in self.pairs.iter().zip(weights.iter().rev()) {
            let share = dot(&pair.y, d) / pair.sy;
            accumulate(d, weight - share, &pair.s);
        }
        let slope = dot(&self.gradient, d);
        if slope > 0.0 && slope.is_finite() {
            return slope;
        }
        self.forget();
        self.direction.copy_from_slice(&self.gradient);
        dot(&self.gradient, &self.gradient)
    }

    /// Drops what is known of the curvature.
    fn forget(&mut self) {
        self.pairs.clear();
        self.diagonal.fill(1.0);
    }

    /// Moves along the direction to a point that meets the Wolfe conditions; false if it finds none.
    fn line_search(
        &mut self,
        density: &mut Evaluator<'_>,
        slope: f64,
    ) -> Result<bool, OptimizeError> {
        let rounding = ROUNDING * self.logp.abs();
        // The bracket, with the slopes at its ends.
        let (mut low, mut low_slope) = (0.0, slope);
        let (mut high, mut high_slope) = (f64::INFINITY, f64::NAN);
        // Without pairs H is no more than a guess: one unit of length at most.
        let mut t: f64 = match self.pairs.is_empty() {
            true => 1.0 / slope.sqrt().max(1.0),
            false => 1.0,
        };
        for _ in 0..MOST_TRIALS {
            add_scaled(&self.position, t, &self.direction, &mut self.trial);
            if self.trial == self.position {
                return Ok(false);
            }
            let logp = density.evaluate(&self.trial, &mut self.trial_gradient)?;
            let trial_slope = match logp.is_nan() {
                true => f64::NAN,
                false => dot(&self.trial_gradient, &self.direction),
            };
            let gain = logp - self.logp;
            let enough = gain >= ENOUGH_GAIN * t * slope
                || (gain >= -rounding && trial_slope >= (2.0 * ENOUGH_GAIN - 1.0) * slope);
            if !enough {
                (high, high_slope) = (t, trial_slope);
            } else if trial_slope > SLOPE_LEFT * slope {
                (low, low_slope) = (t, trial_slope);
            } else {
                self.accept(logp, gain > rounding.max(f64::MIN_POSITIVE));
                return Ok(true);
            }
            t = if high.is_infinite() {
                // Where a line through the two slopes is zero, within reason.
                let ahead = t * slope / (slope - trial_slope);
                let bound = 10.0 * t;
                match ahead > 2.0 * t {
                    true => ahead.min(bound),
                    false if trial_slope < slope => 2.0 * t,
                    false => bound,
                }
            } else {
                let share = low_slope / (low_slope - high_slope);
                let share = match share.is_finite() && high_slope < 0.0 {
                    true => share.clamp(0.1, 0.9),
                    false => 0.5,
                };
                low + share * (high - low)
            };
        }
        if low == 0.0 {
            return Ok(false);
        }
        // Uphill to a wall: as far as a step has been seen to gain.
        add_scaled(&self.position, low, &self.direction, &mut self.trial);
        let logp = density.evaluate(&self.trial, &mut self.trial_gradient)?;
        let gain = logp - self.logp;
        if gain.is_nan() {
            return Ok(false);
        }
        self.accept(logp, gain > rounding);
        Ok(true)
    }

    /// Makes the trial the current point.
    fn accept(&mut self, logp: f64, gained: bool) {
        let mut pair = match self.pairs.len() == self.history {
            true => self.pairs.pop_front(),
            false => None,
        }
        .unwrap_or_else(|| Pair {
            s: vec![0.0; self.position.len()],
            y: vec![0.0; self.position.len()],
            sy: 0.0,
        });
        add_scaled(&self.trial, -1.0, &self.position, &mut pair.s);
        add_scaled(&self.gradient, -1.0, &self.trial_gradient, &mut pair.y);
        pair.sy = dot(&pair.s, &pair.y);
        // The Wolfe conditions make it positive, but for rounding.
        if pair.sy > f64::EPSILON * dot(&pair.y, &pair.y) {
            update_diagonal(&mut self.diagonal, &pair);
            self.pairs.push_back(pair);
        }
        std::mem::swap(&mut self.position, &mut self.trial);
        std::mem::swap(&mut self.gradient, &mut self.trial_gradient);
        self.logp = logp;
        self.iterations += 1;
        self.stalled = if gained { 0 } else { self.stalled + 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::{Density, DensityError};
    use crate::optimize::Control;
    use crate::sampler::testing::{Autoregressive, Normal};
    use std::sync::atomic::Ordering::Relaxed;

    /// A log density with its gradient, as a function.
    struct Function<F>(usize, F);

    impl<F: Fn(&[f64], &mut [f64]) -> f64 + Send> Density for Function<F> {
        fn dim(&self) -> usize {
            self.0
        }

        fn logp_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
            Ok((self.1)(x, g))
        }
    }

    fn climb(density: impl Density, start: &[f64]) -> (Optimum, u64) {
        let control = Control::default();
        let mut evaluator = Evaluator::new(Box::new(density), &control);
        let climb = Lbfgs::new(&mut evaluator, start, 10, AT_MODE).unwrap();
        let optimum = climb.run(&mut evaluator, 1000).unwrap();
        (optimum, evaluator.evaluations)
    }

    #[track_caller]
    fn check(optimum: &Optimum, wanted: &[f64], tolerance: f64) {
        assert!(optimum.converged, "{optimum:?}");
        for (x, wanted) in optimum.position.iter().zip(wanted) {
            assert!((x - wanted).abs() < tolerance, "{optimum:?}");
        }
    }

    #[test]
    fn a_quadratic_takes_few_steps() {
        let (optimum, evaluations) = climb(Autoregressive { dim: 20, rho: 0.9 }, &[3.0; 20]);
        check(&optimum, &[0.0; 20], 1e-8);
        assert!(evaluations < 60, "{evaluations}");
        // Secants are exact on a parabola: a first step, one to its top, and a look around.
        let (optimum, evaluations) = climb(Normal::standard(1), &[7.0]);
        check(&optimum, &[0.0], 1e-9);
        assert!(evaluations <= 5, "{evaluations}");
    }

    #[test]
    fn scales_do_no_harm() {
        let scales = vec![1e-6, 1e-3, 1.0, 1e3, 1e6];
        let mean = 5.0;
        let (optimum, evaluations) = climb(
            Normal {
                mean,
                scales: scales.clone(),
            },
            &[0.0; 5],
        );
        for (x, scale) in optimum.position.iter().zip(&scales) {
            assert!((x - mean).abs() < 1e-2 * scale, "{optimum:?}");
        }
        assert!(evaluations < 500, "{evaluations}");
    }

    #[test]
    fn rosenbrock() {
        let banana = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = 2.0 * a + 400.0 * x[0] * b;
            g[1] = -200.0 * b;
            -a * a - 100.0 * b * b
        };
        let (optimum, evaluations) = climb(Function(2, banana), &[-1.2, 1.0]);
        check(&optimum, &[1.0, 1.0], 1e-8);
        assert!(evaluations < 100, "{evaluations}");
    }

    #[test]
    fn walls_are_only_too_far() {
        // log x - x on x > 0, and the same with NaN in place of -inf; steps across 0 are tried.
        for outside in [f64::NEG_INFINITY, f64::NAN, f64::INFINITY] {
            let gamma = move |x: &[f64], g: &mut [f64]| {
                g[0] = 1.0 / x[0] - 1.0;
                match x[0] > 0.0 {
                    true => x[0].ln() - x[0],
                    false => outside,
                }
            };
            let (optimum, _) = climb(Function(1, gamma), &[40.0]);
            check(&optimum, &[1.0], 1e-8);
            let (optimum, _) = climb(Function(1, gamma), &[1e-3]);
            check(&optimum, &[1.0], 1e-8);
        }
    }

    #[test]
    fn a_mode_at_a_wall_is_no_mode() {
        // x on x < 1: the supremum is not reached, and no gradient vanishes.
        let ramp = |x: &[f64], g: &mut [f64]| {
            g[0] = 1.0;
            if x[0] < 1.0 { x[0] } else { f64::NEG_INFINITY }
        };
        let (optimum, _) = climb(Function(1, ramp), &[0.0]);
        assert!(!optimum.converged);
        assert!((optimum.position[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_flat_density_is_left_alone() {
        let flat = |_: &[f64], g: &mut [f64]| {
            g.fill(0.0);
            3.0
        };
        let (optimum, evaluations) = climb(Function(2, flat), &[1.0, 2.0]);
        check(&optimum, &[1.0, 2.0], f64::MIN_POSITIVE);
        assert_eq!((optimum.iterations, evaluations), (0, 1));
    }

    #[test]
    fn a_density_without_mode_ends() {
        let unbounded = |x: &[f64], g: &mut [f64]| {
            g[0] = x[0].exp();
            x[0].exp()
        };
        let (optimum, _) = climb(Function(1, unbounded), &[0.0]);
        assert!(!optimum.converged && optimum.logp.is_finite());
    }

    #[test]
    fn rounding_of_the_log_density_does_not_hide_the_mode() {
        // A constant of 1e8 leaves the log density with eight digits after the point, the gradient with all.
        let offset = |x: &[f64], g: &mut [f64]| {
            let u = x[0] - 0.3;
            g[0] = -u - u.powi(3);
            1e8 - 0.5 * u * u - 0.25 * u.powi(4)
        };
        let (optimum, _) = climb(Function(1, offset), &[4.0]);
        check(&optimum, &[0.3], 1e-8);
    }

    #[test]
    fn a_start_without_density_is_an_error() {
        let control = Control::default();
        let mut evaluator = Evaluator::new(Box::new(Normal::standard(1)), &control);
        let error = Lbfgs::new(&mut evaluator, &[f64::NAN], 5, AT_MODE).unwrap_err();
        assert!(matches!(error, OptimizeError::Start(_)));
    }

    #[test]
    fn an_interruption_ends_it() {
        let control = Control::default();
        let mut evaluator = Evaluator::new(Box::new(Normal::standard(2)), &control);
        let climb = Lbfgs::new(&mut evaluator, &[3.0, 3.0], 5, AT_MODE).unwrap();
        control.abort.store(true, Relaxed);
        let ended = climb.run(&mut evaluator, 10);
        assert_eq!(ended, Err(OptimizeError::Interrupted));
    }
}

//! The plain recursive NUTS that the state machine of [`super::tree`] must equal, draw by draw.
//!
//! It keeps every state of a trajectory and sums velocities anew for each check; random numbers
//! are used in the same order.

use super::hamiltonian::Hamiltonian;
use super::metric::{Metric, one_of_each};
use super::rng::ChainRng;
use super::testing::{Autoregressive, EightSchools, Funnel, Normal};
use super::trajectory::{Outcome, Step};
use super::tree::Tree;
use crate::density::{Density, DensityError};

#[derive(Clone)]
struct Point {
    x: Vec<f64>,
    v: Vec<f64>,
    gradient: Vec<f64>,
    logp: f64,
    index: i64,
}

struct Branch {
    /// In the order of building.
    points: Vec<Point>,
    proposal: Point,
    log_weight: f64,
}

struct Twin<'a> {
    density: &'a mut dyn Density,
    metric: &'a Metric,
    step_size: f64,
    max_depth: u32,
    /// Of WALNUTS.
    max_local_error: Option<f64>,
    /// Range of energies of the first level that failed in this step, and the statistic from it.
    coarse_range: Option<f64>,
    coarse_acceptance: Option<f64>,
    start_energy: f64,
    attempts: u64,
    outcome: Outcome,
}

fn energy(point: &Point) -> f64 {
    0.5 * point.v.iter().map(|v| v * v).sum::<f64>() - point.logp
}

fn log_add_exp(a: f64, b: f64) -> f64 {
    a.max(b) + (-(a - b).abs()).exp().ln_1p()
}

fn turns(span: &[Point]) -> bool {
    let dim = span[0].v.len();
    let sum = |i: usize| span.iter().map(|point| point.v[i]).sum::<f64>();
    let dot = |point: &Point| (0..dim).map(|i| sum(i) * point.v[i]).sum::<f64>();
    dot(&span[0]) < 0.0 || dot(&span[span.len() - 1]) < 0.0
}

/// Whether the states, `first` of which make the first half, turn as a whole or across the join.
fn turns_anywhere(points: &[Point], first: usize) -> bool {
    turns(points) || turns(&points[..=first]) || turns(&points[first - 1..])
}

impl Twin<'_> {
    fn leapfrog(&mut self, from: &Point, direction: f64) -> Point {
        let mut to = from.clone();
        let h = direction * self.step_size;
        let mut whitened = vec![0.0; to.x.len()];
        self.metric.pull(&to.gradient, &mut whitened);
        for (v, g) in to.v.iter_mut().zip(&whitened) {
            *v += 0.5 * h * g;
        }
        self.metric.drift(&from.x, &to.v, h, &mut to.x);
        to.logp = self
            .density
            .logp_and_gradient(&to.x, &mut to.gradient)
            .unwrap();
        self.metric.pull(&to.gradient, &mut whitened);
        for (v, g) in to.v.iter_mut().zip(&whitened) {
            *v += 0.5 * h * g;
        }
        to.index += direction as i64;
        to
    }

    /// The states of 2^level leapfrogs that make a step, or none if the energy changes too much.
    fn leapfrogs(&mut self, from: &Point, direction: f64, level: u32) -> Option<Point> {
        let count = 1 << level;
        let (mut low, mut high) = (energy(from), energy(from));
        let mut to = from.clone();
        for _ in 0..count {
            to = self.leapfrog(&to, direction / f64::from(count));
            self.outcome.n_steps += 1;
            low = low.min(energy(&to));
            high = high.max(energy(&to));
            if !energy(&to).is_finite() || high - low > self.max_local_error? {
                self.coarse_range.get_or_insert(if energy(&to).is_finite() {
                    high - low
                } else {
                    f64::INFINITY
                });
                return None;
            }
        }
        to.index = from.index + direction as i64;
        Some(to)
    }

    /// WALNUTS' step, and whether it is reversible; none if it fails.
    fn local_step(&mut self, from: &Point, direction: f64) -> Option<(Point, bool)> {
        self.coarse_range = None;
        for level in 0..=10 {
            if let Some(to) = self.leapfrogs(from, direction, level) {
                let coarse_range = self.coarse_range;
                let back = (0..level).any(|l| self.leapfrogs(&to, -direction, l).is_some());
                self.coarse_range = coarse_range;
                return Some((to, !back));
            }
        }
        None
    }

    /// The next state, or none if there is none; notes it in the statistics.
    fn step(&mut self, from: &Point, direction: f64) -> Option<Point> {
        self.attempts += 1;
        let point = if let Some(bound) = self.max_local_error {
            let step = self.local_step(from, direction);
            let coarse = self.coarse_range;
            let coarse = coarse.map(|range| (-range / bound.min(1.0)).exp());
            let Some((point, true)) = step else {
                self.outcome.diverging = step.is_none();
                self.outcome.acceptance_rate += coarse.unwrap();
                return None;
            };
            self.coarse_acceptance = coarse;
            point
        } else {
            self.outcome.n_steps += 1;
            self.leapfrog(from, direction)
        };
        Some(point)
    }

    /// A subtree of 2^depth new states, or none if it turns or diverges.
    fn build(
        &mut self,
        from: &Point,
        direction: f64,
        depth: u32,
        rng: &mut ChainRng,
    ) -> Option<Branch> {
        if depth == 0 {
            self.coarse_acceptance = None;
            let point = self.step(from, direction)?;
            let mut error = energy(&point) - self.start_energy;
            if !error.is_finite() {
                error = f64::INFINITY;
            }
            let acceptance = self.coarse_acceptance.unwrap_or((-error).exp().min(1.0));
            if error.abs() > self.outcome.max_energy_error.abs() {
                self.outcome.max_energy_error = error;
            }
            if error > 1000.0 {
                self.outcome.diverging = true;
                return None;
            }
            self.outcome.acceptance_rate += acceptance;
            return Some(Branch {
                proposal: point.clone(),
                points: vec![point],
                log_weight: -error,
            });
        }
        let first = self.build(from, direction, depth - 1, rng)?;
        let end = first.points.last().unwrap().clone();
        let second = self.build(&end, direction, depth - 1, rng)?;
        let half = first.points.len();
        let points = [first.points, second.points].concat();
        if turns_anywhere(&points, half) {
            return None;
        }
        let log_weight = log_add_exp(first.log_weight, second.log_weight);
        let second_wins = rng.uniform() < (second.log_weight - log_weight).exp();
        Some(Branch {
            proposal: if second_wins {
                second.proposal
            } else {
                first.proposal
            },
            points,
            log_weight,
        })
    }

    fn draw(&mut self, x: &[f64], rng: &mut ChainRng) -> Point {
        let mut start = Point {
            x: x.to_vec(),
            v: vec![0.0; x.len()],
            gradient: vec![0.0; x.len()],
            logp: 0.0,
            index: 0,
        };
        start.logp = self
            .density
            .logp_and_gradient(x, &mut start.gradient)
            .unwrap();
        rng.fill_normal(&mut start.v);
        self.start_energy = energy(&start);
        self.outcome = Outcome::default();
        self.attempts = 0;
        let mut proposal = start.clone();
        let mut points = vec![start];
        let mut log_weight = 0.0;
        for depth in 0..self.max_depth {
            self.outcome.tree_depth = depth + 1;
            let direction = rng.direction();
            if direction < 0.0 {
                points.reverse(); // now in the order of building
            }
            let end = points.last().unwrap().clone();
            let Some(branch) = self.build(&end, direction, depth, rng) else {
                break;
            };
            if rng.uniform() < (branch.log_weight - log_weight).exp() {
                proposal = branch.proposal;
            }
            log_weight = log_add_exp(log_weight, branch.log_weight);
            let half = points.len();
            points.extend(branch.points);
            if turns_anywhere(&points, half) {
                break;
            }
            if direction < 0.0 {
                points.reverse();
            }
            self.outcome.reached_max_treedepth = depth + 1 == self.max_depth;
        }
        self.outcome.acceptance_rate /= self.attempts as f64;
        self.outcome.energy_error = energy(&proposal) - self.start_energy;
        proposal
    }
}

/// A standard normal cut off at zero: NaN beyond, where a trajectory must diverge.
struct Cut;

impl Density for Cut {
    fn dim(&self) -> usize {
        3
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let logp = Normal::standard(3).logp_and_gradient(x, gradient)?;
        Ok(if x[0] < 0.0 { f64::NAN } else { logp })
    }
}

/// Runs both from `x` for some draws and compares every draw and every statistic; says how many
/// draws diverged, stopped at a turn, and stopped at the greatest depth.
fn compare(
    density: &mut dyn Density,
    metric: Metric,
    x: f64,
    step_size: f64,
    max_local_error: Option<f64>,
    seed: u64,
) -> [u64; 3] {
    let dim = density.dim();
    let max_depth = 6;
    let hamiltonian = Hamiltonian {
        metric,
        step_size,
        max_energy_error: 1000.0,
    };
    let mut tree = Tree::new(dim, max_depth, max_local_error);
    let state = tree.current_mut();
    state.position.fill(x);
    state.logp = density
        .logp_and_gradient(&vec![x; dim], &mut state.gradient)
        .unwrap();
    let (mut tree_rng, mut twin_rng) = (ChainRng::new(seed), ChainRng::new(seed));
    let mut counts = [0; 3];
    for draw in 0..20 {
        let start = tree.current().position.clone();
        let mut step = tree.start(max_depth, &hamiltonian, &mut tree_rng);
        while step == Step::NeedGradient {
            let (position, gradient) = tree.pending();
            let logp = density.logp_and_gradient(position, gradient).unwrap();
            step = tree.resume(logp, &hamiltonian, &mut tree_rng);
        }
        let mut twin = Twin {
            density,
            metric: &hamiltonian.metric,
            step_size,
            max_depth,
            max_local_error,
            coarse_range: None,
            coarse_acceptance: None,
            start_energy: f64::NAN,
            attempts: 0,
            outcome: Outcome::default(),
        };
        let expected = twin.draw(&start, &mut twin_rng);

        let case = format!("step size {step_size}, seed {seed}, draw {draw}");
        let (a, b) = (tree.outcome(), &twin.outcome);
        assert_eq!(tree.current().position, expected.x, "{case}");
        assert_eq!(tree.current().index, expected.index, "{case}");
        assert_eq!(
            (
                a.diverging,
                a.tree_depth,
                a.reached_max_treedepth,
                a.n_steps
            ),
            (
                b.diverging,
                b.tree_depth,
                b.reached_max_treedepth,
                b.n_steps
            ),
            "{case}"
        );
        for (a, b) in [
            (a.acceptance_rate, b.acceptance_rate),
            (a.energy_error, b.energy_error),
            (a.max_energy_error, b.max_energy_error),
        ] {
            assert!(
                a == b || (a - b).abs() <= 1e-9 * (1.0 + b.abs()),
                "{case}: {a} {b}"
            );
        }
        let scratch = if max_local_error.is_some() { 2 } else { 0 };
        assert_eq!(tree.states_in_use(), 1 + scratch, "{case}");
        counts[0] += u64::from(a.diverging);
        counts[1] += u64::from(!a.diverging && !a.reached_max_treedepth);
        counts[2] += u64::from(a.reached_max_treedepth);
    }
    counts
}

#[test]
fn the_state_machine_equals_the_recursion() {
    let counts = compare_all(None);
    assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
}

#[test]
fn the_state_machine_equals_the_recursion_with_local_steps() {
    let counts = compare_all(Some(0.3));
    assert!(counts.iter().all(|&count| count > 100), "{counts:?}");
}

fn compare_all(max_local_error: Option<f64>) -> [u64; 3] {
    let mut counts = [0; 3];
    for seed in 0..12 {
        for step_size in [0.03, 0.3, 1.1, 1.9] {
            let mut add = |case: [u64; 3]| {
                for (total, count) in counts.iter_mut().zip(case) {
                    *total += count;
                }
            };
            let unit = Metric::unit;
            let cases: [(&mut dyn Density, Metric, f64); 7] = [
                (&mut Normal::standard(1), unit(1), 0.5),
                (&mut Normal::standard(19), Metric::diagonal(&[0.9; 19]), 0.5),
                (
                    &mut Autoregressive { dim: 5, rho: 0.9 },
                    Metric::diagonal(&[0.5, 1.0, 2.0, 1.0, 0.7]),
                    0.1,
                ),
                (&mut Funnel { dim: 6, scale: 3.0 }, unit(6), 0.1),
                (&mut EightSchools, unit(10), 0.3),
                (&mut Cut, unit(3), 0.5),
                (&mut Normal::standard(3), unit(3), 40.0), // weights that no number holds
            ];
            for (density, metric, x) in cases {
                add(compare(
                    density,
                    metric,
                    x,
                    step_size,
                    max_local_error,
                    seed,
                ));
            }
            for metric in one_of_each() {
                let mut correlated = Autoregressive { dim: 3, rho: 0.9 };
                add(compare(
                    &mut correlated,
                    metric,
                    0.1,
                    step_size,
                    max_local_error,
                    seed,
                ));
            }
        }
    }
    counts
}

//! Pathfinder: the normal that is closest to a density, among those met on climbs to its modes.
//!
//! At each point x of an L-BFGS climb, the estimate H of the inverse of minus the Hessian makes a normal with mean
//! x + H grad logp(x) and covariance H. The one with the largest evidence lower bound, E[logp - log q] under itself, by Monte
//! Carlo, is the approximation of that path; here the bound less its standard error decides, and a climb on which nothing
//! better comes is given up. Draws from the approximations of several paths are resampled by their
//! Pareto-smoothed importance ratios. (Zhang, Carpenter, Gelman & Vehtari 2022, Pathfinder: Parallel quasi-Newton
//! variational inference, Journal of Machine Learning Research 23(306), algorithms 1 and 2.)

use super::inverse_hessian::InverseHessian;
use super::lbfgs::{Lbfgs, Step};
use super::{Control, Draws, Evaluator, OptimizeError, psis};
use crate::density::Density;
use crate::parallel;
use crate::sampler::rng::ChainRng;
use crate::sampler::vector::dot;

/// Numbers of the random streams of a seed; 0 is the sampler's.
const PATH_STREAM: u64 = 1;
const RESAMPLING_STREAM: u64 = 2;

/// g'H g so close to a mode that the normals on the rest of the way are all the same.
const NEAR_MODE: f64 = 1e-14;
/// A climb is given up where this many steps, and as many as led to the best normal, have given no better one: on its way
/// into the neck of a funnel, or to a mode far from where the mass is.
const PATIENCE: u64 = 50;

/// What a caller chooses.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Pairs that L-BFGS and the estimates of the inverse Hessian keep.
    pub history: usize,
    /// Steps after which a climb ends in any case.
    pub max_iterations: u64,
    /// Draws for an estimate of the evidence lower bound.
    pub elbo_draws: usize,
    /// Draws from the approximation of each path.
    pub draws: usize,
}

/// The approximation of one path, and draws from it.
#[derive(Debug, Clone)]
pub struct Path {
    /// Estimate of the evidence lower bound, as far as the density is normalised; -inf if there is no approximation.
    pub elbo: f64,
    /// Steps of the climb.
    pub iterations: u64,
    /// The step after which the approximation was made.
    pub best_iteration: u64,
    /// Evaluations of the density.
    pub evaluations: u64,
    /// Whether the climb ended at a mode.
    pub converged: bool,
    /// Where the climb ended.
    pub end: Vec<f64>,
    /// Draws; NaN, with their densities, if there is no approximation.
    pub draws: Draws,
}

/// Draws of several paths.
#[derive(Debug, Clone)]
pub struct Pathfinder {
    /// Each path.
    pub paths: Vec<Path>,
    /// The resampled draws, as numbers of draws, those of each path after those of the one before.
    pub chosen: Vec<usize>,
    /// Shape of the tail of the importance ratios of all paths.
    pub pareto_k: f64,
}

/// A normal approximation.
struct Normal {
    mean: Vec<f64>,
    covariance: InverseHessian,
}

impl Normal {
    /// Writes a draw and returns its log density.
    fn draw(&self, rng: &mut ChainRng, u: &mut [f64], out: &mut [f64]) -> f64 {
        rng.fill_normal(u);
        self.covariance.transform(u, out);
        out.iter_mut().zip(&self.mean).for_each(|(x, m)| *x += m);
        let constant = u.len() as f64 * (2.0 * std::f64::consts::PI).ln();
        -0.5 * (dot(u, u) + self.covariance.log_det + constant)
    }

    /// Draws with their log densities: under the density, NaN where that is not finite, and under the normal.
    fn draws(
        &self,
        density: &mut Evaluator<'_>,
        rng: &mut ChainRng,
        count: usize,
    ) -> Result<Draws, OptimizeError> {
        let n = self.mean.len();
        let (mut u, mut gradient) = (vec![0.0; n], vec![0.0; n]);
        let mut draws = Draws::with_capacity(count, n);
        for draw in 0..count {
            let position = &mut draws.positions[draw * n..(draw + 1) * n];
            draws.logq.push(self.draw(rng, &mut u, position));
            draws.logp.push(density.evaluate(position, &mut gradient)?);
        }
        Ok(draws)
    }

    /// The evidence lower bound and its standard error; -inf if the density of a draw is not finite.
    fn elbo(
        &self,
        density: &mut Evaluator<'_>,
        rng: &mut ChainRng,
        draws: usize,
    ) -> Result<(f64, f64), OptimizeError> {
        let n = draws as f64;
        let draws = self.draws(density, rng, draws)?;
        let mean = draws.log_ratios().sum::<f64>() / n;
        let squares = draws.log_ratios().map(|r| (r - mean).powi(2));
        let variance = squares.sum::<f64>() / n;
        Ok(match variance.is_finite() {
            true => (mean, (variance / n).sqrt()),
            false => (f64::NEG_INFINITY, 0.0),
        })
    }
}

/// Climbs from each start with random numbers of its seed, on at most `threads` threads.
pub fn paths<'a>(
    density: &(dyn Fn() -> Box<dyn Density + 'a> + Sync),
    starts: &[Vec<f64>],
    seeds: &[u64],
    settings: &Settings,
    threads: usize,
    control: &Control,
) -> Result<Vec<Path>, OptimizeError> {
    let evaluator = || Evaluator::new(density(), control);
    let paths = parallel::map(starts.len(), threads, evaluator, |density, number| {
        density.evaluations = 0;
        let mut rng = ChainRng::stream(seeds[number], PATH_STREAM);
        path(density, &starts[number], &mut rng, settings)
    });
    paths.into_iter().collect()
}

/// Climbs from each start, and resamples `draws` of all paths' draws by their importance ratios, with replacement.
pub fn fit<'a>(
    density: &(dyn Fn() -> Box<dyn Density + 'a> + Sync),
    starts: &[Vec<f64>],
    seeds: &[u64],
    settings: &Settings,
    draws: usize,
    threads: usize,
    control: &Control,
) -> Result<Pathfinder, OptimizeError> {
    let paths = paths(density, starts, seeds, settings, threads, control)?;
    let ratios: Vec<f64> = paths
        .iter()
        .flat_map(|path| path.draws.log_ratios())
        .collect();
    let found = psis::weigh(&ratios).ok_or(OptimizeError::NoApproximation)?;
    let mut rng = ChainRng::stream(seeds[0], RESAMPLING_STREAM);
    Ok(Pathfinder {
        chosen: resample(&found.weights, draws, &mut rng),
        pareto_k: found.pareto_k,
        paths,
    })
}

/// Indices drawn with these probabilities, independently.
fn resample(weights: &[f64], draws: usize, rng: &mut ChainRng) -> Vec<usize> {
    let mut sum = 0.0;
    let sums: Vec<f64> = weights
        .iter()
        .map(|w| {
            sum += w;
            sum
        })
        .collect();
    let draw = |_| {
        let target = rng.uniform() * sum;
        sums.partition_point(|&s| s <= target)
            .min(weights.len() - 1)
    };
    (0..draws).map(draw).collect()
}

/// One climb, its best approximation and draws from it.
fn path(
    density: &mut Evaluator<'_>,
    start: &[f64],
    rng: &mut ChainRng,
    settings: &Settings,
) -> Result<Path, OptimizeError> {
    let mut climb = Lbfgs::new(density, start, settings.history, NEAR_MODE)?;
    let mut best: Option<Best> = None;
    let mut converged = false;
    while climb.iterations < settings.max_iterations {
        match climb.step(density)? {
            Step::Moved => {}
            step => {
                converged = step == Step::Converged;
                break;
            }
        }
        consider(&climb, density, rng, settings, &mut best)?;
        let last = best.as_ref().map(|best| best.iteration);
        if last.is_some_and(|last| climb.iterations > 2 * last + PATIENCE) {
            break;
        }
    }
    if best.is_none() {
        // No step, for the start was a mode; or none with an approximation of any use.
        consider(&climb, density, rng, settings, &mut best)?;
    }
    let mut path = Path {
        elbo: f64::NEG_INFINITY,
        iterations: climb.iterations,
        best_iteration: 0,
        evaluations: 0,
        converged,
        end: climb.position,
        draws: Draws {
            positions: vec![f64::NAN; start.len() * settings.draws],
            logp: vec![f64::NAN; settings.draws],
            logq: vec![f64::NAN; settings.draws],
        },
    };
    if let Some(best) = best {
        (path.elbo, path.best_iteration) = (best.elbo, best.iteration);
        path.draws = best.normal.draws(density, rng, settings.draws)?;
    }
    path.evaluations = density.evaluations;
    Ok(path)
}

/// The best approximation so far.
struct Best {
    /// The bound less its standard error: of bounds that are equal but for noise, the largest would be the noisiest.
    score: f64,
    elbo: f64,
    iteration: u64,
    normal: Normal,
}

/// Keeps the approximation at the current point if it is better than the best so far.
fn consider(
    climb: &Lbfgs,
    density: &mut Evaluator<'_>,
    rng: &mut ChainRng,
    settings: &Settings,
    best: &mut Option<Best>,
) -> Result<(), OptimizeError> {
    let Some(covariance) = InverseHessian::new(&climb.diagonal, &climb.pairs) else {
        return Ok(());
    };
    let mut mean = vec![0.0; climb.position.len()];
    covariance.apply(&climb.gradient, &mut mean);
    mean.iter_mut()
        .zip(&climb.position)
        .for_each(|(m, x)| *m += x);
    let normal = Normal { mean, covariance };
    let (elbo, error) = normal.elbo(density, rng, settings.elbo_draws)?;
    let score = elbo - error;
    if score > best.as_ref().map_or(f64::NEG_INFINITY, |best| best.score) {
        *best = Some(Best {
            score,
            elbo,
            iteration: climb.iterations,
            normal,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampler::testing::{Autoregressive, Funnel, Normal as Target};

    const SETTINGS: Settings = Settings {
        history: 6,
        max_iterations: 1000,
        elbo_draws: 25,
        draws: 500,
    };

    fn run<D: Density + Clone + Sync + 'static>(
        target: D,
        start: f64,
        threads: usize,
    ) -> Result<Pathfinder, OptimizeError> {
        let starts = vec![vec![start; target.dim()]; 4];
        let make = move || Box::new(target.clone()) as Box<dyn Density>;
        let control = Control::default();
        fit(
            &make,
            &starts,
            &[1, 2, 3, 4],
            &SETTINGS,
            1000,
            threads,
            &control,
        )
    }

    /// Mean and variance of a coordinate over the resampled draws.
    fn moments(found: &Pathfinder, dim: usize, coordinate: usize) -> (f64, f64) {
        let values: Vec<f64> = found
            .chosen
            .iter()
            .map(|&i| {
                let path = &found.paths[i / SETTINGS.draws];
                path.draws.positions[i % SETTINGS.draws * dim + coordinate]
            })
            .collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        (mean, variance)
    }

    #[test]
    fn a_normal_is_found() {
        let found = run(
            Target {
                mean: 2.0,
                scales: vec![0.1, 1.0, 10.0],
            },
            -1.0,
            2,
        )
        .unwrap();
        assert!(found.pareto_k < 0.5, "{}", found.pareto_k);
        for (i, scale) in [0.1f64, 1.0, 10.0].into_iter().enumerate() {
            let (mean, variance) = moments(&found, 3, i);
            assert!((mean - 2.0).abs() < 0.3 * scale, "{i}: {mean}");
            assert!(
                (variance / scale.powi(2)).ln().abs() < 0.3,
                "{i}: {variance}"
            );
        }
        // The log of the integral of exp(-|x|^2 / 2), of which the bound is one.
        let evidence = 1.5 * (2.0 * std::f64::consts::PI).ln();
        assert!(found.paths.iter().all(|p| p.elbo < evidence + 0.5));
        assert!(found.paths.iter().any(|p| p.elbo > evidence - 0.5));
    }

    #[test]
    fn one_dimension_and_a_start_at_the_mode_work() {
        for start in [3.0, 0.0] {
            let found = run(Target::standard(1), start, 1).unwrap();
            let (mean, variance) = moments(&found, 1, 0);
            assert!(mean.abs() < 0.2 && (variance - 1.0).abs() < 0.25);
            assert!(found.pareto_k < 0.5);
        }
    }

    #[test]
    fn a_funnel_has_a_large_k() {
        let found = run(
            Funnel {
                dim: 10,
                scale: 3.0,
            },
            1.0,
            2,
        )
        .unwrap();
        assert!(found.pareto_k > 0.7, "{}", found.pareto_k);
    }

    #[test]
    fn draws_do_not_depend_on_the_number_of_threads() {
        let target = Autoregressive { dim: 12, rho: 0.7 };
        let (one, three) = (
            run(target.clone(), 1.5, 1).unwrap(),
            run(target, 1.5, 3).unwrap(),
        );
        assert_eq!(one.chosen, three.chosen);
        for (a, b) in one.paths.iter().zip(&three.paths) {
            assert_eq!(a.draws.positions, b.draws.positions);
            assert_eq!((a.elbo, a.evaluations), (b.elbo, b.evaluations));
        }
        let draws = |path: usize| &one.paths[path].draws.positions;
        assert_ne!(draws(0), draws(1));
    }

    #[test]
    fn a_density_that_is_finite_at_the_starts_alone_has_no_approximation() {
        #[derive(Clone)]
        struct Point;
        impl Density for Point {
            fn dim(&self) -> usize {
                2
            }
            fn logp_and_gradient(
                &mut self,
                x: &[f64],
                g: &mut [f64],
            ) -> Result<f64, crate::density::DensityError> {
                g.fill(1.0);
                Ok(if x == [1.0, 1.0] {
                    0.0
                } else {
                    f64::NEG_INFINITY
                })
            }
        }
        let found = run(Point, 1.0, 1);
        assert_eq!(found.unwrap_err(), OptimizeError::NoApproximation);
    }
}

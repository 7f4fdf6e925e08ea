//! Laplace's approximation: a normal at a mode, whose precision is minus the Hessian there.
//!
//! The Hessian's columns are differences of the exact gradient, of order four: with g(t) the gradient at x + t e_i,
//! (8 (g(h) - g(-h)) - (g(2h) - g(-2h))) / 12h. Rounding costs about eps / h, truncation h^4, in units in which the density is
//! about as wide as 1; both are least together at h = eps^(1/5) of such a unit (the argument of Nocedal & Wright 2006,
//! Numerical Optimization, section 8.1), which leaves some 12 digits. The unit is the standard deviation along the
//! coordinate with all others held, found from the curvature itself: a step in proportion to |x| would miss it by any factor.

use super::lbfgs::{AT_MODE, Lbfgs, Optimum};
use super::{Control, Draws, Evaluator, OptimizeError, zeros};
use crate::density::Density;
use crate::kernels::linalg::{cholesky, eigh, triangular};
use crate::parallel;
use crate::sampler::rng::ChainRng;
use crate::sampler::vector::dot;

/// The curvature of a direction, relative to that of its coordinates, which differences cannot tell from zero.
const NO_CURVATURE: f64 = 1e-9;
/// Share of the largest entry from which on a coordinate counts as one of a direction's.
const INVOLVED: f64 = 0.3;
/// Looks for the unit of a coordinate.
const MOST_LOOKS: u32 = 20;

/// A normal at a mode.
#[derive(Debug, Clone)]
pub struct Laplace {
    /// The mode.
    pub mode: Optimum,
    /// Covariance, (n, n).
    pub covariance: Vec<f64>,
    /// Standard deviation of each coordinate with all others held.
    scales: Vec<f64>,
    /// Cholesky factor of the precision in these units.
    factor: Vec<f64>,
    /// Evaluations of the density.
    pub evaluations: u64,
}

/// Climbs from `start` to a mode, and takes the Hessian there.
///
/// # Errors
/// [`OptimizeError::NoCurvature`] if minus the Hessian is not positive definite.
pub fn fit<'a>(
    density: &(dyn Fn() -> Box<dyn Density + 'a> + Sync),
    start: &[f64],
    history: usize,
    max_iterations: u64,
    threads: usize,
    control: &Control,
) -> Result<Laplace, OptimizeError> {
    let n = start.len();
    let mut evaluator = Evaluator::new(density(), control);
    let mode =
        Lbfgs::new(&mut evaluator, start, history, AT_MODE)?.run(&mut evaluator, max_iterations)?;
    let before = evaluator.evaluations;
    let columns = parallel::map(
        n,
        threads,
        || Evaluator::new(density(), control),
        |density, i| {
            density.evaluations = 0;
            let column = column(density, &mode.position, i)?;
            Ok((column, density.evaluations))
        },
    );
    let columns: Vec<_> = columns.into_iter().collect::<Result<_, OptimizeError>>()?;
    let evaluations = before + columns.iter().map(|c| c.1).sum::<u64>();
    let curvature = |i: usize| columns[i].0[i];
    let flat: Vec<usize> = (0..n)
        .filter(|&i| !(curvature(i) > 0.0 && curvature(i).is_finite()))
        .collect();
    if !flat.is_empty() {
        return Err(OptimizeError::NoCurvature(flat));
    }
    let scales: Vec<f64> = (0..n).map(|i| curvature(i).sqrt().recip()).collect();
    let mut precision = zeros(n * n, n)?;
    for i in 0..n {
        for j in 0..n {
            let entry = 0.5 * (columns[i].0[j] + columns[j].0[i]);
            precision[i * n + j] = scales[i] * entry * scales[j];
        }
    }
    drop(columns);
    let mut factor = zeros(n * n, n)?;
    let mut scratch = zeros(cholesky::factor_scratch(n), n)?;
    cholesky::factor([1, n], &precision, &mut factor, &mut scratch);
    // Pivots that are NaN, as those of a matrix that is not positive definite, are no curvature either.
    if !(0..n).all(|i| factor[i * n + i].powi(2) > NO_CURVATURE) {
        return Err(OptimizeError::NoCurvature(flattest(n, &precision)?));
    }
    let mut covariance = zeros(n * n, n)?;
    let identity = &mut precision;
    identity.fill(0.0);
    (0..n).for_each(|i| identity[i * n + i] = 1.0);
    let mut scratch = zeros(cholesky::solve_scratch([1, n, n]), n)?;
    cholesky::solve([1, n, n], &factor, identity, &mut covariance, &mut scratch);
    for i in 0..n {
        for j in 0..i {
            let entry = 0.5 * (covariance[i * n + j] + covariance[j * n + i]);
            (covariance[i * n + j], covariance[j * n + i]) = (entry, entry);
        }
    }
    for (k, entry) in covariance.iter_mut().enumerate() {
        *entry *= scales[k / n] * scales[k % n];
    }
    Ok(Laplace {
        mode,
        covariance,
        scales,
        factor,
        evaluations,
    })
}

impl Laplace {
    /// `count` draws with random numbers of each seed, with their log densities.
    pub fn draws<'a>(
        &self,
        density: &(dyn Fn() -> Box<dyn Density + 'a> + Sync),
        count: usize,
        seeds: &[u64],
        threads: usize,
        control: &Control,
    ) -> Result<Vec<Draws>, OptimizeError> {
        let n = self.scales.len();
        let system = triangular::Triangular {
            lower: true,
            transposed: true,
            unit: false,
        };
        let log_det: f64 = (0..n)
            .map(|i| 2.0 * (self.scales[i].ln() - self.factor[i * n + i].ln()))
            .sum();
        let constant = log_det + n as f64 * (2.0 * std::f64::consts::PI).ln();
        let evaluator = || Evaluator::new(density(), control);
        let draws = parallel::map(seeds.len(), threads, evaluator, |density, chain| {
            let mut rng = ChainRng::new(seeds[chain]);
            let (mut u, mut gradient) = (vec![0.0; n], vec![0.0; n]);
            let mut scratch = vec![0.0; triangular::solve_scratch(n, 1)];
            let mut draws = Draws::with_capacity(count, n);
            for draw in 0..count {
                let position = &mut draws.positions[draw * n..(draw + 1) * n];
                rng.fill_normal(&mut u);
                triangular::solve(system, [1, n, 1], &self.factor, &u, position, &mut scratch);
                for (i, x) in position.iter_mut().enumerate() {
                    *x = self.mode.position[i] + self.scales[i] * *x;
                }
                draws.logq.push(-0.5 * (dot(&u, &u) + constant));
                draws.logp.push(density.evaluate(position, &mut gradient)?);
            }
            Ok(draws)
        });
        draws.into_iter().collect()
    }
}

/// Column `i` of minus the Hessian; NaN where the density is not finite close by.
fn column(density: &mut Evaluator<'_>, mode: &[f64], i: usize) -> Result<Vec<f64>, OptimizeError> {
    let mut stencil = Stencil {
        at: mode.to_vec(),
        plus: vec![0.0; mode.len()],
        minus: vec![0.0; mode.len()],
    };
    let h = f64::EPSILON.powf(0.2) * unit(density, &mut stencil, i)?;
    let near = stencil.difference(density, i, h)?;
    let mut column: Vec<f64> = stencil.changes().map(|c| 8.0 * c / (6.0 * near)).collect();
    let far = stencil.difference(density, i, 2.0 * h)?;
    for (column, change) in column.iter_mut().zip(stencil.changes()) {
        *column -= 2.0 * change / (6.0 * far);
    }
    Ok(column)
}

/// The standard deviation along coordinate `i` with all others held, as far as it can be found.
fn unit(
    density: &mut Evaluator<'_>,
    stencil: &mut Stencil,
    i: usize,
) -> Result<f64, OptimizeError> {
    let first = stencil.at[i].abs().max(1.0);
    let mut unit = first;
    for _ in 0..MOST_LOOKS {
        let width = stencil.difference(density, i, f64::EPSILON.cbrt() * unit)?;
        let curvature = (stencil.minus[i] - stencil.plus[i]) / width;
        if curvature.is_nan() {
            unit /= 100.0;
        } else if curvature <= 0.0 {
            return Ok(first);
        } else {
            let found = curvature.sqrt().recip();
            let factor = found / unit;
            unit = found;
            if (0.1..10.0).contains(&factor) {
                break;
            }
        }
    }
    Ok(unit)
}

/// Gradients on both sides of a point.
struct Stencil {
    at: Vec<f64>,
    plus: Vec<f64>,
    minus: Vec<f64>,
}

impl Stencil {
    /// Evaluates both sides at a distance `h` along coordinate `i`; returns the distance between them, in floats, or NaN
    /// if the density is not finite.
    fn difference(
        &mut self,
        density: &mut Evaluator<'_>,
        i: usize,
        h: f64,
    ) -> Result<f64, OptimizeError> {
        let centre = self.at[i];
        let (right, left) = (centre + h, centre - h);
        self.at[i] = right;
        let above = density.evaluate(&self.at, &mut self.plus)?;
        self.at[i] = left;
        let below = density.evaluate(&self.at, &mut self.minus)?;
        self.at[i] = centre;
        Ok(match above.is_nan() || below.is_nan() {
            true => f64::NAN,
            false => right - left,
        })
    }

    /// Change of minus the gradient from the left to the right.
    fn changes(&self) -> impl Iterator<Item = f64> {
        self.minus.iter().zip(&self.plus).map(|(m, p)| m - p)
    }
}

/// The coordinates of the eigenvector with the least eigenvalue.
fn flattest(n: usize, precision: &[f64]) -> Result<Vec<usize>, OptimizeError> {
    let (mut values, mut vectors) = (zeros(n, n)?, zeros(n * n, n)?);
    let mut scratch = zeros(eigh::decompose_scratch(n), n)?;
    eigh::decompose([1, n], precision, &mut values, &mut vectors, &mut scratch);
    let entry = |i: usize| vectors[i * n].abs();
    let largest = (0..n).map(entry).fold(0.0, f64::max);
    Ok((0..n).filter(|&i| entry(i) >= INVOLVED * largest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::density::DensityError;
    use crate::sampler::testing::{Autoregressive, LogHalfNormal, Normal};

    fn approximate<D: Density + Clone + Sync + 'static>(
        target: D,
        start: &[f64],
        threads: usize,
    ) -> Result<Laplace, OptimizeError> {
        let make = move || Box::new(target.clone()) as Box<dyn Density>;
        fit(&make, start, 10, 1000, threads, &Control::default())
    }

    #[test]
    fn it_is_exact_on_a_normal() {
        let found = approximate(Autoregressive { dim: 6, rho: 0.8 }, &[2.0; 6], 2).unwrap();
        for i in 0..6 {
            assert!(found.mode.position[i].abs() < 1e-8);
            for j in 0..6 {
                let wanted = 0.8f64.powi((i as i32 - j as i32).abs());
                assert!((found.covariance[i * 6 + j] - wanted).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn scales_far_from_one_and_modes_far_from_zero_do_no_harm() {
        let scales = vec![1e-5, 1.0, 1e4];
        let target = Normal {
            mean: 100.0,
            scales: scales.clone(),
        };
        let found = approximate(target, &[100.0; 3], 1).unwrap();
        for (i, scale) in scales.iter().enumerate() {
            let error = found.covariance[i * 4] / scale.powi(2) - 1.0;
            assert!(error.abs() < 1e-6, "{scale}: {error}");
        }
    }

    #[test]
    fn curvature_is_that_of_the_density() {
        // logp = x - exp(2x) / 2 has its mode at 0, where its second derivative is -2.
        let found = approximate(LogHalfNormal, &[1.0], 1).unwrap();
        assert!(found.mode.position[0].abs() < 1e-9);
        assert!((found.covariance[0] - 0.5).abs() < 1e-10);
    }

    #[test]
    fn draws_have_the_moments_and_densities_that_they_say() {
        let target = Autoregressive { dim: 3, rho: 0.5 };
        let found = approximate(target.clone(), &[1.0; 3], 1).unwrap();
        let make = || Box::new(Autoregressive { dim: 3, rho: 0.5 }) as Box<dyn Density>;
        let draw = |threads| found.draws(&make, 5000, &[1, 2], threads, &Control::default());
        let (one, two) = (draw(1).unwrap(), draw(2).unwrap());
        let mut ratios = vec![];
        for (a, b) in one.iter().zip(&two) {
            assert_eq!(a.positions, b.positions);
            ratios.extend(a.log_ratios());
            let products = a.positions.chunks(3).map(|x| x[0] * x[1]);
            let covariance = products.sum::<f64>() / 5000.0;
            assert!((covariance - 0.5).abs() < 0.1, "{covariance}");
        }
        // The density is a normal: the ratios are all the logarithm of its integral.
        let integral = 1.5 * (2.0 * std::f64::consts::PI).ln() + (0.75f64).ln();
        for ratio in ratios {
            assert!((ratio - integral).abs() < 1e-7, "{ratio} {integral}");
        }
    }

    #[test]
    fn a_flat_direction_is_named() {
        /// Only the sum of the last two coordinates is known, and the first has a saddle.
        #[derive(Clone)]
        struct Partly {
            saddle: bool,
        }
        impl Density for Partly {
            fn dim(&self) -> usize {
                3
            }
            fn logp_and_gradient(&mut self, x: &[f64], g: &mut [f64]) -> Result<f64, DensityError> {
                let sum = x[1] + x[2] - 1.0;
                let sign = if self.saddle { 1.0 } else { -1.0 };
                g.copy_from_slice(&[sign * x[0], -sum, -sum]);
                Ok(0.5 * (sign * x[0] * x[0] - sum * sum))
            }
        }
        let error = |saddle| approximate(Partly { saddle }, &[0.0, 3.0, 1.0], 1).unwrap_err();
        assert_eq!(error(false), OptimizeError::NoCurvature(vec![1, 2]));
        assert_eq!(error(true), OptimizeError::NoCurvature(vec![0]));
    }
}

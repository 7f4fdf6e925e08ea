//! What the energies of a chain say about Hamiltonian Monte Carlo.

use super::{mean, mean_and_variance};

/// Estimated Bayesian fraction of missing information of a chain: E (E_t - E_{t-1})^2 / Var E.
///
/// How fast resampling the momentum moves through the energies: about 1 or 2 where it does so at once, and
/// problematic below 0.3 (Betancourt 2016, arXiv:1604.00695). NaN for fewer than two draws, or constant energy.
pub fn bfmi(energy: &[f64]) -> f64 {
    let steps = energy.windows(2).map(|pair| (pair[1] - pair[0]).powi(2));
    mean(steps) / mean_and_variance(energy.iter().copied()).1
}

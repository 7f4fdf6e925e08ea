//! Densities with known answers, for the sampler's tests and benchmark.

use crate::density::{Density, DensityError};

/// Independent normals around `mean` with these standard deviations.
#[derive(Debug, Clone)]
pub struct Normal {
    pub mean: f64,
    pub scales: Vec<f64>,
}

impl Normal {
    pub fn standard(dim: usize) -> Self {
        Self {
            mean: 0.0,
            scales: vec![1.0; dim],
        }
    }
}

impl Density for Normal {
    fn dim(&self) -> usize {
        self.scales.len()
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut logp = 0.0;
        for ((x, scale), g) in x.iter().zip(&self.scales).zip(gradient) {
            let z = (x - self.mean) / scale;
            logp -= 0.5 * z * z;
            *g = -z / scale;
        }
        Ok(logp)
    }
}

/// A stationary Gaussian chain: unit variances, correlation `rho` between neighbours.
#[derive(Debug, Clone)]
pub struct Autoregressive {
    pub dim: usize,
    pub rho: f64,
}

impl Density for Autoregressive {
    fn dim(&self) -> usize {
        self.dim
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let precision = 1.0 / (1.0 - self.rho * self.rho);
        let mut logp = -0.5 * x[0] * x[0];
        gradient[0] = -x[0];
        for i in 1..x.len() {
            let innovation = x[i] - self.rho * x[i - 1];
            logp -= 0.5 * precision * innovation * innovation;
            gradient[i] = -precision * innovation;
            gradient[i - 1] += self.rho * precision * innovation;
        }
        Ok(logp)
    }
}

/// Independent Student t with 5 degrees of freedom.
#[derive(Debug, Clone)]
pub struct StudentT5 {
    pub dim: usize,
}

impl Density for StudentT5 {
    fn dim(&self) -> usize {
        self.dim
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let mut logp = 0.0;
        for (x, g) in x.iter().zip(gradient) {
            logp -= 3.0 * (x * x / 5.0).ln_1p();
            *g = -6.0 * x / (5.0 + x * x);
        }
        Ok(logp)
    }
}

/// A half-normal with scale 1 on its logarithm.
#[derive(Debug, Clone)]
pub struct LogHalfNormal;

impl Density for LogHalfNormal {
    fn dim(&self) -> usize {
        1
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let square = (2.0 * x[0]).exp();
        gradient[0] = 1.0 - square;
        Ok(x[0] - 0.5 * square)
    }
}

/// Neal's funnel: v ~ N(0, scale), the other `dim - 1` coordinates ~ N(0, exp(v / 2)); Neal's
/// scale is 3.
#[derive(Debug, Clone)]
pub struct Funnel {
    pub dim: usize,
    pub scale: f64,
}

impl Density for Funnel {
    fn dim(&self) -> usize {
        self.dim
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (v, rest) = (x[0], &x[1..]);
        let precision = (-v).exp();
        let squares: f64 = rest.iter().map(|x| x * x).sum();
        for (g, x) in gradient[1..].iter_mut().zip(rest) {
            *g = -x * precision;
        }
        let u = v / self.scale;
        gradient[0] = -u / self.scale + 0.5 * precision * squares - 0.5 * rest.len() as f64;
        Ok(-0.5 * u * u - 0.5 * precision * squares - 0.5 * v * rest.len() as f64)
    }
}

/// Eight schools (Rubin 1981), non-centred: mu ~ N(0, 5), tau ~ half-Cauchy(5) as log tau,
/// theta_i = mu + tau z_i, y_i ~ N(theta_i, sigma_i). Coordinates: mu, log tau, z_1 .. z_8.
#[derive(Debug, Clone)]
pub struct EightSchools;

const SCHOOL_EFFECTS: [f64; 8] = [28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0];
const SCHOOL_ERRORS: [f64; 8] = [15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0];

impl Density for EightSchools {
    fn dim(&self) -> usize {
        10
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let (mu, log_tau, z) = (x[0], x[1], &x[2..]);
        let tau = log_tau.exp();
        let ratio = tau * tau / 25.0;
        let mut logp = -0.5 * mu * mu / 25.0 - ratio.ln_1p() + log_tau;
        let (mut d_mu, mut d_log_tau) = (-mu / 25.0, 1.0 - 2.0 * ratio / (1.0 + ratio));
        for i in 0..8 {
            let residual = (SCHOOL_EFFECTS[i] - mu - tau * z[i]) / SCHOOL_ERRORS[i];
            logp -= 0.5 * (residual * residual + z[i] * z[i]);
            let d_theta = residual / SCHOOL_ERRORS[i];
            d_mu += d_theta;
            d_log_tau += d_theta * tau * z[i];
            gradient[2 + i] = d_theta * tau - z[i];
        }
        (gradient[0], gradient[1]) = (d_mu, d_log_tau);
        Ok(logp)
    }
}

/// A bent normal: x_0 ~ N(0, 1), x_1 ~ N(x_0^2 / 2, 1).
#[derive(Debug, Clone)]
pub struct Banana;

impl Density for Banana {
    fn dim(&self) -> usize {
        2
    }

    fn logp_and_gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, DensityError> {
        let residual = x[1] - 0.5 * x[0] * x[0];
        gradient[0] = x[0] * (residual - 1.0);
        gradient[1] = -residual;
        Ok(-0.5 * (x[0] * x[0] + residual * residual))
    }
}

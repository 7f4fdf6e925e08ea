//! What a caller can choose: every option of the sampler with its default, validated once.

use super::metric::Metric;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An option that is unknown or has an impossible value, in words for the user.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct SettingsError(pub String);

/// The algorithm that makes a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Multinomial NUTS (Betancourt 2017, arXiv:1701.02434).
    Nuts,
    /// NUTS whose steps divide where the energy would change too much; see [`super::local_step`].
    Walnuts,
    /// Hamiltonian Monte Carlo with trajectories of a fixed length (Neal 2011, arXiv:1206.1901).
    Hmc,
}

/// How warm-up estimates the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// Whichever of the others promises the fewest gradients, judged by draws that it was not fitted to.
    Auto,
    /// Diagonal from draws and gradients: minimises the Fisher divergence.
    Diag,
    /// Triangular from draws and gradients: minimises the Fisher divergence.
    Dense,
    /// Diagonal but for a few directions, from draws and gradients.
    LowRank,
    /// Diagonal from the variance of the draws, as in Stan.
    DrawDiag,
}

/// When warm-up forgets its old draws; see [`super::schedule`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleSettings {
    /// Share of warm-up in which the metric forgets after every `early_switch` draws.
    pub early_fraction: f64,
    /// Draws in an early window.
    pub early_switch: u64,
    /// Draws in the first window after the early part.
    pub window: u64,
    /// Factor from each of these windows to the next.
    pub growth: f64,
    /// Share of warm-up, at its end, in which only the step size adapts.
    pub final_fraction: f64,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        Self {
            early_fraction: 0.3,
            early_switch: 10,
            window: 40,
            growth: 1.5,
            final_fraction: 0.25,
        }
    }
}

/// All settings of a run; the same for every chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The algorithm.
    pub kind: Kind,
    /// Warm-up draws a chain. On 16 regressions, hierarchical models and time series, 4 chains of 1000
    /// draws, gradients an effective draw (least bulk ESS, geometric mean) are 5.7, 5.6, 5.8 and 5.8 after
    /// 150, 200, 300 and 400 warm-up draws, and 6.5, 6.6, 7.3 and 7.8 with those of warm-up; by the least tail ESS
    /// 9.3, 9.2, 10.4 and 10.7.
    pub tune: u64,
    /// Draws a chain after warm-up.
    pub draws: u64,
    /// Whether the warm-up draws are kept.
    pub save_warmup: bool,
    /// Mean acceptance statistic that the step size is tuned for. The usual 0.8 ends at about 0.85 under the
    /// usual dual averaging, whose noise this one does not have; at 0.8 in earnest divergences are two to three
    /// times as many, for a tenth fewer gradients.
    pub target_accept: f64,
    /// Doublings after which a NUTS trajectory ends in any case.
    pub max_treedepth: u32,
    /// How the metric is estimated.
    pub metric: MetricKind,
    /// Each draw's step size is the tuned one times a number uniform on `1 ± step_size_jitter`.
    pub step_size_jitter: f64,
    /// First step size; searched where absent.
    pub initial_step_size: Option<f64>,
    /// First metric, as variances of the position's entries or as their row-major covariance; found from the first
    /// gradient where absent.
    pub initial_metric: Option<Vec<f64>>,
    /// Energy error above which a trajectory is divergent.
    pub max_energy_error: f64,
    /// WALNUTS: most by which the energies along one step may differ, else it is divided.
    pub max_local_error: f64,
    /// HMC: length of a trajectory in whitened coordinates (absent where `n_steps` is given).
    pub path_length: Option<f64>,
    /// HMC: leapfrog steps a trajectory, instead of `path_length`.
    pub n_steps: Option<u64>,
    /// Whether the chains of a run learn one metric from the points of all.
    pub pool: bool,
    /// Whether warm-up ends as soon as the chains agree on the metric and the step size.
    pub early_stop: bool,
    /// Windows of warm-up.
    pub schedule: ScheduleSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: Kind::Nuts,
            tune: 200,
            draws: 1000,
            save_warmup: false,
            target_accept: 0.85,
            max_treedepth: 10,
            metric: MetricKind::Auto,
            step_size_jitter: 0.1,
            initial_step_size: None,
            initial_metric: None,
            max_energy_error: 1000.0,
            max_local_error: 1.0,
            path_length: None,
            n_steps: None,
            pool: false,
            early_stop: false,
            schedule: ScheduleSettings::default(),
        }
    }
}

/// Path length of HMC where the caller names none (PyMC's default).
pub const DEFAULT_PATH_LENGTH: f64 = 2.0;

impl Settings {
    /// Reads settings from JSON; absent fields get their defaults.
    ///
    /// # Errors
    /// Malformed JSON, an unknown field, or a value that [`Settings::validated`] refuses.
    pub fn from_json(json: &str) -> Result<Self, SettingsError> {
        serde_json::from_str::<Self>(json)
            .map_err(|e| SettingsError(format!("sampler settings: {e}")))?
            .validated()
    }

    /// The settings as JSON, all defaults written out.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, booleans and fixed names always serialise")
    }

    /// Draws a chain, warm-up included.
    pub fn total_draws(&self) -> u64 {
        self.tune + self.draws
    }

    /// Warm-up draws a chain that are kept.
    pub fn kept_warmup(&self) -> u64 {
        if self.save_warmup { self.tune } else { 0 }
    }

    /// Checks what depends on the number of dimensions.
    ///
    /// # Errors
    /// A first metric of other dimensions, or that is not positive definite.
    pub fn check_dimensions(&self, dim: usize) -> Result<(), SettingsError> {
        let Some(values) = &self.initial_metric else {
            return Ok(());
        };
        match Metric::of_covariance(dim, values) {
            Some(_) => Ok(()),
            None => Err(SettingsError(format!(
                "initial_metric must be the {dim} variances of the unconstrained values, or their ({dim}, {dim}) covariance \
                 matrix, and positive definite; it has {} entries",
                values.len()
            ))),
        }
    }

    /// Checks every value and fills in the path length of HMC.
    ///
    /// # Errors
    /// The first option whose value makes no sense, with the values that do.
    pub fn validated(mut self) -> Result<Self, SettingsError> {
        let require = |holds: bool, message: String| {
            if holds {
                Ok(())
            } else {
                Err(SettingsError(message))
            }
        };
        let positive = |x: f64| x > 0.0 && x.is_finite();

        require(
            self.draws <= MAX_DRAWS && self.tune <= MAX_DRAWS,
            format!(
                "draws and tune must be at most {MAX_DRAWS}, got {} and {}",
                self.draws, self.tune
            ),
        )?;
        require(
            self.draws + self.kept_warmup() > 0,
            format!(
                "draws=0 with tune={} and save_warmup={} keeps no draw at all; ask for draws >= 1, \
                 or for save_warmup=true with tune >= 1",
                self.tune, self.save_warmup
            ),
        )?;
        require(
            self.target_accept > 0.0 && self.target_accept < 1.0,
            format!(
                "target_accept must lie between 0 and 1, got {}",
                self.target_accept
            ),
        )?;
        require(
            (1..=MAX_TREEDEPTH).contains(&self.max_treedepth),
            format!(
                "max_treedepth must lie between 1 and {MAX_TREEDEPTH}, got {}",
                self.max_treedepth
            ),
        )?;
        require(
            (0.0..1.0).contains(&self.step_size_jitter),
            format!(
                "step_size_jitter must be at least 0 and below 1, got {}",
                self.step_size_jitter
            ),
        )?;
        require(
            self.initial_step_size.is_none_or(positive),
            format!(
                "initial_step_size must be positive and finite, got {}",
                self.initial_step_size.unwrap_or_default()
            ),
        )?;
        require(
            self.initial_metric
                .as_ref()
                .is_none_or(|values| !values.is_empty() && values.iter().all(|x| x.is_finite())),
            "initial_metric must be variances or a covariance matrix, of finite numbers"
                .to_string(),
        )?;
        require(
            positive(self.max_energy_error),
            format!(
                "max_energy_error must be positive and finite, got {}",
                self.max_energy_error
            ),
        )?;
        require(
            positive(self.max_local_error),
            format!(
                "max_local_error must be positive and finite, got {}",
                self.max_local_error
            ),
        )?;
        self.validate_schedule(require)?;

        match self.kind {
            Kind::Nuts | Kind::Walnuts => require(
                self.path_length.is_none() && self.n_steps.is_none(),
                "path_length and n_steps belong to kind=\"hmc\"; NUTS finds its own length"
                    .to_string(),
            )?,
            Kind::Hmc => {
                require(
                    self.path_length.is_none() || self.n_steps.is_none(),
                    "give either path_length or n_steps, not both".to_string(),
                )?;
                require(
                    self.path_length.is_none_or(positive),
                    format!(
                        "path_length must be positive and finite, got {}",
                        self.path_length.unwrap_or_default()
                    ),
                )?;
                require(
                    self.n_steps != Some(0),
                    "n_steps must be at least 1, got 0".to_string(),
                )?;
                if self.n_steps.is_none() {
                    self.path_length.get_or_insert(DEFAULT_PATH_LENGTH);
                }
            }
        }
        Ok(self)
    }

    fn validate_schedule(
        &self,
        require: impl Fn(bool, String) -> Result<(), SettingsError>,
    ) -> Result<(), SettingsError> {
        let s = &self.schedule;
        require(
            s.early_fraction >= 0.0
                && s.final_fraction >= 0.0
                && s.early_fraction + s.final_fraction <= 1.0,
            format!(
                "schedule: early_fraction and final_fraction must be at least 0 and together at \
                 most 1, got {} and {}",
                s.early_fraction, s.final_fraction
            ),
        )?;
        require(
            s.early_switch >= 1 && s.window >= 1,
            format!(
                "schedule: early_switch and window must be at least 1, got {} and {}",
                s.early_switch, s.window
            ),
        )?;
        require(
            s.growth >= 1.0 && s.growth.is_finite(),
            format!("schedule: growth must be at least 1, got {}", s.growth),
        )
    }
}

/// More draws take years; the bound keeps sums of counts from overflowing.
const MAX_DRAWS: u64 = 1 << 60;

/// A tree of this depth already holds 2^20 states.
const MAX_TREEDEPTH: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn error(json: &str) -> String {
        Settings::from_json(json).unwrap_err().to_string()
    }

    #[test]
    fn absent_fields_get_defaults_and_json_round_trips() {
        let settings = Settings::from_json(r#"{"tune": 7, "metric": "draw_diag"}"#).unwrap();
        assert_eq!((settings.tune, settings.draws), (7, 1000));
        assert_eq!(settings.metric, MetricKind::DrawDiag);
        assert!(settings.to_json().contains(r#""target_accept":0.85"#));
        assert_eq!(Settings::from_json(&settings.to_json()).unwrap(), settings);
    }

    #[test]
    fn hmc_gets_a_path_length_unless_it_has_steps() {
        let hmc = |json| Settings::from_json(json).unwrap();
        assert_eq!(
            hmc(r#"{"kind": "hmc"}"#).path_length,
            Some(DEFAULT_PATH_LENGTH)
        );
        assert_eq!(hmc(r#"{"kind": "hmc", "n_steps": 5}"#).path_length, None);
    }

    #[test]
    fn a_refused_value_is_named() {
        for (json, part) in [
            (r#"{"tunes": 7}"#, "unknown field `tunes`"),
            (r#"{"schedule": {"windows": 7}}"#, "unknown field `windows`"),
            (r#"{"kind": "gibbs"}"#, "gibbs"),
            (r#"{"draws": 18446744073709551615}"#, "draws and tune"),
            (r#"{"draws": 0}"#, "draws=0"),
            (r#"{"draws": 0, "tune": 0, "save_warmup": true}"#, "draws=0"),
            (
                r#"{"target_accept": 1.0}"#,
                "target_accept must lie between 0 and 1, got 1",
            ),
            (r#"{"max_treedepth": 0}"#, "max_treedepth"),
            (r#"{"step_size_jitter": 1.0}"#, "step_size_jitter"),
            (r#"{"initial_step_size": -1.0}"#, "initial_step_size"),
            (r#"{"initial_metric": []}"#, "initial_metric"),
            (r#"{"max_energy_error": 0.0}"#, "max_energy_error"),
            (r#"{"max_local_error": -1.0}"#, "max_local_error"),
            (r#"{"n_steps": 5}"#, "belong to kind=\"hmc\""),
            (
                r#"{"kind": "hmc", "n_steps": 5, "path_length": 1.0}"#,
                "not both",
            ),
            (r#"{"kind": "hmc", "n_steps": 0}"#, "n_steps"),
            (r#"{"kind": "hmc", "path_length": 0.0}"#, "path_length"),
            (r#"{"schedule": {"growth": 0.5}}"#, "growth"),
            (r#"{"schedule": {"window": 0}}"#, "window"),
            (r#"{"schedule": {"early_fraction": 0.9}}"#, "early_fraction"),
        ] {
            assert!(error(json).contains(part), "{json}: {}", error(json));
        }
    }

    #[test]
    fn warmup_alone_can_be_kept() {
        let json = r#"{"draws": 0, "tune": 5, "save_warmup": true}"#;
        assert_eq!(Settings::from_json(json).unwrap().kept_warmup(), 5);
    }
}

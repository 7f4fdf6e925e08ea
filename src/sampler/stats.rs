//! What is kept of each draw: its position and PyMC's statistics, a column each.

use std::collections::TryReserveError;

/// The values of one statistic, a value a draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Column<'a> {
    /// Real numbers.
    F64(&'a [f64]),
    /// Counts.
    I64(&'a [i64]),
    /// Flags.
    Bool(&'a [bool]),
}

/// The statistics of one draw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DrawStats {
    /// Log density at the draw.
    pub lp: f64,
    /// Total energy at the draw.
    pub energy: f64,
    /// Energy of the draw less that of the trajectory's start.
    pub energy_error: f64,
    /// The energy error largest in absolute value in the trajectory.
    pub max_energy_error: f64,
    /// Leapfrog steps from the trajectory's start to the draw, negative backwards.
    pub index_in_trajectory: i64,
    /// Doublings of the tree; 0 for HMC.
    pub tree_depth: i64,
    /// Leapfrog steps taken.
    pub n_steps: i64,
    /// Mean acceptance statistic of the trajectory.
    pub acceptance_rate: f64,
    /// Step size used, jitter included.
    pub step_size: f64,
    /// Averaged step size that the step size is derived from after warm-up.
    pub step_size_bar: f64,
    /// Whether the trajectory diverged.
    pub diverging: bool,
    /// Divergences after warm-up so far.
    pub divergences: i64,
    /// Whether the trajectory was cut off at the greatest depth.
    pub reached_max_treedepth: bool,
    /// Whether this is a draw of warm-up.
    pub tuning: bool,
    /// Seconds spent in the draw.
    pub draw_time: f64,
}

/// Writes the columns' struct and what touches every column, from one list of the statistics.
macro_rules! columns {
    ($($name:ident: $type:ty => $kind:ident),* $(,)?) => {
        /// Statistics of many draws, by column.
        #[derive(Debug, Clone, Default)]
        struct Columns {
            $($name: Vec<$type>,)*
        }

        impl Columns {
            fn try_reserve_exact(&mut self, draws: usize) -> Result<(), TryReserveError> {
                $(self.$name.try_reserve_exact(draws)?;)*
                Ok(())
            }

            fn push(&mut self, stats: &DrawStats) {
                $(self.$name.push(stats.$name);)*
            }

            fn named(&self) -> Vec<(&'static str, Column<'_>)> {
                vec![$((stringify!($name), Column::$kind(&self.$name)),)*]
            }
        }
    };
}

columns! {
    lp: f64 => F64,
    energy: f64 => F64,
    energy_error: f64 => F64,
    max_energy_error: f64 => F64,
    index_in_trajectory: i64 => I64,
    tree_depth: i64 => I64,
    n_steps: i64 => I64,
    acceptance_rate: f64 => F64,
    step_size: f64 => F64,
    step_size_bar: f64 => F64,
    diverging: bool => Bool,
    divergences: i64 => I64,
    reached_max_treedepth: bool => Bool,
    tuning: bool => Bool,
    draw_time: f64 => F64,
}

/// One chain's kept draws; all memory is reserved before the first.
#[derive(Debug, Clone, Default)]
pub struct ChainDraws {
    dim: usize,
    positions: Vec<f64>,
    columns: Columns,
    len: usize,
    /// How many of the draws, from the first, are warm-up.
    pub warmup_draws: usize,
    /// Seconds spent in warm-up.
    pub warmup_time: f64,
    /// Seconds spent after warm-up.
    pub sampling_time: f64,
    /// Gradient evaluations of the whole chain, step size searches and warm-up included.
    pub gradients: u64,
}

impl ChainDraws {
    /// Storage for `draws` draws in `dim` dimensions.
    ///
    /// # Errors
    /// When memory does not suffice.
    pub fn with_capacity(draws: usize, dim: usize) -> Result<Self, TryReserveError> {
        let mut storage = Self {
            dim,
            ..Self::default()
        };
        // A product that overflows asks for usize::MAX and so is refused as too much.
        storage
            .positions
            .try_reserve_exact(draws.saturating_mul(dim))?;
        storage.columns.try_reserve_exact(draws)?;
        Ok(storage)
    }

    /// Keeps a draw.
    pub fn push(&mut self, position: &[f64], stats: &DrawStats) {
        self.positions.extend_from_slice(position);
        self.columns.push(stats);
        self.len += 1;
        self.warmup_draws += usize::from(stats.tuning);
    }

    /// Number of draws kept, warm-up included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no draw is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Dimensions of a draw.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The draws' positions, `len * dim` numbers, draw by draw.
    pub fn positions(&self) -> &[f64] {
        &self.positions
    }

    /// The draws' statistics, each under PyMC's name with `len` values.
    pub fn stats(&self) -> Vec<(&'static str, Column<'_>)> {
        self.columns.named()
    }
}

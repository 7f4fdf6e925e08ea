//! What is kept of each draw: its position and PyMC's statistics, a column each.

use crate::density::DensityError;
use crate::kernels::parts::{Array, Part, array};

/// Keeps of a draw's position what is wanted of it.
pub trait Keep: Send {
    /// Keeps a draw, of warm-up or after it; returns the log density of what was drawn along with it, given the position.
    ///
    /// # Errors
    /// If the model fails at this position.
    fn keep(&mut self, position: &[f64], tuning: bool) -> Result<f64, DensityError>;
}

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

/// The values of one statistic of all chains, one chain after the other.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Real numbers.
    F64(Vec<f64>),
    /// Counts.
    I64(Vec<i64>),
    /// Flags.
    Bool(Vec<bool>),
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
        /// Statistics of a chain's draws, by column.
        #[derive(Debug)]
        struct Columns {
            $($name: Part<$type>,)*
        }

        /// Statistics of all chains, by column.
        #[derive(Debug)]
        struct Arrays {
            $($name: Array<$type>,)*
        }

        impl Columns {
            /// For each chain, and the arrays that they are parts of.
            fn reserve(chains: usize, draws: usize) -> Option<(Arrays, Vec<Self>)> {
                $(
                    let (whole, parts) = array(chains, draws)?;
                    let mut $name = (whole, parts.into_iter());
                )*
                let columns = (0..chains).map(|_| Some(Self { $($name: $name.1.next()?,)* }));
                let columns = columns.collect::<Option<Vec<Self>>>()?;
                Some((Arrays { $($name: $name.0,)* }, columns))
            }

            fn push(&mut self, stats: &DrawStats) {
                $(self.$name.extend(&[stats.$name]);)*
            }

            fn named(&self) -> Vec<(&'static str, Column<'_>)> {
                vec![$((stringify!($name), Column::$kind(&self.$name)),)*]
            }
        }

        impl Arrays {
            fn named(self) -> Option<Vec<(&'static str, Values)>> {
                Some(vec![$((stringify!($name), Values::$kind(self.$name.into_vec()?)),)*])
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
pub struct ChainDraws {
    dim: usize,
    positions: Part<f64>,
    /// What is kept in place of positions.
    keep: Option<Box<dyn Keep>>,
    columns: Columns,
    len: usize,
    /// How many of the draws, from the first, are warm-up.
    pub warmup_draws: usize,
    /// Draws of warm-up that were made or are still to be made, kept or not.
    pub tune: u64,
    /// Seconds spent in warm-up.
    pub warmup_time: f64,
    /// Seconds spent after warm-up.
    pub sampling_time: f64,
    /// Gradient evaluations of the whole chain, step size searches and warm-up included.
    pub gradients: u64,
}

/// The arrays that the draws of several chains are parts of: nothing is copied to get them.
#[derive(Debug)]
pub struct RunArrays {
    positions: Array<f64>,
    stats: Arrays,
}

impl RunArrays {
    /// Positions, `chains * draws * dim` numbers (none where something else is kept of them), and statistics, `chains *
    /// draws` numbers each, zeros behind the draws of a chain that was aborted; `None` while there are chains.
    #[allow(clippy::type_complexity)]
    pub fn into_vecs(self) -> Option<(Vec<f64>, Vec<(&'static str, Values)>)> {
        Some((self.positions.into_vec()?, self.stats.named()?))
    }
}

impl ChainDraws {
    /// Storage for one chain of `draws` draws in `dim` dimensions; `None` if there is no memory for it.
    pub fn with_capacity(draws: usize, dim: usize) -> Option<Self> {
        Self::for_chains(vec![None], draws, dim)?.1.pop()
    }

    /// Storage for several chains, with what each keeps in place of positions; `None` if there is no memory for it.
    pub fn for_chains(
        keep: Vec<Option<Box<dyn Keep>>>,
        draws: usize,
        dim: usize,
    ) -> Option<(RunArrays, Vec<Self>)> {
        let chains = keep.len();
        let kept = if keep.iter().any(Option::is_some) {
            0
        } else {
            dim
        };
        let (positions, parts) = array(chains, draws.checked_mul(kept)?)?;
        let (stats, columns) = Columns::reserve(chains, draws)?;
        let draws = parts.into_iter().zip(columns).zip(keep);
        let draws = draws.map(|((positions, columns), keep)| Self {
            dim,
            positions,
            keep,
            columns,
            len: 0,
            warmup_draws: 0,
            tune: 0,
            warmup_time: 0.0,
            sampling_time: 0.0,
            gradients: 0,
        });
        let draws = draws.collect();
        Some((RunArrays { positions, stats }, draws))
    }

    /// Keeps a draw.
    ///
    /// # Errors
    /// If the model fails at this position.
    pub fn push(&mut self, position: &[f64], stats: &DrawStats) -> Result<(), DensityError> {
        let mut stats = *stats;
        match &mut self.keep {
            Some(keep) => stats.lp += keep.keep(position, stats.tuning)?,
            None => self.positions.extend(position),
        }
        self.columns.push(&stats);
        self.len += 1;
        self.warmup_draws += usize::from(stats.tuning);
        Ok(())
    }

    /// Lets go of what was kept in place of positions, which can then be taken as a whole.
    pub fn release(&mut self) {
        self.keep = None;
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

    /// The draws' positions, `len * dim` numbers, draw by draw; none where something else is kept of them.
    pub fn positions(&self) -> &[f64] {
        &self.positions
    }

    /// The draws' statistics, each under PyMC's name with `len` values.
    pub fn stats(&self) -> Vec<(&'static str, Column<'_>)> {
        self.columns.named()
    }
}

//! When warm-up switches estimators and when it freezes the metric.
//!
//! Warm-up of `T` draws has three parts, as in nuts-rs: an early part of short windows that lets go
//! of the way to the typical set, growing windows that settle the metric, and a final part that
//! only tunes the step size. Two estimators run: the metric comes from the foreground, while the
//! background collects the window's draws; a switch puts the background in front and empties it.

use super::settings::ScheduleSettings;

/// The windows of one chain's warm-up.
#[derive(Debug, Clone)]
pub struct Schedule {
    early_end: u64,
    final_start: u64,
    early_switch: u64,
    window: u64,
    growth: f64,
}

impl Schedule {
    /// Plans a warm-up of `tune` draws.
    pub fn new(tune: u64, settings: &ScheduleSettings) -> Self {
        let share = |fraction: f64| (fraction * tune as f64).ceil() as u64;
        Self {
            early_end: share(settings.early_fraction),
            final_start: tune.saturating_sub(share(settings.final_fraction)),
            early_switch: settings.early_switch,
            window: settings.window,
            growth: settings.growth,
        }
    }

    /// Whether the metric still adapts at `draw`, counted from 0.
    pub fn adapts_metric(&self, draw: u64) -> bool {
        draw < self.final_start
    }

    /// Whether the estimators switch after `draw`, given how many points the background holds.
    ///
    /// The last window before the final part is never cut short: a switch that leaves less than
    /// one window of metric adaptation does not happen.
    pub fn switches(&mut self, draw: u64, background: u64) -> bool {
        let early = draw < self.early_end;
        let window = if early {
            self.early_switch
        } else {
            self.window
        };
        let switches = background >= window && draw + window <= self.final_start;
        if switches && !early {
            self.window = (self.window as f64 * self.growth).ceil() as u64;
        }
        switches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws after which the estimators switch; the background starts with the starting point.
    fn switch_points(tune: u64) -> (Vec<u64>, u64) {
        let mut schedule = Schedule::new(tune, &ScheduleSettings::default());
        let (mut background, mut points) = (1, Vec::new());
        let adapting = (0..tune)
            .take_while(|&draw| schedule.adapts_metric(draw))
            .count() as u64;
        for draw in 0..adapting {
            background += 1;
            if schedule.switches(draw, background) {
                points.push(draw);
                background = 0;
            }
        }
        (points, adapting)
    }

    #[test]
    fn switch_points_of_400_draws() {
        let mut expected: Vec<u64> = (8..=118).step_by(10).collect();
        expected.push(198);
        assert_eq!(switch_points(400), (expected, 340));
    }

    #[test]
    fn switch_points_of_1000_draws() {
        let mut expected: Vec<u64> = (8..=298).step_by(10).collect();
        expected.extend([378, 498]);
        assert_eq!(switch_points(1000), (expected, 850));
    }

    #[test]
    fn a_warmup_without_draws_adapts_nothing() {
        assert_eq!(switch_points(0), (vec![], 0));
        assert_eq!(switch_points(1), (vec![], 0));
    }
}

//! When warm-up switches estimators, when it freezes the metric, and what acceptance it asks for.
//!
//! Warm-up of `T` draws has three parts, as in nuts-rs: an early part of short windows that lets go
//! of the way to the typical set, growing windows that settle the metric, and a final part that
//! only tunes the step size. Two estimators run: the metric comes from the foreground, while the
//! background collects the window's draws; a switch puts the background in front and empties it.
//!
//! While the metric adapts, steps may be larger: with the acceptance d asked for, d^1.75 is the target, as if
//! energy errors were 1.75 times what they may be in the end. That pays for the smaller steps of the final part.

use super::settings::ScheduleSettings;

/// First draw after which the step size is searched anew.
const SEARCH: u64 = 5;
/// Draws with the shortest trajectories.
const SHORT_DRAWS: u64 = 10;
/// Doublings of these.
const SHORT_DEPTH: u32 = 5;
/// Doublings of a trajectory in the first half of warm-up.
const HALF_DEPTH: u32 = 6;
/// Draws of the final part where warm-up ends early, at most.
const FINAL_DRAWS: u64 = 50;
/// Power of the acceptance asked for that is the target while the metric adapts.
const ROUGHNESS: f64 = 1.75;

/// The windows of one chain's warm-up.
#[derive(Debug, Clone)]
pub struct Schedule {
    tune: u64,
    early_end: u64,
    half: u64,
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
            tune,
            early_end: share(settings.early_fraction),
            half: tune.div_ceil(2),
            final_start: tune.saturating_sub(share(settings.final_fraction)),
            early_switch: settings.early_switch,
            window: settings.window,
            growth: settings.growth,
        }
    }

    /// Draws of warm-up.
    pub fn tune(&self) -> u64 {
        self.tune
    }

    /// Draws after which chains that have made so many meet next: at the ends of early windows, as often after them, and
    /// where the metric is frozen.
    pub fn next_meeting(&self, made: u64) -> Option<u64> {
        let next = (made / self.early_switch + 1) * self.early_switch;
        (made < self.final_start).then_some(next.min(self.final_start))
    }

    /// Whether chains have met after so many draws, or are about to.
    pub fn has_met(&self, made: u64) -> bool {
        self.next_meeting(0).is_some_and(|first| made >= first)
    }

    /// Freezes the metric after `made` draws, earlier than planned: a final part follows, no longer than planned.
    pub fn settle(&mut self, made: u64) {
        let planned = self.tune - self.final_start;
        self.tune = made + planned.min(FINAL_DRAWS);
        self.final_start = made;
        self.half = self.half.min(made);
    }

    /// Whether the metric still adapts at `draw`, counted from 0.
    pub fn adapts_metric(&self, draw: u64) -> bool {
        draw < self.final_start
    }

    /// Whether the final part starts with `draw`.
    pub fn settles(&self, draw: u64) -> bool {
        draw == self.final_start
    }

    /// Acceptance that the step size is tuned for by `draw`, where `asked` is that of the draws to come.
    pub fn target(&self, draw: u64, asked: f64) -> f64 {
        if self.adapts_metric(draw) && self.final_start < self.tune {
            libm::pow(asked, ROUGHNESS)
        } else {
            asked
        }
    }

    /// Whether `draw` is in the early part.
    pub fn is_early(&self, draw: u64) -> bool {
        draw < self.early_end
    }

    /// Whether the step size is searched anew after `draw`: in the early part, at draws further and
    /// further apart, since the metric changes less and less.
    pub fn searches(&self, draw: u64) -> bool {
        let draws = draw + 1;
        self.is_early(draw) && draws.is_multiple_of(SEARCH) && (draws / SEARCH).is_power_of_two()
    }

    /// Doublings after which a trajectory of `draw` ends in any case.
    ///
    /// The first metric may be so wrong that trajectories are as long as they may, while a few states
    /// of short ones are enough for a better one. Where no metric makes trajectories short, full ones are
    /// left to the second half of warm-up, whose draws the last metric comes from.
    pub fn max_treedepth(&self, draw: u64) -> Option<u32> {
        match draw {
            ..SHORT_DRAWS => Some(SHORT_DEPTH),
            _ => (draw < self.half).then_some(HALF_DEPTH),
        }
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

    /// Draws after which the estimators switch, if every one enters.
    fn switch_points(tune: u64) -> (Vec<u64>, u64) {
        let mut schedule = Schedule::new(tune, &ScheduleSettings::default());
        let (mut background, mut points) = (0, Vec::new());
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
    fn switch_points_of_200_draws() {
        let mut expected: Vec<u64> = (9..=59).step_by(10).collect();
        expected.push(99);
        assert_eq!(switch_points(200), (expected, 150));
    }

    #[test]
    fn switch_points_of_1000_draws() {
        let mut expected: Vec<u64> = (9..=299).step_by(10).collect();
        expected.extend([339, 399, 489]);
        assert_eq!(switch_points(1000), (expected, 750));
    }

    #[test]
    fn the_step_size_is_searched_ever_less_often() {
        let schedule = Schedule::new(400, &ScheduleSettings::default());
        let searches: Vec<u64> = (0..400).filter(|&draw| schedule.searches(draw)).collect();
        assert_eq!(searches, [4, 9, 19, 39, 79]);
    }

    #[test]
    fn trajectories_are_short_in_the_first_half() {
        let schedule = Schedule::new(200, &ScheduleSettings::default());
        let depths = [0, 9, 10, 99, 100, 199].map(|draw| schedule.max_treedepth(draw));
        assert_eq!(depths, [Some(5), Some(5), Some(6), Some(6), None, None]);
    }

    #[test]
    fn the_final_part_asks_for_the_acceptance_of_the_draws() {
        let schedule = Schedule::new(200, &ScheduleSettings::default());
        let targets = [0, 149, 150, 199].map(|draw| schedule.target(draw, 0.85));
        let rough = 0.85f64.powf(1.75);
        assert!((rough - 0.7525).abs() < 1e-4);
        let expected = [rough, rough, 0.85, 0.85];
        assert!(
            targets
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-12)
        );
        let settling: Vec<u64> = (0..200).filter(|&draw| schedule.settles(draw)).collect();
        assert_eq!(settling, [150]);

        let endless = ScheduleSettings {
            final_fraction: 0.0,
            ..ScheduleSettings::default()
        };
        assert_eq!(Schedule::new(200, &endless).target(199, 0.85), 0.85);
    }

    #[test]
    fn chains_meet_until_the_metric_is_frozen() {
        let schedule = Schedule::new(47, &ScheduleSettings::default());
        let mut made = 0;
        let meetings = std::iter::from_fn(|| {
            made = schedule.next_meeting(made)?;
            Some(made)
        });
        assert_eq!(meetings.collect::<Vec<u64>>(), [10, 20, 30, 35]);
        assert!(!schedule.has_met(9) && schedule.has_met(10));
        let shortest = Schedule::new(1, &ScheduleSettings::default());
        assert_eq!(shortest.next_meeting(0), None);
        assert!(!shortest.has_met(1));
    }

    #[test]
    fn a_final_part_follows_an_early_end() {
        for (tune, expected) in [(200, 120), (1000, 120), (100, 95)] {
            let mut schedule = Schedule::new(tune, &ScheduleSettings::default());
            schedule.settle(70);
            assert_eq!(schedule.tune(), expected);
            assert!(schedule.settles(70) && !schedule.adapts_metric(70));
            assert_eq!(schedule.next_meeting(70), None);
            assert_eq!(schedule.max_treedepth(70), None);
            assert_eq!(schedule.target(70, 0.85), 0.85);
        }
    }

    #[test]
    fn a_warmup_without_draws_adapts_nothing() {
        assert_eq!(switch_points(0), (vec![], 0));
        assert_eq!(switch_points(1), (vec![], 0));
    }
}

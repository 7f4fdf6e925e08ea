//! One NUTS trajectory, as a state machine that asks for one gradient at a time.
//!
//! The trajectory doubles forwards or backwards at random until it turns, diverges or is deep
//! enough (Hoffman and Gelman 2014); its states carry the weights exp(-H) and one of them is drawn
//! (multinomial NUTS, Betancourt 2017, arXiv:1701.02434):
//!
//! - Merging two halves of a subtree, the second half's proposal wins with probability
//!   w_second / (w_first + w_second). Weights are never capped.
//! - Merging a new subtree into the trajectory, its proposal wins with probability
//!   min(1, w_new / w_old): biased towards the far end, yet leaves the distribution invariant.
//! - A span of states from a to b turns if (sum of its velocities) . v < 0 at v_a or v_b. Each
//!   merge checks the whole span and the two that cross the join by one state: first half and
//!   first state of the second, last state of the first and second half.
//! - A subtree with a turning or divergent part is discarded whole, and the trajectory ends.
//!
//! A step is a leapfrog, or for WALNUTS a [`LocalStep`].
//!
//! Subtrees lie on a stack whose depths strictly decrease towards the top, like the ones of a
//! binary counter: a new leaf merges with the top as long as both have the same depth.

use super::hamiltonian::Hamiltonian;
use super::local_step::{LocalStep, Progress};
use super::rng::ChainRng;
use super::state::{Pool, State, StateId};
use super::trajectory::{Outcome, Step, acceptance};
use crate::kernels::leapfrog::{self, End};

/// Fall of the energy, since the start or the last such fall, at which weights are counted anew, before they overflow.
const DEEP_FALL: f64 = 300.0;

/// Neighbouring states of the trajectory, in the order in which they were built.
#[derive(Debug, Clone, Copy)]
struct Subtree {
    first: StateId,
    last: StateId,
    proposal: StateId,
    /// Sum of exp(H_reference - H) over the states.
    weight: f64,
    depth: u32,
}

/// How a merge chooses between two proposals of weights w_before and w_after.
#[derive(Debug, Clone, Copy)]
enum Choice {
    /// The second wins with probability w_after / (w_before + w_after).
    Multinomial,
    /// The second wins with probability min(1, w_after / w_before).
    Progressive,
}

/// A NUTS trajectory and its states.
#[derive(Debug, Clone)]
pub struct Tree {
    pool: Pool,
    max_depth: u32,
    /// The whole trajectory, from its end earliest in time.
    trajectory: Subtree,
    /// Parts of the subtree in construction.
    stack: Vec<Subtree>,
    /// Forwards or backwards in time: where the subtree in construction grows.
    direction: f64,
    /// The state that the step in construction leads to.
    pending: StateId,
    /// How WALNUTS makes a step; NUTS takes one leapfrog.
    local_step: Option<LocalStep>,
    start_energy: f64,
    /// Energy of a state of weight 1.
    reference: f64,
    acceptance_sum: f64,
    /// Steps that `acceptance_sum` is of.
    attempts: u64,
    outcome: Outcome,
}

impl Tree {
    /// A tree whose current state has yet to be set: of NUTS, or with `max_local_error` of WALNUTS.
    pub fn new(dim: usize, max_depth: u32, max_local_error: Option<f64>) -> Self {
        let mut pool = Pool::new(dim);
        let current = pool.take();
        pool.retain(current, 2);
        Self {
            local_step: max_local_error.map(|error| LocalStep::new(error, &mut pool)),
            pool,
            max_depth,
            trajectory: leaf(current, 1.0),
            stack: Vec::with_capacity(max_depth as usize + 1),
            direction: 1.0,
            pending: current,
            start_energy: 0.0,
            reference: 0.0,
            acceptance_sum: 0.0,
            attempts: 0,
            outcome: Outcome::default(),
        }
    }

    /// Between trajectories: the current draw.
    pub fn current(&self) -> &State {
        self.pool.get(self.trajectory.proposal)
    }

    /// Between trajectories: the current draw, to be set or moved.
    pub fn current_mut(&mut self) -> &mut State {
        self.pool.get_mut(self.trajectory.proposal)
    }

    /// What the last trajectory did.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Starts a trajectory at the current draw that ends after `max_depth` doublings.
    pub fn start(&mut self, max_depth: u32, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        self.max_depth = max_depth;
        let current = self.current_mut();
        hamiltonian.begin(current, rng);
        self.start_energy = current.energy;
        self.reference = self.start_energy;
        self.acceptance_sum = 0.0;
        self.attempts = 0;
        self.outcome = Outcome::default();
        self.double(hamiltonian, rng)
    }

    /// The position whose gradient is asked for, and where the gradient goes.
    #[inline]
    pub fn pending(&mut self) -> (&[f64], &mut [f64]) {
        let local = self.local_step.as_ref().map(LocalStep::pending);
        let state = self.pool.get_mut(local.unwrap_or(self.pending));
        (&state.position, &mut state.gradient)
    }

    /// Goes on, given the log density at the pending position.
    #[inline]
    pub fn resume(&mut self, logp: f64, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        self.outcome.n_steps += 1;
        let mut coarse_acceptance = None;
        if let Some(step) = &mut self.local_step {
            match step.resume(logp, &mut self.pool, hamiltonian) {
                Progress::Going => return Step::NeedGradient,
                Progress::Taken => coarse_acceptance = step.coarse_acceptance(),
                failed => {
                    self.attempts += 1;
                    self.acceptance_sum += step.coarse_acceptance().unwrap_or(0.0);
                    self.outcome.diverging = failed == Progress::Failed;
                    self.pool.release(self.pending);
                    return self.discard_subtree();
                }
            }
        } else {
            let (from, to) = self.pool.pair(self.end(), self.pending);
            hamiltonian.kick(from, to, self.direction, logp);
        }
        let energy = self.pool.get(self.pending).energy;
        let energy_error = energy - self.start_energy;
        self.outcome.record(energy_error);
        self.attempts += 1;
        if hamiltonian.diverges(energy_error) {
            self.pool.release(self.pending);
            self.outcome.diverging = true;
            return self.discard_subtree();
        }
        let weight = self.weigh(energy);
        self.acceptance_sum += coarse_acceptance.unwrap_or_else(|| {
            if self.reference == self.start_energy {
                weight.min(1.0)
            } else {
                acceptance(energy_error)
            }
        });

        self.pool.retain(self.pending, 2);
        let mut subtree = leaf(self.pending, weight);
        while let Some(&before) = self.stack.last()
            && before.depth == subtree.depth
        {
            self.stack.pop();
            if self.turns(&before, &subtree, self.direction) {
                self.drop_subtree(&before);
                self.drop_subtree(&subtree);
                return self.discard_subtree();
            }
            subtree = self.merge(before, subtree, Choice::Multinomial, rng.uniform());
        }
        if subtree.depth < self.trajectory.depth {
            self.stack.push(subtree);
            self.advance(hamiltonian);
            return Step::NeedGradient;
        }
        self.join(subtree, hamiltonian, rng)
    }

    /// The weight of a state of this energy; weights of states far above it may become 0.
    #[inline]
    fn weigh(&mut self, energy: f64) -> f64 {
        let fall = self.reference - energy;
        if fall > DEEP_FALL {
            self.reference = energy;
            let share = libm::exp(-fall);
            self.trajectory.weight *= share;
            self.stack
                .iter_mut()
                .for_each(|subtree| subtree.weight *= share);
            return 1.0;
        }
        libm::exp(fall)
    }

    /// Begins a subtree as large as the trajectory on a random side of it.
    fn double(&mut self, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        self.direction = rng.direction();
        self.advance(hamiltonian);
        Step::NeedGradient
    }

    /// Begins the step to the next state.
    #[inline]
    fn advance(&mut self, hamiltonian: &Hamiltonian) {
        self.pending = self.pool.take();
        let (from, to) = (self.end(), self.pending);
        if let Some(step) = &mut self.local_step {
            step.begin(from, to, self.direction, &mut self.pool, hamiltonian);
        } else {
            let (from, to) = self.pool.pair(from, to);
            hamiltonian.drift(from, to, self.direction);
        }
    }

    /// The state from which the subtree in construction grows.
    #[inline]
    fn end(&self) -> StateId {
        match self.stack.last() {
            Some(subtree) => subtree.last,
            None if self.direction > 0.0 => self.trajectory.last,
            None => self.trajectory.first,
        }
    }

    /// Merges a finished subtree into the trajectory and goes on or ends.
    fn join(&mut self, subtree: Subtree, hamiltonian: &Hamiltonian, rng: &mut ChainRng) -> Step {
        let forwards = self.direction > 0.0;
        let mut old = self.trajectory;
        if !forwards {
            std::mem::swap(&mut old.first, &mut old.last); // now in the order of building
        }
        let turns = self.turns(&old, &subtree, self.direction);
        self.trajectory = self.merge(old, subtree, Choice::Progressive, rng.uniform());
        if !forwards {
            std::mem::swap(&mut self.trajectory.first, &mut self.trajectory.last);
        }
        self.outcome.tree_depth = self.trajectory.depth;
        self.outcome.reached_max_treedepth = !turns && self.trajectory.depth == self.max_depth;
        if turns || self.outcome.reached_max_treedepth {
            return self.finish();
        }
        self.double(hamiltonian, rng)
    }

    /// Joins two adjacent subtrees; `uniform` decides between their proposals.
    #[inline]
    fn merge(&mut self, before: Subtree, after: Subtree, choice: Choice, uniform: f64) -> Subtree {
        let weight = before.weight + after.weight;
        let rival = match choice {
            Choice::Multinomial => weight,
            Choice::Progressive => before.weight,
        };
        let after_wins = uniform * rival < after.weight;
        let (proposal, loser) = if after_wins {
            (after.proposal, before.proposal)
        } else {
            (before.proposal, after.proposal)
        };
        self.pool.release(loser);
        self.pool.release(before.last);
        self.pool.release(after.first);
        Subtree {
            first: before.first,
            last: after.last,
            proposal,
            weight,
            depth: before.depth + 1,
        }
    }

    /// Whether two adjacent subtrees turn together: the whole, and the two spans across the join.
    #[inline]
    fn turns(&self, before: &Subtree, after: &Subtree, direction: f64) -> bool {
        let end = |id: StateId| {
            let state = self.pool.get(id);
            End {
                sum: &state.velocity_sum,
                velocity: &state.velocity,
            }
        };
        let (mut first, mut second) = (*before, *after);
        if direction < 0.0 {
            for part in [&mut first, &mut second] {
                std::mem::swap(&mut part.first, &mut part.last);
            }
            std::mem::swap(&mut first, &mut second);
        }
        if before.depth == 0 {
            // With a single state on either side, a span across the join is the whole.
            leapfrog::turns(end(first.first), end(second.last))
        } else {
            let [a, b] = [end(first.first), end(first.last)];
            let [c, d] = [end(second.first), end(second.last)];
            leapfrog::join_turns([a, b, c, d])
        }
    }

    fn drop_subtree(&mut self, subtree: &Subtree) {
        for id in [subtree.first, subtree.last, subtree.proposal] {
            self.pool.release(id);
        }
    }

    /// Ends the trajectory without the subtree in construction.
    fn discard_subtree(&mut self) -> Step {
        while let Some(subtree) = self.stack.pop() {
            self.drop_subtree(&subtree);
        }
        self.outcome.tree_depth = self.trajectory.depth + 1;
        self.finish()
    }

    /// Makes the proposal the current draw.
    fn finish(&mut self) -> Step {
        let draw = self.trajectory.proposal;
        self.pool.retain(draw, 2);
        self.pool.release(self.trajectory.first);
        self.pool.release(self.trajectory.last);
        self.trajectory = leaf(draw, 1.0);
        let outcome = &mut self.outcome;
        outcome.acceptance_rate = self.acceptance_sum / self.attempts as f64;
        outcome.energy_error = self.pool.get(draw).energy - self.start_energy;
        Step::Done
    }

    /// Number of states lent out.
    #[cfg(test)]
    pub fn states_in_use(&self) -> usize {
        self.pool.in_use()
    }
}

fn leaf(state: StateId, weight: f64) -> Subtree {
    Subtree {
        first: state,
        last: state,
        proposal: state,
        weight,
        depth: 0,
    }
}

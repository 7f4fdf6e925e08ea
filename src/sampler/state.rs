//! Points of a trajectory, and the pool that lends them out so that no step allocates.

/// A point in phase space, with what was computed there.
#[derive(Debug, Clone)]
pub struct State {
    /// Position x in the density's own coordinates.
    pub position: Vec<f64>,
    /// Gradient of the log density with respect to x.
    pub gradient: Vec<f64>,
    /// Gradient with respect to the whitened coordinates y; not kept under a diagonal metric, which has it in passing.
    pub whitened_gradient: Vec<f64>,
    /// Velocity v = dy/dt; with a unit mass matrix it is the momentum too.
    pub velocity: Vec<f64>,
    /// Running sum of the velocities along the trajectory, up to a constant: for states a before b
    /// in time, the velocities from a to b, both included, sum to `b.sum - a.sum + a.velocity`.
    pub velocity_sum: Vec<f64>,
    /// Log density at x.
    pub logp: f64,
    /// Total energy |v|^2 / 2 - logp.
    pub energy: f64,
    /// Leapfrog steps from the trajectory's start, negative backwards in time.
    pub index: i64,
}

impl State {
    /// A state without contents.
    pub fn new(dim: usize) -> Self {
        let zeros = || vec![0.0; dim];
        Self {
            position: zeros(),
            gradient: zeros(),
            whitened_gradient: zeros(),
            velocity: zeros(),
            velocity_sum: zeros(),
            logp: f64::NAN,
            energy: f64::NAN,
            index: 0,
        }
    }
}

/// Names a state of a [`Pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateId(usize);

/// States with reference counts; a released state is lent out again. It grows to the most states
/// ever in use at once (about three for each level of the tree) and then allocates no more.
#[derive(Debug, Clone)]
pub struct Pool {
    dim: usize,
    states: Vec<State>,
    references: Vec<u32>,
    free: Vec<StateId>,
}

impl Pool {
    /// An empty pool of states in `dim` dimensions.
    pub fn new(dim: usize) -> Self {
        Self {
            dim,
            states: Vec::new(),
            references: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Lends out a state with old contents and one reference.
    #[inline]
    pub fn take(&mut self) -> StateId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.states.push(State::new(self.dim));
            self.references.push(0);
            StateId(self.states.len() - 1)
        });
        self.references[id.0] = 1;
        id
    }

    /// Adds `count` references.
    #[inline]
    pub fn retain(&mut self, id: StateId, count: u32) {
        self.references[id.0] += count;
    }

    /// Drops one reference.
    #[inline]
    pub fn release(&mut self, id: StateId) {
        let count = &mut self.references[id.0];
        *count -= 1;
        if *count == 0 {
            self.free.push(id);
        }
    }

    /// A state.
    #[inline]
    pub fn get(&self, id: StateId) -> &State {
        &self.states[id.0]
    }

    /// A state to write to.
    #[inline]
    pub fn get_mut(&mut self, id: StateId) -> &mut State {
        &mut self.states[id.0]
    }

    /// One state to read and another to write to.
    #[inline]
    pub fn pair(&mut self, from: StateId, to: StateId) -> (&State, &mut State) {
        let [from, to] = self
            .states
            .get_disjoint_mut([from.0, to.0])
            .expect("two different states of this pool");
        (from, to)
    }

    /// Number of states lent out.
    #[cfg(test)]
    pub fn in_use(&self) -> usize {
        self.states.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_returns_with_its_last_reference() {
        let mut pool = Pool::new(2);
        let a = pool.take();
        pool.retain(a, 1);
        pool.release(a);
        assert_eq!(pool.in_use(), 1);
        let b = pool.take();
        assert_ne!(a, b);
        pool.release(a);
        assert_eq!(pool.take(), a);
        assert_eq!(pool.in_use(), 2);
    }
}

//! What a leapfrog step does to vectors, in as few passes over them as there are gradients in between: two.
//!
//! Products and sums are rounded each by itself and in a fixed order, so that every instruction set gives the bits of the plain loops that tests hold
//! them against.

use super::isa::{Isa, per_isa};
use super::simd::{LANES, Lanes};
use super::sum::across;

/// A state in phase space, as far as a step starts from it; all slices are of the same length.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// x.
    pub position: &'a [f64],
    /// v.
    pub velocity: &'a [f64],
    /// Gradient with respect to x.
    pub gradient: &'a [f64],
}

/// The first half of a step of length `step` under the diagonal metric `scale`: v + step/2 scale g to `velocity`, and x + step scale v
/// with this v to `position`.
pub fn drift(
    scale: &[f64],
    step: f64,
    from: Origin<'_>,
    velocity: &mut [f64],
    position: &mut [f64],
) {
    drift_on(Isa::detect(), scale, step, from, velocity, position);
}

fn drift_on(
    isa: Isa,
    scale: &[f64],
    step: f64,
    from: Origin<'_>,
    velocity: &mut [f64],
    position: &mut [f64],
) {
    let kernel = per_isa!(fn(
        scale: &[f64],
        step: f64,
        from: Origin<'_>,
        velocity: &mut [f64],
        position: &mut [f64],
    ) {
        drift_lanes::<V>(scale, step, from, velocity, position);
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel(scale, step, from, velocity, position) };
}

#[inline(always)]
fn drift_lanes<V: Lanes>(
    scale: &[f64],
    step: f64,
    from: Origin<'_>,
    velocity: &mut [f64],
    position: &mut [f64],
) {
    let n = velocity.len();
    let half = 0.5 * step;
    let (velocity, v_rest) = velocity.as_chunks_mut::<LANES>();
    let blocks = velocity.len();
    let (position, x_rest) = halves_mut(position, n, blocks);
    let (from_x, from_x_rest) = halves(from.position, n, blocks);
    let (from_v, from_v_rest) = halves(from.velocity, n, blocks);
    let (from_g, from_g_rest) = halves(from.gradient, n, blocks);
    let (scale, scale_rest) = halves(scale, n, blocks);
    let (halves_of, steps) = (V::splat(half), V::splat(step));
    for i in 0..blocks {
        let s = V::from_array(scale[i]);
        let force = s * V::from_array(from_g[i]);
        let v = V::from_array(from_v[i]) + halves_of * force;
        velocity[i] = v.to_array();
        position[i] = (V::from_array(from_x[i]) + steps * v * s).to_array();
    }
    for i in 0..n - blocks * LANES {
        let s = scale_rest[i];
        let v = from_v_rest[i] + half * (s * from_g_rest[i]);
        v_rest[i] = v;
        x_rest[i] = from_x_rest[i] + step * v * s;
    }
}

/// A state in phase space that a step ends in; all slices are of the same length.
#[derive(Debug)]
pub struct Goal<'a> {
    /// v after half a kick, to be kicked again.
    pub velocity: &'a mut [f64],
    /// Running sum of velocities, to be written.
    pub sum: &'a mut [f64],
}

/// The second half of a step under a metric that pulls gradients by `scale`, or where that is none has pulled `gradient` already: v + `half` scale g
/// in place of v; and `from_sum + direction w` to the sum, where w is the new v forwards in time (`direction` above 0) and `from_velocity` backwards.
/// Returns |v|^2.
pub fn kick(
    scale: Option<&[f64]>,
    gradient: &[f64],
    [half, direction]: [f64; 2],
    [from_velocity, from_sum]: [&[f64]; 2],
    to: Goal<'_>,
) -> f64 {
    let from = [from_velocity, from_sum];
    kick_on(Isa::detect(), scale, gradient, [half, direction], from, to)
}

fn kick_on(
    isa: Isa,
    scale: Option<&[f64]>,
    gradient: &[f64],
    factors: [f64; 2],
    from: [&[f64]; 2],
    to: Goal<'_>,
) -> f64 {
    let kernel = per_isa!(fn(
        scale: Option<&[f64]>,
        gradient: &[f64],
        factors: [f64; 2],
        from: [&[f64]; 2],
        to: Goal<'_>,
    ) -> f64 {
        match (scale, factors[1] > 0.0) {
            (Some(scale), true) => kick_lanes::<V, true, true>(scale, gradient, factors, from, to),
            (Some(scale), false) => kick_lanes::<V, true, false>(scale, gradient, factors, from, to),
            (None, true) => kick_lanes::<V, false, true>(gradient, gradient, factors, from, to),
            (None, false) => kick_lanes::<V, false, false>(gradient, gradient, factors, from, to),
        }
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel(scale, gradient, factors, from, to) }
}

#[inline(always)]
fn kick_lanes<V: Lanes, const SCALED: bool, const FORWARDS: bool>(
    scale: &[f64],
    gradient: &[f64],
    [half, direction]: [f64; 2],
    [from_velocity, from_sum]: [&[f64]; 2],
    to: Goal<'_>,
) -> f64 {
    let n = to.velocity.len();
    let (velocity, v_rest) = to.velocity.as_chunks_mut::<LANES>();
    let blocks = velocity.len();
    let (sum, sum_rest) = halves_mut(to.sum, n, blocks);
    let (scale, scale_rest) = halves(scale, n, blocks);
    let (gradient, g_rest) = halves(gradient, n, blocks);
    let (from_v, from_v_rest) = halves(from_velocity, n, blocks);
    let (from_sum, from_sum_rest) = halves(from_sum, n, blocks);
    let (halves_of, directions) = (V::splat(half), V::splat(direction));
    let mut squares = V::splat(0.0);
    for i in 0..blocks {
        let g = V::from_array(gradient[i]);
        let force = if SCALED {
            V::from_array(scale[i]) * g
        } else {
            g
        };
        let v = V::from_array(velocity[i]) + halves_of * force;
        let gained = if FORWARDS {
            v
        } else {
            V::from_array(from_v[i])
        };
        velocity[i] = v.to_array();
        sum[i] = (V::from_array(from_sum[i]) + directions * gained).to_array();
        squares += v * v;
    }
    let mut squares = squares.to_array();
    for i in 0..n - blocks * LANES {
        let g = g_rest[i];
        let force = if SCALED { scale_rest[i] * g } else { g };
        let v = v_rest[i] + half * force;
        let gained = if FORWARDS { v } else { from_v_rest[i] };
        v_rest[i] = v;
        sum_rest[i] = from_sum_rest[i] + direction * gained;
        squares[i] += v * v;
    }
    across(squares)
}

/// A state at the end of a span, as far as it tells whether the span turns.
#[derive(Debug, Clone, Copy)]
pub struct End<'a> {
    /// Running sum of velocities.
    pub sum: &'a [f64],
    /// Velocity.
    pub velocity: &'a [f64],
}

/// Whether the span from state `a` to state `b`, in time, turns: whether its velocities sum to a vector that points against the velocity at an end.
pub fn turns(a: End<'_>, b: End<'_>) -> bool {
    turns_on(Isa::detect(), a, b)
}

fn turns_on(isa: Isa, a: End<'_>, b: End<'_>) -> bool {
    let kernel = per_isa!(fn(a: End<'_>, b: End<'_>) -> bool {
        turns_lanes::<V, 1, 2>([a, b], [[0, 1]])
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel(a, b) }
}

/// The same of two neighbouring spans, from a to b and from c to d: of both together and of each with the state of the other that is next to it.
pub fn join_turns(ends: [End<'_>; 4]) -> bool {
    join_turns_on(Isa::detect(), ends)
}

fn join_turns_on(isa: Isa, ends: [End<'_>; 4]) -> bool {
    let kernel = per_isa!(fn(ends: [End<'_>; 4]) -> bool {
        turns_lanes::<V, 3, 4>(ends, [[0, 3], [0, 2], [1, 3]])
    })[isa as usize];
    // SAFETY: the processor has `isa`.
    unsafe { kernel(ends) }
}

/// Whether any of the spans turns, each given by the numbers of its ends.
///
/// Loops over indices: the closures of iterators and `map` would be functions of their own, compiled for the baseline.
#[inline(always)]
#[allow(clippy::needless_range_loop)]
fn turns_lanes<V: Lanes, const SPANS: usize, const ENDS: usize>(
    ends: [End<'_>; ENDS],
    spans: [[usize; 2]; SPANS],
) -> bool {
    let n = ends[0].sum.len();
    let blocks = n / LANES;
    let nothing: (&[[f64; LANES]], &[f64]) = (&[], &[]);
    let (mut sums, mut velocities) = ([nothing; ENDS], [nothing; ENDS]);
    for k in 0..ENDS {
        sums[k] = halves(ends[k].sum, n, blocks);
        velocities[k] = halves(ends[k].velocity, n, blocks);
    }
    let mut products = [[V::splat(0.0); 2]; SPANS];
    for i in 0..blocks {
        for k in 0..SPANS {
            let [a, b] = spans[k];
            let first = V::from_array(velocities[a].0[i]);
            let sum = V::from_array(sums[b].0[i]) - V::from_array(sums[a].0[i]) + first;
            products[k][0] += sum * first;
            products[k][1] += sum * V::from_array(velocities[b].0[i]);
        }
    }
    let mut lanes = [[[0.0; LANES]; 2]; SPANS];
    for k in 0..SPANS {
        lanes[k] = [products[k][0].to_array(), products[k][1].to_array()];
    }
    for i in 0..n - blocks * LANES {
        for k in 0..SPANS {
            let [a, b] = spans[k];
            let first = velocities[a].1[i];
            let sum = sums[b].1[i] - sums[a].1[i] + first;
            lanes[k][0][i] += sum * first;
            lanes[k][1][i] += sum * velocities[b].1[i];
        }
    }
    let mut turns = false;
    for [first, last] in lanes {
        turns |= across(first) < 0.0 || across(last) < 0.0;
    }
    turns
}

/// `n` numbers as so many blocks and the rest.
#[inline(always)]
fn halves(x: &[f64], n: usize, blocks: usize) -> (&[[f64; LANES]], &[f64]) {
    let (full, rest) = x[..n].as_chunks::<LANES>();
    (&full[..blocks], &rest[..n - blocks * LANES])
}

/// The same to write to.
#[inline(always)]
fn halves_mut(x: &mut [f64], n: usize, blocks: usize) -> (&mut [[f64; LANES]], &mut [f64]) {
    let (full, rest) = x[..n].as_chunks_mut::<LANES>();
    (&mut full[..blocks], &mut rest[..n - blocks * LANES])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A sum in the order of the lanes.
    fn striped(terms: impl Iterator<Item = f64>) -> f64 {
        let mut lanes = [0.0; LANES];
        terms
            .enumerate()
            .for_each(|(i, term)| lanes[i % LANES] += term);
        across(lanes)
    }

    /// Whether a span turns.
    fn plainly(a: End<'_>, b: End<'_>) -> bool {
        let along = |v: &[f64]| {
            striped((0..v.len()).map(|i| (b.sum[i] - a.sum[i] + a.velocity[i]) * v[i])) < 0.0
        };
        along(a.velocity) || along(b.velocity)
    }

    /// So many vectors of up to 40 numbers.
    fn vectors(count: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
        (0usize..40).prop_flat_map(move |n| {
            let vector = prop::collection::vec(-3.0f64..3.0, n);
            prop::collection::vec(vector, count)
        })
    }

    proptest! {
        #[test]
        fn a_drift_has_the_bits_of_plain_loops(x in vectors(4), step in -2.0f64..2.0) {
            let n = x[0].len();
            let from = Origin { position: &x[0], velocity: &x[1], gradient: &x[2] };
            let scale = &x[3];
            for isa in Isa::available() {
                let (mut velocity, mut position) = (vec![f64::NAN; n], vec![f64::NAN; n]);
                drift_on(isa, scale, step, from, &mut velocity, &mut position);
                for i in 0..n {
                    let v = x[1][i] + 0.5 * step * (scale[i] * x[2][i]);
                    prop_assert_eq!(velocity[i].to_bits(), v.to_bits());
                    let to = x[0][i] + step * v * scale[i];
                    prop_assert_eq!(position[i].to_bits(), to.to_bits());
                }
            }
        }

        #[test]
        fn a_kick_has_the_bits_of_plain_loops(
            x in vectors(5), half in -2.0f64..2.0, direction in prop::sample::select(vec![1.0, -1.0, 0.25]), scaled: bool,
        ) {
            let n = x[0].len();
            let scale = scaled.then_some(&x[0][..]);
            for isa in Isa::available() {
                let (mut velocity, mut sum) = (x[1].clone(), vec![f64::NAN; n]);
                let goal = Goal { velocity: &mut velocity, sum: &mut sum };
                let squares = kick_on(isa, scale, &x[2], [half, direction], [&x[3], &x[4]], goal);
                let force = |i: usize| if scaled { x[0][i] * x[2][i] } else { x[2][i] };
                let v: Vec<f64> = (0..n).map(|i| x[1][i] + half * force(i)).collect();
                for i in 0..n {
                    let gained = if direction > 0.0 { v[i] } else { x[3][i] };
                    prop_assert_eq!(velocity[i].to_bits(), v[i].to_bits());
                    prop_assert_eq!(sum[i].to_bits(), (x[4][i] + direction * gained).to_bits());
                }
                prop_assert_eq!(squares.to_bits(), striped(v.iter().map(|v| v * v)).to_bits());
            }
        }

        #[test]
        fn spans_turn_as_plain_loops_say(x in vectors(8)) {
            let ends: [End<'_>; 4] =
                std::array::from_fn(|k| End { sum: &x[2 * k], velocity: &x[2 * k + 1] });
            let [a, b, c, d] = ends;
            let joined = plainly(a, d) || plainly(a, c) || plainly(b, d);
            for isa in Isa::available() {
                prop_assert_eq!(turns_on(isa, a, b), plainly(a, b));
                prop_assert_eq!(join_turns_on(isa, ends), joined);
            }
        }
    }
}

//! Vector arithmetic; sums in a fixed order, so that their bits do not depend on the machine.

const STRIPES: usize = 8;

/// Adds the stripes pairwise, always in the same order.
#[inline]
fn fold(s: [f64; STRIPES]) -> f64 {
    ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

/// The dot product of two vectors of the same length.
#[inline]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_blocks, a_rest) = a.as_chunks::<STRIPES>();
    let (b_blocks, b_rest) = b.as_chunks::<STRIPES>();
    let mut stripes = [0.0; STRIPES];
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for i in 0..STRIPES {
            stripes[i] += a[i] * b[i];
        }
    }
    for (stripe, (a, b)) in stripes.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *stripe += a * b;
    }
    fold(stripes)
}

/// Writes `y + a x` to `out`.
#[inline]
pub fn add_scaled(y: &[f64], a: f64, x: &[f64], out: &mut [f64]) {
    for ((out, y), x) in out.iter_mut().zip(y).zip(x) {
        *out = y + a * x;
    }
}

/// Adds `a x` to `y`.
#[inline]
pub fn accumulate(y: &mut [f64], a: f64, x: &[f64]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_equals_the_plain_sum_at_every_length() {
        for n in 0..40 {
            let a: Vec<f64> = (0..n).map(|i| i as f64 - 7.0).collect();
            let b: Vec<f64> = (0..n).map(|i| (3 * i) as f64 + 1.0).collect();
            let expected: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(dot(&a, &b), expected, "length {n}"); // small integers: exact in any order
        }
    }
}

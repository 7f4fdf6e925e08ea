//! Bessel functions of any real order: J, and I and K scaled by exp(-|x|) and exp(x).

use std::f64::consts::{FRAC_2_PI, PI};

use super::exp::exp;
use super::gamma::gamma;
use super::hyperbolic::sinh;
use super::incomplete_gamma::power_term;
use super::pow::pow;
use super::quadrature::total;
use super::trig::{cos, sin, sin_cos_pi};
use crate::kernels::simd::{LANES, LaneMask, Lanes};
use std::cmp::Ordering;

/// Orders beyond this, whose recurrences would take long, give NaN.
const LARGEST_ORDER: f64 = 1e5;

/// 2 cosh(mu t) exp(decay)
#[inline(always)]
fn k_integrand<V: Lanes>(mu: f64, t: V, decay: V) -> V {
    exp(t.mul_add(V::splat(mu), decay)) + exp(t.mul_add(V::splat(-mu), decay))
}

/// `[exp(x) K_v(x), exp(x) K_{v+1}(x)]` for v >= 0 and x > 0.
///
/// For |mu| <= 1/2 the trapezoidal rule on K_mu(x) = int_0^inf exp(-x cosh t) cosh(mu t) dt, which converges
/// exponentially; from there the recurrence in the order, which is stable upwards.
#[inline(always)]
fn k_pair<V: Lanes>(v: f64, x: f64) -> [f64; 2] {
    let n = v.round();
    let mu = v - n;
    let step = f64::min(0.15, 0.5 / x.sqrt());
    let eight = V::from_array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let mut sums = [V::splat(0.0); 2];
    let mut first = 0.0;
    loop {
        let t = (eight + first) * step;
        let s = sinh(t * 0.5);
        // -2 x sinh(t / 2)^2; 2 x itself may overflow.
        let decay = (s * x) * (s * -2.0);
        let weight = t.eq(V::splat(0.0)).select(V::splat(0.5), V::splat(1.0));
        let low = weight * k_integrand(mu, t, decay);
        let high = weight * k_integrand(mu + 1.0, t, decay);
        sums = [sums[0] + low, sums[1] + high];
        first += LANES as f64;
        // The smallest term of the chunk is its last.
        let last = high.to_array()[LANES - 1];
        if last.partial_cmp(&(1e-18 * sums[1].to_array()[0])) != Some(Ordering::Greater) {
            break;
        }
    }
    let [mut low, mut high] = sums.map(|s| total(s) * (0.5 * step));
    for k in 1..=n as usize {
        if high == f64::INFINITY {
            return [high, high];
        }
        (low, high) = (high, low + 2.0 * (mu + k as f64) / x * high);
    }
    [low, high]
}

/// exp(x) K_v(x), to 3e-15 relative for orders to 150; infinite at 0, NaN below.
#[inline(always)]
pub fn kve<V: Lanes>([v, x]: [f64; 2]) -> f64 {
    match v.abs() < LARGEST_ORDER && x >= 0.0 {
        true if x == 0.0 => f64::INFINITY,
        true if x == f64::INFINITY => 0.0,
        true => k_pair::<V>(v.abs(), x)[0],
        false => f64::NAN,
    }
}

/// d/dx exp(x) K_v(x), to 2e-15 of either of the terms that cancel for large x.
#[inline(always)]
pub fn kve_dx<V: Lanes>([v, x]: [f64; 2]) -> f64 {
    match v.abs() < LARGEST_ORDER && x >= 0.0 {
        true if x == 0.0 => f64::NEG_INFINITY,
        true if x == f64::INFINITY => 0.0,
        true => {
            let [low, high] = k_pair::<V>(v.abs(), x);
            match high < f64::INFINITY {
                true => low * (1.0 + v.abs() / x) - high,
                false => f64::NEG_INFINITY,
            }
        }
        false => f64::NAN,
    }
}

/// exp(-x) I_v(x) for v >= 0 and x > 0.
fn i_positive(v: f64, x: f64) -> f64 {
    if x <= 30.0 {
        // The power series, all of whose terms are positive.
        let quarter = 0.25 * x * x;
        let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
        while term > 1e-17 * sum {
            k += 1.0;
            term *= quarter / (k * (v + k));
            sum += term;
        }
        return power_term(v, 0.5 * x) * exp(-0.5 * x) * sum;
    }
    if x >= 25.0 + 0.5 * v * v {
        return i_far(v, x);
    }
    // Ratios of neighbouring orders, stable downwards from their limit; their product leads from the order in
    // [0, 1) to v.
    let n = v.floor();
    let mu = v - n;
    let last = n + 20.0 + (7.0 * x.sqrt()).floor();
    let at = |k: f64| mu + k;
    let mut ratio = x / (at(last) + 0.5 + (at(last) + 1.5).hypot(x));
    let mut product = 1.0;
    let mut k = last;
    while k > 0.0 {
        ratio = x / (x.mul_add(ratio, 2.0 * at(k)));
        k -= 1.0;
        if k < n {
            product *= ratio;
        }
    }
    product * i_far(mu, x)
}

/// exp(-x) I_v(x) by Hankel's expansion, for x from 25 + v**2 / 2 on.
fn i_far(v: f64, x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
    while f64::abs(term) > 1e-17 && k < 60.0 {
        k += 1.0;
        let odd = 2.0 * k - 1.0;
        term *= (odd - 2.0 * v) * (odd + 2.0 * v) / (8.0 * k * x);
        sum += term;
    }
    sum / (2.0 * PI * x).sqrt()
}

/// exp(-|x|) I_v(x), to 3e-15 relative for orders to 150; NaN for x < 0 unless v is an integer.
#[inline(always)]
pub fn ive<V: Lanes>([v, x]: [f64; 2]) -> f64 {
    let whole = v.trunc() == v;
    if v.abs() >= LARGEST_ORDER || v.is_nan() || x.is_nan() || (x < 0.0 && !whole) {
        return f64::NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return match x == 0.0 {
            true if v == 0.0 => 1.0,
            true if v < 0.0 && !whole => f64::INFINITY,
            _ => 0.0,
        };
    }
    let y = i_positive(v.abs(), x.abs());
    if whole {
        return if x < 0.0 && v % 2.0 != 0.0 { -y } else { y };
    }
    match v < 0.0 {
        // I_{-v} = I_v + 2 / pi sin(v pi) K_v
        true => {
            let sine = sin_cos_pi(-v).0;
            y + FRAC_2_PI * sine * k_pair::<V>(-v, x)[0] * exp(-2.0 * x)
        }
        false => y,
    }
}

/// d/dx exp(-|x|) I_v(x), to 2e-15 of either of the terms that cancel for large x; the mean of both sides at x = 0.
#[inline(always)]
pub fn ive_dx<V: Lanes>([v, x]: [f64; 2]) -> f64 {
    let a = x.abs();
    let y = match x == 0.0 {
        // Of the functions that are finite there, only that of order 1 (and -1) has a slope.
        true => match v.abs() {
            1.0 => 0.5,
            v if v == 0.0 || v > 1.0 => 0.0,
            _ => f64::INFINITY,
        },
        false => {
            let mut pair = [0.0; 2];
            for (k, value) in pair.iter_mut().enumerate() {
                *value = ive::<V>([v + k as f64, a]);
            }
            pair[1] + (v / a - 1.0) * pair[0]
        }
    };
    match x < 0.0 {
        true if v.trunc() != v => f64::NAN,
        true if v % 2.0 == 0.0 => -y,
        _ => y,
    }
}

/// J_v(x) for x > 0.
fn j_positive(v: f64, x: f64) -> f64 {
    let quarter = 0.25 * x * x;
    if (v >= 0.0 && quarter <= v + 1.0) || x < 1e-3 {
        // The power series, which hardly cancels here.
        let (mut term, mut sum, mut k) = (1.0, 1.0, 0.0);
        while f64::abs(term) > 1e-17 * f64::abs(sum) {
            k += 1.0;
            term *= -quarter / (k * (v + k));
            sum += term;
        }
        return sum
            * match v >= 0.0 {
                true => power_term(v, 0.5 * x) * exp(0.5 * x),
                false => pow(0.5 * x, v) / gamma(v + 1.0),
            };
    }
    if x >= 25.0 + 0.5 * v * v {
        return j_far(v, x);
    }
    j_between(v, x)
}

/// J_v(x) by Hankel's expansion, for x from 25 + v**2 / 2 on.
fn j_far(v: f64, x: f64) -> f64 {
    // Every second term belongs to the sine; within each, signs alternate.
    let (mut term, mut k) = (1.0, 0.0);
    let mut sums = [1.0, 0.0, 0.0, 0.0];
    let mut place = 0;
    while f64::abs(term) > 1e-17 && k < 60.0 {
        k += 1.0;
        let odd = 2.0 * k - 1.0;
        term *= (2.0 * v - odd) * (2.0 * v + odd) / (8.0 * k * x);
        place = (place + 1) % 4;
        sums[place] += term;
    }
    let (p, q) = (sums[0] - sums[2], sums[1] - sums[3]);
    // cos and sin of x - (v / 2 + 1 / 4) pi
    let (s, c) = (sin(x), cos(x));
    let (shift_s, shift_c) = sin_cos_pi(0.5 * v + 0.25);
    let cosine = c * shift_c + s * shift_s;
    let sine = s * shift_c - c * shift_s;
    (FRAC_2_PI / x).sqrt() * (p * cosine - q * sine)
}

/// J_v(x) by Miller's recurrence from high orders down, normalised by
/// (x/2)**mu = sum of (mu + 2 k) Gamma(mu + k) / k! J_{mu + 2 k}(x), mu the order in [0, 1).
fn j_between(v: f64, x: f64) -> f64 {
    let n = v.floor();
    let mu = v - n;
    let most = f64::max(n, x);
    let pairs = (0.5 * (most + 40.0 + 12.0 * most.cbrt())).ceil();
    let mut k = 2.0 * pairs;
    // Values of the orders mu + k + 1 and mu + k; Gamma(mu + k / 2) / (k / 2)! up to a factor.
    let (mut above, mut here) = (0.0, 1e-200);
    let (mut weight, mut sum, mut wanted) = (1.0, 0.0, 0.0);
    loop {
        if k == n {
            wanted = here;
        }
        if k % 2.0 == 0.0 {
            let half = 0.5 * k;
            if k == 0.0 {
                sum += weight * here;
                break;
            }
            sum += (mu + k) * weight * here;
            if half > 1.0 {
                weight *= half / (mu + half - 1.0);
            }
        }
        (above, here) = (here, 2.0 * (mu + k) / x * here - above);
        k -= 1.0;
        if here.abs() > 1e200 {
            for value in [&mut above, &mut here, &mut sum, &mut wanted] {
                *value *= 1e-200;
            }
        }
    }
    // The same recurrence leads on to negative orders.
    while k > n {
        (above, here) = (here, 2.0 * (mu + k) / x * here - above);
        k -= 1.0;
        wanted = here;
    }
    wanted / sum * weight * pow(0.5 * x, mu) / gamma(1.0 + mu)
}

/// The Bessel function J_v(x), to 1e-14 of the largest nearby value; NaN for x < 0 unless v is an integer.
pub fn jv([v, x]: [f64; 2]) -> f64 {
    let whole = v.trunc() == v;
    if v.abs() >= LARGEST_ORDER || v.is_nan() || x.is_nan() || (x < 0.0 && !whole) {
        return f64::NAN;
    }
    if x == 0.0 || x.is_infinite() {
        return match x == 0.0 {
            true if v == 0.0 => 1.0,
            true if v < 0.0 && !whole => f64::INFINITY.copysign(gamma(v + 1.0)),
            _ => 0.0,
        };
    }
    if !whole {
        return j_positive(v, x);
    }
    // J_{-n}(x) = J_n(-x) = (-1)**n J_n(x)
    let y = j_positive(v.abs(), x.abs());
    let flips = v % 2.0 != 0.0 && (v < 0.0) != (x < 0.0);
    if flips { -y } else { y }
}

/// dJ_v(x)/dx.
pub fn jv_dx([v, x]: [f64; 2]) -> f64 {
    if x == 0.0 {
        return match v.abs() {
            1.0 => 0.5 * v,
            a if a == 0.0 || a > 1.0 => 0.0,
            _ => f64::INFINITY,
        };
    }
    v / x * jv([v, x]) - jv([v + 1.0, x])
}

/// J_0(x), to 1e-15 of the largest nearby value.
pub fn j0([x]: [f64; 1]) -> f64 {
    libm::j0(x)
}

/// J_1(x), to 1e-15 of the largest nearby value.
pub fn j1([x]: [f64; 1]) -> f64 {
    libm::j1(x)
}

//! Functions still computed a lane at a time.

use crate::kernels::simd::{LANES, Lanes};

#[inline(always)]
fn each<V: Lanes>(x: V, f: impl Fn(f64) -> f64) -> V {
    V::from_array(x.to_array().map(f))
}

#[inline(always)]
fn each2<V: Lanes>(x: V, y: V, f: impl Fn(f64, f64) -> f64) -> V {
    let (x, y) = (x.to_array(), y.to_array());
    V::from_array(std::array::from_fn::<f64, LANES, _>(|i| f(x[i], y[i])))
}

macro_rules! scalar {
    ($($name:ident = $f:expr),* $(,)?) => {$(
        /// A lane at a time.
        #[inline(always)]
        pub fn $name<V: Lanes>(x: V) -> V {
            each(x, $f)
        }
    )*};
}

scalar! {
    acos = libm::acos,
    acosh = libm::acosh,
    asin = libm::asin,
    asinh = libm::asinh,
    atan = libm::atan,
    atanh = libm::atanh,
    cos = libm::cos,
    cosh = libm::cosh,
    erf = libm::erf,
    erfc = libm::erfc,
    log10 = libm::log10,
    log2 = libm::log2,
    sin = libm::sin,
    sinh = libm::sinh,
    tan = libm::tan,
    gamma = libm::tgamma,
    lgamma = libm::lgamma,
    erfcx = |x| (x * x).exp() * libm::erfc(x),
    digamma = digamma_scalar,
    trigamma = trigamma_scalar,
}

/// x**y.
#[inline(always)]
pub fn pow<V: Lanes>(x: V, y: V) -> V {
    each2(x, y, libm::pow)
}

/// Angle of the point (x, y).
#[inline(always)]
pub fn atan2<V: Lanes>(y: V, x: V) -> V {
    each2(y, x, libm::atan2)
}

fn digamma_scalar(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let w = 1.0 / (x * x);
    sum + x.ln() - 0.5 / x - w * (1.0 / 12.0 - w * (1.0 / 120.0 - w * (1.0 / 252.0 - w / 240.0)))
}

fn trigamma_scalar(mut x: f64) -> f64 {
    let mut sum = 0.0;
    while x < 15.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let w = 1.0 / (x * x);
    sum + 1.0 / x + 0.5 * w + w / x * (1.0 / 6.0 - w * (1.0 / 30.0 - w / 42.0))
}

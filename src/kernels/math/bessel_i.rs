//! Modified Bessel functions of the first kind of order 0 and 1, plain and scaled by exp(-|x|).
//!
//! On |x| <= 8 their power series, whose terms are all positive; beyond, sqrt(x) exp(-x) I(x) is a polynomial
//! in 16 / x - 1.

use super::exp::exp;
use super::polynomial;
use crate::kernels::simd::{LaneMask, Lanes};

/// I_0(x) in powers of x**2.
const NEAR_0: [f64; 24] = [
    1.0,
    0.25,
    0.015625,
    0.00043402777777777775,
    6.781684027777777e-06,
    6.781684027777778e-08,
    4.709502797067901e-10,
    2.4028075495244395e-12,
    9.385966990329842e-15,
    2.896903392077112e-17,
    7.242258480192779e-20,
    1.4963343967340453e-22,
    2.5978027721077174e-25,
    3.842903509035085e-28,
    4.9016626390753635e-31,
    5.4462918211948485e-34,
    5.318644356635594e-37,
    4.60090342269515e-40,
    3.5500798014623073e-43,
    2.458504017633177e-46,
    1.5365650110207356e-49,
    8.71068600351891e-53,
    4.499321282809354e-56,
    2.1263333094562166e-59,
];

/// sqrt(x) exp(-x) I_0(x) in powers of 16 / x - 1, for x >= 8.
const FAR_0: [f64; 24] = [
    0.4021765094450081,
    0.0033605519836678913,
    0.00013621607438951463,
    1.114303378845176e-05,
    1.4838476780922646e-06,
    2.9735992084667734e-07,
    8.872014585661555e-08,
    3.932512321137824e-08,
    2.156780676115673e-08,
    7.559364098665437e-09,
    -6.856484545962442e-09,
    -1.3427511481900905e-08,
    -5.0175940345046716e-09,
    7.600254486433509e-09,
    6.522264862032271e-09,
    -3.5862834111582305e-09,
    -4.5305710768621196e-09,
    1.6084886155781772e-09,
    2.163681278413876e-09,
    -6.327909921997027e-10,
    -6.494591114401118e-10,
    1.7698085539456536e-10,
    9.114760157514253e-11,
    -2.4421972688131832e-11,
];

/// I_1(x) / x in powers of x**2.
const NEAR_1: [f64; 24] = [
    0.5,
    0.0625,
    0.0026041666666666665,
    5.425347222222222e-05,
    6.781684027777778e-07,
    5.651403356481481e-09,
    3.363930569334215e-11,
    1.5017547184527747e-13,
    5.214426105738801e-16,
    1.4484516960385557e-18,
    3.2919356728148996e-21,
    6.234726653058522e-24,
    9.991549123491221e-27,
    1.3724655389411017e-29,
    1.6338875463584545e-32,
    1.7019661941233902e-35,
    1.564307163716351e-38,
    1.2780287285264307e-41,
    9.342315267006072e-45,
    6.146260044082942e-48,
    3.658488121477942e-51,
    1.9797013644361157e-54,
    9.781133223498595e-58,
    4.4298610613671176e-61,
];

/// sqrt(x) exp(-x) I_1(x) in powers of 16 / x - 1, for x >= 8.
const FAR_1: [f64; 24] = [
    0.38939845902587233,
    -0.009749577193235765,
    -0.00021923576383137776,
    -1.5038547198221758e-05,
    -1.8349102493990178e-06,
    -3.4838563464253135e-07,
    -1.0001075046243961e-07,
    -4.3128498031006734e-08,
    -2.3394122958362557e-08,
    -8.432168972932417e-09,
    6.84757829926934e-09,
    1.4051746928735543e-08,
    5.5720183980930355e-09,
    -7.687251308765992e-09,
    -6.9444186339873875e-09,
    3.501765193290176e-09,
    4.763780078020254e-09,
    -1.5218214060680734e-09,
    -2.2624401109204446e-09,
    5.870664618471487e-10,
    6.7727478454462e-10,
    -1.6283264322621244e-10,
    -9.491890392992048e-11,
    2.2421768596847442e-11,
];

/// `(near, far)`: I(x) without and with the factor exp(-|x|), each where its polynomial holds; for |x|.
#[inline(always)]
fn parts<V: Lanes>(a: V, near: [f64; 24], far: [f64; 24]) -> (V, V) {
    let x = V::splat(8.0).min(a);
    let y = V::splat(8.0).max(a);
    let t = (V::splat(1.0) / y).scale_add(16.0, -1.0);
    (polynomial(x * x, near), polynomial(t, far) / y.sqrt())
}

/// exp(-|x|) times the function whose parts these are.
#[inline(always)]
fn scaled<V: Lanes>(a: V, near: V, far: V) -> V {
    a.le(V::splat(8.0)).select(near * exp(-a), far)
}

/// The function whose parts these are; the exponential by halves, which overflow later than it.
#[inline(always)]
fn unscaled<V: Lanes>(a: V, near: V, far: V) -> V {
    let half = exp(V::splat(720.0).min(a) * 0.5);
    let far = a
        .gt(V::splat(720.0))
        .select(V::splat(f64::INFINITY), far * half * half);
    a.le(V::splat(8.0)).select(near, far)
}

/// I_0(x), to 2e-15 relative.
#[inline(always)]
pub fn i0<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let (near, far) = parts(a, NEAR_0, FAR_0);
    keep_nan(x, unscaled(a, near, far))
}

/// exp(-|x|) I_0(x), to 2e-15 relative.
#[inline(always)]
pub fn i0e<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let (near, far) = parts(a, NEAR_0, FAR_0);
    keep_nan(x, scaled(a, near, far))
}

/// I_1(x), to 2e-15 relative.
#[inline(always)]
pub fn i1<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let (near, far) = parts(a, NEAR_1, FAR_1);
    keep_nan(x, unscaled(a, near * a, far).copysign(x))
}

/// exp(-|x|) I_1(x), to 2e-15 relative.
#[inline(always)]
pub fn i1e<V: Lanes>(x: V) -> V {
    let a = x.abs();
    let (near, far) = parts(a, NEAR_1, FAR_1);
    keep_nan(x, scaled(a, near * a, far).copysign(x))
}

/// `y`, or NaN where x is.
#[inline(always)]
fn keep_nan<V: Lanes>(x: V, y: V) -> V {
    x.is_nan().select(x, y)
}

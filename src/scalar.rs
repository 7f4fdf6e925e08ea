//! The table of elementwise functions: name, arity, result type, kernel and adjoint, a row each.
//!
//! An adjoint gets the builder, the arguments `a`, the value `y` and the adjoint `g` of the value, and
//! returns one contribution an argument. Derivatives are multiplied with [`Builder::scale`] and divided by
//! with [`Builder::quotient`], which keep an adjoint of zero zero: in a branch that was not taken an
//! argument may be NaN, and with it any derivative.

use crate::bound::{Builder, Id};
use crate::graph::DType;
use crate::kernels::block::{BlockFn, PairFn, block_fns, pair_fns};
use crate::kernels::composite::{self, holds};
use crate::kernels::math;
use crate::kernels::native::Traced;
use crate::kernels::simd::{LaneMask, Lanes, per_lane};
use serde::{Deserialize, Serialize};
use std::f64::consts::{FRAC_1_PI, FRAC_1_SQRT_2, FRAC_2_SQRT_PI, FRAC_PI_2, LN_2, LN_10, SQRT_2};
use std::fmt;

/// How the result type follows from the types of the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResultType {
    /// Real whatever the arguments.
    Real,
    /// Promotion of all arguments, at least an integer.
    Number,
    /// Truth value.
    Bool,
    /// Promotion of all arguments.
    Promoted,
    /// Promotion of all arguments but the first.
    Branches,
    /// Integer.
    Integer,
}

/// (builder, arguments, value, adjoint of the value) to one contribution an argument.
pub type AdjointRule = fn(&mut Builder, &[Id], Id, Id) -> Vec<Option<Id>>;

/// What reverse mode does at a function.
pub enum Adjoint {
    /// Flat almost everywhere: nothing flows back.
    Zero,
    /// Contributions to the arguments.
    Rule(AdjointRule),
    /// The same, of the last argument alone: the others, such as an order, have no rule.
    OfLast(AdjointRule),
    /// No rule.
    Missing,
}

macro_rules! scalar_functions {
    ($($variant:ident $name:literal $arity:tt $result:ident, $kernel:expr, $adjoint:expr;)*) => {
        /// A function of one to four scalars, applied element by element.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs)]
        pub enum ScalarFn { $($variant,)* }

        impl ScalarFn {
            /// All functions.
            pub const ALL: &[ScalarFn] = &[$(ScalarFn::$variant,)*];

            /// The function's name in graphs.
            pub fn name(self) -> &'static str {
                match self { $(ScalarFn::$variant => $name,)* }
            }

            /// Number of arguments.
            pub fn arity(self) -> usize {
                match self { $(ScalarFn::$variant => $arity,)* }
            }

            fn result(self) -> ResultType {
                match self { $(ScalarFn::$variant => ResultType::$result,)* }
            }

            /// One kernel an instruction set, in the order of [`crate::kernels::isa::Isa`].
            pub fn kernels(self) -> [BlockFn; 3] {
                match self { $(ScalarFn::$variant => block_fns!($arity, $kernel),)* }
            }

            /// What the kernel does, on lanes that record it.
            pub fn trace(self, arguments: &[Traced]) -> Traced {
                type V = Traced;
                match self { $(ScalarFn::$variant => traced!($arity, $kernel, arguments),)* }
            }

            /// The rule of reverse mode.
            pub fn adjoint(self) -> Adjoint {
                match self { $(ScalarFn::$variant => $adjoint,)* }
            }
        }
    };
}

/// A kernel of one to four lanes, called on recorded ones.
macro_rules! traced {
    (1, $f:expr, $a:ident) => {
        ($f)($a[0])
    };
    (2, $f:expr, $a:ident) => {
        ($f)($a[0], $a[1])
    };
    (3, $f:expr, $a:ident) => {
        ($f)($a[0], $a[1], $a[2])
    };
    (4, $f:expr, $a:ident) => {
        ($f)($a[0], $a[1], $a[2], $a[3])
    };
}

/// An adjoint rule; the closure returns an array of contributions.
macro_rules! rule {
    ($closure:expr) => {
        Adjoint::Rule(|b, a, y, g| {
            let closure: fn(&mut Builder, &[Id], Id, Id) -> _ = $closure;
            closure(b, a, y, g).into_iter().collect()
        })
    };
}

/// A rule of a function of one argument from its derivative.
macro_rules! derivative {
    ($closure:expr) => {
        rule!(|b, a, y, g| {
            let derivative: fn(&mut Builder, Id, Id) -> Id = $closure;
            let d = derivative(b, a[0], y);
            [Some(b.scale(g, d))]
        })
    };
}

/// A rule of the last argument from the derivative with respect to it.
macro_rules! of_last {
    ($closure:expr) => {
        Adjoint::OfLast(|b, a, y, g| {
            let derivative: fn(&mut Builder, &[Id], Id) -> Id = $closure;
            let d = derivative(b, a, y);
            let mut contributions = vec![None; a.len() - 1];
            contributions.push(Some(b.scale(g, d)));
            contributions
        })
    };
}

/// The adjoint `g` to the first argument where the condition holds, else to the second: a tie is no sum of both.
fn to_one_of(b: &mut Builder, condition: Id, g: Id) -> [Option<Id>; 2] {
    let zero = b.number(0.0);
    let first = b.select_adjoint(condition, g, zero);
    let second = b.select_adjoint(condition, zero, g);
    [Some(first), Some(second)]
}

/// 1 / sqrt(c + s x^2).
fn inverse_root(b: &mut Builder, c: f64, s: f64, x: Id) -> Id {
    let x2 = b.map(ScalarFn::Sqr, &[x]);
    let x2 = b.mul_number(s, x2);
    let sum = b.add_number(c, x2);
    let root = b.map(ScalarFn::Sqrt, &[sum]);
    b.map(ScalarFn::Reciprocal, &[root])
}

impl ScalarFn {
    /// Kernels that compute this function and another one of the same argument, with the bits of each, if the two share
    /// most of their work.
    pub fn paired_with(self, other: ScalarFn) -> Option<[PairFn; 3]> {
        use ScalarFn::*;
        match (self, other) {
            (Softplus, Sigmoid) => Some(pair_fns!(math::softplus, math::sigmoid)),
            (Sigmoid, Softplus) => Some(pair_fns!(math::sigmoid, math::softplus)),
            (Sin, Cos) => Some(pair_fns!(math::sin, math::cos)),
            (Cos, Sin) => Some(pair_fns!(math::cos, math::sin)),
            _ => None,
        }
    }
}

use Adjoint::{Missing, Zero};

scalar_functions! {
    Neg "neg" 1 Number, |x: V| -x, rule!(|b, _, _, g| [Some(b.neg(g))]);
    Abs "abs" 1 Number, |x: V| x.abs(), derivative!(|b, x, _| b.map(ScalarFn::Sign, &[x]));
    Sign "sign" 1 Number, math::sign, Zero;
    Sqr "sqr" 1 Number, |x: V| x * x, derivative!(|b, x, _| b.mul_number(2.0, x));
    Sqrt "sqrt" 1 Real, |x: V| x.sqrt(), rule!(|b, _, y, g| {
        let half = b.mul_number(0.5, g);
        [Some(b.quotient(half, y))]
    });
    Reciprocal "reciprocal" 1 Real, |x: V| V::splat(1.0) / x, derivative!(|b, _, y| {
        let y2 = b.map(ScalarFn::Sqr, &[y]);
        b.neg(y2)
    });
    Exp "exp" 1 Real, math::exp, derivative!(|_, _, y| y);
    Exp2 "exp2" 1 Real, math::exp2, derivative!(|b, _, y| b.mul_number(LN_2, y));
    Expm1 "expm1" 1 Real, math::expm1, derivative!(|b, x, _| b.map(ScalarFn::Exp, &[x]));
    Log "log" 1 Real, math::log, rule!(|b, a, _, g| [Some(b.quotient(g, a[0]))]);
    Log2 "log2" 1 Real, math::log2, rule!(|b, a, _, g| {
        let g = b.mul_number(1.0 / LN_2, g);
        [Some(b.quotient(g, a[0]))]
    });
    Log10 "log10" 1 Real, math::log10, rule!(|b, a, _, g| {
        let g = b.mul_number(1.0 / LN_10, g);
        [Some(b.quotient(g, a[0]))]
    });
    Log1p "log1p" 1 Real, math::log1p, rule!(|b, a, _, g| {
        let x1 = b.add_number(1.0, a[0]);
        [Some(b.quotient(g, x1))]
    });
    // d/dx log(1 - exp(x)) = -1 / expm1(-x)
    Log1mexp "log1mexp" 1 Real, math::log1mexp, rule!(|b, a, _, g| {
        let x = b.neg(a[0]);
        let e = b.map(ScalarFn::Expm1, &[x]);
        let g = b.neg(g);
        [Some(b.quotient(g, e))]
    });
    Softplus "softplus" 1 Real, math::softplus, derivative!(|b, x, _| b.map(ScalarFn::Sigmoid, &[x]));
    Sigmoid "sigmoid" 1 Real, math::sigmoid, derivative!(|b, _, y| {
        let rest = b.number_minus(1.0, y);
        b.mul(y, rest)
    });
    Sin "sin" 1 Real, math::sin, derivative!(|b, x, _| b.map(ScalarFn::Cos, &[x]));
    Cos "cos" 1 Real, math::cos, derivative!(|b, x, _| {
        let s = b.map(ScalarFn::Sin, &[x]);
        b.neg(s)
    });
    Tan "tan" 1 Real, math::tan, derivative!(|b, _, y| {
        let y2 = b.map(ScalarFn::Sqr, &[y]);
        b.add_number(1.0, y2)
    });
    Asin "asin" 1 Real, math::asin, derivative!(|b, x, _| inverse_root(b, 1.0, -1.0, x));
    Acos "acos" 1 Real, math::acos, derivative!(|b, x, _| {
        let d = inverse_root(b, 1.0, -1.0, x);
        b.neg(d)
    });
    Atan "atan" 1 Real, math::atan, derivative!(|b, x, _| {
        let x2 = b.map(ScalarFn::Sqr, &[x]);
        let sum = b.add_number(1.0, x2);
        b.map(ScalarFn::Reciprocal, &[sum])
    });
    Sinh "sinh" 1 Real, math::sinh, derivative!(|b, x, _| b.map(ScalarFn::Cosh, &[x]));
    Cosh "cosh" 1 Real, math::cosh, derivative!(|b, x, _| b.map(ScalarFn::Sinh, &[x]));
    Tanh "tanh" 1 Real, math::tanh, derivative!(|b, _, y| {
        let y2 = b.map(ScalarFn::Sqr, &[y]);
        b.number_minus(1.0, y2)
    });
    Asinh "asinh" 1 Real, math::asinh, derivative!(|b, x, _| inverse_root(b, 1.0, 1.0, x));
    Acosh "acosh" 1 Real, math::acosh, derivative!(|b, x, _| inverse_root(b, -1.0, 1.0, x));
    Atanh "atanh" 1 Real, math::atanh, derivative!(|b, x, _| {
        let x2 = b.map(ScalarFn::Sqr, &[x]);
        let rest = b.number_minus(1.0, x2);
        b.map(ScalarFn::Reciprocal, &[rest])
    });
    Floor "floor" 1 Real, |x: V| x.floor(), Zero;
    Ceil "ceil" 1 Real, |x: V| x.ceil(), Zero;
    Trunc "trunc" 1 Real, |x: V| x.trunc(), Zero;
    RoundHalfEven "round_half_even" 1 Real, math::round_half_even, Zero;
    RoundHalfAway "round_half_away" 1 Real, math::round_half_away, Zero;
    Erf "erf" 1 Real, math::erf, derivative!(|b, x, _| gauss(b, FRAC_2_SQRT_PI, x));
    Erfc "erfc" 1 Real, math::erfc, derivative!(|b, x, _| gauss(b, -FRAC_2_SQRT_PI, x));
    // d/dx erfcx(x) = 2 x erfcx(x) - 2 / sqrt(pi)
    Erfcx "erfcx" 1 Real, math::erfcx, derivative!(|b, x, y| {
        let xy = b.mul(x, y);
        let xy = b.mul_number(2.0, xy);
        b.add_number(-FRAC_2_SQRT_PI, xy)
    });
    Lgamma "lgamma" 1 Real, math::lgamma, derivative!(|b, x, _| b.map(ScalarFn::Digamma, &[x]));
    Gamma "gamma" 1 Real, math::gamma, derivative!(|b, x, y| {
        let psi = b.map(ScalarFn::Digamma, &[x]);
        b.mul(y, psi)
    });
    Digamma "digamma" 1 Real, math::digamma, derivative!(|b, x, _| b.map(ScalarFn::Trigamma, &[x]));
    Trigamma "trigamma" 1 Real, math::trigamma, derivative!(|b, x, _| {
        let two = b.number(2.0);
        b.map(ScalarFn::Polygamma, &[two, x])
    });
    // sqrt(pi) / 2 exp(y^2)
    Erfinv "erfinv" 1 Real, math::erfinv, derivative!(|b, _, y| inverse_gauss(b, 1.0 / FRAC_2_SQRT_PI, y));
    Erfcinv "erfcinv" 1 Real, math::erfcinv, derivative!(|b, _, y| inverse_gauss(b, -1.0 / FRAC_2_SQRT_PI, y));
    // exp(x) / phi(y) = sqrt(pi / 2) erfcx(-y / sqrt(2)), as exp(x) = Phi(y)
    NdtriExp "ndtri_exp" 1 Real, math::ndtri_exp, derivative!(|b, _, y| {
        let w = b.mul_number(-FRAC_1_SQRT_2, y);
        let tail = b.map(ScalarFn::Erfcx, &[w]);
        b.mul_number(FRAC_PI_2.sqrt(), tail)
    });
    I0 "i0" 1 Real, math::i0, derivative!(|b, x, _| b.map(ScalarFn::I1, &[x]));
    I0e "i0e" 1 Real, math::i0e, derivative!(|b, x, y| {
        let i1e = b.map(ScalarFn::I1e, &[x]);
        let sign = b.map(ScalarFn::Sign, &[x]);
        let y = b.mul(sign, y);
        b.sub(i1e, y)
    });
    // The value without its gradient, where the gradient is known to cancel.
    // (I_0(x) + I_2(x)) / 2
    I1 "i1" 1 Real, math::i1, derivative!(|b, x, _| {
        let two = b.number(2.0);
        let scaled = b.map(ScalarFn::Ive, &[two, x]);
        let size = b.map(ScalarFn::Abs, &[x]);
        let growth = b.map(ScalarFn::Exp, &[size]);
        let i2 = b.mul(scaled, growth);
        let i0 = b.map(ScalarFn::I0, &[x]);
        let sum = b.add(i0, i2);
        b.mul_number(0.5, sum)
    });
    I1e "i1e" 1 Real, math::i1e, derivative!(|b, x, _| {
        let one = b.number(1.0);
        b.map(ScalarFn::IveDx, &[one, x])
    });
    J0 "j0" 1 Real, |x: V| per_lane!(math::j0, x), derivative!(|b, x, _| {
        let j1 = b.map(ScalarFn::J1, &[x]);
        b.neg(j1)
    });
    J1 "j1" 1 Real, |x: V| per_lane!(math::j1, x), derivative!(|b, x, _| {
        let one = b.number(1.0);
        b.map(ScalarFn::JvDx, &[one, x])
    });
    StopGradient "stop_gradient" 1 Promoted, |x: V| x, Zero;
    // What rounding lost of a sum: in real numbers it is zero.
    Rounding "rounding" 1 Real, |x: V| x, Zero;
    IsNan "isnan" 1 Bool, |x: V| (x.is_nan()).to_f64(), Zero;
    IsInf "isinf" 1 Bool, |x: V| x.is_infinite().to_f64(), Zero;
    Not "not" 1 Bool, |x: V| (x.eq(V::splat(0.0))).to_f64(), Zero;
    BitNot "bit_not" 1 Integer, |x: V| V::splat(-1.0) - x, Zero;
    ToFloat64 "to_float64" 1 Real, |x: V| x, rule!(|_, _, _, g| [Some(g)]);
    ToInt64 "to_int64" 1 Integer, |x: V| x.trunc(), Zero;
    ToBool "to_bool" 1 Bool, |x: V| (holds(x)).to_f64(), Zero;

    Add "add" 2 Number, |x: V, y: V| x + y, rule!(|_, _, _, g| [Some(g), Some(g)]);
    Sub "sub" 2 Number, |x: V, y: V| x - y, rule!(|b, _, _, g| [Some(g), Some(b.neg(g))]);
    Mul "mul" 2 Number, |x: V, y: V| x * y, rule!(|b, a, _, g| [Some(b.scale(g, a[1])), Some(b.scale(g, a[0]))]);
    Div "div" 2 Real, |x: V, y: V| x / y, rule!(|b, a, y, g| {
        let g0 = b.quotient(g, a[1]);
        let g1 = b.scale(g0, y);
        [Some(g0), Some(b.neg(g1))]
    });
    IntDiv "int_div" 2 Number, |x: V, y: V| (x / y).floor(), Zero;
    // x - floor(x / y) y, as PyTensor differentiates it
    Mod "mod" 2 Number, composite::modulo, rule!(|b, a, _, g| {
        let n = b.map(ScalarFn::IntDiv, &[a[0], a[1]]);
        let n = b.scale(g, n);
        [Some(g), Some(b.neg(n))]
    });
    Pow "pow" 2 Number, math::pow, rule!(|b, a, y, g| {
        let one = b.number(1.0);
        let less = b.sub(a[1], one);
        let power = b.map(ScalarFn::Pow, &[a[0], less]);
        let slope = b.mul(a[1], power);
        let zero = b.number(0.0);
        let positive = b.map(ScalarFn::Gt, &[a[0], zero]);
        let log = b.map(ScalarFn::Log, &[a[0]]);
        let growth = b.mul(y, log);
        let growth = b.select(positive, growth, zero);
        [Some(b.scale(g, slope)), Some(b.scale(g, growth))]
    });
    Maximum "maximum" 2 Promoted, composite::maximum, rule!(|b, a, _, g| {
        let first = b.map(ScalarFn::Ge, &[a[0], a[1]]);
        to_one_of(b, first, g)
    });
    Minimum "minimum" 2 Promoted, composite::minimum, rule!(|b, a, _, g| {
        let first = b.map(ScalarFn::Le, &[a[0], a[1]]);
        to_one_of(b, first, g)
    });
    Atan2 "atan2" 2 Real, math::atan2, rule!(|b, a, _, g| {
        let y2 = b.map(ScalarFn::Sqr, &[a[0]]);
        let x2 = b.map(ScalarFn::Sqr, &[a[1]]);
        let r2 = b.add(y2, x2);
        let g = b.quotient(g, r2);
        let gx = b.scale(g, a[0]);
        [Some(b.scale(g, a[1])), Some(b.neg(gx))]
    });
    Eq "eq" 2 Bool, |x: V, y: V| (x.eq(y)).to_f64(), Zero;
    Ne "ne" 2 Bool, |x: V, y: V| (x.ne(y)).to_f64(), Zero;
    Lt "lt" 2 Bool, |x: V, y: V| (x.lt(y)).to_f64(), Zero;
    Le "le" 2 Bool, |x: V, y: V| (x.le(y)).to_f64(), Zero;
    Gt "gt" 2 Bool, |x: V, y: V| (x.gt(y)).to_f64(), Zero;
    Ge "ge" 2 Bool, |x: V, y: V| (x.ge(y)).to_f64(), Zero;
    And "and" 2 Bool, |x: V, y: V| (holds(x) & holds(y)).to_f64(), Zero;
    Or "or" 2 Bool, |x: V, y: V| (holds(x) | holds(y)).to_f64(), Zero;
    Xor "xor" 2 Bool, |x: V, y: V| holds(x).to_f64().ne(holds(y).to_f64()).to_f64(), Zero;
    BitAnd "bit_and" 2 Integer, |x: V, y: V| composite::bitwise(x, y, |x, y| x & y), Zero;
    BitOr "bit_or" 2 Integer, |x: V, y: V| composite::bitwise(x, y, |x, y| x | y), Zero;
    BitXor "bit_xor" 2 Integer, |x: V, y: V| composite::bitwise(x, y, |x, y| x ^ y), Zero;
    Logaddexp "logaddexp" 2 Real, composite::logaddexp, rule!(|b, a, y, g| {
        [a[0], a[1]].map(|x| {
            let log_share = b.sub(x, y);
            let share = b.map(ScalarFn::Exp, &[log_share]);
            Some(b.scale(g, share))
        })
    });
    Xlogy "xlogy" 2 Real, composite::xlogy, rule!(|b, a, _, g| {
        let log = b.map(ScalarFn::Log, &[a[1]]);
        let ratio = b.quotient(a[0], a[1]);
        [Some(b.scale(g, log)), Some(b.scale(g, ratio))]
    });
    Xlog1py "xlog1py" 2 Real, composite::xlog1py, rule!(|b, a, _, g| {
        let log = b.map(ScalarFn::Log1p, &[a[1]]);
        let y1 = b.add_number(1.0, a[1]);
        let ratio = b.quotient(a[0], y1);
        [Some(b.scale(g, log)), Some(b.scale(g, ratio))]
    });
    Gammainc "gammainc" 2 Real, |a: V, x: V| per_lane!(math::gammainc::<V>, a, x), rule!(|b, a, _, g| {
        let [da, dx] = [ScalarFn::GammaincDa, ScalarFn::GammaDensity].map(|f| b.map(f, a));
        [Some(b.scale(g, da)), Some(b.scale(g, dx))]
    });
    Gammaincc "gammaincc" 2 Real, |a: V, x: V| per_lane!(math::gammaincc::<V>, a, x), rule!(|b, a, _, g| {
        let g = b.neg(g);
        let [da, dx] = [ScalarFn::GammaincDa, ScalarFn::GammaDensity].map(|f| b.map(f, a));
        [Some(b.scale(g, da)), Some(b.scale(g, dx))]
    });
    GammaincDa "gammainc_da" 2 Real, |a: V, x: V| per_lane!(math::gammainc_da::<V>, a, x), Missing;
    GammaDensity "gamma_density" 2 Real, |a: V, x: V| per_lane!(math::gamma_density, a, x), Missing;
    // (order, x)
    Polygamma "polygamma" 2 Real, |n: V, x: V| per_lane!(math::polygamma, n, x), of_last!(|b, a, _| {
        let next = b.add_number(1.0, a[0]);
        b.map(ScalarFn::Polygamma, &[next, a[1]])
    });
    Ive "ive" 2 Real, |v: V, x: V| per_lane!(math::ive::<V>, v, x), of_last!(|b, a, _| b.map(ScalarFn::IveDx, a));
    IveDx "ive_dx" 2 Real, |v: V, x: V| per_lane!(math::ive_dx::<V>, v, x), Missing;
    Kve "kve" 2 Real, |v: V, x: V| per_lane!(math::kve::<V>, v, x), of_last!(|b, a, _| b.map(ScalarFn::KveDx, a));
    KveDx "kve_dx" 2 Real, |v: V, x: V| per_lane!(math::kve_dx::<V>, v, x), Missing;
    Jv "jv" 2 Real, |v: V, x: V| per_lane!(math::jv, v, x), of_last!(|b, a, _| b.map(ScalarFn::JvDx, a));
    JvDx "jv_dx" 2 Real, |v: V, x: V| per_lane!(math::jv_dx, v, x), Missing;
    // d/dh = -phi(h) erf(a h / sqrt(2)) / 2, d/da = exp(-h^2 (1 + a^2) / 2) / (2 pi (1 + a^2))
    OwensT "owens_t" 2 Real, |h: V, a: V| per_lane!(math::owens_t::<V>, h, a), rule!(|b, a, _, g| {
        let z = b.mul_number(FRAC_1_SQRT_2, a[0]);
        let density = gauss(b, -0.125 * FRAC_2_SQRT_PI * SQRT_2, z);
        let az = b.mul(a[1], z);
        let erf = b.map(ScalarFn::Erf, &[az]);
        let dh = b.mul(density, erf);
        let a2 = b.map(ScalarFn::Sqr, &[a[1]]);
        let a2 = b.add_number(1.0, a2);
        let root = b.map(ScalarFn::Sqrt, &[a2]);
        let z = b.mul(z, root);
        let density = gauss(b, 0.5 * FRAC_1_PI, z);
        let ga = b.scale(g, density);
        [Some(b.scale(g, dh)), Some(b.quotient(ga, a2))]
    });
    // PyMC's CheckParameterValue: -inf where the condition fails, with the gradient of x throughout.
    Check "check" 2 Real, |x: V, ok: V| holds(ok).select(x, V::splat(f64::NEG_INFINITY)),
        rule!(|_, _, _, g| [Some(g), None]);
    // g d, but 0 wherever g is 0: reverse mode selects adjoints, it never multiplies 0 by infinity.
    Scale "scale" 2 Real, |g: V, d: V| holds(g).select(g * d, V::splat(0.0)),
        rule!(|b, a, _, g| [Some(b.scale(g, a[1])), Some(b.scale(g, a[0]))]);
    // g / d, but 0 wherever g is 0.
    Quotient "quotient" 2 Real, |g: V, d: V| holds(g).select(g / d, V::splat(0.0)),
        rule!(|b, a, y, g| {
            let g0 = b.quotient(g, a[1]);
            let g1 = b.scale(g0, y);
            [Some(g0), Some(b.neg(g1))]
        });

    // Products joined with a sum in one rounding: made after differentiation, by `rewrite::fuse`.
    MulAdd "mul_add" 3 Real, |x: V, y: V, z: V| x.mul_add(y, z), rule!(|b, a, _, g| {
        [Some(b.scale(g, a[1])), Some(b.scale(g, a[0])), Some(g)]
    });
    MulSub "mul_sub" 3 Real, |x: V, y: V, z: V| x.mul_add(y, -z), rule!(|b, a, _, g| {
        [Some(b.scale(g, a[1])), Some(b.scale(g, a[0])), Some(b.neg(g))]
    });
    SubMul "sub_mul" 3 Real, |x: V, y: V, z: V| (-x).mul_add(y, z), rule!(|b, a, _, g| {
        let less = b.neg(g);
        [Some(b.scale(less, a[1])), Some(b.scale(less, a[0])), Some(g)]
    });

    // (a, b, x)
    Betainc "betainc" 3 Real, |a: V, b: V, x: V| per_lane!(math::betainc::<V>, a, b, x), rule!(|b, a, _, g| {
        [ScalarFn::BetaincDa, ScalarFn::BetaincDb, ScalarFn::BetaDensity].map(|f| {
            let d = b.map(f, a);
            Some(b.scale(g, d))
        })
    });
    BetaincDa "betainc_da" 3 Real, |a: V, b: V, x: V| per_lane!(math::betainc_da::<V>, a, b, x), Missing;
    BetaincDb "betainc_db" 3 Real, |a: V, b: V, x: V| per_lane!(math::betainc_db::<V>, a, b, x), Missing;
    BetaDensity "beta_density" 3 Real, |a: V, b: V, x: V| per_lane!(math::beta_density, a, b, x), Missing;
    // (a, b, c, z)
    Hyp2f1 "hyp2f1" 4 Real, |a: V, b: V, c: V, z: V| per_lane!(math::hyp2f1, a, b, c, z), rule!(|b, a, _, g| {
        let swapped = [a[1], a[0], a[2], a[3]];
        let raised = [0, 1, 2].map(|k| b.add_number(1.0, a[k]));
        let value = b.map(ScalarFn::Hyp2f1, &[raised[0], raised[1], raised[2], a[3]]);
        let ab = b.mul(a[0], a[1]);
        let factor = b.quotient(ab, a[2]);
        let slopes = [
            b.map(ScalarFn::Hyp2f1Da, a),
            b.map(ScalarFn::Hyp2f1Da, &swapped),
            b.map(ScalarFn::Hyp2f1Dc, a),
            b.mul(factor, value),
        ];
        slopes.map(|d| Some(b.scale(g, d)))
    });
    Hyp2f1Da "hyp2f1_da" 4 Real, |a: V, b: V, c: V, z: V| per_lane!(math::hyp2f1_da, a, b, c, z), Missing;
    Hyp2f1Dc "hyp2f1_dc" 4 Real, |a: V, b: V, c: V, z: V| per_lane!(math::hyp2f1_dc, a, b, c, z), Missing;

    Where "where" 3 Branches, |c: V, x: V, y: V| holds(c).select(x, y), rule!(|b, a, _, g| {
        let [taken, other] = to_one_of(b, a[0], g);
        [None, taken, other]
    });
    // As where, of a condition that rarely fails: what waits for x need not wait for the condition.
    Usually "usually" 3 Branches, |c: V, x: V, y: V| holds(c).usually(x, y), rule!(|b, a, _, g| {
        let [taken, other] = to_one_of(b, a[0], g);
        [None, taken, other]
    });
}

/// c exp(x^2).
fn inverse_gauss(b: &mut Builder, c: f64, x: Id) -> Id {
    let x2 = b.map(ScalarFn::Sqr, &[x]);
    let e = b.map(ScalarFn::Exp, &[x2]);
    b.mul_number(c, e)
}

/// c exp(-x^2).
fn gauss(b: &mut Builder, c: f64, x: Id) -> Id {
    let x2 = b.map(ScalarFn::Sqr, &[x]);
    let x2 = b.neg(x2);
    let e = b.map(ScalarFn::Exp, &[x2]);
    b.mul_number(c, e)
}

impl ScalarFn {
    /// The function of that name.
    pub fn from_name(name: &str) -> Option<ScalarFn> {
        ScalarFn::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// Type of the result for arguments of these types.
    pub fn dtype(self, arguments: &[DType]) -> DType {
        let promoted = |types: &[DType]| types.iter().copied().max().unwrap_or(DType::Bool);
        match self.result() {
            ResultType::Real => DType::Float64,
            ResultType::Bool => DType::Bool,
            ResultType::Integer => DType::Int64,
            ResultType::Promoted => promoted(arguments),
            ResultType::Number => promoted(arguments).max(DType::Int64),
            ResultType::Branches => promoted(&arguments[1..]),
        }
    }

    /// Whether a node may apply the function to any number of arguments, two at a time from the left; one is
    /// passed on as it is.
    pub fn folds(self) -> bool {
        self.commutes() && !matches!(self, ScalarFn::Eq | ScalarFn::Ne)
            || matches!(self, ScalarFn::Maximum | ScalarFn::Minimum)
    }

    /// Whether the order of two arguments does not matter; of `maximum` and `minimum` the first argument
    /// takes the adjoint of a tie.
    pub fn commutes(self) -> bool {
        use ScalarFn::*;
        matches!(
            self,
            Add | Mul | Eq | Ne | And | Or | Xor | BitAnd | BitOr | BitXor | Logaddexp
        )
    }
}

impl fmt::Display for ScalarFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;

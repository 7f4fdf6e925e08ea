//! Every function against high-precision values, at its special points, and on every instruction
//! set.

use std::hint::black_box;
use std::time::Instant;

use crate::kernels::block::{BlockFn, MOST_ARGUMENTS, Source};
use crate::kernels::isa::Isa;
use crate::kernels::simd::LANES;
use crate::scalar::ScalarFn;

/// How far a function may be from the rounded exact value.
#[derive(Clone, Copy)]
enum Bound {
    /// In units in the last place.
    Ulp(u64),
    /// Relative to the value, or absolute near the function's roots.
    Error { relative: f64, absolute: f64 },
}

use Bound::{Error, Ulp};

struct Function {
    name: &'static str,
    bound: Bound,
    /// Whether lanes are worked out one by one.
    is_per_lane: bool,
}

macro_rules! functions {
    ($($name:ident $bound:expr;)* ; $($branching:ident $its_bound:expr;)*) => {
        &[
            $(Function { name: stringify!($name), bound: $bound, is_per_lane: false },)*
            $(Function { name: stringify!($branching), bound: $its_bound, is_per_lane: true },)*
        ]
    };
}

const FUNCTIONS: &[Function] = functions! {
    exp Ulp(1);
    exp2 Ulp(1);
    expm1 Ulp(1);
    log Ulp(1);
    log2 Ulp(1);
    log10 Ulp(1);
    log1p Ulp(1);
    log1mexp Ulp(2);
    softplus Ulp(2);
    sigmoid Ulp(2);
    sqrt Ulp(0);
    sin Ulp(1);
    cos Ulp(1);
    tan Ulp(2);
    asin Ulp(3);
    acos Ulp(3);
    atan Ulp(2);
    sinh Ulp(3);
    cosh Ulp(2);
    tanh Ulp(2);
    asinh Ulp(3);
    acosh Ulp(3);
    atanh Ulp(3);
    erf Ulp(2);
    erfc Ulp(2);
    erfcx Error { relative: 1e-14, absolute: 0.0 };
    lgamma Error { relative: 1e-14, absolute: 1e-15 };
    digamma Error { relative: 1e-14, absolute: 5e-16 };
    trigamma Error { relative: 1e-14, absolute: 0.0 };
    gamma Error { relative: 1e-14, absolute: 0.0 };
    floor Ulp(0);
    ceil Ulp(0);
    trunc Ulp(0);
    round_half_even Ulp(0);
    round_half_away Ulp(0);
    sign Ulp(0);
    pow Ulp(1);
    atan2 Ulp(2);
    erfinv relative(2e-15);
    erfcinv relative(2e-15);
    ndtri_exp Error { relative: 2e-15, absolute: 1e-15 };
    i0 relative(2e-15);
    i1 relative(2e-15);
    i0e relative(2e-15);
    i1e relative(2e-15);
    ;
    j0 Error { relative: 1e-14, absolute: 1e-15 };
    j1 Error { relative: 1e-14, absolute: 1e-15 };
    polygamma relative(3e-15);
    gammainc relative(3e-15);
    gammaincc relative(3e-15);
    gammainc_da relative(5e-15);
    gamma_density relative(3e-15);
    betainc relative(5e-15);
    betainc_da relative(1e-14);
    betainc_db relative(2e-14);
    beta_density relative(3e-15);
    owens_t relative(1e-13);
    ive relative(3e-15);
    ive_dx relative(1e-13);
    kve relative(3e-15);
    kve_dx relative(1e-13);
    jv Error { relative: 1e-14, absolute: 2e-15 };
    jv_dx Error { relative: 1e-14, absolute: 4e-15 };
    hyp2f1 relative(5e-14);
    hyp2f1_da relative(5e-13);
    hyp2f1_dc relative(5e-13);
};

const fn relative(relative: f64) -> Bound {
    Error {
        relative,
        absolute: 0.0,
    }
}

impl Function {
    fn find(name: &str) -> &'static Function {
        let found = FUNCTIONS.iter().find(|f| f.name == name);
        found.unwrap_or_else(|| panic!("no function {name}"))
    }

    /// Random arguments: of every size and sign, where that does not take long; else moderate and positive, the
    /// last below 1, so that most are inside of the domain.
    fn points(&self, n: usize) -> Vec<Vec<f64>> {
        let arity = ScalarFn::from_name(self.name)
            .expect("a function of the table")
            .arity();
        let any = |k: usize| arguments(k as u64 + 1, n);
        let moderate = |k: usize| {
            let scale = if k + 1 == arity && arity > 2 {
                0.25
            } else {
                4.0
            };
            let inside = |x: &f64| (x + 4.0) % 8.0 * 0.5;
            any(k)
                .iter()
                .skip(1)
                .step_by(3)
                .map(|x| inside(x) * scale)
                .collect()
        };
        (0..arity)
            .map(|k| {
                if self.is_per_lane {
                    moderate(k)
                } else {
                    any(k)
                }
            })
            .collect()
    }

    fn kernel(&self, isa: Isa) -> BlockFn {
        let function = ScalarFn::from_name(self.name).expect("a function of the table");
        function.kernels()[isa as usize]
    }

    /// The function at every point (x, y, ...), the last lanes filled up with copies of the first; the last of
    /// the arguments stands for those that are not given.
    fn eval(&self, isa: Isa, arguments: &[&[f64]]) -> Vec<f64> {
        let length = arguments[0].len();
        let chunks = length.div_ceil(8);
        let padded: [Vec<f64>; MOST_ARGUMENTS] = std::array::from_fn(|k| {
            let mut x = arguments[k.min(arguments.len() - 1)].to_vec();
            x.resize(8 * chunks, x[0]);
            x
        });
        let mut out = vec![0.0; 8 * chunks];
        let sources = padded.each_ref().map(|x| source(x.as_ptr()));
        // SAFETY: the callers take `isa` from `Isa::available`; the slices have the length.
        unsafe { self.kernel(isa)(out.as_mut_ptr(), &sources, chunks) };
        out.truncate(length);
        out
    }
}

/// The number of f64 between two numbers of the same sign; large where they have no distance.
fn ulps(a: f64, b: f64) -> u64 {
    let ordered = |x: f64| {
        if x < 0.0 {
            -(x.abs().to_bits() as i64)
        } else {
            x.abs().to_bits() as i64
        }
    };
    if a.is_nan() || b.is_nan() {
        u64::MAX
    } else {
        ordered(a).abs_diff(ordered(b))
    }
}

fn source(pointer: *const f64) -> Source {
    Source {
        pointer,
        step: LANES,
    }
}

/// Same bits, or both NaN.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

#[test]
fn functions_keep_their_bounds() {
    let number = |hex: &str| f64::from_bits(u64::from_str_radix(hex, 16).expect("hexadecimal"));
    let mut failures = Vec::new();
    let mut rows = 0;
    for row in include_str!("reference.csv").lines() {
        let fields: Vec<&str> = row.split(',').collect();
        let function = Function::find(fields[0]);
        let mut arguments: Vec<f64> = fields[1..].iter().map(|field| number(field)).collect();
        let want = arguments.pop().expect("a value");
        let points: Vec<&[f64]> = arguments.iter().map(std::slice::from_ref).collect();
        let got = function.eval(Isa::detect(), &points)[0];
        let good = match function.bound {
            Ulp(bound) => ulps(got, want) <= bound,
            Error { relative, absolute } => {
                (got - want).abs() <= absolute + relative * want.abs() + 5e-324
            }
        };
        if !good {
            failures.push(format!(
                "{}({arguments:?}) = {got:e}, not {want:e}",
                function.name
            ));
        }
        rows += 1;
    }
    assert!(rows > 4000);
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// A function, then pairs of argument and value.
const SPECIAL_VALUES: &str = "
    exp 0 1 inf inf -inf 0 710 inf -746 0
    exp2 10 1024 -1074 5e-324 1024 inf -inf 0
    expm1 0 0 -0 -0 inf inf -inf -1 -60 -1 5e-324 5e-324
    log 1 0 0 -inf -0 -inf -1 nan inf inf -inf nan
    log2 1 0 8 3 5e-324 -1074 0 -inf -1 nan inf inf
    log10 1 0 1000 3 1e22 22 0 -inf -1 nan inf inf
    log1p 0 0 -0 -0 -1 -inf -1.5 nan -inf nan inf inf
    log1mexp 0 -inf -0 -inf 1 nan inf nan -inf 0
    softplus -inf 0 inf inf -800 0 800 800
    sigmoid 0 0.5 -inf 0 inf 1 -800 0 800 1
    sqrt 0 0 -0 -0 -1 nan inf inf
    sin 0 0 -0 -0 inf nan -inf nan 5e-324 5e-324
    cos 0 1 -0 1 inf nan -inf nan
    tan 0 0 -0 -0 inf nan -inf nan
    asin 0 0 -0 -0 1 1.5707963267948966 -1 -1.5707963267948966 1.5 nan inf nan
    acos 1 0 -1 3.141592653589793 0 1.5707963267948966 -1.5 nan inf nan
    atan 0 0 -0 -0 inf 1.5707963267948966 -inf -1.5707963267948966
    sinh 0 0 -0 -0 inf inf -inf -inf 711 inf
    cosh 0 1 inf inf -inf inf -711 inf
    tanh 0 0 -0 -0 inf 1 -inf -1 5e-324 5e-324
    asinh 0 0 -0 -0 inf inf -inf -inf
    acosh 1 0 0.5 nan -3 nan inf inf -inf nan
    atanh 0 0 -0 -0 1 inf -1 -inf 2 nan inf nan
    erf 0 0 -0 -0 inf 1 -inf -1
    erfc 0 1 inf 0 -inf 2 30 0
    erfcx 0 1 inf 0 -inf inf -30 inf
    lgamma 1 0 2 0 0 inf -0 inf -3 inf -1e20 inf inf inf -inf inf 1e306 inf
    digamma 0 -inf -0 inf -1 nan -1e20 nan inf inf -inf nan 1e-310 -inf
    trigamma 0 inf -0 inf -1 inf inf 0 -inf inf 1e-200 inf
    erfinv 0 0 -0 -0 1 inf -1 -inf 1.1 nan 5e-324 5e-324
    erfcinv 0 inf 1 0 2 -inf -1 nan 3 nan
    ndtri_exp 0 inf -inf -inf 1 nan
    i0 0 1 inf inf -inf inf 800 inf 1e300 inf
    i1 0 0 -0 -0 inf inf -inf -inf
    i0e 0 1 inf 0
    i1e 0 0 -0 -0 -inf -0
    j0 0 1 inf 0
    j1 0 0 inf 0
    gamma 1 1 5 24 0 inf -0 -inf -1 nan 172 inf inf inf -inf nan -200.5 -0
    floor -0.5 -1 1e300 1e300 inf inf 2.5 2
    ceil 0.5 1 -0.5 -0 -inf -inf
    trunc -1.5 -1 1.5 1 inf inf
    round_half_even 0.5 0 1.5 2 2.5 2 -2.5 -2 inf inf
    round_half_away 0.5 1 -0.5 -1 2.5 3 inf inf 1e300 1e300
    sign -3 -1 5e-324 1 0 0 -0 0 -inf -1
";

#[test]
fn special_values() {
    for line in SPECIAL_VALUES.trim().lines() {
        let (name, values) = line.trim().split_once(' ').expect("a name and values");
        let values: Vec<f64> = values
            .split(' ')
            .map(|x| x.parse().expect("a number"))
            .collect();
        for isa in Isa::available() {
            for pair in values.chunks_exact(2) {
                let (x, want) = (pair[0], pair[1]);
                let got = Function::find(name).eval(isa, &[&[x]])[0];
                assert!(
                    same(got, want),
                    "{name}({x:e}) is {got:e}, not {want:e}, on {isa:?}"
                );
            }
        }
    }
}

/// A function with its arguments and the value.
const BORDERS: &str = "
    polygamma 0 1 -0.5772156649015329
    polygamma 1 0 inf
    polygamma 2 -3 -inf
    polygamma 1.5 1 nan
    gammainc 0 1 1
    gammainc 0 0 nan
    gammainc 2 0 0
    gammainc 2 inf 1
    gammainc inf 2 0
    gammainc -1 1 nan
    gammainc 1e-40 0.5 1
    gammaincc 2 0 1
    gammaincc 2 inf 0
    gammaincc 2 -1 nan
    gamma_density 0.5 0 inf
    gamma_density 1 0 1
    gamma_density 2 0 0
    gamma_density 2 -1 nan
    betainc 2 3 0 0
    betainc 2 3 1 1
    betainc 0 3 0.5 1
    betainc 2 0 0.5 0
    betainc 2 3 1.5 nan
    betainc -2 3 0.5 nan
    beta_density 1 3 0 3
    beta_density 0.5 3 0 inf
    beta_density 2 3 0 0
    owens_t 0 inf 0.25
    owens_t 1 0 0
    owens_t inf 1 0
    ive 0 0 1
    ive 1.5 -1 nan
    ive -0.5 0 inf
    kve 1 0 inf
    kve 1 inf 0
    kve 1 -1 nan
    kve 1e300 1 nan
    kve 150 1e-10 inf
    jv 0 0 1
    jv 3 0 0
    jv 0.5 -1 nan
    hyp2f1 1 2 3 0 1
    hyp2f1 1 1 3 1 2
    hyp2f1 1 2 -1 0.5 nan
    hyp2f1 1 2 3 1.5 nan
    hyp2f1 -1 2 4 1 0.5
";

#[test]
fn functions_of_several_arguments_at_borders() {
    for line in BORDERS.trim().lines() {
        let (name, numbers) = line.trim().split_once(' ').expect("a name and numbers");
        let numbers = numbers.split(' ').map(|x| x.parse().expect("a number"));
        let mut arguments: Vec<f64> = numbers.collect();
        let want = arguments.pop().expect("a value");
        let points: Vec<&[f64]> = arguments.iter().map(std::slice::from_ref).collect();
        let got = Function::find(name).eval(Isa::detect(), &points)[0];
        let close = (got - want).abs() <= 1e-15;
        assert!(same(got, want) || close, "{line} but is {got:e}");
    }
}

#[test]
fn probabilities_never_exceed_one() {
    let small: Vec<f64> = (0..400).map(|k| (-0.5 * f64::from(k)).exp()).collect();
    let mixed: Vec<f64> = small.iter().cycle().skip(271).copied().take(400).collect();
    for (name, arity) in [("gammainc", 2), ("gammaincc", 2), ("betainc", 3)] {
        let points = [&small[..], &mixed[..], &mixed[..]];
        let values = Function::find(name).eval(Isa::detect(), &points[..arity]);
        assert!(values.iter().all(|p| (0.0..=1.0).contains(p)), "{name}");
    }
}

#[test]
fn powers_and_angles_at_special_values() {
    let points = [0.0, 0.5, 1.0, 2.0, 3.0, 1e300, f64::INFINITY, f64::NAN];
    let points: Vec<f64> = points.iter().flat_map(|&x| [x, -x]).collect();
    for (name, twin) in [
        ("pow", f64::powf as fn(f64, f64) -> f64),
        ("atan2", f64::atan2),
    ] {
        for &x in &points {
            for &y in &points {
                let (got, want) = (
                    Function::find(name).eval(Isa::detect(), &[&[x], &[y]])[0],
                    twin(x, y),
                );
                let ordinary = want.is_normal() && ulps(got, want) <= 1;
                assert!(
                    same(got, want) || ordinary,
                    "{name}({x:e}, {y:e}) is {got:e}, not {want:e}"
                );
            }
        }
    }
}

#[test]
fn nan_gives_nan() {
    for function in FUNCTIONS {
        for isa in Isa::available() {
            let y = function.eval(isa, &[&[f64::NAN], &[0.5]])[0];
            assert!(y.is_nan(), "{}(NaN) is {y:e} on {isa:?}", function.name);
        }
    }
}

/// Arguments of every size and sign: random bit patterns and random numbers near 1.
fn arguments(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e3779b97f4a7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
        z ^ (z >> 31)
    };
    (0..n)
        .map(|i| match i % 3 {
            0 => f64::from_bits(next()),
            1 => (next() >> 11) as f64 / (1u64 << 50) as f64 - 4.0,
            _ => (next() >> 11) as f64 / (1u64 << 45) as f64,
        })
        .collect()
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    for function in FUNCTIONS {
        let points = function.points(3000);
        let points: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
        let want = function.eval(Isa::Baseline, &points);
        for isa in Isa::available() {
            let got = function.eval(isa, &points);
            for i in 0..got.len() {
                assert!(
                    same(got[i], want[i]),
                    "{}({:?}) is {:e} on {isa:?} and {:e} on Baseline",
                    function.name,
                    points.iter().map(|x| x[i]).collect::<Vec<_>>(),
                    got[i],
                    want[i]
                );
            }
        }
    }
}

#[test]
fn a_lane_does_not_depend_on_its_neighbours() {
    for function in FUNCTIONS {
        let points = function.points(256);
        let points: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
        let together = function.eval(Isa::detect(), &points);
        for (i, &together) in together.iter().enumerate() {
            let point: Vec<&[f64]> = points.iter().map(|x| &x[i..=i]).collect();
            let alone = function.eval(Isa::detect(), &point)[0];
            assert!(same(together, alone), "{}({point:?})", function.name);
        }
    }
}

#[test]
fn output_may_be_an_input() {
    let (x, y) = (arguments(5, 64), arguments(6, 64));
    for isa in Isa::available() {
        let kernel = Function::find("pow").kernel(isa);
        let want = Function::find("pow").eval(isa, &[&x, &y]);
        let (mut a, mut b) = (x.clone(), y.clone());
        // SAFETY: the processor has `isa`; all slices have 64 elements.
        unsafe {
            kernel(
                a.as_mut_ptr(),
                &[&a, &y, &y, &y].map(|x| source(x.as_ptr())),
                8,
            );
            kernel(
                b.as_mut_ptr(),
                &[&x, &b, &y, &y].map(|x| source(x.as_ptr())),
                8,
            );
        }
        assert!((0..64).all(|i| same(a[i], want[i]) && same(b[i], want[i])));
    }
}

/// Prints nanoseconds an element, by instruction set, and fails where a kernel lost its SIMD, as it
/// does when the compiler does not inline all of it:
/// `cargo test --release --no-default-features timings -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, which other load on the machine disturbs"]
fn timings() {
    let x: Vec<f64> = (0..256).map(|i| (f64::from(i) + 0.5) / 64.0).collect();
    let mut slow = Vec::new();
    for function in FUNCTIONS {
        let seconds = |isa: Isa| {
            let mut out = vec![0.0; x.len()];
            let mut best = f64::MAX;
            for _ in 0..200 {
                let start = Instant::now();
                for _ in 0..20 {
                    let (x, out) = (black_box(x.as_ptr()), black_box(out.as_mut_ptr()));
                    // SAFETY: the processor has `isa`; the slices have 256 elements.
                    unsafe { function.kernel(isa)(out, &[source(x); MOST_ARGUMENTS], 32) };
                }
                best = best.min(start.elapsed().as_secs_f64());
            }
            best / (20.0 * 256.0)
        };
        print!("{:16}", function.name);
        let baseline = seconds(Isa::Baseline);
        print!(" Baseline {:6.2} ns", baseline * 1e9);
        for &isa in &Isa::available()[1..] {
            let time = seconds(isa);
            print!("  {isa:?} {:5.2} ns", time * 1e9);
            let exact = matches!(function.bound, Ulp(0));
            if !exact && !function.is_per_lane && time > baseline / 5.0 {
                slow.push((function.name, isa));
            }
        }
        println!();
    }
    assert!(slow.is_empty(), "no SIMD in {slow:?}");
}

#[test]
fn pairs_have_the_bits_of_each_function() {
    let special = [
        0.0,
        -0.0,
        1e-300,
        700.0,
        -800.0,
        3e9,
        f64::INFINITY,
        f64::NAN,
    ];
    let mut inputs: Vec<f64> = special.iter().flat_map(|&x| [x, -x]).collect();
    inputs.extend((0..1000).map(|i| 40.0 * (f64::from(i) - 499.3) / 500.0));
    let chunks = inputs.len() / LANES;
    let source = Source {
        pointer: inputs.as_ptr(),
        step: LANES,
    };
    let sources = [source; MOST_ARGUMENTS];
    let mut pairs = 0;
    for &f in ScalarFn::ALL {
        for &g in ScalarFn::ALL {
            let Some(kernels) = f.paired_with(g) else {
                continue;
            };
            pairs += 1;
            let available = Isa::detect() as usize + 1;
            for (isa, pair) in kernels.into_iter().enumerate().take(available) {
                let [mut a, mut b, mut c] = [(); 3].map(|()| vec![0.0; inputs.len()]);
                let mut d = inputs.clone();
                // SAFETY: all hold as many whole chunks, and this processor has the instruction sets up to its own.
                unsafe {
                    (f.kernels()[isa])(a.as_mut_ptr(), &sources, chunks);
                    (g.kernels()[isa])(b.as_mut_ptr(), &sources, chunks);
                    let itself = Source {
                        pointer: d.as_ptr(),
                        step: LANES,
                    };
                    pair([c.as_mut_ptr(), d.as_mut_ptr()], itself, chunks);
                }
                let same =
                    |x: &f64, y: &f64| x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
                for (what, alone, paired) in [(f, &a, &c), (g, &b, &d)] {
                    let differs = (0..inputs.len()).find(|&i| !same(&alone[i], &paired[i]));
                    let x = differs.map(|i| inputs[i]);
                    assert_eq!(x, None, "{} with its pair", what.name());
                }
            }
        }
    }
    assert!(pairs > 0);
}

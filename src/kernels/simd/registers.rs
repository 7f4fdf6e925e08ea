//! The macro that makes [`Lanes`](super::Lanes) of an instruction set's registers.

/// Implements [`Lanes`] for `$n` registers of type `$reg` from the instructions on one of them.
macro_rules! lanes {
    (
        $(#[$doc:meta])*
        $name:ident, $mask_name:ident, [$reg:ty; $n:literal], $mask:ty,
        splat: $splat:expr, arithmetic: [$add:expr, $sub:expr, $mul:expr, $div:expr, $fma:expr, $sqrt:expr],
        rounding: [$floor:expr, $ceil:expr, $trunc:expr, $round:expr],
        order: [$min:expr, $max:expr, $lt:expr, $le:expr, $eq:expr],
        bits: [$and:expr, $or:expr, $xor:expr, $add_bits:expr, $shl52:expr, $shr52:expr],
        masks: [$select:expr, $any:expr, $mask_and:expr, $mask_or:expr, $mask_not:expr],
        $(scale_exp2: $scale_exp2:expr,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name([$reg; $n]);

        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $mask_name([$mask; $n]);

        lanes!(@operators $name, Add add $add, Sub sub $sub, Mul mul $mul, Div div $div);
        lanes!(@assign $name, AddAssign add_assign +, SubAssign sub_assign -, MulAssign mul_assign *);

        impl Neg for $name {
            type Output = $name;
            #[inline(always)]
            fn neg(self) -> $name {
                self.xor(Self::splat_bits(SIGN))
            }
        }

        #[allow(unused_unsafe, clippy::useless_transmute)]
        impl Lanes for $name {
            type Mask = $mask_name;

            #[inline(always)]
            fn splat(x: f64) -> $name {
                // SAFETY: see `Lanes`: the processor has the instruction.
                $name([unsafe { $splat(x) }; $n])
            }
            #[inline(always)]
            fn from_array(x: [f64; LANES]) -> $name {
                // SAFETY: the registers are eight f64 in the order of memory.
                $name(unsafe { transmute::<[f64; LANES], [$reg; $n]>(x) })
            }
            #[inline(always)]
            fn to_array(self) -> [f64; LANES] {
                // SAFETY: as for `from_array`.
                unsafe { transmute::<[$reg; $n], [f64; LANES]>(self.0) }
            }
            #[inline(always)]
            fn mul_add(self, a: $name, b: $name) -> $name {
                // SAFETY: see `Lanes`: the processor has the instruction.
                $name(lanes!(@each $n, i, unsafe { $fma(self.0[i], a.0[i], b.0[i]) }))
            }
            lanes!(@unary $name, sqrt $sqrt, floor $floor, ceil $ceil, trunc $trunc,
                round_half_even $round, shl52 $shl52, shr52 $shr52);
            lanes!(@binary $name $name, min $min, max $max, and $and, or $or, xor $xor, add_bits $add_bits);
            $(lanes!(@binary $name $name, scale_exp2 $scale_exp2);)?
            lanes!(@binary $name $mask_name, lt $lt, le $le, eq $eq);
        }

        #[allow(unused_unsafe)]
        impl LaneMask for $mask_name {
            type V = $name;

            #[inline(always)]
            fn select(self, a: $name, b: $name) -> $name {
                // SAFETY: see `Lanes`: the processor has the instruction.
                $name(lanes!(@each $n, i, unsafe { $select(self.0[i], a.0[i], b.0[i]) }))
            }
            #[inline(always)]
            fn any(self) -> bool {
                // SAFETY: see `Lanes`: the processor has the instruction.
                self.0.iter().fold(false, |any, mask| any | unsafe { $any(*mask) })
            }
        }

        impl BitAnd for $mask_name {
            type Output = $mask_name;
            lanes!(@binary $mask_name $mask_name, bitand $mask_and);
        }

        impl BitOr for $mask_name {
            type Output = $mask_name;
            lanes!(@binary $mask_name $mask_name, bitor $mask_or);
        }

        impl Not for $mask_name {
            type Output = $mask_name;
            lanes!(@unary $mask_name, not $mask_not);
        }
    };
    (@operators $name:ident, $($trait:ident $method:ident $f:expr),*) => {$(
        impl $trait for $name {
            type Output = $name;
            lanes!(@binary $name $name, $method $f);
        }

        impl $trait<f64> for $name {
            type Output = $name;
            #[inline(always)]
            fn $method(self, other: f64) -> $name {
                $trait::$method(self, Self::splat(other))
            }
        }
    )*};
    (@assign $name:ident, $($trait:ident $method:ident $op:tt),*) => {$(
        impl $trait for $name {
            #[inline(always)]
            fn $method(&mut self, other: $name) {
                *self = *self $op other;
            }
        }
    )*};
    (@unary $out:ident, $($method:ident $f:expr),*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe)]
        fn $method(self) -> $out {
            // SAFETY: see `Lanes`: the processor has the instruction.
            $out(lanes!(@each self.0.len(), i, unsafe { $f(self.0[i]) }))
        }
    )*};
    (@binary $in:ident $out:ident, $($method:ident $f:expr),*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe)]
        fn $method(self, other: $in) -> $out {
            // SAFETY: see `Lanes`: the processor has the instruction.
            $out(lanes!(@each self.0.len(), i, unsafe { $f(self.0[i], other.0[i]) }))
        }
    )*};
    // A plain loop: `array::from_fn` hides the instruction in a closure that is not always inlined, and a call a
    // register costs more than a hundred instructions.
    (@each $n:expr, $i:ident, $value:expr) => {{
        let $i = 0;
        let mut registers = [$value; _];
        let mut next = 1;
        while next < $n {
            let $i = next;
            registers[$i] = $value;
            next += 1;
        }
        registers
    }};
}

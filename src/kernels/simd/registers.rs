//! The macro that makes [`Lanes`](super::Lanes) of an instruction set's registers.

/// Implements [`Lanes`] for `$n` registers of type `$reg` from the instructions on one of them.
macro_rules! lanes {
    (
        $(#[$doc:meta])*
        $name:ident, $mask_name:ident, [$reg:ty; $n:literal] $index:tt, $mask:ty,
        splat: $splat:expr, arithmetic: [$add:expr, $sub:expr, $mul:expr, $div:expr, $fma:expr, $sqrt:expr],
        rounding: [$floor:expr, $ceil:expr, $trunc:expr, $round:expr],
        order: [$min:expr, $max:expr, $lt:expr, $le:expr, $eq:expr],
        bits: [$and:expr, $or:expr, $xor:expr, $add_bits:expr, $shl52:expr, $shr52:expr],
        masks: [$select:expr, $any:expr, $mask_and:expr, $mask_or:expr, $mask_not:expr],
        $(scale_exp2: $scale_exp2:expr,)?
        $(transpose: $transpose:expr,)?
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name([$reg; $n]);

        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $mask_name([$mask; $n]);

        lanes!(@operators $name $index, Add add $add, Sub sub $sub, Mul mul $mul, Div div $div);
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
            const REGISTERS: usize = $n;

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
                unsafe { lanes!(@each $name $index $fma, self a b) }
            }
            lanes!(@unary $name $index, sqrt $sqrt, floor $floor, ceil $ceil, trunc $trunc,
                round_half_even $round, shl52 $shl52, shr52 $shr52);
            lanes!(@binary $name $name $index, min $min, max $max, and $and, or $or, xor $xor, add_bits $add_bits);
            $(lanes!(@binary $name $name $index, scale_exp2 $scale_exp2);)?
            $(
                #[inline(always)]
                fn transpose(square: &mut [$name; LANES]) {
                    // SAFETY: see `Lanes`: the processor has the instructions.
                    unsafe { $transpose(square) }
                }
            )?
            lanes!(@binary $name $mask_name $index, lt $lt, le $le, eq $eq);
        }

        #[allow(unused_unsafe)]
        impl LaneMask for $mask_name {
            type V = $name;

            #[inline(always)]
            fn select(self, a: $name, b: $name) -> $name {
                // SAFETY: see `Lanes`: the processor has the instruction.
                unsafe { lanes!(@each $name $index $select, self a b) }
            }
            #[inline(always)]
            fn any(self) -> bool {
                // SAFETY: see `Lanes`: the processor has the instruction.
                unsafe { lanes!(@any $index $any, self) }
            }
        }

        impl BitAnd for $mask_name {
            type Output = $mask_name;
            lanes!(@binary $mask_name $mask_name $index, bitand $mask_and);
        }

        impl BitOr for $mask_name {
            type Output = $mask_name;
            lanes!(@binary $mask_name $mask_name $index, bitor $mask_or);
        }

        impl Not for $mask_name {
            type Output = $mask_name;
            lanes!(@unary $mask_name $index, not $mask_not);
        }
    };
    (@operators $name:ident $index:tt, $($trait:ident $method:ident $f:expr),*) => {$(
        impl $trait for $name {
            type Output = $name;
            lanes!(@binary $name $name $index, $method $f);
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
    (@unary $out:ident $index:tt, $($method:ident $f:expr),*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe)]
        fn $method(self) -> $out {
            // SAFETY: see `Lanes`: the processor has the instruction.
            unsafe { lanes!(@each $out $index $f, self) }
        }
    )*};
    (@binary $in:ident $out:ident $index:tt, $($method:ident $f:expr),*) => {$(
        #[inline(always)]
        #[allow(unused_unsafe)]
        fn $method(self, other: $in) -> $out {
            // SAFETY: see `Lanes`: the processor has the instruction.
            unsafe { lanes!(@each $out $index $f, self other) }
        }
    )*};
    // Spelled out a register at a time: with a closure over the registers it would be up to the
    // compiler to inline it, and what it does not inline is not compiled for the instruction set.
    (@each $out:ident ($($i:tt)*) $f:expr, $a:ident) => {
        $out([$($f($a.0[$i])),*])
    };
    (@each $out:ident ($($i:tt)*) $f:expr, $a:ident $b:ident) => {
        $out([$($f($a.0[$i], $b.0[$i])),*])
    };
    (@each $out:ident ($($i:tt)*) $f:expr, $a:ident $b:ident $c:ident) => {
        $out([$($f($a.0[$i], $b.0[$i], $c.0[$i])),*])
    };
    (@any ($($i:tt)*) $f:expr, $a:ident) => {
        $($f($a.0[$i]))|*
    };
}

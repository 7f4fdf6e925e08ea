//! NumPy's `default_rng`: `SeedSequence` and `PCG64`, so that starting points are those that Python draws.
//!
//! Both are fixed for good by NumPy's compatibility policy (NEP 19). `SeedSequence` is O'Neill's `seed_seq_fe`
//! (<https://www.pcg-random.org/posts/developing-a-seed_seq-alternative.html>), `PCG64` her XSL-RR generator with
//! 128 bits of state (O'Neill 2014, HMC-CS-2014-0905).

const POOL: usize = 4;
const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// A multiplicative hash whose multiplier changes with every word.
struct Hash {
    constant: u32,
    multiplier: u32,
}

impl Hash {
    fn next(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.multiplier);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> 16
    }
}

fn mix(x: u32, y: u32) -> u32 {
    let mixed = x
        .wrapping_mul(0xca01_f9dd)
        .wrapping_sub(y.wrapping_mul(0x4973_f715));
    mixed ^ mixed >> 16
}

/// `SeedSequence(seed, spawn_key=(child,)).generate_state(4, uint64)`; without a child, of the sequence itself.
fn state(seed: u64, child: Option<u32>) -> [u64; 4] {
    let mut entropy = vec![seed as u32];
    if seed >> 32 > 0 {
        entropy.push((seed >> 32) as u32);
    }
    if let Some(child) = child {
        entropy.resize(POOL, 0);
        entropy.push(child);
    }
    let mut hash = Hash {
        constant: 0x43b0_d7e5,
        multiplier: 0x931e_8875,
    };
    let mut pool = [0; POOL];
    for (i, word) in pool.iter_mut().enumerate() {
        *word = hash.next(entropy.get(i).copied().unwrap_or(0));
    }
    for from in 0..POOL {
        for to in (0..POOL).filter(|&to| to != from) {
            pool[to] = mix(pool[to], hash.next(pool[from]));
        }
    }
    for &word in entropy.iter().skip(POOL) {
        for to in &mut pool {
            *to = mix(*to, hash.next(word));
        }
    }
    let mut hash = Hash {
        constant: 0x8b51_f9dd,
        multiplier: 0x58f3_8ded,
    };
    let mut word = |i: usize| u64::from(hash.next(pool[i % POOL]));
    std::array::from_fn(|i| word(2 * i) | word(2 * i + 1) << 32)
}

/// `numpy.random.Generator(PCG64(...))`, as far as starting points need it.
pub struct Generator {
    state: u128,
    increment: u128,
    /// The upper half of a number of which the lower one has been used.
    half: Option<u32>,
}

impl Generator {
    /// `numpy.random.default_rng(seed)`, or the generator of child number `child` of its `SeedSequence`.
    pub fn new(seed: u64, child: Option<u32>) -> Generator {
        let [a, b, c, d] = state(seed, child).map(u128::from);
        let mut generator = Generator {
            state: 0,
            increment: (c << 64 | d) << 1 | 1,
            half: None,
        };
        generator.step();
        generator.state = generator.state.wrapping_add(a << 64 | b);
        generator.step();
        generator
    }

    fn step(&mut self) {
        self.state = self
            .state
            .wrapping_mul(MULTIPLIER)
            .wrapping_add(self.increment);
    }

    fn next(&mut self) -> u64 {
        self.step();
        let (high, low) = ((self.state >> 64) as u64, self.state as u64);
        (high ^ low).rotate_right((self.state >> 122) as u32)
    }

    /// `uniform(-1, 1)`.
    pub fn jitter(&mut self) -> f64 {
        let unit = (self.next() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        -1.0 + 2.0 * unit
    }

    /// `integers(2**30)`.
    pub fn seed(&mut self) -> u64 {
        let word = match self.half.take() {
            Some(word) => word,
            None => {
                let both = self.next();
                self.half = Some((both >> 32) as u32);
                both as u32
            }
        };
        u64::from(word >> 2)
    }
}

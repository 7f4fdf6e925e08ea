//! The order in which variables are eliminated: levels of variables that do not know of one another, then a dense core.
//!
//! Gaussian elimination of a variable joins those that it is linked to. Those of a level are not linked, so all of them
//! are eliminated by a few vector operations: the effects of one group index by a single level, with no matrix at all;
//! intercepts and slopes by two; nested groups level by level, up to their common mean. Levels are chosen greedily,
//! variables with few links first (Liu 1985, ACM Trans. Math. Softw. 11). What is left when levels get small is a
//! dense matrix.

use std::collections::{BTreeMap, BTreeSet};

/// Levels with fewer elements are not worth their vector operations, unless no more than these are left.
const LEAST_LEVEL: usize = 4;

/// Links of a level to the core are a dense matrix where at least this share of them is there.
const DENSE: f64 = 0.3;

/// An order of elimination; elements are numbers of rows of the curvature.
pub struct Order {
    /// The elements of each level, then those of the core.
    pub segments: Vec<Vec<u32>>,
    /// Number of levels; there is a core if there is one more segment.
    pub levels: usize,
    /// Segment and position in it of each element.
    pub places: Vec<(usize, u32)>,
    /// Links between a level and a later segment, those that arise included: positions in both, in order.
    pub links: BTreeMap<(usize, usize), Vec<[u32; 2]>>,
    /// Nanoseconds that elimination with its reverse takes, roughly.
    pub work: f64,
    /// The share of that which is the core's own.
    pub core_work: f64,
}

impl Order {
    /// An order for `count` elements that are linked as given.
    pub fn new(count: usize, linked: impl Iterator<Item = [u32; 2]>) -> Order {
        let mut neighbours = vec![BTreeSet::new(); count];
        for [i, j] in linked {
            if i != j {
                neighbours[i as usize].insert(j);
                neighbours[j as usize].insert(i);
            }
        }
        let mut left: Vec<u32> = (0..count as u32).collect();
        let mut order = Order {
            segments: vec![],
            levels: 0,
            places: vec![(0, 0); count],
            links: BTreeMap::new(),
            work: 0.0,
            core_work: 0.0,
        };
        let mut of_level = vec![];
        while !left.is_empty() {
            let level = independent(&left, &neighbours);
            if level.len() < LEAST_LEVEL && left.len() > LEAST_LEVEL {
                break;
            }
            for &e in &level {
                let around: Vec<u32> = neighbours[e as usize].iter().copied().collect();
                for &r in &around {
                    neighbours[r as usize].remove(&e);
                }
                for (k, &r) in around.iter().enumerate() {
                    for &other in &around[..k] {
                        neighbours[r as usize].insert(other);
                        neighbours[other as usize].insert(r);
                    }
                }
                of_level.push((order.segments.len(), e, around));
            }
            let chosen: BTreeSet<u32> = level.iter().copied().collect();
            left.retain(|element| !chosen.contains(element));
            order.segments.push(level);
        }
        order.levels = order.segments.len();
        if !left.is_empty() {
            order.core_work = 0.4 * (left.len() as f64).powi(3);
            order.segments.push(left);
        }
        for (segment, elements) in order.segments.iter().enumerate() {
            for (position, &element) in elements.iter().enumerate() {
                order.places[element as usize] = (segment, position as u32);
            }
        }
        for (level, e, around) in of_level {
            for r in around {
                let (segment, position) = order.places[r as usize];
                let links = order.links.entry((level, segment)).or_default();
                links.push([order.places[e as usize].1, position]);
            }
        }
        order
            .links
            .values_mut()
            .for_each(|links| links.sort_unstable());
        order.work = order.core_work + order.level_work();
        order
    }

    /// Whether the links of a level to the core are to be a dense matrix.
    pub fn is_dense(&self, level: usize, segment: usize) -> bool {
        let size = self.segments[level].len() * self.segments[segment].len();
        segment == self.levels
            && self.segments[segment].len() >= LEAST_LEVEL
            && self.links[&(level, segment)].len() as f64 >= DENSE * size as f64
    }

    fn level_work(&self) -> f64 {
        let mut total = 0.0;
        for level in 0..self.levels {
            let mut links = vec![0.0; self.segments[level].len()];
            for (&(_, segment), pairs) in self.links.range((level, 0)..(level + 1, 0)) {
                if self.is_dense(level, segment) {
                    let width = self.segments[segment].len() as f64;
                    total += 0.3 * self.segments[level].len() as f64 * width * width;
                } else {
                    pairs.iter().for_each(|[e, _]| links[*e as usize] += 1.0);
                }
            }
            total += links.iter().map(|n| 3.0 + 1.5 * n * (n + 2.0)).sum::<f64>();
        }
        total
    }
}

/// Elements none of which are linked, those with few links first and none with exceptionally many; in order.
fn independent(left: &[u32], neighbours: &[BTreeSet<u32>]) -> Vec<u32> {
    let degree = |e: u32| neighbours[e as usize].len();
    let mut sorted = left.to_vec();
    sorted.sort_by_key(|&e| (degree(e), e));
    let most = 1 + 2 * degree(sorted[sorted.len() / 2]);
    let mut blocked: BTreeSet<u32> = BTreeSet::new();
    let mut chosen = vec![];
    for e in sorted {
        if degree(e) <= most && !blocked.contains(&e) {
            blocked.extend(&neighbours[e as usize]);
            chosen.push(e);
        }
    }
    chosen.sort_unstable();
    chosen
}

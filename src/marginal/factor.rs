//! The curvature, factorised: L D L' by levels and a Cholesky factor of the core, as nodes of the graph.

use super::curvature::{Part, sums};
use super::elimination::Order;
use super::jacobian::pick;
use crate::bound::{Builder, Copy, Id, Reduction};
use crate::kernels::linalg::triangular::Triangular;
use crate::scalar::ScalarFn::{Log, Reciprocal, Sqrt};
use crate::tensor::Table;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A factorised curvature.
pub struct Factor<'a> {
    order: &'a Order,
    /// The diagonals of the levels; a single value stands for all.
    diagonals: Vec<Id>,
    inverses: Vec<Id>,
    /// Links of levels to later segments, divided by the level's diagonal.
    links: BTreeMap<(usize, usize), Links>,
    /// The Cholesky factor of what is left of the core.
    core: Option<Id>,
}

/// Elements of the factor between a level and a later segment.
struct Links {
    values: Id,
    /// Positions in the level and in the segment.
    level: Vec<u32>,
    segment: Vec<u32>,
}

/// The lower triangular factor of the core.
const LOWER: Triangular = Triangular {
    lower: true,
    transposed: false,
    unit: false,
};

/// Sums of nodes, or nothing yet.
type Sum = Option<Id>;

fn add(b: &mut Builder, sum: &mut Sum, value: Id) {
    *sum = Some(match *sum {
        Some(sum) => b.add(sum, value),
        None => value,
    });
}

/// Elements of the curvature while it is eliminated.
struct Rest {
    diagonals: Vec<Sum>,
    links: BTreeMap<(usize, usize), Sum>,
    core: Sum,
}

/// Where elements of the curvature are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Diagonal(usize),
    Links(usize, usize),
    Core,
}

impl<'a> Factor<'a> {
    /// Factorises the sum of parts, whose values are copied from another graph.
    pub fn new(b: &mut Builder, order: &'a Order, parts: &[Part], copy: &mut Copy) -> Factor<'a> {
        let places = LinkPlaces::new(order);
        let mut rest = Rest {
            diagonals: vec![None; order.levels],
            links: order.links.keys().map(|&key| (key, None)).collect(),
            core: None,
        };
        for part in parts {
            let values = copy.of(b, part.values);
            let mut split: BTreeMap<Target, [Vec<u32>; 2]> = BTreeMap::new();
            for (e, (&i, &j)) in part.i.iter().zip(&part.j).enumerate() {
                let (target, position) = places.of(i, j);
                let [sources, positions] = split.entry(target).or_default();
                sources.push(e as u32);
                positions.push(position);
            }
            for (target, [sources, positions]) in split {
                let values = pick(b, values, sources);
                rest.add(b, order, target, values, positions);
            }
        }
        let mut factor = Factor {
            order,
            diagonals: vec![],
            inverses: vec![],
            links: BTreeMap::new(),
            core: None,
        };
        for level in 0..order.levels {
            factor.eliminate(b, &places, &mut rest, level);
        }
        if let Some(core) = order.segments.get(order.levels) {
            let m = core.len();
            let values = rest.core.unwrap_or_else(|| b.number(0.0));
            let matrix = match b.size(values) {
                1 => b.broadcast(values, &[m, m]),
                _ => b.reshape(values, &[m, m]),
            };
            factor.core = Some(b.cholesky(matrix));
        }
        factor
    }

    /// Eliminates a level: what it is linked to is linked by products of the links.
    fn eliminate(&mut self, b: &mut Builder, places: &LinkPlaces, rest: &mut Rest, level: usize) {
        let order = self.order;
        let zero = b.number(0.0);
        let diagonal = rest.diagonals[level].unwrap_or(zero);
        let inverse = b.map(Reciprocal, &[diagonal]);
        let keys = order.links.range((level, 0)..(level + 1, 0));
        let keys: Vec<(usize, usize)> = keys.map(|(&key, _)| key).collect();
        let mut made: Vec<(usize, Id, Links)> = vec![];
        for &key in &keys {
            let links = &order.links[&key];
            let of_level: Vec<u32> = links.iter().map(|link| link[0]).collect();
            let segment = links.iter().map(|link| link[1]).collect();
            let values = rest.links[&key].unwrap_or(zero);
            let scale = pick(b, inverse, of_level.clone());
            let scaled = b.mul(values, scale);
            let links = Links {
                values: scaled,
                level: of_level,
                segment,
            };
            made.push((key.1, values, links));
        }
        for (k, (s, values, first)) in made.iter().enumerate() {
            if order.is_dense(level, *s) {
                self.eliminate_dense(b, rest, *values, first);
            }
            for (t, _, second) in &made[k..] {
                if s == t && order.is_dense(level, *s) {
                    continue;
                }
                let mut of_second = vec![vec![]; order.segments[level].len()];
                for (g, &e) in second.level.iter().enumerate() {
                    of_second[e as usize].push(g);
                }
                let mut split: BTreeMap<Target, [Vec<u32>; 3]> = BTreeMap::new();
                for (f, &e) in first.level.iter().enumerate() {
                    for &g in &of_second[e as usize] {
                        if s == t && g < f {
                            continue;
                        }
                        let ends = (first.segment[f], second.segment[g]);
                        let i = order.segments[*s][ends.0 as usize];
                        let j = order.segments[*t][ends.1 as usize];
                        let (target, position) = places.of(i, j);
                        let [firsts, seconds, positions] = split.entry(target).or_default();
                        firsts.push(f as u32);
                        seconds.push(g as u32);
                        positions.push(position);
                    }
                }
                for (target, [firsts, seconds, positions]) in split {
                    let (x, y) = (pick(b, *values, firsts), pick(b, second.values, seconds));
                    let product = b.mul(x, y);
                    let change = b.neg(product);
                    rest.add(b, order, target, change, positions);
                }
            }
        }
        self.diagonals.push(diagonal);
        self.inverses.push(inverse);
        for (segment, _, links) in made {
            self.links.insert((level, segment), links);
        }
    }

    /// As a matrix product, for links of nearly all of a level to nearly all of the core.
    fn eliminate_dense(&self, b: &mut Builder, rest: &mut Rest, values: Id, scaled: &Links) {
        let m = self.order.segments[self.order.levels].len();
        let rows = scaled
            .level
            .iter()
            .max()
            .map_or(0, |&last| last as usize + 1);
        let ends = scaled.level.iter().zip(&scaled.segment);
        let table: Vec<u32> = ends.map(|(&e, &r)| e * m as u32 + r).collect();
        let [x, y] = [values, scaled.values].map(|values| {
            let values = sums(b, values, table.clone(), rows * m);
            match b.size(values) {
                1 => b.broadcast(values, &[rows, m]),
                _ => b.reshape(values, &[rows, m]),
            }
        });
        let product = b.matmul(x, y, [true, false]);
        let product = b.reshape(product, &[m * m]);
        let change = b.neg(product);
        add(b, &mut rest.core, change);
    }

    /// Logarithm of the determinant.
    pub fn log_determinant(&self, b: &mut Builder) -> Id {
        let mut total = b.number(0.0);
        for (level, &diagonal) in self.diagonals.iter().enumerate() {
            let log = b.map(Log, &[diagonal]);
            let sum = match b.size(log) {
                1 => b.mul_number(self.order.segments[level].len() as f64, log),
                _ => b.reduce(Reduction::Sum, log, &[0]),
            };
            let sum = b.reshape(sum, &[]);
            total = b.add(total, sum);
        }
        if let Some(core) = self.core {
            let m = b.shape(core)[0];
            let diagonal = b.view(core, 0, vec![m as isize + 1], vec![m]);
            let log = b.map(Log, &[diagonal]);
            let sum = b.reduce(Reduction::Sum, log, &[0]);
            let sum = b.mul_number(2.0, sum);
            total = b.add(total, sum);
        }
        total
    }

    /// The solution x of A x = v, plus, for a standard normal `noise`, a normal vector with covariance A^-1.
    pub fn solve(&self, b: &mut Builder, v: Id, noise: Option<Id>) -> Id {
        let order = self.order;
        let segments = &order.segments;
        let mut right: Vec<Id> = segments
            .iter()
            .map(|elements| pick(b, v, elements.clone()))
            .collect();
        for (&(level, segment), links) in &self.links {
            let values = pick(b, right[level], links.level.clone());
            let products = b.mul(links.values, values);
            let sum = sums(b, products, links.segment.clone(), segments[segment].len());
            right[segment] = b.sub(right[segment], sum);
        }
        let mut x = right;
        if let Some(core) = self.core {
            let m = b.shape(core)[0];
            let column = match b.size(x[order.levels]) {
                1 => b.broadcast(x[order.levels], &[m, 1]),
                _ => b.reshape(x[order.levels], &[m, 1]),
            };
            let mut half = b.solve_triangular(LOWER, core, column);
            if let Some(noise) = noise {
                let noise = pick(b, noise, segments[order.levels].clone());
                let noise = match b.size(noise) {
                    1 => b.broadcast(noise, &[m, 1]),
                    _ => b.reshape(noise, &[m, 1]),
                };
                half = b.add(half, noise);
            }
            let upper = Triangular {
                transposed: true,
                ..LOWER
            };
            let solution = b.solve_triangular(upper, core, half);
            x[order.levels] = b.reshape(solution, &[m]);
        }
        for level in (0..order.levels).rev() {
            x[level] = b.mul(x[level], self.inverses[level]);
            if let Some(noise) = noise {
                let noise = pick(b, noise, segments[level].clone());
                let deviation = b.map(Sqrt, &[self.inverses[level]]);
                let noise = b.mul(noise, deviation);
                x[level] = b.add(x[level], noise);
            }
            for (&(_, segment), links) in self.links.range((level, 0)..(level + 1, 0)) {
                let values = pick(b, x[segment], links.segment.clone());
                let products = b.mul(links.values, values);
                let sum = sums(b, products, links.level.clone(), segments[level].len());
                x[level] = b.sub(x[level], sum);
            }
        }
        let whole: Vec<Id> = x
            .into_iter()
            .zip(segments)
            .map(|(x, elements)| match b.size(x) {
                1 => b.broadcast(x, &[elements.len()]),
                _ => b.reshape(x, &[elements.len()]),
            })
            .collect();
        let whole = b.concat(&whole, 0);
        let mut start = 0;
        let starts: Vec<u32> = segments
            .iter()
            .map(|elements| {
                start += elements.len() as u32;
                start - elements.len() as u32
            })
            .collect();
        let table: Vec<u32> = order
            .places
            .iter()
            .map(|&(segment, position)| starts[segment] + position)
            .collect();
        match table.iter().enumerate().all(|(i, &p)| i as u32 == p) {
            true => whole,
            false => b.gather(whole, Arc::new(Table::new(table)), vec![order.places.len()]),
        }
    }
}

impl Rest {
    fn add(
        &mut self,
        b: &mut Builder,
        order: &Order,
        target: Target,
        values: Id,
        positions: Vec<u32>,
    ) {
        let m = order.segments.get(order.levels).map_or(0, Vec::len);
        let (size, sum) = match target {
            Target::Diagonal(level) => (order.segments[level].len(), &mut self.diagonals[level]),
            Target::Links(level, segment) => {
                let key = (level, segment);
                (order.links[&key].len(), self.links.entry(key).or_default())
            }
            Target::Core => (m * m, &mut self.core),
        };
        let values = sums(b, values, positions, size);
        // What is one number stands for all; the core is a matrix, of which most parts fill some elements.
        let values = match b.size(values) == 1 && size > 1 && target == Target::Core {
            true => b.broadcast(values, &[size]),
            false => values,
        };
        add(b, sum, values);
    }
}

/// Where the elements of the curvature are kept in an order of elimination.
struct LinkPlaces<'a> {
    order: &'a Order,
}

impl<'a> LinkPlaces<'a> {
    fn new(order: &'a Order) -> LinkPlaces<'a> {
        LinkPlaces { order }
    }

    /// Target and position there of element (i, j), in either order.
    fn of(&self, i: u32, j: u32) -> (Target, u32) {
        let order = self.order;
        let (mut x, mut y) = (order.places[i as usize], order.places[j as usize]);
        if x > y {
            (x, y) = (y, x);
        }
        if x.0 == order.levels {
            let m = order.segments[order.levels].len() as u32;
            return (Target::Core, y.1 * m + x.1);
        }
        if x.0 == y.0 {
            debug_assert_eq!(x.1, y.1, "elements of a level are not linked");
            return (Target::Diagonal(x.0), x.1);
        }
        let links = &order.links[&(x.0, y.0)];
        let position = links.binary_search(&[x.1, y.1]).unwrap_or(0);
        (Target::Links(x.0, y.0), position as u32)
    }
}

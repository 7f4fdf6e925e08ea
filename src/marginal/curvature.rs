//! Curvature: minus the second derivatives of a quadratic log density by its variables, as nodes of the graph.
//!
//! The log density is a sum of products x y of affine nodes times multipliers, its derivatives by the products, which do
//! not depend on the variables. Each product adds -(multiplier) (J_x' J_y + J_y' J_x).

use super::Variable;
use super::degree::Degrees;
use super::jacobian::{Entries, Jacobians, pick};
use crate::bound::{BindError, Builder, Id, Op};
use crate::diff;
use crate::tensor::{Table, Tensor};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Elements (i, j) of the lower triangle of a symmetric matrix, none twice; a single value stands for all.
pub struct Part {
    pub i: Vec<u32>,
    pub j: Vec<u32>,
    pub values: Id,
}

/// Pairs of derivatives that are multiplied.
const MOST_PAIRS: usize = 1 << 22;

/// Parts whose sum is the curvature; none if there would be too many elements.
pub fn curvature(
    b: &mut Builder,
    logp: Id,
    degrees: &Degrees,
    variables: &[Variable],
) -> Result<Option<Vec<Part>>, BindError> {
    let is_product = |&id: &Id| {
        let inputs = &b.node(id).inputs;
        degrees.of(id) == 2 && inputs.iter().all(|&input| degrees.of(input) < 2)
    };
    let reachable = b.reachable(&[logp]);
    let products: Vec<Id> = reachable.into_iter().filter(is_product).collect();
    let one = b.number(1.0);
    let multipliers = diff::pullback(b, &[(logp, one)], &products)?;
    let mut jacobians = Jacobians::new(variables, degrees);
    let mut pairs = Pairs::default();
    for (&id, &multiplier) in products.iter().zip(&multipliers) {
        if pairs.product(b, &mut jacobians, id, multiplier).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(pairs.parts))
}

#[derive(Default)]
struct Pairs {
    parts: Vec<Part>,
    count: usize,
}

impl Pairs {
    /// Adds what a product of affine nodes contributes; none if that is too much.
    fn product(
        &mut self,
        b: &mut Builder,
        jacobians: &mut Jacobians,
        id: Id,
        multiplier: Id,
    ) -> Option<()> {
        let node = b.node(id).clone();
        let (x, y) = (node.inputs[0], *node.inputs.last()?);
        if let Op::MatMul {
            sizes: [batch, m, k, n],
            transposed,
        } = node.op
        {
            let mut from: [Vec<u32>; 3] = Default::default();
            for p in 0..batch * m * n * k {
                let (l, j) = (p % k, p / k % n);
                let (i, matrix) = (p / (k * n) % m, p / (k * n * m));
                let in_x = if transposed[0] { l * m + i } else { i * k + l };
                let in_y = if transposed[1] { j * k + l } else { l * n + j };
                from[0].push((matrix * m * k + in_x) as u32);
                from[1].push((matrix * k * n + in_y) as u32);
                from[2].push((p / k) as u32);
            }
            let [of_x, of_y] = [(x, &from[0]), (y, &from[1])].map(|(id, from)| {
                let entries = jacobians.of(b, id)?;
                jacobians.gathered(b, &entries, from)
            });
            let multiplier = pick(b, multiplier, from[2].clone());
            return self.bilinear(b, &of_x?, &of_y?, multiplier);
        }
        let n = match node.op {
            Op::Dot => b.size(x).max(b.size(y)),
            _ => node.size(),
        };
        let of_x = jacobians.spread(b, x, n)?;
        if x == y {
            return self.square(b, &of_x, multiplier);
        }
        let of_y = jacobians.spread(b, y, n)?;
        self.bilinear(b, &of_x, &of_y, multiplier)
    }

    fn bilinear(
        &mut self,
        b: &mut Builder,
        x: &[Entries],
        y: &[Entries],
        multiplier: Id,
    ) -> Option<()> {
        for of_x in x {
            for of_y in y {
                self.add(b, [of_x, of_y], multiplier, -1.0, false)?;
            }
        }
        Some(())
    }

    fn square(&mut self, b: &mut Builder, x: &[Entries], multiplier: Id) -> Option<()> {
        for (k, first) in x.iter().enumerate() {
            self.add(b, [first, first], multiplier, -2.0, true)?;
            for second in &x[k + 1..] {
                self.add(b, [first, second], multiplier, -2.0, false)?;
            }
        }
        Some(())
    }

    /// Adds `weight` times multiplier times the product of the entries of each row: of all pairs, or with `once` of each
    /// unordered pair of one list. Pairs of one column count twice, but for those of an entry with itself.
    fn add(
        &mut self,
        b: &mut Builder,
        [x, y]: [&Entries; 2],
        multiplier: Id,
        weight: f64,
        once: bool,
    ) -> Option<()> {
        let rows = y.rows.iter().map(|&row| row as usize + 1).max()?;
        let mut of_row = vec![vec![]; rows];
        for (f, &row) in y.rows.iter().enumerate() {
            of_row[row as usize].push(f);
        }
        let (mut firsts, mut seconds, mut at) = (vec![], vec![], vec![]);
        let (mut i, mut j, mut weights) = (vec![], vec![], vec![]);
        for (e, &row) in x.rows.iter().enumerate() {
            for &f in of_row.get(row as usize).into_iter().flatten() {
                if once && f < e {
                    continue;
                }
                let (p, q) = (x.columns[e], y.columns[f]);
                firsts.push(e as u32);
                seconds.push(f as u32);
                at.push(row);
                i.push(p.max(q));
                j.push(p.min(q));
                let twice = p == q && !(once && e == f);
                weights.push(if twice { 2.0 * weight } else { weight });
            }
            if self.count + firsts.len() > MOST_PAIRS {
                return None;
            }
        }
        if firsts.is_empty() {
            return Some(());
        }
        self.count += firsts.len();
        let (first, second) = (pick(b, x.values, firsts), pick(b, y.values, seconds));
        let weights = b.constant(Tensor::new(vec![weights.len()], &weights));
        let values = b.mul(first, second);
        let values = b.mul(values, weights);
        let multiplier = pick(b, multiplier, at);
        // A factor of all is multiplied where the fewest are left.
        let part = match b.size(multiplier) {
            1 => {
                let part = merged(b, i, j, values);
                let values = b.mul(multiplier, part.values);
                Part { values, ..part }
            }
            _ => {
                let values = b.mul(multiplier, values);
                merged(b, i, j, values)
            }
        };
        self.parts.push(part);
        Some(())
    }
}

/// A part of which elements at the same place are added up.
fn merged(b: &mut Builder, i: Vec<u32>, j: Vec<u32>, values: Id) -> Part {
    let mut places: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for (&i, &j) in i.iter().zip(&j) {
        places.insert((i, j), 0);
    }
    if places.len() == i.len() {
        let values = pick(b, values, (0..i.len() as u32).collect());
        return Part { i, j, values };
    }
    places
        .values_mut()
        .zip(0..)
        .for_each(|(number, next)| *number = next);
    let table = i.iter().zip(&j).map(|(&i, &j)| places[&(i, j)]).collect();
    let values = sums(b, values, table, places.len());
    Part {
        i: places.keys().map(|place| place.0).collect(),
        j: places.keys().map(|place| place.1).collect(),
        values,
    }
}

/// The sums of the values at each position; a single value stands for all.
pub fn sums(b: &mut Builder, values: Id, table: Vec<u32>, size: usize) -> Id {
    if table.len() == size && table.iter().enumerate().all(|(i, &p)| i as u32 == p) {
        return values;
    }
    if let Some(scalar) = b.scalar_of(values) {
        let mut counts = vec![0.0; size];
        table.iter().for_each(|&p| counts[p as usize] += 1.0);
        let counts = b.constant(Tensor::new(vec![size], &counts));
        return b.mul(scalar, counts);
    }
    if size == 1 {
        let axes: Vec<usize> = (0..b.shape(values).len()).collect();
        return b.reduce(crate::bound::Reduction::Sum, values, &axes);
    }
    b.scatter_add(values, Arc::new(Table::new(table)), vec![size])
}

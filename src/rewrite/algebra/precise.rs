//! Affine forms on few rows, as if computed in twice the precision and then rounded.
//!
//! Products and sums come with their rounding errors (Ogita, Rump & Oishi, Accurate sum and dot product, SIAM J. Sci.
//! Comput. 26, 2005), which are added up apart. The errors carry no gradient: in real numbers they are zero.

use super::affine::{Source, Term};
use super::rows::{take, times};
use crate::bound::{Builder, Id};
use crate::scalar::ScalarFn::{MulSub, Rounding};
use crate::tensor::Tensor;

/// Columns of a matrix above which a product is a plain one: errors of so many terms are no rarity elsewhere either.
const MOST_COLUMNS: usize = 32;

/// A sum and what its roundings lost.
#[derive(Default)]
struct Total {
    sum: Option<Id>,
    lost: Option<Id>,
}

impl Total {
    fn add(&mut self, b: &mut Builder, term: Id) {
        let Some(sum) = self.sum else {
            self.sum = Some(term);
            return;
        };
        // Knuth's two-sum.
        let total = b.add(sum, term);
        let virtual_term = b.sub(total, sum);
        let virtual_sum = b.sub(total, virtual_term);
        let lost_sum = b.sub(sum, virtual_sum);
        let lost_term = b.sub(term, virtual_term);
        let lost = b.add(lost_sum, lost_term);
        self.sum = Some(total);
        self.lose(b, lost);
    }

    fn add_product(&mut self, b: &mut Builder, x: Id, y: Id) {
        let product = b.mul(x, y);
        let lost = b.map(MulSub, &[x, y, product]);
        self.lose(b, lost);
        self.add(b, product);
    }

    fn lose(&mut self, b: &mut Builder, lost: Id) {
        self.lost = Some(self.lost.map_or(lost, |all| b.add(all, lost)));
    }
}

/// The values of an affine form on rows, a vector.
pub fn on_rows(b: &mut Builder, terms: &[Term], rows: &[u32]) -> Id {
    let m = rows.len();
    let mut total = Total::default();
    let constant = |b: &mut Builder, values: &dyn Fn(usize) -> f64| {
        let values: Vec<f64> = rows.iter().map(|&row| values(row as usize)).collect();
        b.constant(Tensor::new(vec![m], &values))
    };
    // The constant comes first: it is what the other terms are to meet.
    for first in [true, false] {
        for term in terms {
            if matches!(term.source, Source::One) != first {
                continue;
            }
            let weights = constant(b, &|row| term.weight(row));
            match &term.source {
                Source::One => total.add(b, weights),
                Source::Scalar(id) => total.add_product(b, weights, *id),
                Source::Rows(id, table) => {
                    let positions = rows.iter().map(|&row| table[row as usize]).collect();
                    let id = take(b, *id, positions);
                    total.add_product(b, weights, id);
                }
                Source::Product(matrix, vector) if matrix.columns <= MOST_COLUMNS => {
                    for column in 0..matrix.columns {
                        let values = constant(b, &|row| term.weight(row) * matrix.at(row, column));
                        let element = b.view(*vector, column, vec![], vec![]);
                        total.add_product(b, values, element);
                    }
                }
                Source::Product(matrix, vector) => {
                    let element = |&row: &u32| {
                        let row = row as usize;
                        matrix.row(row).map(move |x| term.weight(row) * x)
                    };
                    let some: Vec<f64> = rows.iter().flat_map(element).collect();
                    let product = times(b, &some, m, *vector);
                    total.add(b, product);
                }
            }
        }
    }
    let sum = total.sum.unwrap_or_else(|| b.number(0.0));
    let value = match total.lost {
        Some(lost) => {
            let lost = b.map(Rounding, &[lost]);
            b.add(sum, lost)
        }
        None => sum,
    };
    let value = match b.size(value) == m {
        true => value,
        false => b.broadcast(value, &[m]),
    };
    b.reshape(value, &[m])
}

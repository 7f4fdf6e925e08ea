//! Kernels of lookups at positions that are values of the graph, and of sorting and searching.

use std::cmp::Ordering;

/// The place that a position names in an array of `size` elements, if it lies inside.
fn place(position: f64, size: usize) -> Option<usize> {
    (position >= 0.0 && position < size as f64).then_some(position as usize)
}

/// Adds up `stride * index` of index arrays, of which each has as many elements as `out`, or one; an index outside
/// its axis makes a NaN.
pub fn positions<'a>(
    axes: &[(usize, usize)],
    indices: impl Fn(usize) -> &'a [f64],
    out: &mut [f64],
) {
    out.fill(0.0);
    for (k, &(length, stride)) in axes.iter().enumerate() {
        let flat = |index: f64| {
            let from_start = if index < 0.0 {
                index + length as f64
            } else {
                index
            };
            place(from_start, length).map_or(f64::NAN, |i| (i * stride) as f64)
        };
        match indices(k) {
            &[index] => {
                let offset = flat(index);
                out.iter_mut().for_each(|position| *position += offset);
            }
            indices => {
                for (position, &index) in out.iter_mut().zip(indices) {
                    *position += flat(index);
                }
            }
        }
    }
}

/// `out[i] = source[positions[i]]`, NaN where there is no such element.
pub fn gather(source: &[f64], positions: &[f64], out: &mut [f64]) {
    for (value, &position) in out.iter_mut().zip(positions) {
        *value = place(position, source.len()).map_or(f64::NAN, |i| source[i]);
    }
}

/// `out[positions[i]] += source[i]` on zeros; a source of one element is added at every position. NaN throughout
/// where a position lies outside.
pub fn scatter_add(source: &[f64], positions: &[f64], out: &mut [f64]) {
    out.fill(0.0);
    for (i, &position) in positions.iter().enumerate() {
        let Some(place) = place(position, out.len()) else {
            out.fill(f64::NAN);
            return;
        };
        out[place] += source[if source.len() == 1 { 0 } else { i }];
    }
}

/// The last i with `positions[i]` equal to an element's place, else -1. NaN throughout where a position lies outside.
pub fn last_writer(positions: &[f64], out: &mut [f64]) {
    out.fill(-1.0);
    for (i, &position) in positions.iter().enumerate() {
        let Some(place) = place(position, out.len()) else {
            out.fill(f64::NAN);
            return;
        };
        out[place] = i as f64;
    }
}

/// NumPy's order: NaN behind everything, equal to itself.
fn compare(x: f64, y: f64) -> Ordering {
    x.partial_cmp(&y)
        .unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
}

/// The order that sorts each row of `length` elements; ties keep theirs.
pub fn argsort(length: usize, source: &[f64], out: &mut [f64]) {
    for (row, order) in source.chunks(length).zip(out.chunks_mut(length)) {
        for (i, value) in order.iter_mut().enumerate() {
            *value = i as f64;
        }
        // Ties fall to the earlier place, which makes an unstable sort, one that allocates nothing, stable.
        order.sort_unstable_by(|i, j| {
            compare(row[*i as usize], row[*j as usize]).then(i.total_cmp(j))
        });
    }
}

/// For each element of `source` how many of a sorted vector's are less, or not greater if `right`.
pub fn searchsorted(right: bool, sorted: &[f64], source: &[f64], out: &mut [f64]) {
    for (count, &x) in out.iter_mut().zip(source) {
        let before = |y: &f64| match compare(*y, x) {
            Ordering::Less => true,
            Ordering::Equal => right,
            Ordering::Greater => false,
        };
        *count = sorted.partition_point(before) as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: f64 = f64::NAN;

    /// The results with NaN as -9, so that they compare.
    fn comparable(values: &[f64]) -> Vec<f64> {
        values
            .iter()
            .map(|v| if v.is_nan() { -9.0 } else { *v })
            .collect()
    }

    #[test]
    fn positions_wrap_once_and_are_nan_outside() {
        let rows = [0.0, -1.0, 1.0, 2.0, -3.0];
        let column = [-1.0];
        let mut out = [0.0; 5];
        let axes = [(2, 3), (3, 1)];
        positions(&axes, |k| [&rows[..], &column][k], &mut out);
        assert_eq!(comparable(&out), [2.0, 5.0, 5.0, -9.0, -9.0]);
    }

    #[test]
    fn what_lies_outside_is_nan() {
        let x = [5.0, 6.0, 7.0];
        let mut out = [0.0; 4];
        gather(&x, &[2.0, NAN, 3.0, -1.0], &mut out);
        assert_eq!(comparable(&out), [7.0, -9.0, -9.0, -9.0]);
        let mut out = [0.0; 3];
        scatter_add(&x, &[2.0, 0.0, 2.0], &mut out);
        assert_eq!(out, [6.0, 0.0, 12.0]);
        scatter_add(&[1.5], &[1.0, 1.0], &mut out);
        assert_eq!(out, [0.0, 3.0, 0.0]);
        scatter_add(&x, &[2.0, NAN, 0.0], &mut out);
        assert_eq!(comparable(&out), [-9.0; 3]);
        last_writer(&[2.0, 0.0, 2.0], &mut out);
        assert_eq!(out, [1.0, -1.0, 2.0]);
        last_writer(&[2.0, 3.0], &mut out);
        assert_eq!(comparable(&out), [-9.0; 3]);
    }

    #[test]
    fn sorting_is_stable_and_puts_nan_last() {
        let rows = [3.0, NAN, 1.0, 3.0, -0.0, 0.0, NAN, -1.0];
        let mut order = [0.0; 8];
        argsort(4, &rows, &mut order);
        assert_eq!(order, [2.0, 0.0, 3.0, 1.0, 3.0, 0.0, 1.0, 2.0]);
    }

    #[test]
    fn searches_are_numpys() {
        // numpy.searchsorted([1, 2, 2, 3], x, side)
        let sorted = [1.0, 2.0, 2.0, 3.0];
        let x = [0.0, 1.0, 2.0, 2.5, 3.0, 4.0, NAN];
        let mut out = [0.0; 7];
        searchsorted(false, &sorted, &x, &mut out);
        assert_eq!(out, [0.0, 0.0, 1.0, 3.0, 3.0, 4.0, 4.0]);
        searchsorted(true, &sorted, &x, &mut out);
        assert_eq!(out, [0.0, 1.0, 3.0, 3.0, 4.0, 4.0, 4.0]);
    }
}

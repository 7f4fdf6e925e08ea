//! One array that several threads fill, each a part of its own, and that nobody copies.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// A type of plain numbers, for which zero bytes are a value.
///
/// # Safety
/// They are, and it needs no drop.
pub unsafe trait Plain: Copy + Send + Sync {}

macro_rules! plain {
    ($($type:ty),*) => {
        // SAFETY: zero bytes are 0 or false.
        $(unsafe impl Plain for $type {})*
    };
}
plain!(f64, f32, i64, i32, i16, i8, u64, u32, u16, u8, bool);

/// Zeros, whose pages the operating system provides when they are first written to.
#[derive(Debug)]
struct Memory<T> {
    start: NonNull<T>,
    length: usize,
}

// SAFETY: parts and array take turns, as their types say: the elements of a part are its own while it lives.
unsafe impl<T: Plain> Send for Memory<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for Memory<T> {}

impl<T> Drop for Memory<T> {
    fn drop(&mut self) {
        if self.length > 0
            && let Ok(layout) = Layout::array::<T>(self.length)
        {
            // SAFETY: the memory came from the global allocator with this layout.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

/// The array, once its parts are gone.
#[derive(Debug)]
pub struct Array<T>(Arc<Memory<T>>);

/// Elements of an [`Array`], filled from the first on.
#[derive(Debug)]
pub struct Part<T> {
    memory: Arc<Memory<T>>,
    start: usize,
    capacity: usize,
    length: usize,
}

/// An array of `parts` parts with `capacity` elements each; `None` if there is no memory for it.
pub fn array<T: Plain>(parts: usize, capacity: usize) -> Option<(Array<T>, Vec<Part<T>>)> {
    let length = parts.checked_mul(capacity)?;
    let layout = Layout::array::<T>(length).ok()?;
    let start = match length {
        0 => NonNull::dangling(),
        // SAFETY: the layout is not empty.
        _ => NonNull::new(unsafe { alloc_zeroed(layout) }.cast())?,
    };
    let memory = Arc::new(Memory { start, length });
    let part = |number| Part {
        memory: memory.clone(),
        start: number * capacity,
        capacity,
        length: 0,
    };
    Some((Array(memory.clone()), (0..parts).map(part).collect()))
}

impl<T: Plain> Array<T> {
    /// The elements, zero where no part was filled; `None` while there are parts.
    pub fn into_vec(self) -> Option<Vec<T>> {
        let memory = Arc::into_inner(self.0)?;
        let (start, length) = (memory.start, memory.length);
        std::mem::forget(memory);
        // SAFETY: the memory came from the global allocator as that of a vector of this capacity, and all of it is
        // initialised; nobody else refers to it.
        Some(unsafe { Vec::from_raw_parts(start.as_ptr(), length, length) })
    }
}

impl<T: Plain> Part<T> {
    /// Appends values.
    ///
    /// # Panics
    /// Beyond the part's capacity.
    pub fn extend(&mut self, values: &[T]) {
        self.extend_with(values, |&value| value);
    }

    /// Appends values converted.
    ///
    /// # Panics
    /// Beyond the part's capacity.
    pub fn extend_with<S>(&mut self, values: &[S], convert: impl Fn(&S) -> T) {
        let rest = self.capacity - self.length;
        assert!(values.len() <= rest, "{} values for {rest}", values.len());
        let start = self.start + self.length;
        // SAFETY: these elements belong to this part, which is borrowed mutably; all are initialised.
        let target = unsafe {
            std::slice::from_raw_parts_mut(self.memory.start.add(start).as_ptr(), values.len())
        };
        for (element, value) in target.iter_mut().zip(values) {
            *element = convert(value);
        }
        self.length += values.len();
    }
}

/// What has been appended.
impl<T> Deref for Part<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: these elements belong to this part.
        unsafe {
            std::slice::from_raw_parts(self.memory.start.add(self.start).as_ptr(), self.length)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_fill_one_array() {
        let (array, parts) = array::<i64>(3, 4).unwrap();
        let parts: Vec<Part<i64>> = std::thread::scope(|scope| {
            let fill = |(number, mut part): (i64, Part<i64>)| {
                scope.spawn(move || {
                    part.extend(&[number, 10 + number]);
                    part.extend_with(&[20.5], |&x: &f64| x as i64 + number);
                    part
                })
            };
            let threads: Vec<_> = (0..).zip(parts).map(fill).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(*parts[1], [1, 11, 21]);
        let address = parts[0].as_ptr();
        drop(parts);
        let values = array.into_vec().unwrap();
        assert_eq!(values, [0, 10, 20, 0, 1, 11, 21, 0, 2, 12, 22, 0]);
        assert_eq!(values.as_ptr(), address, "nothing is copied");
    }

    #[test]
    fn an_array_is_whole_without_its_parts() {
        let (array, parts) = super::array::<bool>(1, 1).unwrap();
        assert!(array.into_vec().is_none());
        assert!(parts[0].is_empty());
        let (array, parts) = super::array::<f64>(2, 0).unwrap();
        drop(parts);
        assert_eq!(array.into_vec(), Some(vec![]));
    }

    #[test]
    fn too_much_is_refused() {
        assert!(array::<f64>(2, usize::MAX / 2).is_none());
        assert!(array::<f64>(1, usize::MAX / 16).is_none());
    }

    #[test]
    #[should_panic(expected = "2 values for 1")]
    fn a_part_has_its_length() {
        let (_, mut parts) = array(1, 1).unwrap();
        parts[0].extend(&[1.0, 2.0]);
    }
}

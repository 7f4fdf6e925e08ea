//! Elements that belong to someone else, who keeps them where they are.

use std::any::Any;
use std::fmt::{Debug, Formatter, Result};
use std::ops::Deref;
use std::ptr::NonNull;

/// Elements in memory that an owner keeps alive.
pub struct Borrowed {
    start: NonNull<f64>,
    length: usize,
    _owner: Box<dyn Any + Send + Sync>,
}

// SAFETY: the elements are only read, and the owner may be sent and shared.
unsafe impl Send for Borrowed {}
// SAFETY: as above.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    /// The elements of an owner that neither moves nor frees them while it lives: an array of NumPy, for instance. Who
    /// writes to it while it is read gets what they wrote, or what was there before.
    pub fn new(values: &[f64], owner: impl Any + Send + Sync) -> Borrowed {
        Borrowed {
            start: NonNull::from(values).cast(),
            length: values.len(),
            _owner: Box::new(owner),
        }
    }
}

impl Deref for Borrowed {
    type Target = [f64];
    fn deref(&self) -> &[f64] {
        // SAFETY: the elements stay where they are as long as their owner lives.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl Debug for Borrowed {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} borrowed elements", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn elements_live_as_long_as_they_are_borrowed() {
        let owner = Arc::new(vec![1.0, 2.0]);
        let borrowed = Borrowed::new(&owner, owner.clone());
        assert_eq!(borrowed.as_ptr(), owner.as_ptr());
        assert_eq!(Arc::strong_count(&owner), 2);
        let other = owner.clone();
        drop(owner);
        assert_eq!(*borrowed, [1.0, 2.0]);
        drop(borrowed);
        assert_eq!(Arc::strong_count(&other), 1);
    }
}

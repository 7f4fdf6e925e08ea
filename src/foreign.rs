//! Functions that others give: the engine calls them and knows nothing else of them.

use crate::graph::DType;
use crate::kernels::whole::Failure;
use crate::tensor::size_of;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// An array that a function reads: shape and row-major elements.
#[derive(Clone, Copy, Debug)]
pub struct ArrayRef<'a> {
    /// Lengths of the axes.
    pub shape: &'a [usize],
    /// Row-major elements.
    pub values: &'a [f64],
}

/// An array that a function returns.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// Row-major elements.
    pub values: Vec<f64>,
}

/// A function from arrays to arrays with its derivatives; several threads may call it.
pub trait Foreign: Send + Sync {
    /// What a user calls it.
    fn name(&self) -> &str;

    /// Type and rank of each result.
    fn results(&self) -> &[(DType, usize)];

    /// The results at the given inputs.
    fn evaluate(&self, inputs: &[ArrayRef<'_>]) -> Result<Vec<Array>, Failure>;

    /// The adjoints of the inputs `wanted`, as a function of all inputs and the adjoints of the results
    /// `connected`; those of all other results are zero.
    ///
    /// # Errors
    /// If there is no derivative.
    fn pullback(&self, wanted: &[usize], connected: &[usize]) -> Result<Function, Failure>;

    /// The result, and then its gradient with respect to the inputs `wanted`, as a function of all inputs. Asked
    /// only of functions with one real result of one element.
    ///
    /// # Errors
    /// If there is no derivative.
    fn with_gradient(&self, wanted: &[usize]) -> Result<Function, Failure>;
}

/// A shared foreign function; equal to itself only.
#[derive(Clone)]
pub struct Function(pub Arc<dyn Foreign>);

impl Function {
    fn address(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl Deref for Function {
    type Target = dyn Foreign;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        self.address() == other.address()
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address().hash(state);
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often a function was called, and for how long.
#[derive(Debug, Default)]
pub struct Meter {
    calls: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Meter {
    /// Calls so far, and the time in them.
    pub fn read(&self) -> (u64, Duration) {
        let nanoseconds = self.nanoseconds.load(Relaxed);
        (self.calls.load(Relaxed), Duration::from_nanos(nanoseconds))
    }
}

/// A function applied to arrays of known shapes; its value is the vector of all elements of all results.
#[derive(Clone, Debug)]
pub struct Call {
    /// What is called.
    pub function: Function,
    /// Shapes of its inputs.
    pub inputs: Vec<Vec<usize>>,
    /// Shapes of its results.
    pub results: Vec<Vec<usize>>,
    /// The function whose value the first result is, of one that returns a value with its gradient.
    pub value_of: Option<Function>,
    /// Counts the calls, those of the derivatives included.
    pub meter: Arc<Meter>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Call) -> bool {
        (&self.function, &self.inputs, &self.results)
            == (&other.function, &other.inputs, &other.results)
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl Call {
    /// Number of elements of all results.
    pub fn size(&self) -> usize {
        self.results.iter().map(|shape| size_of(shape)).sum()
    }

    /// Evaluates the function; `input(k)` are the elements of its inputs, `out` those of its results.
    pub fn run<'a>(
        &self,
        input: impl Fn(usize) -> &'a [f64],
        out: &mut [f64],
    ) -> Result<(), Failure> {
        let inputs: Vec<ArrayRef<'_>> = self
            .inputs
            .iter()
            .enumerate()
            .map(|(k, shape)| ArrayRef {
                shape,
                values: input(k),
            })
            .collect();
        let began = Instant::now();
        let results = self.function.evaluate(&inputs);
        let elapsed = began.elapsed().as_nanos() as u64;
        self.meter.calls.fetch_add(1, Relaxed);
        self.meter.nanoseconds.fetch_add(elapsed, Relaxed);
        let mut start = 0;
        for (k, (result, shape)) in results?.iter().zip(&self.results).enumerate() {
            if result.shape != *shape {
                return Err(Failure(format!(
                    "result {k} of {} has the shape {:?} instead of {shape:?}: it must be what its type or \
                     `infer_shape` says, and not depend on the values of parameters",
                    self.function.name(),
                    result.shape
                )));
            }
            let end = start + result.values.len();
            out[start..end].copy_from_slice(&result.values);
            start = end;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

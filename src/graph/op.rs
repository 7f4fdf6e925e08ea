//! Operations of the template graph: NumPy's semantics, shapes unknown, rank and type known.

use super::{DType, Graph};
use crate::foreign::Function;
use crate::scalar::ScalarFn;
use crate::tensor::Values;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One entry of an index expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum IndexEntry {
    /// A whole axis, `:`.
    Full,
    /// A 0-d integer, the next input.
    Integer,
    /// An array of integers or a mask, the next input.
    Array,
    /// A slice; each bound that is given takes the next input.
    Slice {
        /// Whether start, stop and step are given.
        given: [bool; 3],
    },
}

impl TryFrom<String> for IndexEntry {
    type Error = String;
    fn try_from(text: String) -> Result<IndexEntry, String> {
        let flag = |c: u8| match c {
            b'0' => Some(false),
            b'1' => Some(true),
            _ => None,
        };
        match text.as_bytes() {
            b":" => Ok(IndexEntry::Full),
            b"i" => Ok(IndexEntry::Integer),
            b"a" => Ok(IndexEntry::Array),
            [b's', a, b, c] => match (flag(*a), flag(*b), flag(*c)) {
                (Some(a), Some(b), Some(c)) => Ok(IndexEntry::Slice { given: [a, b, c] }),
                _ => Err(format!("`{text}` is no index entry")),
            },
            _ => Err(format!(
                "`{text}` is no index entry (`:`, `i`, `a` or `s` with three flags)"
            )),
        }
    }
}

impl From<IndexEntry> for String {
    fn from(entry: IndexEntry) -> String {
        match entry {
            IndexEntry::Full => ":".into(),
            IndexEntry::Integer => "i".into(),
            IndexEntry::Array => "a".into(),
            IndexEntry::Slice { given } => {
                let flags: String = given.iter().map(|&g| if g { '1' } else { '0' }).collect();
                format!("s{flags}")
            }
        }
    }
}

impl IndexEntry {
    /// Number of inputs that the entry takes.
    pub fn leaves(self) -> usize {
        match self {
            IndexEntry::Full => 0,
            IndexEntry::Integer | IndexEntry::Array => 1,
            IndexEntry::Slice { given } => given.iter().filter(|&&g| g).count(),
        }
    }
}

/// What is asked about distinct elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UniquePart {
    /// The elements.
    Values,
    /// Where each appears first.
    Index,
    /// Which of them each element of the array is, flattened.
    Inverse,
    /// How often each appears.
    Counts,
}

/// How many inputs of a loop mean what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoopArguments {
    /// Sequences, of which each step reads a row.
    pub sequences: usize,
    /// For each traced state, how many steps before its values are read.
    pub lags: Vec<Vec<usize>>,
    /// Results that are collected without being read by later steps.
    pub collected: usize,
    /// States of which only the last value counts.
    pub lasts: usize,
}

/// What is known of a system's matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assumption {
    /// Nothing.
    General,
    /// The triangle that is not read mirrors the other.
    Symmetric,
    /// As symmetric, and the Cholesky factor exists.
    PositiveDefinite,
    /// What is not beside the diagonal is not read.
    Tridiagonal,
}

/// Operation of a template node. Negative axes are not allowed; `axes` name all reduced axes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Op {
    /// An unconstrained value variable.
    Parameter {
        name: String,
    },
    /// A named input bound later: data, a shared variable, the length of a dim.
    Data {
        name: String,
    },
    /// A literal, row-major.
    Constant {
        shape: Vec<usize>,
        #[serde(with = "super::exact")]
        values: Values,
    },
    /// A result of the op before it, which has several.
    Part {
        index: usize,
    },
    /// A body carried out step by step, PyTensor's Scan: (number of steps, sequences, buffers whose first rows
    /// are initial states, states of which only the last value counts, what is the same in all steps).
    /// The body's data inputs are, in order: a row of each sequence, each state at each of its lags, the
    /// untraced states, what is the same; its outputs: the states, what is collected, the untraced states.
    Loop {
        body: Box<Graph>,
        arguments: LoopArguments,
    },
    /// A function of others, given as an object: it has no JSON form. Inputs, and then the lengths of its results if
    /// they are `given`; they are found out at bind if not.
    #[serde(serialize_with = "refuse", skip_deserializing)]
    Foreign {
        function: Function,
        given: bool,
    },
    /// An elementwise function; more than two inputs fold from the left where it has two.
    Map {
        function: ScalarFn,
    },
    /// x between lo and hi.
    Clip,
    /// Another element type; reals are truncated towards zero.
    Cast {
        dtype: DType,
    },
    /// x, or -inf where one of the conditions fails; the gradient of x either way.
    Check {
        message: String,
    },
    /// x; a condition that depends on data alone must hold when they are bound, others are checked as by
    /// `Check` if x is real.
    Assert {
        message: String,
    },
    /// Axes in another order; -1 is a new axis of length 1, left-out axes must have length 1.
    Dimshuffle {
        order: Vec<i64>,
    },
    /// (x, shape vector); one length may be -1.
    Reshape {
        ndim: usize,
    },
    /// (x, lengths...)
    BroadcastTo,
    /// (x, like): x broadcast to the shape of both.
    BroadcastLike,
    /// The vector of lengths.
    Shape,
    /// One length.
    ShapeI {
        axis: usize,
    },
    /// (x, lengths of the axes that are given): checked when data are bound.
    SpecifyShape {
        given: Vec<bool>,
    },
    /// `x[index]`
    Index {
        spec: Vec<IndexEntry>,
    },
    /// x with `x[index] = y`
    SetIndex {
        spec: Vec<IndexEntry>,
    },
    /// x with `x[index] += y`; repeated positions accumulate.
    IncIndex {
        spec: Vec<IndexEntry>,
    },
    /// Arrays side by side along an axis.
    Join {
        axis: usize,
    },
    /// A vector of scalars.
    MakeVector,
    /// (start, stop, step)
    Arange,
    /// (rows, columns, diagonal)
    Eye,
    /// (rows, columns, diagonal): ones at and below the diagonal.
    Tri,
    /// Positions of nonzero elements along one axis.
    Nonzero {
        axis: usize,
    },
    /// A diagonal as the last axis.
    ExtractDiag {
        offset: i64,
        axis1: usize,
        axis2: usize,
    },
    Sum {
        axes: Vec<usize>,
    },
    Prod {
        axes: Vec<usize>,
    },
    Max {
        axes: Vec<usize>,
    },
    Min {
        axes: Vec<usize>,
    },
    Any {
        axes: Vec<usize>,
    },
    All {
        axes: Vec<usize>,
    },
    /// Position of the first maximum among the reduced axes, flattened.
    Argmax {
        axes: Vec<usize>,
    },
    /// AND, OR or XOR of the bits of integers.
    Bitwise {
        function: ScalarFn,
        axes: Vec<usize>,
    },
    Cumsum {
        axis: usize,
    },
    Cumprod {
        axis: usize,
    },
    /// Ascending along an axis, NaN last.
    Sort {
        axis: usize,
    },
    /// The order that sorts along an axis; ties keep theirs.
    Argsort {
        axis: usize,
    },
    /// (sorted vector, x): how many elements of the vector are less than x; not greater, if `right`.
    Searchsorted {
        right: bool,
    },
    /// Of the distinct elements, or slices along an axis, in ascending order.
    Unique {
        axis: Option<usize>,
        part: UniquePart,
    },
    /// The element, or slice, of data that all elements along the first axes equal.
    Common {
        axes: usize,
    },
    /// (condition, x, y): x or y; of one shape if the condition depends on a parameter.
    IfElse,
    /// (x, w, whether full): convolution along the last axes, the others broadcast; else the part without padding.
    Convolve,
    /// Product of matrices in the last two axes, the others broadcast.
    Matmul,
    /// Cholesky factors of matrices, in the triangle that is read; NaN where one is not positive definite.
    Cholesky {
        lower: bool,
    },
    /// (t, b): x with t x = b for triangular t, whose diagonal counts as ones if `unit`; b and x are vectors or
    /// matrices (`b_ndim` 1 or 2), the other axes broadcast.
    SolveTriangular {
        lower: bool,
        unit: bool,
        b_ndim: usize,
    },
    /// (a, b): x with a x = b, as `solve_triangular`; only symmetric matrices are read in a triangle.
    Solve {
        assume: Assumption,
        lower: bool,
        b_ndim: usize,
    },
    /// Determinants.
    Det,
    /// Logarithms of absolute determinants.
    LogAbsDet,
    /// Inverses.
    Inverse,
    /// Ascending eigenvalues and, as columns, eigenvectors of symmetric matrices, of which one triangle is read.
    Eigh {
        lower: bool,
    },
    /// Q with as many columns as the smaller side, and R.
    Qr,
    /// Matrices along the diagonal of one.
    BlockDiagonal,
    Softmax {
        axes: Vec<usize>,
    },
    LogSoftmax {
        axes: Vec<usize>,
    },
    Logsumexp {
        axes: Vec<usize>,
    },
}

/// A function of others cannot be written down.
fn refuse<S: serde::Serializer>(function: &Function, _: &bool, _: S) -> Result<S::Ok, S::Error> {
    Err(serde::ser::Error::custom(format!(
        "{} is evaluated by code outside of the graph, which cannot be saved with it; register a translation of the Op \
         with pymc_rustmc.rust_funcify.register",
        function.name()
    )))
}

impl Op {
    /// The op of a name with its attributes (a JSON object).
    pub fn parse(
        name: &str,
        attributes: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Op, String> {
        if let Some(function) = ScalarFn::from_name(name).filter(|_| attributes.is_empty()) {
            return Ok(Op::Map { function });
        }
        let given = attributes.len();
        let mut tagged = attributes;
        tagged.insert("op".into(), name.into());
        let op: Op = serde_json::from_value(tagged.into())
            .map_err(|error| format!("op `{name}`: {error}"))?;
        // Serde does not look for unknown fields where a variant has none.
        match op.fields()?.1.len() == given {
            true => Ok(op),
            false => Err(format!("op `{name}` has no attributes")),
        }
    }

    /// The name and the attributes.
    fn fields(&self) -> Result<(String, serde_json::Map<String, serde_json::Value>), String> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(mut fields)) => match fields.remove("op") {
                Some(serde_json::Value::String(name)) => Ok((name, fields)),
                _ => Err("an op has a name".into()),
            },
            _ => Err("an op is an object".into()),
        }
    }
}

impl fmt::Display for Op {
    /// The name and the attributes, as they were given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Op::Map { function } => return write!(f, "{function}"),
            Op::Parameter { name } => return write!(f, "parameter {name:?}"),
            Op::Data { name } => return write!(f, "data {name:?}"),
            Op::Foreign { function, .. } => return write!(f, "foreign {:?}", function.name()),
            Op::Loop { arguments, .. } => {
                let LoopArguments {
                    sequences,
                    lags,
                    collected,
                    lasts,
                } = arguments;
                return write!(
                    f,
                    "loop sequences={sequences} lags={lags:?} collected={collected} lasts={lasts}"
                );
            }
            Op::Constant { values, shape } => {
                return match &**values {
                    [value] if shape.is_empty() => write!(f, "{value:?}"),
                    _ => write!(f, "constant {shape:?}"),
                };
            }
            _ => {}
        }
        let (name, attributes) = self.fields().map_err(|_| fmt::Error)?;
        f.write_str(&name)?;
        for (key, value) in attributes {
            write!(f, " {key}={value}")?;
        }
        Ok(())
    }
}

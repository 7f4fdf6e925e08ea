"""Random PyTensor programs: short sources of drawn statements, executed twice.

A program is built statement by statement. Every statement is executed in two namespaces: one holds the graph
that we translate, the other its twin, which PyTensor evaluates node by node without rewrites. `twins` says
where they differ; and since we hold reals in float64, float32 data are float64 in the twin.

Every value has a known range, so that an Op is applied where it is defined and does not amplify rounding, and
known shapes under each data set to which the program will be bound.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from hypothesis import strategies as st
from twins import OURS, TWIN

PYTENSOR_2 = pytensor.__version__.startswith("2.")
BINDINGS = 2  # data sets a program is bound to, of other values and lengths
LIMIT = 64.0  # a larger real value is squashed before it is used
CLOSE = 1e-9  # arguments of a decision that are closer than this may be decided either way
MOST = 48  # elements of an array

Shape = tuple[int, ...]


class Unfit(Exception):
    """The entries at hand do not allow a statement."""


def require(condition: bool) -> None:
    """Give up the statement under construction unless the condition holds."""
    if not condition:
        raise Unfit


@dataclass(frozen=True, eq=False)
class Entry:
    """A value of a program: its name, its shape under each binding and the range of its elements."""

    name: str
    var: pt.TensorVariable
    shapes: tuple[Shape, ...]
    low: float
    high: float
    fixed: bool  # does not depend on a parameter

    @property
    def kind(self) -> str:
        return {"f": "real", "b": "bool"}.get(np.dtype(self.var.dtype).kind, "integer")

    @property
    def ndim(self) -> int:
        return self.var.ndim

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Data:
    """Values of a shared variable, one a binding, and the variable here and in the twin."""

    values: tuple[np.ndarray, ...]
    ours: pytensor.compile.SharedVariable
    twin: pytensor.compile.SharedVariable


@dataclass(repr=False)
class Program:
    """Statements drawn so far, and what they define."""

    draw: Callable
    lines: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    unused: set[Entry] = field(default_factory=set)
    parameters: dict[str, Entry] = field(default_factory=dict)
    data: dict[str, Data] = field(default_factory=dict)
    decisions: list[tuple[Callable, tuple[Entry, ...]]] = field(default_factory=list)
    smooth: bool = False  # no decisions: their arguments could not be seen
    count: int = 0

    def __post_init__(self) -> None:
        common = {"np": np, "pt": pt, "value": _value}
        self.ours = common | OURS
        self.twin = common | TWIN

    def __repr__(self) -> str:
        return "\n" + "\n".join(self.lines)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    # --- drawing

    def integer(self, low: int, high: int) -> int:
        return self.draw(_integers(low, high))

    def flag(self, one_in: int = 2) -> bool:
        """True once in so many times; a smaller program has it False."""
        return self.integer(1, one_in) == one_in

    def choose(self, options: Sequence) -> Any:
        return options[self.integer(0, len(options) - 1)]

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.integer(0, 2**16))

    def find(self, *kinds: str, where: Callable[[Entry], bool] = lambda entry: True) -> Entry | None:
        """An entry of one of these kinds, if there is any; the last ones come first."""
        found = [entry for entry in reversed(self.entries) if entry.kind in kinds and where(entry)]
        return self.choose(found) if found else None

    def entry(self, *kinds: str, where: Callable[[Entry], bool] = lambda entry: True) -> Entry:
        """As `find`; there must be one."""
        found = self.find(*kinds, where=where)
        require(found is not None)
        return found

    def step(self, steps: Sequence[Callable[[Program], None]]) -> None:
        """Add what one of the steps adds; nothing, or only its arguments, if it cannot go on."""
        with suppress(Unfit):
            self.choose(steps)(self)

    # --- leaves

    def new_name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def parameter(self, shapes: Sequence[Shape]) -> Entry:
        """A new parameter; its type knows that an axis has length 1, and may know other lengths."""
        static = [
            lengths[0] if len(set(lengths)) == 1 and (lengths[0] == 1 or self.flag()) else None
            for lengths in zip(*shapes, strict=True)
        ]
        name = self.new_name()
        return self.random(name, f"value({name!r}, {tuple(static)})", [], shapes, -2.5, 2.5)

    def random(
        self, name: str, text: str, inputs: Sequence[Entry], shapes: Sequence[Shape], low: float, high: float
    ) -> Entry:
        """Add ``name = text``, a parameter."""
        self.parameters[name] = self._add(name, text, inputs, shapes, low, high, fixed=False)
        return self.parameters[name]

    def constant(self, array: np.ndarray) -> Entry:
        low, high = _range(array)
        shapes = [array.shape] * BINDINGS
        return self._add(self.new_name(), f"pt.constant({source(array)})", [], shapes, low, high)

    def shared(self, *arrays: np.ndarray) -> Entry:
        """Data, one array a binding. The type knows of an axis that it has length 1 and broadcasts."""
        require(not self.smooth)
        name = self.new_name()
        static = [1 if all(a.shape[k] == 1 for a in arrays) else None for k in range(arrays[0].ndim)]
        ours, twin = (
            pytensor.shared(np.asarray(arrays[0], dtype=dtype), name=name, shape=static)
            for dtype in (arrays[0].dtype, {"float32": "float64"}.get(str(arrays[0].dtype), arrays[0].dtype))
        )
        self.data[name] = Data(arrays, ours, twin)
        self.ours[name], self.twin[name] = ours, twin
        self.lines.append(f"{name} = pytensor.shared({source(arrays[0])}, shape={tuple(static)})")
        self.lines += [f"#    then {source(array)}" for array in arrays[1:]]
        ranges = [_range(array) for array in arrays]
        return self._define(
            name, [], [a.shape for a in arrays], min(r[0] for r in ranges), max(r[1] for r in ranges), True
        )

    # --- statements

    def emit(
        self, text: str, inputs: Sequence[Entry], shapes: Sequence[Shape], low: float, high: float
    ) -> Entry:
        """Add ``name = text``, of given shapes and range; a real value beyond `LIMIT` is squashed."""
        require(all(math.prod(shape) <= MOST for shape in shapes))
        entry = self._add(self.new_name(), text, inputs, shapes, low, high)
        if entry.kind != "real" or -LIMIT <= entry.low <= entry.high <= LIMIT:
            return entry
        squash, bound = self.choose([("pt.tanh({})", 1), ("pt.sin({})", 1), ("4 * pt.arctan({})", 8)])
        return self._add(self.new_name(), squash.format(entry), [entry], shapes, -bound, bound)

    def emit_like(
        self, text: str, inputs: Sequence[Entry], f: Callable[..., np.ndarray], low: float, high: float
    ) -> Entry:
        """As `emit`; the shapes are those that the NumPy function `f` gives."""
        shapes = [
            np.shape(f(*(np.broadcast_to(np.float64(0), entry.shapes[k]) for entry in inputs)))
            for k in range(BINDINGS)
        ]
        return self.emit(text, inputs, shapes, low, high)

    def decide(self, distance: Callable[..., np.ndarray], *inputs: Entry) -> None:
        """Note that a value hangs on the sign of ``distance(*values)``."""
        self.decisions.append((distance, inputs))

    def _add(
        self,
        name: str,
        text: str,
        inputs: Sequence[Entry],
        shapes: Sequence[Shape],
        low: float,
        high: float,
        fixed: bool = True,
    ) -> Entry:
        self.lines.append(f"{name} = {text}")
        for namespace, value in zip((self.ours, self.twin), self.run(text), strict=True):
            namespace[name] = pt.as_tensor(value)
        fixed = fixed and all(entry.fixed for entry in inputs)
        return self._define(name, inputs, shapes, low, high, fixed)

    def run(self, text: str) -> list[Any]:
        """Values of the expression here and there."""
        return [eval(text, namespace) for namespace in (self.ours, self.twin)]

    def _define(
        self,
        name: str,
        inputs: Sequence[Entry],
        shapes: Sequence[Shape],
        low: float,
        high: float,
        fixed: bool,
    ) -> Entry:
        entry = Entry(name, self.ours[name], tuple(map(tuple, shapes)), low, high, fixed)
        assert all(len(shape) == entry.ndim for shape in entry.shapes), (self, entry)
        self.entries.append(entry)
        self.unused.difference_update(inputs)
        self.unused.add(entry)
        return entry

    def trace(self, text: str, x: Entry, shapes: Sequence[Shape], low: float, high: float) -> Entry:
        """An argument of a body: as `text` is, but no statement."""
        count = len(self.lines)
        entry = self._add(self.new_name(), text, [x], shapes, low, high)
        del self.lines[count:]
        return entry

    @contextmanager
    def body(self, name: str, arguments: Sequence[Entry]) -> Iterator[list[str]]:
        """Make a function of the statements inside; the names of what it returns are to be listed."""
        outside = self.lines, list(self.entries), set(self.unused), self.smooth
        self.lines, self.entries, self.smooth = [], list(arguments), True
        results: list[str] = []
        try:
            yield results
        finally:
            inside = self.lines
            self.lines, self.entries, self.unused, self.smooth = outside
        text = [f"def {name}({', '.join(map(str, arguments))}):", *(f"    {line}" for line in inside)]
        text.append(f"    return {', '.join(results)},")
        self.lines += text
        for namespace in (self.ours, self.twin):
            exec("\n".join(text), namespace)


@functools.cache
def _integers(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high)


def _value(name: str, shape: Shape) -> pt.TensorVariable:
    return pt.tensor(name, dtype="float64", shape=shape)


def _range(array: np.ndarray) -> tuple[float, float]:
    if array.size == 0:
        return 0, 0
    return float(np.min(array)), float(np.max(array))


def source(array: np.ndarray) -> str:
    """Python source of an array."""
    text = np.array2string(
        array.ravel(), separator=", ", max_line_width=10**6, threshold=10**6, floatmode="unique"
    )
    if array.ndim == 0:  # not np.float64(...), which PyTensor takes for float32 if that is exact
        return f"np.array({text.strip('[] ')}, dtype={str(array.dtype)!r})"
    if array.ndim > 1:
        text = f"{text}).reshape({array.shape}"
    return f"np.{array.dtype.type.__name__ if array.dtype != bool else 'bool_'}({text})"

"""What the two sides of a random program do differently: functions of the same names and meaning.

The graph that we translate is as a user would write it. Its twin, which PyTensor evaluates, holds no inner
graphs and no branch that is infinite or NaN where it is not taken: its gradient would multiply 0 by that.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytensor
import pytensor.tensor as pt
from pytensor.compile.builders import OpFromGraph


def guarded(condition, f, x, safe, other):
    """`f(x)` where the condition holds, elsewhere `other`; `safe` is a point in the domain of `f`."""
    return pt.switch(condition, f(x), other)


def guarded_twin(condition, f, x, safe, other):
    """As `guarded`; `f` gets no other point."""
    return pt.switch(condition, f(pt.switch(condition, x, safe)), other)


def inner_graph(f: Callable, *arguments: pt.TensorVariable) -> list[pt.TensorVariable]:
    """`f` of the arguments as an OpFromGraph."""
    inner = [argument.type() for argument in arguments]
    outputs = f(*inner)
    made = OpFromGraph(inner, list(outputs))(*arguments)
    return made if isinstance(made, list) else [made]


def scanned(f, sequences, state, constants, *, collected, steps, backwards):
    """Run `f` as a Scan."""
    initial, lags = state
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        results, _ = pytensor.scan(
            lambda *arguments: list(f(*arguments)),
            sequences=[{"input": x, "taps": taps} for x, taps in sequences],
            outputs_info=[{"initial": initial, "taps": lags}, *[None] * collected],
            non_sequences=constants,
            n_steps=steps,
            go_backwards=backwards,
            return_list=True,
        )
    return results


def unrolled(f, sequences, state, constants, *, collected, steps, backwards):
    """Run `f` step by step: the twin of `scanned`."""
    initial, lags = state
    states = [initial] if lags == [-1] else [initial[k] for k in range(-min(lags))]
    rows = []
    for step in range(steps):
        now = [
            x[-1 - step] if backwards else x[step - min(0, *taps) + tap]
            for x, taps in sequences
            for tap in taps
        ]
        rows.append(f(*now, *(states[lag] for lag in lags), *constants))
        states.append(rows[-1][0])
    return [pt.stack(column) for column in zip(*rows, strict=True)]


OURS: dict[str, Callable] = {"guarded": guarded, "inner_graph": inner_graph, "loop": scanned}
TWIN: dict[str, Callable] = {
    "guarded": guarded_twin,
    "inner_graph": lambda f, *arguments: list(f(*arguments)),
    "loop": unrolled,
}

"""What became of a model, as a text and as attributes."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pymc_rustmc._core import REWRITE_RULES
from pymc_rustmc.marginal import marginalised, not_marginalised
from pymc_rustmc.template import BoundModel

_MOST_STEPS = 12
"""Steps that the text shows, the costliest; all of them are in ``steps``."""


@dataclass(frozen=True)
class ParameterAccount:
    """A free variable: name, name of its value variable, shape of that, transform (None without one)."""

    name: str
    value_name: str
    shape: tuple[int, ...]
    transform: str | None


@dataclass(frozen=True)
class StepAccount:
    """One step of an evaluation of log density and gradient.

    Attributes
    ----------
    size : int or None
        Elements of the arrays that a fused pass goes over; None if the step is one op on whole arrays.
    instructions : tuple of str
        What is computed; values in ``[brackets]`` never leave the cache.
    seconds : float
        Time of the step, measured by repeating it alone.
    foreign : str or None
        Name of the Op that PyTensor evaluates in this step.
    """

    size: int | None
    instructions: tuple[str, ...]
    seconds: float
    foreign: str | None

    def __str__(self) -> str:
        if self.foreign is not None:
            return f"{self.foreign}, evaluated by PyTensor"
        if self.size is None:
            return f"whole arrays: {self.instructions[0]}"
        return f"pass over {self.size}: {len(self.instructions)} instructions"


@dataclass(frozen=True)
class Explanation:
    """An account of a compiled model; print it, or read its attributes.

    Attributes
    ----------
    parameters : tuple of ParameterAccount
        Free variables in the order of the position vector.
    outputs : dict of str to tuple of int
        Shapes of the back-transformed variables and Deterministics, computed after sampling.
    template_nodes : int
        Nodes of the graph that serves every data set, outputs included.
    bound_nodes : int
        Nodes of log density and gradient under these data, without any rule applied.
    planned_nodes : int
        Nodes of log density and gradient after rewriting and fusion.
    rewrites : dict of str to int
        How often each rule was applied, most often first.
    marginalised : tuple of str
        Variables that are integrated out.
    not_marginalised : dict of str to str
        Variables that were to be integrated out and are not, with the reason.
    steps : tuple of StepAccount
        What an evaluation of log density and gradient does, in order.
    foreign : dict of str to float
        Share of an evaluation's time that each Op takes that PyTensor evaluates.
    seconds : float
        Time of one evaluation: the sum over its steps.
    arena_bytes, register_bytes : int
        Memory of values, for each thread: arrays, and blocks that stay in cache.
    constant_bytes : int
        Memory of data and of what was computed from them, shared by all threads.
    """

    parameters: tuple[ParameterAccount, ...]
    outputs: Mapping[str, tuple[int, ...]]
    template_nodes: int
    bound_nodes: int
    planned_nodes: int
    rewrites: Mapping[str, int]
    marginalised: tuple[str, ...]
    not_marginalised: Mapping[str, str]
    steps: tuple[StepAccount, ...]
    arena_bytes: int
    register_bytes: int
    constant_bytes: int

    @classmethod
    def of(cls, bound: BoundModel, account: Mapping[str, Any]) -> Explanation:
        """Join what Python and Rust know of a bound model."""
        parameters = (
            ParameterAccount(v.name, v.value_name, bound.shapes[v.value_name], v.transform)
            for v in bound.template.description.variables.free
        )
        shapes = bound.density.output_shapes()
        steps = (
            StepAccount(step["pass"], tuple(step["lines"]), step["seconds"], step["foreign"])
            for step in account["steps"]
        )
        return cls(
            parameters=tuple(parameters),
            outputs=dict(zip(bound.template.outputs, shapes.values(), strict=True)),
            template_nodes=account["template_nodes"],
            bound_nodes=account["bound_nodes"],
            planned_nodes=account["planned_nodes"],
            rewrites=dict(sorted(account["rewrites"].items(), key=lambda rule: -rule[1])),
            marginalised=tuple(marginalised(bound)),
            not_marginalised=not_marginalised(bound),
            steps=tuple(steps),
            arena_bytes=account["arena_bytes"],
            register_bytes=account["register_bytes"],
            constant_bytes=account["constant_bytes"],
        )

    @property
    def seconds(self) -> float:
        """Time of one evaluation of log density and gradient."""
        return sum(step.seconds for step in self.steps)

    @property
    def foreign(self) -> dict[str, float]:
        """Share of an evaluation's time that each Op takes that PyTensor evaluates."""
        shares: dict[str, float] = {}
        for step in self.steps:
            if step.foreign is not None:
                shares[step.foreign] = shares.get(step.foreign, 0.0) + step.seconds / self.seconds
        return shares

    def __str__(self) -> str:
        free = [
            (v.name, str(v.shape), "" if v.transform is None else f"{v.transform} (value {v.value_name})")
            for v in self.parameters
        ]
        costly = sorted(self.steps, key=lambda step: -step.seconds)[:_MOST_STEPS]
        shown = [step for step in self.steps if step in costly]
        steps = [
            (f"{1e6 * step.seconds:.2f} us", f"{step.seconds / self.seconds:.0%}", str(step))
            for step in shown
        ]
        if len(shown) < len(self.steps):
            steps.append(("", "", f"and {len(self.steps) - len(shown)} steps that take less"))
        rules = [(f"{count:5d}", rule) for rule, count in self.rewrites.items()]
        foreign = [(name, f"{share:.0%} of the time") for name, share in self.foreign.items()]
        sections: dict[str, Sequence[tuple[str, ...]]] = {
            "Free variables (shape of the value, transform)": free,
            "Outputs, computed after sampling": [(n, str(shape)) for n, shape in self.outputs.items()],
            "Nodes of the graph": [
                ("template", str(self.template_nodes), "of any data set, outputs included"),
                ("bound", str(self.bound_nodes), "log density and gradient, as written"),
                ("planned", str(self.planned_nodes), "log density and gradient, rewritten and fused"),
            ],
            "Integrated out, and drawn given the rest": [(name,) for name in self.marginalised],
            "Not integrated out": list(self.not_marginalised.items()),
            "Exact algebra: sums that were replaced": [rule for rule in rules if rule[1] in REWRITE_RULES],
            "Rules applied": [rule for rule in rules if rule[1] not in REWRITE_RULES],
            f"A gradient takes {1e6 * self.seconds:.1f} us (each step measured by itself)": steps,
            "Evaluated by PyTensor": foreign,
            "Memory": [
                ("values", _bytes(self.arena_bytes), "a thread"),
                ("blocks in cache", _bytes(self.register_bytes), "a thread"),
                ("constants", _bytes(self.constant_bytes), "for all threads"),
            ],
        }
        return "\n\n".join(f"{title}\n{_table(rows)}" for title, rows in sections.items() if rows)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _bytes(number: int) -> str:
    value, units = float(number), ["B", "kB", "MB", "GB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.3g} {units[0]}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(f"  {line}".rstrip() for line in lines)

"""Scan: a loop whose body is a graph of its own."""

from __future__ import annotations

from typing import Any

from pytensor.scan.op import Scan

from pymc_rustmc.errors import UnsupportedOpError
from pymc_rustmc.translate.dtypes import kind_dtype_of
from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.walker import Walker


@register(Scan)
def _scan(op: Scan, node: Any, walker: Walker) -> list[int]:
    info = op.info
    if info.as_while:
        raise UnsupportedOpError(f"{op} with a condition to stop (until)")
    if info.mit_mot_in_slices:
        raise UnsupportedOpError(f"{op}, the gradient of another Scan")
    taps = (*info.mit_sot_in_slices, *info.sit_sot_in_slices)
    if any(tap >= 0 for state in taps for tap in state):
        raise UnsupportedOpError(f"{op} with states read at later steps")

    body = walker.graph.inner()
    leaves = {}
    for index, inner in enumerate(op.fgraph.inputs):
        dtype = kind_dtype_of(inner)
        if dtype is None:
            raise UnsupportedOpError(f"{op} over values of type {inner.type}")
        leaves[inner] = body.data(f"input {index}", dtype, inner.type.ndim)
    for index, result in enumerate(walker.child(body, leaves).translate(op.fgraph)):
        body.output(f"result {index}", result)

    # A collected result has its number of rows for an input, which is the number of steps.
    end = 1 + info.n_seqs + len(taps) + info.n_untraced_sit_sot
    inputs = [*node.inputs[:end], *node.inputs[end + info.n_nit_sot :]]
    loop = walker.graph.repeat(
        body,
        [walker.id(variable) for variable in inputs],
        sequences=info.n_seqs,
        lags=[[-tap for tap in state] for state in taps],
        collected=info.n_nit_sot,
        lasts=info.n_untraced_sit_sot,
    )
    return [walker.op("part", loop, index=index) for index in range(len(node.outputs))]

"""Convolutions and windows."""

from __future__ import annotations

from typing import Any

from pytensor.tensor.extra_ops import Bartlett
from pytensor.tensor.signal.conv import Convolve1d

from pymc_rustmc.translate.blockwise import on_stacks
from pymc_rustmc.translate.registry import register
from pymc_rustmc.translate.walker import Walker


@on_stacks(Convolve1d)
def _convolve(op: Convolve1d, node: Any, walker: Walker) -> int:
    x, w, full = walker.inputs(node)
    full = walker.op("dimshuffle", full, order=[])  # Blockwise gives it the axes of the batch
    return walker.op("convolve", x, w, full)


@register(Bartlett)
def _bartlett(op: Bartlett, node: Any, walker: Walker) -> int:
    (count,) = walker.inputs(node)
    one = walker.constant(1)
    # numpy.bartlett: 1 - |n - h| / h with h = (count - 1) / 2, and 1 for a single point
    half = walker.op("div", walker.op("sub", count, one), walker.constant(2))
    places = walker.op("arange", walker.constant(0), count, one)
    distance = walker.op("abs", walker.op("sub", places, half))
    window = walker.op("sub", one, walker.op("div", distance, half))
    return walker.op("where", walker.op("eq", count, one), walker.constant(1.0), window)

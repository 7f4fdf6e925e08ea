"""Branches on a scalar condition."""

from __future__ import annotations

from typing import Any

from pymc_rustmc.translate.registry import existing, register
from pymc_rustmc.translate.walker import Walker


@register(*(existing("pytensor.conditional.op", "IfElse") or existing("pytensor.ifelse", "IfElse")))
def _if_else(op: Any, node: Any, walker: Walker) -> list[int]:
    condition, *branches = walker.inputs(node)
    condition = walker.cast(condition, "bool")
    pairs = zip(branches[: op.n_outs], branches[op.n_outs :], strict=True)
    return [walker.op("if_else", condition, then, otherwise) for then, otherwise in pairs]

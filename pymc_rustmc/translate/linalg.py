"""Matrix products."""

from __future__ import annotations

from typing import Any

from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.math import Dot

from pymc_rustmc.translate.registry import register, rust_funcify
from pymc_rustmc.translate.walker import Walker


@register(Blockwise)
def _blockwise(op: Blockwise, node: Any, walker: Walker) -> Any:
    # The rules of matrix Ops broadcast over leading axes by themselves.
    return rust_funcify(op.core_op, node, walker)


@register(Dot)
def _dot(op: Dot, node: Any, walker: Walker) -> int:
    return walker.op("matmul", *walker.inputs(node))

"""From PyTensor graphs to the op graph: a registry of rules, one an Op, and the walker that applies them."""

from pymc_rustmc.translate import (  # noqa: F401
    blockwise,
    branches,
    diagonals,
    elementwise,
    indexing,
    linalg,
    ordering,
    padding,
    reductions,
    scan,
    shape,
    signal,
    special,
    spline,
)
from pymc_rustmc.translate.registry import rust_funcify
from pymc_rustmc.translate.walker import Walker

__all__ = ["Walker", "rust_funcify"]

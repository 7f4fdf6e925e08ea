"""From PyTensor graphs to the op graph: a registry of rules, one an Op, and the walker that applies them."""

from pymc_rustmc.translate import elementwise, indexing, linalg, reductions, scan, shape, special  # noqa: F401
from pymc_rustmc.translate.registry import rust_funcify
from pymc_rustmc.translate.walker import Walker

__all__ = ["Walker", "rust_funcify"]

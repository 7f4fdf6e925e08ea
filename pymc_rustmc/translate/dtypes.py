"""The element types of the op graph for those of NumPy and PyTensor."""

from __future__ import annotations

from typing import Any

import numpy as np
from pytensor.graph.basic import Variable

_KINDS = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}


def kind_dtype(dtype: str | np.dtype[Any]) -> str | None:
    """Our dtype for a NumPy dtype: "float64", "int64" or "bool"; None where there is none (complex, ...)."""
    return _KINDS.get(np.dtype(dtype).kind)


def kind_dtype_of(variable: Variable) -> str | None:
    """Our dtype for a PyTensor variable; None if it is no dense array of real numbers."""
    dtype = getattr(variable.type, "dtype", None)
    is_sparse = hasattr(variable.type, "format")
    return None if dtype is None or is_sparse else kind_dtype(dtype)

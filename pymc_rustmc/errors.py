"""Errors and warnings that pymc_rustmc gives on purpose; each names the variable or Op and the remedy."""

import sys
import warnings
from collections.abc import Sequence
from types import FrameType
from typing import Any

_PACKAGES_BETWEEN = ("pymc_rustmc", "pymc", "bambi")
"""Between the line that asks for a run and this one."""


class RustMCError(Exception):
    """Base class of every error that pymc_rustmc raises on purpose."""


class UnsupportedModelError(RustMCError, NotImplementedError):
    """The model as a whole cannot be sampled by this engine (e.g. discrete free variables)."""


class UnsupportedOpError(RustMCError, NotImplementedError):
    """A PyTensor Op in the model has no translation.

    Parameters
    ----------
    op
        The PyTensor Op, or a description of the form of it that is not covered.
    remedy
        What the user can do about it.
    variables
        Names of the model variables whose graphs hold the Op.

    Attributes
    ----------
    node
        The PyTensor node that could not be translated; None until the walker has set it.
    """

    DEFAULT_REMEDY = (
        "Sample the model with another nuts_sampler, or register a translation of the Op with "
        "pymc_rustmc.rust_funcify.register."
    )

    def __init__(self, op: object, remedy: str = DEFAULT_REMEDY, variables: Sequence[str] = ()):
        super().__init__()
        self.op = op
        self.remedy = remedy
        self.node: Any = None
        self.name_variables(variables)

    def name_variables(self, variables: Sequence[str]) -> None:
        """Say in the text which variables of the model it is about."""
        self.variables = tuple(variables)
        where = f" in the graph of {', '.join(map(repr, self.variables))}" if self.variables else ""
        self.args = (self._text(where),)

    def _text(self, where: str) -> str:
        return f"rustmc cannot translate the PyTensor Op {self.op}{where}. {self.remedy}"


class RefusedOpError(UnsupportedOpError):
    """An Op that makes the density no function of the parameters, so that nothing can evaluate it."""


class NoGradientError(UnsupportedOpError):
    """An Op that a gradient is needed of has none.

    Parameters
    ----------
    op
        The PyTensor Op.
    reason
        What PyTensor says.
    variables
        Names of the model variables whose graphs hold the Op.
    """

    DEFAULT_REMEDY = (
        "Give the Op a `pullback` (in PyTensor 2 `L_op`) method, or register a translation of it with "
        "pymc_rustmc.rust_funcify.register; step methods without gradients, such as pm.Slice, need neither."
    )

    def __init__(self, op: object, reason: str, variables: Sequence[str] = ()):
        self.reason = reason
        super().__init__(op, self.DEFAULT_REMEDY, variables)

    def _text(self, where: str) -> str:
        return f"rustmc needs the gradient of the PyTensor Op {self.op}{where}. {self.reason} {self.remedy}"


class DataError(RustMCError, ValueError):
    """A data set does not fit the model: unknown name, wrong dtype, rank or length, or a missing value."""


class DataSetError(DataError):
    """A data set of a batch cannot be fitted.

    Parameters
    ----------
    id
        Id of the data set.
    reason
        Why.
    """

    def __init__(self, id: object, reason: str):
        self.id = id
        self.reason = reason
        super().__init__(f"data set {id!r}: {reason}")


class NoModeError(RustMCError, ValueError):
    """The log density lacks the strict maximum that Laplace's approximation needs; the text says where."""


class SaveError(RustMCError, ValueError):
    """A compiled model holds something that no file can hold; the text names it."""


class ModelFileError(RustMCError, ValueError):
    """A file is no compiled model that can be read.

    Parameters
    ----------
    path
        The file.
    problem
        What is wrong with it.
    remedy
        What the user can do about it.
    """

    DEFAULT_REMEDY = "copy or download it again, or save the model again with CompiledModel.save"

    def __init__(self, path: object, problem: str, remedy: str = DEFAULT_REMEDY):
        super().__init__(f"the file {str(path)!r} {problem}; {remedy}")


class StoreError(RustMCError, ValueError):
    """The store of a batch cannot be used as asked.

    Parameters
    ----------
    path
        The store.
    problem
        What is wrong with it.
    remedy
        What the user can do about it.
    """

    def __init__(self, path: object, problem: str, remedy: str):
        super().__init__(f"the store {str(path)!r} {problem}; {remedy}")


def warn_user(message: str) -> None:
    """Warn at the line, outside of PyMC and this package, that asked for the run."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and _package(frame) in _PACKAGES_BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]

"""The registry of translation rules: one small function for each PyTensor Op class."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import TYPE_CHECKING, Any

from pymc_rustmc.errors import UnsupportedOpError

if TYPE_CHECKING:
    from pymc_rustmc.translate.walker import Walker

Rule = Callable[..., "int | Sequence[int]"]


@singledispatch
def rust_funcify(op: Any, node: Any, walker: Walker) -> int | Sequence[int]:
    """Translate one PyTensor node into ours; dispatches on the class of the Op.

    Register a rule for an Op of your own with ``@rust_funcify.register(MyOp)``; the rule builds the
    value of the node out of the ops that `Walker.op` offers.

    Parameters
    ----------
    op
        The Op of the node.
    node
        The PyTensor ``Apply`` node; ``walker.inputs(node)`` gives the translated inputs.
    walker
        The translation in progress.

    Returns
    -------
    int or sequence of int
        Node id of the output, or one id for each output. The walker casts each to the dtype that PyTensor
        declares for it.

    Raises
    ------
    UnsupportedOpError
        If no rule covers the Op.
    """
    raise UnsupportedOpError(op)


def register(*classes: type) -> Callable[[Rule], Rule]:
    """Register one rule for several Op classes."""

    def decorate(rule: Rule) -> Rule:
        for cls in classes:
            rust_funcify.register(cls)(rule)
        return rule

    return decorate


def existing(module: str, *names: str) -> tuple[type, ...]:
    """Op classes of `module` that the installed PyTensor has; importing a moved one would warn.

    Parameters
    ----------
    module
        Full module name; it may be absent.
    names
        Class names to look up.
    """
    try:
        home = importlib.import_module(module)
    except ModuleNotFoundError:
        return ()
    return tuple(home.__dict__[name] for name in names if name in home.__dict__)

"""PyTensor without its compilers: rewriting and small functions that are cheaper to interpret."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from pytensor import config
from pytensor.compile.mode import FAST_COMPILE, Mode

# Node by node in Python, after the rewrites that PyMC itself uses for starting points.
PYTHON_MODE = Mode("py", FAST_COMPILE.provided_optimizer)

_flags_lock = RLock()


@contextmanager
def no_compiler() -> Iterator[None]:
    """Keep PyTensor from compiling inner graphs (seconds) and from noting a stack trace for every node.

    The flags are those of the whole process, so one thread at a time may be inside.
    """
    with _flags_lock, config.change_flags(cxx="", mode="FAST_COMPILE", traceback__limit=0):
        yield

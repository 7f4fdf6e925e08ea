"""NUTS for PyMC models, sampled in Rust.

Importing this package adds a sampler to PyMC::

    import pymc as pm
    import pymc_rustmc

    with model:
        idata = pm.sample(nuts_sampler="rustmc")
"""

from pymc_rustmc import diagnostics
from pymc_rustmc._core import __version__
from pymc_rustmc.approximate import fit_laplace, fit_pathfinder
from pymc_rustmc.batch import BatchResult, DataSet, open_batch, sample_batch
from pymc_rustmc.compiled import CompiledModel, compile_model, load_model
from pymc_rustmc.find_map import find_map
from pymc_rustmc.register import register
from pymc_rustmc.sample import RustMC
from pymc_rustmc.translate import rust_funcify

__all__ = [
    "BatchResult",
    "CompiledModel",
    "DataSet",
    "RustMC",
    "__version__",
    "compile_model",
    "diagnostics",
    "find_map",
    "fit_laplace",
    "fit_pathfinder",
    "load_model",
    "open_batch",
    "register",
    "rust_funcify",
    "sample_batch",
]

register()

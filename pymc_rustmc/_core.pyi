"""The Rust extension: op graph, density and sampler."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

__version__: str

REWRITE_RULES: list[str]
"""Names of the rules of exact algebra that can be switched."""

class GraphError(ValueError):
    """A malformed graph, or data that do not fit it; the text names the input."""

class ParameterShapeError(GraphError):
    """A shape, or an index that must be known when data are bound, depends on a parameter."""

    outputs: list[str]
    """The outputs of the graph that it is needed for."""

class CurvatureError(ValueError):
    """A log density has no strict maximum where there should be one."""

    coordinates: list[int]
    """The entries of the position along which it has none."""

class ModelError(RuntimeError):
    """The model itself failed while it was sampled."""

class Graph:
    """A model as ops on named parameters and data, whose shapes are still unknown."""

    def __init__(self) -> None: ...
    def parameter(self, name: str, ndim: int) -> int:
        """Declare an unconstrained value variable; the order of these is that of the position vector."""

    def data(self, name: str, dtype: str, ndim: int) -> int:
        """Declare an input that ``bind`` gets; ``dtype`` is "float64", "int64" or "bool"."""

    def constant(self, value: NDArray[Any]) -> int:
        """Add an array that belongs to the graph."""

    def op(self, name: str, inputs: Sequence[int], **attributes: Any) -> int:
        """Add an op on earlier nodes."""

    def foreign(self, function: Any, inputs: Sequence[int], given: bool) -> int:
        """Add a call of a `ForeignFunction`, whose results are read by "part".

        The inputs, and then the lengths of all axes of all results if they are `given`; else the shapes are
        those of a trial when data are bound.
        """

    def inner(self) -> Graph:
        """Start the body of a loop."""

    def repeat(
        self,
        body: Graph,
        inputs: Sequence[int],
        sequences: int,
        lags: Sequence[Sequence[int]],
        collected: int,
        lasts: int,
    ) -> int:
        """Add a loop; its results are read by "part" ops.

        Parameters
        ----------
        body
            Its data inputs are, in order: a row of each sequence, each state at each of its lags, the states
            whose last value counts, what is the same in all steps. Its outputs: the states, what is
            collected, the states whose last value counts.
        inputs
            Number of steps, sequences, buffers whose first rows are initial states, states whose last value
            counts, what is the same in all steps.
        sequences, collected, lasts
            How many there are of each.
        lags
            For each state that is kept, how many steps later its values are read.
        """

    def output(self, name: str, node: int) -> None:
        """Name a node; the 0-d output "logp" is the density, every other one a value per draw."""

    def dtype(self, node: int) -> str:
        """Dtype of a node: "float64", "int64" or "bool"."""

    def ndim(self, node: int) -> int:
        """Rank of a node."""

    def names(self) -> dict[str, list[str]]:
        """List the names of "parameters", "data" and "outputs", in order of declaration."""

    def __len__(self) -> int: ...
    def to_stored(self) -> tuple[str, list[NDArray[np.float64]]]:
        """Give the graph as JSON, and the large constants that it refers to.

        Raises
        ------
        GraphError
            If an op cannot be stored; the text names it.
        """

    @staticmethod
    def from_stored(stored: str, arrays: Sequence[NDArray[np.float64]]) -> Graph:
        """Read what `to_stored` gives.

        Raises
        ------
        GraphError
            If it is no graph, or one that could not have been built.
        """

    def explain(
        self,
        data: Mapping[str, NDArray[Any]],
        parameter_shapes: Mapping[str, tuple[int, ...]],
        position: Sequence[float],
        memory: int | None = None,
        rewrites: Mapping[str, bool] | None = None,
        marginalised: Sequence[str] = (),
    ) -> str:
        """Account for a binding as `bind` makes it, as JSON; the steps are timed at a position."""

    def evaluate(
        self, data: Mapping[str, NDArray[Any]], memory: int | None = None
    ) -> dict[str, NDArray[np.float64]]:
        """Evaluate the outputs of a graph without parameters.

        Raises
        ------
        GraphError
            If data do not fit, or if values need more than ``memory`` bytes.
        """

    def bind(
        self,
        data: Mapping[str, NDArray[Any]],
        parameter_shapes: Mapping[str, tuple[int, ...]],
        memory: int | None = None,
        rewrites: Mapping[str, bool] | None = None,
        marginalised: Sequence[str] = (),
    ) -> Density:
        """Give data and parameter shapes; differentiate and plan.

        ``memory`` is the number of bytes that values may take at most; ``rewrites`` switches rules of exact
        algebra, by name, on or off; parameters in `marginalised` are integrated out where they can be.

        Raises
        ------
        GraphError
            If data or shapes do not fit, or need more memory.
        """

class Density:
    """Log density of one bound model, its gradient and its outputs; immutable and thread-safe."""

    @property
    def dim(self) -> int:
        """Length of a position; of what is integrated out it has no part."""

    @property
    def kept(self) -> NDArray[np.int64] | None:
        """Entries of a position of the model as it is written that are sampled; None if all are."""

    @property
    def marginalised(self) -> list[str]:
        """Value variables that are integrated out."""

    @property
    def not_marginalised(self) -> dict[str, str]:
        """Value variables that were to be integrated out and are not, with the reason."""

    def logp_and_gradient(self, position: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Log density and gradient at a position, ``(dim,)``."""

    def time_gradient(self, position: NDArray[np.float64], repeats: int, cores: int = 1) -> float:
        """Seconds of so many evaluations of log density and gradient at a position, one after the other.

        With more cores threads help with each evaluation, as with those of a chain.
        """

    def output_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of all outputs but "logp"."""

    def evaluate(
        self, names: Sequence[str], positions: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        """Evaluate outputs at positions of the model as it is written, ``(n, dim)``: each ``(n, *shape)``."""

    def find_mode(
        self,
        start: NDArray[np.float64],
        history: int,
        max_iterations: int,
        report: Callable[[int, float], None],
    ) -> dict[str, Any]:
        """Climb from a position to a mode by L-BFGS.

        Parameters
        ----------
        start
            Position, ``(dim,)``.
        history
            Displacements that L-BFGS keeps.
        max_iterations
            Steps after which the climb ends in any case.
        report
            Called now and then with the number of evaluations and the last log density.

        Returns
        -------
        dict
            "position" and "gradient", ``(dim,)``, "logp", "iterations", "evaluations", "converged".

        Raises
        ------
        ValueError
            If the density is not finite at the start.
        ModelError
            If the model fails.
        """

    def laplace(
        self,
        start: NDArray[np.float64],
        seeds: Sequence[int],
        draws: int,
        history: int,
        max_iterations: int,
        threads: int,
        report: Callable[[int, float], None],
    ) -> dict[str, Any]:
        """Climb to a mode, and draw from the normal with the curvature there.

        Returns
        -------
        dict
            What `find_mode` gives; "covariance", ``(dim, dim)``; "positions", ``(seeds, draws, dim)``; their
            densities "logp" (NaN where it is not finite) and "logq"; "pareto_k" of the importance ratios.

        Raises
        ------
        CurvatureError
            If the mode is no strict maximum.
        MemoryError
            If a matrix does not fit.
        """

    def pathfinder(
        self,
        starts: NDArray[np.float64],
        seeds: Sequence[int],
        draws: int,
        draws_per_path: int,
        elbo_draws: int,
        history: int,
        max_iterations: int,
        threads: int,
        report: Callable[[int, float], None],
    ) -> dict[str, Any]:
        """Climb from each of the starts, ``(paths, dim)``, and draw from the best normals on the way.

        Returns
        -------
        dict
            By path: "iterations", "best_iteration", "evaluations", "converged", "elbo" (-inf without an
            approximation), "end", ``(paths, dim)``; "positions", ``(paths, draws_per_path, dim)``, with
            "logp" and "logq"; "chosen", the numbers of the resampled draws, none if ``draws=0``; "pareto_k"
            of the importance ratios.

        Raises
        ------
        ValueError
            If no path has an approximation, and draws are to be resampled.
        """

    def foreign_times(self) -> list[ForeignTimes]:
        """Count the calls of each foreign node so far, those of its gradient included."""

    def graph_text(self) -> str:
        """Print the bound graph readably."""

    def plan_text(self) -> str:
        """Print the plan readably."""

    def sample(
        self,
        settings: str,
        starts: NDArray[np.float64],
        seeds: Sequence[int],
        cores: int,
        wanted: Sequence[tuple[str, str | None, str]] | None = None,
    ) -> Run:
        """Start sampling in background threads.

        Parameters
        ----------
        settings
            Settings of the sampler as JSON; an absent field has its default.
        starts
            Starting positions, ``(chains, dim)``.
        seeds
            One seed a chain.
        cores
            How many chains run at a time; threads without a chain help with the large passes of the others.
        wanted
            Variables to keep: name, output that computes it (None for a value variable), and dtype of each.
            They are computed as they are drawn. By default positions are kept.

        Raises
        ------
        ValueError
            If a setting is unknown or impossible, or there is no such variable or dtype.
        MemoryError
            If the draws do not fit.
        """

class ForeignTimes(TypedDict):
    """What the calls of a foreign node took."""

    name: str
    """The Op."""
    calls: int
    seconds: float

class ChainProgress(TypedDict):
    """Counters of one chain."""

    started: bool
    finished_draws: int
    """Warm-up included."""
    total_draws: int
    """Warm-up included."""
    divergences: int
    """After warm-up."""
    tuning: bool
    step_size: float
    tree_size: int
    """Leapfrog steps of the last draw."""
    runtime_s: float

class Run:
    """A run of several chains in background threads."""

    @property
    def settings(self) -> str:
        """Settings as JSON, defaults filled in."""

    def progress(self) -> list[ChainProgress]:
        """Counters of every chain."""

    def is_finished(self) -> bool:
        """Whether all chains have ended."""

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds, GIL released; whether all chains have ended."""

    def abort(self) -> None:
        """Ask all chains to end after the gradient that they are at."""

    def result(self) -> dict[str, Any]:
        """Draws and statistics of an ended run.

        Returns
        -------
        dict
            "positions", ``(chains, n, dim)``, or where variables were wanted "values", of name to
            ``(chains, n, *shape)``; "stats", of name to ``(chains, n)``; "warmup_draws", how
            many of the ``n`` are warm-up; "tune", how many draws warm-up took; "warmup_time" and
            "sampling_time" in seconds; "chains", the numbers of the chains returned; "gradients", the
            evaluations of each. After an abort, the chains and the common length that give most draws.

        Raises
        ------
        ModelError
            If a chain failed.
        """

class Batch:
    """Fits of many data sets in background threads.

    Parameters
    ----------
    graph
        The template.
    specification
        Inputs, parameters, variables and what to do with them, as JSON; see ``src/python/batch.rs``.
    values
        The template's value of each input.
    settings
        Settings of the sampler as JSON.
    starts
        An object with the methods of `pymc_rustmc.batch.starts.Starts`, which threads call.
    threads
        How many chains run at a time.
    memory
        Bytes that the values of a fit may take at most.
    """

    def __init__(
        self,
        graph: Graph,
        specification: str,
        values: Sequence[NDArray[Any]],
        settings: str,
        starts: Any,
        threads: int,
        memory: int | None = None,
    ) -> None: ...
    def room(self) -> int:
        """Count the data sets that may come in now."""

    def submit(
        self, position: int, items: Sequence[str | tuple[dict[str, Any], list[tuple[str, int]]]]
    ) -> None:
        """Take in data sets from a position on: values by name with lengths of dims, or what is wrong."""

    def submit_rows(self, position: int, first: int, count: int, stacks: Mapping[str, NDArray[Any]]) -> None:
        """Take in ``count`` data sets from a position on: rows of stacked arrays from ``first`` on."""

    def close(self) -> None:
        """Say that no more data sets will come."""

    def is_finished(self) -> bool:
        """Whether it was closed, and all fits have been taken."""

    def take(self, timeout: float) -> dict[str, Any]:
        """Take what has ended; wait ``timeout`` seconds, or until data sets should come in or all have ended.

        Returns
        -------
        dict
            As `pymc_rustmc.batch.chunks.Chunk`, without ids and data; "failures" are pairs of position and
            reason; "draws" and "sample_stats" only if they are kept.
        """

    def stop(self) -> dict[str, Any]:
        """Stop the threads and take what has ended, as `take`, but possibly with gaps."""

def chain_seeds(seed: int, position: int, chains: int) -> list[int]:
    """Seeds of the chains of the data set at a position, each below 2**63."""

def numpy_jitter(seed: int, child: int | None, count: int) -> NDArray[np.float64]:
    """Numbers of NumPy's ``default_rng(seed).uniform(-1, 1, count)``, or of a child of its seed sequence."""

def complete_settings(settings: str) -> str:
    """Fill in the defaults of the sampler's settings, both as JSON.

    Raises
    ------
    ValueError
        If a setting is unknown or impossible.
    """

def diagnose(
    arrays: Sequence[NDArray[np.float64]], measures: Sequence[tuple[str, Sequence[float]]]
) -> list[NDArray[np.float64]]:
    """Compute convergence diagnostics on all cores.

    Parameters
    ----------
    arrays
        Draws of shape ``(chains, draws, elements)``, those of each chain contiguous.
    measures
        Name and probabilities of each: "rhat", "ess_bulk", "ess_tail" (two), "ess_mean", "ess_sd",
        "ess_quantile" (one), "mcse_mean", "mcse_sd", "mcse_quantile" (one), "hdi" (one), "eti" (one).

    Returns
    -------
    list of array
        A row an element; a column a measure, two for an interval.

    Raises
    ------
    ValueError
        If there is no such measure, or a chain's draws are not contiguous.
    """

def bfmi(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the Bayesian fraction of missing information of each row of energies."""

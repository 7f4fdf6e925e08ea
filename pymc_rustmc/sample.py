"""The run of one model: arguments in, draws out; the hook in `pm.sample` is a thin layer over it."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pymc.model import Model
from pymc.sampling.parallel import _cpu_count

from pymc_rustmc._core import complete_settings
from pymc_rustmc.approximate import pathfinder_starts
from pymc_rustmc.arguments import (
    check_counts,
    checked_marginalise,
    checked_metric,
    checked_option,
    checked_reparametrise,
    checked_rewrites,
    unknown_options,
)
from pymc_rustmc.begin import as_dtypes, begin, chosen_model, kept, recorded, seeds_of
from pymc_rustmc.convergence import report_convergence
from pymc_rustmc.description import InitVals
from pymc_rustmc.errors import warn_user
from pymc_rustmc.groups import LOG_JACOBIAN
from pymc_rustmc.hierarchies import report_forms, report_no_groups, report_remedy
from pymc_rustmc.inference_data import Draws, check_densities, check_idata_kwargs, to_inference_data
from pymc_rustmc.marginal import attributes, report_marginalised
from pymc_rustmc.pilot import choose_forms, is_worthwhile, run_pilot
from pymc_rustmc.progress import RunProgressBar, watch
from pymc_rustmc.template import BoundModel, output_name

try:  # the interface that PyMC is about to get; until then a plain class of the same shape
    from pymc.sampling.samplers.base import Sampler
except ImportError:
    Sampler = object

_log = logging.getLogger("pymc.rustmc")

_SPELLINGS = ("max_tree_depth", "maxdepth")
"""Other samplers' names of ``max_treedepth``."""


_KINDS = {
    "kind": str,
    "target_accept": float,
    "max_treedepth": int,
    "metric": str,
    "step_size_jitter": float,
    "initial_step_size": float,
    "max_energy_error": float,
    "max_local_error": float,
    "n_steps": int,
    "path_length": float,
    "pool": bool,
    "early_stop": bool,
}
"""Kind of value of the options that become settings of the sampler as they are."""

_SCHEDULE_KINDS = {
    "early_fraction": float,
    "early_switch": int,
    "window": int,
    "growth": float,
    "final_fraction": float,
}
"""Kind of value of the entries of ``schedule``."""


_INITS = ("jitter", "pathfinder")
"""Where chains start."""


class RustMC(Sampler):  # type: ignore[misc]
    """NUTS, or HMC with trajectories of fixed length, in Rust.

    An object holds the configuration of the algorithm and nothing of a run, so it can be used again.
    An option left out has the sampler's default; ``sample_stats.attrs["inference_library_settings"]``
    of a result shows what was used.

    Parameters
    ----------
    kind
        ``"nuts"`` (default); ``"walnuts"``, NUTS whose steps divide where the energy would change too much,
        for funnels and stiff posteriors (arXiv:2506.18746); or ``"hmc"`` with a fixed number of leapfrog
        steps or path length.
    target_accept
        Mean acceptance statistic, between 0 and 1, that the step size is tuned for (0.85).
    max_treedepth
        Doublings after which a NUTS trajectory ends (10). Also ``max_tree_depth`` and ``maxdepth``.
    metric
        The mass matrix: ``"diag"``, ``"dense"`` or ``"low_rank"`` (a diagonal but for a few directions), each
        the minimum of the Fisher divergence for draws and gradients of warm-up (arXiv:2603.18845);
        ``"draw_diag"`` from the variances of the draws; or ``"auto"`` (default): of the two diagonal ones
        and ``"dense"`` (up to 128 dimensions) or ``"low_rank"`` (above), the one that promises the
        fewest leapfrog steps on draws that it was not fitted to.
    step_size_jitter
        Each draw's step size is the tuned one times a number uniform on 1 ± ``step_size_jitter`` (0.1).
    initial_step_size
        First step size; searched for where left out.
    initial_metric
        First metric, in place of a guess from the first gradient: variances of all unconstrained values,
        ``(dim,)``, or their covariance, ``(dim, dim)``. Warm-up keeps it until it has seen enough to fit a
        better one.
    max_energy_error
        Energy error above which a trajectory counts as divergent (1000).
    max_local_error
        WALNUTS: most by which the energies along a step may differ, else it is divided (1).
    n_steps, path_length
        HMC: leapfrog steps of a trajectory, or its length in whitened coordinates (2.0).
    pool
        Whether chains learn one metric from the points of all (False); without effect on a single chain.
    early_stop
        Whether warm-up ends before ``tune`` draws, as soon as chains agree on metric and step size (False); a
        single chain is compared with itself. ``tuning_steps`` of the result is what was used.
    schedule
        Windows of warm-up: any of ``early_fraction``, ``early_switch``, ``window``, ``growth``,
        ``final_fraction``.
    init
        Where chains start: ``"jitter"`` (default), at PyMC's starting points, jittered as ``jitter`` says; or
        ``"pathfinder"``, at a draw from the normal that a path of Pathfinder, one for each chain, finds from
        there. Then ``sample_stats.attrs`` has ``init``, and ``init_elbo`` and ``init_evaluations`` by chain.
    reparametrise
        Whether to choose, before warm-up, a form between centred and non-centred for each element of Normal
        variables whose location or scale depends on other variables. ``"auto"`` (default): where a short run
        of the model as it is written shows that this promises much, and nothing is asked for that refers to
        its coordinates: ``initial_metric``, ``marginalise``, ``tune=0``. See ``docs/hierarchies.md``.
    marginalise
        Whether to integrate out all variables in which the log density is quadratic, such as effects of
        groups under a normal prior and a normal likelihood, and to draw them given the rest; or the names of
        some (False). See ``docs/hierarchies.md``.
    rewrites
        Rules of exact algebra to switch off, such as ``{"equal_rows": False}``, or ``False`` for all; they
        are on by default. See ``docs/exact-algebra.md``.
    jitter
        Whether starting points are jittered by U(-1, 1) in unconstrained space.
    jitter_max_retries
        How often a jittered starting point without a finite log density is drawn again.

    Raises
    ------
    TypeError
        If an option is unknown or of the wrong kind; the text names it and what is accepted.

    Examples
    --------
    >>> RustMC(target_accept=0.9).sample_from_init(model=model, random_seed=1)  # doctest: +SKIP
    """

    def __init__(
        self,
        *,
        kind: Literal["nuts", "walnuts", "hmc"] | None = None,
        target_accept: float | None = None,
        max_treedepth: int | None = None,
        metric: Literal["auto", "diag", "dense", "low_rank", "draw_diag"] | None = None,
        step_size_jitter: float | None = None,
        initial_step_size: float | None = None,
        initial_metric: Any = None,
        max_energy_error: float | None = None,
        max_local_error: float | None = None,
        n_steps: int | None = None,
        path_length: float | None = None,
        pool: bool | None = None,
        early_stop: bool | None = None,
        schedule: Mapping[str, float] | None = None,
        init: Literal["jitter", "pathfinder"] = "jitter",
        reparametrise: bool | Literal["auto"] = "auto",
        marginalise: bool | Sequence[str] | None = None,
        rewrites: bool | Mapping[str, bool] | None = None,
        jitter: bool = True,
        jitter_max_retries: int = 10,
        **other: Any,
    ) -> None:
        settings: dict[str, Any] = {
            "kind": kind,
            "target_accept": target_accept,
            "max_treedepth": _max_treedepth(max_treedepth, other),
            "metric": metric,
            "step_size_jitter": step_size_jitter,
            "initial_step_size": initial_step_size,
            "max_energy_error": max_energy_error,
            "max_local_error": max_local_error,
            "n_steps": n_steps,
            "path_length": path_length,
            "pool": pool,
            "early_stop": early_stop,
        }
        if other:
            raise TypeError(unknown_options(other, option_names()))
        self._settings = _checked(settings, _KINDS)
        if initial_metric is not None:
            self._settings["initial_metric"] = checked_metric(initial_metric)
        if schedule is not None:
            self._settings["schedule"] = _checked(schedule, _SCHEDULE_KINDS)
        self.init = checked_option("init", init, str)
        if init not in _INITS:
            raise ValueError(f"`init` must be one of {', '.join(map(repr, _INITS))}, got {init!r}.")
        self.reparametrise = checked_reparametrise(reparametrise)
        self.marginalise = checked_marginalise(marginalise)
        if self.reparametrise is True and self.marginalise:
            raise ValueError(
                "`marginalise` and `reparametrise` exclude each other: what is integrated out has no form."
            )
        self.rewrites = checked_rewrites(rewrites)
        self.jitter = checked_option("jitter", jitter, bool)
        self.jitter_max_retries = checked_option("jitter_max_retries", jitter_max_retries, int)
        if jitter_max_retries < 0:
            raise ValueError(f"`jitter_max_retries` must be at least 0, got {jitter_max_retries}.")

    def __repr__(self) -> str:
        own = ("init", "reparametrise", "marginalise", "rewrites", "jitter", "jitter_max_retries")
        options = {**self._settings, **{name: getattr(self, name) for name in own}}
        return f"RustMC({', '.join(f'{name}={value!r}' for name, value in options.items())})"

    def settings_of_run(self, draws: int, tune: int | None) -> str:
        """Return the settings of a run that keeps no warm-up, as JSON with all defaults."""
        settings = {**self._settings, "draws": draws, **({} if tune is None else {"tune": tune})}
        return complete_settings(json.dumps(settings))

    def sample_from_init(
        self,
        *,
        model: Model | BoundModel | None = None,
        draws: int = 1000,
        tune: int | None = None,
        chains: int | None = None,
        cores: int | None = None,
        initvals: InitVals = None,
        random_seed: Any = None,
        progressbar: bool | str = True,
        progressbar_theme: Any = None,
        quiet: bool = False,
        discard_tuned_samples: bool = True,
        keep_warning_stat: bool = False,
        var_names: Sequence[str] | None = None,
        idata_kwargs: Mapping[str, Any] | None = None,
        compute_convergence_checks: bool = True,
        blas_cores: Any = None,
    ) -> Any:
        """Draw from the posterior of a model.

        Every argument means what it means in ``pm.sample``, and the same seed gives the same draws as
        ``pm.sample(nuts_sampler="rustmc")``, on any number of cores.

        Parameters
        ----------
        model
            The model, or that of the ``with`` context; or a model that is bound already.
        draws, tune
            Draws and warm-up draws a chain; ``tune=None`` is the sampler's own default.
        chains, cores
            Chains, and how many of them run at a time.
        initvals
            Initial values, for all chains or one mapping a chain.
        random_seed
            Anything that ``pm.sample`` takes, or one integer a chain.
        progressbar, progressbar_theme, quiet
            What is shown; ``quiet`` silences everything.
        discard_tuned_samples
            Whether the warm-up draws are left out of the result.
        keep_warning_stat, blas_cores
            Without effect: there is no such statistic, and no BLAS.
        var_names
            Variables to keep; the draws do not depend on it.
        idata_kwargs
            ``coords``, ``dims``, ``attrs``, ``include_transformed``, ``log_likelihood``, ``log_prior``.
        compute_convergence_checks
            Whether to check the draws and to log warnings.

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            Groups, dims, coordinates, dtypes and attributes as PyMC 5 or PyMC 6 gives them.

        Raises
        ------
        ValueError, TypeError
            If an argument is impossible; the text names it.
        pymc.exceptions.SamplingError
            If the model has no free variable, or no finite log density at a starting point.
        pymc_rustmc.errors.UnsupportedModelError, pymc_rustmc.errors.UnsupportedOpError
            If the model has discrete free variables, or an Op without translation.
        pymc_rustmc.errors.DataError
            If the data hold NaN or do not fit the model.
        """
        model, variables = chosen_model(model)
        cores = min(4, _cpu_count()) if cores is None else cores
        chains = max(2, cores) if chains is None else chains
        check_counts(draws=draws, tune=tune, chains=chains, cores=cores, keep_tune=not discard_tuned_samples)
        idata_kwargs = check_idata_kwargs(idata_kwargs)
        dtypes = kept(model, variables, var_names, idata_kwargs.get("include_transformed", False))
        if self.reparametrise is True and tune == 0:
            raise ValueError("`reparametrise=True` needs warm-up, but `tune` is 0.")
        settings = {**self._settings, "draws": draws, "save_warmup": not discard_tuned_samples}
        if tune is not None:
            settings["tune"] = tune
        RunProgressBar(chains, draws, 0, progressbar)  # refuses a wrong `progressbar` before any work

        if not quiet:
            names = ", ".join(variable.name for variable in variables.free)
            _log.info(f"{self._settings.get('kind', 'nuts').upper()}[rustmc]: [{names}]")
        seeds = seeds_of(random_seed, chains)
        with _garbage_kept():
            bound, starts = self._start(model, initvals, seeds, list(dtypes))
            check_densities(bound, idata_kwargs)
        if not quiet:
            _report_foreign(bound)
            report_marginalised(bound)
        attrs: Mapping[str, Any] = attributes(bound)
        if self.init == "pathfinder":
            starts, of_starts = pathfinder_starts(bound, starts, seeds, cores)
            attrs = {**attrs, **of_starts}
        began = time.perf_counter()
        shown = False if quiet else progressbar
        bound, starts, of_forms = self._with_forms(bound, starts, seeds, cores, tune, shown, quiet)
        attrs = {**attrs, **of_forms}
        wanted = recorded(bound, dtypes)
        if bound.template.forms:
            wanted.append((LOG_JACOBIAN, output_name(LOG_JACOBIAN), "float64"))
        run = bound.density.sample(json.dumps(settings), starts, seeds, cores, wanted)
        tune = int(json.loads(run.settings)["tune"])
        bar = RunProgressBar(chains, draws, tune, shown, progressbar_theme)
        interrupted = watch(run, bar)
        seconds = time.perf_counter() - began
        result = run.result()

        drawn = Draws(
            values=as_dtypes(result["values"], dtypes),
            stats=_stats_as_written(result),
            warmup=result["warmup_draws"],
            tune=result["tune"] if discard_tuned_samples else result["warmup_draws"],
            seconds=seconds,
            settings=run.settings,
            attrs=attrs,
        )
        if interrupted:
            _report_interruption(drawn, chains, draws, quiet)
        if not quiet:
            _log_end(drawn)
        data = bound.without_density
        del bound, run  # their copy of large data must not stand beside what the result needs
        with _garbage_kept():
            idata = to_inference_data(drawn, data, idata_kwargs)
        if compute_convergence_checks:
            report_convergence(idata, variables, quiet)
            if not quiet:
                report_remedy(drawn, data.template)
        return idata

    def _start(
        self,
        model: Model | BoundModel,
        initvals: InitVals,
        seeds: list[int],
        var_names: list[str] | None = None,
    ) -> tuple[BoundModel, NDArray[np.float64]]:
        """Bind the model to its data and find the starting positions, ``(chains, dim)``."""
        bound, starts = begin(
            model,
            initvals,
            seeds,
            jitter=self.jitter,
            retries=self.jitter_max_retries,
            var_names=var_names,
            rewrites=self.rewrites,
            marginalise=False if self.reparametrise is True else self.marginalise,
        )
        return bound, starts

    def _with_forms(
        self,
        bound: BoundModel,
        starts: NDArray[np.float64],
        seeds: list[int],
        cores: int,
        tune: int | None,
        progressbar: bool | str = False,
        quiet: bool = True,
    ) -> tuple[BoundModel, NDArray[np.float64], dict[str, Any]]:
        """Return model and starts in the forms that the groups get, if any, and attributes of the result."""
        template = bound.template
        if self.reparametrise is True:
            if template.with_forms is None:
                raise ValueError(
                    "`reparametrise=True` needs the PyMC model, but this model is from a file: sample the "
                    "PyMC model, or save it with the groups in non-centred form."
                )
            if not template.groups and not quiet:
                report_no_groups()
        elif not self.reparametrise or self._refers_to_coordinates(bound, tune):
            return bound, starts, {}
        if not template.groups:
            return bound, starts, {}
        pilot = run_pilot(bound, starts, self._settings, seeds, cores, progressbar)
        if self.reparametrise == "auto" and not is_worthwhile(bound, pilot):
            return bound, starts, {"pilot_gradients": pilot.gradients}
        chosen = choose_forms(bound, pilot)
        gradients = {"pilot_gradients": pilot.gradients + chosen.gradients}
        if not chosen.can_start():
            return bound, starts, gradients
        if not quiet:
            report_forms(chosen)
        return chosen.bound, chosen.starts, {**chosen.attributes(), **gradients}

    def _refers_to_coordinates(self, bound: BoundModel, tune: int | None) -> bool:
        """Whether something is asked for that refers to the coordinates of the model as it is written."""
        return bool(bound.template.marginalised) or "initial_metric" in self._settings or tune == 0


def option_names() -> list[str]:
    """List the options of `RustMC`."""
    parameters = inspect.signature(RustMC).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]


def _checked(options: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the options that were given, with plain values."""
    if unknown := set(options) - set(kinds):
        raise TypeError(unknown_options(unknown, list(kinds)))
    given = {name: value for name, value in options.items() if value is not None}
    return {name: checked_option(name, value, kinds[name]) for name, value in given.items()}


@contextmanager
def _garbage_kept() -> Iterator[None]:
    """Put off garbage collection, which stops the process for 0.1-0.3 s once, longer than most translations.

    The imports of PyMC leave some 300 000 objects, and the first model after them makes Python visit all.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _max_treedepth(value: int | None, other: dict[str, Any]) -> int | None:
    """Take the maximum tree depth, under any of its spellings, out of ``other``."""
    given = {name: other.pop(name) for name in _SPELLINGS if name in other}
    if value is not None:
        given["max_treedepth"] = value
    if len(set(given.values())) > 1:
        raise TypeError(f"The maximum tree depth was given more than once: {given}.")
    return next(iter(given.values()), None)


def _stats_as_written(result: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Statistics of a run, with the log density of the model as it is written, whatever its form was."""
    stats = dict(result["stats"])
    if LOG_JACOBIAN in result["values"]:
        stats["lp"] = stats["lp"] - result["values"][LOG_JACOBIAN]
    return stats


def _report_foreign(bound: BoundModel) -> None:
    """Say what runs slowly, and why."""
    whole = bound.template.whole
    for name, reason in whole.items():
        _log.warning(f"PyTensor evaluates {name!r} as a whole, since {reason}.")
    ops = {times["name"] for times in bound.density.foreign_times()} - set(whole)
    if ops:
        _log.warning(
            f"Python evaluates these Ops, one call at a time, for want of a native rule: "
            f"{', '.join(sorted(ops))}. The draws are right, but slow; pymc_rustmc.rust_funcify.register "
            f"adds a rule."
        )


def _report_interruption(drawn: Draws, chains: int, draws: int, quiet: bool) -> None:
    """Say what an interrupted run has of the ``draws`` of each of the ``chains`` that were asked for."""
    if drawn.draws + drawn.warmup == 0:
        raise KeyboardInterrupt("Sampling was interrupted before the end of warm-up: there are no draws.")
    if not quiet and (drawn.chains, drawn.draws) != (chains, draws):
        warn_user(
            f"Sampling was interrupted: the result has {drawn.draws} of {draws} draws "
            f"of {drawn.chains} of {chains} chains."
        )


def _log_end(drawn: Draws) -> None:
    chains, tune, draws = drawn.chains, drawn.tune, drawn.draws
    _log.info(
        f"Sampling {chains} chain{'s' if chains > 1 else ''} for {tune:_d} tune and {draws:_d} draw "
        f"iterations ({tune * chains:_d} + {draws * chains:_d} draws total) took {drawn.seconds:.0f} seconds."
    )

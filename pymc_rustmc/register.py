"""The hook: ``pm.sample(nuts_sampler="rustmc")``, and Bambi's ``inference_method="rustmc"``.

PyMC has no registry of samplers. Three functions that ``pm.sample`` looks up by name at every call are
wrapped in their module, so it does not matter who imported ``sample`` when; each wrapper passes calls for
other samplers on unchanged:

``modelcontext``
    the first thing that ``pm.sample`` calls: arguments that PyMC would stumble over are refused here
``assign_step_methods``
    one gradient graph a variable, only to find that NUTS can sample it: answered without
``_sample_external_nuts``
    the dispatch to external samplers, from where the model is sampled

PyMC 5 drops some arguments on its way to the dispatch. They are read from the frame of ``pm.sample``.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pymc as pm

from pymc_rustmc.arguments import check_counts, check_model_type, unknown_options
from pymc_rustmc.errors import warn_user
from pymc_rustmc.sample import RustMC, option_names

NAME = "rustmc"

_RUN_ARGUMENTS = frozenset(inspect.signature(RustMC.sample_from_init).parameters) - {"self"}

_MCMC = "pymc.sampling.mcmc"
_BAMBI = "bambi.backend.pymc"


def register() -> None:
    """Make ``nuts_sampler="rustmc"`` known to PyMC and Bambi.

    Importing ``pymc_rustmc`` does this. A second call changes nothing. Bambi may be imported later, and
    both may be reloaded.
    """
    if not any(isinstance(finder, _AfterImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterImport())
    for name, patch in _PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])


def _patch_mcmc(module: ModuleType) -> None:
    for name, wrapper in (
        ("modelcontext", _wrap_modelcontext),
        ("assign_step_methods", _wrap_assign_step_methods),
        ("_sample_external_nuts", _wrap_sample_external_nuts),
    ):
        function = getattr(module, name)
        original = getattr(function, "_rustmc_original", function)
        wrapped = functools.wraps(original)(wrapper(original, module))
        wrapped._rustmc_original = original  # type: ignore[attr-defined]
        setattr(module, name, wrapped)


def _patch_bambi(module: ModuleType) -> None:
    module._SUPPORTED_METHODS.add(NAME)


_PATCHES: dict[str, Callable[[ModuleType], None]] = {_MCMC: _patch_mcmc, _BAMBI: _patch_bambi}


class _AfterImport(importlib.abc.MetaPathFinder):
    """Patches a module right after its code has run, at import and at reload."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _PATCHES:
            return None
        others = (finder for finder in sys.meta_path if not isinstance(finder, _AfterImport))
        specs = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            run_module = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                run_module(module)
                _PATCHES[fullname](module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _call_of_sample(module: ModuleType) -> dict[str, Any] | None:
    """Local variables of the innermost ``pm.sample`` that led here, if it is for this sampler."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "sample" and frame.f_globals is module.__dict__:
            call = frame.f_locals
            return call if call.get("nuts_sampler") == NAME else None
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _wrap_modelcontext(original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    pymc5 = "nuts_kwargs" not in inspect.signature(module._sample_external_nuts).parameters

    def modelcontext(model: Any) -> Any:
        call = _call_of_sample(module)
        model = original(model)
        if call is not None:
            _check_call(call, model)
            if pymc5:
                _keep_what_pymc5_drops(call)
        return model

    return modelcontext


def _wrap_assign_step_methods(original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    def assign_step_methods(model: Any, step: Any = None, methods: Any = None) -> Any:
        call = _call_of_sample(module)
        if call is None or step is not None:
            return original(model, step, methods=methods)
        return [], {pm.NUTS: list(model.value_vars)}

    return assign_step_methods


def _wrap_sample_external_nuts(original: Callable[..., Any], module: ModuleType) -> Callable[..., Any]:
    passed_by_pymc = {*inspect.signature(original).parameters, "nuts_kwargs"} - {"kwargs"}

    def _sample_external_nuts(sampler: str, *args: Any, **kwargs: Any) -> Any:
        if sampler != NAME:
            return original(sampler, *args, **kwargs)
        call = _call_of_sample(module) or {}
        unknown = set(kwargs) - passed_by_pymc
        if unknown:
            raise TypeError(f"{unknown_options(unknown, option_names())} Give options in `nuts={{...}}`.")
        available = {**kwargs, **call}
        run = {name: available[name] for name in _RUN_ARGUMENTS if name in available}
        run["random_seed"] = call.get("random_seed_list", kwargs["random_seed"])
        retries = {name: call[name] for name in ("jitter_max_retries",) if name in call}
        return RustMC(**{**retries, **kwargs.get("nuts_kwargs", {})}).sample_from_init(**run)

    return _sample_external_nuts


def _check_call(call: dict[str, Any], model: Any) -> None:
    """Refuse what PyMC would stumble over, or what it would drop without a word."""
    check_model_type(model)
    check_counts(
        draws=call["draws"],
        tune=call["tune"],
        chains=call["chains"],
        cores=call["cores"],
        keep_tune=not call["discard_tuned_samples"],
    )
    if not call["return_inferencedata"]:
        raise ValueError(
            f"`return_inferencedata=False` is not supported with `nuts_sampler={NAME!r}`: "
            "it makes no `MultiTrace`."
        )
    for name in ("trace", "callback"):
        if call[name] is not None:
            raise ValueError(
                f"`{name}` is not supported with `nuts_sampler={NAME!r}`: no Python runs in its loop."
            )
    if call["compile_kwargs"] or call.get("backend"):
        warn_user(
            f"`compile_kwargs` and `backend` are ignored by `nuts_sampler={NAME!r}`: nothing is compiled."
        )


def _keep_what_pymc5_drops(call: dict[str, Any]) -> None:
    """Say what PyMC 6 says by itself, and carry ``nuts={...}`` to the dispatch under PyMC 6's name."""
    if call["init"] != "auto":
        warn_user(f"`init={call['init']!r}` is ignored by `nuts_sampler={NAME!r}`; it initializes itself.")
    if isinstance(call["step"], pm.NUTS):
        warn_user(f"The provided NUTS `step` is ignored by `nuts_sampler={NAME!r}`.")
    options = call["kwargs"].get("nuts", {})
    more = call["nuts_sampler_kwargs"]
    twice = sorted(set(options) & set(more))
    if twice:
        raise ValueError(f"Given twice, in `nuts` and in `nuts_sampler_kwargs`: {', '.join(twice)}.")
    call["kwargs"]["nuts_kwargs"] = {**options, **more}

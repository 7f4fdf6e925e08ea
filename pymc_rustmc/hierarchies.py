"""What a run says about the groups of a hierarchical model."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from pymc_rustmc.inference_data import Draws
from pymc_rustmc.pilot import Chosen
from pymc_rustmc.template import Template

_log = logging.getLogger("pymc.rustmc")


def report_no_groups() -> None:
    """Say that there is nothing to reparametrise."""
    _log.info("Nothing to reparametrise: no Normal variable has a location or scale that depends on others.")


def report_forms(chosen: Chosen) -> None:
    """Say which forms were chosen."""
    levels = (f"{name} {_range(level)}" for name, level in chosen.centredness.items() if level.size)
    _log.info(f"Reparametrised (0 is non-centred, 1 centred): {', '.join(levels)}")


def report_remedy(drawn: Draws, template: Template) -> None:
    """Name the option that may help where trajectories diverged and the model has groups as written."""
    diverged = drawn.stats["diverging"][:, drawn.warmup :].any()
    if diverged and template.groups and not template.forms:
        names = ", ".join(group.name for group in template.groups)
        _log.warning(
            f"Normal variables whose location or scale depends on others often cause divergences: {names}. "
            f'nuts={{"reparametrise": True}} chooses a form of them that suits the data.'
        )


def _range(levels: NDArray[np.float64]) -> str:
    low, high = f"{np.min(levels):.2f}", f"{np.max(levels):.2f}"
    return low if low == high else f"{low} to {high}"

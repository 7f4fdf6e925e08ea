"""One entry of the catalogue: a model, where its density is compared, and how well it must agree."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pymc as pm

PYMC_6 = int(pm.__version__.split(".")[0]) >= 6


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue.

    Attributes
    ----------
    build
        Adds variables to the model in context; if it returns a model, that is the one.
    points
        Mean and standard deviation of the random points, by name of the value variable; (0, 1) for others.
        For variables without a transform, and with a support other than the whole line.
    rtol
        Agreement of log density and outputs, and of the gradient relative to its largest element.
    looser
        Why `rtol` is looser than usual.
    initvals
        Starting values of the sampling run, for densities that are not finite where PyMC starts.
    foreign
        Names of the Ops that have no native translation.
    refused
        For a model that has no gradient: what the error says, as a regular expression.
    unsampled
        Why there is no sampling run.
    """

    build: Callable[[], Any]
    points: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    rtol: tuple[float, float] = (1e-9, 1e-7)
    looser: str = ""
    initvals: Mapping[str, Any] | None = None
    foreign: tuple[str, ...] = ()
    refused: str = ""
    unsampled: str = ""

    def __post_init__(self) -> None:
        if self.rtol > (1e-9, 1e-7) and not self.looser:
            raise ValueError("a looser agreement needs its reason")

    def model(self) -> pm.Model:
        """Build the model."""
        with pm.Model() as model:
            built = self.build()
        return built if isinstance(built, pm.Model) else model


def entries(*builders: Callable[[], Any]) -> dict[str, Entry]:
    """Entries of plain builders, under the names of the functions."""
    return {build.__name__.replace("_", " "): Entry(build) for build in builders}

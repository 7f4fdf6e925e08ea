"""What is done with every data set of a batch: plain values that can be stored and sent to other machines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import pymc as pm

from pymc_rustmc._core import complete_settings
from pymc_rustmc.arguments import check_integer

Keep: TypeAlias = Literal["summary", "draws"] | Mapping[str, Any] | Sequence[str]
"""Which draws a result holds: none, all, ``{"thin": k}``, or those of the variables named."""


@dataclass(frozen=True)
class BatchSettings:
    """What is done with every data set.

    Parameters
    ----------
    sampler
        Settings of the sampler, ``draws`` and ``tune`` among them, as JSON.
    chains
        Chains of each data set.
    seed
        The seed of all; chains of the data set at a position have the seeds `chain_seeds(seed, position,
        chains)`.
    variables
        Names of the variables of the result, and their dtypes as text.
    interval, probability
        The interval of the summary, ``"hdi"`` or ``"eti"``, and its share of the draws.
    thin
        Every how manieth draw is kept; 0 for none.
    kept
        Variables whose draws are kept.
    warm_start
        None, or ``data_sets``, how many the pilot had, with the ``shapes`` of the value variables that it is
        good for and the ``options`` of the sampler that it found.
    jitter, retries
        Whether starting points are jittered, and how often one without a finite density is drawn again.
    """

    sampler: str
    chains: int
    seed: int
    variables: Mapping[str, str]
    interval: str
    probability: float
    thin: int
    kept: tuple[str, ...]
    jitter: bool
    retries: int
    warm_start: Mapping[str, Any] | None = None

    @property
    def warm_sampler(self) -> str | None:
        """Settings of the sampler of data sets that begin where the pilot ended."""
        if self.warm_start is None or "options" not in self.warm_start:
            return None
        options = self.warm_start["options"]
        metric = np.ravel(options["initial_metric"]).tolist()
        return complete_settings(
            json.dumps({**json.loads(self.sampler), **options, "initial_metric": metric})
        )

    @property
    def statistics(self) -> list[str]:
        """Names of the statistics of a summary, in the order in which the extension gives them."""
        interval = f"{self.interval}{100 * self.probability:.6g}"
        bounds = [f"{interval}_lb", f"{interval}_ub"]
        return ["mean", "sd", "median", *bounds, "mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", "r_hat"]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Return the dtype of a variable."""
        return np.dtype(self.variables[name])

    def to_dict(self) -> dict[str, Any]:
        """Return values that JSON can hold; ``BatchSettings.from_dict`` reads them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BatchSettings:
        """Read what `to_dict` gave, after JSON."""
        return cls(**{**values, "kept": tuple(values["kept"])})


def checked_keep(keep: Keep, variables: Sequence[str]) -> tuple[int, tuple[str, ...]]:
    """Every how manieth draw is kept, of which variables.

    Raises
    ------
    TypeError, ValueError
        If it is none of what `Keep` says.
    """
    if isinstance(keep, str):
        if keep not in ("summary", "draws"):
            raise ValueError(
                f"`keep` must be 'summary', 'draws', {{'thin': k}} or a list of variables, got {keep!r}."
            )
        return (1, tuple(variables)) if keep == "draws" else (0, ())
    thin, chosen = 1, keep
    if isinstance(keep, Mapping):
        if unknown := sorted(set(keep) - {"thin", "var_names"}):
            raise ValueError(
                f"`keep` has entries 'thin' and 'var_names', not {', '.join(map(repr, unknown))}."
            )
        thin, chosen = keep.get("thin", 1), keep.get("var_names", variables)
        check_integer("keep['thin']", thin, 1)
    chosen = tuple(chosen)
    if unknown := [name for name in chosen if name not in variables]:
        raise ValueError(
            f"`keep` names {', '.join(map(repr, unknown))}, which the result does not hold; it holds "
            f"{', '.join(map(repr, variables))}."
        )
    return int(thin), tuple(name for name in variables if name in chosen)


def one_seed(random_seed: Any) -> int:
    """One seed below 2**63 from what ``pm.sample`` takes."""
    if isinstance(random_seed, int | np.integer) and 0 <= random_seed < 2**63:
        return int(random_seed)
    generator = pm.util.get_random_generator(random_seed)
    return int(generator.integers(2**63, dtype=np.int64, endpoint=False))

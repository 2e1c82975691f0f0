"""The stored posterior of the outcome model: draws of every parameter, and where they are from.

data/outcome_posterior.csv has one line per draw, data/outcome_posterior.json the seed, the versions, how well the chains agree and the hash of
the tables that it was fitted to. ``python -m epidura.evidence.fit`` makes both again.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from epidura.errors import BadTable
from epidura.evidence.model import Floats, therapies, unfitted_dose
from epidura.tables import Number, table

FITTED_TO = ("outcome_priors", "trial_arms", "trials")
"""Tables that the posterior depends on."""


def fingerprint() -> str:
    """Hash of the tables that the posterior depends on."""
    found = hashlib.sha256()
    for name in FITTED_TO:
        found.update((files("epidura") / "data" / f"{name}.csv").read_bytes())
    return found.hexdigest()[:16]


@dataclass(frozen=True)
class Posterior:
    """Draws of all parameters.

    Attributes:
        draws: name to (draws,), in the units of data/outcome_priors.csv.
        provenance: seed, versions, R-hat, number of independent draws.
    """

    draws: dict[str, Floats]
    provenance: dict[str, Any]

    @property
    def count(self) -> int:
        return len(next(iter(self.draws.values())))

    def draw(self, k: int) -> dict[str, float]:
        """One draw, by name."""
        return {name: float(values[k]) for name, values in self.draws.items()}

    def interval(self, name: str, share: float = 0.9) -> tuple[float, float, float]:
        """Lower end, median and upper end of a parameter."""
        low, middle, high = np.quantile(self.draws[name], [(1 - share) / 2, 0.5, (1 + share) / 2])
        return float(low), float(middle), float(high)

    def centre(self, trial: str, k: int) -> tuple[float, float]:
        """Factors of a trial that was fitted on context and neural effect, in one draw; 1 where it has none."""
        names = (f"context centre {trial}", f"neural centre {trial}")
        one, other = (float(self.draws[name][k]) if name in self.draws else 1.0 for name in names)
        return one, other

    def new(self, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """(draws,) factors on context and neural effect of a trial that was not fitted."""
        one, other = (np.exp(self.draws[f"{kind} between trials"] * rng.standard_normal(self.count)) for kind in ("context", "neural"))
        return one, other

    def dose(self, therapy: str, rng: np.random.Generator) -> Floats:
        """(draws,) neural dose of a therapy; of one that was not fitted, drawn about the typical one with the spread between therapies."""
        # drawn in any case, so that another therapy beside it changes nothing here
        z = rng.standard_normal(self.count)
        if therapy in therapies():
            return self.draws[f"neural {therapy}"]
        return np.asarray(unfitted_dose(self.draws, z))

    def numbers(self) -> tuple[Number, ...]:
        """Medians of the parameters that have a meaning of their own, as numbers with their source."""
        rows = [row for row in table("outcome_priors") if row["parameter"] in self.draws]
        return tuple(Number(f"{row['meaning']} ({row['parameter']})", self.interval(row["parameter"])[1], row["unit"], "computed",
                            "fitted to data/trials.csv (docs/outcome.md)", "", "outcome_posterior.csv") for row in rows)


@cache
def posterior() -> Posterior:
    """The stored posterior.

    Raises:
        BadTable: it belongs to other tables than those that are here, or is damaged.
    """
    folder = files("epidura") / "data"
    provenance = json.loads((folder / "outcome_posterior.json").read_text())
    if provenance["fitted_to"] != fingerprint():
        raise BadTable("data/outcome_posterior.csv", "it was fitted to other tables than those that are here", got=fingerprint(),
                       allowed=provenance["fitted_to"], hint="make it again: python -m epidura.evidence.fit")
    names, *lines = csv.reader((folder / "outcome_posterior.csv").read_text().splitlines())
    values = np.array(lines, float)
    if values.shape != (provenance["stored"], len(names)) or not np.isfinite(values).all():
        raise BadTable("data/outcome_posterior.csv", "damaged", got=f"{values.shape}", allowed=f"{provenance['stored']} draws of finite numbers")
    return Posterior(dict(zip(names, values.T, strict=True)), provenance)

"""Bayesian calibration of the outcome model on the rows that are marked for it.

    python -m epidura.evidence.fit            writes data/outcome_posterior.csv

Priors are in data/outcome_priors.csv. Every trial has factors of its own for context and neural effect, and every therapy a dose about that of
the typical one, so a trial or a therapy that was not seen is predicted with the spread between them. Sampled with the No-U-Turn sampler of
NumPyro (extra ``epidura[calibrate]``); the same seed gives the same draws on the same machine and versions.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from epidura.errors import Failed
from epidura.evidence.model import Arm, Floats, Library
from epidura.evidence.posterior import fingerprint
from epidura.evidence.rows import Row, arms, expected, rows, weights
from epidura.tables import table

SEED = 20261127
CHAINS, WARMUP, DRAWS = 4, 500, 500
KEPT = 400
"""Draws that are stored."""
LARGEST_RHAT = 1.01


@dataclass(frozen=True)
class Fit:
    """Draws of all parameters.

    Attributes:
        draws: name to (draws,).
        rhat: name to the ratio that is 1 when chains agree.
        effective: name to the number of independent draws.
        divergences: steps that failed.
    """

    draws: dict[str, Floats]
    rhat: dict[str, float]
    effective: dict[str, float]
    divergences: int


def fit(kept: Sequence[Row] | None = None, of: Mapping[tuple[str, str], Arm] | None = None, *, seed: int = SEED, chains: int = CHAINS,
        warmup: int = WARMUP, draws: int = DRAWS, widened: float = 1.0, progress: bool = False) -> Fit:
    """Draws from the posterior.

    Args:
        kept: rows to fit; those of data/trials.csv marked for it if None.
        of: arms of these rows; those of data/trial_arms.csv if None.
        seed, chains, warmup, draws: of the sampler.
        widened: factor on the width of the priors (for their sensitivity).
        progress: show the sampler's bar.

    Raises:
        Failed: NumPyro is not installed.
    """
    try:
        import jax
        import numpyro
        from jax.scipy.special import ndtr
    except ImportError as missing:
        raise Failed(f"the calibration needs {missing.name}: pip install 'epidura[calibrate]'") from None
    jax.config.update("jax_enable_x64", True)
    data = tuple(row for row in rows() if row.fitted) if kept is None else tuple(kept)
    table_of = arms() if of is None else of
    library = Library(jax.numpy, ndtr)
    kernel = numpyro.infer.NUTS(lambda: _model(data, table_of, library, widened), target_accept_prob=0.9)
    sampler = numpyro.infer.MCMC(kernel, num_warmup=warmup, num_samples=draws, num_chains=chains, chain_method="sequential", progress_bar=progress)
    sampler.run(jax.random.PRNGKey(seed), extra_fields=("diverging",))
    by_chain = {name: np.asarray(values) for name, values in sampler.get_samples(group_by_chain=True).items() if not name.startswith("~")}
    summary = numpyro.diagnostics.summary(by_chain)
    return Fit({name: values.reshape(-1) for name, values in by_chain.items()}, {name: float(one["r_hat"]) for name, one in summary.items()},
               {name: float(one["n_eff"]) for name, one in summary.items()}, int(np.sum(sampler.get_extra_fields()["diverging"])))


def trials_of(kept: Sequence[Row], of: Mapping[tuple[str, str], Arm]) -> tuple[str, ...]:
    """Trials that have factors of their own: those with stimulated arms."""
    return tuple(dict.fromkeys(row.trial for row in kept if any(arm.stimulated for (trial, _), arm in of.items() if trial == row.trial)))


def _model(data: tuple[Row, ...], of: Mapping[tuple[str, str], Arm], library: Library, widened: float) -> None:
    """The priors and the likelihood, as NumPyro wants them."""
    import numpyro
    import numpyro.distributions as dist

    xp = library.np
    p: dict[str, Any] = {}
    for row in table("outcome_priors"):
        name, a, b = row["parameter"], float(row["a"] or "nan"), float(row["b"] or "nan")
        match row["distribution"]:
            case "normal":
                p[name] = numpyro.sample(name, dist.Normal(a, b * widened))
            case "lognormal":
                p[name] = numpyro.sample(name, dist.LogNormal(math.log(a), b * widened))
            case "beta":
                p[name] = numpyro.sample(name, dist.Beta(a / widened, b / widened))
            case "halfnormal":
                p[name] = numpyro.sample(name, dist.HalfNormal(a * widened))
            case "therapy":
                z = numpyro.sample(f"~{name}", dist.Normal(0, 1))
                p[name] = numpyro.deterministic(name, p["neural typical"] * xp.exp(p["neural between therapies"] * z))
    centres = {}
    for trial in trials_of(data, of):
        centres[trial] = tuple(numpyro.deterministic(f"{kind} centre {trial}",
                                                     xp.exp(p[f"{kind} between trials"] * numpyro.sample(f"~{kind} {trial}", dist.Normal(0, 1))))
                               for kind in ("context", "neural"))
    found = expected(data, of, p, centres, library)
    numpyro.factor("~rows", sum(weight * log_likelihood(row, *one, xp) for row, weight, one in zip(data, weights(data), found, strict=True)))


def log_likelihood(row: Row, value: Any, sd: Any, xp: Any = np) -> Any:
    """Of a published number: binomial for shares, normal for means with the model's own spread, normal for standard deviations."""
    if sd is None:
        share, seen = xp.clip(value / 100, 1e-6, 1 - 1e-6), row.value / 100
        return row.n * (seen * xp.log(share) + (1 - seen) * xp.log(1 - share))
    error = sd / math.sqrt(row.n)
    found = -0.5 * ((row.value - value) / error) ** 2 - xp.log(error)
    if not math.isnan(row.sd):
        found = found - 0.5 * ((row.sd - sd) / (row.sd / math.sqrt(2 * row.n))) ** 2
    return found


def write(found: Fit, path: Path, seed: int, kept: int = KEPT) -> None:
    """Store evenly spaced draws and where they are from, each file whole or not at all."""
    names = list(found.draws)
    total = len(found.draws[names[0]])
    chosen = np.linspace(0, total - 1, min(kept, total)).round().astype(int)
    lines = [",".join(names), *(",".join(f"{found.draws[name][k]:.6g}" for name in names) for k in chosen)]
    about = {"fitted_to": fingerprint(), "seed": seed, "draws": total, "stored": len(chosen), "divergences": found.divergences,
             "largest_rhat": round(max(found.rhat.values()), 4), "fewest_independent_draws": round(min(found.effective.values())),
             "versions": {name: version(name) for name in ("numpyro", "jax", "numpy")}}
    for place, text in ((path, "\n".join(lines)), (path.with_suffix(".json"), json.dumps(about, indent=1))):
        temporary = place.with_suffix(".part")
        temporary.write_text(text + "\n")
        os.replace(temporary, place)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m epidura.evidence.fit", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "data" / "outcome_posterior.csv")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--warmup", type=int, default=WARMUP)
    given = parser.parse_args(arguments)
    found = fit(seed=given.seed, draws=given.draws, warmup=given.warmup, progress=sys.stderr.isatty())
    for name, values in found.draws.items():
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        print(f"{name:36} {middle:8.3g} ({low:.3g} to {high:.3g})  R-hat {found.rhat[name]:.3f}  independent draws {found.effective[name]:.0f}")
    print(f"divergences {found.divergences}; NumPyro {version('numpyro')}, JAX {version('jax')}, seed {given.seed}")
    worst = max(found.rhat.values())
    if worst > LARGEST_RHAT:
        print(f"chains disagree: R-hat {worst:.3f}, allowed up to {LARGEST_RHAT}; nothing is written", file=sys.stderr)
        return 1
    write(found, given.out, given.seed)
    return 0


__all__ = ["Fit", "fit", "log_likelihood", "main", "trials_of", "write"]

if __name__ == "__main__":
    sys.exit(main())

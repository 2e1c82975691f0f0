"""A small study on quick lead fields, whose tasks say which process computes them; as a script, a driver that can be killed."""

from __future__ import annotations

import copy
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from epidura import cohort, cohort_study
from epidura import study as chain
from epidura.product import Canal, LeadField

SMALL: dict[str, Any] = {
    "title": "Small study",
    "case": {
        "title": "Tiny",
        "patient": {"indication": "failed-back-surgery", "pain": {"areas": ["low-back", "left-leg"], "nrs": 7}},
        "anatomy": {"kind": "parametric", "vertebra": "T9", "dorsal_csf": "5 mm"},
        "leads": [{"model": "octrode", "tip_vertebra": "T8", "lateral": "-1 mm"}],
        "fibres": [{"kind": "dorsal-column", "count": 24}, {"kind": "dorsal-root", "count": 12}],
        "programs": [{"name": "tonic", "contacts": {4: -1, 5: 1},
                      "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us", "shape": "monophasic"}}],
        "gate": "off", "firing": "off"},
    "population": {"indication": "failed-back-surgery", "baseline": 7.5},
    "arms": [{"name": "tonic", "program": "tonic"}, {"name": "usual care", "program": "usual-care"}],
    "months": [1, 6, 12], "replicates": 3, "batch": 2,
    "surrogate": {"lateral": [-1, 1], "minor": [], "share": 1.0, "compared": 0},
}
"""Two nodes, and batches of two patients."""

_node, _chain, _batch, _session = cohort.node_run, cohort.chain_run, cohort.batch_run, cohort.session_run


def small(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SMALL), **changes}


def _solve(canal: Canal, **_: object) -> LeadField:
    """Point sources in an infinite medium of 0.25 S/m."""
    places = np.array([[shaft.x, shaft.y, (c.z0 + c.z1) / 2] for shaft in canal.shafts for c in shaft.contacts])
    return LeadField(tuple(c.number for c in canal.contacts), 500.0 * np.eye(len(places)) + 100.0,
                     lambda points: 1 / (np.pi * np.linalg.norm(points[None] - places[:, None], axis=2)), canal)


@contextmanager
def quick() -> Iterator[None]:
    before = chain.solve_field
    chain.solve_field = _solve
    try:
        yield
    finally:
        chain.solve_field = before


def _mark(what: str) -> None:
    """Say that this process computes, and give the test time to end it."""
    if folder := os.environ.get("KILL_LOG"):
        Path(folder, f"{what}-{os.getpid()}").touch()
        time.sleep(float(os.environ.get("KILL_PAUSE", "0")))


def node_run(case: dict[str, Any], sources: str) -> bytes:
    _mark("node")
    with quick():
        return _node(case, sources)


def chain_run(case: dict[str, Any], sources: str) -> bytes:
    with quick():
        return _chain(case, sources)


def session_run(case: dict[str, Any], sources: str) -> bytes:
    with quick():
        return _session(case, sources)


def batch_run(path: Path, study: str, first: int, end: int, sources: str) -> None:
    _mark(f"batch-{first}")
    _batch(path, study, first, end, sources)


NAMES = ("node_run", "chain_run", "session_run", "batch_run")


def install() -> None:
    import kill_cohort  # the functions of a started script have no name in other processes

    for name in NAMES:
        setattr(cohort, name, getattr(kill_cohort, name))


if __name__ == "__main__":
    install()
    given = json.loads(sys.argv[1])
    cohort.run_study(cohort_study.read_study(small()), **given)

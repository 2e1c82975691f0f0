"""The smallest case that runs the whole chain, and the command line as a person calls it."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TINY: dict[str, Any] = {
    "title": "Tiny",
    "patient": {"age": 50, "indication": "failed-back-surgery", "pain": {"areas": ["low-back", "left-leg"], "nrs": 5}},
    "anatomy": {"kind": "parametric", "vertebra": "T9"},
    "leads": [{"model": "octrode", "tip_vertebra": "T8", "lateral": "-1 mm"}],
    "fibres": [{"kind": "dorsal-column", "count": 24}, {"kind": "dorsal-root", "count": 12}],
    "programs": [{
        "name": "tonic",
        "waveform": {"kind": "tonic", "frequency": "50 Hz", "pulse_width": "300 us", "shape": "monophasic"},
        "contacts": {4: -1, 5: 1},
    }],
}

SHORT_GATE: dict[str, Any] = {"seeds": 2, "settle": "0.2 s", "duration": "0.5 s", "volleys": 1, "levels": 2, "frequencies": ["20 Hz"]}
"""All that the gate does, but a second of it: for runs whose test needs the gate and not its figures."""


def tiny(*path: str | int, value: Any = None) -> dict[str, Any]:
    """A copy of the case, with the value at ``path`` replaced."""
    case = copy.deepcopy(TINY)
    place: Any = case
    for part in path[:-1]:
        place = place[part]
    if path:
        place[path[-1]] = value
    return case


def epidura(*arguments: str | Path, cwd: Path, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    environment = {**os.environ, "EPIDURA_CACHE": str(cache or cwd / "cache"), "COLUMNS": "200", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([sys.executable, "-m", "epidura.cli", *map(str, arguments)], cwd=cwd, env=environment, text=True,
                          encoding="utf-8", capture_output=True, timeout=300, check=False)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr that holds the words."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("epidura: ")
    for word in words:
        assert word in lines[0]

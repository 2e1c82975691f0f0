"""Epidura: open software for spinal cord stimulation in chronic pain.

>>> import epidura as ep
>>> result = ep.run(ep.read("case.yaml"))

Research and education software, not a medical device.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epidura.bundle import Bundle, Injection, excite, travelling_wave
    from epidura.canal import build_canal
    from epidura.case import Case, read, write
    from epidura.errors import BadCase, BadGeometry, BadInput, BadTable, BadUnit, EpiduraError, Failed
    from epidura.field import solve_field
    from epidura.outcome import predict_outcome
    from epidura.outlook import Outlook
    from epidura.program import Program
    from epidura.recruitment import Engine, Rules, recruit
    from epidura.result import Result
    from epidura.single_fibre import point_source_thresholds
    from epidura.study import run, save
    from epidura.transmission import Gate, transmit
    from epidura.trial import Trial, predict, read_trial

_WHERE = {
    "epidura.bundle": ("Bundle", "Injection", "excite", "travelling_wave"),
    "epidura.canal": ("build_canal",),
    "epidura.case": ("Case", "read", "write"),
    "epidura.errors": ("BadCase", "BadGeometry", "BadInput", "BadTable", "BadUnit", "EpiduraError", "Failed"),
    "epidura.field": ("solve_field",),
    "epidura.outcome": ("predict_outcome",),
    "epidura.outlook": ("Outlook",),
    "epidura.program": ("Program",),
    "epidura.recruitment": ("Engine", "Rules", "recruit"),
    "epidura.single_fibre": ("point_source_thresholds",),
    "epidura.result": ("Result",),
    "epidura.study": ("run", "save"),
    "epidura.transmission": ("Gate", "transmit"),
    "epidura.trial": ("Trial", "predict", "read_trial"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "BadCase", "BadGeometry", "BadInput", "BadTable", "BadUnit", "Bundle", "Case", "Engine", "EpiduraError", "Failed", "Gate", "Injection",
    "Outlook", "Program", "Result", "Rules", "Trial", "build_canal", "excite", "point_source_thresholds", "predict", "predict_outcome", "read",
    "read_trial", "recruit", "run", "save", "solve_field", "transmit", "travelling_wave", "write",
]


def __getattr__(name: str) -> Any:
    """Names are loaded when they are first used, so that ``import epidura`` costs nothing."""
    if name not in _MODULE:
        raise AttributeError(f"module 'epidura' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE[name]), name)


def __dir__() -> list[str]:
    return __all__

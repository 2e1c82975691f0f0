"""The sensory fibre of Gaines et al. (2018) in NEURON: its channels as NEURON's own text, put into the double cable of ``neuron_peer``.

Every number stands here a second time (J Comput Neurosci 45:29, read in ModelDB 243841), so that what the engine reads from
data/gaines_sensory.csv is checked by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from epidura.axon.base import Morphology
from epidura.bench.neuron_peer import PERIOD, NeuronFibre, membrane_numbers

NODE, UNDER = "sensory_node", "under_myelin"

_LINOID = """
FUNCTION linoid(x) { : x / (1 - exp(-x)), 1 at 0
    if (fabs(x) < 1e-5) { linoid = 1 + x / 2 } else { linoid = x / (1 - exp(-x)) }
}
"""
_HEATED = """
    warm_m = 2.2 ^ ((celsius - 20) / 10)
    warm_h = 2.9 ^ ((celsius - 20) / 10)
    warm_s = 3.0 ^ ((celsius - 36) / 10)
"""
_POTASSIUM = """
    open_s = warm_s * 0.3 / (1 + exp(-(u + 53) / 5))
    shut_s = warm_s * 0.03 / (1 + exp(-(u + 90)))
    open_n = warm_s * 0.0462 * 1.1 * linoid((u + 83.2) / 1.1)
    shut_n = warm_s * 0.0824 * 10.5 * linoid(-(u + 66) / 10.5)
"""
_HELD = """
    u = at
    if (u < -150) { u = -150 }
    if (u > 150) { u = 150 }
"""


def _gates(names: str) -> str:
    """Start and course of gates with the rates open_ and shut_."""
    start = "".join(f"    {x} = open_{x} / (open_{x} + shut_{x})\n" for x in names)
    course = "".join(f"    {x}' = open_{x} * (1 - {x}) - shut_{x} * {x}\n" for x in names)
    return f"INITIAL {{{_HEATED}    rates(v)\n{start}}}\nDERIVATIVE gates {{\n    rates(v)\n{course}}}"


MECHANISMS = {
    NODE: f"""
TITLE node of a sensory fibre, Gaines et al. (2018): fast and persistent sodium, slow and fast potassium, leak
NEURON {{ SUFFIX {NODE} NONSPECIFIC_CURRENT i THREADSAFE }}
ASSIGNED {{
    v (mV) celsius (degC) i (mA/cm2) warm_m warm_h warm_s
    open_m shut_m open_p shut_p open_h shut_h open_s shut_s open_n shut_n
}}
STATE {{ m p h s n }}
BREAKPOINT {{
    SOLVE gates METHOD cnexp
    i = (3.0 * m * m * m * h + 0.01 * p * p * p) * (v - 50) + (0.04106 * s + 0.02737 * n * n * n * n + 0.006005) * (v + 90)
}}
{_gates("mphsn")}
PROCEDURE rates(at) {{ LOCAL u {_HELD}
    open_m = warm_m * 1.77753 * 10.3 * linoid((u + 20.1795) / 10.3)
    shut_m = warm_m * 0.0823 * 9.16 * linoid(-(u + 25.4746) / 9.16)
    open_p = warm_m * 0.00957 * 10.2 * linoid((u + 26.852) / 10.2)
    shut_p = warm_m * 0.0002401 * 10 * linoid(-(u + 33.8333) / 10)
    open_h = warm_h * 0.075286 * 8.391 * linoid(-(u + 112.7124) / 8.391)
    shut_h = warm_h * 2.8083 / (1 + exp(-(u + 30.5435) / 10.2263)) {_POTASSIUM}
}}
{_LINOID}""",
    UNDER: f"""
TITLE axolemma under the myelin, Gaines et al. (2018): slow and fast potassium, slow inward current, leak
NEURON {{ SUFFIX {UNDER} NONSPECIFIC_CURRENT i RANGE g_s, g_n, g_q, g_l, e_l THREADSAFE }}
PARAMETER {{ g_s (S/cm2) g_n (S/cm2) g_q (S/cm2) g_l (S/cm2) e_l (mV) }}
ASSIGNED {{ v (mV) celsius (degC) i (mA/cm2) warm_m warm_h warm_s open_s shut_s open_n shut_n open_q shut_q }}
STATE {{ s n q }}
BREAKPOINT {{
    SOLVE gates METHOD cnexp
    i = (g_s * s + g_n * n * n * n * n) * (v + 90) + g_q * q * (v + 54.9) + g_l * (v - e_l)
}}
{_gates("snq")}
PROCEDURE rates(at) {{ LOCAL u {_HELD} {_POTASSIUM}
    open_q = warm_s * 0.00522 * exp(-(u + 94.2) / 12.2)
    shut_q = warm_s * 0.00522 * exp((u + 94.2) / 12.2)
}}
{_LINOID}""",
}

_ALIKE = {"g_s": 0.001324, "g_q": 0.003102, "e_l": -90.0}
_ELSEWHERE = {**_ALIKE, "g_l": 0.0001716, "g_n": 0.02737}
SENSORY = {"MYSA": {**_ALIKE, "g_l": 0.001716, "g_n": 0.1642}, "FLUT": _ELSEWHERE, "STIN": _ELSEWHERE}
"""S/cm2 and mV of ``UNDER`` in each compartment between two nodes."""
_PLACES = {1: "MYSA", 10: "MYSA", 2: "FLUT", 9: "FLUT"}


def put_channels(fibre: NeuronFibre, under: Mapping[str, Mapping[str, float]] = SENSORY, own_nodes: bool = True) -> NeuronFibre:
    """Channels under the myelin of the compartments that ``under`` names, and the sensory node in place of the motor one; the same fibre."""
    for k, section in enumerate(fibre.sections[1:-1], 1):
        place = k % PERIOD
        if place == 0 and own_nodes:
            section.uninsert("mrg_node")
            section.insert(NODE)
        elif place and (own := under.get(_PLACES.get(place, "STIN"))):
            section.uninsert("pas")
            section.insert(UNDER)
            for name, value in own.items():
                setattr(getattr(section(0.5), UNDER), name, value)
    return fibre


def sensory_fibre(morphology: Morphology, nodes: int, under: Mapping[str, Mapping[str, float]] = SENSORY) -> NeuronFibre:
    """One fibre of these dimensions in NEURON; it must be closed before the next one."""
    return put_channels(NeuronFibre(morphology, membrane_numbers(), nodes, MECHANISMS), under)

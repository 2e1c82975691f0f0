"""The published gate in NEURON, built out of the numbers of this package, to be timed and to be compared with.

Geometry, conductances, receptors and synapses come from ``data/gate_*.csv``; the equations are written here a second time from docs/gate.md, as
NEURON's own text. Nothing is taken from the published code. Synapses are lumped, one per neuron and receptor, so this is the fastest way to
put this circuit into NEURON that we know. One circuit at a time: NEURON has one clock and one step per process.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura.bench import neuron_peer
from epidura.circuit.zhang_2014 import CELLS, FIBRES, RECOVERY, SECTIONS
from epidura.errors import Failed
from epidura.numerics.network import Member
from epidura.tables import table

Floats = NDArray[np.float64]

_LINOID = """
FUNCTION linoid(x, y) {
    : x / (exp(x / y) - 1), y at 0
    if (fabs(x / y) < 1e-6) {
        linoid = y * (1 - x / y / 2)
    } else {
        linoid = x / (exp(x / y) - 1)
    }
}
"""


def _channel(name: str, current: str, gates: dict[str, tuple[str, str]]) -> str:
    """Text of a channel of fixed reversal; of each gate its steady value and its rate per ms, which may use ``u`` = v + 55 and ``q`` = 3^1.3."""
    names = " ".join(gates)
    rates = "\n".join(f"    {gate}_inf = {value}\n    {gate}_rate = {rate}" for gate, (value, rate) in gates.items())
    start = "\n".join(f"    {gate} = {gate}_inf" for gate in gates)
    moves = "\n".join(f"    {gate}' = ({gate}_inf - {gate}) * {gate}_rate" for gate in gates)
    return f"""
NEURON {{
    SUFFIX {name}
    NONSPECIFIC_CURRENT i
    RANGE g, e
    THREADSAFE
}}
PARAMETER {{ g = 0 (S/cm2) e = 0 (mV) }}
ASSIGNED {{ v (mV) i (mA/cm2) conducts (S/cm2) {" ".join(f"{gate}_inf {gate}_rate (/ms)" for gate in gates)} }}
STATE {{ {names} }}
BREAKPOINT {{
    CONDUCTANCE conducts
    SOLVE move METHOD cnexp
    conducts = g * {current}
    i = conducts * (v - e)
}}
INITIAL {{
    rates(v)
{start}
}}
DERIVATIVE move {{
    rates(v)
{moves}
}}
PROCEDURE rates(at) {{ LOCAL u, q
    u = at + 55
    q = 3 ^ 1.3
{rates}
}}
{_LINOID}"""


def _ratio(a: str, b: str) -> tuple[str, str]:
    """Steady value and rate of a gate that opens with a and closes with b."""
    return f"({a}) / (({a}) + ({b}))", f"({a}) + ({b})"


_CALCIUM = """
TITLE calcium below the membrane, and the channels that it opens

NEURON {
    SUFFIX gate_calcium
    USEION ca READ ica, cai WRITE cai
    NONSPECIFIC_CURRENT i
    RANGE g_kca, e_kca, g_caan, e_caan, decay
    THREADSAFE
}
PARAMETER { g_kca = 0 (S/cm2) e_kca = -70 (mV) g_caan = 0 (S/cm2) e_caan = 0 (mV) decay = 1 (ms) }
ASSIGNED { v (mV) i (mA/cm2) ica (mA/cm2) cai (mM) kca caan }
STATE { calcium (mM) }
BREAKPOINT {
    SOLVE move
    i = g_kca * kca * kca * kca * (v - e_kca) + g_caan * caan * caan * (v - e_caan)
}
INITIAL { LOCAL r
    calcium = 5e-5
    cai = calcium
    r = (calcium / 1e-3) ^ 2
    kca = r / (1 + r)
    r = (calcium / 5e-4) ^ 2
    caan = r / (1 + r)
}
PROCEDURE move() { LOCAL r, k, inwards
    : gates see the calcium of before the step, as published
    r = (calcium / 1e-3) * (calcium / 1e-3)
    k = dt * steepest(0.03 * (1 + r) * 3 ^ 1.4)
    kca = (kca + k * r / (1 + r)) / (1 + k)
    r = (calcium / 5e-4) * (calcium / 5e-4)
    k = dt * steepest(0.002 / 40 * (1 + r) * 3 ^ 1.4)
    caan = (caan + k * r / (1 + r)) / (1 + k)
    inwards = -1e4 * ica / (2 * 96480 * 0.1)
    if (inwards < 0) { inwards = 0 }
    calcium = calcium + dt * (inwards + (5e-5 - calcium) / decay)
    cai = calcium
}
FUNCTION steepest(rate) {
    : time constants are at least 0.1 ms
    steepest = rate
    if (steepest > 10) { steepest = 10 }
}
"""

_CAL = f"""
TITLE calcium channel with a constant field

NEURON {{
    SUFFIX gate_cal
    USEION ca READ cai WRITE ica
    RANGE p
    THREADSAFE
}}
PARAMETER {{ p = 0 (cm/s) }}
ASSIGNED {{ v (mV) ica (mA/cm2) cai (mM) m_inf m_rate (/ms) }}
STATE {{ m }}
BREAKPOINT {{
    SOLVE move METHOD cnexp
    ica = p * m * m * field(v, cai)
}}
INITIAL {{
    rates(v)
    m = m_inf
}}
DERIVATIVE move {{
    rates(v)
    m' = (m_inf - m) * m_rate
}}
PROCEDURE rates(at) {{
    m_inf = 1 / (1 + exp(-(at + 10) / 10))
    m_rate = (1.6 / (1 + exp(-0.072 * (at - 5))) + 0.02 * linoid(at - 1.31, 5.36)) * 3 ^ 1.25
}}
FUNCTION field(at, inside) {{ LOCAL w
    w = 0.002 * 96480 / (8.314 * 309.16) * at
    field = -0.001 * 2 * 96480 * (2 - inside * exp(w)) * linoid(w, 1)
}}
{_LINOID}"""

_SYNAPSE = """
TITLE synapse of two exponentials, of many sources

NEURON {
    POINT_PROCESS gate_synapse
    USEION ca WRITE ica
    NONSPECIFIC_CURRENT i
    RANGE rise, decay, e, blocked, share
    THREADSAFE
}
PARAMETER { rise = 0.1 (ms) decay = 5 (ms) e = 0 (mV) blocked = 0 share = 0 }
ASSIGNED { v (mV) i (nA) ica (nA) peak total (nA) }
STATE { slow (uS) fast (uS) }
INITIAL { LOCAL at
    slow = 0
    fast = 0
    at = decay * rise / (decay - rise) * log(decay / rise)
    peak = 1 / (exp(-at / decay) - exp(-at / rise))
}
BREAKPOINT {
    SOLVE move METHOD cnexp
    total = (slow - fast) * (v - e)
    if (blocked > 0) { total = total / (1 + exp(-0.062 * v) / 3.57) }
    i = (1 - share) * total
    ica = share * total
}
DERIVATIVE move {
    slow' = -slow / decay
    fast' = -fast / rise
}
NET_RECEIVE(weight (uS), recovery (ms), last (ms)) {
    INITIAL { last = -1e9 }
    if (recovery > 0) {
        slow = slow + weight * peak * (1 - exp(-(t - last) / recovery))
        fast = fast + weight * peak * (1 - exp(-(t - last) / recovery))
        last = t
    } else {
        slow = slow + weight * peak
        fast = fast + weight * peak
    }
}
"""

_PLAIN_SYNAPSE = (_SYNAPSE.replace("gate_synapse", "gate_plain_synapse").replace("    USEION ca WRITE ica\n", "").replace(" ica (nA)", "")
                  .replace("    ica = share * total\n", "").replace(", share", "").replace(" share = 0", "").replace("(1 - share) * ", ""))

_FIBRE = """
TITLE nerve fibre that passes on what it is told

NEURON { ARTIFICIAL_CELL gate_fibre }
NET_RECEIVE(weight) { net_event(t) }
"""

_MODS = {
    "gate_na": _channel("gate_na", "m * m * m * h", {
        "m": _ratio("0.182 * q * linoid(-at - 28, 9)", "0.124 * q * linoid(at + 28, 9)"),
        "h": ("1 / (1 + exp((at + 64) / 9))", "q * (0.061 * linoid(-at - 35, 3) + 0.0166) + 0.0018 * q * linoid(at + 71, 18)")}),
    "gate_kdri": _channel("gate_kdri", "n * n * n * n * h", {
        "n": _ratio("0.035 * q * linoid(-at - 15, 9)", "0.014 * q * exp((12 - at) / 46)"),
        "h": _ratio("0.0083 * q * (1 / (exp((at + 20) / 10) + 1) + 1)", "0.0083 * q / (exp(-(at + 20) / 10) + 1)")}),
    "gate_na_hh2": _channel("gate_na_hh2", "m * m * m * h", {
        "m": _ratio("0.32 * linoid(13 - u, 4)", "0.28 * linoid(u - 40, 5)"),
        "h": _ratio("0.128 * exp((12 - u) / 18)", "4 / (1 + exp((35 - u) / 5))")}),
    "gate_k_hh2": _channel("gate_k_hh2", "n * n * n * n", {"n": _ratio("0.032 * linoid(15 - u, 5)", "0.5 * exp((10 - u) / 40)")}),
    "gate_nap": _channel("gate_nap", "m * h", {
        "m": _ratio("0.32 * linoid(11 - u, 4)", "0.28 * linoid(u - 42, 5)"),
        "h": _ratio("0.128 * exp((12 - u) / 18)", "4 / (1 + exp(0.5 * (35 - u) / 5))")}),
    "gate_calcium": _CALCIUM, "gate_cal": _CAL, "gate_synapse": _SYNAPSE, "gate_plain_synapse": _PLAIN_SYNAPSE, "gate_fibre": _FIBRE,
}


@cache
def _neuron() -> Any:
    """NEURON's interpreter with the mechanisms of the gate loaded."""
    reason = neuron_peer.available()
    if reason is not None:
        raise Failed(reason)
    from neuron import h

    h.nrn_load_dll(str(neuron_peer.library(_MODS)))
    return h


class NeuronGate:
    """The published circuit in NEURON.

    Raises:
        Failed: NEURON cannot be used here, its text did not compile, or it already holds something.
    """

    def __init__(self) -> None:
        self._h = h = _neuron()
        if any(True for _ in h.allsec()):
            raise Failed("NEURON already holds a circuit or fibre in this process, and all its sections share one clock; close it first")
        h.celsius = 36.0
        self._cells = {name: _sections(h, name, kind) for name, kind in CELLS.items()}
        self._fibres = [h.gate_fibre() for fibre in FIBRES for _ in fibre.members]
        self._synapses: dict[tuple[str, str], Any] = {}
        self._wires: list[Any] = []
        fibres = {fibre.name: fibre.members for fibre in FIBRES}
        for row in table("gate_synapses"):
            synapse, weight = self._synapse(row["to"], row["receptor"]), float(row["weight_uS"]) * int(row["count"])
            for source in fibres.get(row["from"], ()):
                self._connect(h.NetCon(self._fibres[source], synapse), weight, float(row["delay_ms"]), RECOVERY)
            if row["from"] in CELLS:
                soma = self._cells[row["from"]]["soma"]
                wire = h.NetCon(soma(1 - 0.5 / soma.nseg)._ref_v, synapse, sec=soma)
                wire.threshold = -30.0
                self._connect(wire, weight, float(row["delay_ms"]), 0.0)

    def close(self) -> None:
        """Take the circuit out of NEURON."""
        self._wires, self._synapses, self._fibres, self._cells = [], {}, [], {}

    def run(self, member: Member, duration: float, dt: float) -> tuple[list[Floats], float]:
        """Action potentials of each cell in ms, and the CPU seconds that NEURON's ``psolve`` took.

        Args:
            member: times of the fibres; nothing else of it is used.
            duration, dt: ms.
        """
        h = self._h
        into = [h.NetCon(None, fibre) for fibre in self._fibres]
        times, counters = [], []
        for sections in self._cells.values():
            counter, found = h.APCount(sections["soma"](0.5)), h.Vector()
            counter.thresh = -30.0
            counter.record(found)
            times.append(found)
            counters.append(counter)

        def schedule() -> None:
            for time_ms, fibre in zip(member.times, member.fibre, strict=True):
                into[int(fibre)].event(float(time_ms))

        handler = h.FInitializeHandler(schedule)
        h.secondorder, h.dt = 0, dt
        h.finitialize(-65.0)
        parallel = h.ParallelContext()
        parallel.set_maxstep(10)
        start = time.process_time()
        parallel.psolve(duration)
        spent = time.process_time() - start
        del handler, counters
        return [np.array(found) for found in times], spent

    def _connect(self, wire: Any, weight: float, delay: float, recovery: float) -> None:
        wire.delay, wire.weight[0], wire.weight[1] = delay, weight, recovery
        self._wires.append(wire)

    def _synapse(self, cell: str, receptor: str) -> Any:
        """The one of this receptor, made when first asked for."""
        if (cell, receptor) not in self._synapses:
            row = table("gate_receptors").row(cell=CELLS[cell], receptor=receptor)
            share = float(row["calcium_share"])
            dendrite = self._cells[cell]["dendrite"]
            # its middle as counted from the soma: of an even number of compartments the one further out
            middle = 0.5 if dendrite.nseg % 2 else 0.5 - 0.5 / dendrite.nseg
            made = (self._h.gate_synapse if share else self._h.gate_plain_synapse)(dendrite(middle))
            made.rise, made.decay, made.e = (float(row[name]) for name in ("rise_ms", "decay_ms", "reversal_mV"))
            made.blocked = row["blocked"] == "yes"
            if share:
                made.share = share
            self._synapses[cell, receptor] = made
        return self._synapses[cell, receptor]


def _sections(h: Any, name: str, kind: str) -> dict[str, Any]:
    """Dendrite, soma, hillock and axon of one cell, in a row."""
    made: dict[str, Any] = {}
    rows = {row["section"]: row for row in table("gate_sections") if row["cell"] == kind}
    before = None
    for part in (part for part in SECTIONS if part in rows):
        row, section = rows[part], h.Section(name=f"{name}_{part}")
        begins, ends = float(row["diameter_um"]), float(row["end_diameter_um"])
        section.nseg, section.L, section.cm = int(row["compartments"]), float(row["length_um"]), 1.0
        section.Ra = float(row["axial_resistivity_ohm_cm"])
        for segment in section:
            segment.diam = begins + (ends - begins) * segment.x
        if before is not None:
            section.connect(before(1), 0)
        section.insert("pas")
        section.g_pas, section.e_pas = float(row["leak_S_per_cm2"]), float(row["leak_reversal_mV"])
        for pool in (pool for pool in table("gate_pools") if (pool["cell"], pool["section"]) == (kind, part)):
            section.insert("gate_calcium")
            section.decay_gate_calcium = float(pool["decay_ms"])
        for channel in (row for row in table("gate_channels") if (row["cell"], row["section"]) == (kind, part)):
            _insert(section, channel["channel"], float(channel["conductance"]), float(channel["reversal_mV"]))
        made[part] = before = section
    return made


def _insert(section: Any, channel: str, conductance: float, reversal: float) -> None:
    if channel in ("kca", "caan"):  # in one mechanism with the calcium that opens them
        setattr(section, f"g_{channel}_gate_calcium", conductance)
        setattr(section, f"e_{channel}_gate_calcium", reversal)
        return
    mechanism = f"gate_{channel.replace('-', '_')}"
    section.insert(mechanism)
    setattr(section, f"{'p' if channel == 'cal' else 'g'}_{mechanism}", conductance)
    if channel != "cal":
        setattr(section, f"e_{mechanism}", reversal)

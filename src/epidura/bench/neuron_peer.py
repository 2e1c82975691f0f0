"""The double-cable fibre of McIntyre, Richardson and Grill (2002) in NEURON, built out of the numbers of this package.

Geometry comes from a ``Morphology``, conductances from ``data/mrg_membrane.csv`` by name; only the equations of the gates are
written here a second time, as NEURON's own text, so that they check the ones of the fast kernel. NEURON has one set of
sections, one clock and one step per process: there is one fibre at a time, and it must be closed before the next one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura.axon.base import Morphology, published
from epidura.errors import Failed
from epidura.tables import table

Floats = NDArray[np.float64]

PERIOD = 11  # compartments from one node to the next
SETTLE, SETTLE_DT = 40, 5.0  # steps and ms of rest before the stimulus
FIRES, QUIET = -30.0, -70.0  # mV
WAIT_QUIET, WAIT_MOST = 1.5, 8.0  # ms after the last edge
PIECE = 0.1  # ms between two looks at whether a run may stop
MOST = 10.0  # A, where a search from below gives up

# The end nodes only leak and pass no axial current; what they are charged through matters to nothing inside. The usual
# 1e10 ohm cm are not quite a seal: they move the action potential of an inner node by 1e-5 mV.
END_LEAK, END_CAPACITANCE, END_RESISTIVITY = 1e-4, 1.0, 1e12  # S/cm2, uF/cm2, ohm cm
SHORT = 1e10  # S/cm2: the periaxonal space of a node is the outside itself

_NODE = """
TITLE node of a myelinated fibre, McIntyre, Richardson and Grill (2002): fast and persistent sodium, slow potassium, leak

NEURON {
    SUFFIX mrg_node
    NONSPECIFIC_CURRENT i_na, i_k, i_l
    RANGE g_naf, g_nap, g_k, g_l, e_na, e_k, e_l
    THREADSAFE
}

PARAMETER { g_naf (S/cm2) g_nap (S/cm2) g_k (S/cm2) g_l (S/cm2) e_na (mV) e_k (mV) e_l (mV) }

ASSIGNED {
    v (mV) celsius (degC)
    i_na (mA/cm2) i_k (mA/cm2) i_l (mA/cm2) sodium (S/cm2) potassium (S/cm2) leak (S/cm2)
    warm_m warm_h warm_s
    open_m (/ms) shut_m (/ms) open_p (/ms) shut_p (/ms) open_h (/ms) shut_h (/ms) open_s (/ms) shut_s (/ms)
}

STATE { m p h s }

BREAKPOINT {
    CONDUCTANCE sodium
    CONDUCTANCE potassium
    CONDUCTANCE leak
    SOLVE gates METHOD cnexp
    sodium = g_naf * m * m * m * h + g_nap * p * p * p
    potassium = g_k * s
    leak = g_l
    i_na = sodium * (v - e_na)
    i_k = potassium * (v - e_k)
    i_l = leak * (v - e_l)
}

INITIAL {
    warm_m = 2.2 ^ ((celsius - 20) / 10)
    warm_h = 2.9 ^ ((celsius - 20) / 10)
    warm_s = 3.0 ^ ((celsius - 36) / 10)
    rates(v)
    m = open_m / (open_m + shut_m)
    p = open_p / (open_p + shut_p)
    h = open_h / (open_h + shut_h)
    s = open_s / (open_s + shut_s)
}

DERIVATIVE gates {
    rates(v)
    m' = open_m * (1 - m) - shut_m * m
    p' = open_p * (1 - p) - shut_p * p
    h' = open_h * (1 - h) - shut_h * h
    s' = open_s * (1 - s) - shut_s * s
}

PROCEDURE rates(at) { LOCAL u
    : far outside what a fibre does; keeps the exponentials finite
    u = at
    if (u < -150) { u = -150 }
    if (u > 150) { u = 150 }
    open_m = warm_m * 1.86 * 10.3 * linoid((u + 21.4) / 10.3)
    shut_m = warm_m * 0.086 * 9.16 * linoid(-(u + 25.7) / 9.16)
    open_p = warm_m * 0.01 * 10.2 * linoid((u + 27) / 10.2)
    shut_p = warm_m * 0.00025 * 10 * linoid(-(u + 34) / 10)
    open_h = warm_h * 0.062 * 11 * linoid(-(u + 114) / 11)
    shut_h = warm_h * 2.3 / (1 + exp(-(u + 31.8) / 13.4))
    open_s = warm_s * 0.3 / (1 + exp(-(u + 53) / 5))
    shut_s = warm_s * 0.03 / (1 + exp(-(u + 90)))
}

FUNCTION linoid(x) {
    : x / (1 - exp(-x)), 1 at 0
    if (fabs(x) < 1e-5) {
        linoid = 1 + x / 2
    } else {
        linoid = x / (1 - exp(-x))
    }
}
"""

_FIELD = """
TITLE outside potential of a compartment: its own value per ampere times one course

NEURON {
    SUFFIX mrg_field
    RANGE per_ampere
    GLOBAL ampere
    POINTER outside
    THREADSAFE
}

PARAMETER { per_ampere ampere }

ASSIGNED { outside (millivolt) }

BEFORE BREAKPOINT { outside = ampere * per_ampere }
"""

_MODS = {"mrg_node": _NODE, "mrg_field": _FIELD}


def available() -> str | None:
    """None if NEURON can be used here, else why not."""
    if find_spec("neuron") is None:
        return "NEURON is not installed (pip install neuron)"
    if _compile_script() is None:
        return "NEURON's nrnivmodl is not beside this Python nor on the path"
    chosen = (os.environ.get("CXX") or "").split()[:1]
    if not any(shutil.which(name) for name in (*chosen, "c++", "g++", "clang++")):
        return "NEURON's mechanisms need a C++ compiler and there is none"
    if shutil.which("make") is None:
        return "NEURON's mechanisms need make and there is none"
    return None


def membrane_numbers() -> dict[str, float]:
    """Every quantity of data/mrg_membrane.csv in its unit there: the membrane of the published fibre."""
    return {row["quantity"]: published(row["quantity"]).value for row in table("mrg_membrane")}


class NeuronFibre:
    """One fibre in NEURON.

    Args:
        morphology: of one fibre (arrays of length 1).
        numbers: quantities of data/mrg_membrane.csv by name, as ``membrane_numbers`` gives them; another model with the
            same gates changes some.
        nodes: number of nodes N.
        more: further mechanisms by name as NEURON's text, to be put into ``sections``.

    Attributes:
        sections: the compartments from end to end, node first, then ten of an internode.

    Raises:
        Failed: NEURON cannot be used here, its text did not compile, or another fibre is still open.
    """

    def __init__(self, morphology: Morphology, numbers: Mapping[str, float], nodes: int, more: Mapping[str, str] | None = None):
        self._h = h = _neuron()
        if more:
            _load(tuple(more.items()))
        if any(True for _ in h.allsec()):
            raise Failed("NEURON already holds a fibre in this process, and all its sections share one clock; close it first")
        # One layer would be nearly twice as fast, but then NEURON leaves out the current that a change of the outside
        # potential drives through the myelin's capacitance.
        h.nlayer_extracellular(2)
        self._rest_mv = numbers["resting potential"]
        h.celsius = numbers["temperature"]
        self.sections = _sections(h, morphology, numbers, nodes)
        self._nodes = self.sections[::PERIOD]
        self.detect = int(0.9 * (nodes - 1))

    def close(self) -> None:
        """Take the fibre out of NEURON."""
        self._nodes = self.sections = []

    def run(self, outside: Floats, samples: Floats, dt: float, amplitude: float, duration: float, nodes: Sequence[int]) -> Floats:
        """Voltage across the membrane of some nodes after each step.

        Args:
            outside: (11 (N - 1) + 1,) V/A.
            samples: (k,) course, one value per step, held from its start; 0 after the end.
            dt: s.
            amplitude: A.
            duration: s.
            nodes: which to record.

        Returns:
            (steps, len(nodes)) mV.
        """
        steps = round(duration / dt)
        held = self._stimulate(outside, samples, dt, amplitude)
        traces = [self._h.Vector().record(self._nodes[k](0.5)._ref_v) for k in nodes]
        self._settle(dt)
        self._solve(steps * dt * 1e3)
        del held
        # the state at t = 0 comes first
        return np.stack([np.array(trace)[-steps:] for trace in traces], axis=1)

    def fires(self, outside: Floats, samples: Floats, dt: float, amplitude: float) -> bool:
        """Whether the node at 0.9 of the length crosses -30 mV upwards; arguments as in ``run``."""
        held = self._stimulate(outside, samples, dt, amplitude)
        counter = self._h.APCount(self._nodes[self.detect](0.5))
        counter.thresh = FIRES
        self._settle(dt)
        edge, now, fired = len(samples) * dt * 1e3, 0.0, False
        while not fired and now < edge + WAIT_MOST:
            now += PIECE
            self._solve(now)
            fired = counter.n > 0
            if now > edge + WAIT_QUIET and all(node(0.5).v < QUIET for node in self._nodes):
                break
        del held
        return fired

    def threshold(self, outside: Floats, samples: Floats, dt: float, guess: float, tolerance: float = 5e-4) -> tuple[float, float]:
        """Bracket of the lowest amplitude that fires: (silent, firing) in A, both run, at most ``tolerance`` apart.

        Doubles or halves ``guess`` until it is bracketed, then bisects; other arguments as in ``run``.

        Raises:
            Failed: nothing fires up to 10 A.
        """
        below, above = guess, guess
        if self.fires(outside, samples, dt, guess):
            while self.fires(outside, samples, dt, below := below / 2):
                above = below
        else:
            while not self.fires(outside, samples, dt, above := above * 2):
                below = above
                if above > MOST:
                    raise Failed(f"the fibre does not fire at {above:g} A")
        while above / below > 1 + tolerance:
            middle = float(np.sqrt(below * above))
            if self.fires(outside, samples, dt, middle):
                above = middle
            else:
                below = middle
        return below, above

    def psolve_seconds(self, duration: float, dt: float) -> float:
        """CPU seconds that NEURON itself takes for ``duration`` s in steps of ``dt`` s; rest and set-up are not counted."""
        self._settle(dt)
        start = time.process_time()
        self._solve(duration * 1e3)
        return time.process_time() - start

    def _stimulate(self, outside: Floats, samples: Floats, dt: float, amplitude: float) -> tuple[Any, Any]:
        """Let the course drive the field; lasts as long as what is returned."""
        for section, value in zip(self.sections, 1e3 * np.asarray(outside), strict=True):
            section(0.5).mrg_field.per_ampere = value
        h, ms = self._h, dt * 1e3
        # NEURON takes the value at the middle of a step, which is where the samples are put: nothing is interpolated.
        # Two zeros on each side, because it goes on along the last two points beyond the end.
        times = h.Vector((np.arange(-2, len(samples) + 2) + 0.5) * ms)
        course = h.Vector(np.pad(amplitude * np.asarray(samples, float), 2))
        course.play(h._ref_ampere_mrg_field, times, True)
        return times, course

    def _settle(self, dt: float) -> None:
        """Forty long steps of rest, then t = 0 and steps of ``dt`` s."""
        h = self._h
        h.secondorder = 0
        h.ampere_mrg_field = 0.0
        h.finitialize(self._rest_mv)
        h.t, h.dt = -SETTLE * SETTLE_DT, SETTLE_DT
        for _ in range(SETTLE):
            h.fadvance()
        h.t, h.dt = 0.0, dt * 1e3
        h.frecord_init()

    def _solve(self, until: float) -> None:
        """To the time ``until`` in ms."""
        parallel = self._h.ParallelContext()
        parallel.set_maxstep(10)  # it wants a bound even where no other process is waited for
        parallel.psolve(until)


def _sections(h: Any, morphology: Morphology, numbers: Mapping[str, float], nodes: int) -> list[Any]:
    """The compartments, one section of one segment each, from end to end."""
    fibre, axon, node = (float(getattr(morphology, name)[0]) for name in ("fibre", "axon", "node"))
    lamella = 2 * float(morphology.lamellae[0])
    narrow, wide = numbers["periaxonal gap at node and MYSA"], numbers["periaxonal gap at FLUT and STIN"]
    rho, cm = numbers["axial and periaxonal resistivity"], numbers["membrane capacitance"]
    myelin = numbers["myelin conductance per lamella membrane"] / lamella, numbers["myelin capacitance per lamella membrane"] / lamella
    lengths = [numbers["node length"], *(float(length) for length in morphology.lengths()[0])]
    made: list[Any] = []
    for k in range(PERIOD * (nodes - 1) + 1):
        place = k % PERIOD
        at_end, is_node, is_mysa = k in (0, PERIOD * (nodes - 1)), place == 0, place in (1, PERIOD - 1)
        section = h.Section(name=f"compartment_{k}")
        thin = is_node or is_mysa
        section.nseg, section.L, section.diam = 1, lengths[place], node if thin else axon
        section.Ra, section.cm = (END_RESISTIVITY, END_CAPACITANCE) if at_end else (rho, cm)
        if made:
            section.connect(made[-1](1), 0)
        for name in ("extracellular", "mrg_field", "mrg_node" if is_node and not at_end else "pas"):
            section.insert(name)
        middle = section(0.5)
        h.setpointer(middle._ref_e_extracellular, "outside", middle.mrg_field)
        # ohm cm over um2 is 1e2 Mohm/cm; the myelin lies on the outer cylinder, NEURON counts per area of the inner one
        gap = narrow if thin else wide
        middle.xraxial[0] = 1e2 * rho / (np.pi * ((section.diam / 2 + gap) ** 2 - (section.diam / 2) ** 2))
        middle.xg[0], middle.xc[0] = (SHORT, 0.0) if is_node else (each * fibre / section.diam for each in myelin)
        if is_node and not at_end:
            _fill(middle.mrg_node, numbers)
        else:
            axolemma = numbers["MYSA axolemma conductance" if is_mysa else "FLUT and STIN axolemma conductance"]
            middle.pas.g, middle.pas.e = END_LEAK if at_end else axolemma, numbers["resting potential"]
        made.append(section)
    return made


def _fill(channels: Any, numbers: Mapping[str, float]) -> None:
    """Conductances and reversal potentials of a node."""
    for name, ion in (("naf", "fast sodium"), ("nap", "persistent sodium"), ("k", "slow potassium"), ("l", "leak")):
        setattr(channels, f"g_{name}", numbers[f"{ion} conductance"])
    for name, ion in (("na", "sodium"), ("k", "potassium"), ("l", "leak")):
        setattr(channels, f"e_{name}", numbers[f"{ion} reversal"])


@cache
def _neuron() -> Any:
    """NEURON's interpreter with both mechanisms loaded."""
    reason = available()
    if reason is not None:
        raise Failed(reason)
    from neuron import h

    h.nrn_load_dll(str(library(_MODS)))
    return h


@cache
def _load(mods: tuple[tuple[str, str], ...]) -> None:
    """Further mechanisms, once a process."""
    _neuron().nrn_load_dll(str(library(dict(mods))))


def library(mods: Mapping[str, str]) -> Path:
    """Compiled mechanisms, given by name as NEURON's text, from the cache of the user where this NEURON made them before.

    Raises:
        Failed: they did not compile.
    """
    import neuron

    known = "\n".join([*mods.values(), neuron.__version__, str(neuron.__file__), platform.machine()])
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epidura"
    target = home / f"neuron-{hashlib.sha256(known.encode()).hexdigest()[:16]}.so"
    if target.exists():
        return target
    home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=home) as work:
        for name, text in mods.items():
            (Path(work) / f"{name}.mod").write_text(text)
        done = subprocess.run([str(_compile_script())], cwd=work, capture_output=True, text=True, check=False)
        built = sorted(Path(work).glob("*/libnrnmech.*"))
        if done.returncode or not built:
            raise Failed(f"nrnivmodl did not compile the mechanisms: {(done.stderr or done.stdout).strip()[-500:]}")
        # in one move, so that another process never sees half of it
        os.replace(built[0], target)
    return target


def _compile_script() -> str | None:
    """NEURON's compiler of mechanisms, of this environment first."""
    return shutil.which("nrnivmodl", path=sysconfig.get_path("scripts")) or shutil.which("nrnivmodl")

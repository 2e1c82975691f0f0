"""Made sundt_thresholds.csv, sundt_trace.csv and sundt_velocity.csv: an unmyelinated fibre of the Sundt type in NEURON.

Not a test and not needed by one: it keeps what the oracle computed and how. Needs NEURON (9.0.2 was used), a compiler and 3 minutes:

    python make_sundt.py [folder for the files]

Model: Sundt, Gamper and Jaffe 2015 (10.1152/jn.00226.2015), peripheral axon; constants as in src/epidura/data/sundt_membrane.csv.
The mechanism below is written from the equations, in one piece and without ions, with u = v in mV and q = 3^((celsius - 30) / 10):

    L(x) = x / (1 - exp(-x)),  K = 1e-3 F / (R (273.16 + celsius)),  F = 9.648e4,  R = 8.315
    m: alpha = q 0.32 4 L((v + 45.9) / 4)      beta = q 0.28 5 L(-(v + 18.9) / 5)
    h: alpha = q 0.128 exp(-(v + 54) / 18)     beta = q 4 / (1 + exp(-(v + 31) / 5))
    n: alpha = q 0.03 exp(2 K (v + 32))        beta = q 0.03 exp(-3 K (v + 32))
    l: alpha = q 0.001 exp(-2 K (v + 61))      beta = q 0.001
    I = gNa m^3 h (v - ENa) + gK n^3 l (v - EK) + gL (v - EL),  EL such that I = 0 at -60 mV with steady gates

Fibre: N cylinders of length `segment_um` in a row, one compartment each, sealed at both ends. The centre of segment i is at
z = (i - (N - 1) / 2) segment_um; the source is at z = 0 beside the centre, `distance_um` from the axis, in 0.2 S/m without bounds.
A cathodic amplitude A gives the outside potential -A / (4 pi 0.2 sqrt(x^2 + z^2)) of each segment's centre.
Backward Euler; the outside potential of a step is the course at its start, so a pulse is on for width / dt steps from t = 0;
gates follow by exact exponentials with the new v. Start: -60 mV, steady gates, 40 steps of 5 ms without a source, then t = 0.
A fibre has fired when segment int(0.9 (N - 1)) crosses -30 mV upwards within 40 ms; a run also ends, without a spike, once 2 ms have passed since
the pulse and every segment is below -55 mV.

sundt_thresholds.csv: lowest threshold; NEURON itself ran both ends of each bracket, which are at most 0.08 % apart.
sundt_trace.csv: 35 degC, 0.8 um, source at 500 um, 500 us, 1.2 times the threshold; segments 200 and 360, after every 4th step of 5 us.
sundt_velocity.csv: crossings of -30 mV between steps by a straight line; velocity from first to last segment.
"""

import csv
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

MECHANISM = """
NEURON {
    SUFFIX cfibre
    NONSPECIFIC_CURRENT i
    RANGE gna, gk, gl, ena, ek, el
}
UNITS { (mA) = (milliamp) (mV) = (millivolt) (S) = (siemens) }
PARAMETER {
    gna = 0.04 (S/cm2)
    gk = 0.04 (S/cm2)
    gl = 0.0001 (S/cm2)
    ena = 50 (mV)
    ek = -90 (mV)
    el = -60 (mV)
    celsius (degC)
}
ASSIGNED { v (mV) i (mA/cm2) minf hinf ninf linf mrate (/ms) hrate (/ms) nrate (/ms) lrate (/ms) }
STATE { m h n l }
INITIAL {
    rates(v)
    m = minf
    h = hinf
    n = ninf
    l = linf
}
BREAKPOINT {
    SOLVE gates METHOD cnexp
    i = gna * m * m * m * h * (v - ena) + gk * n * n * n * l * (v - ek) + gl * (v - el)
}
DERIVATIVE gates {
    rates(v)
    m' = (minf - m) * mrate
    h' = (hinf - h) * hrate
    n' = (ninf - n) * nrate
    l' = (linf - l) * lrate
}
PROCEDURE rates(v (mV)) { LOCAL q, k, a, b
    UNITSOFF
    q = 3^((celsius - 30) / 10)
    k = 1e-3 * 9.648e4 / (8.315 * (273.16 + celsius))
    a = q * 0.32 * 4 * linoid((v + 45.9) / 4)
    b = q * 0.28 * 5 * linoid(-(v + 18.9) / 5)
    mrate = a + b
    minf = a / mrate
    a = q * 0.128 * exp(-(v + 54) / 18)
    b = q * 4 / (1 + exp(-(v + 31) / 5))
    hrate = a + b
    hinf = a / hrate
    a = q * 0.03 * exp(2 * k * (v + 32))
    b = q * 0.03 * exp(-3 * k * (v + 32))
    nrate = a + b
    ninf = a / nrate
    a = q * 0.001 * exp(-2 * k * (v + 61))
    b = q * 0.001
    lrate = a + b
    linf = a / lrate
    UNITSON
}
FUNCTION linoid(x) {
    if (fabs(x) < 1e-6) {
        linoid = 1 + x / 2
    } else {
        linoid = x / (1 - exp(-x))
    }
}
"""

REST, CROSSING, QUIET, LIMIT = -60.0, -30.0, -55.0, 40.0
SIGMA, RA, CM = 0.2, 100.0, 1.0


def balanced_leak(celsius):
    """The leak reversal in mV that leaves no net current at rest with steady gates."""
    q_ratio = {"m": (0.32 * 4 * linoid(-14.1 / 4), 0.28 * 5 * linoid(41.1 / 5)), "h": (0.128 * math.exp(6 / 18), 4 / (1 + math.exp(29 / 5)))}
    k = 1e-3 * 9.648e4 / (8.315 * (273.16 + celsius))
    q_ratio["n"] = math.exp(2 * k * -28), math.exp(-3 * k * -28)
    q_ratio["l"] = math.exp(-2 * k), 1.0
    m, h, n, slow = (q_ratio[gate][0] / sum(q_ratio[gate]) for gate in "mhnl")
    return REST + (0.04 * m**3 * h * (REST - 50) + 0.04 * n**3 * slow * (REST + 90)) / 0.0001


def linoid(x):
    return x / -math.expm1(-x)


class Fibre:
    """A straight fibre with the potentials of a point source beside its centre."""

    def __init__(self, h, diameter_um, segments, segment_um, distance_um, celsius):
        self.h, self.segments, self.segment_um = h, segments, segment_um
        h.celsius = celsius
        self.section = h.Section(name="fibre")
        self.section.L, self.section.nseg = segments * segment_um, segments
        self.section.diam, self.section.Ra, self.section.cm = diameter_um, RA, CM
        self.section.insert("cfibre")
        self.section.insert("extracellular")
        self.places = list(self.section)
        for place in self.places:
            place.cfibre.el = balanced_leak(celsius)
        z = (np.arange(segments) - (segments - 1) / 2) * segment_um
        self.field = -1 / (4 * np.pi * SIGMA * np.hypot(distance_um, z) * 1e-6)  # mV for a cathodic mA
        self.counter = h.APCount(self.places[int(0.9 * (segments - 1))])
        self.counter.thresh = CROSSING
        self.v = h.Vector(segments)
        self.pointers = h.PtrVector(segments)
        for index, place in enumerate(self.places):
            self.pointers.pset(index, place._ref_v)

    def outside(self, amplitude_ma):
        for place, potential in zip(self.places, self.field, strict=True):
            place.e_extracellular = amplitude_ma * potential

    def settle(self, dt_ms):
        h = self.h
        h.secondorder = 0
        self.outside(0.0)
        h.dt = 5.0
        h.finitialize(REST)
        for _ in range(40):
            h.fadvance()
        h.t, h.dt = 0.0, dt_ms
        self.counter.n = 0

    def steps(self, count):
        for _ in range(count):
            self.h.fadvance()

    def fires(self, amplitude_ma, width_us, dt_ms):
        self.settle(dt_ms)
        self.outside(amplitude_ma)
        on = round(width_us * 1e-3 / dt_ms)
        self.steps(on)
        self.outside(0.0)
        done, chunk = on, round(0.25 / dt_ms)
        while done * dt_ms < LIMIT:
            self.steps(chunk)
            done += chunk
            if self.counter.n > 0:
                return True
            self.pointers.gather(self.v)
            if done * dt_ms > width_us * 1e-3 + 2.0 and self.v.max() < QUIET:
                return False
        return False

    def bracket(self, width_us, dt_ms, guess_ma, relative=8e-4):
        """Not firing and firing amplitude, in mA, of the lowest threshold: looked for upwards, as a strong source blocks what it excites."""
        low = guess_ma
        while self.fires(low, width_us, dt_ms):
            low /= 2
        high = low * 1.3
        while not self.fires(high, width_us, dt_ms):
            low, high = high, high * 1.3
            if high > 1e3 * guess_ma:
                raise ValueError(f"no threshold below {high} mA")
        while high / low - 1 > relative:
            middle = float(f"{math.sqrt(low * high):.6g}")
            low, high = (low, middle) if self.fires(middle, width_us, dt_ms) else (middle, high)
        return low, high

    def record(self, amplitude_ma, width_us, dt_ms, count, indices):
        """(count + 1, len(indices), 5) v, m, h, n and l after each step."""
        self.settle(dt_ms)
        out = np.empty((count + 1, len(indices), 5))
        on = round(width_us * 1e-3 / dt_ms)
        self.outside(amplitude_ma)
        for step in range(count + 1):
            out[step] = [[(place := self.places[i]).v, place.cfibre.m, place.cfibre.h, place.cfibre.n, place.cfibre.l] for i in indices]
            if step == on:
                self.outside(0.0)
            self.h.fadvance()
        return out


def write(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def layout(distance_um):
    """Segments and their length: 4 mm of fibre near, 8 mm far from the source."""
    return (401, 10.0) if distance_um <= 500 else (401, 20.0)


def thresholds(h, folder):
    rows = []
    cases = [(35.0, d, x) for d in (0.5, 0.8, 1.2) for x in (250.0, 500.0, 1000.0)] + [(37.0, d, 500.0) for d in (0.8, 1.2)]
    for celsius, diameter, distance in cases:
        segments, segment_um = layout(distance)
        fibre = Fibre(h, diameter, segments, segment_um, distance, celsius)
        guess = 0.02 * (distance / 250.0) ** 3
        for width in (1000.0, 500.0, 100.0):
            low, high = fibre.bracket(width, 0.005, guess)
            guess = high * 1.1
            rows.append([celsius, diameter, distance, width, 5, segments, segment_um, f"{low:.6g}", f"{high:.6g}"])
            print(rows[-1], flush=True)
    write(folder / "sundt_thresholds.csv",
          ["celsius", "diameter_um", "distance_um", "width_us", "dt_us", "segments", "segment_um", "thr_sub_mA", "thr_supra_mA"], rows)
    return {(row[0], row[1], row[2], row[3]): float(row[8]) for row in rows}


def trace(h, folder, amplitude):
    segments, segment_um = layout(500.0)
    fibre = Fibre(h, 0.8, segments, segment_um, 500.0, 35.0)
    indices = (segments // 2, int(0.9 * (segments - 1)))
    found = fibre.record(amplitude, 500.0, 0.005, 2400, indices)[::4]
    rows = [[amplitude, f"{0.02 * i:.2f}"] + [f"{value:.7g}" for value in at.ravel()] for i, at in enumerate(found)]
    write(folder / "sundt_trace.csv", ["amplitude_mA", "t_ms"] + [f"{name}_{i}" for i in indices for name in ("v_mV", "m", "h", "n", "l")], rows)


def velocities(h, folder):
    rows = []
    for celsius, diameter, dt_us in ((35.0, 0.4, 5), (35.0, 0.5, 5), (35.0, 0.8, 5), (35.0, 1.2, 5), (37.0, 0.8, 5), (35.0, 0.8, 10), (35.0, 0.8, 2),
                                     (35.0, 0.8, 1)):
        segments, segment_um, dt = 401, 10.0, 1e-3 * dt_us
        fibre = Fibre(h, diameter, segments, segment_um, 250.0, celsius)
        amplitude = 2.0 * fibre.bracket(500.0, 0.005, 0.02, 0.3)[1]
        amplitude = float(f"{amplitude:.4g}")
        first, last = int(0.75 * (segments - 1)), int(0.9 * (segments - 1))
        v = fibre.record(amplitude, 500.0, dt, round(9.0 / dt), (first, last))[:, :, 0]
        steps = [int(np.flatnonzero((v[:-1, k] < CROSSING) & (v[1:, k] >= CROSSING))[0]) for k in (0, 1)]
        times = [dt * (s + (CROSSING - v[s, k]) / (v[s + 1, k] - v[s, k])) for k, s in enumerate(steps)]
        speed = (last - first) * segment_um * 1e-3 / (times[1] - times[0])
        rows.append([celsius, diameter, dt_us, segments, segment_um, 250, 500, amplitude, first, last, *(f"{x:.6f}" for x in times), f"{speed:.5f}",
                     f"{v[:, 1].max():.3f}"])
        print(rows[-1], flush=True)
    write(folder / "sundt_velocity.csv",
          ["celsius", "diameter_um", "dt_us", "segments", "segment_um", "distance_um", "width_us", "amplitude_mA", "first_segment", "last_segment",
           "crossing_first_ms", "crossing_last_ms", "velocity_m_per_s", "peak_last_mV"], rows)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    with tempfile.TemporaryDirectory() as build:
        (Path(build) / "cfibre.mod").write_text(MECHANISM, encoding="utf-8")
        subprocess.run([str(Path(sys.executable).parent / "nrnivmodl"), "."], cwd=build, check=True, capture_output=True)
        from neuron import h, load_mechanisms

        load_mechanisms(build)
        print("leak reversal", {t: balanced_leak(t) for t in (35.0, 37.0)})
        velocities(h, folder)
        found = thresholds(h, folder)
        trace(h, folder, float(f"{1.2 * found[35.0, 0.8, 500.0, 500.0]:.4g}"))


if __name__ == "__main__":
    main()

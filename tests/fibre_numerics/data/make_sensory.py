"""Made sensory_thresholds.csv, sensory_trace.csv and sensory_velocity.csv: the sensory fibre of Gaines et al. (2018) in NEURON.

Not a test and not needed by one: it keeps what the oracle computed and how. Needs NEURON (9.0.2 was used), a compiler and a minute:

    python make_sensory.py [folder for the files]

Channels and their numbers are those of ``epidura.bench.sensory_peer``, NEURON's own text; dimensions by the published fits, written out here.
Source of 1 A per unit of amplitude, cathodic, beside the axis of the fibre in 0.2 S/m without bounds, ``shift`` internodes towards higher z from its
middle. Backward Euler, 5 us, the course of a step held from its start; forty steps of 5 ms of rest before. The first and the last node are passive.
A fibre has fired when node int(0.9 (N - 1)) crosses -30 mV upwards.

sensory_thresholds.csv: both ends of each bracket were run, at most 0.05 % apart.
sensory_trace.csv: 10 um, 31 nodes, 1 mm, 100 us, 1.2 times the threshold: mV of nodes 15 and 24 after every 4th step.
sensory_velocity.csv: crossings of -30 mV between steps by a straight line, from node 20 to node 40 of 51.
"""

import csv
import sys
from contextlib import closing
from pathlib import Path

import numpy as np

from epidura.axon.base import Morphology
from epidura.bench.sensory_peer import sensory_fibre

DT, SIGMA = 5e-6, 0.2
# diameter um, nodes, distance mm, shift, course as (us, relative current), its repeats and period
CASES = [(5.7, 25, 0.5, 0.0, ((60, 1.0),)), (7.3, 31, 1.0, 0.3, ((100, 1.0),)), (8.7, 31, 1.0, 0.0, ((20, 1.0),)),
         (8.7, 31, 1.0, 0.0, ((500, 1.0),)), (8.7, 31, 1.0, 0.0, ((1000, 1.0),)), (10.0, 31, 1.0, 0.0, ((100, 1.0),)),
         (10.0, 31, 3.0, 0.5, ((210, 1.0),)), (12.8, 21, 2.0, -1.3, ((300, 1.0),)), (12.8, 31, 1.0, 0.0, ((100, -1.0),)),
         (10.0, 31, 1.5, 0.2, ((60, 1.0), (30, 0.0), (60, -1.0))), (11.5, 31, 2.0, 0.1, ((200, 1.0), (50, 0.0), (400, -0.5))),
         (15.0, 21, 3.0, 0.0, ((50, -1.0), (50, 1.0))), (10.0, 31, 1.0, 0.0, ((30, 1.0), (30, -1.0), (40, 0.0)), 100, 100),
         (11.5, 21, 2.0, 0.3, ((1000, 1.0), (1000, -0.3)), 5, 2000), (8.7, 21, 1.0, 0.0, ((90, 1.0), (10, 0.0), (450, -0.2), (450, 0.0)), 10, 1000)]


def morphology(d):
    """Published fits in um."""
    d = np.array([d])
    return Morphology(d, 969.3 * np.log(d) - 1144.6, 2.5811 * d + 19.59, 0.889 * d - 1.9104, 0.3449 * d - 0.1484, 65.897 * np.log(d) - 32.666)


def outside(shape, nodes, distance, shift):
    """V/A of every compartment."""
    lengths = shape.lengths()[0]
    middle = np.concatenate([[0.0], 0.5 + np.cumsum(lengths) - 0.5 * lengths])
    step = float(shape.internode[0])
    z = np.append((step * np.arange(nodes - 1)[:, None] + middle).ravel(), step * (nodes - 1)) - step * ((nodes - 1) / 2 + shift)
    return -1.0 / (4 * np.pi * SIGMA * np.hypot(1e-6 * z, 1e-3 * distance))


def samples(course):
    """One value per step."""
    return np.concatenate([np.full(round(us * 1e-6 / DT), value) for us, value in course])


def write(folder, name, columns, rows):
    with (folder / name).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def main():
    folder, rows = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent, []
    for diameter, nodes, distance, shift, course, *train in CASES:
        shape, (repeats, period) = morphology(diameter), train or (1, sum(us for us, _ in course))
        assert sum(us for us, _ in course) == period
        with closing(sensory_fibre(shape, nodes)) as fibre:
            low, high = fibre.threshold(outside(shape, nodes, distance, shift), np.tile(samples(course), repeats), DT, 2e-4)
        rows.append([diameter, nodes, distance, shift, " ".join(f"{us}:{value:g}" for us, value in course), repeats,
                     f"{1e3 * low:.7f}", f"{1e3 * high:.7f}"])
    write(folder, "sensory_thresholds.csv", ["diameter_um", "nodes", "distance_mm", "shift", "course_us", "repeats", "silent_mA", "firing_mA"], rows)
    shape, firing = morphology(10.0), float(rows[5][-1]) * 1e-3
    with closing(sensory_fibre(shape, 31)) as fibre:
        trace = fibre.run(outside(shape, 31, 1.0, 0.0), samples(((100, 1.0),)), DT, 1.2 * firing, 3e-3, [15, 24])
    write(folder, "sensory_trace.csv", ["time_us", "amplitude_mA", "node_15_mV", "node_24_mV"],
          [[5 * (k + 1), f"{1.2e3 * firing:.7f}", *(f"{v:.6f}" for v in trace[k])] for k in range(3, len(trace), 4)])
    speeds = []
    for diameter in (5.7, 8.7, 12.8, 16.0):
        shape = morphology(diameter)
        with closing(sensory_fibre(shape, 51)) as fibre:
            v = fibre.run(outside(shape, 51, 1.0, -25.0 + 1.0), samples(((100, 1.0),)), DT, 1e-3, 4e-3, [20, 40])
        times = [k + (-30.0 - one[k]) / (one[k + 1] - one[k]) for one in v.T for k in [int(np.argmax((one[:-1] < -30) & (one[1:] >= -30)))]]
        speeds.append([diameter, f"{20 * float(shape.internode[0]) * 1e-6 / (DT * (times[1] - times[0])):.5f}"])
    write(folder, "sensory_velocity.csv", ["diameter_um", "velocity_m_per_s"], speeds)


if __name__ == "__main__":
    main()

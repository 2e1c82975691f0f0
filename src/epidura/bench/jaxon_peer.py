"""The double-cable fibre in jaxon (Lung and Haberbusch, MIT licence), timed on this machine's processor.

jaxon comes as the distribution ``jaxon-nerve``; the distribution ``jaxon`` is another program that goes by the same name when
imported. It pins its own JAX and NumPy, so it wants an environment of its own. It keeps active end nodes and moves the gates
before the voltage: same cable and same backward Euler step, not the same numbers to the last digit.
"""

from __future__ import annotations

import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from epidura.errors import Failed
from epidura.single_fibre import point_source

DIAMETER, NODES = 8.7, 51  # um
DISTANCE, SIGMA = 1e-3, 0.2  # m, S/m
DT, STEPS, PULSE = 5e-3, 1000, 20  # ms, steps of a run, steps of the pulse
AMPLITUDES = 0.7e-4, 2.1e-4  # A, from fibres that are silent to fibres that fire


def available() -> str | None:
    """None if jaxon can be used here, else why not."""
    try:
        version("jaxon-nerve")
    except PackageNotFoundError:
        return "jaxon is not installed (pip install jaxon-nerve)"
    return None


def seconds_per_fibre(fibres: int) -> float:
    """CPU seconds, summed over cores and without compilation, for 5 ms at 5 us of one of ``fibres`` run together.

    Each is 8.7 um thick with 51 nodes, 1 mm from a point source; float64, as jaxon has it.

    Raises:
        Failed: jaxon is not here, or not about half of the fibres fired, so that something else was timed.
    """
    reason = available()
    if reason is not None:
        raise Failed(reason)
    import jax
    from jaxon.fibers.mrg import _mrg_geometry, node_indices, section_centers_um
    from jaxon.stim.batch_solve import batch_integrate_m_max_fd, initial_states_batch, stack_fiber_statics

    shape = _mrg_geometry(DIAMETER, NODES)
    statics, gates = stack_fiber_statics([shape] * fibres, DT), initial_states_batch([shape] * fibres)
    along = np.array(section_centers_um(shape)) * 1e-6
    field = -1e3 * point_source(DISTANCE, along - along[along.size // 2], SIGMA, SIGMA)
    outside = np.linspace(*AMPLITUDES, fibres)[:, None] * field
    course = (np.arange(STEPS) < PULSE).astype(float)
    before = np.concatenate([[0.0], course[:-1]])
    run = jax.jit(lambda *arrays: batch_integrate_m_max_fd(*arrays, DT))
    arguments = jax.device_put((statics, gates, outside, course, before))
    run(*arguments).block_until_ready()
    start = time.process_time()
    opened = run(*arguments).block_until_ready()
    taken = time.process_time() - start
    # the m gate of a node far from the source opens only in an action potential
    fired = float((np.asarray(opened)[:, node_indices(shape)[int(0.9 * (NODES - 1))]] > 0.5).mean())
    if fibres > 4 and not 0.3 < fired < 0.7:
        raise Failed(f"{fired:.0%} of jaxon's fibres fired where about half should")
    return taken / fibres

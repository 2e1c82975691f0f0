"""What the network's milliseconds cannot hold: wash-in and wash-out of the effect over minutes to days, habituation over years.

Two states, each of first order, follow whether the stimulation is on (s = 1) or off (s = 0):

    effect       dw/dt = (1 - w) / wash_in      while on,   -w / wash_out       while off
    habituation  dh/dt = (1 - h) / habituating  while on,   -h / recovering     while off

and the factor by which the inhibition of the network is to be multiplied is w (1 - depth h). Between two changes of s both are
exponentials, so nothing is integrated. Constants by type of stimulation: data/horn_slow.csv. They describe means over animals or patients;
what a network without memory computes is the effect at w = 1, h = 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epidura.errors import BadInput
from epidura.tables import Number, Table, table

Floats = NDArray[np.float64]

SECONDS = {"1/min": 60.0, "d": 86400.0, "y": 365.25 * 86400.0}
LIKE = {"closed-loop": "tonic", "dorsal-root-ganglion": "tonic"}
"""Types that are taken as another one: those that are felt, at the same rates."""


@dataclass(frozen=True)
class Constants:
    """Of one set of first-order laws.

    Attributes:
        wash_in, wash_out, habituating, recovering: s.
        depth: share of the effect that habituation takes in the end, 0 to 1.
    """

    wash_in: float
    wash_out: float
    habituating: float
    recovering: float
    depth: float


@dataclass(frozen=True)
class SlowStates:
    """Constants of one type of stimulation, with those that give the least and the most effect within what is known.

    Attributes:
        kind: row of data/horn_slow.csv that they are from.
        usual, least, most: constants.
        numbers: where they are from.
    """

    kind: str
    usual: Constants
    least: Constants
    most: Constants
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class SlowFactor:
    """What multiplies the inhibition that the network computes.

    Attributes:
        times: (n,) s.
        factor: (n,) 0 to 1.
        low, high: (n,) bounds over the ranges of all constants.
        habituation: (n,) how far habituation has gone, 0 to 1.
    """

    times: Floats
    factor: Floats
    low: Floats
    high: Floats
    habituation: Floats


def slow_states(kind: str) -> SlowStates:
    """The constants of a type of stimulation, such as ``tonic``; types without a row have wide intervals (row ``other``)."""
    rows = table("horn_slow")
    row = LIKE.get(kind, kind)
    row = row if row in set(rows.column("kind")) - {"any", "other"} else "other"
    names = [(row, "wash-in"), (row, "wash-out"), ("any", "habituation time"), ("any", "recovery time"), ("any", "habituation")]
    cells = [_cell(rows, *name) for name in names]
    # (slowest start, fastest end, fastest and deepest habituation, slowest recovery) leave the least effect at any time: each law is monotone
    order = {"usual": (0, 0, 0, 0, 0), "least": (2, 1, 1, 2, 2), "most": (1, 2, 2, 1, 1)}
    made = {name: Constants(*(cell[which] for cell, which in zip(cells, picks, strict=True))) for name, picks in order.items()}
    numbers = tuple(rows.number(f"{quantity}, {of}" if of != "any" else quantity, "value", rows.row(kind=of, quantity=quantity)["unit"],
                                kind=of, quantity=quantity) for of, quantity in names)
    return SlowStates(row, made["usual"], made["least"], made["most"], numbers)


def _cell(rows: Table, kind: str, quantity: str) -> tuple[float, float, float]:
    """(value, smallest, largest), in s or as a share; of a rate its reciprocal."""
    row = rows.row(kind=kind, quantity=quantity)
    low, high = (float(end) for end in row["range"].split("-"))
    unit = SECONDS.get(row["unit"], 1.0)
    if row["unit"].startswith("1/"):
        return unit / float(row["value"]), unit / high, unit / low
    return unit * float(row["value"]), unit * low, unit * high


def slow(on: Sequence[tuple[float, float]], kind: str, times: Sequence[float] | Floats) -> SlowFactor:
    """Effect of stimulation that was on during some stretches of time.

    Args:
        on: (from, until) s, one after the other; before the first and after the last one it is off. ``until`` may be infinite.
        kind: type of stimulation.
        times: s, 0 or later; the effect is none at 0.

    Raises:
        BadInput: stretches that overlap, end before they begin, or begin before 0; times before 0.
    """
    edges = _edges(on)
    asked = np.asarray(times, float)
    if asked.size and not asked.min() >= 0.0:
        raise BadInput("times", "a time before the start", got=f"{asked.min():g} s", allowed="0 or later")
    states = slow_states(kind)
    usual, least, most = (_effect(edges, asked, c) for c in (states.usual, states.least, states.most))
    return SlowFactor(asked, usual[0], least[0], most[0], usual[1])


def _edges(on: Sequence[tuple[float, float]]) -> Floats:
    """(2 k,) times at which the stimulation is turned on, off, on ..."""
    last = 0.0
    for i, (start, end) in enumerate(on):
        if not start >= last:
            raise BadInput(f"on[{i}]", "begins before the one before it has ended" if i else "begins before 0", got=f"{start:g} s",
                           allowed=f"{last:g} s or later")
        if not end > start:
            raise BadInput(f"on[{i}]", "ends before it begins", got=f"{end:g} s", allowed=f"later than {start:g} s")
        last = end
    return np.array([time for stretch in on for time in stretch])


def _effect(edges: Floats, times: Floats, c: Constants) -> tuple[Floats, Floats]:
    """(factor, habituation) at the times."""
    w = _state(edges, times, c.wash_in, c.wash_out)
    h = _state(edges, times, c.habituating, c.recovering)
    return w * (1.0 - c.depth * h), h


def _state(edges: Floats, times: Floats, rise: float, fall: float) -> Floats:
    """A state of first order that goes to 1 with ``rise`` while on and to 0 with ``fall`` while off, from 0."""
    at = np.zeros(len(edges) + 1)  # before the first edge, then at each edge
    for k in range(1, len(edges)):
        gap = edges[k] - edges[k - 1]
        at[k + 1] = 1.0 + (at[k] - 1.0) * np.exp(-gap / rise) if k % 2 else at[k] * np.exp(-gap / fall)
    which = np.searchsorted(edges, times, side="right")
    since = times - np.concatenate([[0.0], edges])[which]
    begins = at[which]
    return np.where(which % 2, 1.0 + (begins - 1.0) * np.exp(-since / rise), begins * np.exp(-since / fall))

"""All axial modes of a swept section on a graphics processor: what ``modes.cu`` computes, for the plans of ``ldlt.py``.

One block of threads factorises a few modes, all blocks at once; all in double precision. Factors stay on the device for the next
right-hand sides if those of all modes fit; otherwise a part of the modes comes after the other. ``device.py`` has the devices.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.device import Device, Program
from epidura.numerics.ldlt import Plan

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SOURCE = Path(__file__).with_name("modes.cu")
BATCH, THREADS = 4, 256
"""Modes of a block: as many doubles as memory hands out at a time, 32 bytes; and its threads. Neither has been tuned on a device."""
SHARE = 0.8  # of the free memory of the device, for the modes of a chunk

# Fields of `Given` in modes.cu, in its order.
PLAN = ("column", "row_start", "rows", "panel_start", "update_start", "update", "where_start", "where", "entry_at", "entry", "level_start",
        "by_level")
POINTERS = (*PLAN, "stiffness", "mass", "eigenvalue", "panels", "diagonal", "loads", "load_place", "wanted_place", "x", "values")
NUMBERS = ("size", "groups", "entries", "levels", "panel_count", "modes", "first", "skipped", "given", "wanted", "columns", "from_panel", "to_panel",
           "bottom")
GIVEN = np.dtype([*((name, np.uint64) for name in POINTERS), *((name, np.int32) for name in NUMBERS)], align=True)


def layout(plan: Plan) -> dict[str, Ints]:
    """The whole numbers of a plan as ``modes.cu`` wants them: places that ldlt.py looks up while it works are looked up before."""
    panels, n = len(plan.column) - 1, plan.size
    width, high = np.diff(plan.column), np.diff(plan.row_start)
    # rows of a panel rise, so (panel, row) as one number rises from place to place
    places = np.repeat(np.arange(panels), high) * n + plan.rows

    def local(panel: Ints, row: Ints) -> Ints:
        """Where rows are among those of their panels."""
        return np.searchsorted(places, panel * n + row) - plan.row_start[panel]

    changed = np.repeat(np.arange(panels), np.diff(plan.update_start))
    by, low = plan.updates[:, 0], plan.updates[:, 1]
    length = high[by] - low
    where_start = np.concatenate(([0], np.cumsum(length)))
    row = plan.rows[np.repeat(plan.row_start[by] + low - where_start[:-1], length) + np.arange(where_start[-1])]
    own = np.repeat(np.arange(panels), np.diff(plan.entry_start))
    entry_at = plan.panel_start[own] + local(own, plan.entry_row) * width[own] + plan.entry_column - plan.column[own]
    level = np.zeros(panels, dtype=np.int64)
    for s in range(panels):
        those = by[plan.update_start[s] : plan.update_start[s + 1]]
        level[s] = 1 + level[those].max() if those.size else 0
    return {"column": plan.column, "row_start": plan.row_start, "rows": plan.rows, "panel_start": plan.panel_start,
            "update_start": plan.update_start, "update": plan.updates, "where_start": where_start, "where": local(np.repeat(changed, length), row),
            "entry_at": entry_at, "entry": plan.entry, "level_start": np.searchsorted(np.sort(level), np.arange(level.max() + 2)),
            "by_level": np.argsort(level, kind="stable")}


class Modes:
    """K + λ M of all modes on a device.

    Args:
        plan: of their pattern.
        stiffness, mass: K and M in the order of the pattern.
        eigenvalues: (modes,) λ.
        device: to compute on.
        batch, threads: modes and threads of a block.

    Raises:
        ValueError: a factor with more entries than a place in it has bits for.
    """

    def __init__(self, plan: Plan, stiffness: Floats, mass: Floats, eigenvalues: Floats, device: Device, batch: int = BATCH, threads: int = THREADS):
        numbers = layout(plan)
        if max(plan.groups, *(int(array.max(initial=0)) for array in numbers.values())) >= 2**31:
            raise ValueError(f"a factor of {plan.groups:,} entries a mode is too large for a graphics processor")
        self.plan, self.device, self.batch, self.modes = plan, device, batch, len(eigenvalues)
        self.program = Program(SOURCE, threads, (f"-DBATCH={batch}", f"-DTHREADS={threads}"))
        self.arrays = {name: device.put(values.astype(np.int32)) for name, values in numbers.items()}
        self.arrays |= {name: device.put(np.asarray(values, np.float64)) for name, values in
                        (("stiffness", stiffness), ("mass", mass), ("eigenvalue", eigenvalues))}
        self.numbers = {"size": plan.size, "groups": plan.groups, "entries": len(plan.entry), "levels": len(numbers["level_start"]) - 1,
                        "panel_count": len(plan.column) - 1, "modes": self.modes}
        self._kept: dict[str, Any] | None = None  # factors of all modes

    def last_block(self) -> Floats:
        """The block of the inverse on the last unknowns of the plan, (modes, last, last)."""
        last = self.plan.last
        places = np.arange(self.plan.size - last, self.plan.size)
        return self._chunks(None, places, places, last)

    def solve(self, loads: Floats, places: Ints, wanted: Ints) -> Floats:
        """Solve for right-hand sides (modes, given, k) -> (modes, wanted, k).

        Args:
            places: (given,) of the loads in the elimination order, each once; -1 where a load is left out.
            wanted: (wanted,) places of the values; -1 where they are zero.

        Raises:
            MemoryError: not even the modes of one block fit on the device.
        """
        return self._chunks(np.asarray(loads, np.float64), places, wanted, loads.shape[2])

    def _chunks(self, loads: Floats | None, places: Ints, wanted: Ints, columns: int) -> Floats:
        plan = self.plan
        begin = plan.size - plan.last
        first_last = int(np.searchsorted(plan.column, begin))
        from_last, to_last = (bool((each[each >= 0] >= begin).all()) for each in (places, wanted))
        to_last &= from_last  # else the loads go through unknowns that have no room
        bottom = begin if to_last else 0
        numbers = {"given": len(places), "wanted": len(wanted), "columns": columns, "from_panel": first_last if from_last else 0,
                   "to_panel": first_last if to_last else 0, "bottom": bottom}
        arrays = {"load_place": self.device.put(places.astype(np.int32)), "wanted_place": self.device.put(wanted.astype(np.int32))}
        out = np.empty((self.modes, len(wanted), columns))
        sides = 8 * columns * (plan.size - bottom + len(wanted) + (0 if loads is None else len(places)))

        def some(low: int, high: int) -> None:
            blocks = -(-(high - low) // self.batch)
            factors = self._kept or self._factors(low, high)
            more = arrays | factors | {"x": self.device.room((blocks, plan.size - bottom, columns, self.batch), "float64"),
                                       "values": self.device.room((high - low, len(wanted), columns), "float64")}
            if loads is not None:
                more["loads"] = self.device.put(loads[low:high])
            self._launch("solve", blocks, more, numbers | {"first": low, "skipped": low // self.batch if factors is self._kept else 0})
            out[low:high] = self.device.get(more["values"])

        self._share(sides, some)
        return out

    def _share(self, sides: int, work: Callable[[int, int], None]) -> None:
        """Do the work for as many modes together as the device has memory for; keep the factors if that is all of them.

        Args:
            sides: bytes of the right-hand sides of a mode.
        """
        each = sides + (0 if self._kept else 8 * (self.plan.groups + self.plan.size))
        free = self.device.free()
        size = int(SHARE * free / each) // self.batch * self.batch
        if size < self.batch:
            raise MemoryError(f"{self.batch} modes of the field need {self.batch * each / 1e9:.3g} GB on the graphics processor, which has "
                              f"{free / 1e9:.3g} GB left")
        if self._kept is None and size >= self.modes:
            self._kept = self._factors(0, self.modes)
        for low in range(0, self.modes, size):
            work(low, min(low + size, self.modes))

    def _factors(self, low: int, high: int) -> dict[str, Any]:
        """Factorise modes: the arrays of their factors."""
        blocks = -(-(high - low) // self.batch)
        factors = {"panels": self.device.room((blocks, self.plan.groups, self.batch), "float64"),
                   "diagonal": self.device.room((blocks, self.plan.size, self.batch), "float64")}
        self._launch("factorise", blocks, factors, {"first": low})
        return factors

    def _launch(self, kernel: str, blocks: int, more: dict[str, Any], numbers: dict[str, int]) -> None:
        given = np.zeros(1, GIVEN)
        for name, array in (self.arrays | more).items():
            given[name] = self.device.address(array)
        for name, value in (self.numbers | numbers).items():
            given[name] = value
        self.device.launch(self.program, kernel, given, blocks)

"""The fibre engine on a graphics processor: what ``cable.cu`` computes, for the batches of ``cable.py``.

One warp runs one fibre at one amplitude, so a batch should hold thousands of fibres. The linear response is found once
per fibre and stays on the device while amplitudes are tried; the host only halves brackets and leaves out what is found.
``device.py`` has the devices.

Units: mV, ms, A.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.device import Cupy as Cupy
from epidura.numerics.device import Device as Device
from epidura.numerics.device import Program, current
from epidura.numerics.device import available as available
from epidura.numerics.kinetics import BASE, SERIES, Mrg

if TYPE_CHECKING:
    from epidura.numerics.cable import _Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SOURCE = Path(__file__).with_name("cable.cu")
LANES, MOST_PER_LANE = 32, 8  # of a warp; nodes in one lane
MODES, HALF, KINDS, SUMS, FULL, PASSIVE = 20, 10, 4, 24, 6, 6  # as in cable.cu
NEVER = 1 << 60  # k of an amplitude at which nothing fires, as in cable_kernel.search
EVEN = 3  # steps of one length before they grow, as there
SHARE = 0.4  # of the free memory of the device, for the fibres of a chunk: the one before may still be there

# Fields of `Given` in cable.cu, in its order.
POINTERS = ("fibre", "amplitude", "fired", "trace", "cable", "detect", "drive", "fixed_drive", "rows", "fixed_rows", "response", "fixed_response",
            "fine", "peaks", "start", "modes", "sums", "full", "fast", "passive_modes", "passive_sums", "kept", "by", "per_step", "gate_step",
            "block", "mean", "end", "gate", "gate_row", "gate_by", "part", "table", "push_row", "push", "fixed", "begin", "index", "weight")
NUMBERS = ("nodes", "first", "last", "levels", "tables", "patterns", "blocks", "parts", "row_count", "fine_count", "folds", "has_fixed", "watch",
           "trace_rows")
REALS = ("theta", "rest_leak", "fires", "low", "quiet", "g_naf", "g_nap", "g_k", "g_l", "e_na", "e_k", "e_l", "q_m", "q_h", "q_s", "rest",
         "base_m", "base_p", "base_h", "base_s", "series")


def given(precision: str) -> np.dtype[np.void]:
    """The layout of ``Given``."""
    return np.dtype([*((name, np.uint64) for name in POINTERS), *((name, np.int32) for name in NUMBERS), *((name, precision) for name in REALS)],
                    align=True)


def unfit(membrane: Any, nodes: int) -> str | None:
    """None if the kernels serve such fibres, else why not."""
    if not isinstance(membrane, Mrg):
        return f"there are no kernels for a membrane of kind {type(membrane).__name__}"
    if nodes > LANES * MOST_PER_LANE:
        return f"a fibre of {nodes} nodes; at most {LANES * MOST_PER_LANE} have room"
    return None


class _Layout:
    """The numbers of a batch as ``cable.cu`` wants them: fibres and cables first, then nodes, padded to the width of a warp."""

    def __init__(self, batch: _Batch):
        reason = unfit(batch.engine.cable.membrane, batch.net.nodes)
        if reason is not None:
            raise ValueError(reason)
        self.batch, self.net, self.plan, self.precision = batch, batch.net, batch.plan, batch.engine.dtype.name
        self.per_lane = -(-self.net.nodes // LANES)
        self.width, self.kept = LANES * self.per_lane, max(1, self.net.stride)
        options = f"-DREAL={'float' if self.precision == 'float32' else 'double'}", f"-DNODES_PER_LANE={self.per_lane}", f"-DKEPT={self.kept}"
        self.program = Program(SOURCE, LANES, options)
        self.folds = int(np.count_nonzero(self.plan.parts.folds))
        self.row_count = int((np.diff(self.plan.parts.at[:, 3]) - 1).sum())
        membrane = batch.engine.cable.membrane
        self.reals = {name: float(getattr(self.net, name)) for name in ("theta", "rest_leak", "fires", "low", "quiet")}
        self.reals |= {name: float(value) for name, value in membrane._asdict().items() if name in REALS}
        self.reals |= dict(zip(("base_m", "base_p", "base_h", "base_s"), BASE[Mrg], strict=True)) | {"series": SERIES}

    def padded(self, values: NDArray[Any], length: int) -> NDArray[Any]:
        """With 0 after the end of the last axis."""
        return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, length - values.shape[-1])])

    def _sums(self, values: Floats) -> Floats:
        """(cables, tables, SUMS) of (cables, tables, 18): with a fourth kind that does nothing, and no way over a passive end node."""
        internodes, nodes = values[..., :15].reshape(*values.shape[:-1], 3, 5).copy(), values[..., 15:]
        if not self.batch.engine.sealed:
            internodes[..., [0, 2], 0] = 0.0
        none = np.zeros((*values.shape[:-1], 1, 5))
        return np.concatenate([np.concatenate([internodes, none], axis=-2).reshape(*values.shape[:-1], 5 * KINDS), nodes, none[..., 0, :1]], axis=-1)

    def _kinds(self, values: Floats) -> Floats:
        """(cables, tables, KINDS, ...) of (cables, tables, 3, ...): with a fourth kind that does nothing."""
        return np.concatenate([values, np.zeros_like(values[:, :, :1])], axis=2)

    def of_cables(self) -> dict[str, Floats]:
        """What belongs to the different cables."""
        of, nodes, stride, levels = self.batch.of_cable, self.net.nodes, self.net.stride, len(self.plan.levels)
        cables, tables = of["rest"].shape[1], len(self.plan.divisors)
        by_cable = {name: np.ascontiguousarray(values.T) for name, values in of.items()}
        start = np.zeros((cables, 6 + 2 * self.kept, self.width))
        start[:, :6, :nodes] = by_cable["rest"][:, : 6 * nodes].reshape(cables, 6, nodes)
        modes = by_cable["rest"][:, 6 * nodes : 6 * nodes + (nodes - 1) * 2 * stride].reshape(cables, nodes - 1, 2, stride)
        start[:, 6:, : nodes - 1] = self.padded(modes, self.kept).reshape(cables, nodes - 1, 2 * self.kept).transpose(0, 2, 1)
        steps = np.zeros((cables, levels, 3, self.kept, 2, 2))
        steps[:, :, :, :stride] = by_cable["modes"].reshape(cables, levels, 3, 2, stride, 2).swapaxes(3, 4)
        return {"start": start, "modes": self._kinds(steps), "sums": self._sums(by_cable["sums"].reshape(cables, levels, 18)),
                "full": self._kinds(by_cable["full"].reshape(cables, levels, 3, MODES, FULL)),
                "fast": self._kinds(by_cable["static"].reshape(cables, levels, 3, 2)),
                "passive_modes": self._kinds(by_cable["passive_modes"].reshape(cables, tables, 3, MODES, PASSIVE)),
                "passive_sums": self._sums(by_cable["passive_sums"].reshape(cables, tables, 18))}

    def drive(self, name: str, members: NDArray[np.intp]) -> NDArray[Any]:
        """(members, patterns, 1 + MODES, width) of the nodes and of the modes of the internodes right of them."""
        nodes, values = self.net.nodes, self.batch.of_fibre[name][:, members].T.astype(self.precision)
        values = values.reshape(members.size, -1, nodes + (nodes - 1) * MODES)
        result = np.zeros((*values.shape[:2], 1 + MODES, self.width), self.precision)
        result[:, :, 0, :nodes] = values[:, :, :nodes]
        result[:, :, 1:, : nodes - 1] = values[:, :, nodes:].reshape(*values.shape[:2], nodes - 1, MODES).swapaxes(2, 3)
        return result

    def course(self) -> tuple[dict[str, Ints], dict[str, Floats]]:
        """The course of a run: its whole numbers, with places in all parts instead of in one, and its other numbers."""
        parts, blocks, levels = self.plan.parts, self.plan.blocks, len(self.plan.levels)
        size = np.diff(parts.at, axis=0)
        rows = np.concatenate([[0], np.cumsum(size[:, 3] - 1)])
        fold = np.where(parts.folds, np.cumsum(parts.folds) - 1, -1)
        part = np.column_stack([size[:, 1], parts.at[:-1, :4], size[:, 3] - 1, rows[:-1], 2 * fold + parts.carries])
        own = np.maximum(blocks.part, 0)
        driven = blocks.part >= 0
        block = np.column_stack([blocks.steps, blocks.level, np.append(blocks.level[1:], blocks.level[-1]), blocks.stop, blocks.first_by, driven,
                                 parts.at[own, 2], parts.at[own, 5], np.where(driven, fold[own], -1), blocks.first_row, blocks.every])
        own_row = np.repeat(rows[:-1], size[:, 2])
        kept = np.column_stack([self.net.kept, np.zeros(levels, np.int64)])
        whole = {"block": block, "part": part, "mean": parts.mean + own_row, "end": parts.end + own_row,
                 "gate": parts.gate + np.repeat(parts.at[:-1, 6], size[:, 5]), "gate_row": parts.gate_row + np.repeat(rows[:-1], size[:, 6]),
                 "gate_by": parts.gate_by, "table": parts.table, "push_row": parts.push_row,
                 "begin": parts.start + np.repeat(parts.at[:-1, 4], size[:, 3]), "index": parts.index, "kept": kept, "by": self.net.by}
        other = {"push": parts.push, "fixed": parts.fixed, "weight": parts.weight, "per_step": 1.0 / self.net.step, "gate_step": self.plan.gate_steps}
        return whole, other

    def bytes(self) -> int:
        """Of one fibre on the device, if its cable is its own."""
        patterns = self.plan.parts.push.shape[1] + self.batch.has_fixed
        rows = (1 + self.batch.has_fixed) * (self.row_count + self.folds * (2 + MODES)) + self.plan.fine + patterns * (1 + MODES)
        cable = (6 + 2 * self.kept) * self.width + len(self.plan.divisors) * (KINDS * MODES * PASSIVE + SUMS)
        cable += len(self.plan.levels) * (KINDS * (4 * self.kept + MODES * FULL + 2) + SUMS)
        return int((rows * self.width + cable) * np.dtype(self.precision).itemsize)


class Fibres:
    """Some fibres of a batch on a device with their linear response, ready to be run at any amplitude.

    Args:
        layout: of the batch.
        device: to run on.
        members: (n,) of the batch.
        detect: (fibres of the batch,) node that must fire.
    """

    def __init__(self, layout: _Layout, device: Device, members: NDArray[np.intp], detect: NDArray[np.integer[Any]]):
        self.layout, self.device, self.members = layout, device, members
        net, plan, batch, n = layout.net, layout.plan, layout.batch, members.size
        whole, other = layout.course()
        whole |= {"cable": np.asarray(batch.which[members], np.int64), "detect": np.asarray(detect[members], np.int64)}
        arrays = {name: device.put(values.astype(np.int32)) for name, values in whole.items()}
        arrays |= {name: device.put(values.astype(layout.precision)) for name, values in (layout.of_cables() | other).items()}
        arrays["drive"] = device.put(layout.drive("drive", members))
        sizes = {"rows": (n, layout.row_count, layout.width), "response": (n, layout.folds, 2 + MODES, layout.width)}
        if batch.has_fixed:
            arrays["fixed_drive"] = device.put(layout.drive("fixed_drive", members))
            sizes |= {"fixed_" + name: size for name, size in sizes.items()}
        sizes["fine"] = (n, plan.fine, layout.width)
        self.arrays = arrays | {name: device.room(size, layout.precision) for name, size in sizes.items()}
        numbers = {"nodes": net.nodes, "first": net.first, "last": net.last, "levels": len(plan.levels), "tables": len(plan.divisors),
                   "patterns": plan.parts.push.shape[1], "blocks": plan.blocks.steps.size, "parts": plan.parts.carries.size,
                   "row_count": layout.row_count, "fine_count": plan.fine, "folds": layout.folds, "has_fixed": batch.has_fixed}
        self.given = np.zeros(1, given(layout.precision))
        for name, value in (numbers | layout.reals).items():
            self.given[name] = value
        self._launch("respond", n, {})
        del self.arrays["fine"], self.arrays["drive"]  # the device's memory goes back when its kernels are done
        self.arrays.pop("fixed_drive", None)

    def _launch(self, kernel: str, count: int, more: dict[str, Any], **numbers: int) -> None:
        call = self.given.copy()
        for name, array in (self.arrays | more).items():
            call[name] = self.device.address(array)
        for name, value in numbers.items():
            call[name] = value
        self.device.launch(self.layout.program, kernel, call, count)

    @cached_property
    def peaks(self) -> Floats:
        """(n, 4) mV per ampere, of the first driven stretch; the first half of ``cable_kernel.peaks`` where the first way depolarises most."""
        found = self.device.room((self.members.size, 4), "float64")
        self._launch("find_peaks", self.members.size, {"peaks": found})
        return self.device.get(found)

    def _run(self, kernel: str, amplitudes: Floats, which: NDArray[np.intp], more: dict[str, Any], **numbers: int) -> NDArray[np.bool_]:
        fired = self.device.put(np.zeros(which.size, np.int32))
        fibre, amplitude = self.device.put(which.astype(np.int32)), self.device.put(amplitudes.astype(self.layout.precision))
        self._launch(kernel, which.size, {"fibre": fibre, "amplitude": amplitude, "fired": fired, **more}, **numbers)
        return self.device.get(fired) != 0

    def fires(self, amplitudes: Floats, which: NDArray[np.intp] | None = None) -> NDArray[np.bool_]:
        """(n,) whether each of the fibres, or of those that are named, fires at its (n,) amplitude in A."""
        which = np.arange(self.members.size) if which is None else which
        return self._run("simulate", amplitudes, which, {}) if which.size else np.zeros(0, np.bool_)

    def traces(self, amplitudes: Floats, node: int) -> Floats:
        """(n, steps) V of a node relative to rest, mV, after each whole step of the batch's course at (n,) A."""
        record = self.device.put(np.zeros((self.members.size, self.layout.plan.rows_out), self.layout.precision))
        self._run("trace_runs", amplitudes, np.arange(self.members.size), {"trace": record}, watch=node, trace_rows=self.layout.plan.rows_out)
        return np.asarray(self.device.get(record), np.float64)

    def search(self, start: Ints, stride: Ints | int, careful: bool, unit: float, lowest: int, highest: int) -> tuple[Ints, Ints]:
        """(n,) k below and (n,) k above the lowest amplitude ``exp(unit k)`` A at which each fibre fires; arguments as in ``cable_kernel.search``."""
        return bracket(self.fires, np.asarray(start, np.int64), stride, careful, unit, lowest, highest)


def bracket(fires: Callable[[Floats, NDArray[np.intp]], NDArray[np.bool_]], start: Ints, stride: Ints | int, careful: bool, unit: float, lowest: int,
            highest: int) -> tuple[Ints, Ints]:
    """The search of ``cable_kernel.search`` for any number of fibres at once; what is found takes no part any more.

    Args:
        fires: whether each fires, of (m,) amplitudes in A and the (m,) fibres they are for.
        start: (n,) first k.
        stride: (n,) or one, by how much k goes on while nothing is known on that side; unless ``careful`` doubled each time after ``EVEN`` of them.
        unit: logarithm of the ratio of neighbours.
        lowest, highest: k to search between; what does not fire at the highest has the bracket (highest, NEVER).

    Returns:
        (n,) k below, -NEVER where it fires even at the lowest; (n,) k above.
    """
    below, above = np.full(start.size, -NEVER), np.full(start.size, NEVER)
    at, by = np.minimum(start, highest), np.broadcast_to(np.asarray(stride, np.int64), start.shape).copy()
    left, runs = np.arange(start.size), 0
    while left.size:
        k, runs = at[left], runs + 1
        fired = fires(np.exp(unit * k), left)
        above[left] = np.where(fired, k, above[left])
        below[left] = np.where(fired, below[left], k)
        low, high = below[left], above[left]
        upwards, downwards = high == NEVER, low == -NEVER
        at[left] = np.where(upwards, np.minimum(k + by[left], highest), np.where(downwards, np.maximum(k - by[left], lowest), (low + high) // 2))
        if not careful and runs >= EVEN:
            by[left] *= 2
        left = left[~np.where(upwards, low >= highest, np.where(downwards, high <= lowest, high - low == 1))]
    return below, above


def chunks(batch: _Batch, device: Device, detect: NDArray[np.integer[Any]] | None = None, most: int | None = None) -> Iterator[Fibres]:
    """The fibres of a batch, as many together as the device has memory for.

    Args:
        batch: of ``cable.py``, of any size.
        device: to run on.
        detect: (fibres of the batch,) node that must fire; else the batch's.
        most: fibres of a chunk.
    """
    layout = _Layout(batch)
    count = batch.members.size
    detect = np.full(count, layout.net.detect) if detect is None else detect
    size = max(1, min(most or count, int(SHARE * device.free() / layout.bytes())))
    for first in range(0, count, size):
        yield Fibres(layout, device, np.arange(first, min(first + size, count)), detect)


def search(batch: _Batch, device: Device, start: Ints, stride: Ints | int, careful: bool, unit: float, lowest: int, highest: int,
           detect: NDArray[np.integer[Any]] | None = None) -> tuple[Ints, Ints]:
    """(f,) k below and (f,) k above of all fibres of a batch; arguments as in ``Fibres.search``."""
    stride = np.broadcast_to(np.asarray(stride, np.int64), start.shape)
    found = [fibres.search(start[fibres.members], stride[fibres.members], careful, unit, lowest, highest) for fibres in chunks(batch, device, detect)]
    below, above = zip(*found, strict=True)
    return np.concatenate(below), np.concatenate(above)


def fires(batch: _Batch, device: Device, amplitudes: Floats, detect: NDArray[np.integer[Any]] | None = None) -> NDArray[np.bool_]:
    """(f,) whether each fibre of a batch fires at its (f,) amplitude in A."""
    return np.concatenate([fibres.fires(amplitudes[fibres.members]) for fibres in chunks(batch, device, detect)])


def pick(membrane: Any, nodes: int) -> tuple[Device | None, str]:
    """A graphics processor for these fibres, or None and why it is not one."""
    why = available() or unfit(membrane, nodes)
    return (None, why) if why else (current(), "")

"""Guesses of thresholds from what was found before. They save runs of a search; where a fibre has one edge of firing no threshold depends on them."""

from __future__ import annotations

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from epidura.numerics.cable_kernel import MARGIN, MARGIN_TERMS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SURPRISE, STRANGE = 1.5, 2  # times its spread that half of some fibres may be off, and how often on end before all is learnt anew
AGAIN = 1.4  # times as many as at the last fit, from which on one is made again
LITTLE = 0.05  # share of the depolarisation one way under which that the other way does not count


class Margin:
    """How far the amplitude of one run lay from the threshold, told by what the run showed: learnt from runs of fibres whose threshold was found.

    A run that fires nothing shows how high its channels pushed any node, which grows steeply just below the threshold; one that fires shows when.
    """

    FEWEST, MOST = 48, 1500
    ROUGH = 0.02  # cells wider than this teach nothing
    FAR, NEAR = 60.0, 3.0  # cells, beyond which runs teach nothing, and within which their error counts as that beside the threshold

    def __init__(self) -> None:
        # (n, MARGIN + 1) what the margin goes by and the logarithm of threshold over amplitude, of runs that fired nothing and that fired
        self.runs: tuple[list[Floats], list[Floats]] = ([], [])
        self.model: tuple[Floats, ...] = ()
        self.fitted = self.new = 0  # runs of the last fit, and since then
        self.lock = Lock()

    @staticmethod
    def shape(features: Floats) -> Floats:
        """(n, 5) of (n, 9 or 5) features as in ``Learner.guess``: neighbours, theirs, squared unevenness by the peak; logarithms of size and peak."""
        with np.errstate(divide="ignore", invalid="ignore"):
            near, far, uneven = (features[:, k] / features[:, 0] for k in (1, 2, 3))
            return np.column_stack([near, far, uneven * uneven, np.log(features[:, -1]), np.log(features[:, 0])])

    def known(self, unit: float) -> tuple[Floats, ...]:
        """What ``cable_kernel.Margins`` takes, in cells of ``unit``."""
        with self.lock:
            if not self.model:
                none = np.zeros((2, MARGIN))
                return np.zeros((2, MARGIN_TERMS)), none, none + 1.0, none, none, np.full(2, np.inf), np.zeros(2)
            weights, middle, scale, least, most, spread, share = self.model
            return weights / unit, middle, scale, least, most, spread / unit, share

    def learn(self, shape: Floats, note: Floats, below: Ints, above: Ints, unit: float) -> None:
        """Take in searches of (n, 5) shapes: (runs, n, 4) as ``cable_kernel.search`` wrote it down, and (n,) brackets in cells."""
        if unit > self.ROUGH:
            return
        found = (above[: len(shape)] - below[: len(shape)] == 1) & np.isfinite(shape).all(axis=1)
        runs, fibres = np.nonzero(np.isfinite(note[:, :, 0]) & found)
        k, fired, first, second = note[runs, fibres].T
        away = below[fibres] + 0.5 - k
        near = np.abs(away) < self.FAR
        x = np.column_stack([shape[fibres, :4], shape[fibres, 4] + unit * k, first, second, unit * away])
        with self.lock:
            for side, kept in enumerate(self.runs):
                kept.append(x[near & (fired == side)])
                while sum(map(len, kept[1:])) > self.MOST:
                    del kept[0]
            self.new += len(x)
            if self.new > (AGAIN - 1.0) * self.fitted:
                self.fitted, self.new = min(self.fitted + self.new, 2 * self.MOST), 0
                self._fit(unit)

    def _fit(self, unit: float) -> None:
        sides = [self._fit_side(np.concatenate(kept), unit) for kept in self.runs if kept]
        if len(sides) == 2:
            self.model = tuple(np.stack(each) for each in zip(*sides, strict=True))

    def _fit_side(self, x: Floats, unit: float) -> tuple[Floats, ...]:
        if len(x) < self.FEWEST:
            none = np.zeros(MARGIN)
            return np.zeros(MARGIN_TERMS), none, none + 1.0, none, none, np.array(np.inf), np.array(0.0)
        x, ratio = x[:, :-1], x[:, -1]
        middle, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
        scaled, last = (x - middle) / scale, MARGIN - 3
        first, second = np.triu_indices(3)
        terms = np.column_stack([np.ones(len(x)), scaled, scaled[:, last + first] * scaled[:, last + second]])
        away = np.abs(ratio) / unit
        weight = 1.0 / (1.0 + away / self.NEAR)  # errors far away are mended by the next run
        heavy = terms * weight[:, None] ** 2
        weights = np.linalg.solve(heavy.T @ terms + 1e-4 * len(x) * np.eye(MARGIN_TERMS), heavy.T @ ratio)
        off, close = terms @ weights - ratio, away <= self.NEAR
        spread = np.sqrt(np.mean(off[close] ** 2)) if close.sum() > MARGIN_TERMS else np.inf
        share = np.sqrt(np.mean((off[~close] / ratio[~close]) ** 2)) if (~close).sum() > 4 else 0.3
        return np.asarray(weights), middle, scale, x.min(axis=0), x.max(axis=0), np.array(spread), np.array(share)


class Learner:
    """Guesses thresholds from the linear response, better with every fibre found.

    The threshold times the highest linear depolarisation is nearly the same for all fibres and one course; what is left follows how much
    the neighbouring nodes are depolarised, how unevenly (the highest point lies between two nodes) and how large the node is. A quadratic
    in these, fitted to the fibres found so far, guesses the others to less than the grid of thresholds where fibres are straight: docs/fibre.md.
    Guesses only save runs; no threshold depends on them. What lies outside of all that was seen is guessed as the nearest that was.

    Args:
        charging: ms, first phase of the course: for the first guess, 7 mV and 0.92 mV ms over the phase.
        peak: whether the size of the depolarisation counts, too. It tells fibres of one set of contacts apart, and misleads about other contacts.
    """

    FEWEST, MOST = 48, 4096

    def __init__(self, charging: float, peak: bool = True):
        self.peak = peak
        self.first = np.log(7.0 + 0.92 / charging)
        self.features: list[Floats] = []
        self.logs: list[Floats] = []
        self.model: tuple[Floats, float, Floats] | None = None  # weights, spread, least and largest shape that was seen
        self.fitted = self.new = self.strange = 0  # fibres of the last fit, since then, and how often on end many were guessed badly
        self.lock = Lock()
        self.margin = Margin()

    @staticmethod
    def of(seconds: float) -> Learner:
        """For a course whose first phase lasts this long."""
        return Learner(seconds * 1e3)

    def _shape(self, features: Floats) -> Floats:
        """(n, 5 or 4) of (n, 5): neighbours, their neighbours and the squared unevenness by the peak; logarithms of size and, if it counts, peak.
        Of (n, 9) four more: logarithm of the other way's peak by this one's, and its own neighbours, theirs and squared unevenness."""
        near, far, uneven = (features[:, k] / features[:, 0] for k in (1, 2, 3))
        own = np.column_stack([near, far, uneven * uneven, np.log(features[:, [-1, 0] if self.peak else [-1]])])
        if features.shape[1] < 9:
            return own
        other = features[:, 4]
        there = other > LITTLE * features[:, 0]
        others = np.divide(features[:, 5:8], other[:, None], out=np.zeros((len(own), 3)), where=there[:, None])
        return np.column_stack([own, np.log(np.maximum(other / features[:, 0], LITTLE)), others[:, :2], others[:, 2] ** 2])

    def _terms(self, shape: Floats) -> Floats:
        """(n, 21 or 15): one, each, and all their products; of what the other way did products with its size only."""
        own = 5 if self.peak else 4
        first, second = np.triu_indices(own)
        terms = [np.ones(len(shape)), shape, shape[:, first] * shape[:, second]]
        return np.column_stack([*terms, *(shape[:, [own]] * shape[:, [k]] for k in range(shape.shape[1] if shape.shape[1] > own else 0))])

    def guess(self, features: Floats) -> tuple[Floats, float | None]:
        """(n,) logarithms of the thresholds of (n, 9 or 5) features, and how far off they may be, or None if that is not known yet.

        Args:
            features: highest linear depolarisation in mV per ampere, means of its neighbours and of theirs, half the difference of its neighbours;
                perhaps the same while the course pushes the other way; size of the node in nF.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = -np.log(features[:, 0])
            if self.model is None:
                return self.first + scale, None
            weights, spread, seen = self.model
            return self._terms(np.clip(self._shape(features), *seen)) @ weights + scale, spread

    def learn(self, features: Floats, logs: Floats) -> None:
        """Take in (n, 9 or 5) features and (n,) logarithms of thresholds."""
        good = np.isfinite(logs) & (features[:, 0] > 0)
        if good.any():
            with self.lock:
                self._take(features[good], logs[good])

    def _take(self, features: Floats, logs: Floats) -> None:
        """Fibres that can be learnt from, at least one."""
        if self.model is not None:
            half = float(np.median(np.abs(self.guess(features)[0] - logs)))
            self.strange = self.strange + 1 if half > SURPRISE * self.model[1] else 0
        self._keep(features, logs)
        if self.strange >= STRANGE:
            # other contacts bend the potential as no fibre had it before: what is learnt with them alone guesses them better
            del self.features[: -self.strange], self.logs[: -self.strange]
            self.new, self.fitted, self.strange = sum(map(len, self.logs)), 0, 0
        self._fit_if_due()

    def _keep(self, features: Floats, logs: Floats) -> None:
        self.features.append(features)
        self.logs.append(logs + np.log(features[:, 0]))
        self.new += logs.size

    def _fit_if_due(self) -> None:
        if self.new + self.fitted >= self.FEWEST and 2 * self.new >= self.fitted and self.fitted < self.MOST:
            self._fit()

    def _fit(self) -> None:
        shape, target = self._shape(np.concatenate(self.features)), np.concatenate(self.logs)
        terms = self._terms(shape)
        # a little ridge: without a spread of sizes their terms would be free
        weights = np.linalg.solve(terms.T @ terms + 1e-6 * len(terms) * np.eye(terms.shape[1]), terms.T @ target)
        free = max(len(terms) - terms.shape[1], 1)
        spread = float(np.sqrt(np.sum((target - terms @ weights) ** 2) / free))
        self.model = np.asarray(weights), spread, np.stack([shape.min(axis=0), shape.max(axis=0)])
        self.fitted, self.new = target.size, 0


class Guide(Learner):
    """A learner over many searches of one type of stimulation, each with contacts of its own.

    Other contacts bend the potential as no fibre had it before. Three guesses compete, and the one that was least off lately wins: what earlier
    searches say, the same with a correction that is straight in the shape and fitted to this search, and this search alone.
    """

    CORRECTS = 12  # fibres of this search from which on it corrects what earlier ones say
    MIDDLE = 0.8  # share of the fibres of a lot whose error counts; of a normal one it is 1.28 standard deviations

    def __init__(self, charging: float, peak: bool = True):
        super().__init__(charging, peak)
        self.before = Learner(charging, peak)
        self.correction: Floats | None = None
        self.corrected = 0  # fibres of this search that it was fitted to
        self.off: dict[str, float] = {}  # by guess: how far off lately, log

    @staticmethod
    def of(seconds: float) -> Guide:
        """For a course whose first phase lasts this long."""
        return Guide(seconds * 1e3)

    def begin(self) -> None:
        """Another search: what the one before found belongs to the earlier ones."""
        with self.lock:
            self.before.features, self.before.logs = self.before.features + self.features, self.before.logs + self.logs
            while sum(map(len, self.before.logs[1:])) > self.MOST:
                del self.before.features[0], self.before.logs[0]
            if self.logs and sum(map(len, self.before.logs)) >= self.FEWEST:
                self.before._fit()
            self.features, self.logs, self.model, self.correction, self.off = [], [], None, None, {}
            self.fitted = self.new = self.corrected = 0

    def _guesses(self, features: Floats) -> dict[str, Floats]:
        """(n,) logarithms by each guess there is."""
        told = {}
        if self.model is not None:
            told["alone"] = super().guess(features)[0]
        if self.before.model is not None:
            told["before"] = self.before.guess(features)[0]
            if self.correction is not None:
                told["corrected"] = told["before"] + self._straight(features) @ self.correction
        return told

    def _straight(self, features: Floats) -> Floats:
        assert self.before.model is not None
        shape = np.clip(self._shape(features), *self.before.model[2])
        return np.column_stack([np.ones(len(shape)), shape])

    def guess(self, features: Floats) -> tuple[Floats, float | None]:
        """As ``Learner.guess``, by the best guess there is."""
        with self.lock, np.errstate(divide="ignore", invalid="ignore"):
            told = self._guesses(features)
            if not told:
                return self.first - np.log(features[:, 0]), None
            best = min(told, key=lambda name: self.off.get(name, np.inf))
            return told[best], self.off.get(best, self.before.model[1] if self.before.model is not None else None)

    def _take(self, features: Floats, logs: Floats) -> None:
        for name, told in self._guesses(features).items():
            off = self._middle(told - logs)
            self.off[name] = 0.5 * (self.off[name] + off) if name in self.off else off
        self._keep(features, logs)
        self._fit_if_due()
        if self.model is not None:
            self.off.setdefault("alone", self.model[1])
        if self.before.model is not None and self.new + self.fitted >= max(self.CORRECTS, AGAIN * self.corrected):
            own = np.concatenate(self.features)
            self.corrected = len(own)
            left = np.concatenate(self.logs) - np.log(own[:, 0]) - self.before.guess(own)[0]
            straight = self._straight(own)
            square = straight.T @ straight + 1e-3 * len(own) * np.eye(straight.shape[1])
            self.correction = correction = np.asarray(np.linalg.solve(square, straight.T @ left), np.float64)
            self.off.setdefault("corrected", self._middle(left - straight @ correction))

    def _middle(self, off: Floats) -> float:
        """As a standard deviation, without the few that are far off."""
        return float(np.quantile(np.abs(off), self.MIDDLE)) / 1.28

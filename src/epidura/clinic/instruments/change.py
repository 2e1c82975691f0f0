"""From two scores of one instrument to what changed, and from several to the holistic responder."""

from __future__ import annotations

import math
from collections.abc import Iterable

from epidura import quality_of_life
from epidura.clinic.instruments.base import Mark, Score, Value, mark_of
from epidura.errors import BadInput
from epidura.quality_of_life import Holistic
from epidura.recipe import Recipe

_SAME = 1e-9  # 30 % of 10 is 3, whatever floats say
_RATING = 10.0  # quality_of_life has pain from 0 to 10


class ValueChange(Recipe):
    """How one value changed.

    Attributes:
        before, after: None if missing.
        absolute: after - before.
        percent: of the value before; None where it was 0, or where the scale does not begin at 0.
        gain: towards better; negative is worse.
        important_change: the least change that matters to patients, if one is known.
        improved, worsened: whether the gain, or the loss, is at least that.
        responders: share of improvement in % to whether it was reached.
    """

    name: str
    unit: str
    before: float | None
    after: float | None
    absolute: float | None = None
    percent: float | None = None
    gain: float | None = None
    important_change: Mark | None = None
    improved: bool | None = None
    worsened: bool | None = None
    responders: dict[int, bool] = {}


class Relief(Recipe):
    """Relief of pain as calculated, beside relief as the patient says it, %.

    Attributes:
        calculated: (before - after) / before; None without pain before.
        reported: by the patient, if asked.
        difference: reported - calculated.
        limits: published limits of agreement of the difference.
        agrees: whether it lies within them.
    """

    calculated: float | None
    reported: float | None
    difference: float | None
    limits: tuple[Mark, Mark]
    agrees: bool | None


class Change(Recipe):
    """What changed between two scores of one instrument.

    Attributes:
        values: those of the scores, in order.
        relief: of pain, if it is a strength of pain.
        notes: what one has to know to read it.
    """

    instrument: str
    version: str
    values: tuple[ValueChange, ...]
    relief: Relief | None = None
    notes: tuple[str, ...] = ()


def change(before: Score, after: Score, reported: float | Score | None = None) -> Change:
    """What changed from one score to the next.

    Args:
        before, after: of the same instrument, version and settings.
        reported: relief in the patient's words, % or a score of ``reported-relief``; for a strength of pain only.

    Raises:
        BadInput: scores that cannot be compared, or a relief that is not 0 to 100.
    """
    for name in ("instrument", "version", "settings"):
        if getattr(before, name) != getattr(after, name):
            raise BadInput(f"after.{name}", "scores that cannot be compared", got=getattr(after, name), allowed=str(getattr(before, name)))
    if before.of_change:
        raise BadInput("before.instrument", f"{before.title} says by itself what changed", got=before.instrument, hint="read its score")
    if reported is not None and not before.pain:
        raise BadInput("reported", "relief goes with a strength of pain only", got=before.instrument, allowed="nrs, vas")
    partial = [when for when, score in (("before", before), ("after", after)) if not score.complete]
    notes = (f"answers are missing {' and '.join(partial)}",) if partial else ()
    return Change(instrument=before.instrument, version=before.version, notes=notes,
                  values=tuple(_changed(old, after[old.name]) for old in before.values),
                  relief=_relief(before.values[0], after.values[0], reported) if before.pain else None)


def _changed(old: Value, new: Value) -> ValueChange:
    made = ValueChange(name=old.name, unit=old.unit, before=old.number, after=new.number, important_change=old.important_change)
    if old.number is None or new.number is None:
        return made
    absolute = new.number - old.number
    gain = {"lower": -absolute, "higher": absolute, "neither": None}[old.better]
    needed = old.important_change.value if old.important_change and gain is not None else None
    return made.model_copy(update={
        "absolute": absolute,
        "percent": 100 * absolute / old.number if old.low == 0 and old.number > 0 else None,
        "gain": gain,
        "improved": None if needed is None or gain is None else gain >= needed - _SAME,
        "worsened": None if needed is None or gain is None else -gain >= needed - _SAME,
        "responders": {round(share.value): _responder(old.number, new.number, old.high, share.value) for share in old.responders},
    })


def _responder(before: float, after: float, high: float, share: float) -> bool:
    scale = _RATING / high
    return bool(quality_of_life.responder(min(before * scale, _RATING), min(after * scale, _RATING), share / 100))


def _relief(old: Value, new: Value, reported: float | Score | None) -> Relief:
    facts = quality_of_life.facts()
    limits = tuple(mark_of(facts[f"reported less calculated relief, {end} limit of agreement"].number) for end in ("lower", "upper"))
    said = reported.number() if isinstance(reported, Score) else reported
    if isinstance(reported, Score) and reported.instrument != "reported-relief":
        raise BadInput("reported", "not a score of relief", got=reported.instrument, allowed="reported-relief")
    if said is not None and (isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 100):
        raise BadInput("reported", "not a relief", got=said, allowed="0 to 100 %")
    calculated = None
    if old.number is not None and new.number is not None:
        scale = _RATING / old.high
        share = 100 * float(quality_of_life.relief(old.number * scale, new.number * scale))
        calculated = share if math.isfinite(share) else None
    difference = said - calculated if said is not None and calculated is not None else None
    return Relief(calculated=calculated, reported=said, difference=difference, limits=(limits[0], limits[1]),
                  agrees=None if difference is None else limits[0].value <= difference <= limits[1].value)


def holistic(before: Iterable[Score], after: Iterable[Score]) -> Holistic:
    """The holistic responder (see ``quality_of_life.holistic``) from a rating of pain (``nrs``), ``eq-5d-5l`` and T scores of ``promis-29``.

    Raises:
        BadInput: one of its five domains is missing.
    """
    old, new = tuple(before), tuple(after)
    start, end = ([_domain(when, scores, name) for name in quality_of_life.DOMAINS] for when, scores in (("before", old), ("after", new)))
    return quality_of_life.holistic(start, end)


_FROM = {"pain": ("nrs", "average"), "quality of life": ("eq-5d-5l", "index"), "sleep": ("promis-29", "sleep disturbance T"),
         "physical function": ("promis-29", "physical function T"), "emotional function": ("promis-29", "depression T")}


def _domain(when: str, scores: tuple[Score, ...], name: str) -> float:
    kind, value = _FROM[name]
    for score in scores:
        if score.instrument == kind:
            number = next((v.number for v in score.values if v.name == value), None)
            if number is not None:
                return number
    raise BadInput(when, f"the domain {name} is missing", allowed=f"a score of {kind} with {value}")

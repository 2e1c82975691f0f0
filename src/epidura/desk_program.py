"""What the room Program shows of the programmer: fibres, what is felt, figures at the electrodes, programs side by side, the gate, and its lists.

    answer(case, programmer, 0, "preview")           # thresholds and what they mean, mA
    figures(case, lead_field, 0, [2.5])              # at the electrodes, at 2.5 mA
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from epidura import transmission, waveform
from epidura.case import Case
from epidura.delivery import Electronics, volts_per_ampere
from epidura.errors import BadInput
from epidura.figures import pulse_span
from epidura.firing import choose, fire
from epidura.firing import summary as firing_summary
from epidura.generator import Violation, generator
from epidura.product import Floats, LeadField
from epidura.program import CASE, Program, rows
from epidura.programmer import Laid, Programmer
from epidura.recruitment import DERMATOME_SIDES, Engine, assemble, dermatomes_of, discomfort_of, felt_from, nodes_of, resolve_amplitude
from epidura.shape import outline_at
from epidura.sheet import Sheet, current_course, examine
from epidura.tables import UNVERIFIED, Number, table
from epidura.units import KINDS, format_quantity

Progress = Callable[[str, float], None]
Quality = Literal["preview", "exact"]

PAST = 1.03
"""How far past the end of the slider fibres are searched, since it is known from the preview only, which mostly has it too high: 50 searches of five
types and ten sets of contacts needed no second one."""

QUICK_SEEDS, QUICK_FIBRES, QUICK_PLACES = 3, 24, 2
"""Copies of the circuit, fibres followed and painful places in a quick look at the gate; a run of the case has more. Choice of this project."""


def electronics_of(case: Case) -> Electronics:
    """Of the case's generator, or of one that can do everything."""
    return Electronics() if case.generator is None else generator(case.generator).electronics()


# what a page shows


def fibres_of(laid: Laid) -> dict[str, Any]:
    """Every fibre by place and kind, and what is around them in the plane at the level: mm, um."""
    fibres, canal = laid.fibres, laid.lead_field.canal
    column = fibres.population == "dorsal-column"
    place = np.array([[np.interp(0.0, path[:, 2], path[:, i]) if own else path[-1, i] for i in (0, 1)]
                      for own, path in zip(column, fibres.paths, strict=True)])
    kinds, segments = list(dict.fromkeys(fibres.population.tolist())), list(dict.fromkeys(fibres.segment.tolist()))
    outlines = {name: _mm(outline_at(canal, name, np.zeros(1))[0]) for name in ("canal", "dura-inner", "cord", "grey-matter")}
    return {
        "populations": kinds, "segments": segments, "population": [kinds.index(one) for one in fibres.population.tolist()],
        "segment": [segments.index(one) for one in fibres.segment.tolist()], "right": (fibres.side == "right").astype(int).tolist(),
        "x_mm": np.round(place[:, 0] * 1e3, 3).tolist(), "y_mm": np.round(place[:, 1] * 1e3, 3).tolist(),
        "diameter_um": np.round(fibres.diameter * 1e6, 2).tolist(), "weight": np.round(fibres.weight, 4).tolist(),
        "outlines": outlines, "shafts": [_cut(shaft) for shaft in canal.shafts], "vertebra": canal.vertebra, "level": canal.cord.level,
    }


def _cut(shaft: Any) -> dict[str, Any]:
    """A lead where the plane at the level cuts it, or would."""
    x, y = shaft.centre(np.array([0.0]))[0]
    there = bool(shaft.z_tip > 0 and (shaft.z_end is None or shaft.z_end < 0))
    return {"name": shaft.name, "x_mm": float(x) * 1e3, "y_mm": float(y) * 1e3, "radius_mm": shaft.radius * 1e3,
            "half_width_mm": None if shaft.half_width is None else shaft.half_width * 1e3, "turn_deg": math.degrees(shaft.turn), "there": there,
            "contacts": [contact.number for contact in shaft.contacts]}


def _mm(loop: Floats) -> list[list[float]]:
    every = max(1, len(loop) // 120)
    return [[float(x), float(y)] for x, y in np.round(loop[::every] * 1e3, 3)]


def felt_of(case: Case, laid: Laid, program: Program, thresholds: Floats) -> dict[str, Any]:
    """What the thresholds of a train mean: perception, discomfort, amplitude, and from where on each dermatome is felt; mA, None: not reached.
    ``ohm`` is V per A of amplitude, ``held_ohm`` the same where one source holds the voltage of all contacts of a sign.

    Args:
        program: of one train.
        thresholds: (f,) A.
    """
    names = dermatomes_of(laid.fibres)
    felt = felt_from(laid.fibres, thresholds, case.rules, names)
    perception = float(felt.min(initial=np.inf))
    discomfort = discomfort_of(laid.fibres, thresholds, perception, case.rules)
    ohm = volts_per_ampere(program, laid.lead_field, electronics_of(case))
    held = volts_per_ampere(program.model_copy(update={"sources": "single"}), laid.lead_field, electronics_of(case))
    amplitude = resolve_amplitude(program, perception, discomfort, ohm)
    return {
        "name": program.name, "thresholds_mA": _milli(thresholds), "perception_mA": _one(perception), "discomfort_mA": _one(discomfort),
        "top_mA": _top(perception, discomfort, amplitude) * 1e3,
        "amplitude_mA": _one(amplitude), "ohm": round(ohm, 3), "held_ohm": round(held, 6),
        "felt_mA": {f"{name} {side}": _one(float(felt[i, j])) for i, name in enumerate(names)
                    for j, side in enumerate(DERMATOME_SIDES)},
        "paraesthesia": bool(program.waveform.paraesthesia), "usual": float(program.waveform.usual_amplitude),
    }


def _top(perception: float, discomfort: float, amplitude: float) -> float:
    """Where a slider ends, A: beyond everything that is marked on it, as recruitment curves do."""
    marks = [one for one in (1.6 * perception, 1.15 * discomfort, 1.1 * amplitude) if math.isfinite(one)]
    return max(marks) if marks else 20e-3


def _milli(values: Floats) -> list[float | None]:
    return [None if not np.isfinite(one) else float(f"{one:.5g}") for one in (values * 1e3).tolist()]


def _one(value: float) -> float | None:
    return value * 1e3 if math.isfinite(value) else None


def evidence(numbers: Sequence[Number]) -> list[dict[str, str]]:
    """Unverified ones among some numbers, for a mark."""
    return [{"name": one.name, "evidence": one.evidence, "source": one.source} for one in dict.fromkeys(numbers) if one.unverified]


def answer(case: Case, programmer: Programmer, index: int, quality: Quality, progress: Progress | None = None) -> dict[str, Any]:
    """Everything that the page shows of one program but its figures at the electrodes, one entry a train.

    Args:
        index: of the program in the case.
        quality: an estimate, or the numbers of ``recruit`` up to the end of the slider at least. Of a fibre or a dermatome beyond ``searched_mA`` it
            is then known that it is there.

    Raises:
        BadInput: no such program, contacts that do not exist.
    """
    program, laid, electronics = program_of(case, index), programmer.laid, electronics_of(case)
    trains, exact = [], True
    for k, row in enumerate(rows(program)):
        own = _known(case, programmer, row, electronics)
        if quality == "exact" and own is None:
            def share(words: str, done: float, k: int = k) -> None:
                if progress is not None:
                    progress(words, (k + done) / len(program.trains))

            own = _searched(case, programmer, row, electronics, share)
        exact = exact and own is not None
        trains.append(own or felt_of(case, laid, row, programmer.preview(row, electronics)))
    numbers = [*laid.fibres.numbers, *case.rules.numbers(), *laid.lead_field.canal.numbers]
    for model in laid.models.values():
        numbers += model.numbers()
    return {"quality": "exact" if exact else "preview", "program": program.name, "trains": trains, "evidence": evidence(numbers),
            "warnings": [*laid.lead_field.canal.warnings, *_words(program, trains)]}


def _known(case: Case, programmer: Programmer, row: Program, electronics: Electronics) -> dict[str, Any] | None:
    """What was searched of a train means, if all marks of its slider lie within."""
    found = programmer.found(row, electronics)
    if found is None:
        return None
    told = felt_of(case, programmer.laid, row, found.thresholds[0])
    whole = found.up_to >= programmer.engine.ceiling
    within = told["perception_mA"] is not None and told["discomfort_mA"] is not None and told["top_mA"] * 1e-3 <= found.up_to
    return {**told, "searched_mA": found.up_to * 1e3} if whole or within else None


def _searched(case: Case, programmer: Programmer, row: Program, electronics: Electronics, progress: Progress) -> dict[str, Any]:
    """The same, searched: a little past where its slider ends as far as the preview knows, and further where that was not enough."""
    marks = felt_of(case, programmer.laid, row, programmer.preview(row, electronics))
    for begin, part in ((0.0, 0.8), (0.8, 0.1), (0.9, 0.1)):
        def share(words: str, done: float, begin: float = begin, part: float = part) -> None:
            progress(words, begin + part * done)

        whole = marks["perception_mA"] is None or marks["discomfort_mA"] is None or begin + part == 1.0
        found = programmer.exact(row, electronics, share, None if whole else PAST * marks["top_mA"] * 1e-3)
        if (known := _known(case, programmer, row, electronics)) is not None:
            return known
        marks = felt_of(case, programmer.laid, row, found[0])
    raise AssertionError("a search up to the ceiling says everything")


def _words(program: Program, trains: Sequence[dict[str, Any]]) -> Iterator[str]:
    for k, one in enumerate(trains):
        name = program.name if len(trains) == 1 else f"{program.name}, train {k + 1}"
        low, high = one["perception_mA"], one["discomfort_mA"]
        if low is None:
            yield f"{name}: nothing is felt at any amplitude that was tried (up to {Engine().ceiling * 1e3:g} mA)"
        elif high is not None and high < low:
            yield (f"{name}: roots become uncomfortable ({high:.2f} mA) before a dermatome of the dorsal columns is felt ({low:.2f} mA); "
                   "there is no usage range")


def program_of(case: Case, index: int) -> Program:
    """A program of a case by its place.

    Raises:
        BadInput: there is none.
    """
    if not 0 <= index < len(case.programs):
        raise BadInput("program", "there is no such program", got=index, allowed=f"0 to {len(case.programs) - 1}")
    return case.programs[index]


def covered(case: Case, trains: Sequence[dict[str, Any]], amplitudes: Sequence[float | None]) -> dict[str, Any]:
    """What is felt at amplitudes in mA, beside the pain: as a result says it, all trains of a program together."""
    felt = {name for train, level in zip(trains, amplitudes, strict=True) if level is not None
            for name, start in train["felt_mA"].items() if start is not None and start <= level * (1 + 1e-9)}
    pain = {f"{name} {side}" for name, side in case.patient.pain.dermatomes()} if case.patient else set()
    return {"felt": sorted(felt), "pain": sorted(pain), "covered": len(felt & pain) / len(pain) if pain else None,
            "spill": sorted(felt - pain)}


def at_milliamperes(program: Program, amplitudes: Sequence[float | None], lead_field: LeadField, electronics: Electronics) -> Program | None:
    """The program with these amplitudes in mA in its trains, in V where it controls voltage; None where one is not known."""
    if len(amplitudes) != len(program.trains):
        raise BadInput("amplitudes", "not one for each train", got=len(amplitudes), allowed=str(len(program.trains)))
    written = []
    for k, (train, level) in enumerate(zip(program.trains, amplitudes, strict=True)):
        if level is None or not math.isfinite(level) or level <= 0:
            return None
        if train.amplitude.voltage is not None:
            written.append(format_quantity(level * 1e-3 * volts_per_ampere(program.alone(k), lead_field, electronics), "voltage", "V"))
        else:
            written.append(format_quantity(round(level * 1e-3, 9), "current", "mA"))
    text = program.model_dump(mode="json")
    more = [{**train, "amplitude": own} for train, own in zip(text["interleaved"], written[1:], strict=True)]
    made: Program = program.but(amplitude=written[0], most=None, interleaved=more)
    return made


def figures(case: Case, lead_field: LeadField, index: int, amplitudes: Sequence[float | None]) -> dict[str, Any] | None:
    """A program at the electrodes at amplitudes in mA: charges beside named limits, voltages, power, a pulse as a line; None without amplitudes."""
    made = None if case.generator is None else generator(case.generator)
    program = at_milliamperes(program_of(case, index), amplitudes, lead_field, electronics_of(case))
    if program is None:
        return None
    sheet = _without_steps(examine(program, lead_field, made), case.programs[index])
    d = sheet.delivery
    # a limit of the patient was taken out to examine any amplitude; it is held against it by the page
    return {**sheet.summary(), "charge_per_phase_uC": float(d.charge_per_phase.max()) * 1e6,
            "charge_density_uC_cm2": float(np.nanmax(d.charge_density)) * 1e2, "balanced": not d.added.any(), "wave": wave(sheet),
            "battery": None if made is None else made.battery, "unknown": [] if made is None else list(made.unknown()),
            "evidence": [] if made is None or sheet.power is None else evidence(sheet.power.numbers)}


def _without_steps(sheet: Sheet, program: Program) -> Sheet:
    """Without what is held against the steps of a generator where the amplitude follows from the fibres, as a result does."""
    def kept(one: Violation) -> bool:
        own = sheet.generator
        for k, train in enumerate(program.trains):
            span = None if own is None else {"amplitude": own.amplitude, "burst amplitude": own.burst_amplitude}.get(one.quantity)
            hangs = train.amplitude.current is None and train.amplitude.voltage is None
            if one.where == (f"interleaved[{k - 1}]." if k else "") + "amplitude" and span is not None and hangs:
                return not span.low <= sheet.delivery.amplitude[k] <= span.high
        return True

    return replace(sheet, violations=tuple(one for one in sheet.violations if kept(one)))


def wave(sheet: Sheet) -> dict[str, Any]:
    """The beginning of a cycle as lines: us, and of each electrode mA into tissue."""
    d = sheet.delivery
    end = min(pulse_span(d)[1], d.cycle)
    lines = []
    for k, number in enumerate(d.contacts):
        x, y = current_course(d, k)
        inside = x <= end
        lines.append({"contact": "case" if number == CASE else number, "us": [0.0, *np.round(x[inside] * 1e6, 3).tolist(), end * 1e6],
                      "mA": [0.0, *np.round(y[inside] * 1e3, 6).tolist(), float(y[inside][-1]) * 1e3 if inside.any() else 0.0]})
    return {"end_us": end * 1e6, "lines": lines}


def compare(case: Case, programmer: Programmer, which: Sequence[int], progress: Progress | None = None) -> list[dict[str, Any]]:
    """Some programs of a case, each at its own amplitude, side by side; thresholds of single fibres are left out.

    Raises:
        BadInput: no such program.
    """
    said = progress or (lambda words, share: None)
    found = []
    for place, i in enumerate(which):
        program = program_of(case, i)

        def share(words: str, done: float, place: int = place) -> None:
            said(words, (place + done) / len(which))

        told = answer(case, programmer, i, "exact", share)
        levels = [train["amplitude_mA"] for train in told["trains"]]
        at = figures(case, programmer.laid.lead_field, i, levels)
        keys = ("charge_per_phase_uC", "charge_density_uC_cm2", "shannon_k", "voltage_needed_V", "mean_power_uW", "power", "violations", "battery")
        found.append({
            "program": i, "name": program.name, "levels_mA": levels,
            "words": [f"{train.waveform.words()}; {train.words()}" for train in program.trains],
            "perception_mA": [train["perception_mA"] for train in told["trains"]],
            "discomfort_mA": [train["discomfort_mA"] for train in told["trains"]], **covered(case, told["trains"], levels),
            "paraesthesia": any(train["paraesthesia"] for train in told["trains"]),
            "electrodes": None if at is None else {key: at[key] for key in keys}, "warnings": list(_words(program, told["trains"])),
            "evidence": told["evidence"]})
    return found


def gate(case: Case, programmer: Programmer, index: int, amplitudes: Sequence[float | None], progress: Progress | None = None) -> dict[str, Any]:
    """What the pain gate does under one program: a quick look with few fibres and few copies of the circuit, every hypothesis side by side.

    Raises:
        BadInput: an amplitude that is not known, no dorsal-column fibres.
    """
    said = progress or (lambda words, share: None)
    program, laid, electronics = program_of(case, index), programmer.laid, electronics_of(case)
    levels = np.array([np.nan if level is None else level * 1e-3 for level in amplitudes])
    if levels.shape != (len(program.trains),) or not np.isfinite(levels).all():
        raise BadInput("amplitudes", "not known for every train", got=str(list(amplitudes)), allowed="mA, one a train")
    column = next((one for one in laid.populations if one.kind == "dorsal-column"), None)
    if column is None:
        raise BadInput("fibres", "the gate is driven by dorsal-column fibres, and there are none", hint="add {kind: dorsal-column}")
    each = rows(program)
    found = np.stack([programmer.exact(row, electronics, lambda words, share: said(words, 0.2 * share)) for row in each], axis=1)
    nodes = np.stack([nodes_of(laid.lead_field, laid.fibres, laid.models, row.contacts).count for row in each])
    ohm = np.array([volts_per_ampere(row, laid.lead_field, electronics) for row in each])
    strength = np.full((len(each), 8), np.nan)
    fixed = [row.model_copy(update={"amplitude": type(row.amplitude)(current=float(level))}) for row, level in zip(each, levels, strict=True)]
    recruited = assemble(laid.fibres, nodes, fixed, found, case.rules, strength, ohm)
    chosen, weight = choose(found[0], laid.fibres.weight, levels, QUICK_FIBRES)
    fired = fire(laid.lead_field, laid.populations, program, levels.tolist(), case.firing.duration, programmer.engine, electronics, chosen=chosen,
                 weight=weight, progress=lambda words, share: said("fibres in time", 0.2 + 0.3 * share))
    quick = case.gate.but(seeds=max(1, min(case.gate.seeds or QUICK_SEEDS, QUICK_SEEDS)), volleys=0, levels=0, frequencies=[], places=QUICK_PLACES)
    running = program.model_copy(update={"amplitude": fixed[0].amplitude, "interleaved": tuple(
        train.model_copy(update={"amplitude": own.amplitude}) for train, own in zip(program.interleaved, fixed[1:], strict=True))})
    product = transmission.transmit(case.circuit, quick, recruited, [fired], [running], laid.lead_field.canal, case.patient, column.axon,
                                    programmer.engine.threads, lambda words, share: said("the pain gate", 0.5 + 0.5 * share))
    told = transmission.summary(product)
    names = {"none": "as the fibres alone say", **{key: words for key, words in transmission.WORDS.items() if key != "none"}}
    return {"transmission": told["programs"][0]["transmission"], "pain_state": told["pain_state"], "notes": list(told["notes"]),
            "hypotheses": names, "firing": firing_summary(fired), "seeds": quick.seeds, "fibres": len(chosen),
            "evidence": evidence(transmission.used_numbers(case.circuit, quick, case.patient, [running]))}


# types of stimulation, generators, leads


TITLES = {"tonic": "Tonic", "burst": "Burst", "high-frequency": "High frequency (kilohertz)", "high-density": "High density",
          "fast-acting": "Fast-acting, below perception (FAST)", "closed-loop": "Closed loop", "dorsal-root-ganglion": "Dorsal root ganglion",
          "sine": "Sine", "ramp": "Ramp", "sampled": "Given point by point"}
"""What people call the types; a kind that is not here is called by its name."""

STARTS: dict[str, dict[str, Any]] = {"sampled": {"times": ["0 us", "300 us", "600 us"], "values": [1, -1, 0]}}
"""What a page begins with where a kind has settings without a default."""


def kinds() -> list[dict[str, Any]]:
    """Every type of stimulation: in words, how it is used and how sure that is, and its settings with units, defaults and limits."""
    clinical = {row["type"]: row for row in table("waveforms")}
    found = []
    for kind, member in waveform.family.members.items():
        schema, about = member.model_json_schema(), _attributes(member)
        row = clinical.get(member.clinical, {})
        settings = []
        for name, own in schema["properties"].items():
            if name == "kind":
                continue
            default = member.model_fields[name].default
            options = own.get("enum") or next((part["enum"] for part in own.get("anyOf", []) if "enum" in part), None)
            unit = own.get("x-kind") or next((part.get("x-kind") for part in own.get("anyOf", []) if part.get("x-kind")), "")
            settings.append({
                "name": name, "help": about.get(name, ""), "quantity": unit, "units": list(KINDS[unit].written) if unit else [],
                "choices": options, "type": own.get("type", ""), "required": name in schema.get("required", []),
                "least": own.get("minimum", own.get("exclusiveMinimum")), "most": own.get("maximum"),
                "default": format_quantity(default, unit) if unit and isinstance(default, float)
                else default if isinstance(default, str | int | float) else None})
        found.append({
            "kind": kind, "title": TITLES.get(kind, kind.replace("-", " ").capitalize()), "start": STARTS.get(kind, {}),
            "what": (member.__doc__ or "").splitlines()[0], "felt": bool(member.paraesthesia), "usual": float(member.usual_amplitude),
            "settings": settings, "clinical": {key: row.get(key, "") for key in ("type", "frequency_hz", "pulse_width_us", "amplitude_mA",
                                                                                 "amplitude_rule", "recharge_cycling", "source", "note")},
            "evidence": row.get("evidence", "judgement"), "unverified": row.get("evidence", "judgement") in UNVERIFIED})
    return found


def _attributes(member: type) -> dict[str, str]:
    """What the docstrings of a class and its bases say of its fields."""
    found: dict[str, str] = {}
    for one in reversed(member.__mro__):
        lines, inside, name = (one.__doc__ or "").splitlines(), False, ""
        for line in lines:
            text = line.strip()
            if text == "Attributes:":
                inside = True
            elif inside and not text:
                inside = False
            elif inside and (at := text.find(": ")) > 0 and line.startswith("        ") and not line.startswith("         "):
                names = [part.strip() for part in text[:at].split(",")]
                for name in names:
                    found[name] = text[at + 2 :]
            elif inside and name:
                found[name] += " " + text
    return {name: text.replace("``", "") for name, text in found.items()}


def layout(case: Case) -> list[dict[str, Any]]:
    """Leads as they lie, seen from behind: contacts with their number, middle and size in mm, x to the patient's right, z towards the head."""
    names = table("vertebrae").column("vertebra")
    found, number = [], 1
    for k, one in enumerate(case.leads):
        shape = one.shape()
        tip = getattr(one, "tip_vertebra", None)
        contacts = []
        for pad in shape.contacts:
            left, right = (-shape.radius, shape.radius) if pad.left is None or pad.right is None else (pad.left, pad.right)
            contacts.append({"number": number, "x_mm": 500 * (left + right), "z_mm": -500 * (pad.start + pad.end), "width_mm": 1e3 * (right - left),
                             "height_mm": 1e3 * (pad.end - pad.start)})
            number += 1
        place = getattr(one, "lateral", 0.0)
        found.append({
            "name": shape.name, "kind": getattr(one, "kind", ""), "lateral_mm": 1e3 * float(place or 0.0), "side": getattr(one, "side", ""),
            "tip": tip or getattr(one, "foramen", "") or "", "order": names.index(tip) if tip in names else None, "lead": k,
            "width_mm": 2e3 * shape.half_width, "length_mm": None if shape.length is None else 1e3 * shape.length, "contacts": contacts,
            "evidence": evidence(shape.numbers), "notes": list(shape.notes)})
    return found

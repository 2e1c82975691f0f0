"""What is felt and what hurts, drawn on a human figure.

``body_map`` returns inline SVG: a front and a back view cut into the dermatomes C2 to S5, coloured by how much of
each is felt, and the areas that hurt, hatched. An area is drawn where people point when they name it and not as the
dermatomes that it stands for: those of deep and referred pain are no skin of it, and one that is may reach far beyond
(axial pain of the low back is in segments L1 to S1, and no leg hurts). The figure is ``data/bodymap.json``, one half per view, our own drawing;
which dermatome lies where follows data/dermatomes.csv, the course of each boundary is judgement. Neighbouring
dermatomes overlap and people differ, so a sharp border is drawing and no finding. Dermatomes are cord segments.
The face is trigeminal and stays empty.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import TypedDict
from xml.sax.saxutils import escape, quoteattr

from epidura.errors import BadInput, nearest
from epidura.patient import SIDES, Pain, check_area, split_side
from epidura.tables import table

Outline = list[list[float]]
"""Points (x, y) of a closed polygon or an open line, drawing units, x from the midline, y down from the crown."""

DERMATOMES = (*(f"C{i}" for i in range(2, 9)), *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)),
              *(f"S{i}" for i in range(1, 6)))
VIEWS = ("front", "back")

UNFELT, FELT, PAIN, SKIN, LINE, INK = "#dfe5e8", "#0f766e", "#b45309", "#f5f6f7", "#8b98a3", "#1f2937"
WIDE, TALL, TOP = 520, 632, 46
CENTRES = {"front": 132, "back": 388}


class View(TypedDict):
    """One half of the figure, seen from one direction: x is positive and mirrored for the other half.

    Keys: silhouette, the outline; details, faint lines; areas, id of data/pain_areas.csv to its polygons; regions,
    dermatome to its polygons; labels, dermatome to where its name stands and, if that is outside, where its leader ends
    (both signed, not mirrored).
    """

    silhouette: Outline
    details: list[Outline]
    areas: dict[str, list[Outline]]
    regions: dict[str, list[Outline]]
    labels: dict[str, Outline]


@cache
def views() -> dict[str, View]:
    """The drawing by view, ``front`` and ``back``, read once."""
    drawing: dict[str, dict[str, View]] = json.loads((files("epidura") / "data" / "bodymap.json").read_text("utf-8"))
    return drawing["views"]


def hand(view: str, side: str) -> int:
    """+1 where a side of the person is on the viewer's right, -1 where it is on the viewer's left."""
    return 1 if (view == "front") == (side == "left") else -1


def colour(share: float) -> str:
    """Hex colour of a felt share from 0 to 1."""
    ends = [[int(c[i:i + 2], 16) for i in (1, 3, 5)] for c in (UNFELT, FELT)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(*ends, strict=True))


def body_map(felt: Mapping[tuple[str, str], float], pain: Sequence[str] = (), width: int = 520,
             title: str = "") -> str:
    """The body with felt dermatomes and painful areas as inline SVG.

    Args:
        felt: felt share, 0 to 1, by (dermatome, side), such as ``{("L4", "left"): 0.8}``; others count as 0.
        pain: areas that hurt, as in ``Pain.areas``, such as ``["low-back", "left-leg"]``.
        width: of the drawing, px; the height follows.
        title: heading, plain text.

    Returns:
        One ``<svg>`` element without outside references; several may stand in one page.

    Raises:
        BadInput: an unknown dermatome, side or area, a share outside 0 to 1, a width that is not positive.
    """
    for key in felt:
        _check(key)
        if not 0 <= felt[key] <= 1:
            raise BadInput(f"felt[{key[0]}, {key[1]}]", "not a share", got=felt[key], allowed="0 to 1")
    for i, area in enumerate(pain):
        check_area(area, f"pain[{i}]")
    if width <= 0:
        raise BadInput("width", "a drawing without width", got=width, allowed="above 0")
    hatch = f"epidura-pain-{zlib.crc32(repr((sorted(felt.items()), sorted(pain), width, title)).encode()):08x}"
    body = "".join(_figure(view, felt, pain, hatch) for view in VIEWS)
    heading = _text(WIDE / 2, 15, title, 13, weight=600) if title else ""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {TALL}" width="{width}" '
            f'height="{round(width * TALL / WIDE)}" role="img" aria-label={quoteattr(_summary(felt, pain, title))} '
            f'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif">'
            f'{_defs(hatch)}{heading}{body}{_legend(hatch)}</svg>')


def _check(key: tuple[str, str]) -> None:
    dermatome, side = key
    if dermatome not in DERMATOMES:
        near = [d for d in DERMATOMES if d[0] == dermatome[:1].upper()] or DERMATOMES
        raise BadInput(f"felt[{dermatome}, {side}]", "unknown dermatome", got=dermatome, allowed="C2 to C8, T1 to T12, "
                       "L1 to L5, S1 to S5", hint=nearest(dermatome.upper(), near))
    if side not in SIDES:
        raise BadInput(f"felt[{dermatome}, {side}]", "unknown side", got=side, allowed=", ".join(SIDES),
                       hint=nearest(side.lower(), SIDES))


def _segments(pain: Sequence[str]) -> set[tuple[str, str]]:
    """(dermatome, side) that the areas stand for."""
    return set(Pain.model_construct(areas=tuple(pain), nrs=0.0).dermatomes())


def _words(area: str) -> str:
    """An area as people call it: ``left whole leg``."""
    sides, name = split_side(area)
    return " ".join([*(sides if len(sides) == 1 else ()), table("pain_areas").row(id=name)["name"]])


def _summary(felt: Mapping[tuple[str, str], float], pain: Sequence[str], title: str) -> str:
    """What the drawing shows, in one sentence, for those who cannot see it."""
    some = [f"{side} {dermatome}" for dermatome in DERMATOMES for side in SIDES if felt.get((dermatome, side), 0) > 0]
    sore = _segments(pain)
    covered = sum(felt.get(key, 0) > 0 for key in sore)
    said = [title or "Body map of dermatomes, front and back view", f"felt: {', '.join(some) or 'none'}",
            f"painful: {'; '.join(map(_words, pain)) or 'nothing'}"]
    return ". ".join([*said, *([f"{covered} of the {len(sore)} dermatomes of the pain felt"] if sore else [])])


def _figure(view: str, felt: Mapping[tuple[str, str], float], pain: Sequence[str], hatch: str) -> str:
    """One view: silhouette, regions, pain, faint lines, names."""
    half, centre = views()[view], CENTRES[view]
    out = [f'<g transform="translate({centre} {TOP})" data-view="{view}" stroke-linejoin="round">']
    both = "".join(_path([half["silhouette"]], sign) for sign in (1, -1))
    out.append(f'<path d="{both}" fill="{LINE}" stroke="{LINE}" stroke-width="1.8"/>'
               f'<path d="{both}" fill="{SKIN}" stroke="{SKIN}" stroke-width=".4"/>')
    segments = _segments(pain)
    for side in SIDES:
        for dermatome, polygons in half["regions"].items():
            key = (dermatome, side)
            share, path = felt.get(key, 0.0), _path(polygons, hand(view, side))
            says = f"{side} {dermatome}: " + (f"felt {share:.0%}" if share > 0 else "not felt") + ", of the pain" * (key in segments)
            out.append(f'<path d="{path}" fill="{colour(share)}" stroke="#fff" stroke-width=".7" data-dermatome="{dermatome}" '
                       f'data-side="{side}"><title>{says}</title></path>')
    hurts = dict.fromkeys((side, name) for sides, name in map(split_side, pain) for side in sides if name in half["areas"])
    marks = [f'<path d="{_path(half["areas"][name], hand(view, side))}" fill="url(#{hatch})" stroke="{PAIN}" stroke-width="1.1" '
             f'data-pain="{side} {name}"/>' for side, name in hurts]
    out.append(f'<g pointer-events="none">{"".join(marks)}<g fill="none" stroke="{INK}" stroke-opacity=".28" '
               'stroke-width=".8" stroke-linecap="round">')
    out += [f'<path d="{_path([line], sign, close=False)}"/>' for line in half["details"]
            for sign in (1, -1)[:1 + any(x for x, _ in line)]]
    out.append("</g>")
    for dermatome, (place, *end) in half["labels"].items():
        (x, y) = place
        if end:
            (ex, ey) = end[0]
            clear = 6.5 / math.hypot(ex - x, ey - y)
            out.append(f'<path d="M{x + clear * (ex - x):.1f} {y + clear * (ey - y):.1f}L{ex} {ey}" stroke="{INK}" '
                       f'stroke-width=".5"/><circle cx="{ex}" cy="{ey}" r="1.1" fill="{INK}"/>')
        out.append(_text(x, y + 2.5, dermatome, 7.2, halo=True))
    right = hand(view, "right")
    out += [_text(0, -10, view, 10.5, weight=600), _text(86 * right, 62, "R", 11, weight=600),
            _text(-86 * right, 62, "L", 11, weight=600)]
    return "".join(out) + "</g></g>"


def _path(polygons: Sequence[Outline], sign: int, close: bool = True) -> str:
    """SVG path of outlines, mirrored where ``sign`` is -1."""
    return "".join("M" + "L".join(f"{sign * x:g} {y:g}" for x, y in line) + "Z" * close for line in polygons)


def _text(x: float, y: float, text: str, size: float, weight: int = 400, anchor: str = "middle", halo: bool = False) -> str:
    around = ' stroke="#fff" stroke-width="2.2" stroke-opacity=".85" paint-order="stroke" stroke-linejoin="round"' * halo
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}" fill="{INK}"'
            f'{around}>{escape(text)}</text>')


def _defs(hatch: str) -> str:
    return (f'<defs><pattern id="{hatch}" width="6" height="6" patternUnits="userSpaceOnUse" '
            f'patternTransform="rotate(45)"><rect width="2.2" height="6" fill="#fff" fill-opacity=".7"/>'
            f'<rect x=".45" width="1.3" height="6" fill="{PAIN}"/></pattern>'
            f'<linearGradient id="{hatch}-scale"><stop offset="0" stop-color="{UNFELT}"/><stop offset="1" '
            f'stop-color="{FELT}"/></linearGradient></defs>')


def _legend(hatch: str) -> str:
    """The colour scale and the sign of pain, at the foot of the drawing."""
    y = TALL - 26
    return (f'<g data-legend="1">{_text(92, y + 9, "felt", 10, anchor="end")}'
            f'<rect x="98" y="{y}" width="110" height="11" rx="2" fill="url(#{hatch}-scale)"/>'
            f'{_text(98, y + 21, "0 %", 8.5, anchor="start")}{_text(208, y + 21, "100 %", 8.5, anchor="end")}'
            f'<rect x="250" y="{y}" width="20" height="11" fill="{UNFELT}"/>'
            f'<rect x="250" y="{y}" width="20" height="11" fill="url(#{hatch})" stroke="{PAIN}"/>'
            f'{_text(276, y + 9, "painful", 10, anchor="start")}'
            f'<rect x="335" y="{y}" width="20" height="11" fill="{FELT}"/>'
            f'<rect x="335" y="{y}" width="20" height="11" fill="url(#{hatch})" stroke="{PAIN}"/>'
            f'{_text(361, y + 9, "painful and felt", 10, anchor="start")}</g>')

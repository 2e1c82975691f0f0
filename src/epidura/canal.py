"""The canal meshed around its leads, and how the mesh runs along the spine.

One cross-section, half way along the contacts, is meshed. Where the canal changes along the spine, or a lead runs obliquely,
the nodes move with it: outlines carry their nodes along, leads move as they are, and what lies between follows smoothly.
Outlines of the epidural space slide with a lead that runs across them, so that thin gaps between them keep their shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epidura.anatomy import Anatomy
from epidura.anatomy.base import OUTLINES, SECTOR_ANGLES, SECTORS, Level, Stretch
from epidura.errors import BadGeometry, BadInput
from epidura.lead import Lead
from epidura.placement import Placed, place, span
from epidura.product import Canal, Cord, Course, Shaft, Tissue

if TYPE_CHECKING:
    from epidura.numerics.follower import Follower
    from epidura.numerics.section import Cut, Loop, Section
    from epidura.numerics.spine import Way

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ACCURACY = {"fast": 2.0, "standard": 1.4, "reference": 1.0}
"""Edges of the mesh and elements along the spine, relative to those stated here and in ``field``; docs/field.md has the errors."""

RING = 24
"""Sides of the mesh around a cylindrical lead."""

EDGES = {"grey-matter": 0.6e-3, "white-matter": 0.5e-3, "csf": 0.8e-3, "dura": 0.8e-3, "epidural-fat": 1.0e-3,
         "bone": 3e-3, "bulk": 15e-3, "encapsulation": 0.4e-3, "lead": 0.6e-3}
"""Largest edge in each tissue, m."""

LOOP_EDGES = {"grey-matter": 0.5e-3, "cord": 0.6e-3, "dura-inner": 0.8e-3, "dura-outer": 0.8e-3, "canal": 1.4e-3,
              "bone": 4e-3, "bulk": 15e-3}
"""Largest edge along each outline, m; shorter near the leads and the dorsal columns."""

CURVED = ("cord", "dura-inner", "dura-outer", "canal")
"""Outlines whose sides are bent: on straight ones of the same area V converges with the square of their length only."""

NEAR_LEAD, NEAR_COLUMN, GROWTH = 0.26e-3, 0.3e-3, 0.2
"""Edge at a lead and at the dorsal columns, m, and its growth per distance from there."""

FAR, FARTHER = 10.0, 4.0
"""The body goes on to FAR m, where V = 0: infinitely far for the potential at a contact, which it changes by 1e-4. Circles at
a ratio of FARTHER lead the mesh there; Netgen alone loses its grading over so many orders of magnitude."""

MARGIN = 30e-3
"""How far beyond the leads the canal is modelled as it is, m; as at its ends beyond that."""

STEP = 4e-3
"""Stations of a uniform canal with an oblique lead, m."""

SLIDE = 0.25
"""Share of an outline's length over which sliding with a lead fades out, on either side of it."""

SOUND = 0.05
"""Share of its size, at its worst point, that a triangle of the cord must keep along the spine."""

KEPT, LEAST = 0.5, 0.1
"""What a mesh that is carried elsewhere must keep of a triangle's size at its worst place along the spine: KEPT of what it kept for
the leads that it was made for, and LEAST if it kept more for those."""

TRIES = tuple((finer, near) for finer in (1.0, 0.97, 0.94, 0.91, 0.88, 0.85) for near in ((finer, 1.0) if finer < 1.0 else (1.0,)))
"""Edges as shares of the wanted ones, all and those beside leads, tried one after the other: Netgen fails in some canals with a thin gap between
lead and dura, one in 27 of people drawn at random and one in three with a lead beside the sac, and does not with slightly other edges."""

NARROWING, NARROWED = 25e-3, 0.5
"""Over how many m behind its ends the outline of a paddle, or of a lead beside the sac, becomes how much narrower."""

SAME = 1e-9
"""Difference of what counts as the same, m."""

INSULATION = Tissue("insulation", 0.0, 0.0, ())


def place_leads(anatomy: Anatomy, leads: Sequence[Lead]) -> tuple[Shaft, ...]:
    """The leads in the epidural space of the anatomy, without a mesh.

    Raises:
        BadGeometry: an unknown vertebra, or a lead through the dura, the bone or another lead.
    """
    return _placed(anatomy, leads).shafts


def _placed(anatomy: Anatomy, leads: Sequence[Lead]) -> Placed:
    low, high = span(anatomy, leads)
    return place(anatomy.stretch(low - MARGIN, high + MARGIN), leads)


def build_canal(anatomy: Anatomy, leads: Sequence[Lead], accuracy: str = "standard", tips: bool = True, near: Canal | None = None) -> Canal:
    """The leads in the canal, meshed.

    Args:
        accuracy: ``fast``, ``standard`` or ``reference``: size of the mesh, and of the elements that the field is solved on.
        tips: whether leads end at their tips; without, they go on rostrally for ever, which a canal that is the same all
            along the spine is solved several times faster for.
        near: the canal of the same anatomy with the same leads elsewhere. Where its mesh can be carried along to where they are
            now, the new canal has that very ``section``, and node i means the same place relative to leads and outlines in both.
            Where it cannot - other leads, accuracy or tissues, a canal whose nodes do not move along the spine, triangles that
            would be squeezed too much - a new mesh is made, as without ``near``, and nothing is said.

    Raises:
        BadGeometry: as ``place_leads``, or outlines that cannot be meshed or followed along the spine.
        BadInput: an unknown accuracy.
    """
    if accuracy not in ACCURACY:
        raise BadInput("accuracy", "unknown accuracy", got=accuracy, allowed=", ".join(ACCURACY))
    placed = _placed(anatomy, leads)
    carried = None if near is None else _carried(placed, accuracy, tips, near)
    return _Meshed(placed, ACCURACY[accuracy], tips).canal(accuracy) if carried is None else carried


def _carried(placed: Placed, accuracy: str, tips: bool, near: Canal) -> Canal | None:
    """The placed leads on the mesh of another canal; None: it cannot be carried there."""
    mesh = near.mesh
    if not isinstance(mesh, _Mesh) or mesh.section is not near.section or near.accuracy != accuracy or not _alike(near.shafts, placed.shafts):
        return None
    meshed = _Meshed(placed, ACCURACY[accuracy], tips, mesh)
    if not meshed.fits():
        return None
    try:
        canal = meshed.canal(accuracy)
    except BadGeometry:  # triangles folded
        return None
    sound = all(now >= max(KEPT * then, LEAST if then > LEAST else 0.0) for now, then in zip(meshed.least, mesh.least, strict=True))
    return canal if sound and meshed.kept <= mesh.kept else None


def _alike(before: Sequence[Shaft], after: Sequence[Shaft]) -> bool:
    """Whether these are the same leads, wherever they are."""
    def heights(shaft: Shaft) -> Floats:
        # along a lead that leans more they are all less by the same factor
        z = np.array([shaft.z_tip, *(z for contact in shaft.contacts for z in (contact.z0, contact.z1))])
        return np.asarray((z - z.min()) / max(np.ptp(z), SAME))

    def sizes(shaft: Shaft) -> list[tuple[float | None, ...]]:
        return [(shaft.radius, shaft.half_width, shaft.encapsulation, shaft.turn), *((c.area, c.left, c.right) for c in shaft.contacts)]

    def same(a: float | None, b: float | None) -> bool:
        return a is b if a is None or b is None else abs(a - b) < SAME

    return len(before) == len(after) and all(
        a.name == b.name and len(a.contacts) == len(b.contacts) and (a.z_end is None) == (b.z_end is None)
        and all(same(x, y) for one, other in zip(sizes(a), sizes(b), strict=True) for x, y in zip(one, other, strict=True))
        and np.abs(heights(a) - heights(b)).max() < 1e-6
        for a, b in zip(before, after, strict=True))


@dataclass(frozen=True)
class _Mesh:
    """A meshed cross-section, and what its nodes lay on where it was meshed: all that is needed to move it.

    Attributes:
        section: the mesh itself.
        names: what each label is made of where nothing is said about it.
        loops: what each loop of the mesh is (an outline, ``far`` or a lead), and its nodes.
        outlines, cord: of the canal there.
        centres: (leads, 2) where the leads were, m.
        least: shares of its size that a triangle keeps at the worst place along the spine of the canal that it was made for:
            among the stations, and half way between them.
        kept: share of its own shape that the grey matter kept there, where it could not be followed.
    """

    section: Section
    names: tuple[str, ...]
    loops: tuple[tuple[str, Ints], ...]
    outlines: dict[str, Floats]
    cord: Cord
    centres: Floats
    least: tuple[float, float] = (1.0, 1.0)
    kept: float = 0.0

    @property
    def far(self) -> int:
        """Number of regions beyond the outline bulk."""
        return self.names.count("far")


class _Meshed:
    """One cross-section of placed leads, meshed, and its way along the spine.

    Args:
        mesh: that of another place, where it ``fits``; None: one is made here.
    """

    def __init__(self, placed: Placed, size: float, tips: bool, mesh: _Mesh | None = None):
        self.placed, self.size = placed, size
        self.shafts = placed.shafts
        self.ends = tips or any(shaft.z_end is not None for shaft in self.shafts)
        contacts = [contact for shaft in self.shafts for contact in shaft.contacts]
        middle = 0.5 * (min(c.z0 for c in contacts) + max(c.z1 for c in contacts)) if contacts else 0.0
        stretch = placed.stretch
        self.z = self._stations(stretch)
        self.levels = _levels(stretch, self.z)
        self.reference = int(np.abs(self.z - middle).argmin())
        self.level = self.levels[self.reference]
        self.oblique = any(shaft.leans for shaft in self.shafts)
        self.notes: list[str] = []
        self.least, self.kept = (1.0, 1.0), 0.0
        self.carried = mesh is not None
        self.mesh = self._mesh() if mesh is None else mesh

    def _stations(self, stretch: Stretch) -> Floats:
        """Heights at which the shape is taken: those of the stretch, or along oblique leads."""
        if len(stretch.z) > 1:
            return stretch.z
        courses = [shaft.course for shaft in self.shafts if shaft.course is not None and not shaft.parallel]
        if not courses:
            return np.zeros(1)
        low, high = min(c[0, 2] for c in courses) - STEP, max(c[-1, 2] for c in courses) + STEP
        return np.linspace(low, high, int(np.ceil((high - low) / STEP)) + 1)

    def fits(self) -> bool:
        """Whether the mesh of another place can stand for one that would be made here."""
        mesh, here = self.mesh, self.level.outlines
        if self._tissue_names() != list(mesh.names[: len(mesh.names) - mesh.far]):
            return False
        if any(len(here[name]) != len(mesh.outlines[name]) for name in OUTLINES):
            return False
        if len(self.z) > 1:
            return True
        # nothing moves along such a spine: the mesh stays where it was made
        apart = [np.abs(self._here() - mesh.centres).max(), *(np.abs(here[name] - mesh.outlines[name]).max() for name in OUTLINES)]
        return bool(max(apart) < SAME)

    def _here(self) -> Floats:
        """(leads, 2) where the leads are at the height that is meshed."""
        return np.array([shaft.centre(self.z[[self.reference]])[0] for shaft in self.shafts])

    # ---------------------------------------------------------------- tissues

    def _tissue_names(self) -> list[str]:
        """What each label of the mesh is made of where nothing is said about it."""
        wall = [f"wall-{sector}" for sector in SECTORS] if self.placed.stretch.walls else ["bone"]
        names = ["grey-matter", "white-matter", "csf", "dura", "epidural-fat", *wall, "bulk"]
        for i, shaft in enumerate(self.shafts):
            names += [f"encapsulation-{i}"] if shaft.encapsulation > 0 else []
            names += [f"lead-{i}"] if self.ends else []
        return names

    def _conductors(self, z: float) -> tuple[Tissue, ...]:
        """Tissue of every label at a height between the edges."""
        tissues = self.level.tissues
        wall = next((w for w in self.placed.stretch.walls if w.z0 < z < w.z1), None)
        out = []
        for name in self.mesh.names:
            kind, _, which = name.partition("-")
            if kind == "wall":
                out.append(tissues["bone" if wall is None else getattr(wall, which)])
            elif kind in ("encapsulation", "lead"):
                shaft, layer = self.shafts[int(which)], self.placed.layers[int(which)]
                there = z < shaft.z_tip and (shaft.z_end is None or z > shaft.z_end)
                if not self.ends or there:
                    own = tissues["encapsulation"]
                    if layer.conductivity is not None:
                        own = Tissue("encapsulation", layer.conductivity, layer.conductivity, layer.numbers)
                    out.append(own if kind == "encapsulation" else INSULATION)
                else:
                    out.append(tissues["epidural-fat"])
            else:
                out.append(tissues["bulk" if kind == "far" else name])
        return tuple(out)

    def _edges(self) -> Floats:
        edges = {float(z) for wall in self.placed.stretch.walls for z in (wall.z0, wall.z1)}
        if self.ends:
            edges |= {float(z) for shaft in self.shafts for z in (shaft.z_tip, shaft.z_end) if z is not None}
        return np.array(sorted(edges))

    # ---------------------------------------------------------------- mesh

    def _mesh(self) -> _Mesh:
        from epidura.numerics.section import mesh_section, on_outline  # Netgen is slow to import

        far = [self.level.outlines["bulk"][:, 0].max() * FARTHER**k for k in range(1, 20)]
        far = [r for r in far if r < FAR] + [FAR]
        names = [*self._tissue_names(), *["far"] * len(far)]
        failed = ""
        for finer, near in TRIES:
            size = self.size * finer
            loops, cuts, kinds = self._loops(names, far, finer, near)
            sizes = []
            for name in names:
                kind = name.partition("-")[0]
                known = "bone" if kind == "wall" else kind if kind in ("encapsulation", "lead") else name
                sizes.append(FAR if name == "far" else size * EDGES[known])
            try:
                section = mesh_section(loops, sizes, grading=0.3, cuts=cuts)
                break
            except ValueError as failure:
                failed = failed or str(failure)
        else:
            raise BadGeometry("anatomy", f"the canal cannot be meshed: {failed}", hint="change the lengths that were given, or move the leads")
        nodes = [on_outline(section.points, np.asarray(loop.points)) for loop in loops]
        section = self._rounded(section, [(kind, loop.ring, on) for kind, loop, on in zip(kinds, loops, nodes, strict=True)])
        return _Mesh(section, tuple(names), tuple(zip(kinds, nodes, strict=True)), self.level.outlines, self.level.cord, self._here())

    def _rounded(self, section: Section, loops: list[tuple[str, bool, Ints]]) -> Section:
        """Sides of the mesh bent to the outlines and to cylindrical leads, where the triangles beside them stay sound.

        Args:
            loops: what each loop is, whether it is the surface of a lead, and the nodes on it.
        """
        from epidura.numerics.follower import shrinkage

        points = section.points.copy()
        for kind, ring, nodes in loops:
            bent = points.copy()
            if kind in CURVED:
                outline = self.level.outlines[kind]
                bent[nodes] = _along(outline, _nearest(outline, points[nodes]))
            elif ring and _bent(self.shafts[_lead(kind)]):
                i = _lead(kind)
                middle = self._here()[i]
                arm = points[nodes] - middle
                bent[nodes] = middle + arm * (self.shafts[i].radius / np.hypot(*arm.T))[:, None]
            else:
                continue
            if shrinkage(section, bent).min() > 0.5:
                points = bent
        return replace(section, points=points)

    def _loops(self, names: list[str], far: list[float], finer: float, near: float) -> tuple[list[Loop], list[Cut], list[str]]:
        """Loops for ``mesh_section``: the outlines from within, the far body, then every lead; and what each one is.

        Args:
            names: of the labels.
            far: radii of the far body, m.
            finer, near: one of ``TRIES``.
        """
        from epidura.numerics.section import Loop, circle

        size = self.size * finer
        loops: list[Loop] = []
        kinds: list[str] = []
        label = {name: i for i, name in enumerate(names)}
        walled = "wall-dorsal" in label
        inside = {"grey-matter": "grey-matter", "cord": "white-matter", "dura-inner": "csf", "dura-outer": "dura", "canal": "epidural-fat",
                  "bone": "bone", "bulk": "bulk"}
        outside = {name: inside[outer] for name, outer in pairwise(OUTLINES)}
        cuts: list[Cut] = []
        moving = len(self.z) > 1
        points = {name: graded(self.level.outlines[name], near * _edge_lengths(self.level, name, self.shafts, size / near, moving))
                  for name in OUTLINES}
        if walled:
            sectors, cuts = _sectors(points["canal"], points["bone"], self.level.outlines["canal"], label)
        for name in OUTLINES:
            within: int | Sequence[int]
            beyond: int | Sequence[int]
            first_far = names.index("far")
            within = sectors["bone"] if walled and name == "bone" else label[inside[name]]
            beyond = sectors["canal"] if walled and name == "canal" else first_far if name == "bulk" else label[outside[name]]
            loops.append(Loop(points[name], within, beyond, size * LOOP_EDGES[name], keep=True))
            kinds.append(name)
        for k, radius in enumerate(far):
            last = k == len(far) - 1
            loops.append(Loop(circle(0.0, 0.0, radius, 12), first_far + k, -1 if last else first_far + k + 1, FAR, keep=True))
            kinds.append("far")
        for i, (shaft, centre) in enumerate(zip(self.shafts, self._here(), strict=True)):
            around = label["epidural-fat"]
            if shaft.encapsulation > 0:
                around = label[f"encapsulation-{i}"]
                loops.append(Loop(centre + _rim(shaft, shaft.encapsulation, size), around, label["epidural-fat"], NEAR_LEAD, keep=True))
                kinds.append(f"lead-{i}")
            within = label[f"lead-{i}"] if self.ends else -1
            loops.append(Loop(centre + _rim(shaft, 0.0, size), within, around, NEAR_LEAD, keep=True, ring=True))
            kinds.append(f"lead-{i}")
        return loops, cuts, kinds

    # ---------------------------------------------------------------- the way along the spine

    def way(self) -> Way | None:
        """How the nodes move along the spine from where they were meshed; None where nothing moves."""
        from epidura.numerics.follower import Follower
        from epidura.numerics.spine import Way

        if len(self.z) == 1:
            return None
        section = self.mesh.section
        points = section.points
        moved = np.zeros((len(self.z), len(points), 2))
        fixed = np.zeros(len(points), dtype=bool)
        for kind, nodes in self.mesh.loops:
            fixed[nodes] = True
            if kind.startswith("lead"):
                moved[:, nodes] = self._turned(_lead(kind), points[nodes]) - points[nodes]
            elif kind in OUTLINES:
                moved[:, nodes] = self._shifted(kind, points[nodes])
        follower = Follower(section, fixed)
        follower.follow(moved)
        self._tamed(follower, moved)
        least = 1.0
        for s in range(len(self.z)):
            left = follower.shrinkage(points + moved[s])
            least = min(least, float(left.min()))
            if not left.min() > 0.0:
                x, y = (points + moved[s])[section.triangles[int(left.argmin()), :3]].mean(axis=0) * 1e3
                raise BadGeometry("leads" if self.oblique else "anatomy", "the mesh cannot follow the canal and its leads along the spine",
                                  got=f"triangles folded at z = {self.z[s] * 1e3:.1f} mm, near ({x:.1f}, {y:.1f}) mm",
                                  hint="let leads lean less or lie farther apart, or use another accuracy")
        way = Way(self.z, points + moved, self.placed.stretch.bend)
        between, _ = way.at(0.5 * (self.z[1:] + self.z[:-1]))
        self.least = least, min(float(follower.shrinkage(there).min()) for there in between)
        return way

    def _tamed(self, follower: Follower, moved: Floats) -> None:
        """Where the mesh cannot follow the grey matter, as towards the conus, it keeps more of its own shape, scaled with the cord."""
        mesh = self.mesh
        points = mesh.section.points
        nodes = next(nodes for kind, nodes in mesh.loops if kind == "grey-matter")
        within = np.isin(mesh.section.labels, [mesh.names.index("grey-matter"), mesh.names.index("white-matter")])
        own = mesh.cord
        for s, level in enumerate(self.levels):
            drawn = moved[s, nodes].copy()
            cord = level.cord
            scale = np.array([cord.half_width / own.half_width, cord.half_depth / own.half_depth])
            scaled = (points[nodes] - own.centre) * scale + cord.centre - points[nodes]
            for share in (0.4, 0.7, 1.0):
                if follower.shrinkage(points + moved[s])[within].min() > SOUND:
                    break
                again = moved[s : s + 1]
                again[0, nodes] = (1.0 - share) * drawn + share * scaled
                follower.follow(again)
                self.kept = max(self.kept, share)
        if self.kept:
            self.notes.append(f"the grey matter keeps {self.kept:.0%} of its shape at {self.level.vertebra} where it changes most along the spine: "
                              "the mesh cannot follow it further")

    def _centres(self, shaft: Shaft) -> Floats:
        """(s, 2) of a lead at the stations; beyond its ends its place moves with the dura beside it, so that nothing is squeezed."""
        centres = shaft.centre(self.z)
        if shaft.course is None:
            return centres
        for end, beyond in ((shaft.course[0], self.z < shaft.course[0, 2]), (shaft.course[-1], self.z > shaft.course[-1, 2])):
            duras = [self.levels[s].outlines["dura-outer"] for s in (int(np.abs(self.z - end[2]).argmin()), *np.flatnonzero(beyond))]
            at = _nearest(duras[0], end[None, :2])
            there = np.array([_along(dura, at)[0] for dura in duras])
            centres[beyond] += there[1:] - there[0]
        return centres

    def _turned(self, i: int, nodes: Floats) -> Floats:
        """(s, k, 2) nodes of a lead at every station. Those of a cylinder slide around it, towards the dura with the dura and
        towards the wall with the wall: a cylinder looks the same from everywhere, and thin gaps are not sheared."""
        shaft, home = self.shafts[i], self.mesh.centres[i]
        centres = self._centres(shaft)
        arm = nodes - home
        if shaft.half_width is not None:
            return np.asarray(centres[:, None] + self._narrowed(i)[:, None, None] * arm)
        angle = np.arctan2(arm[:, 1], arm[:, 0])
        share, turned = [], []
        for name in ("dura-outer", "canal"):
            start = _towards(self.mesh.outlines[name], home)
            turn = np.unwrap([_towards(level.outlines[name], at) for level, at in zip(self.levels, centres, strict=True)]) - start
            turn -= 2 * np.pi * np.round(turn[self.reference] / (2 * np.pi))  # the short way around
            share.append(0.5 + 0.5 * np.cos(angle - start))
            turned.append(turn)
        dura = share[0] / (share[0] + share[1] + 1e-9)
        angle = angle + np.outer(turned[0], dura) + np.outer(turned[1], 1.0 - dura)
        radius = np.hypot(*arm.T) * self._narrowed(i)[:, None]
        return centres[:, None] + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)

    def _narrowed(self, i: int) -> Floats:
        """(s,) width of a lead at the stations, as a share. Behind the ends of a paddle and above the tip of a lead beside the sac lies fat, and the
        outline gives way there, since the canal may be narrower."""
        shaft = self.shafts[i]
        if shaft.half_width is None and i not in self.placed.beside:
            return np.ones(len(self.z))
        beyond = self.z - shaft.z_tip if shaft.z_end is None else np.maximum(self.z - shaft.z_tip, shaft.z_end - self.z)
        share = np.clip(beyond / NARROWING, 0.0, 1.0)
        return np.asarray(1.0 - (1.0 - NARROWED) * share**2 * (3.0 - 2.0 * share))

    def _shifted(self, name: str, nodes: Floats) -> Floats:
        """(s, k, 2) displacement of nodes (k, 2) on an outline at every station."""
        outline = self.mesh.outlines[name]
        at = _nearest(outline, nodes)
        here = _along(outline, at)
        slides = name in ("dura-inner", "dura-outer", "canal")
        base = _nearest(outline, self.mesh.centres)
        out = np.empty((len(self.z), len(nodes), 2))
        for s, level in enumerate(self.levels):
            there = level.outlines[name]
            shift = self._slide(name, at, base, s) if slides else 0.0
            out[s] = _along(there, at + shift) - here
        return out

    def _slide(self, name: str, at: Floats, base: Floats, s: int) -> Floats:
        """(k,) by how many points of the outline nodes at ``at`` slide along it to stay beside the leads at a station.

        Args:
            base: (leads,) place on the outline beside each lead where the mesh was made.
        """
        outline, there = self.mesh.outlines[name], self.levels[s].outlines[name]
        count = len(outline)
        length = np.hypot(*np.diff(outline, axis=0, append=outline[:1]).T).sum()
        then = np.array([shaft.centre(self.z[[s]])[0] for shaft in self.shafts])
        shift = (_nearest(there, then) - base + 0.5 * count) % count - 0.5 * count
        wide = [(shaft.radius if shaft.half_width is None else shaft.half_width) / length * count for shaft in self.shafts]
        # around the loop from the first lead on: the shift of each lead near it, nothing a quarter of the outline away
        knots, values = [], []
        for start, moved, half in zip(base, shift, wide, strict=True):
            away = (start - base[0] + 0.5 * count) % count - 0.5 * count
            knots += [away - half, away + half]
            values += [moved, moved]
        order = np.argsort(knots, kind="stable")
        knots, values = list(np.array(knots)[order]), list(np.array(values)[order])
        reach = SLIDE * count
        x = (at - base[0] + 0.5 * count) % count - 0.5 * count
        return _smooth_steps(x, [knots[0] - reach, *knots, knots[-1] + reach], [0.0, *values, 0.0])

    # ---------------------------------------------------------------- all of it

    def canal(self, accuracy: str) -> Canal:
        stretch, placed = self.placed.stretch, self.placed
        level, mesh = stretch.level, self.mesh
        way = self.way()
        edges = self._edges()
        heights = [edges[0] - 1.0, *(0.5 * (edges[1:] + edges[:-1])), edges[-1] + 1.0] if len(edges) else [0.0]
        along = tuple(self._conductors(z) for z in heights)
        here = int(np.searchsorted(edges, 0.0, side="right"))
        layers = tuple(number for layer in placed.layers for number in layer.numbers)
        return Canal(
            outlines=level.outlines,
            tissues=along[here],
            shafts=self.shafts,
            cord=level.cord,
            section=mesh.section,
            vertebra=level.vertebra,
            numbers=tuple(dict.fromkeys((*level.numbers, *placed.numbers, *layers))),
            warnings=(*level.warnings, *placed.warnings, *self.notes),
            edges=edges,
            along=along if len(edges) else (),
            way=way,
            course=_course(stretch),
            accuracy=accuracy,
            # carried again, it is held against where it was made: nothing creeps
            mesh=mesh if self.carried else replace(mesh, least=self.least, kept=self.kept),
        )


def _levels(stretch: Stretch, z: Floats) -> list[Level]:
    """The level at each height, outlines interpolated point by point."""
    if len(stretch.z) == 1:
        return [stretch.level] * len(z)
    if np.array_equal(z, stretch.z):
        return list(stretch.levels)
    out = []
    for height in z:
        i = int(np.clip(np.searchsorted(stretch.z, height) - 1, 0, len(stretch.z) - 2))
        share = float(np.clip((height - stretch.z[i]) / (stretch.z[i + 1] - stretch.z[i]), 0.0, 1.0))
        low, high = stretch.levels[i], stretch.levels[i + 1]
        out.append(replace(low, outlines={name: (1 - share) * low.outlines[name] + share * high.outlines[name] for name in OUTLINES}))
    return out


def _course(stretch: Stretch) -> Course | None:
    """How the cord runs; None where it stays as it is."""
    if len(stretch.z) == 1:
        return None
    own = stretch.level.cord
    cords = [level.cord for level in stretch.levels]
    return Course(
        stretch.z,
        np.array([cord.centre for cord in cords]),
        np.array([[cord.half_width / own.half_width, cord.half_depth / own.half_depth] for cord in cords]),
        np.zeros(len(stretch.z)) if stretch.bend is None else stretch.bend,
    )


def _rim(shaft: Shaft, layer: float, size: float) -> Floats:
    """(k, 2) outline of a lead about its centre, ``layer`` m outwards, counter-clockwise."""
    radius = shaft.radius + layer
    if shaft.half_width is None:
        angle = np.arange(RING) * (2 * np.pi / RING)
        same_area = 1.0 if layer == 0.0 and _bent(shaft) else np.sqrt(angle[1] / np.sin(angle[1]))
        return np.column_stack([np.cos(angle), np.sin(angle)]) * radius * same_area
    flat = shaft.half_width - shaft.radius
    stops = {-flat, flat}
    if layer == 0.0:
        stops |= {float(x) for contact in shaft.contacts for x in (contact.left, contact.right) if x is not None and abs(x) < flat}
    ordered = np.array(sorted(stops))
    step = 2 * NEAR_LEAD * size
    face = np.unique(np.concatenate([np.linspace(a, b, max(1, round((b - a) / step)) + 1) for a, b in pairwise(ordered)]))
    back = np.linspace(-flat, flat, max(2, round(2 * flat / (3 * step))) + 1)
    turn = np.linspace(-np.pi / 2, np.pi / 2, 9)[1:-1]
    right = np.column_stack([flat + radius * np.cos(turn), radius * np.sin(turn)])
    outline = np.vstack([
        np.column_stack([back, np.full(len(back), -radius)]), right,
        np.column_stack([face[::-1], np.full(len(face), radius)]), -right,
    ])
    cos, sin = np.cos(shaft.turn), np.sin(shaft.turn)
    return np.asarray(outline @ np.array([[cos, sin], [-sin, cos]]))


def _bent(shaft: Shaft) -> bool:
    """Whether sides of the mesh at a lead can be bent to the circle: a side that moves by more than a quarter of the height
    of its triangle turns the triangle over."""
    sag = shaft.radius * (1.0 - np.cos(np.pi / RING))
    return shaft.half_width is None and shaft.encapsulation > 5.0 * sag


def touching(shaft: Shaft, ring: Floats, left: float | None, right: float | None) -> NDArray[np.bool_]:
    """Which of the points ``ring`` (k, 2) of a lead's surface, relative to its centre, belong to a contact."""
    if left is None or right is None:
        return np.ones(len(ring), dtype=bool)
    cos, sin = np.cos(shaft.turn), np.sin(shaft.turn)
    x, y = (ring @ np.array([[cos, -sin], [sin, cos]])).T
    return (y > 0.5 * shaft.radius) & (x > left - 1e-9) & (x < right + 1e-9)


def _sectors(canal: Floats, bone: Floats, outline: Floats, label: dict[str, int]) -> tuple[dict[str, list[int]], list[Cut]]:
    """Label of the wall at every edge of the outlines canal and bone, and the borders between the sectors."""
    from epidura.numerics.section import Cut

    middle = 0.5 * (outline.min(axis=0) + outline.max(axis=0))
    middle[0] = round(middle[0], 9)  # exactly 0 in a canal that is symmetric but for rounding
    borders = np.array([SECTOR_ANGLES["ventral"], np.pi - SECTOR_ANGLES["dorsal"]])
    borders = np.concatenate([borders, -borders])  # from +y, + towards +x
    labels: dict[str, list[int]] = {}
    corners: dict[str, list[int]] = {}
    for name, loop in (("canal", canal), ("bone", bone)):
        x, y = (loop - middle).T
        angle = np.arctan2(x, y)
        at = [int(np.abs(np.angle(np.exp(1j * (angle - border)))).argmin()) for border in borders]
        corners[name] = at
        # an edge is in the sector of its middle, with borders moved to the corners that stand for them
        half = np.angle(np.exp(1j * angle) + np.exp(1j * np.roll(angle, -1)))
        ventral, dorsal = (0.5 * (abs(angle[at[i]]) + abs(angle[at[i + 2]])) for i in (0, 1))
        labels[name] = [label[f"wall-{'ventral' if abs(a) < ventral else 'dorsal' if abs(a) > dorsal else 'lateral'}"] for a in half]
    cuts = []
    for i in range(4):
        a, b = canal[corners["canal"][i]], bone[corners["bone"][i]]
        left, right = labels["canal"][corners["canal"][i]], labels["canal"][corners["canal"][i] - 1]
        cuts.append(Cut(a, b, left, right))
    return labels, cuts


def _edge_lengths(level: Level, name: str, shafts: tuple[Shaft, ...], size: float, moving: bool) -> Floats:
    """Wanted edge length at each point of an outline, m: short at the leads and at the dorsal columns.

    Sides of the grey matter and beside leads do not grow with ``size`` where the mesh is ``moving`` along the spine: thin horns
    and gaps need them.
    """
    outline = level.outlines[name]
    least = min(size, 1.0) if moving else size
    wanted = np.full(len(outline), LOOP_EDGES[name] * (least if name == "grey-matter" else size))
    for shaft in shafts:
        wide = 0.0 if shaft.half_width is None else shaft.half_width - shaft.radius
        x, y = outline[:, 0] - shaft.x, outline[:, 1] - shaft.y
        distance = np.hypot(np.clip(np.abs(x) - wide, 0.0, None), y) - shaft.radius - shaft.encapsulation
        wanted = np.minimum(wanted, least * NEAR_LEAD + GROWTH * np.clip(distance, 0.0, None))
    column = level.cord.dorsal_column
    beside = np.clip(np.abs(outline[:, 0]) - column[:, 0].max(), 0.0, None)
    above = np.clip(outline[:, 1] - column[:, 1].max(), 0.0, None) + np.clip(column[:, 1].min() - outline[:, 1], 0.0, None)
    return np.asarray(np.minimum(wanted, size * NEAR_COLUMN + GROWTH * np.hypot(beside, above)))


def _lead(kind: str) -> int:
    """Which lead a loop ``lead-0`` is of."""
    return int(kind.partition("-")[2])


def _towards(outline: Floats, point: Floats) -> float:
    """Direction from a point (2,) to the nearest one of a closed polygon, rad from the x axis."""
    x, y = _along(outline, _nearest(outline, point[None]))[0] - point
    return float(np.arctan2(y, x))


def _nearest(outline: Floats, points: Floats) -> Floats:
    """(p,) place of the nearest point of a closed polygon: number of the corner before it, and the share of the edge."""
    a, along = outline, np.roll(outline, -1, axis=0) - outline
    out = np.empty(len(points))
    for low in range(0, len(points), 256):
        to = points[low : low + 256, None] - a
        share = np.clip((to * along).sum(axis=2) / (along * along).sum(axis=1), 0.0, 1.0)
        away = ((to - share[:, :, None] * along) ** 2).sum(axis=2)
        edge = away.argmin(axis=1)
        out[low : low + 256] = edge + share[np.arange(len(edge)), edge]
    return out


def _along(outline: Floats, at: Floats) -> Floats:
    """(p, 2) points of a closed polygon at the places that ``_nearest`` gives."""
    whole = np.floor(at).astype(int)
    share = (at - whole)[:, None]
    count = len(outline)
    return np.asarray((1 - share) * outline[whole % count] + share * outline[(whole + 1) % count])


def _smooth_steps(x: Floats, knots: Sequence[float], values: Sequence[float]) -> Floats:
    """Values at knots with smooth steps between them."""
    where = np.clip(np.searchsorted(knots, x) - 1, 0, len(knots) - 2)
    low, high = np.asarray(knots)[where], np.asarray(knots)[where + 1]
    t = np.clip((x - low) / np.maximum(high - low, 1e-12), 0.0, 1.0)
    step = t * t * (3 - 2 * t)
    return np.asarray((1 - step) * np.asarray(values)[where] + step * np.asarray(values)[where + 1])


def graded(outline: Floats, edges: Floats) -> Floats:
    """A finely sampled smooth outline resampled to the wanted edge lengths, enclosing the same area.

    Chords cut the convex parts of a curve; each point is moved outwards by what its chords cut off on average,
    so that thin layers such as the dura keep their thickness.

    Args:
        outline: (k, 2) m, closed, counter-clockwise.
        edges: (k,) wanted length of an edge at each point, m.
    """
    closed = np.vstack([outline, outline[:1]])
    piece = np.hypot(*np.diff(closed, axis=0).T)
    count = np.concatenate([[0.0], np.cumsum(piece * 0.5 * (1 / edges + 1 / np.roll(edges, -1)))])
    swept = np.concatenate([[0.0], np.cumsum(0.5 * _cross(closed[:-1], closed[1:]))])
    at = np.linspace(0.0, count[-1], max(12, round(count[-1])) + 1)
    points = np.column_stack([np.interp(at, count, closed[:, 0]), np.interp(at, count, closed[:, 1])])
    chord = np.diff(points, axis=0)
    length = np.hypot(*chord.T)
    cut = (np.diff(np.interp(at, count, swept)) - 0.5 * _cross(points[:-1], points[1:])) / length
    outwards = np.column_stack([chord[:, 1], -chord[:, 0]]) / length[:, None]
    push = cut[:, None] * outwards
    return np.asarray(points[:-1] + 0.5 * (push + np.roll(push, 1, axis=0)))


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])

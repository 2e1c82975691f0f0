"""What is wrong in the dorsal horn, and what comes in from the periphery without stimulation.

A pain state weakens inhibition, sets how the three classes of fibres fire, and may open a link from large fibres to the cells that pain
excites. Presets are in data/pain_states.csv: recipes, and one for each indication with what is known and what is assumed. Hardly anything is
known of the dorsal horn of patients: the numbers of the indications are judgements, and every preset says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from epidura.circuit import Wiring
from epidura.errors import BadInput, BadTable, nearest
from epidura.numerics.network import Connections
from epidura.patient import indications
from epidura.recipe import Recipe, read_recipe
from epidura.tables import EVIDENCE, Number, Table, table
from epidura.units import Frequency

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CLASSES = ("Abeta", "Adelta", "C")
"""Classes of fibres: the first word of the name of a circuit's fibres."""

Inhibition = Literal["intact", "gaba0.5", "gaba0", "gly0"]

INHIBITION: dict[str, tuple[float, float]] = {"intact": (1.0, 1.0), "gaba0.5": (0.5, 1.0), "gaba0": (0.0, 1.0), "gly0": (1.0, 0.0)}
"""What the names stand for: factors of GABA-A and of glycine."""


def fact(quantity: str, fibres: str) -> Number:
    """A row of data/afferents.csv."""
    rows: Table = table("afferents")
    return rows.number(f"{quantity} ({fibres})", "value", rows.row(quantity=quantity, fibres=fibres)["unit"], quantity=quantity, fibres=fibres)


def fibre_class(name: str) -> str:
    """Abeta, Adelta or C of the fibres that a circuit calls so.

    Raises:
        BadInput: none of them.
    """
    word = name.split(" ")[0]
    if word not in CLASSES:
        raise BadInput("fibres", "of no class whose firing is known", got=name, allowed=f"a name that begins with {', '.join(CLASSES)}",
                       hint=nearest(word, CLASSES))
    return word


class Activity(Recipe):
    """How fibres of one class fire without stimulation.

    Attributes:
        rate: of each fibre that fires; 0: none does.
        variation: of the intervals, standard deviation over mean; they follow a gamma law.
        share: of the fibres that fire.
    """

    rate: Frequency = Field(ge=0, le=400)
    variation: float = Field(gt=0, le=3)
    share: float = Field(1.0, ge=0, le=1)


def published(name: str) -> Activity:
    """The background of a class in the published circuit (data/afferents.csv)."""
    return Activity.model_construct(rate=fact("rate", name).value, variation=fact("variation", name).value, share=1.0)


class PainState(Recipe):
    """What a disease does to one segment; the default is healthy tissue with steady painful input.

    Attributes:
        gaba: factor of all GABA-A links, 1 intact, 0 lost.
        glycine: factor of all glycine links.
        abeta, adelta, c: how the classes of fibres fire without stimulation.
        opened: weight of an opened link of each large fibre of the receptive field to the cells that pain excites, as a share of the
            weight of one C fibre there; 0: closed.
        ongoing: whether the input arises without a stimulus from outside.
    """

    gaba: float = Field(1.0, ge=0, le=1)
    glycine: float = Field(1.0, ge=0, le=1)
    abeta: Activity = Field(default_factory=lambda: published("Abeta"))
    adelta: Activity = Field(default_factory=lambda: published("Adelta"))
    c: Activity = Field(default_factory=lambda: published("C"))
    opened: float = Field(0.0, ge=0, le=1)
    ongoing: bool = False

    def activity(self, name: str) -> Activity:
        """Of the class of the fibres that a circuit calls so.

        Raises:
            BadInput: fibres of no known class.
        """
        found: Activity = {"Abeta": self.abeta, "Adelta": self.adelta, "C": self.c}[fibre_class(name)]
        return found

    def links(self, wiring: Wiring) -> Floats:
        """(links,) factor of each link of a circuit: what ``numerics.network.Member.links`` takes."""
        return weakened(wiring.inhibitory, self.gaba, self.glycine)

    def rewired(self, wiring: Wiring) -> Wiring:
        """The circuit with the opened link; itself where it is closed. Inhibition is left to ``links``.

        Every fibre of the receptive field gets a synapse on every cell that thin fibres excite by AMPA receptors, projection neurons apart,
        with the share ``opened`` of the strongest weight that one thin fibre has there.

        Raises:
            BadInput: a circuit without such cells, or without fibres of the receptive field.
        """
        return opened(wiring, self.opened) if self.opened > 0 else wiring


def weakened(inhibitory: Sequence[str], gaba: float, glycine: float) -> Floats:
    """(links,) factors of links that are "gaba", "glycine" or "" ."""
    return np.array([{"gaba": gaba, "glycine": glycine}.get(kind, 1.0) for kind in inhibitory])


def inhibition(name: str) -> tuple[float, float]:
    """Factors of GABA-A and of glycine.

    Raises:
        BadInput: no such name.
    """
    if name not in INHIBITION:
        raise BadInput("inhibition", "there is no such state", got=name, allowed=", ".join(INHIBITION), hint=nearest(name, INHIBITION))
    return INHIBITION[name]


def opened(wiring: Wiring, share: float) -> Wiring:
    """A circuit whose large fibres of the receptive field reach the cells that thin fibres excite, see ``PainState.rewired``."""
    net, afferent = wiring.network, wiring.network.afferent
    local = [k for fibres in wiring.fibres if fibres.target == "local" for k in fibres.members]
    painful = {k for fibres in wiring.fibres if fibres.painful for k in fibres.members}
    ampa = {kind: {i for i, receptor in enumerate(neuron.receptors) if receptor.name.lower().startswith("ampa")}
            for kind, neuron in enumerate(net.kinds)}
    strongest: dict[int, int] = {}
    for row, (source, target) in enumerate(zip(afferent.source.tolist(), afferent.target.tolist(), strict=True)):
        excites = int(afferent.receptor[row]) in ampa[int(net.kind[target])] and afferent.weight[row] > 0
        best = strongest.get(target)
        if source in painful and excites and wiring.cells[target] not in wiring.projection \
                and (best is None or afferent.weight[row] > afferent.weight[best]):
            strongest[target] = row
    if not local or not strongest:
        raise BadInput("pain_state.opened", "this circuit has no such link to open", got=f"{len(local)} fibres of the receptive field, "
                       f"{len(strongest)} cells between thin fibres and the projection", allowed="a circuit with both")
    rows = np.array([row for row in strongest.values() for _ in local])
    sources = np.tile(np.array(local), len(strongest))
    own = dict(zip(afferent.source.tolist(), afferent.terminal.tolist(), strict=True))  # terminals of one fibre are inhibited together
    more = Connections(sources, afferent.target[rows], afferent.receptor[rows], share * afferent.weight[rows], afferent.delay[rows],
                       np.array([own.get(k, -1) for k in sources.tolist()]))
    names = ("source", "target", "receptor", "weight", "delay", "terminal")
    joined = Connections(*(np.concatenate([getattr(afferent, name), getattr(more, name)]) for name in names))
    return replace(wiring, network=replace(net, afferent=joined))


@dataclass(frozen=True)
class Preset:
    """A pain state with a name, and what it stands on.

    Attributes:
        name: of a recipe or an indication.
        indication: whether it is one.
        state: the numbers.
        known: what is known, a sentence or two.
        known_evidence: of it.
        known_source, known_url: where it stands.
        assumed: what is not known but taken.
        evidence: of the numbers.
        source, url: of the numbers.
    """

    name: str
    indication: bool
    state: PainState
    known: str
    known_evidence: str
    known_source: str
    known_url: str
    assumed: str
    evidence: str
    source: str
    url: str

    def numbers(self) -> tuple[Number, ...]:
        """Every number of the state, with its source."""
        state = self.state
        values = [("GABA-A", state.gaba, "1"), ("glycine", state.glycine, "1"), ("opened Abeta link", state.opened, "1")]
        values += [(f"{name} {what}", value, unit) for name, activity in zip(CLASSES, (state.abeta, state.adelta, state.c), strict=True)
                   for what, value, unit in (("rate", activity.rate, "Hz"), ("share", activity.share, "1"))]
        return tuple(Number(f"{what} ({self.name})", value, unit, self.evidence, self.source, self.url, "pain_states.csv")
                     for what, value, unit in values)


def presets(indications: bool | None = None) -> tuple[Preset, ...]:
    """All presets; only indications, or only recipes, if asked for."""
    rows = table("pain_states")
    return tuple(preset(row["name"]) for row in rows if indications is None or (row["kind"] == "indication") == indications)


def preset(name: str) -> Preset:
    """The preset of a recipe such as ``neuropathic``, or of an indication.

    Raises:
        BadInput: there is none.
    """
    rows = table("pain_states")
    names = rows.column("name")
    if name not in names:
        raise BadInput("pain_state", "there is no such state", got=name, allowed=", ".join(names), hint=nearest(name, names))
    row = rows.row(name=name)
    for column in ("evidence", "known_evidence"):
        if row[column] not in EVIDENCE:
            raise BadTable("data/pain_states.csv", f"{column} of {name}", got=row[column], allowed=", ".join(EVIDENCE))
    activity = {word: {"rate": f"{row[f'{word}_hz']} Hz", "variation": fact("variation", cls).value, "share": float(row[f"{word}_share"])}
                for word, cls in zip(("abeta", "adelta", "c"), CLASSES, strict=True)}
    state: PainState = read_recipe(PainState, {"gaba": float(row["gaba"]), "glycine": float(row["glycine"]), "opened": float(row["opened"]),
                                               "ongoing": row["ongoing"] == "yes", **activity})
    return Preset(name, row["kind"] == "indication", state, row["known"], row["known_evidence"], row["known_source"], row["known_url"],
                  row["assumed"], row["evidence"], row["source"], row["doi_or_url"])


def of_indication(indication: str | None) -> Preset:
    """The preset of an indication; healthy tissue with painful input where none is given."""
    if indication is not None and indication not in indications():
        raise BadInput("patient.indication", "there is no such indication", got=indication, allowed=", ".join(indications()))
    return preset(indication or "nociception")
